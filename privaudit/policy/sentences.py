"""Every sentence of a verdict: what happened, why the word is what it is, and what would help.

Shares are told as natural frequencies ("about 7 in 100"), beside what guessing gives and what the policy
allows. No sentence says of a release what no test can show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from privaudit.contracts import Access
from privaudit.policy.file import Exemption, Guard, Limit, Policy, Regression
from privaudit.policy.metrics import COPIES, Metric
from privaudit.results import Estimate, Subject
from privaudit.stats import onesided
from privaudit.verdicts import State

MOST_TIMES = 50
"""More patients than this many times as many are not proposed."""


@dataclass(frozen=True)
class Told:
    """What a sentence is made of."""

    policy: Policy
    rule: Limit | Guard
    known: Metric
    subject: Subject
    why: str
    state: State
    limit: float
    group: str = ""
    attack: str = ""
    setting: str = ""
    estimate: Estimate | None = None
    lower: float | None = None
    upper: float | None = None
    missing: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()
    facts: Mapping[str, float | int | str] = field(default_factory=dict)
    blanks: tuple[str, ...] = ()
    unlisted: bool = False


# ---------------------------------------------------------------- numbers


def base_of(*shares: float | None) -> int:
    """Out of how many shares are told: 100, or as many more as the smallest of them needs."""
    least = min((abs(share) for share in shares if share), default=1.0)
    return next((base for base in (100, 1_000, 10_000) if least * base >= 0.95), 100_000)


def count(share: float, base: int) -> str:
    """So many of `base`: one decimal below 10, none above; minus as a real minus."""
    number = share * base
    text = f"{number:,.1f}" if abs(number) < 9.95 else f"{number:,.0f}"
    text = text.removesuffix(".0")
    text = "0" if text == "-0" else text
    return text.replace("-", "\u2212")


def plain(value: float) -> str:
    """A number that is no share: three digits, never in powers of ten for ordinary sizes."""
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        digits = max(0, 2 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{digits}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        text = f"{value:.2g}"
    return text.replace("-", "\u2212")


def rough(number: float) -> str:
    """A count to two digits, rounded up: 410, 1,300."""
    step = 10 ** max(0, math.floor(math.log10(max(number, 1))) - 1)
    return f"{math.ceil(number / step) * step:,}"


def is_share(known: Metric) -> bool:
    return known.kind == "risk" and known.family != "epsilon"


def amount(told: Told, value: float | None) -> str:
    """A value, bound or limit in the unit of its metric."""
    if value is None:
        return "no bound"
    if not is_share(told.known):
        return plain(value)
    base = _base(told)
    return f"{count(value, base)} in {base:,}"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def percent(share: float) -> str:
    return f"{share * 100:.4g} %"


def _base(told: Told) -> int:
    if told.known.name.startswith("membership.auc"):
        return 100
    chance = told.estimate.chance if told.estimate else None
    risky = told.known.name.partition(".")[2]
    if risky in ("tpr", "ppv"):
        return base_of(told.limit, None if told.group else chance)
    return base_of(told.limit)


def _interval(told: Told) -> str:
    e = told.estimate
    if e is None or e.low is None or e.high is None:
        return ""
    if is_share(told.known):
        base = _base(told)
        low, high = count(e.low, base), count(e.high, base)
    else:
        low, high = plain(e.low), plain(e.high)
    return f" ({percent(e.confidence)} interval {low} to {high})"


# ---------------------------------------------------------------- what happened


def sentence(told: Told) -> str:
    """What happened, in natural frequencies, against the limit."""
    text = _happened(told)
    if told.group and told.why != "suppressed":
        return f"Among patients with {told.group}, {text[:1].lower()}{text[1:]}"
    return text


def _happened(told: Told) -> str:
    e = told.estimate
    if told.why == "suppressed":
        return f"The group {told.group} is too small for its number to be shown."
    if e is None:
        return f"Nothing was measured of {told.known.says} on {told.subject.name}."
    if e.value is None:
        fpr = getattr(told.rule, "fpr", None)
        if told.known.takes == "fpr" and fpr:
            return (
                f"How many training patients {_attack(told)} recognises at {percent(fpr)} false alarms "
                "could not be stated."
            )
        return f"The {told.known.says} could not be stated for {_attack(told)}."
    if told.known.kind == "use":
        ask = (
            "at least" if isinstance(told.rule, Guard) and told.rule.min is not None else "at most"
        )
        name = told.known.name.partition(".")[2].replace("_", " ")
        return (
            f"{_named(name)} is {plain(e.value)}{_interval(told)}; your policy asks for "
            f"{ask} {plain(told.limit)}."
        )
    if told.known.family == "epsilon":
        return (
            f"The attack {told.attack} proves an epsilon of at least {plain(e.value)} "
            f"({percent(e.confidence)} confidence); your policy allows {plain(told.limit)}. The true one "
            "may be larger."
        )
    base, text = _base(told), _interval(told)
    value, limit = count(e.value, base), count(told.limit, base)
    chance = "" if e.chance is None else count(e.chance, base)
    measure = told.known.name.partition(".")[2]
    who = _attack(told)
    if measure == "auc":
        return (
            f"Given one training patient and one other, {who} picks the training patient about "
            f"{value} times in {base:,}{text}; guessing picks {chance}; your policy allows {limit}."
        )
    if measure == "tpr":
        fpr = getattr(told.rule, "fpr", None) or 0.0
        named = base_of(fpr)
        return (
            f"{_capital(who)} recognises about {value} in {base:,} training patients{text} "
            f"while wrongly naming {count(fpr, named)} in {named:,} others; "
            + (
                f"it names {chance} in {base:,} of this group's other patients; "
                if told.group
                else f"guessing would recognise {chance} in {base:,}; "
            )
            + f"your policy allows {limit} in {base:,}."
        )
    if measure == "ppv":
        prior = getattr(told.rule, "prior", None) or 0.0
        asked = base_of(prior)
        return (
            f"Where {count(prior, asked)} in {asked:,} of the people asked about are training "
            f"patients, a person named by {who} is one about {value} times in {base:,}{text}; "
            f"your policy allows {limit} in {base:,}."
        )
    if measure == "rate":
        return (
            f"{_capital(who)} succeeds in about {value} of {base:,} attempts{text}; its control in "
            f"{chance}; your policy allows {limit}."
        )
    if told.known.name in COPIES:
        near = " but for a few cells" if "near" in measure else ", word for word"
        return (
            f"About {value} in {base:,} more of the records learnt from than of other patients' stand in "
            f"the table{near}{text}; your policy allows {limit}."
        )
    beside = "a guess without the release" if "guess" in e.name else "its control"
    return (
        f"{_capital(who)} succeeds about {value} times in {base:,} more often than "
        f"{beside}{text}; your policy allows {limit}."
    )


def _attack(told: Told) -> str:
    at = f" ({told.setting})" if told.setting else ""
    return f"the attack {told.attack}{at}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _named(name: str) -> str:
    known = {"auroc": "AUROC", "auprc": "AUPRC", "brier": "Brier score"}
    return f"The {known.get(name, name)}"


# ---------------------------------------------------------------- why


def reason(told: Told) -> str:
    """Why the verdict has the word it has."""
    low, high, limit = (amount(told, x) for x in (told.lower, told.upper, told.limit))
    adjusted = (
        ", adjusted for all rules judged together,"
        if told.policy.statistics.correction == "holm"
        else ""
    )
    text = {
        "within": f"Even the upper bound, {high}, keeps to the limit of {limit}.",
        "exceeds": f"Even the lower bound, {low}{adjusted} lies above the limit of {limit}.",
        "keeps": f"Even the lower bound, {low}, reaches the {limit} asked for.",
        "falls": f"Even the upper bound, {high}{adjusted} falls short of the {limit} asked for.",
        "crosses": f"The limit of {limit} lies within the bounds, {low} to {high}.",
        "resolution": "Too few false alarms are expected among the held-out patients for this rate.",
        "refused": _full(str(told.facts.get("refusal") or "The number could not be stated")),
        "absent": "The audit holds no such number for this attack.",
        "suppressed": f"Fewer than {told.policy.statistics.min_cell} patients.",
        "no_interval": "The number came without an interval, and cannot be judged.",
        "leaks": "The audit is invalid here: a model that never saw these patients reads as if it had.",
        "unfair": "Members and held-out patients can be told apart without the model, so that no number of "
        "this kind means what it should.",
        "power": f"The attack lacks power here: {listed(told.weak)} missed a leak that was planted in the "
        "model, so a low number speaks for nothing.",
        "no_control": f"No leak was planted for {listed(told.weak)} to find, so a low number speaks for "
        "nothing.",
        "atypical": "In this group the attack names training patients no more often than others: the "
        "group is unusual, not recognised.",
        "unprovable": f"So few patients could prove no more than {plain(float(told.facts.get('most', 0)))} "
        "even if every guess were right.",
        "missing": f"Not run on {told.subject.name}: {listed(told.missing)}, which the policy asks for"
        + (f" ({'; '.join(told.blanks)})." if told.blanks else "."),
        "untried": _untried(told)
        if told.known.kind == "risk"
        else "The audit holds no such number.",
        "inapplicable": "Does not apply: this release gives away nothing that such an attack needs.",
    }[told.why]
    if told.why == "crosses" and told.known.family == "epsilon":
        text = f"Adjusted for all such proofs together, no more than {low} is proved."
    if told.why == "within" and told.known.family == "epsilon":
        text = f"No attack proved more than {limit}, and these patients could have proved it."
    if told.why in ("within", "exceeds") and len(told.others) > 1:
        ran = listed(told.others)
        text += (
            f" The highest of {ran}."
            if told.why == "within"
            else f" Of {ran}, {told.attack} shows it most surely."
        )
    if told.state == "WITHIN" and told.weak:
        text += f" Left aside for want of power: {listed(told.weak)}."
    if told.unlisted:
        text += " This group is not named in the policy, so it warns and does not block."
    return text


def _untried(told: Told) -> str:
    if told.blanks:
        return f"No attack of this kind told anything about {told.subject.name}: {'; '.join(told.blanks)}."
    return f"No attack of this kind was run on {told.subject.name}."


def _run_again(told: Told) -> str:
    if told.blanks:
        return "See why each was left out: mend that, or take the rule out and answer for it."
    return f"Run the audit with --attacks {told.known.family or 'NAME'}."


def _full(text: str) -> str:
    return _capital(text).rstrip(".") + "."


# ---------------------------------------------------------------- what would help


def remedy(told: Told) -> str:
    """What to do, or what would decide it; nothing where the limit is kept."""
    if told.state == "WITHIN":
        return ""
    if told.why == "crosses":
        return _decide(told)
    more = told.facts.get("more")
    text = {
        "exceeds": _protect(told),
        "falls": "A model this weak may keep every limit on risk for that reason alone: protect less, or "
        "train on more patients.",
        "resolution": f"About {rough(float(more or 0))} more held-out patients, or a larger false positive "
        "rate.",
        "refused": "Give the audit the patients it asks for, or choose a coarser rate.",
        "absent": "Run the audit again with this version, or choose another metric.",
        "suppressed": "A coarser grouping, or more patients of this group.",
        "no_interval": "Run the audit again with this version.",
        "unfair": "Hold out patients by lot from the very source of the members, and audit again.",
        "leaks": "Trust none of these numbers: look for records of one patient on both sides, or report "
        "a fault of the audit.",
        "power": "Train more models for the attack (--profile thorough), or name the attacks that count "
        "with attacks = [...].",
        "no_control": 'Run the audit with its controls, or set positive_control = "optional" and '
        "answer for it.",
        "atypical": "Nothing to mend; a limit on membership.auc compares each group with its own.",
        "unprovable": "More patients, or a smaller limit that they can decide.",
        "missing": f"Run it again with --attacks {','.join(told.missing) or 'NAME'}.",
        "untried": _run_again(told)
        if told.known.kind == "risk"
        else "Run the audit with this version.",
        "inapplicable": "",
    }.get(told.why, "")
    if told.group and told.state == "EXCEEDS":
        text = "Look at why these patients stand out: few of them, or unusual values; " + _lower(
            text
        )
    return text


ACCEPT = (
    "have the risk accepted in a waiver by whoever answers for it under the policy; a waiver lowers no "
    "risk."
)


def _protect(told: Told) -> str:
    if Access.TABLE.value in told.subject.access:
        return (
            "Do not release it as it is: use a generator with a promise (dp_marginals, dp_histogram), release "
            f"fewer rows or columns, or {ACCEPT}"
        )
    return (
        "Do not release it as it is: train with a promise (differential privacy), or with stronger "
        f"regularisation, give less away, or {ACCEPT}"
    )


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _decide(told: Told) -> str:
    """What would decide a limit that lies within the bounds."""
    e = told.estimate
    if e is None or e.value is None:
        return "More patients."
    if isinstance(told.rule, Guard):
        return "More held-out patients, or a bound further from the value."
    if told.known.family == "epsilon":
        return "More patients, whose coins could prove more."
    if e.value >= told.limit:
        return (
            "The number itself is not below the limit: more patients are likelier to confirm that than to "
            "clear it. Protect the release better."
        )
    times = onesided.more(e, told.limit, 1 - told.policy.statistics.confidence)
    if times is None or times > MOST_TIMES:
        return (
            "So close to the limit that no realistic number of patients decides it: protect better."
        )
    held_out = e.n.get("nonmember_patients")
    have = held_out if held_out is not None else e.n.get("patients", e.n.get("attempts", 0))
    needed = rough(max(1.0, (times - 1) * have))
    if told.group:
        return f"About {needed} more patients of this group on each side, or a coarser grouping."
    if held_out is None:
        return f"About {needed} more patients to try the attack on."
    return f"About {needed} more held-out patients, and as many more to train on."


# ---------------------------------------------------------------- promises


@dataclass(frozen=True)
class Promise:
    """What a claim says, and what keeps it from counting. gap: empty where it counts."""

    sentence: str
    gap: str
    limit: float
    what: str

    def reason(self, kept: bool) -> str:
        if self.gap:
            return self.gap
        here = "keeps to" if kept else "lies above"
        return f"The {self.what} promised {here} the limit of {plain(self.limit)}."

    @property
    def remedy(self) -> str:
        return (
            "Train with a promise that covers what is given away, for a patient (dp_sgd, dp_linear, "
            f"dp_forest), with {self.what} at most {plain(self.limit)}."
        )


SHOWN = {
    "internal": Access.ANSWERS,
    "partner": Access.WEIGHTS,
    "public-api": Access.ANSWERS,
    "open-weights": Access.WEIGHTS,
    "tre-egress": Access.WEIGHTS,
}
"""What a release of each kind lets its receivers do with a model."""


def claim(policy: Policy, rule: Limit, subject: Subject) -> Promise:
    """What a subject promises, against a limit on it."""
    said = subject.claim
    what = "delta" if rule.metric == "epsilon.delta" else "epsilon"
    if said.epsilon is None:
        return Promise(
            f"{subject.name} promises nothing; your policy asks for {what} of at most "
            f"{plain(rule.max)}.",
            "Nothing is promised, so nothing bounds what may leak.",
            rule.max,
            what,
        )
    text = (
        f"{subject.name} promises epsilon {plain(said.epsilon)} at delta {plain(said.delta)} for each "
        f"{said.unit}; your policy allows {what} {plain(rule.max)}."
    )
    gap = ""
    given = set(said.covers)
    if Access.WEIGHTS.value in given:
        given.add(Access.ANSWERS.value)
    shown = {SHOWN[policy.context.release], Access.TABLE}
    bare = [a for a in sorted(shown, key=str) if a.value in subject.access and a.value not in given]
    if said.unit not in ("patient", "site"):
        gap = f"The promise is made for one {said.unit}, and the policy protects each patient."
    elif bare:
        ways = listed([access.value for access in bare])
        gap = f"The promise does not cover receivers who can {ways}."
    return Promise(text, gap, rule.max, what)


# ---------------------------------------------------------------- faults and notes


def leaking(subject: str, attack: str, broke: bool) -> str:
    if broke:
        return f"The audit failed: the null control of {attack} on {subject} broke."
    return (
        f"The audit failed: {attack} recognises patients in a model that never saw them ({subject}), so "
        "the harness itself tells who is who."
    )


def control_broke(subject: str, attack: str) -> str:
    return f"The audit failed: a control of {attack} on {subject} broke."


def attack_broke(subject: str, attack: str, error: str) -> str:
    return f"The audit failed: {attack} broke on {subject} ({error})."


def promise_broke(subject: str, caveat: str) -> str:
    return f"A promise is broken: on {subject}, {caveat}."


def training_broke(name: str, why: str) -> str:
    return f"The audit failed: {name} was not trained because of a fault ({why})."


def untrained(name: str, why: str) -> str:
    return f"Asked for and not trained, so that nothing is known about it: {name} ({why})."


def aside(names: Sequence[str]) -> str:
    return f"Not judged, because the policy does not name them as to be released: {listed(names)}."


def expired(waiver: Exemption) -> str:
    of = f" for {waiver.group}" if waiver.group else ""
    return (
        f"The waiver of {waiver.limit}{of} by {waiver.approved_by} expired on "
        f"{waiver.expires.isoformat()} and waives nothing."
    )


def idle(waiver: Exemption) -> str:
    return f"The waiver of {waiver.limit} covers nothing in this run: no such group or subject."


def floor(rule: Limit, least: float, patients: int) -> str:
    """That a limit asks for more than the data can show."""
    base = base_of(rule.max, least)
    return (
        f"The limit {rule.id} ({count(rule.max, base)} in {base:,}) lies below what {patients:,} held-out "
        f"patients can show: a model that leaks nothing passes 4 times in 5 only for a limit of "
        f"{count(least, base)} in {base:,} or more, and less often where several attacks must pass."
    )


UNAPPROVED = "The policy names nobody who approved it."
OPEN = (
    "Weights that are given out cannot be taken back, and no limit of this policy asks for a promise; "
    "attacks that are not yet known may do better than those run here."
)
NAME_GROUPING = "Name a grouping of this run in the policy, or audit with --groups."
NO_BASELINE = "No baseline was given to compare with."
GIVE_BASELINE = "Give --baseline FILE; `privaudit baseline create` makes one."


def no_grouping(by: str, subject: str) -> str:
    return f"The patients of {subject} were not split by {by}."


def groupings_there(names: Sequence[str]) -> str:
    return f"Groupings there are: {', '.join(names)}." if names else "The audit has no groupings."


def no_baseline(metric: str, subject: str) -> str:
    return f"Whether {metric} of {subject} got worse was not looked at."


def waived(until: str) -> str:
    return f"waived until {until}"


def headline(rule: Limit | Guard | Regression) -> str:
    """A rule in a few words: `membership.tpr at 1 % false alarms, at most 0.03`."""
    at = ""
    if getattr(rule, "fpr", None):
        at = f" at {percent(rule.fpr)} false alarms"  # type: ignore[union-attr,arg-type]
    if getattr(rule, "prior", None):
        at = f" at a prior of {percent(rule.prior)}"  # type: ignore[union-attr,arg-type]
    if isinstance(rule, Regression):
        return f"{rule.metric}{at}, no more than {plain(rule.margin)} worse than the baseline"
    if isinstance(rule, Guard) and rule.min is not None:
        return f"{rule.metric}{at}, at least {plain(rule.min)}"
    most = rule.max
    assert most is not None
    return f"{rule.metric}{at}, at most {plain(most)}"
