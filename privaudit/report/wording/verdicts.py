"""Every sentence of a verdict: what was found, why the state is what it is, and what would help.

One wording for `check` in every format, the report, the notebook and pytest. Shares are stated as natural
frequencies ("about 7 in 100"), beside what guessing gives and what the policy allows. No sentence says of
a release what no test can show. `label`, where a function takes it, names an attack for its reader: in
machine formats and on the command line by its key, in the report by its title.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

from privaudit.facts import Caveat, CaveatCode, Group, Reason, ReasonCode
from privaudit.report.numbers import significant
from privaudit.report.wording import facts
from privaudit.report.wording.access import name_access
from privaudit.report.wording.metrics import MEANINGS
from privaudit.verdicts import Verdict, Verdicts

Label = Callable[[str], str]

EPSILON = ("epsilon.claimed", "epsilon.delta", "epsilon.lower_bound")
"""Metrics of a policy that are no shares."""

NO_REALISTIC_NUMBER = "So close to the limit that no realistic number of patients decides it: protect the release better."

# ---------------------------------------------------------------- numbers


def choose_base(*shares: float | None) -> int:
    """Out of how many shares are stated: 100, or as many more as the smallest of them needs."""
    least = min((abs(share) for share in shares if share), default=1.0)
    return next((base for base in (100, 1_000, 10_000) if least * base >= 0.95), 100_000)


def count_in(share: float, base: int) -> str:
    """So many of `base`: one decimal below 10, none above; minus as a real minus."""
    number = share * base
    text = f"{number:,.1f}" if abs(number) < 9.95 else f"{number:,.0f}"
    text = text.removesuffix(".0")
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
        return significant(value)
    base = _base(v)
    return f"{count_in(value, base)} in {base:,}"


def _interval(v: Verdict) -> str:
    if v.low is None or v.high is None:
        return ""
    low, high = significant(v.low), significant(v.high)
    if v.kind == "limit" and v.metric not in EPSILON:
        low, high = count_in(v.low, _base(v)), count_in(v.high, _base(v))
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
    name = label(v.attack) if v.attack else ""
    return f"{name} ({v.setting})".strip() if v.setting is not None else name


def word_rule(
    kind: Literal["limit", "guard", "regression"],
    metric: str,
    limit: float,
    *,
    at_least: bool = False,
    fpr: float | None = None,
    prior: float | None = None,
) -> str:
    """A rule in a few words: `membership.tpr at a false positive rate of 1 %, at most 0.03`."""
    text = metric
    if fpr is not None:
        text += f" at a false positive rate of {_percent(fpr)}"
    if prior is not None:
        text += f" at a prior of {_percent(prior)}"
    if kind == "regression":
        return f"{text}, at most {significant(limit)} worse than the baseline"
    return f"{text}, {'at least' if at_least else 'at most'} {significant(limit)}"


def word_rule_of(v: Verdict) -> str:
    """The rule that a verdict applies, in a few words."""
    return word_rule(v.kind, v.metric, v.limit, at_least=v.at_least, fpr=v.fpr, prior=v.prior)


def word_numbers(v: Verdict, label: Label = str) -> str:
    """Attack, value and limit in a few words: `lira: 0.52, at most 0.6`."""
    value = "no number" if v.value is None else significant(v.value)
    limit = f"{'at least' if v.at_least else 'at most'} {significant(v.limit)}"
    attack = name_attack_of(v, label)
    return f"{f'{attack}: ' if attack else ''}{value}, {limit}"


_MEASURES = {
    "rate": "share of attempts that succeed",
    "advantage": "how much more often the attack succeeds than its control",
    "over_control": "how much more often the attack succeeds than its control",
    "over_guess": "how much more often the attack succeeds than a guess without the release",
}
_GUESSED = dict.fromkeys(("attribute.advantage", "reconstruction.advantage"), "how much more often the attack succeeds than a guess without the release")
_METRICS: Mapping[str, str] = {
    **_GUESSED,
    "membership.auc": "chance that a training record scores above a held-out one",
    "membership.tpr": "share of training records recognised at a false positive rate",
    "membership.ppv": "chance that a record named as a member is one, at a false positive rate of 1 % "
    "and a prior",
    "synthetic.singling_out": "how much more often singling out succeeds than its control",
    "synthetic.linkability": "how much more often linking succeeds than its control",
    "synthetic.attribute_inference": "how much more often inferring a value succeeds than its control",
    "synthetic.exact_copies": MEANINGS["exact_copies_excess"],
    "synthetic.near_copies": MEANINGS["near_copies_excess"],
    "epsilon.claimed": "the epsilon that is claimed",
    "epsilon.delta": "the delta that is claimed",
    "epsilon.lower_bound": "the least epsilon that an attack proves",
}


def explain_policy_metric(name: str) -> str:
    """What a metric of a policy measures, in one line without a full stop."""
    measure = name.rpartition(".")[2]
    return _METRICS.get(name) or _MEASURES.get(measure) or MEANINGS[measure]


# ---------------------------------------------------------------- what was found


def word_finding(v: Verdict, label: Label = str) -> str:
    """What was found, in natural frequencies, against the limit."""
    text = _word_finding(v, label)
    if v.group is not None and v.reason.code is not ReasonCode.SUPPRESSED:
        return f"Among patients with {name_group(v.group)}, {text[:1].lower()}{text[1:]}"
    return text


def _word_finding(v: Verdict, label: Label) -> str:
    code, p = v.reason.code, v.reason.params
    if code is ReasonCode.SUPPRESSED:
        which = f"The group {name_group(v.group)}" if v.group is not None else "What it rests on"
        return f"{which} is too small for its number to be shown."
    if code is ReasonCode.NO_GROUPING:
        return f"The patients of {v.subject} were not split by {p['by']}."
    if v.metric in EPSILON[:2]:
        return _word_claim(v)
    if v.kind == "regression":
        return _word_change(v)
    if v.number is None:
        return f"Nothing was measured of {explain_policy_metric(v.metric)} on {v.subject}."
    who = f"the attack {name_attack_of(v, label)}" if v.attack else v.subject
    if v.value is None:
        if v.fpr is not None:
            return (
                f"How many training patients {who} recognises at a false positive rate of "
                f"{_percent(v.fpr)} could not be stated."
            )
        return f"The {explain_policy_metric(v.metric)} could not be stated for {who}."
    if v.kind == "guard":
        asked = "at least" if v.at_least else "at most"
        return (
            f"The {_name_measure(v.number.name)} is {significant(v.value)}{_interval(v)}; your policy "
            f"asks for {asked} {significant(v.limit)}."
        )
    return _word_risk(v, who, v.number.name, v.value)


def _word_risk(v: Verdict, who: str, name: str, value: float) -> str:
    if v.metric in EPSILON:
        return (
            f"{_capital(who)} proves an epsilon of at least {significant(value)} "
            f"({_percent(v.confidence)} confidence); your policy allows {significant(v.limit)}. The "
            "true one may be larger."
        )
    base, interval = _base(v), _interval(v)
    found, limit = count_in(value, base), count_in(v.limit, base)
    chance = "" if v.chance is None else count_in(v.chance, base)
    if name == "auc":
        return (
            f"Given one training patient and one other, {who} picks the training patient about "
            f"{found} times in {base:,}{interval}; guessing picks {chance}; your policy allows {limit}."
        )
    if name == "tpr":
        fpr = v.fpr or 0.0
        named = choose_base(fpr)
        beside = (
            f"it names {chance} in {base:,} of this group's held-out patients"
            if v.group is not None
            else f"guessing would recognise {chance} in {base:,}"
        )
        return (
            f"{_capital(who)} recognises about {found} in {base:,} training patients{interval} at a "
            f"false positive rate of {count_in(fpr, named)} in {named:,}; {beside}; your policy "
            f"allows {limit} in {base:,}."
        )
    if name == "ppv":
        prior = v.prior or 0.0
        asked = choose_base(prior)
        return (
            f"Where {count_in(prior, asked)} in {asked:,} of the people asked about are training "
            f"patients, a person named by {who} is one about {found} times in {base:,}{interval}; "
            f"your policy allows {limit} in {base:,}."
        )
    if name == "attack_rate":
        return (
            f"{_capital(who)} succeeds in about {found} of {base:,} attempts{interval}; its control "
            f"in {chance}; your policy allows {limit}."
        )
    if name in ("exact_copies_excess", "near_copies_excess"):
        kind = "an exact duplicate" if name == "exact_copies_excess" else "a near-duplicate"
        return (
            f"About {found} in {base:,} more of the training records than of the held-out ones have "
            f"{kind} in the table{interval}; your policy allows {limit}."
        )
    beside = "a guess without the release" if name == "attack_minus_guess" else "its control"
    return (
        f"{_capital(who)} succeeds about {found} times in {base:,} more often than "
        f"{beside}{interval}; your policy allows {limit}."
    )


def _word_claim(v: Verdict) -> str:
    what = "delta" if v.metric == "epsilon.delta" else "epsilon"
    if v.reason.code is ReasonCode.NO_GUARANTEE:
        return (
            f"{v.subject} claims no privacy guarantee; your policy asks for {what} of at most "
            f"{significant(v.limit)}."
        )
    p = v.reason.params
    return (
        f"{v.subject} claims epsilon {_show(p['epsilon'])} at delta {_show(p['delta'])} for each "
        f"{p['unit']}; your policy allows {what} {significant(v.limit)}."
    )


def _word_change(v: Verdict) -> str:
    code, p = v.reason.code, v.reason.params
    if code is ReasonCode.NO_BASELINE:
        return f"Whether {v.metric} of {v.subject} got worse was not looked at."
    meaning = _capital(explain_policy_metric(v.metric))
    if "before" not in p:
        return f"{meaning}: not compared with the baseline."
    return (
        f"{meaning}: {_show(p['before'])} on average of {v.n.get('baseline_runs', 0)} run(s) of the "
        f"baseline, {_show(p['after'])} of {v.n.get('candidate_runs', 0)} of the candidate."
    )


def _name_measure(name: str) -> str:
    known = {"auroc": "AUROC", "auprc": "AUPRC", "brier": "Brier score"}
    return known.get(name, name.replace("_", " "))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _number(value: object) -> float:
    """A parameter that is a number."""
    assert isinstance(value, int | float)
    return value


def _show(value: object) -> str:
    return significant(value) if isinstance(value, int | float) else str(value)


# ---------------------------------------------------------------- why


def word_reason(v: Verdict, label: Label = str) -> str:
    """Why the verdict has the state it has."""
    code, p = v.reason.code, v.reason.params
    if code not in REASONS:
        # The number that decides is not stated: its own reason says why.
        return _capital(facts.word_reason(v.reason)).rstrip(".") + "."
    text = REASONS[code].format(
        lower=_amount(v, v.lower),
        upper=_amount(v, v.upper),
        limit=_amount(v, v.limit),
        subject=v.subject,
        adjusted=", adjusted for all rules judged together," if p.get("adjusted") else "",
        attack_names=list_names(p.get("attacks", p.get("weak")), label),
        setting_names=list_names(p.get("settings")),
        known_names=list_names(p.get("known")) or "none",
        access_names=list_names(p.get("access"), name_access),
        **{f"p_{name}": _show(value) for name, value in p.items()},
    )
    if v.metric == "epsilon.lower_bound":
        if code is ReasonCode.LIMIT_INSIDE_BOUNDS:
            lower = _amount(v, v.lower)
            text = f"Adjusted for all such proofs together, no more than {lower} is proved."
        if code is ReasonCode.WITHIN_BOUND:
            limit = _amount(v, v.limit)
            text = f"No attack proved more than {limit}, and these patients could have proved it."
    if code in (ReasonCode.ATTACKS_MISSING, ReasonCode.NO_ATTACK_RUN) and v.untested:
        text = f"{text.rstrip('.')} ({_word_untested(v, label)})."
    others = p.get("others", ())
    if isinstance(others, tuple) and len(others) > 1:
        shown = list_names(others, label)
        within = code is ReasonCode.WITHIN_BOUND
        most = f"Of {shown}, {label(v.attack)} shows it most surely."
        text += f" The highest of {shown}." if within else f" {most}"
    if code is ReasonCode.WITHIN_BOUND and p["weak"]:
        text += f" Left aside for insufficient power: {list_names(p['weak'], label)}."
    if code is ReasonCode.EXCEEDS_BOUND and not p["listed"]:
        text += " This group is not named in the policy, so it warns and does not block."
    return text


def _word_untested(v: Verdict, label: Label) -> str:
    return "; ".join(f"{label(name)}: {facts.word_reason(why)}" for name, why in v.untested)


REASONS: Mapping[ReasonCode, str] = {
    ReasonCode.WITHIN_BOUND: "Even the upper bound, {upper}, keeps to the limit of {limit}.",
    ReasonCode.EXCEEDS_BOUND: "Even the lower bound, {lower}{adjusted} lies above the limit of {limit}.",
    ReasonCode.REACHES_MINIMUM: "Even the lower bound, {lower}, reaches the {limit} asked for.",
    ReasonCode.MISSES_MINIMUM: "Even the upper bound, {upper}{adjusted} falls short of the {limit} "
    "asked for.",
    ReasonCode.LIMIT_INSIDE_BOUNDS: "The limit of {limit} lies within the bounds, {lower} to {upper}.",
    ReasonCode.TOO_FEW_FALSE_POSITIVES: "Too few false positives are expected among the held-out "
    "patients for this rate.",
    ReasonCode.NUMBER_ABSENT: "The audit holds no such number.",
    ReasonCode.NO_INTERVAL: "The number came without an interval, and cannot be judged.",
    ReasonCode.SUPPRESSED: "Fewer than {p_least} patients.",
    ReasonCode.NEGATIVE_CONTROL_FAILED: "The negative control failed: a model that was not trained on "
    "these patients reads as if it had been, so the audit is invalid here.",
    ReasonCode.DISTRIBUTION_SHIFTED: "Members and held-out patients can be told apart without the model "
    "(distribution shift), so that no number of this kind means what it should.",
    ReasonCode.LACKS_POWER: "The attack lacks power here: {attack_names} missed a leak that was planted "
    "in the model, so a low number is not evidence of low risk.",
    ReasonCode.NO_POSITIVE_CONTROL: "No leak was planted for {attack_names} to find, so a low number is "
    "not evidence of low risk.",
    ReasonCode.GROUP_ATYPICAL: "In this group the attack names training patients no more often than "
    "held-out ones: the group is unusual, not recognised.",
    ReasonCode.NOTHING_PROVABLE: "So few patients could prove no more than {p_most} even if every guess "
    "were right.",
    ReasonCode.ATTACKS_MISSING: "Not run on {subject}: {attack_names}, which the policy asks for.",
    ReasonCode.SETTINGS_MISSING: "Not measured on {subject}: {setting_names}, which the policy asks for.",
    ReasonCode.NO_ATTACK_RUN: "No attack of this kind gave a number on {subject}.",
    ReasonCode.NOT_APPLICABLE: "Does not apply: this release gives away nothing that such an attack "
    "needs.",
    ReasonCode.NO_GROUPING: "Groupings of the audit: {known_names}.",
    ReasonCode.NO_GUARANTEE: "Nothing is claimed, so nothing bounds what may leak.",
    ReasonCode.GUARANTEE_OF_ANOTHER_UNIT: "The guarantee is for one {p_unit}, and the policy protects "
    "each patient.",
    ReasonCode.GUARANTEE_NOT_COVERING: "The guarantee does not cover receivers who can {access_names}.",
    ReasonCode.GUARANTEE_WITHIN: "What is claimed keeps to the limit of {limit}.",
    ReasonCode.GUARANTEE_ABOVE: "What is claimed lies above the limit of {limit}.",
    ReasonCode.NO_BASELINE: "No baseline was given to compare with.",
    ReasonCode.ABSENT_FROM_BASELINE: "The baseline's runs state no value.",
    ReasonCode.ABSENT_FROM_CANDIDATE: "The candidate's runs state no value.",
    ReasonCode.TOO_FEW_BASELINE_RUNS: "The baseline has one run: how much seeds move this number is not "
    "known.",
    ReasonCode.TOO_FEW_CANDIDATE_RUNS: "The rule asks for {p_wanted} runs of the candidate: one training "
    "may read a little more or less by chance.",
    ReasonCode.NO_WORSE_THAN_MARGIN: "Even the upper bound ({upper}) is within the margin ({limit}).",
    ReasonCode.WORSE_THAN_MARGIN: "Even the lower bound ({lower}) is above the margin ({limit}).",
    ReasonCode.MARGIN_INSIDE_BOUNDS: "The margin lies between the bounds, {lower} to {upper}: seeds move "
    "this number by {p_spread} from run to run.",
}
"""Every reason that a verdict can have, but for those of a number that is not stated."""


# ---------------------------------------------------------------- what would help

ACCEPT = (
    "have the risk accepted in a waiver by whoever answers for it under the policy; a waiver lowers no "
    "risk."
)

REMEDIES: Mapping[ReasonCode, str] = {
    ReasonCode.MISSES_MINIMUM: "A model this weak may keep every limit on risk for that reason alone: "
    "protect less, or train on more patients.",
    ReasonCode.TOO_FEW_FALSE_POSITIVES: "About {more} more held-out patients, or a larger false "
    "positive rate.",
    ReasonCode.NUMBER_ABSENT: "Run the audit again with this version, or choose another metric.",
    ReasonCode.SUPPRESSED: "A coarser grouping, or more patients of this group.",
    ReasonCode.NO_INTERVAL: "Run the audit again with this version.",
    ReasonCode.DISTRIBUTION_SHIFTED: "Hold out patients at random from the very source of the members, "
    "and audit again.",
    ReasonCode.NEGATIVE_CONTROL_FAILED: "Rely on none of these numbers: look for records of one patient "
    "on both sides, or report a fault of the audit.",
    ReasonCode.LACKS_POWER: "Train more models for the attack (--profile thorough), or name the attacks "
    "that count with attacks = [...].",
    ReasonCode.NO_POSITIVE_CONTROL: "Run the audit with its controls, or set positive_control = "
    '"optional" and answer for it.',
    ReasonCode.GROUP_ATYPICAL: "Nothing to mend; a limit on membership.auc compares each group with its "
    "own.",
    ReasonCode.NOTHING_PROVABLE: "More patients, or a smaller limit that they can decide.",
    ReasonCode.ATTACKS_MISSING: "Run it again with --attacks {attacks}.",
    ReasonCode.SETTINGS_MISSING: "Mend at in the policy, or run the audit on what it names.",
    ReasonCode.NO_BASELINE: "Give --baseline FILE; `privaudit baseline create` makes one.",
    ReasonCode.ABSENT_FROM_BASELINE: "Run the attacks that the rule names, in both.",
    ReasonCode.ABSENT_FROM_CANDIDATE: "Run the attacks of the baseline and of the rule, in both.",
    ReasonCode.TOO_FEW_BASELINE_RUNS: "Add runs with other seeds: privaudit baseline update BASELINE "
    "RUN... --reason TEXT.",
    ReasonCode.WORSE_THAN_MARGIN: "Find what changed in the model; a baseline is not there to be moved.",
    ReasonCode.MARGIN_INSIDE_BOUNDS: "About {more} more runs with other seeds on each side would decide "
    "it.",
}
"""What would help, for reasons of which no more needs to be known. None is no remedy."""


def word_remedy(v: Verdict) -> str:
    """What to do, or what would decide it; nothing where the limit is kept."""
    code, p = v.reason.code, v.reason.params
    if v.state == "WITHIN":
        return ""
    if code is ReasonCode.EXCEEDS_BOUND:
        text = _protect(bool(p["table"]))
    elif code is ReasonCode.LIMIT_INSIDE_BOUNDS:
        text = _word_deciding(v)
    elif code is ReasonCode.NO_ATTACK_RUN:
        text = _word_running(v)
    elif code is ReasonCode.NO_GROUPING:
        text = f"did you mean {p['near']!r}?" if p["near"] else NAME_GROUPING
    elif code is ReasonCode.TOO_FEW_CANDIDATE_RUNS:
        lacking = _number(p["wanted"]) - v.n.get("candidate_runs", 0)
        text = f"Run the candidate with {lacking:.0f} more seed(s) and name every run with --candidate."
    elif v.metric in EPSILON[:2]:
        what = "delta" if v.metric == "epsilon.delta" else "epsilon"
        text = (
            "Train with a privacy guarantee that covers what is given away, for a patient (dp_sgd, "
            f"dp_linear, dp_forest), with {what} at most {significant(v.limit)}."
        )
    elif code not in REASONS:
        text = "Give the audit the patients it asks for, or choose a coarser rate."
    else:
        asked = p.get("attacks", ())
        text = REMEDIES.get(code, "").format(
            more=round_up(_number(p.get("more", 0))),
            attacks=",".join(asked) if isinstance(asked, tuple) else asked,
        )
    if v.group is not None and v.state == "EXCEEDS":
        text = (
            "Look at why these patients stand out: few of them, or unusual values; "
            f"{text[:1].lower()}{text[1:]}"
        )
    return text


NAME_GROUPING = "Name a grouping of this run in the policy, or audit with --groups."


def _protect(table: bool) -> str:
    if table:
        return (
            "Do not release it as it is: use a generator with a privacy guarantee (dp_marginals, "
            f"dp_histogram), release fewer rows or columns, or {ACCEPT}"
        )
    return (
        "Do not release it as it is: train with a privacy guarantee (differential privacy), or with "
        f"stronger regularisation, give less away, or {ACCEPT}"
    )


def _word_running(v: Verdict) -> str:
    if v.untested:
        return "See why each was left out: mend that, or take the rule out and answer for it."
    return f"Run the audit with --attacks {v.metric.partition('.')[0]}."


def _word_deciding(v: Verdict) -> str:
    """What would decide a limit that lies within the bounds."""
    if v.value is None:
        return "More patients."
    if v.kind == "guard":
        return "More held-out patients, or a bound further from the value."
    if v.metric in EPSILON:
        return "More patients, whose random assignment could prove more."
    if v.value >= v.limit:
        return (
            "The number itself is not below the limit: more patients are likelier to confirm that than "
            "to clear it. Protect the release better."
        )
    more = _number(v.reason.params["more"])
    if not more:
        return NO_REALISTIC_NUMBER
    needed = round_up(more)
    if v.group is not None:
        return f"About {needed} more patients of this group on each side, or a coarser grouping."
    if "nonmember_patients" not in v.n:
        return f"About {needed} more patients to try the attack on."
    return f"About {needed} more held-out patients, and as many more to train on."


# ---------------------------------------------------------------- notes

NOTES: Mapping[CaveatCode, str] = {
    CaveatCode.HARNESS_LEAKS: "{attack} recognises patients in a model that was not trained on them "
    "({subject}): the negative control failed, so that the harness itself leaks membership.",
    CaveatCode.CONTROL_ERROR: "a {control} control of {attack} on {subject} failed with an error.",
    CaveatCode.ATTACK_FAILED: "{attack} on {subject} failed with an error ({error}).",
    CaveatCode.UNAPPROVED: "The policy names nobody who approved it.",
    CaveatCode.NOT_JUDGED: "Not judged, because the policy does not name them as to be released: "
    "{subjects}.",
    CaveatCode.WAIVER_IDLE: "The waiver of {rule} covers nothing in this run: no such group or subject.",
    CaveatCode.NO_GUARANTEE_REQUIRED: "Weights that are given out cannot be taken back, and no limit of "
    "this policy asks for a privacy guarantee; attacks that are not yet known may do better than those "
    "run here.",
}


def word_note(note: Caveat, untrained: Mapping[str, Reason] | None = None) -> str:
    """A note of verdicts in a sentence. untrained: why subjects were not trained."""
    p = note.params
    if note.code is CaveatCode.WAIVER_EXPIRED:
        group = f" for {p['by']}: {p['level']}" if p["by"] else ""
        return (
            f"The waiver of {p['rule']}{group} by {p['approved_by']} expired on {p['expires']} and "
            "waives nothing."
        )
    if note.code is CaveatCode.LIMIT_BELOW_RESOLUTION:
        return _word_resolution(p)
    if note.code is CaveatCode.NOT_TRAINED:
        why = (untrained or {}).get(str(p["subject"]))
        text = f"{p['subject']} was requested and not trained, so that nothing is known about it"
        text += f" ({facts.word_reason(why)})." if why is not None else "."
    elif note.code in NOTES:
        shown = {k: list_names(v) if isinstance(v, tuple) else v for k, v in p.items()}
        text = NOTES[note.code].format(**shown)
    else:
        text = facts.word_caveat(note)
    return f"The audit failed: {text}" if note.severity == "defect" else _capital(text)


def _word_resolution(p: Mapping[str, object]) -> str:
    limit, least = _number(p["limit"]), _number(p["least"])
    base = choose_base(limit, least)
    return (
        f"The limit {p['rule']} ({count_in(limit, base)} in {base:,}) lies below what "
        f"{_number(p['patients']):,.0f} held-out patients can show: a model that leaks nothing passes 4 "
        f"times in 5 only for a limit of {count_in(least, base)} in {base:,} or more, and less often "
        "where several attacks must pass."
    )


def word_notes(verdicts: Verdicts) -> tuple[str, ...]:
    """Every note of the verdicts, those that failed the audit first."""
    untrained = dict(verdicts.untrained)
    return tuple(word_note(note, untrained) for note in verdicts.notes)


__all__ = [
    "REASONS",
    "choose_base",
    "count_in",
    "explain_policy_metric",
    "list_names",
    "name_attack_of",
    "name_group",
    "name_group_of",
    "round_up",
    "word_finding",
    "word_note",
    "word_notes",
    "word_numbers",
    "word_reason",
    "word_remedy",
    "word_rule",
    "word_rule_of",
]
