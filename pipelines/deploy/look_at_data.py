"""A hospital's records opened in a process of its own: the memory that it takes goes back, and a
limit on its time holds whatever it waits for.

    python -m pipelines.deploy.look_at_data DIR
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.deploy.homes import HospitalHome
from pipelines.deploy.terms import RunTerms
from privaudit.errors import PrivauditError


@dataclass(frozen=True)
class Seen:
    """What was found: the fingerprint of the columns, how many patients would be trained on, and
    how many it takes."""

    task: str
    schema: str
    patients: int
    least: int


def terms_of_no_run(said: Mapping[str, Any]) -> RunTerms:
    """Terms to open the records by, before there is a run.

    Args:
        said: hospital.toml.
    """
    task = str(said.get("data", {}).get("task", "task"))
    return RunTerms("preflight", task, "federated", tuple(said["hospitals"]))


def look_at_data(home: HospitalHome, seconds: float) -> Seen:
    """Open the records in another process, which answers with numbers alone.

    Raises:
        PrivauditError: As the task raises it; or the process took too long, or died.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.deploy.look_at_data", str(home.root)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
            umask=0o077,
        )
        answer = json.loads(done.stdout.decode().splitlines()[-1])
        if "what" in answer:
            raise PrivauditError(answer["what"], answer["because"], answer["fix"])
        return Seen(**answer)
    except subprocess.TimeoutExpired:
        raise PrivauditError(
            f"records that did not open within {seconds:.0f} s",
            "the disk or a database does not answer, or there are very many",
            "give --cache, and run the same command again: what was read is kept",
        ) from None
    except (ValueError, TypeError, IndexError, KeyError):
        raise PrivauditError(
            "a process that opens the records and ended without an answer",
            "it had too little memory, or met an error that nothing expects",
            "free memory; `privaudit run` of the same task on the same records shows the error",
        ) from None


def main(folder: str) -> int:
    """Print what is found, or why nothing is, as a line of JSON."""
    from pipelines.deploy.site_data import open_data

    home = HospitalHome(Path(folder))
    try:
        terms = terms_of_no_run(home.read())
        made = open_data(home, terms)
    except PrivauditError as error:
        answer: dict[str, Any] = {"what": error.what, "because": error.because, "fix": error.fix}
    else:
        answer = {
            "task": terms.task,
            "schema": made.schema,
            "patients": int(made.exact_patients),
            "least": int(made.least),
        }
    print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))


__all__ = ["Seen", "look_at_data", "terms_of_no_run"]
