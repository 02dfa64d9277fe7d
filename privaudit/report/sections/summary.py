"""Summary: what happened, model by model, in plain frequencies."""

from __future__ import annotations

from privaudit.facts import CaveatCode
from privaudit.report import numbers as n
from privaudit.report.blocks import Block, Bullets, Callout, Card, Link, Prose, Table, make_table
from privaudit.report.kinds import get_kinds, get_utility, get_utility_metric
from privaudit.report.reading import (
    AUC,
    PRIMARY_FPR,
    Reading,
    exceeds_chance,
    get_bounds,
    get_cause,
    get_controls_not_made,
    get_defect,
    get_detailed,
    get_failed_controls,
    get_families,
    get_stated,
    get_unresolved,
    get_weaker,
    get_wrong_way,
    is_halved,
    is_unstated,
    rate_on_all,
    read_membership,
)
from privaudit.report.sections._questions import build_banner, build_questions
from privaudit.report.series import (
    get_all_series,
    get_middle_size,
    is_against_absence,
    measure_gain,
)
from privaudit.report.wording import questions
from privaudit.report.wording import summary as words
from privaudit.report.wording.attackers import add_attacker, word_weaker
from privaudit.report.wording.classes import name_family
from privaudit.report.wording.drift import word_left
from privaudit.report.wording.knowledge import name_attack
from privaudit.report.wording.metrics import name_setting
from privaudit.report.wording.page import get_badge
from privaudit.report.wording.reasons_and_caveats import word_caveat, word_reason
from privaudit.report.wording.releases import name_column, name_place
from privaudit.report.wording.risk_and_utility import title_utility
from privaudit.results import Audit, Control, Failed, Subject
from privaudit.verdicts import Verdicts


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """Verdict, five questions, every release in a row, and the most exposed in words."""
    detailed = get_detailed(audit)
    cards = [_build_card(audit, i) for i in detailed]
    intro = [Prose(words.word_cards(len(detailed), len(audit.subjects)), "small")] if cards else []
    warnings = _build_warnings(audit)
    return (
        *(b for b in warnings if b.kind == "stop"),
        build_banner(audit, verdicts),
        build_questions(audit, verdicts),
        *(b for b in warnings if b.kind != "stop"),
        _build_glance(audit, set(detailed)),
        *intro,
        *cards,
    )


def _build_warnings(audit: Audit) -> list[Callout]:
    """What must be known before any number is read."""
    found: list[Callout] = []

    def add(kind: str, title: str, *lines: str) -> None:
        body = tuple(Prose(line) for line in lines)
        found.append(Callout("stop" if kind == "stop" else "warn", title, body))

    defects = [(s.name, c) for s in audit.subjects if (c := get_defect(s)) is not None]
    if defects:
        texts = (words.word_defect(name, word_caveat(c)) for name, c in defects)
        add("stop", words.DEFECT_TITLE, *texts)
    if audit.data.distribution_shift is not None:
        add("stop", words.SHIFT_TITLE(), word_caveat(audit.data.distribution_shift))
    drifts = [word_caveat(c) for c in audit.caveats if c.code is CaveatCode.SCORE_DRIFT]
    if drifts:
        add("stop", words.DRIFT_TITLE(), *drifts)
    wrong = [c for s in audit.subjects for c in get_wrong_way(audit, s)]
    if wrong:
        add("stop", words.WRONG_WAY_TITLE(), *dict.fromkeys(map(word_caveat, wrong)))
    if invalid := get_failed_controls(audit, "negative"):
        add("stop", words.INVALID_TITLE, words.word_invalid(_list_places(invalid)))
    if missed := get_failed_controls(audit, "positive"):
        add("warn", words.POWERLESS_TITLE, words.word_powerless(_list_places(missed)))
    lost: dict[tuple[str, str], list[tuple[Subject, Control]]] = {}
    for s, control in get_controls_not_made(audit):
        lost.setdefault((control.kind, word_reason(get_cause(control))), []).append((s, control))
    if lost:
        texts = (
            words.word_control_not_made(kind, _list_places(at), why)
            for (kind, why), at in lost.items()
        )
        add("warn", words.CONTROL_ERROR_TITLE, *texts)
    if not any(s.controls for s in audit.subjects):
        add("warn", words.UNCONTROLLED_TITLE, words.UNCONTROLLED)
    if audit.untrained:
        lines = Bullets(tuple(words.word_untrained(u) for u in audit.untrained))
        body = (lines, Prose(words.UNTRAINED_MEANS))
        found.append(Callout("warn", words.UNTRAINED_TITLE, body))
    if not audit.data.real:
        add("warn", words.GENERATED_TITLE, words.word_generated(audit.data))
    return found


def _list_places(controls: list[tuple[Subject, Control]]) -> list[str]:
    """Which attack on which model, each named once."""
    return list(dict.fromkeys(name_place(name_attack(c.attack), s.name) for s, c in controls))


def _build_glance(audit: Audit, detailed: set[int]) -> Table:
    rows = []
    for i, s in enumerate(audit.subjects):
        r = read_membership(audit, s)
        utility, _ = get_utility(s)
        rows.append(
            (
                (Link(s.name, f"model-{i + 1}"),) if i in detailed else s.name,
                (get_badge(r.state),),
                n.estimate_text(r.rate) if r.rate else "not stated",
                n.share(r.fpr) if r.fpr else "",
                n.cell_text(r.auc),
                n.estimate_text(utility) if utility else words.NOT_MEASURED,
            )
        )
    utility_title = title_utility(get_utility_metric(audit))
    columns = (name_column(get_kinds(audit)), *words.GLANCE_COLUMNS, utility_title)
    return make_table(words.GLANCE, columns, rows, 2)


def _build_card(audit: Audit, i: int) -> Card:
    subject = audit.subjects[i]
    r = read_membership(audit, subject)
    body: list[Block] = [*_word_membership(subject, r)]
    for family in get_families(subject):
        text = "" if family == "membership" else _word_family(subject, family)
        body += [Prose(text)] if text else []
    utility, learner = get_utility(subject)
    if utility:
        body.append(Prose(words.word_utility(utility, learner)))
    if empty := get_unresolved(subject):
        failed = sum(isinstance(o, Failed) for o in empty)
        unstated = sum(is_unstated(o) for o in empty)
        skipped = len(empty) - failed - unstated
        body.append(Prose(words.word_unresolved(skipped, failed, unstated), "small"))
    return Card(subject.name, f"model-{i + 1}", get_badge(r.state), tuple(body))


def _word_membership(subject: Subject, r: Reading) -> list[Block]:
    if r.finding is None:
        return [Prose(words.UNTESTED, "lead")]
    attack = add_attacker(name_attack(r.finding.attack), r.finding.attacker)
    lines: list[str] = []
    if r.rate is not None and r.fpr is not None:
        lines.append(words.word_recognised(attack, r.rate, r.fpr, exceeds_chance(r.rate)))
    by_rank_alone = exceeds_chance(r.auc) and not exceeds_chance(r.rate)
    if r.auc is not None and by_rank_alone:
        lines.insert(0, words.word_ranking(r.auc, attack))
    if r.refused is not None:
        small = words.word_too_small(r.refused, PRIMARY_FPR, is_halved(subject, r))
        lines.insert(len(lines) if r.state == "detected" else 0, small)
        full = rate_on_all(subject, r)
        lines += [words.word_on_all(full, PRIMARY_FPR)] if full is not None else []
    if r.state == "shifted":
        lines.insert(0, questions.SHIFT_SHORT())
    if r.auc is not None and not by_rank_alone:
        lines.append(words.word_ranking(r.auc))
    null, left = (get_stated(part, AUC) for part in (r.finding.null, r.finding.corrected))
    if r.auc is not None and null is not None and left is not None:
        lines.append(word_left(r.auc, null, left))
    weaker = get_weaker(subject, r)
    if weaker is not None:
        lines.append(word_weaker(name_attack(weaker[0]), weaker[1]))
    if r.state == "underpowered":
        lines.append(words.UNDERPOWERED)
    if r.detectable is not None and r.fpr is not None and r.state != "detected":
        lines.append(words.word_detectable(r.detectable, r.fpr))
    blocks: list[Block] = [Prose(text, "" if i else "lead") for i, text in enumerate(lines)]
    return [*blocks, Prose(words.AFTERWARDS(), "small")] if r.afterwards else blocks


def _word_family(subject: Subject, family: str) -> str:
    """One sentence for a family other than membership: its strongest attack on this release."""
    if family == "epsilon":
        bounds = [(a, e) for a, e in get_bounds(subject) if e.value is not None]
        if not bounds:
            return ""
        attack, e = max(bounds, key=lambda pair: pair[1].value or 0.0)
        return words.word_bound(name_attack(attack), e, subject.claim.epsilon)
    known = [
        (f, t)
        for _, f, t in get_all_series([subject], family)
        if t.attack is not None and t.attack.value is not None
    ]
    own = [entry for entry in known if not entry[1].counterfactual] or known
    if family == "evasion":
        size = get_middle_size([t for _, t in own])
        own = [entry for entry in own if entry[1].size == size]
    if not own:
        return ""
    f, t = max(own, key=lambda entry: measure_gain(entry[1]))
    attack, at = name_attack(f.attack), name_setting(t.setting)
    assert t.attack is not None
    if family == "evasion":
        beside = ((words.RANDOM_CHANGES, t.control), (words.UNCHANGED, t.guess))
        return words.word_compared(words.word_evasion(attack, at), t.attack, beside)
    if family == "poisoning":
        against = words.HOSPITAL_ABSENT if is_against_absence(t) else words.ALL_HONEST()
        beside = ((against, t.control), ("", None))
        return words.word_compared(words.word_poisoning(attack, at), t.attack, beside)
    named = f"{attack}, {at}" if at else attack
    if family == "property":
        beside = ((words.OF_ONE_SHARE, t.control), (words.BY_COIN, t.guess))
        return words.word_compared(words.word_property(named), t.attack, beside)
    if family == "extraction":
        beside = ((words.UNASKED, t.control), (words.ONE_ANSWER, t.guess))
        return words.word_compared(words.word_extraction(named), t.attack, beside)
    control = words.ON_OTHERS() if family == "synthetic" else words.IN_CONTROL
    beside = ((control, t.control), (words.WITHOUT_RELEASE, t.guess))
    lead = words.word_trial(named, name_family(family))
    return words.word_compared(lead, t.attack, beside)


__all__ = ["build"]
