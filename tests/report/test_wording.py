"""Every fact has words, every word has a use, and one source makes both glossaries."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

import pytest
from reader import Page
from sample import every, sample
from supplied import AUDITS

import privaudit.report
from privaudit import plugins, report
from privaudit.contracts import Access
from privaudit.facts import (
    CAVEAT_PARAMS,
    REASON_PARAMS,
    Bound,
    BoundMethod,
    Caveat,
    CaveatCode,
    Metric,
    Param,
    Reason,
    ReasonCode,
    Setting,
)
from privaudit.report.section_order import SECTIONS
from privaudit.report.wording.access import ACCESS, name_access, shorten_access
from privaudit.report.wording.classes import CLASSES, class_of, name_family
from privaudit.report.wording.knowledge import criteria, glossary, glossary_markdown
from privaudit.report.wording.metrics import explain_metric, name_metric, name_setting
from privaudit.report.wording.nouns import fill
from privaudit.report.wording.page import find_forbidden
from privaudit.report.wording.reasons_and_caveats import (
    REASONS,
    describe_bound,
    word_caveat,
    word_reason,
)
from privaudit.report.wording.tables import read_table
from privaudit.results import Audit
from privaudit.stats.catalogue import CATALOGUE

ROOT = Path(privaudit.report.__file__).parent
DOCS = Path(__file__).parents[2] / "docs"
NUMBERS = ("fpr", "confidence", "auc", "low", "high", "bound", "claimed", "lift", "share")
TITLES = (
    "Summary",
    "Risk and utility",
    "Most affected groups",
    "Attack coverage",
    "Threat model",
    "Training and guarantees",
    "Mitigations",
    "Reliability of this audit",
    "Results by attack",
    "Data and cohort",
    "DPIA text",
    "Criteria",
    "Reproducibility",
    "Methods",
    "Limitations",
    "Glossary",
)


def make_params(names: tuple[str, ...]) -> Mapping[str, Param]:
    """A value of the usual kind for each parameter."""
    texts: dict[str, Param] = {name: f"some {name}" for name in names}
    return {
        name: ("WEIGHTS",)
        if name == "access"
        else (0.25 if name in NUMBERS else 12 if name in ("more", "have", "least") else text)
        for name, text in texts.items()
    }


def is_worded(text: str) -> bool:
    return bool(text.strip()) and not re.search(r"[{}]|\bNone\b", text)


@pytest.mark.parametrize("code", ReasonCode)
def test_every_reason_has_words(code: StrEnum) -> None:
    reason = Reason(ReasonCode(code), make_params(REASON_PARAMS.get(ReasonCode(code), ())))
    if reason.code in REASONS:
        text = word_reason(reason)
        assert is_worded(text)
        assert not text.endswith(".")
    else:
        assert bool(read_table("verdicts")["reasons"][reason.code])


@pytest.mark.parametrize("code", CaveatCode)
def test_every_caveat_has_words(code: StrEnum) -> None:
    caveat = Caveat(CaveatCode(code), params=make_params(CAVEAT_PARAMS.get(CaveatCode(code), ())))
    assert is_worded(word_caveat(caveat))


@pytest.mark.parametrize("method", BoundMethod)
def test_every_bound_has_words(method: BoundMethod) -> None:
    assert is_worded(describe_bound(Bound(method)))
    full = Bound(method, 3, "gaussian", 1e-5, 12, 240, 190, 6426)
    text = describe_bound(full)
    for part in ("3 classes", "Gaussian DP", "190 of 240", "6,426 patients"):
        assert part in text


@pytest.mark.parametrize("access", Access)
def test_every_access_has_words(access: Access) -> None:
    assert name_access(access.name) == ACCESS[access.name].does
    assert shorten_access(access.name) != access.name


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_metric_has_a_name_and_a_meaning(name: str) -> None:
    assert fill(read_table("metrics")[name]["name"]) == name_metric(Metric(name))
    assert is_worded(explain_metric(Metric(name)))


def test_any_text_of_a_setting_is_printed_as_it_came() -> None:
    for value in ("race / ethnicity", "24h insulin", "a, had b", "x@y: z"):
        assert name_setting(Setting("column", value)) == value
    assert name_metric(Metric("attack_rate", at=Setting("budget", 0.1, "sd"))).endswith("0.1 sd")


def test_every_family_of_attacks_belongs_to_one_class() -> None:
    families = [family for c in CLASSES.values() for family in c.families]
    assert len(families) == len(set(families))
    for name in plugins.members("attacks"):
        attack = plugins.load("attacks", name)
        assert class_of(name, attack.family)
        assert name_family(attack.family) == CLASSES[attack.family].name
    _, _, entries = criteria()
    assert {key for c in entries for key in c.classes} <= set(CLASSES)


def test_the_standard_sections_have_their_standard_titles() -> None:
    titles = list(map(fill, SECTIONS.values()))
    assert set(TITLES) <= set(titles)
    order = [title for title in titles if title in TITLES]
    assert order == list(TITLES)
    files = {p.stem for p in (ROOT / "sections").glob("[!_]*.py")}
    assert files == set(SECTIONS)


@pytest.mark.parametrize("audit", [sample(), every(), *AUDITS.values()])
def test_headings_nest_without_a_jump(audit: Audit) -> None:
    for page in (report.html(audit), report.html(replace(audit, subjects=()))):
        levels = [int(e.tag[1]) for e in Page(page).root.walk() if re.fullmatch("h[1-6]", e.tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(b - a <= 1 for a, b in pairwise(levels))


def test_one_source_makes_both_glossaries() -> None:
    """Run glossary_markdown() and write docs/glossary.md where this fails."""
    assert (DOCS / "glossary.md").read_text(encoding="utf-8") == glossary_markdown()
    names = [term.term for term in glossary()]
    assert names == sorted(names, key=str.casefold)


def get_names(tree: ast.Module) -> set[str]:
    """Names that a module defines at its top."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            found |= {e.id for e in ast.walk(target or ast.Pass()) if isinstance(e, ast.Name)}
    return found - {"__all__"}


def test_no_word_is_without_a_use() -> None:
    sources = {p: p.read_text(encoding="utf-8") for p in ROOT.parent.rglob("*.py")}
    page = (ROOT / "page.html").read_text(encoding="utf-8")
    uses = Counter(word for text in (*sources.values(), page) for word in re.findall(r"\w+", text))
    elsewhere = {"glossary_markdown", "explain_metric"}
    unused = []
    for path in (ROOT / "wording").glob("*.py"):
        names = get_names(ast.parse(sources[path])) - elsewhere
        unused += [f"{path.name}: {name}" for name in names if uses[name] < 2]
    assert unused == []


def test_no_table_of_words_calls_a_model_by_a_forbidden_word() -> None:
    for path in (ROOT / "wording").glob("*.toml"):
        text = path.read_text(encoding="utf-8")
        assert find_forbidden(text, ("not a measure of safety", "federated_private")) == [], path


def test_home_made_words_are_gone() -> None:
    """The report speaks the trade's language: docs/glossary.md."""
    banned = r"toss|coin\b|promis|rehearsal|word for word|usefulness|speaks? for nothing|\btold\b"
    for audit in (sample(), every(), *AUDITS.values()):
        text = report.markdown(audit)
        assert re.findall(banned, text, re.IGNORECASE) == []
