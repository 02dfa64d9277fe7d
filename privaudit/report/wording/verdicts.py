"""Every sentence of a verdict: what was found, why the state is what it is, and what would help.

One wording for `check` in every format, the report, the notebook and pytest. Shares are stated as
natural frequencies ("about 7 in 100"), beside what guessing gives and what the policy allows. No
sentence says of a release what no test can show. `label`, where a function takes it, names an
attack for its reader: in machine formats and on the command line by its key, in the report by its
title.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from privaudit.disclosure_limits import WITHHELD
from privaudit.facts import LOST_REFITS, Caveat, CaveatCode, Group, Param, Reason, ReasonCode
from privaudit.report.numbers import beside, is_same_side, significant, whole
from privaudit.report.wording import reasons_and_caveats as facts
from privaudit.report.wording.access import name_access
from privaudit.report.wording.classes import name_family
from privaudit.report.wording.metrics import MEANINGS, name_setting
from privaudit.report.wording.nouns import fill, name_unit, w
from privaudit.report.wording.tables import read_table
from privaudit.verdicts import BROKEN, Kind, Verdict, Verdicts

Label = Callable[[str], str]

LISTING = (
    ReasonCode.ATTACKS_MISSING,
    ReasonCode.NO_ATTACK_RUN,
    ReasonCode.CLASS_NOT_TESTED,
    ReasonCode.SHADOWS_NOT_RUN,
    ReasonCode.FEW_SHADOWS,
    ReasonCode.FILE_NOT_OPENED,
    ReasonCode.TREES_NOT_READ,
    ReasonCode.SERIES_NOT_READ,
)
"""Reasons after which the attacks without a number are listed, each with its own."""

HIGHEST = (ReasonCode.WITHIN_BOUND, ReasonCode.NOT_PROVED_ABOVE)
"""Reasons for which the highest of several attacks stands."""

MAX_DECIMALS = 7
"""Decimals of a count that keep it apart from a limit."""

EPSILON = ("epsilon.claimed", "epsilon.delta", "epsilon.lower_bound")
"""Metrics of a policy that are no shares."""
AT_RISK = "membership.patients_at_risk"
"""Decided by more refits where other shares are by more patients."""


def _texts() -> Mapping[str, Mapping[str, str]]:
    """The sentences of `verdicts.toml`: kind -> code -> text."""
    return read_table("verdicts")


# ---------------------------------------------------------------- numbers


def choose_base(*shares: float | None) -> int:
    """Out of how many shares are stated: 100, or as many more as the smallest of them needs."""
    least = min((abs(share) for share in shares if share), default=1.0)
    return next((base for base in (100, 1_000, 10_000) if least * base >= 0.95), 100_000)


def count_in(share: float, base: int, limit: float | None = None) -> str:
    """So many of `base`: one decimal below 10, none above; minus as a real minus.

    limit: a share that it is held against; what is above it is never printed as the limit, or below
    it, and the limit itself is printed whole.
    """
    number = share * base
    decimals = 1 if abs(number) < 9.95 else 0
    if limit is not None:
        most = float(f"{limit * base:.{MAX_DECIMALS}f}")
        if abs(number - most) <= 10.0**-MAX_DECIMALS:
            return whole(most)
        while decimals < MAX_DECIMALS:
            if is_same_side(float(f"{number:.{decimals}f}"), number, most):
                break
            decimals += 1
    text = f"{number:,.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return ("0" if text == "-0" else text).replace("-", "\u2212")


def round_up(number: float) -> str:
    """A count to two digits, rounded up: 410, 1,300."""
    step = 10 ** max(0, math.floor(math.log10(max(number, 1))) - 1)
    return f"{math.ceil(number / step) * step:,}"


def list_names(names: object, label: Label = str) -> str:
    """`a`, `a and b`, `a, b and c`."""
    shown = [label(name) for name in names] if isinstance(names, tuple) else []
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "".join(shown)


def _percent(share: float) -> str:
    return f"{share * 100:.4g} %"


def _base(v: Verdict) -> int:
    name = v.number.name if v.number is not None else ""
    if name == "auc":
        return 100
    chance = v.chance if name in ("tpr", "ppv") and v.group is None else None
    return choose_base(v.limit, chance)


def _amount(v: Verdict, value: float | None) -> str:
    """A value, bound or limit in the unit of its metric."""
    if value is None:
        return "no bound"
    if v.kind != "limit" or v.metric in EPSILON:
        return beside(value, v.limit)
    base = _base(v)
    return f"{count_in(value, base, v.limit)} in {base:,}"


def _interval(v: Verdict) -> str:
    if v.low is None or v.high is None:
        return ""
    low, high = beside(v.low, v.limit), beside(v.high, v.limit)
    if v.kind == "limit" and v.metric not in EPSILON:
        low, high = (count_in(bound, _base(v), v.limit) for bound in (v.low, v.high))
    return f" ({_percent(v.confidence)} interval {low} to {high})"


# ---------------------------------------------------------------- names


def name_group(group: Group | None) -> str:
    """A group as it is printed: `sex: F`; nothing for everyone."""
    return "" if group is None else f"{group.by}: {group.level}"


def name_group_of(v: Verdict) -> str:
    """The group that a verdict is about, or the grouping that is missing; nothing for everyone."""
    if v.reason.code is ReasonCode.NO_GROUPING:
        return str(v.reason.params["by"])
    return name_group(v.group)


def name_attack_of(v: Verdict, label: Label = str) -> str:
    """The attack and the series of it that decided: `attribute (sex)`; nothing where none did."""
    if not v.attack:
        return name_setting(v.setting)
    name = label(v.attack)
    return f"{name} ({v.setting})" if v.setting is not None else name


def word_rule(
    kind: Kind,
    metric: str,
    limit: float,
    *,
    at_least: bool = False,
    fpr: float | None = None,
    prior: float | None = None,
) -> str:
    """A rule in a few words: `membership.tpr at a false positive rate of 1 %, at most 0.03`."""
    if kind == "coverage":
        return f"{metric}, tested and limited"
    text = metric
    if fpr is not None:
        text += f" at a false positive rate of {_percent(fpr)}"
    if prior is not None:
        text += f" at a prior of {_percent(prior)}"
    if kind == "regression":
        return f"{text}, at most {whole(limit)} worse than the baseline"
    return f"{text}, {'at least' if at_least else 'at most'} {whole(limit)}"


def word_rule_of(v: Verdict) -> str:
    """The rule that a verdict applies, in a few words."""
    return word_rule(v.kind, v.metric, v.limit, at_least=v.at_least, fpr=v.fpr, prior=v.prior)


def word_numbers(v: Verdict, label: Label = str) -> str:
    """Attack, value and limit in a few words: `lira: 0.52, at most 0.6`."""
    if v.kind == "coverage":
        return "to be tested and limited"
    value = "no number" if v.value is None else beside(v.value, v.limit)
    limit = f"{'at least' if v.at_least else 'at most'} {whole(v.limit)}"
    attack = name_attack_of(v, label)
    return f"{f'{attack}: ' if attack else ''}{value}, {limit}"


def explain_policy_metric(name: str) -> str:
    """What a metric of a policy measures, in one line without a full stop."""
    texts, measure = _texts(), name.rpartition(".")[2]
    counted = {"exact_copies": "exact_copies_excess", "near_copies": "near_copies_excess"}
    found = texts["metrics"].get(name) or texts["measures"].get(measure)
    return fill(found or MEANINGS[counted.get(measure, measure)])


# ---------------------------------------------------------------- what was found


def word_finding(v: Verdict, label: Label = str) -> str:
    """What was found, in natural frequencies, against the limit."""
    text = _word_finding(v, label)
    if v.group is not None and v.reason.code is not ReasonCode.SUPPRESSED:
        return f"Among {w.people} with {name_group(v.group)}, {text[:1].lower()}{text[1:]}"
    return text


def _word_finding(v: Verdict, label: Label) -> str:
    who = f"the attack {name_attack_of(v, label)}" if v.attack else v.subject
    covers = v.kind == "coverage"
    meaning, base = "" if covers else explain_policy_metric(v.metric), _base(v)
    rate = v.prior if v.prior is not None else v.fpr or 0.0
    value = v.value or 0.0
    text = fill(_texts()["findings"][_choose_finding(v)])
    return text.format(
        which="What it rests on" if v.group is None else f"The group {name_group(v.group)}",
        subject=v.subject,
        together=list_names(v.together),
        metric=v.metric,
        Family=name_family(v.metric) if covers else "",
        who=who,
        by=f", by {who}" if v.attack else "",
        Who=_capital(who),
        meaning=meaning,
        Meaning=_capital(meaning),
        measure=_name_measure(v),
        what="delta" if v.metric == "epsilon.delta" else "epsilon",
        plain=beside(value, v.limit),
        plain_limit=whole(v.limit),
        asked="at least" if v.at_least else "at most",
        confidence=_percent(v.confidence),
        fpr=_percent(rate),
        rate=f"{count_in(rate, choose_base(rate))} in {choose_base(rate):,}",
        base=base,
        interval=_interval(v),
        found=count_in(value, base, v.limit),
        limit=count_in(v.limit, base, v.limit),
        chance="" if v.chance is None else count_in(v.chance, base, v.limit),
        runs_before=v.n.get("baseline_runs", 0),
        runs_after=v.n.get("candidate_runs", 0),
        **_params(v),
    )


def _choose_finding(v: Verdict) -> str:
    """Which sentence says what was found."""
    code = v.reason.code
    if v.kind == "coverage":
        return code
    if code in (ReasonCode.SUPPRESSED, ReasonCode.NO_GROUPING, ReasonCode.NO_BASELINE):
        return code
    if v.together:
        return code if code is ReasonCode.GUARANTEES_APART else "guarantees_together"
    if v.metric in EPSILON[:2]:
        return code if code is ReasonCode.NO_GUARANTEE else "guarantee"
    if v.kind == "regression":
        known = "change_paired" if "pairs" in v.n else "change"
        if "before" in v.reason.params:
            return known
        return "not_compared" if v.value is None else "change_doubted"
    if v.number is None:
        return "not_measured"
    if v.value is None:
        return "tpr_not_stated" if v.fpr is not None else "not_stated"
    if v.kind == "guard":
        return "guard"
    if v.metric in EPSILON:
        return "epsilon"
    return "tpr_group" if v.number.name == "tpr" and v.group is not None else v.number.name


def _params(v: Verdict) -> dict[str, str]:
    """The parameters of the reason, as they are printed."""
    shown = {f"p_{name}": _show(value) for name, value in v.reason.params.items()}
    if "unit" in v.reason.params:
        shown["p_unit"] = name_unit(str(v.reason.params["unit"]))
    held = {"epsilon.claimed": "epsilon", "epsilon.delta": "delta", "epsilon.lower_bound": "most"}
    against = v.reason.params.get(held.get(v.metric, ""))
    if isinstance(against, int | float):
        shown[f"p_{held[v.metric]}"] = beside(against, v.limit)
    return shown


def _name_measure(v: Verdict) -> str:
    name = "" if v.number is None else v.number.name
    part = "" if v.attack else name_setting(v.setting)
    return f"{_name_plainly(name)}{f' ({part})' if part else ''}"


def _name_plainly(name: str) -> str:
    known = {"auroc": "AUROC", "auprc": "AUPRC", "brier": "Brier score"}
    known |= {"r2": "R2", "mae": "mean absolute error", "rmse": "root mean squared error"}
    known |= {"c_index": "C-index", "kappa_linear": "linear kappa", "mean_miss": "mean miss"}
    known |= {"prediction_slope": "calibration slope"}
    return known.get(name, name.replace("_", " "))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _number(value: object) -> float:
    """A parameter that is a number."""
    assert isinstance(value, int | float)
    return value


def _word_count(value: object) -> str:
    """A count that is wanted; nothing where disclosure control withheld it, for no sentence about
    a rate that could not be stated says how many are lacking."""
    return "" if value == WITHHELD else round_up(_number(value))


def _show(value: object) -> str:
    return significant(value) if isinstance(value, int | float) else str(value)


# ---------------------------------------------------------------- why


def word_reason(v: Verdict, label: Label = str) -> str:
    """Why the verdict has the state it has."""
    code, p = v.reason.code, v.reason.params
    if code not in _texts()["reasons"]:
        # The number that decides is not stated: its own reason says why.
        return _capital(facts.word_reason(v.reason)).rstrip(".") + "."
    text, more = _texts()["reasons"][code], _texts()["more"]
    if code is ReasonCode.MARGIN_INSIDE_BOUNDS and "pairs" in v.n:
        text = more["margin_inside_pairs"]
    if v.metric == "epsilon.lower_bound" and code is ReasonCode.LIMIT_INSIDE_BOUNDS:
        text = more["epsilon_crosses"]
    others = p.get("others", ())
    if isinstance(others, tuple) and len(others) > 1:
        text += f" {more['highest'] if code in HIGHEST else more['surest']}"
    if code in HIGHEST and p["weak"]:
        text += f" {more['left_aside']}"
    if code is ReasonCode.EXCEEDS_BOUND and not p["listed"]:
        text += f" {more['unlisted']}"
    if code is ReasonCode.CLASS_NOT_TESTED and p["attacks"]:
        text = f"{text.rstrip('.')} {more['only']}."
    text = fill(text).format(
        lower=_amount(v, v.lower),
        upper=_amount(v, v.upper),
        limit=_amount(v, v.limit),
        subject=v.subject,
        attack=label(v.attack),
        adjusted=", adjusted for all rules judged together," if p.get("adjusted") else "",
        attack_names=list_names(p.get("attacks", p.get("weak")), label),
        others=list_names(others, label),
        weak=list_names(p.get("weak"), label),
        strongest=label(str(p.get("strongest", ""))),
        setting_names=list_names(p.get("settings")),
        known_names=list_names(p.get("known")) or "none",
        kind_names=list_names(p.get("kinds")),
        access_names=list_names(p.get("access"), name_access),
        control="" if v.control is None else f" ({facts.word_reason(v.control)})",
        **_params(v),
    )
    if code in LISTING and v.untested:
        text = f"{text.rstrip('.')} ({_word_untested(v, label)})."
    return text


def _word_untested(v: Verdict, label: Label) -> str:
    return "; ".join(f"{label(name)}: {facts.word_reason(why)}" for name, why in v.untested)


# ---------------------------------------------------------------- what would help


def word_remedy(v: Verdict) -> str:
    """What to do, or what would decide it; nothing where the limit is kept."""
    if v.state == "WITHIN":
        return ""
    texts, p = _texts(), v.reason.params
    asked, more = p.get("attacks", ()), p.get("more", 0)
    text = {**texts["remedies"], **texts["advice"]}.get(_choose_remedy(v), "")
    text = fill(text).format(
        attacks=",".join(asked) if isinstance(asked, tuple) else asked,
        more=_word_count(more),
        needed=_word_count(more),
        near=p.get("near", ""),
        family=v.metric.partition(".")[0],
        lacking=_number(p.get("wanted", 0)) - v.n.get("candidate_runs", 0),
        what="delta" if v.metric == "epsilon.delta" else "epsilon",
        plain_limit=whole(v.limit),
        **_params(v),
    )
    if v.group is not None and v.state in BROKEN:
        text = f"{fill(texts['more']['group'])}{text[:1].lower()}{text[1:]}"
    return text


def _choose_remedy(v: Verdict) -> str:
    """Which sentence says what would help."""
    code, p = v.reason.code, v.reason.params
    if code in (ReasonCode.EXCEEDS_BOUND, ReasonCode.PROVED_ABOVE):
        return "protect_table" if p["table"] else "protect"
    if code is ReasonCode.LIMIT_INSIDE_BOUNDS:
        return _choose_deciding(v)
    if v.metric == AT_RISK and v.number is not None and v.value is None:
        return "more_refits"
    if code in (ReasonCode.NO_ATTACK_RUN, ReasonCode.CLASS_NOT_TESTED):
        if any(why.code is ReasonCode.NO_SENSITIVE_COLUMN for _, why in v.untested):
            return "mark_sensitive"
        return "look_at_untested" if v.untested else "run"
    if code is ReasonCode.NO_GROUPING:
        return "near" if p["near"] else "name_grouping"
    if code is ReasonCode.TOO_FEW_CANDIDATE_RUNS:
        return "more_seeds"
    if code in LOST_REFITS:
        return "name_training"
    if v.together:
        return code if code is ReasonCode.GUARANTEES_APART else "guarantees_together"
    if v.metric in EPSILON[:2]:
        return "guarantee"
    if code is ReasonCode.MARGIN_INSIDE_BOUNDS and "pairs" in v.n:
        return "margin_inside_pairs"
    return code if code in _texts()["reasons"] else "coarser_rate"


def _choose_deciding(v: Verdict) -> str:
    """Which sentence says what would decide a limit that lies within the bounds."""
    if v.value is None:
        return "more_patients"
    if v.kind == "guard":
        return "more_for_guard"
    if v.metric in EPSILON:
        return "more_for_epsilon"
    if v.value >= v.limit:
        return "above_already"
    if v.metric == AT_RISK:
        return "more_refits"
    if not v.reason.params["more"]:
        return "no_realistic_number"
    if v.group is not None:
        return "more_in_group"
    return "more_held_out" if "nonmember_patients" in v.n else "more_tried"


def explain_verdict(v: Verdict, label: Label = str) -> list[str]:
    """What was found, why the state is what it is, and what would help, where anything would."""
    parts = (word_finding(v, label), word_reason(v, label), word_remedy(v))
    return [part for part in parts if part]


# ---------------------------------------------------------------- notes


def word_note(note: Caveat, untrained: Mapping[str, Reason] | None = None) -> str:
    """A note of verdicts in a sentence. untrained: why subjects were not trained."""
    texts, p = _texts()["notes"], note.params
    text = texts.get(note.code, "")
    if note.code is CaveatCode.LIMIT_BELOW_RESOLUTION:
        limit, least = _number(p["limit"]), _number(p["least"])
        base = choose_base(limit, least)
        shown: dict[str, object] = {
            "limit": count_in(limit, base, limit),
            "least": count_in(least, base, limit),
        }
        text = fill(text).format(**{**p, **shown, "base": base})
    elif note.code is CaveatCode.LEFT_OUT:
        text = _word_left_out(text, p)
    elif text:
        why = (untrained or {}).get(str(p.get("subject")))
        text = fill(text).format(
            **{name: list_names(one) if isinstance(one, tuple) else one for name, one in p.items()},
            group=f" for {p['by']}: {p['level']}" if p.get("by") else "",
            why="" if why is None else f" ({facts.word_reason(why)})",
        )
    else:
        text = facts.word_caveat(note)
    return f"The audit failed: {text}" if note.severity == "defect" else _capital(text)


def _word_left_out(text: str, p: Mapping[str, Param]) -> str:
    """What the policy leaves out, who answers for it, and what was measured all the same."""
    end = "." if p["measured"] or not str(p["why"]).endswith((".", "!", "?")) else ""
    measured = f"; measured all the same, and not judged: {list_names(p['measured'])}"
    return fill(text).format(
        name=name_family(str(p["family"])),
        only=f" ({list_names(p['attacks'])})" if p["attacks"] else "",
        subjects=list_names(p["subjects"]),
        by=f", by {p['approved_by']}" if p["approved_by"] else "",
        why=p["why"],
        measured=f"{measured if p['measured'] else ''}{end}",
    )


def word_notes(verdicts: Verdicts) -> tuple[str, ...]:
    """Every note of the verdicts, those that failed the audit first."""
    untrained = dict(verdicts.untrained)
    return tuple(word_note(note, untrained) for note in verdicts.notes)
