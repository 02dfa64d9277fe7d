"""What status says of journals whose numbers are known, and of files that say anything at all."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path

import pytest
from deploy import written as w
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.deploy.homes import CoordinatorHome, HospitalHome
from pipelines.deploy.journal import Event, Journal
from pipelines.deploy.pages.chart import draw_losses
from pipelines.deploy.pages.facts import CoordinatorStatus, HospitalStatus, RunStatus
from pipelines.deploy.pages.follow import LONGEST_LINE, Follower
from pipelines.deploy.pages.render import render_status
from pipelines.deploy.status import StatusReader, find_home, read_status, render_text, to_json
from privaudit.errors import PrivauditError

# --- the coordinator ----------------------------------------------------------------------------


def read_run(folder: Path, events: list | None = None, now: float = w.NOW) -> RunStatus:
    status = StatusReader(w.make_coordinator(folder, events)).read(now)
    assert isinstance(status, CoordinatorStatus)
    return status.runs[0]


def test_a_run_adds_up(tmp_path: Path) -> None:
    run = read_run(tmp_path, now=w.START + 140)
    assert (run.run, run.stage, run.round, run.rounds) == ("first", "training", 12, 20)
    assert run.terms is not None
    assert run.terms.task == "mortality"
    assert run.terms.protection == "secure_sum"
    assert run.terms.fingerprint == w.make_terms().fingerprint
    # Eight rounds of three hospitals, three of two, one of one: 31 answers of 1,000 bytes.
    assert (run.bytes_up, run.bytes_down) == (31_000, 15_500)
    assert run.losses == tuple((i, pytest.approx(0.7 - i / 50)) for i in range(12))
    assert run.seconds == pytest.approx(1.55)
    assert (run.started, run.heard) == (w.START, w.START + 130)
    assert (run.recovered, run.idle, run.segments, run.unreadable) == (1, 0, 1, 0)
    assert not run.silent


def test_each_hospital_is_in_the_state_that_the_journal_says(tmp_path: Path) -> None:
    sites = {site.name: site for site in read_run(tmp_path).sites}
    assert list(sites) == ["east", "north", "south", "west"]
    east, north, south, west = sites.values()
    assert (east.condition, east.rounds, east.last, east.clipped) == ("ready", 12, 11, 1)
    assert (north.condition, north.since, north.unanswered) == ("lost", w.START + 98, 4)
    assert (south.condition, south.since, south.refused) == ("gate_refused", w.START + 129, 1)
    assert south.why == "values that are not finite"
    assert (west.condition, west.since, west.rounds) == ("pending", w.START + 4, 0)


def test_few_patients_are_withheld(tmp_path: Path) -> None:
    home = w.make_coordinator(tmp_path)
    patients = {site.name: site.patients for site in read_status(home).runs[0].sites}
    assert patients == {"east": 740, "north": None, "south": 10, "west": None}
    assert '"patients": 9' not in to_json(read_status(home))


@pytest.mark.parametrize(
    ("more", "condition"),
    [
        ([w.event(200, "late", hospital="east", kind="train")], "late"),
        ([w.event(200, "withdrawn", hospital="east")], "withdrawn"),
        ([w.event(200, "hello", hospital="east", state="too_few")], "too_few"),
        ([w.event(200, "hello", hospital="east", state="refused")], "terms_refused"),
        ([w.event(200, "alarm", hospital="east", what="other_build")], "unfit"),
        (
            [
                w.event(200, "no_answer", hospital="east", kind="train"),
                w.event(210, "back", hospital="east"),
            ],
            "ready",
        ),
        (
            [
                w.event(200, "withdrawn", hospital="east"),
                w.event(210, "hello", hospital="east", state="ready", patients=740),
            ],
            "ready",
        ),
        # Lost, then withdrawn: it says itself why it does not answer.
        (
            [
                w.event(200, "no_answer", hospital="east", kind="train"),
                w.event(210, "withdrawn", hospital="east"),
            ],
            "withdrawn",
        ),
    ],
)
def test_conditions(tmp_path: Path, more: list, condition: str) -> None:
    run = read_run(tmp_path, w.list_events() + more)
    assert next(site for site in run.sites if site.name == "east").condition == condition


def test_a_refused_update_is_forgiven_when_the_next_one_counts(tmp_path: Path) -> None:
    run = read_run(tmp_path, [*w.list_events(), w.make_round(12, ["east", "south"])])
    south = next(site for site in run.sites if site.name == "south")
    assert (south.condition, south.refused) == ("ready", 1)


def test_stages(tmp_path: Path) -> None:
    begin = w.list_events()[:5]
    rounds = [w.make_round(i, ["east", "north", "south"]) for i in range(20)]
    assert read_run(tmp_path / "a", begin).stage == "waiting"
    assert read_run(tmp_path / "b", begin + rounds[:19]).stage == "training"
    assert read_run(tmp_path / "c", begin + rounds).stage == "grading"
    stopped = read_run(tmp_path / "d", [*begin, w.event(9, "stopped", why="too_few")])
    assert (stopped.stage, stopped.why, stopped.ended) == ("stopped", "too_few", w.START + 9)
    again = [w.event(10, "resumed", round=0), w.event(10, "started", hospitals=[], segment=1)]
    resumed = read_run(tmp_path / "e", [*begin, w.event(9, "stopped", why="stop"), *again])
    assert (resumed.stage, resumed.segments) == ("waiting", 2)
    done = read_run(tmp_path / "f", begin + rounds + [w.event(300, "done", rounds=20, seconds=9)])
    assert (done.stage, done.ended, done.silent) == ("done", w.START + 300, False)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"why": "too_few"}, "stopped (too few hospitals were ready in time)"),
        ({"why": "fault", "what": "KeyError"}, "stopped (by a fault of the program"),
        (
            {"why": "error", "what": "a run whose state is cut"},
            "stopped (a run whose state is cut)",
        ),
        ({"why": "error", "what": "no file /srv/x.npz here"}, "stopped (no file … here)"),
        ({"why": "some_new_code"}, "stopped (some new code)"),
        ({}, "Run first: stopped\n"),
    ],
)
def test_why_a_run_stopped(tmp_path: Path, line: dict, said: str) -> None:
    home = w.make_coordinator(tmp_path, [w.event(0, "started"), w.event(9, "stopped", **line)])
    assert said in render_text(read_status(home))


def test_a_try_with_too_few_is_no_round(tmp_path: Path) -> None:
    idle = [w.event(200 + i, "idle", round=12, hospitals=["east"]) for i in range(5)]
    run = read_run(tmp_path, w.list_events() + idle)
    assert (run.round, run.idle) == (12, 5)


def test_a_run_that_stopped_writing_is_not_called_well(tmp_path: Path) -> None:
    home = w.make_coordinator(tmp_path)
    reader = StatusReader(home)
    assert not reader.read(w.START + 130 + 300).runs[0].silent
    late = reader.read(w.START + 130 + 400)
    assert late.runs[0].silent
    assert "Nothing was written for" in render_text(late)


def test_each_line_is_read_once_and_new_ones_are_found(tmp_path: Path) -> None:
    home = w.make_coordinator(tmp_path, w.list_events()[:5])
    reader = StatusReader(home)
    assert reader.read(w.NOW).runs[0].round == 0
    path = home.run("first") / "journal.jsonl"
    line = json.dumps(w.make_round(0, ["east", "north", "south"])).encode()
    with path.open("ab") as file:
        file.write(line[:40])
    assert reader.read(w.NOW).runs[0].round == 0, "half a line"
    with path.open("ab") as file:
        file.write(line[40:] + b"\n")
    for _ in range(3):
        run = reader.read(w.NOW).runs[0]
        assert (run.round, run.bytes_up, run.unreadable) == (1, 3000, 0)


def test_a_line_that_a_crash_cut_is_left_out(tmp_path: Path) -> None:
    home = w.make_coordinator(tmp_path)
    path = home.run("first") / "journal.jsonl"
    with path.open("ab") as file:
        file.write(b'{"t": 1790000200.0, "event": "rou')
    Journal(path).write(Event.DONE, rounds=20, seconds=1.0)
    run = read_status(home).runs[0]
    assert (run.stage, run.round, run.unreadable) == ("done", 12, 1)


def test_a_journal_that_begins_anew_is_not_counted_twice(tmp_path: Path) -> None:
    home = w.make_coordinator(tmp_path)
    reader = StatusReader(home)
    assert reader.read(w.NOW).runs[0].bytes_up == 31_000
    path = home.run("first") / "journal.jsonl"
    path.rename(path.with_suffix(".old"))
    w.write_lines(path, [w.make_round(0, ["east"])])
    assert reader.read(w.NOW).runs[0].bytes_up == 1000


def test_rounds_by_default_are_those_of_the_method(tmp_path: Path) -> None:
    home = w.make_coordinator(tmp_path)
    for method, rounds, protection in (
        ("federated", 20, "none"),
        ("federated_trees", 40, "trees"),
        ("federated_private", 20, "patient_noise"),
        ("federated_encrypted", 20, "encrypted_sum"),
    ):
        terms = w.make_terms(method=method, settings=())
        (home.run("first") / "terms.json").write_text(terms.text)
        found = read_status(home).runs[0].terms
        assert found is not None
        assert (found.rounds, found.protection) == (rounds, protection)


# --- a hospital ---------------------------------------------------------------------------------


def test_what_left_adds_up(tmp_path: Path) -> None:
    status = read_status(w.make_hospital(tmp_path))
    assert isinstance(status, HospitalStatus)
    assert (status.name, status.coordinator) == ("east", "fed.example:8002")
    assert (status.messages, status.bytes) == (7, 15 + 3 * 70_300)
    first = next(run for run in status.runs if run.run == "first")
    assert (first.state, first.uncovered, first.messages) == ("given", 0, 7)
    assert {one.name: (one.messages, one.bytes) for one in first.kinds} == {
        "hello": (1, 15),
        "mask_keys": (3, 900),
        "masked": (3, 210_000),
    }
    assert [(one.name, one.messages, one.bytes) for one in first.rounds] == [
        (str(i), 2, 70_300) for i in range(3)
    ]
    assert first.latest[0].kind == "masked"
    assert first.last == w.START + 22


def test_a_run_without_consent_is_asked_for_first(tmp_path: Path) -> None:
    status = read_status(w.make_hospital(tmp_path))
    assert [(run.run, run.state) for run in status.runs] == [
        ("second", "asked"),
        ("first", "given"),
    ]
    assert "privaudit federation join DIR --consent second" in render_text(status)
    assert "--consent first" not in render_text(status)


def test_what_left_without_consent_is_said(tmp_path: Path) -> None:
    """A greeting that states no count may leave; everything else needs a consent at that time."""
    home = w.make_hospital(tmp_path, consented=False)
    first = next(run for run in read_status(home).runs if run.run == "first")
    assert (first.state, first.uncovered) == ("asked", 6)
    assert "6 messages left although no consent" in render_text(read_status(home))


@pytest.mark.parametrize(
    ("line", "uncovered"),
    [
        (w.left(30, "hello", -1, 15), 0),
        (w.left(30, "hello", -1, 400), 1),
        (w.left(30, "train", 5, 0) | {"why": "no_consent"}, 0),
        (w.left(30, "train", 5, 9000) | {"why": "no_consent"}, 1),
        (w.left(30, "train", 5, 9000), 1),
    ],
)
def test_what_needs_consent(tmp_path: Path, line: dict, uncovered: int) -> None:
    home = w.make_hospital(tmp_path)
    w.write_consent(home, withdrawn_at=w.START + 25)
    w.write_lines(home.outbox, [line])
    first = next(run for run in read_status(home).runs if run.run == "first")
    assert (first.state, first.uncovered) == ("withdrawn", uncovered)


def test_a_consent_that_was_renewed_covers_what_left_before(tmp_path: Path) -> None:
    home = w.make_hospital(tmp_path)
    w.write_consent(home, granted_at=w.START + 100)
    run = next(run for run in read_status(home).runs if run.run == "first")
    assert run.uncovered == 6
    w.write_lines(home.journal, [w.event(10, "consented", run="first", terms="x")])
    assert next(r for r in read_status(home).runs if r.run == "first").uncovered == 0
    w.write_lines(home.journal, [w.event(20.5, "withdrawn", run="first")])
    # Round 0 left at 20, before; round 1 at 21, within the second of what was on its way.
    assert next(r for r in read_status(home).runs if r.run == "first").uncovered == 2


def test_a_consent_to_other_terms_is_none(tmp_path: Path) -> None:
    home = w.make_hospital(tmp_path)
    w.write_terms(home, w.make_terms(settings=("federated_secure.rounds=200",)))
    first = next(run for run in read_status(home).runs if run.run == "first")
    assert (first.state, first.other_terms) == ("asked", True)
    assert "for other terms" in render_text(read_status(home))


def test_an_outbox_that_was_shortened_is_said(tmp_path: Path) -> None:
    home = w.make_hospital(tmp_path)
    reader = StatusReader(home)
    assert not reader.read(w.NOW).changed
    lines = home.outbox.read_bytes().splitlines(keepends=True)
    home.outbox.write_bytes(b"".join(lines[:3]))
    status = reader.read(w.NOW)
    assert status.changed
    assert status.messages == 3
    assert "shortened or replaced" in render_text(status)


def test_an_outbox_whose_end_was_rewritten_is_said(tmp_path: Path) -> None:
    home = w.make_hospital(tmp_path)
    reader = StatusReader(home)
    reader.read(w.NOW)
    old = home.outbox.read_bytes()
    home.outbox.write_bytes(old[:-200] + b" " * 100 + old[-100:] + b"{}\n")
    assert reader.read(w.NOW).changed


def test_own_audit_and_held_answers(tmp_path: Path) -> None:
    home = w.make_hospital(tmp_path)
    home.run("first").mkdir(parents=True)
    (home.run("first") / "audit.json").write_text(json.dumps({**w.AUDIT, "row": 63.5}))
    w.write_lines(home.outbox, [w.left(30, "", -1, 0, run="") | {"why": "failed"}])
    status = read_status(home)
    first = next(run for run in status.runs if run.run == "first")
    assert first.audit is not None
    assert (first.audit.verdict, first.audit.is_hidden) == ("no_leak_seen", True)
    numbers = dict(first.audit.numbers)
    assert (numbers["rebuilt.exact"], numbers["told.auroc"]) == (0.02, 0.53)
    assert first.audit.small == ("patients",)
    assert not {"patients", "told.patients", "seconds", "row"} & set(numbers)
    assert (status.codes, status.unreadable) == (1, 0)
    text = render_text(status)
    for part in (
        "2\xa0%",
        "0.53 (0.48 to 0.58)",
        "fewer than 10",
        "147 kB",
        "no more than guessing",
    ):
        assert part in text
    page = render_status(status, "/x/", None)
    assert "before it is hidden in the sum" in page
    assert "fewer than 10" in page
    assert "1 answer was held back" in text


# --- what files may hold ------------------------------------------------------------------------

DEEP = "[" * 60_000
HUGE = "9" * 400
NASTY = [
    b"\xff\xfe\x00garbage",
    "not json",
    "[]",
    "null",
    '"text"',
    DEEP,
    '{"event": ' + DEEP,
    '{"t": NaN, "event": "round", "round": NaN, "hospitals": "east", "loss": Infinity}',
    '{"t": 1e400, "event": "round", "round": 1e400, "hospitals": {"a": 1}, "bytes_up": -5}',
    f'{{"t": {HUGE}, "event": "round", "round": {HUGE}, "seconds": {HUGE}, "bytes_up": {HUGE}}}',
    '{"t": -1, "event": "hello", "hospital": null, "state": ["ready"], "patients": true}',
    '{"t": "now", "event": {"a": 1}}',
    '{"event": "alarm", "hospital": ["x"], "what": {"y": 1}}',
    '{"event": "stopped", "why": ["x"]}',
    '{"event": "refused", "hospital": "\\ud800", "why": "\\udfff"}',
    json.dumps({"event": "hello", "hospital": w.HOSTILE, "state": w.HOSTILE}),
    json.dumps({"event": "refused", "hospital": w.HOSTILE, "why": w.HOSTILE}),
    json.dumps({"event": "alarm", "hospital": w.HOSTILE, "what": w.HOSTILE}),
    json.dumps({"event": "stopped", "why": "/srv/hospital/patients.csv " + w.HOSTILE}),
    json.dumps({"event": "started", "hospitals": [w.HOSTILE, 7, None, "x" * 500] * 300}),
    "x" * (3 * LONGEST_LINE),
]


def check_harmless(text: str) -> None:
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "/srv" not in text


def test_a_hostile_journal_raises_nothing_and_shows_nothing_unescaped(tmp_path: Path) -> None:
    home = w.make_coordinator(tmp_path, [*w.list_events(), *NASTY, w.make_round(12, ["east"])])
    status = read_status(home)
    run = status.runs[0]
    assert (run.round, run.bytes_up) == (13, 32_000)
    # Eight that are no objects, and one that is too long.
    assert run.unreadable == 9
    assert all(math.isfinite(value) for _, value in run.losses)
    check_harmless(render_text(status))
    page = render_status(status, "/x/", None)
    check_harmless(page)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    json.loads(to_json(status), parse_constant=lambda name: pytest.fail(name))


def test_a_hostile_outbox_raises_nothing(tmp_path: Path) -> None:
    home = w.make_hospital(tmp_path)
    bad = [
        *NASTY,
        json.dumps(w.left(30, w.HOSTILE, -1, 5)),
        json.dumps(w.left(30, "train", 1, 5, run="../../etc")),
        json.dumps(w.left(30, "train", 1, 5, run="; rm -rf ~")),
        json.dumps(w.left(30, "train", 1, 10**30) | {"sha256": w.HOSTILE}),
    ]
    w.write_lines(home.outbox, bad)
    w.write_lines(home.journal, NASTY)
    w.write_consent(home, "third", by=w.HOSTILE, granted_at="x", rounds=[], terms=7, protection={})
    status = read_status(home)
    assert {run.run for run in status.runs} == {"first", "second", "third"}
    text, page = render_text(status), render_status(status, "/x/", None)
    check_harmless(text)
    check_harmless(page)
    assert "<script" not in page
    assert "rm -rf" not in text + page
    json.loads(to_json(status))


def test_a_withdrawal_whose_time_is_unreadable_still_ends_the_consent(tmp_path: Path) -> None:
    home = w.make_hospital(tmp_path)
    for value in ("yesterday", math.inf, -4, [], False):
        w.write_consent(home, withdrawn_at=value)
        first = next(run for run in read_status(home).runs if run.run == "first")
        assert first.state == "withdrawn", value


@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff", b"[1]", b'{"a": ' + b"[" * 90_000, b"x" * (1 << 21)]
)
def test_damaged_documents_leave_their_part_out(tmp_path: Path, content: bytes) -> None:
    coordinator, hospital = w.make_coordinator(tmp_path / "c"), w.make_hospital(tmp_path / "h")
    for path in (
        coordinator.config,
        coordinator.run("first") / "terms.json",
        hospital.config,
        hospital.consent,
        hospital.pending("first"),
    ):
        path.write_bytes(content)
    for home in (coordinator, hospital):
        status = read_status(home)
        assert status.runs
        assert render_text(status)
        assert render_status(status, "/x/", None)
        to_json(status)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    home = w.make_hospital(tmp_path)
    for path in (home.outbox, home.consent):
        path.unlink()
        os.mkfifo(path)
    home.journal.mkdir()
    # A pipe that nobody writes to would keep a reader for ever.
    assert read_status(home).messages == 0


def test_an_empty_folder(tmp_path: Path) -> None:
    for home in (CoordinatorHome(tmp_path / "none"), HospitalHome(tmp_path / "none")):
        status = read_status(home)
        assert status.runs == ()
        assert render_text(status)
        assert render_status(status, "/x/", 10)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.dictionaries(
                st.sampled_from(
                    [
                        *("t", "event", "hospital", "hospitals", "round", "run", "kind"),
                        *("bytes", "loss", "seconds", "state", "patients", "why", "what"),
                    ]
                ),
                st.one_of(
                    st.sampled_from([*map(str, Event), "first", "ready"]),
                    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
                    st.lists(st.text(max_size=3), max_size=3),
                ),
            ),
        ),
        max_size=12,
    )
)
def test_no_line_whatever_it_holds_raises(tmp_path_factory: pytest.TempPathFactory, lines) -> None:
    folder = tmp_path_factory.mktemp("any")
    coordinator = w.make_coordinator(folder / "c", lines)
    hospital = w.make_hospital(folder / "h")
    w.write_lines(hospital.outbox, lines)
    w.write_lines(hospital.journal, lines)
    for home in (coordinator, hospital):
        status = read_status(home)
        check_harmless(render_text(status))
        check_harmless(render_status(status, "/x/", None))
        json.loads(to_json(status))


def test_a_long_line_is_skipped_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "long"
    lines = Follower(path)
    for _ in range(4):
        with path.open("ab") as file:
            file.write(b"x" * LONGEST_LINE)
        assert lines.read() == (False, [])
    with path.open("ab") as file:
        file.write(b'\n{"a": 1}\n')
    assert lines.read() == (False, [{"a": 1}])
    assert lines.unreadable == 1


def test_a_long_journal_is_read_within_a_second(tmp_path: Path) -> None:
    events = [w.make_round(i, ["east", "north", "south"]) for i in range(20_500)]
    home = w.make_coordinator(tmp_path, events)
    reader = StatusReader(home)
    run = reader.read(w.NOW).runs[0]
    assert run.round == 20_500
    assert len(run.losses) == 20_000
    begin = time.process_time()
    status = reader.read(w.NOW)
    page = render_status(status, "/x/", None)
    assert time.process_time() - begin < 1.0
    assert len(page) < 100_000


@pytest.mark.parametrize(
    "losses",
    [
        [],
        [(0, 1.0)],
        [(0, 1.0), (1, 1.0)],
        [(0, 0.0), (5, 0.0)],
        [(0, 1e308), (1, -1e308), (2, 1e-300)],
        [(0, 1e12), (1, -1e12)],
        [(i, 1.0 / (i + 1)) for i in range(5000)],
    ],
)
def test_any_losses_can_be_drawn(losses: list[tuple[int, float]]) -> None:
    chart = draw_losses(losses, "run-x")
    if len([1 for _, value in losses if abs(value) <= 1e12]) < 2:
        assert chart is None
        return
    assert chart is not None
    assert "nan" not in chart.svg
    assert "inf" not in chart.svg
    assert len(chart.svg) < 20_000
    assert chart.rows[-1][0] == ("1" if len(losses) <= 200 else "4,801")


# --- the rest -----------------------------------------------------------------------------------


def test_find_home(tmp_path: Path) -> None:
    assert find_home(w.make_coordinator(tmp_path / "c").root) == CoordinatorHome(tmp_path / "c")
    assert find_home(w.make_hospital(tmp_path / "h").root) == HospitalHome(tmp_path / "h")
    with pytest.raises(PrivauditError, match=r"neither federation\.toml nor hospital\.toml"):
        find_home(tmp_path)


def test_the_words_are_those_of_the_task(tmp_path: Path) -> None:
    text = render_text(read_status(w.make_coordinator(tmp_path)))
    assert "does not answer since" in text
    assert "12 of 20" in text
    assert "masked sum" in text
    assert "promise" not in text
