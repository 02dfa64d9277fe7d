"""The document carries the words of its task, which the records' own words go before."""

from __future__ import annotations

import importlib
import pkgutil
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from toy_audit import ToyTask

import privaudit
from pipelines._bounded import ONE_STAY, PUBLIC, NoisySteps
from privaudit import attacks
from privaudit.engine import document, subjects
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode, Setting
from privaudit.inputs.user_task import UserTask
from privaudit.records import Split
from privaudit.report.wording.metrics import _OF_PEOPLE, name_setting
from privaudit.report.wording.nouns import use_words
from privaudit.words import Words

BANK = Words("customer", "customers", "branch", "branches")
SCHOOL = Words("pupil", "pupils", "school", "schools", "year", "years")


@dataclass(frozen=True)
class Loans(ToyTask):
    """A task with words of its own."""

    words: ClassVar[Words] = BANK


@pytest.mark.parametrize(
    ("task", "own", "expected"),
    [(ToyTask(), None, Words()), (Loans(), None, BANK), (Loans(), SCHOOL, SCHOOL)],
)
def test_words_reach_the_document(
    tmp_path: Path, task: ToyTask, own: Words | None, expected: Words
) -> None:
    prepared = replace(task.prepare(None, tmp_path, lambda what, share: None), words=own)
    split = Split.assign(prepared.records, np.random.default_rng(0))
    assert document.data("toy", task, prepared, split).words == expected


def test_words_of_another_kind_are_refused() -> None:
    task = UserTask("Loan", "defaulted", "")
    with pytest.raises(PrivauditError, match="words of the kind str"):
        task.using("customer")  # type: ignore[arg-type]


def test_a_session_names_the_words_of_its_report() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 3))
    y = (x[:, 0] + rng.normal(size=240) > 0).astype(int)

    def model(rows: np.ndarray) -> np.ndarray:
        return np.clip(0.5 + 0.2 * np.asarray(rows)[:, 0], 0, 1)

    found = privaudit.audit(
        model,
        (x[:120], y[:120]),
        (x[120:], y[120:]),
        event=1,
        profile="smoke",
        attacks="threshold",
        words=BANK,
        estimator=False,
        jobs=1,
        seed=1,
    )
    assert found.audit.data.words == BANK
    assert "held-out customers" in str(found)
    assert "patient" not in str(found)


def test_what_an_attack_says_of_its_control_uses_the_words_of_the_task() -> None:
    texts = {}
    for one in pkgutil.walk_packages(attacks.__path__, "privaudit.attacks."):
        module = importlib.import_module(one.name)
        texts |= {
            f"{one.name}.{name}": value
            for name, value in vars(module).items()
            if name.isupper() and isinstance(value, str) and " " in value
        }
    assert len(texts) > 10
    # The detail of a setting gets its noun where the setting is named.
    named = {k for k, text in texts.items() if re.search("patient|hospital", text)}
    assert named <= {"privaudit.attacks.federated._poisoning.BESIDE"}
    label = texts["privaudit.attacks.disclosure.attribute.CONTROL"]
    shown = subjects._fill(Caveat(CaveatCode.CONTROL_DESCRIBED, "note", {"control": label}), BANK)
    assert shown.params["control"] == "the same attack on customers outside the training data"


def test_settings_are_named_with_the_words_of_the_task_and_names_of_the_data_stay() -> None:
    some = Setting("variant", "few training patients with the same answer")
    data = Setting("column", "{person}", details=("hospital absent", "patients"))
    with use_words(BANK):
        assert name_setting(some) == "few training customers with the same answer"
        assert name_setting(data) == "{person}, branch absent, patients"
    assert name_setting(some) == str(some)
    # Every such text of the attacks is known.
    known = "".join(_OF_PEOPLE)
    for path in Path(attacks.__file__).parent.rglob("*.py"):
        for quoted in re.findall(r'Setting\("\w+", "([^"]*)"', path.read_text()):
            assert not re.search("patient|hospital", quoted) or quoted in known, path.name


def test_what_a_private_method_says_of_itself_has_places_for_the_nouns() -> None:
    said = [*NoisySteps.notes, ONE_STAY, PUBLIC]
    assert not re.search("patient|hospital|stay", re.sub(r"\{[^}]*\}", "", " ".join(said)))
    assert "All records of a customer" in BANK.fill(said[0])
