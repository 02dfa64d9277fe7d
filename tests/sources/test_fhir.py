"""FHIR R4: which stays, which values, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_fhir import LOINC, Server, at, coding, quantity

from pipelines.sources.extract import Extract
from pipelines.sources.fhir import Fhir
from pipelines.sources.recognise import recognise
from privaudit.errors import PrivauditError


def read(folder: Path, **more: object) -> Extract:
    source = recognise(folder)
    assert isinstance(source, Fhir)
    settings = {"window": 48, "cohort": "first_stay", "as_known": False, **more}
    return source.extract(
        cache=folder.parent / "cache", progress=lambda what, share: None, **settings
    )


def values(found: Extract) -> list[tuple[float, str, float]]:
    rows = found.events.sort("hour", "variable").select("hour", "variable", "value").rows()
    return [(round(hour, 3), variable, round(value, 3)) for hour, variable, value in rows]


def one() -> Server:
    server = Server()
    server.person("a")
    server.stay("a")
    server.observe("a", 1.0, "8867-4", quantity(80, "/min"))
    return server


FORMS = ["{}.ndjson", "{}.ndjson.gz", "Mimic{}Whatever.ndjson.gz", "3.{}.000.ndjson"]


@pytest.mark.parametrize("form", FORMS)
def test_names_of_exports(tmp_path: Path, form: str) -> None:
    found = read(one().write(tmp_path / "a", form))
    assert values(found) == [(1.0, "heart_rate", 80.0)]
    assert found.stays.select("age", "sex", "unit", "died").rows() == [(60.0, "F", "MICU", 0)]


def test_several_files_of_a_type(tmp_path: Path) -> None:
    folder = one().write(tmp_path / "a")
    more = Server()
    more.observe("a", 2.0, "8867-4", quantity(90, "/min"))
    (folder / "Observation-2.ndjson").write_text(json.dumps(more.files["Observation"][0]) + "\n")
    assert values(read(folder)) == [(1.0, "heart_rate", 80.0), (2.0, "heart_rate", 90.0)]


def test_stays_start_in_the_minute_in_which_they_begin(tmp_path: Path) -> None:
    server = Server()
    server.person("a")
    server.stay("a", start=30 / 3600)  # charting is cut to the minute before
    server.observe("a", 0.0, "8867-4", quantity(80, "/min"))
    assert values(read(server.write(tmp_path / "a"))) == [(0.0, "heart_rate", 80.0)]


def test_the_wall_clock_of_times_counts_across_a_change_of_offset(tmp_path: Path) -> None:
    server = Server()
    server.person("a")
    server.stay("a", offset="-05:00")
    server.observe("a", 20.0, "8867-4", quantity(80, "/min"), offset="-04:00")
    assert values(read(server.write(tmp_path / "a"))) == [(20.0, "heart_rate", 80.0)]


def test_universal_times_beside_local_ones_are_refused(tmp_path: Path) -> None:
    server = one()
    server.observe("a", 3.0, "8867-4", quantity(99, "/min"), offset="Z")
    with pytest.raises(PrivauditError, match="another clock"):
        read(server.write(tmp_path / "a"))
    mixed = one()
    mixed.person("b")
    mixed.stay("b", offset="Z")
    with pytest.raises(PrivauditError, match="some times are universal"):
        read(mixed.write(tmp_path / "b"))


def test_every_coding_is_read_and_one_observation_counts_once(tmp_path: Path) -> None:
    server = one()
    oximetry = [coding("urn:own", "x"), coding(LOINC, "59408-5"), coding(LOINC, "2708-6")]
    server.observe("a", 2.0, oximetry, quantity(97, "%"))
    items = "http://mimic.mit.edu/fhir/mimic/CodeSystem/mimic-outputevents-d-items"
    server.observe("a", 3.0, [coding(LOINC, "9187-6"), coding(items, "226559")], quantity(50, "mL"))
    server.observe("a", 4.0, [coding(LOINC, "2708-6")], quantity(95, "%"))
    found = values(read(server.write(tmp_path / "a")))
    assert found[1:] == [(2.0, "spo2", 97.0), (3.0, "urine", 50.0), (4.0, "spo2", 95.0)]


def test_blood_pressure_is_a_panel_of_components(tmp_path: Path) -> None:
    server = one()
    parts = [
        {"code": {"coding": [coding(LOINC, code)]}, "valueQuantity": quantity(value, "mm[Hg]")}
        for code, value in (("8480-6", 120), ("8462-4", 70), ("76215-3", 130))
    ]
    server.observe("a", 2.0, "85354-9", component=parts)
    found = values(read(server.write(tmp_path / "a")))
    assert found[1:] == [(2.0, "dbp_ni", 70.0), (2.0, "sbp_art", 130.0), (2.0, "sbp_ni", 120.0)]


def test_recorded_units_decide_and_unknown_ones_are_counted(tmp_path: Path) -> None:
    server = one()
    server.observe("a", 2.0, "8310-5", quantity(98.6, "[degF]"))
    server.observe("a", 3.0, "8310-5", quantity(38.2, "Cel"))
    server.observe("a", 4.0, "29463-7", quantity(154.3, "[lb_av]"))
    server.observe("a", 5.0, "2160-0", quantity(88.42, "umol/L"))
    server.observe("a", 6.0, "2160-0", quantity(1.0, "furlong"))
    server.observe("a", 7.0, "8310-5", {"value": 37.0})
    found = read(server.write(tmp_path / "a"))
    assert values(found)[1:] == [
        (2.0, "temperature", 37.0),
        (3.0, "temperature", 38.2),
        (4.0, "weight", 69.989),
        (5.0, "creatinine", 1.0),
    ]
    assert found.facts["values_unknown_unit_in_all_adult_stays"] == 1
    assert found.facts["values_no_unit_in_all_adult_stays"] == 1


def test_limits_errors_and_values_without_a_number(tmp_path: Path) -> None:
    server = one()
    server.observe("a", 2.0, "6598-7", {**quantity(0.01, "ng/mL"), "comparator": "<"})
    server.observe("a", 3.0, "8867-4", quantity(200, "/min"), status="entered-in-error")
    server.observe("a", 4.0, "8867-4", dataAbsentReason={"coding": [coding("x", "unknown")]})
    server.observe("a", 5.0, "9268-4", valueInteger=6)
    server.observe("a", 6.0, "9279-1", valueString=" 18 ")
    found = read(server.write(tmp_path / "a"))
    assert values(found)[1:] == [
        (2.0, "troponin_t", 0.01),
        (5.0, "gcs_motor", 6.0),
        (6.0, "resp_rate", 18.0),
    ]
    assert found.facts["values_censored_in_all_adult_stays"] == 1
    assert found.facts["values_no_number_in_all_adult_stays"] == 1


def test_words_of_the_verbal_response_alone_tell_of_a_tube(tmp_path: Path) -> None:
    server = one()
    server.observe("a", 2.0, "9270-0", {"value": 1})
    server.observe("a", 3.0, "9270-0", valueString="1")
    server.observe("a", 4.0, "9270-0", valueCodeableConcept={"text": "No Response-ETT"})
    assert values(read(server.write(tmp_path / "a")))[1:] == [
        (2.0, "gcs_verbal", 1.0),
        (3.0, "gcs_verbal", 1.0),
        (4.0, "intubated", 1.0),
    ]


def test_nothing_from_outside_the_window_enters(tmp_path: Path) -> None:
    server = one()
    for hour in (-1.0, 48.5, 71.0):
        server.observe("a", hour, "8867-4", quantity(190, "/min"))
    server.observe("a", -20.0, "8302-2", quantity(170, "cm"))
    found = values(read(server.write(tmp_path / "a")))
    assert found == [(0.0, "height", 170.0), (1.0, "heart_rate", 80.0)]


def test_as_known_needs_the_time_at_which_a_value_was_issued(tmp_path: Path) -> None:
    server = one()
    server.observe("a", 47.0, "8867-4", quantity(90, "/min"), stored=49.0)
    late = server.observe("a", 46.0, "8867-4", quantity(91, "/min"))
    del late["issued"]
    folder = server.write(tmp_path / "a")
    assert len(read(folder).events) == 3
    assert values(read(folder, as_known=True)) == [(1.0, "heart_rate", 80.0)]


def ward_of_outcomes() -> Server:
    server = Server()
    dead = (BASE_DAY_4, at(80.0), "2150-03-20", None, BASE_DAY_4)
    said = ("exp", None, None, None, "home")
    for key, day, disposition in zip("abcde", dead, said, strict=True):
        server.person(key, **({"deceasedDateTime": day} if day else {}))
        server.stay(key, disposition=disposition)
        server.observe(key, 1.0, "8867-4", quantity(80, "/min"))
    return server


BASE_DAY_4 = "2150-03-05"


def test_death_is_the_disposition_or_lies_within_the_stay(tmp_path: Path) -> None:
    found = read(ward_of_outcomes().write(tmp_path / "a"))
    assert found.stays.sort("patient")["died"].to_list() == [1, 1, None, None, 0]


def test_discharges_in_unknown_words_are_refused(tmp_path: Path) -> None:
    server = one()
    server.person("b", deceasedDateTime=at(60.0))
    server.stay("b", disposition="X9")
    with pytest.raises(PrivauditError, match="no discharge from hospital says"):
        read(server.write(tmp_path / "a"))


def test_a_patient_dead_before_the_window_ends_is_left_out(tmp_path: Path) -> None:
    server = one()
    server.person("b", deceasedDateTime=at(30.0))
    server.stay("b", disposition="exp")
    found = read(server.write(tmp_path / "a"))
    assert found.flow[-1].excluded_stays == 1
    assert len(found.stays) == 1


@pytest.mark.parametrize(
    ("born", "age"),
    [("2100-03-02", 49), ("2100-03-01", 50), ("2100-04", 49), ("2100", 50), ("2050-01-01", 91)],
)
def test_ages_are_whole_years_and_old_ones_are_one(tmp_path: Path, born: str, age: int) -> None:
    server = Server()
    server.person("a", born)
    server.stay("a")
    server.observe("a", 1.0, "8867-4", quantity(80, "/min"))
    assert read(server.write(tmp_path / "a")).stays["age"].to_list() == [age]


def test_children_and_patients_without_a_birthday_are_left_out(tmp_path: Path) -> None:
    server = one()
    for key, born in (("b", "2132-03-02"), ("c", "unknown")):
        server.person(key, born)
        server.stay(key)
    found = read(server.write(tmp_path / "a"))
    assert [(s.step, s.stays) for s in found.flow][2] == (
        "age at admission to the ICU 18 or more",
        1,
    )


def test_stays_from_the_places_of_one_encounter(tmp_path: Path) -> None:
    """Rows of one stay are joined; a ward between two of them ends it."""
    server = Server()
    server.person("a")
    places = (
        ("ward", -10.0, 0.0),
        ("icu", 0.0, 30.0),
        ("sicu", 30.0, 70.0),
        ("ward", 70.0, 90.0),
        ("icu", 90.0, 95.0),
    )
    server.encounter("h", "a", -10.0, 100.0, places=places)
    server.observe("a", 1.0, "8867-4", quantity(80, "/min"))
    found = read(server.write(tmp_path / "a"), cohort="all_stays")
    assert [step.stays for step in found.flow[:2]] == [2, 2]
    assert found.stays["los_days"].to_list() == pytest.approx([70 / 24])


def test_a_place_is_intensive_care_by_its_type_too(tmp_path: Path) -> None:
    server = Server()
    server.place("b4", "Building 4", role="ICU")
    server.place("sd", "Neuro Step-Down Unit (former ICU)")
    server.person("a")
    server.encounter("h", "a", -1.0, 90.0, places=(("sd", -1.0, 0.0), ("b4", 0.0, 60.0)))
    server.observe("a", 1.0, "8867-4", quantity(80, "/min"))
    found = read(server.write(tmp_path / "a"))
    assert found.stays.select("unit", "los_days").rows() == [("other", 2.5)]


def test_organisations_are_sites_without_their_names(tmp_path: Path) -> None:
    server = Server()
    for i in range(60):
        key = f"p{i:02}"
        server.person(key)
        provider = {"reference": f"Organization/{'secret-a' if i % 2 else 'secret-b'}"}
        server.stay(key, serviceProvider=provider)
        server.observe(key, 1.0, "8867-4", quantity(80, "/min"))
    found = read(server.write(tmp_path / "a"))
    assert found.sites == ("hospital 1", "hospital 2", "other")
    assert "secret" not in repr((found.sites, found.notes, found.facts, found.flow))


def test_readmission_within_30_days(tmp_path: Path) -> None:
    server = one()
    server.stay("a", start=500.0)
    server.stay("a", start=2000.0)
    found = read(server.write(tmp_path / "a"), cohort="all_stays")
    assert found.stays.sort("stay")["readmitted"].sum() == 1


def test_linked_records_are_one_person(tmp_path: Path) -> None:
    server = Server()
    for key, other in (("z", "m"), ("m", "a"), ("a", None), ("b", "unknown")):
        link = [{"other": {"reference": f"Patient/{other}"}, "type": "replaced-by"}]
        born = {"gender": None, "birthDate": None} if key == "z" else {}
        server.person(key, **born, **({"link": link} if other else {}))
        server.stay(key, start=100.0 * "zmab".index(key))
        server.observe(key, 1.0 + 100.0 * "zmab".index(key), "8867-4", quantity(80, "/min"))
    folder = server.write(tmp_path / "a")
    everything = read(folder, cohort="all_stays")
    assert [everything.flow[0].stays, everything.flow[0].patients] == [4, 2]
    assert len(everything.events) == 4
    first = read(folder)
    assert first.stays.select("age", "sex").rows() == [(60.0, "F"), (60.0, "F")]


def test_a_hospitals_own_codes(tmp_path: Path) -> None:
    server = one()
    server.observe("a", 2.0, [coding("urn:house", "HF")], quantity(77, "/min"))
    server.observe("a", 3.0, "8867-4", quantity(78, "/min"))
    own = tmp_path / "own.csv"
    own.write_text(f"variable,system,code,unit\nheart_rate,urn:house,HF,bpm\n,{LOINC},8867-4,\n")
    found = read(server.write(tmp_path / "a"), codes=own)
    assert values(found) == [(2.0, "heart_rate", 77.0)]


def complaint(folder: Path) -> str:
    with pytest.raises(PrivauditError) as caught:
        read(folder)
    said = str(caught.value)
    assert not any(word in said for word in ("o0", "4711", str(folder)))
    return said


def test_refusals(tmp_path: Path) -> None:
    folder = one().write(tmp_path / "a")
    (folder / "Observation.ndjson").unlink()
    assert "no file of the type Observation" in complaint(folder)
    folder = one().write(tmp_path / "b")
    with (folder / "Observation.ndjson").open("a") as file:
        file.write('{"resourceType": "Observation", "valueQuantity": {"value": "4711"}}\n')
    assert "cannot be read" in complaint(folder)
    folder = one().write(tmp_path / "c", "{}.ndjson.gz")
    whole = (folder / "Observation.ndjson.gz").read_bytes()
    (folder / "Observation.ndjson.gz").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in complaint(folder)
    twice = one()
    twice.person("a")
    assert "repeated" in complaint(twice.write(tmp_path / "d"))
    nowhere = one()
    nowhere.files["Location"] = [{"resourceType": "Location", "id": "icu", "name": "Room 4711"}]
    assert "no stay in intensive care" in complaint(nowhere.write(tmp_path / "e"))


def test_days_without_times_are_refused_and_told_where_some_are(tmp_path: Path) -> None:
    some = one()
    some.observe("a", 2.0, "8867-4", quantity(81, "/min"))["effectiveDateTime"] = "2150-03-01"
    found = read(some.write(tmp_path / "c"))
    assert values(found) == [(1.0, "heart_rate", 80.0)]
    assert "Observations with a date alone are left out." in found.notes
    server = one()
    server.files["Observation"][0]["effectiveDateTime"] = "2150-03-02"
    assert "dates without times" in complaint(server.write(tmp_path / "a"))
    stays = one()
    for encounter in stays.files["Encounter"]:
        encounter["period"] = {side: day[:10] for side, day in encounter["period"].items()}
    assert "dates and no times" in complaint(stays.write(tmp_path / "b"))


def test_what_doctor_prints(tmp_path: Path) -> None:
    found = recognise(one().write(tmp_path / "a")).check()
    assert found["resources of Observation"] == "1 in 1 file(s)"
    assert found["stays in intensive care"] == "1"


def test_a_folder_with_signs_of_a_pattern_is_read_and_no_other(tmp_path: Path) -> None:
    other = Server()
    other.person("b", born="2070-03-01")
    other.stay("b")
    other.observe("b", 1.0, "8867-4", quantity(99, "/min"))
    other.write(tmp_path / "ab")
    found = read(one().write(tmp_path / "[a]b"))
    assert values(found) == [(1.0, "heart_rate", 80.0)]
    assert found.stays["age"].to_list() == [60.0]
    assert values(read(one().write(tmp_path / "a* ?{b}"))) == [(1.0, "heart_rate", 80.0)]


@pytest.mark.parametrize("offset", ["+00:00", "-0700", "+05:30"])
def test_values_on_a_clock_hours_away_are_refused(tmp_path: Path, offset: str) -> None:
    server = one()
    server.observe("a", 2.0, "8867-4", quantity(90, "/min"), offset=offset)
    with pytest.raises(PrivauditError, match="another clock"):
        read(server.write(tmp_path / "a"))


def test_summer_and_winter_time_are_one_clock(tmp_path: Path) -> None:
    server = one()
    server.observe("a", 2.0, "8867-4", quantity(90, "/min"), offset="-04:00")
    assert values(read(server.write(tmp_path / "a"))) == [
        (1.0, "heart_rate", 80.0),
        (2.0, "heart_rate", 90.0),
    ]


def test_a_time_of_issue_on_a_clock_hours_away_is_not_known(tmp_path: Path) -> None:
    server = one()
    # by the clock of the place 57 hours after the start, and 47 as it is written
    server.observe("a", 2.0, "8867-4", quantity(90, "/min"), issued=at(47, "-15:00"))
    found = read(server.write(tmp_path / "a"), as_known=True)
    assert values(found) == [(1.0, "heart_rate", 80.0)]


def test_a_hospital_stay_on_two_clocks_is_refused(tmp_path: Path) -> None:
    server = Server()
    server.person("a")
    server.encounter("h", "a", -10, 90, offset="+00:00")
    server.encounter("i", "a", 0, 72, inside="h", places=(("icu", 0, 72),))
    server.observe("a", 1.0, "8867-4", quantity(80, "/min"))
    with pytest.raises(PrivauditError, match="more than an hour apart"):
        read(server.write(tmp_path / "a"))


def test_places_on_another_clock_than_their_encounter_are_refused(tmp_path: Path) -> None:
    server = Server()
    server.person("a")
    stay = server.encounter("h", "a", -10, 90, places=(("icu", 0, 72),))
    stay["location"][0]["period"] = {"start": at(0, "+00:00"), "end": at(72, "+00:00")}
    server.observe("a", 1.0, "8867-4", quantity(80, "/min"))
    with pytest.raises(PrivauditError, match="more than an hour apart"):
        read(server.write(tmp_path / "a"))


def _two(first: object, second: object) -> Server:
    """Two records of Patient, each with a stay of its own."""
    server = Server()
    for key, identifier in (("a", first), ("b", second)):
        server.person(key, identifier=identifier)
        server.stay(key, start=0.0 if key == "a" else 2000.0)
        server.observe(key, 1.0 if key == "a" else 2001.0, "8867-4", quantity(80, "/min"))
    return server


def test_patients_with_one_identifier_are_one_person(tmp_path: Path) -> None:
    mrn = [{"system": "urn:mrn", "value": "7"}]
    server = _two([*mrn, {"system": "urn:card", "value": "1"}], mrn)
    found = read(server.write(tmp_path / "a"), cohort="all_stays")
    assert found.stays["patient"].n_unique() == 1
    assert values(found) == [(1.0, "heart_rate", 80.0)] * 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"system": "urn:mrn", "value": "7"}, {"system": "urn:mrn", "value": "8"}),
        ({"system": "urn:mrn", "value": "7"}, {"system": "urn:other", "value": "7"}),
        ({"value": "7"}, {"value": "7"}),
        ({"system": "urn:mrn", "value": " "}, {"system": "urn:mrn", "value": " "}),
        ({"system": "urn:mrn"}, {"system": "urn:mrn"}),
    ],
)
def test_patients_without_a_common_identifier_are_two(
    tmp_path: Path, first: object, second: object
) -> None:
    found = read(_two([first], [second]).write(tmp_path / "a"), cohort="all_stays")
    assert found.stays["patient"].n_unique() == 2


def test_a_stand_in_for_an_identifier_joins_nobody(tmp_path: Path) -> None:
    unknown = [{"system": "urn:mrn", "value": "unknown"}]
    server = _two(unknown, unknown)
    for i in range(5):
        server.person(f"c{i}", identifier=unknown)
    found = read(server.write(tmp_path / "a"), cohort="all_stays")
    assert found.stays["patient"].n_unique() == 2
