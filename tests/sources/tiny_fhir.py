"""A small hospital as a FHIR R4 server exports it."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

BASE = datetime(2150, 3, 1, 12, 0, 0)
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
Resource = dict[str, Any]


def at(hours: float, offset: str = "-05:00") -> str:
    return (BASE + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S") + offset


def coding(system: str, code: str) -> Resource:
    return {"system": system, "code": code, "display": f"what {code} means"}


def quantity(value: float, unit: str) -> Resource:
    return {"value": value, "unit": unit, "code": unit, "system": UCUM}


class Server:
    """Resources to be filled stay by stay; hours count from BASE."""

    def __init__(self) -> None:
        self.files: dict[str, list[Resource]] = defaultdict(list)
        self.place("ward", "General ward 3")
        self.place("icu", "Medical Intensive Care Unit (MICU)")
        self.place("sicu", "Surgical ICU")

    def add(self, kind: str, resource: Resource) -> Resource:
        self.files[kind].append({"resourceType": kind, **resource})
        return self.files[kind][-1]

    def place(self, key: str, name: str, role: str = "") -> None:
        typed = [{"coding": [coding("http://hl7/RoleCode", role)]}] if role else []
        self.add("Location", {"id": key, "name": name, "type": typed})

    def person(self, key: str, born: str = "2090-03-01", **more: Any) -> None:
        self.add("Patient", {"id": key, "gender": "female", "birthDate": born, **more})

    def encounter(
        self,
        key: str,
        person: str,
        start: float,
        end: float | None,
        *,
        inside: str | None = None,
        places: tuple[tuple[str, float, float], ...] = (),
        disposition: str | None = "home",
        offset: str = "-05:00",
        **more: object,
    ) -> Resource:
        period = {"start": at(start, offset)} | ({} if end is None else {"end": at(end, offset)})
        resource: Resource = {
            "id": key,
            "status": "finished",
            "subject": {"reference": f"Patient/{person}"},
            "period": period,
            "priority": {"coding": [coding("ActPriority", "EM")]},
            "location": [
                {
                    "location": {"reference": f"Location/{place}"},
                    "period": {"start": at(a, offset), "end": at(b, offset)},
                }
                for place, a, b in places
            ],
            **more,
        }
        if inside:
            resource["partOf"] = {"reference": f"Encounter/{inside}"}
        elif disposition:
            resource["hospitalization"] = {
                "dischargeDisposition": {"coding": [coding("disposition", disposition)]}
            }
        return self.add("Encounter", resource)

    def stay(self, person: str, *, start: float = 0.0, los: float = 72.0, **more: Any) -> None:
        """A hospital stay from 10 hours before to 20 hours after a stay in intensive care."""
        hospital = f"h-{person}-{start:g}"
        self.encounter(hospital, person, start - 10, start + los + 20, **more)
        self.encounter(
            f"i-{person}-{start:g}",
            person,
            start,
            start + los,
            inside=hospital,
            places=(("icu", start, start + los),),
        )

    def observe(
        self,
        person: str,
        hour: float,
        codes: str | list[Resource],
        value: Resource | None = None,
        *,
        offset: str = "-05:00",
        stored: float | None = None,
        **more: object,
    ) -> Resource:
        listed = [coding(LOINC, codes)] if isinstance(codes, str) else codes
        resource: Resource = {
            "id": f"o{len(self.files['Observation'])}",
            "status": "final",
            "subject": {"reference": f"Patient/{person}"},
            "code": {"coding": listed},
            "effectiveDateTime": at(hour, offset),
            "issued": at(hour + 0.2 if stored is None else stored, offset),
            **more,
        }
        if value is not None:
            resource["valueQuantity"] = value
        return self.add("Observation", resource)

    def write(self, folder: Path, form: str = "{}.ndjson") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for kind, rows in self.files.items():
            text = "".join(json.dumps(row) + "\n" for row in rows).encode()
            path = folder / form.format(kind)
            path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
        return folder
