"""Every free text of a document replaced by "x": exit codes and recomputed numbers stay."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lorem import TEXT, lorem
from test_every import Breaks, Coins, Federation, Lacks, Look, Poison, Promises, Refuses
from toy_audit import (
    Blind,
    Broken,
    Cheat,
    Insulin,
    NeedsWeights,
    Noise,
    Refusing,
    ToyMethod,
    install_attacks,
    request,
)

from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import Attack, Method
from privaudit.engine.configure import Entry
from privaudit.engine.folder import read_exact
from privaudit.engine.run import exit_code, run
from privaudit.evidence.derive import derive
from privaudit.results import Audit, from_json, to_json

SOUND: dict[str, Attack] = {
    "threshold": Threshold(),
    "noise": Noise(),
    "insulin": Insulin(),
    "refusing": Refusing(),
    "weights": NeedsWeights(),
}
CASES: dict[str, tuple[dict[str, Method], dict[str, Attack], int]] = {
    "sound": ({"plain": ToyMethod(), "joint": Federation()}, SOUND | {"look": Look()}, 0),
    "poison": ({"joint": Federation()}, {"poison": Poison(), "threshold": Threshold()}, 0),
    "refused": ({"plain": ToyMethod(), "no": Refuses(), "lacks": Lacks()}, SOUND, 0),
    "failed method": ({"plain": ToyMethod(), "no": Breaks()}, SOUND, 5),
    "failed attack": ({"plain": ToyMethod()}, SOUND | {"broken": Broken()}, 5),
    "cheat": ({"plain": ToyMethod()}, SOUND | {"cheat": Cheat()}, 5),
    "blind": ({"plain": ToyMethod()}, {"blind": Blind()}, 3),
    "guarantee": (
        {"small": Promises(epsilon=0.1), "large": Promises(epsilon=50.0)},
        {"coins": Coins()},
        5,
    ),
}


def texts(tree: Any) -> set[str]:
    if isinstance(tree, Mapping):
        return set().union(*map(texts, tree.values()))
    if isinstance(tree, list):
        return set().union(*map(texts, tree))
    return {tree} if isinstance(tree, str) else set()


@pytest.mark.parametrize("case", CASES)
def test_no_text_decides_an_exit_code_or_a_number(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods, attacks, code = CASES[case]
    install_attacks(monkeypatch, {name: type(one) for name, one in attacks.items()})
    entries = tuple(Entry(name, name, "", method) for name, method in methods.items())
    made = replace(request(attacks), entries=entries, every=True)
    finished = run(made, out=tmp_path, workers=1)
    blank: Audit = lorem(finished.audit)
    assert blank != finished.audit
    assert from_json(to_json(blank)) == blank
    prose = [text for text in texts(json.loads(to_json(blank))) if " " in text]
    allowed = {"24h insulin", "48h insulin", "NOT TESTED", "NOT APPLICABLE"}
    assert set(prose) <= allowed, f"texts that are not {TEXT!r}"
    assert finished.code == exit_code(finished.audit) == exit_code(blank) == code
    exact = read_exact(finished.folder)
    one, two = (derive(finished.folder, audit) for audit in (exact, lorem(exact)))
    assert (one.faults, two.faults) == ([], [])
    assert one.numbers == two.numbers > 20
