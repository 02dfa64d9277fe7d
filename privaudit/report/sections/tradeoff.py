"""Risk against usefulness: every model on one plot, with intervals on both axes."""

from __future__ import annotations

from privaudit.report import charts
from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import Block, Chart, Prose, Table
from privaudit.report.kinds import useful
from privaudit.report.notes import kind_of
from privaudit.report.reading import FALLBACK, PRIMARY, read, stated
from privaudit.results import Audit, Estimate

ORDER = 20
LOOKS = {"pooled": 0, "federated": 1, "split": 2, "dp": 3, "local": 4, "synthetic": 5, "": 6}


def build(audit: Audit) -> tuple[Block, ...]:
    risks = {i: read(audit, s).finding for i, s in enumerate(audit.subjects)}
    names = (f"tpr_at_fpr_{PRIMARY:g}", f"tpr_at_fpr_{FALLBACK:g}", "auc")
    drawn: dict[str, list[charts.Dot]] = {name: [] for name in names}
    for i, subject in enumerate(audit.subjects):
        (x, _), finding = useful(subject), risks[i]
        for name in names:
            y = stated(finding.estimates, name) if finding is not None else None
            if x is not None and y is not None:
                drawn[name].append(charts.Dot(subject.name, x, y, LOOKS[kind_of(subject)]))
    name = max(names, key=lambda key: len(drawn[key]))
    dots = drawn[name]
    if not dots:
        return (Prose(say.TRADEOFF_NONE),)
    title = _title(dots)
    table = Table(
        say.TRADEOFF_CAPTION,
        ("Model", "Utility: AUROC", say.capital(say.measure(name)), "By guessing"),
        tuple(
            (d.name, n.estimate_text(d.x), n.estimate_text(d.y), n.chance_text(d.y)) for d in dots
        ),
        numeric=(1, 2, 3),
    )
    kinds = {LOOKS[k]: say.TRADEOFF_KINDS[k] for k in _kinds(audit)}
    svg = charts.tradeoff(
        dots, "chart-tradeoff", title, say.TRADEOFF_X, say.tradeoff_y(name), kinds
    )
    missing = [s.name for s in audit.subjects if s.name not in {d.name for d in dots}]
    last = (Prose(say.left_out(missing), "small"),) if missing else ()
    many = (Prose(say.NUMBERED, "small"),) if len(dots) > charts.MANY else ()
    return (Prose(say.TRADEOFF), *many, Chart(title, svg, table), *last)


def _kinds(audit: Audit) -> list[str]:
    """The kinds of training in this audit, in the order of their looks; those that share one are told
    by the first."""
    known = {kind_of(s) for s in audit.subjects}
    return [k for k in LOOKS if k in known]


def _title(dots: list[charts.Dot]) -> str:
    if len(dots) == 1:
        return say.tradeoff_single(dots[0].name)
    by_risk = sorted(dots, key=lambda d: d.y.value or 0)
    by_use = sorted(dots, key=lambda d: -(d.x.value or 0))
    tied = _overlap(by_risk[0].y, by_risk[1].y) or _overlap(by_use[0].x, by_use[1].x)
    return say.tradeoff_title(by_risk[0].name, by_use[0].name, tied)


def _overlap(one: Estimate, two: Estimate) -> bool:
    if one.low is None or one.high is None or two.low is None or two.high is None:
        return True
    return one.low <= two.high and two.low <= one.high
