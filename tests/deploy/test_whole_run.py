"""Real hospitals and a real coordinator in memory, from the first greeting to the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from deploy.hospital_lab import NAMES, Lab

from pipelines.deploy.coordinator import Coordinator
from pipelines.deploy.finish import finish_run
from pipelines.deploy.homes import CoordinatorHome
from pipelines.deploy.hospital import Hospital
from pipelines.deploy.journal import Journal
from pipelines.deploy.messages import Body
from pipelines.deploy.wire import Answers
from privaudit.engine.folder import read
from privaudit.errors import PrivauditError
from privaudit.results import Finding


class Memory:
    """Asks hospitals in this process."""

    def __init__(self, hospitals: Mapping[str, Hospital]) -> None:
        self.hospitals = dict(hospitals)

    def present(self) -> tuple[str, ...]:
        return tuple(self.hospitals)

    def ask(self, kind: str, questions: Mapping[str, Body], timeout: float) -> Answers:
        came: dict[str, Body] = {}
        missing: dict[str, str] = {}
        for name, body in questions.items():
            try:
                came[name] = self.hospitals[name].answer(kind, body)
            except PrivauditError:
                missing[name] = "refused"
        return Answers(came, missing)


@pytest.mark.parametrize(
    ("method", "protection"),
    [
        ("federated", ""),
        pytest.param("federated_secure", "secure_sum", marks=pytest.mark.slow),
        pytest.param("federated_encrypted", "encrypted_sum", marks=pytest.mark.slow),
        pytest.param("federated_trees", "", marks=pytest.mark.slow),
    ],
)
def test_a_run_ends_with_a_report(tmp_path: Path, method: str, protection: str) -> None:
    settings = ("federated_trees.rounds=2",) if method == "federated_trees" else ()
    lab = Lab(tmp_path / "lab", 150)
    terms = lab.terms(method, *settings)
    home = CoordinatorHome(tmp_path / "coordinator")
    folder = home.run(terms.run)
    Coordinator(terms, folder, Memory(lab.all(terms)), Journal(folder / "journal.jsonl"), 5.0).run()
    made = read(finish_run(home, terms).parent.parent)
    assert made.federation is not None
    assert made.federation.protection == protection
    assert all(site.graded and site.consented for site in made.federation.sites)
    (subject,) = made.subjects
    found = {o.attack: o for o in subject.outcomes if isinstance(o, Finding)}
    assert {g.level for g in found["threshold"].groups} == set(NAMES)
    assert subject.utility[0].metric.name == "auroc"
    if method == "federated_trees":
        assert "gradient_inversion" not in found
        return
    assert found["gradient_inversion"].estimates[0].value is not None
    assert {part.kind for site in made.federation.sites for part in site.traffic} >= {"train"}
