"""The first screen: the verdict, and the five questions with their answers."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import (
    Banner,
    Block,
    Bullets,
    Code,
    Prose,
    Questions,
    Span,
    Strong,
    Table,
    Text,
)
from privaudit.report.classes import CLASSES, tried
from privaudit.report.judged import Rule, decisive, rules, standing, stopping, worst_first
from privaudit.report.kinds import kinds, trained_again
from privaudit.report.notes import kind_of, label
from privaudit.report.reading import (
    Reading,
    beyond,
    copied,
    excess,
    failed_controls,
    findings,
    group_measure,
    grouped,
    ranked,
    same_attack,
    stated,
)
from privaudit.report.sections.verdicts import badge
from privaudit.results import Audit, Failed, Skipped, Subject
from privaudit.verdicts import Verdicts

PRIOR = "ppv_at_prior_0.1"
ALPHA = 0.05


def banner(audit: Audit, verdicts: Verdicts | None) -> Banner:
    """The verdict by shape, word and colour, and what to do about it."""
    if verdicts is None:
        body = (*_rehearsal(audit), Prose(say.NO_POLICY), Prose(_coded(say.NO_POLICY_DO)))
        return Banner(say.NO_VERDICT, say.NO_VERDICT_TITLE, body)
    first = decisive(verdicts)
    stopped = [
        v
        for v in worst_first(verdicts.verdicts)
        if v.severity == "block" and v.state == verdicts.state and v.waiver is None
    ]
    who = list(dict.fromkeys(v.subject for v in stopped if v.subject))
    said: list[Block] = _rehearsal(audit)
    if first is not None and first.sentence:
        said.append(Prose(say.defined(say.deciding(first), kinds(audit)), "lead"))
    said.append(Prose(say.to_do(verdicts.state, who or [s.name for s in audit.subjects])))
    remedies = list(dict.fromkeys(v.remedy for v in stopped if v.remedy))[:3]
    if remedies and verdicts.state != "WITHIN":
        said.append(Bullets(tuple(remedies)))
    title = say.verdict_title(verdicts.state, *stopping(verdicts))
    return Banner(say.VERDICTS[verdicts.state], title, tuple(said))


def _rehearsal(audit: Audit) -> list[Block]:
    """That no patient stands behind these numbers, where none does."""
    return [] if audit.data.real else [Prose((Strong(say.REHEARSAL),))]


def _coded(text: str) -> tuple[Span, ...]:
    """Words between backquotes as code."""
    return tuple(Code(part) if i % 2 else part for i, part in enumerate(text.split("`")) if part)


def questions(audit: Audit, readings: list[Reading], verdicts: Verdicts | None) -> Questions:
    """The five questions, in the order in which whoever decides asks them."""
    answers = (
        _tested(audit),
        _happened(audit, readings),
        _limit(audit, verdicts),
        _means(audit, readings),
        _untested(audit),
    )
    return Questions(
        tuple(
            (anchor, asked, tuple(body))
            for (anchor, asked), body in zip(say.QUESTIONS, answers, strict=True)
        )
    )


def _tested(audit: Audit) -> list[Block]:
    attacks = {f.attack for s in audit.subjects for f in findings(s)}
    classes = [CLASSES[t.key].short for t in tried(audit) if t.state == "TESTED"]
    told = kinds(audit)
    of = {one: [s for s, k in zip(audit.subjects, told, strict=True) if k == one] for one in told}
    ways = [
        say.TRADEOFF_KINDS[k] for k in dict.fromkeys(kind_of(s) for s in of.get("model", ())) if k
    ]
    forms = dict.fromkeys(s.params.get("form", "") for s in of.get("own", ()))
    made = of.get("table", [])
    drawn = dict.fromkeys(s.name.partition("-")[2].partition("@")[0] for s in made)
    promised = sum(s.claim.epsilon is not None for s in made)
    said = [
        say.tested(
            audit.data, told, ways, [f for f in forms if f], [d for d in drawn if d], promised
        ),
        say.by_attacks(len(attacks), classes),
        say.whom(audit.data, told),
    ]
    if not audit.data.real:
        said.append(say.GENERATED_SHORT)
    return [Prose(" ".join(said))]


def _happened(audit: Audit, readings: list[Reading]) -> list[Block]:
    said: list[Block] = [Prose(text) for text in summary(audit, readings)]
    order = ranked(audit, readings)
    bare = [s.name for s in audit.subjects if copied(s)]
    if bare:
        said.append(Prose(say.copies_title(bare)))
    more = [say.place(label(a), s.name) for s in audit.subjects for a in beyond(s)]
    if more:
        said.append(Prose(say.also_beyond(more)))
    if order and all(r.state not in ("invalid", "unfair") for r in readings):
        said += _group(audit.subjects[order[0]], readings[order[0]])
    return said


def summary(audit: Audit, readings: list[Reading]) -> list[str]:
    """What happened in two sentences: how many models read how, and the most exposed one."""
    states = [r.state for r in readings]
    if not states:
        return [say.NO_MODELS]
    if "invalid" in states:
        return [say.INVALID_SHORT]
    said = [say.tally(states, kinds(audit), [s.name for s in audit.subjects])]
    if "unfair" in states:
        return said
    order = ranked(audit, readings)
    told = _recognised(readings[order[0]]) if order else ""
    if told:
        subject = audit.subjects[order[0]]
        said.append(say.most_exposed(subject.name, told) if len(readings) > 1 else told)
    return said


def _recognised(r: Reading) -> str:
    if r.finding is None:
        return ""
    if r.auc is not None and excess(r.auc) and not excess(r.rate):
        return say.ranks(r.auc, label(r.finding.attack), r.fpr)
    if r.rate is not None and r.fpr is not None:
        return say.recognises(label(r.finding.attack), r.rate, r.fpr, excess(r.rate))
    return say.ranks(r.auc) if r.auc is not None else ""


def _group(subject: Subject, r: Reading) -> list[Block]:
    """The group that the attack recognises most often, beside everyone."""
    finding = grouped(subject)
    if finding is None or "auc" not in group_measure(finding.groups):
        return []
    known = [
        (e.value or 0.0, say.group_name(g), e, g)
        for g in finding.groups
        if not g.suppressed and (e := stated(g.estimates, "auc")) is not None
    ]
    if not known:
        return []
    _, name, e, group = max(known, key=lambda entry: (entry[0], entry[1]))
    sure = group.p_adjusted is not None and group.p_adjusted <= ALPHA
    everyone = stated(finding.estimates, "auc")
    return [
        Prose(
            say.worst_group(subject.name, label(finding.attack), name, e, everyone, sure), "small"
        )
    ]


def _limit(audit: Audit, verdicts: Verdicts | None) -> list[Block]:
    if verdicts is None:
        return [Prose(say.NO_VERDICT_TITLE)]
    found = rules(verdicts)
    rows = tuple(_rule(rule) for rule in found)
    body: list[Block] = [Prose(say.policy(verdicts))]
    if rows:
        body.append(Table(say.RULES_CAPTION, say.RULES_COLUMNS, rows))
        stand = vars(standing(verdicts, [s.name for s in audit.subjects]))
        lines = [say.standing(how, who) for how, who in stand.items() if who or how == "kept"]
        body.append(Bullets(tuple(lines)))
    if verdicts.notes:
        body.append(Bullets(verdicts.notes))
    return body


def _rule(rule: Rule) -> tuple[Text, ...]:
    v = rule.first
    return (
        f"{rule.name}: {say.metric(v)}",
        say.limit(v),
        (badge(v),),
        say.severity(rule.severity, rule.applies),
        say.decided(v) if rule.applies else "",
    )


def _means(audit: Audit, readings: list[Reading]) -> list[Block]:
    order = ranked(audit, readings)
    if not order:
        return [Prose(say.MEANS_UNCLEAR)]
    r = readings[order[0]]
    if r.state == "invalid":
        return [Prose(say.INVALID_SHORT)]
    if any(x.state == "found" for x in readings):
        said = [say.means_found(kinds(audit))]
        ppv = stated(r.finding.estimates, PRIOR) if r.finding is not None else None
        whole = same_attack(audit.subjects[order[0]], r)
        full = stated(whole.estimates, PRIOR) if ppv is None and whole is not None else None
        for e in (ppv, full):
            if e is not None and excess(e):
                said.append(say.named_rightly(e, n.fpr_of(PRIOR) or 0.1, e is full))
    elif all(x.state == "unseen" for x in readings):
        said = [say.means_unseen(kinds(audit))]
        if r.least is not None and r.fpr is not None:
            said.append(say.least(r.least, r.fpr))
    else:
        said = [say.MEANS_UNCLEAR]
    blocks: list[Block] = [Prose(" ".join([*said, say.MEANS_NOT]))]
    if audit.data.real and any(word in audit.data.source for word in ("MIMIC", "PhysioNet")):
        blocks.append(Prose(say.MEASURES_MODEL, "small"))
    return blocks


def _untested(audit: Audit) -> list[Block]:
    open_ = {CLASSES[t.key].short: t.reason for t in tried(audit) if t.state == "NOT TESTED"}
    lines: list[Text] = [*(say.untested_classes(open_) or [say.ALL_TESTED])]
    told = kinds(audit)
    if any(k == "own" and not trained_again(s) for k, s in zip(told, audit.subjects, strict=True)):
        lines.append(_coded(say.NO_RECIPE))
    lines += [_coded(say.ANSWERS_ONLY), _coded(say.NO_RECIPE)] if "answers" in told else []
    lines += [say.untrained(u.name, u.reason, u.broke) for u in audit.untrained]
    failed = dict.fromkeys(
        say.place(label(o.attack), s.name)
        for s in audit.subjects
        for o in s.outcomes
        if isinstance(o, Failed)
    )
    if failed:
        lines.append(say.failed_attacks(failed))
    missed = failed_controls(audit, "positive")
    if missed:
        lines.append(
            say.missed(dict.fromkeys(say.place(label(c.attack), s.name) for s, c in missed))
        )
    skipped = {o.attack for s in audit.subjects for o in s.outcomes if isinstance(o, Skipped)}
    if skipped:
        lines.append(say.not_everywhere(len(skipped), told))
    return [Bullets(tuple(lines)), Prose(say.OPEN, "small")]


__all__ = ["banner", "questions", "summary"]
