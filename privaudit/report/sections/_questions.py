"""The first screen: the verdict, and the five questions with their answers."""

from __future__ import annotations

from privaudit.facts import BoundMethod
from privaudit.report.blocks import (
    Banner,
    Block,
    Bullets,
    Prose,
    Questions,
    Strong,
    Text,
    make_table,
    mark_code,
)
from privaudit.report.coverage import get_coverage, select_classes
from privaudit.report.judged import (
    Rule,
    count_broken,
    decides,
    get_decisive,
    get_standing,
    group_by_rule,
    sort_worst_first,
)
from privaudit.report.kinds import get_kinds, has_shadow_attack
from privaudit.report.learning import (
    count_tried,
    get_learning_attacks,
    get_owner_attacks,
    get_unconfirmed_attacks,
)
from privaudit.report.reading import (
    AUC,
    Reading,
    exceeds_chance,
    get_failed_controls,
    get_findings,
    get_ppv,
    get_stated,
    is_unstated,
    on_all_patients,
    rank_by_exposure,
    read_membership,
)
from privaudit.report.series import (
    differs_from_rest,
    get_group_metrics,
    get_grouped,
    has_exact_duplicates,
    rank_groups,
)
from privaudit.report.training_kind import get_training_kind
from privaudit.report.wording import policy_verdicts, summary
from privaudit.report.wording import questions as words
from privaudit.report.wording.attackers import add_attacker
from privaudit.report.wording.drift import word_left
from privaudit.report.wording.knowledge import name_attack
from privaudit.report.wording.metrics import name_group
from privaudit.report.wording.releases import name_place
from privaudit.report.wording.risk_and_utility import TRAINING_KINDS
from privaudit.report.wording.verdicts import word_notes, word_remedy
from privaudit.results import Audit, Failed, Skipped, Subject
from privaudit.verdicts import Verdicts

PRIOR = 0.1
RESEARCH_SOURCES = ("MIMIC", "PhysioNet")


def build_banner(audit: Audit, verdicts: Verdicts | None) -> Banner:
    """The verdict by shape, word and colour, and what to do about it."""
    body: list[Block] = []
    if not audit.data.real:
        body.append(Prose((Strong(f"{summary.GENERATED_TITLE}."),)))
    if verdicts is None:
        body += [Prose(summary.NO_POLICY), Prose(mark_code(words.NO_POLICY_DO))]
        return Banner(words.NO_VERDICT, words.NO_VERDICT_TITLE, tuple(body))
    first = get_decisive(verdicts)
    stopped = [
        v
        for v in sort_worst_first(verdicts.verdicts)
        if v.severity == "block" and decides(v, verdicts) and v.waiver is None
    ]
    if first is not None:
        defined = words.define_training_patients(get_kinds(audit))
        body.append(Prose(f"{policy_verdicts.word_deciding(first)} {defined}", "lead"))
    names = list(dict.fromkeys(v.subject for v in stopped if v.subject))
    names = names or [s.name for s in audit.subjects]
    body.append(Prose(words.word_to_do(verdicts.state, names)))
    remedies = list(dict.fromkeys(text for v in stopped if (text := word_remedy(v))))[:3]
    if remedies and verdicts.state != "WITHIN":
        body.append(Bullets(tuple(remedies)))
    title = words.title_verdict(verdicts.state, *count_broken(verdicts))
    return Banner(words.VERDICTS[verdicts.state], title, tuple(body))


def build_questions(audit: Audit, verdicts: Verdicts | None) -> Questions:
    """The five questions, in the order in which whoever decides asks them."""
    readings = [read_membership(audit, s) for s in audit.subjects]
    answers = (
        _answer_tested(audit),
        _answer_happened(audit, readings),
        _answer_limit(audit, verdicts),
        _answer_meaning(audit, readings),
        _answer_untested(audit),
    )
    return Questions(
        tuple(
            (anchor, question, tuple(body))
            for (anchor, question), body in zip(words.list_questions(), answers, strict=True)
        )
    )


def _answer_tested(audit: Audit) -> list[Block]:
    attacks = {f.attack for s in audit.subjects for f in get_findings(s)}
    kinds = get_kinds(audit)
    of = {
        kind: [s for s, k in zip(audit.subjects, kinds, strict=True) if k == kind] for kind in kinds
    }
    ways = dict.fromkeys(get_training_kind(s) for s in of.get("model", ()))
    forms = dict.fromkeys(s.params.get("form", "") for s in of.get("supplied model", ()))
    tables = of.get("table", [])
    generators = dict.fromkeys(s.params.get("generator", "") for s in tables)
    sentences = [
        words.word_tested(
            audit.data,
            kinds,
            [TRAINING_KINDS[kind]() for kind in ways if kind != "other"],
            [form for form in forms if form],
            [name for name in generators if name],
            sum(s.claim.epsilon is not None for s in tables),
        ),
        words.word_attacks(len(attacks), select_classes(audit, "TESTED")),
        words.word_pools(audit, kinds),
    ]
    if not audit.data.real:
        sentences.append(summary.word_generated(audit.data))
    return [Prose(" ".join(sentences))]


def _answer_happened(audit: Audit, readings: list[Reading]) -> list[Block]:
    blocks: list[Block] = [Prose(text) for text in summarise_membership(audit)]
    order = rank_by_exposure(audit)
    duplicates = [s.name for s in audit.subjects if has_exact_duplicates(s)]
    if duplicates:
        blocks.append(Prose(summary.word_duplicates(duplicates)))
    more = [
        name_place(name_attack(a), s.name)
        for s, r in zip(audit.subjects, readings, strict=True)
        for a in get_learning_attacks(s, audit)
        # What the headline says already is not said again.
        if r.state != "detected" or not _is_membership(s, a)
    ]
    if more:
        tried = sum(count_tried(s, audit) for s in audit.subjects)
        small = any(r.state in ("detected", "unconfirmed") for r in readings)
        blocks.append(Prose(words.word_other_attacks(more, tried), "small" if small else ""))
    open_ = [
        name_place(name_attack(a), s.name)
        for s, r in zip(audit.subjects, readings, strict=True)
        for a in get_unconfirmed_attacks(s, audit)
        if r.state == "unconfirmed"
    ]
    if open_:
        blocks.append(Prose(words.word_unconfirmed_attacks(open_)))
    owned = [
        name_place(name_attack(a), s.name) for s in audit.subjects for a in get_owner_attacks(s)
    ]
    if owned:
        blocks.append(Prose(words.word_owner_attacks(owned), "small"))
    if order and readings[order[0]].state in ("detected", "undetected", "stated"):
        blocks += _word_group(audit.subjects[order[0]])
    return blocks


def _is_membership(subject: Subject, attack: str) -> bool:
    return any(f.attack == attack for f in get_findings(subject, "membership"))


def summarise_membership(audit: Audit) -> list[str]:
    """What happened in two sentences: how many models read how, and the most exposed one."""
    readings = [read_membership(audit, s) for s in audit.subjects]
    states = [r.state for r in readings]
    if not states:
        return [words.NO_MODELS]
    if "invalid" in states:
        return [words.INVALID_SHORT]
    sentences = [words.count_readings(states, get_kinds(audit), [s.name for s in audit.subjects])]
    order = rank_by_exposure(audit)
    void = {"shifted", "reversed"} & set(states)
    text = _word_result(readings[order[0]]) if order and not void else ""
    if text:
        name = audit.subjects[order[0]].name
        sentences.append(words.word_most_exposed(name, text) if len(readings) > 1 else text)
        sentences += _word_null(readings[order[0]])
    return sentences


def _word_result(r: Reading) -> str:
    if r.finding is None:
        return ""
    attack = add_attacker(name_attack(r.finding.attack), r.finding.attacker)
    if r.auc is not None and exceeds_chance(r.auc) and not exceeds_chance(r.rate):
        bound = None if r.rate is None else r.rate.bound
        in_blocks = bound is not None and bound.method is BoundMethod.BLOCKS
        return summary.word_ranking(r.auc, attack, r.fpr, in_blocks=in_blocks)
    if r.rate is not None and r.fpr is not None:
        return summary.word_recognised(attack, r.rate, r.fpr, exceeds_chance(r.rate))
    return summary.word_ranking(r.auc) if r.auc is not None else ""


def _word_null(r: Reading) -> list[str]:
    """What the same attack reads of models that never saw whom they are asked about."""
    if r.finding is None:
        return []
    null, left = (get_stated(part, AUC) for part in (r.finding.null, r.finding.corrected))
    return [] if r.auc is None or null is None or left is None else [word_left(r.auc, null, left)]


def _word_group(subject: Subject) -> list[Block]:
    """The group that the attack recognises most often, beside everyone."""
    finding = get_grouped(subject)
    if finding is None or AUC not in get_group_metrics(finding.groups):
        return []
    group, e = rank_groups(finding.groups, AUC)[0]
    text = words.word_group(
        subject.name,
        name_attack(finding.attack),
        name_group(group),
        e,
        get_stated(finding.estimates, AUC),
        differs_from_rest(group),
    )
    return [Prose(text, "small")]


def _answer_limit(audit: Audit, verdicts: Verdicts | None) -> list[Block]:
    if verdicts is None:
        return [Prose(words.NO_VERDICT_TITLE)]
    rules = group_by_rule(verdicts)
    body: list[Block] = [Prose(words.word_policy(verdicts))]
    if rules:
        body.append(
            make_table(words.RULES_CAPTION, words.RULES_COLUMNS, [_rule_row(r) for r in rules])
        )
        standing = vars(get_standing(verdicts, [s.name for s in audit.subjects]))
        shown = {state: names for state, names in standing.items() if names or state == "within"}
        body.append(Bullets(tuple(words.word_standing(*entry) for entry in shown.items())))
    if verdicts.notes:
        body.append(Bullets(word_notes(verdicts)))
    return body


def _rule_row(rule: Rule) -> tuple[Text, ...]:
    v = rule.first
    return (
        f"{rule.name}: {policy_verdicts.name_measure(v)}",
        policy_verdicts.word_limit(v),
        (policy_verdicts.get_badge(v),),
        policy_verdicts.word_severity(rule.severity, rule.applies),
        policy_verdicts.word_decided(v) if rule.applies else "",
    )


def _answer_meaning(audit: Audit, readings: list[Reading]) -> list[Block]:
    order = rank_by_exposure(audit)
    kinds = get_kinds(audit)
    if not order:
        learnt = any(x.state == "learnt" for x in readings)
        return [Prose(words.word_meaning_learnt(kinds) if learnt else words.MEANS_UNCLEAR())]
    r = readings[order[0]]
    if r.state == "invalid":
        return [Prose(words.INVALID_SHORT)]
    if any(x.state == "detected" for x in readings):
        sentences = [words.word_meaning_detected(kinds), *_word_ppv(audit.subjects[order[0]], r)]
    elif any(x.state == "learnt" for x in readings):
        sentences = [words.word_meaning_learnt(kinds)]
    elif all(x.state == "undetected" for x in readings):
        sentences = [words.word_meaning_undetected(kinds)]
        if r.detectable is not None and r.fpr is not None:
            sentences.append(summary.word_detectable(r.detectable, r.fpr))
    else:
        sentences = [words.MEANS_UNCLEAR()]
    blocks: list[Block] = [Prose(" ".join([*sentences, words.MEANS_NOT()]))]
    if audit.data.real and any(name in audit.data.source for name in RESEARCH_SOURCES):
        blocks.append(Prose(summary.MEASURES_MODEL(), "small"))
    return blocks


def _word_ppv(subject: Subject, r: Reading) -> list[str]:
    """The positive predictive value of the headline, else of its attack on all patients."""
    full = on_all_patients(subject, r)
    for finding, on_all in ((r.finding, False), (full, True)):
        e = get_ppv(finding.estimates, PRIOR) if finding is not None else None
        if e is not None and e.value is not None:
            return [words.word_ppv(e, PRIOR, on_all)] if exceeds_chance(e) else []
    return []


def _answer_untested(audit: Audit) -> list[Block]:
    open_ = [t for t in get_coverage(audit) if t.state == "NOT TESTED"]
    lines: list[Text] = [words.word_class_untested(t.of.name, t.reason) for t in open_]
    lines = lines or [words.ALL_TESTED]
    kinds = get_kinds(audit)
    bare = any(
        kind in ("supplied model", "answers") and not has_shadow_attack(s)
        for kind, s in zip(kinds, audit.subjects, strict=True)
    )
    lines += [mark_code(words.ANSWERS_ONLY)] if "answers" in kinds else []
    lines += [mark_code(words.NO_RECIPE)] if bare else []
    lines += [summary.word_untrained(u) for u in audit.untrained]
    outcomes = [(s.name, o) for s in audit.subjects for o in s.outcomes]
    failed = [name_place(name_attack(o.attack), s) for s, o in outcomes if isinstance(o, Failed)]
    lines += [words.word_failed(dict.fromkeys(failed))] if failed else []
    missed = [
        name_place(name_attack(c.attack), s.name) for s, c in get_failed_controls(audit, "positive")
    ]
    lines += [words.word_missed(dict.fromkeys(missed))] if missed else []
    skipped = {o.attack for _, o in outcomes if isinstance(o, Skipped) and not is_unstated(o)}
    lines += [words.word_not_everywhere(len(skipped), kinds)] if skipped else []
    return [Bullets(tuple(lines)), Prose(words.OPEN, "small")]


__all__ = ["build_banner", "build_questions", "summarise_membership"]
