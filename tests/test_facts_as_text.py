"""Nothing outside the wording reads meaning out of a text that the product itself wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from facts_as_text import lines_that_read_facts

ROOT = Path(__file__).parents[1]
WORDING = ROOT / "privaudit" / "report" / "wording"
SOURCES = [
    path
    for package in ("privaudit", "pipelines")
    for path in sorted((ROOT / package).rglob("*.py"))
    if WORDING not in path.parents
]

SINS = [
    'x.reason.startswith("Does not apply")',
    'e.metric.name.partition("@")',
    '" / " in key',
    '", had " in key',
    'str(e.metric).split("@", 1)[0]',
    "float(e.metric.name.rpartition('_')[2])",
    'any("defect" in caveat for caveat in finding.caveats)',
    'for text in found.caveats:\n    text.removeprefix("defect: ")',
    'name = e.metric.name\nprint(name.startswith("tpr_at_fpr_"))',
    're.match(r"[0-9.]+", str(estimate.metric.at))',
    're.search("delta", estimate.bound.method)',
    '"take gradients" in outcome.reason',
    'f"{x.reason}: y".endswith("allow")',
    '[t for t in [c for c in x.caveats] if t.startswith("x")]',
    '"fair coin" not in e.refusal',
    'tree["metric"].startswith("auc")',
    'x.control_label.startswith("the")',
    'caveat.params["control"].split(",")',
    "def f(setting):\n    return setting.split(' ')",
    "def f(outcome):\n    why = outcome.reason\n    return str(why).endswith('x')",
    'if (text := found.refusal) and text.startswith("needs"): pass',
    '"error" in x.notes',
]
FINE = [
    "e.metric.name in EPSILON",
    'e.metric.name == "auc"',
    "x.reason.code is ReasonCode.LACKS_ACCESS",
    'x.severity == "defect"',
    '"attack" in caveat.params',
    "estimate.metric.at == Setting('column', name)",
    'name.partition("@")',
    'text.split(",")',
    'at.kind == "budget" and not isinstance(at.value, str)',
    "setting in known",
    "replace(x.metric, at=None)",
]


@pytest.mark.parametrize("source", SINS)
def test_the_check_finds_the_old_sins(source: str) -> None:
    assert lines_that_read_facts(source)


@pytest.mark.parametrize("source", FINE)
def test_the_check_lets_typed_code_be(source: str) -> None:
    assert not lines_that_read_facts(source)


def test_no_module_reads_meaning_out_of_its_own_texts() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in SOURCES
        for line in lines_that_read_facts(path.read_text(encoding="utf-8"))
    ]
    assert not found
