"""How each model was trained, and how sure the numbers are."""

from __future__ import annotations

from collections.abc import Iterable

from privaudit.report import numbers as n
from privaudit.report.blocks import Badge
from privaudit.report.wording.words import measure
from privaudit.results import ClaimText, Control, Estimate

NO_CLAIM = (
    "Nothing was promised about privacy. No rule of the training limits what an attacker can learn; "
    "this audit shows only what the attacks above achieved."
)


def claim(c: ClaimText) -> str:
    if c.epsilon is None:
        return NO_CLAIM
    size = n.significant(c.epsilon)
    delta = f" and delta {n.significant(c.delta, 2)}" if c.delta else ""
    covers = ", ".join(c.covers) or "nothing named"
    return (
        f"Differential privacy was promised: epsilon {size}{delta}, for one {c.unit} "
        f"({c.neighbours}). It covers an attacker who can: {covers}. Basis: {c.basis}."
    )


def utility_caption(model: str) -> str:
    return f"{model}: usefulness on patients it never saw and on its training patients"


UTILITY_COLUMNS = ("Measure", "Patients it never saw", "Its training patients", "How to read it")


def contrast(model: str, inside: Estimate, outside: Estimate) -> str:
    apart = None not in (inside.low, outside.high) and (inside.low or 0) > (outside.high or 0)
    both = f"{n.value_text(inside)} on training patients and {n.value_text(outside)} on others"
    if apart:
        return (
            f"{model} does better on the patients it was trained on (AUROC {both}), by more than "
            "chance explains. It has learnt things about them that do not hold for others, which is "
            "what attacks feed on."
        )
    return f"{model} does about equally well on both: AUROC {both}, with overlapping intervals."


def reliability_title(model: str, slope: Estimate | None, intercept: Estimate | None) -> str:
    if slope is None or slope.value is None:
        return f"{model}: predicted against observed risk; on the dashed line both agree."
    known = [e for e in (slope, intercept) if e is not None and e.value is not None]
    off = any(_misses(e, 1.0 if e is slope else 0.0) for e in known)
    verdict = "predicted risks are off" if off else "predicted risks agree with what happened"
    told = ", ".join(f"{measure(e.name)} {n.estimate_text(e)}" for e in known)
    return f"{model}: {verdict}; {told}."


def _misses(e: Estimate, ideal: float) -> bool:
    return (e.low is not None and e.low > ideal) or (e.high is not None and e.high < ideal)


def reliability_caption(model: str) -> str:
    return f"{model}: predicted and observed risk"


RELIABILITY_X = "Predicted risk"
RELIABILITY_Y = "Observed"
COST_CAPTION = "Cost of training"
WAYS_CAPTION = "How each model was trained, and what was promised"
WAYS_COLUMNS = ("Model", "Family", "Way of training", "Promise")
USE_CAPTION = "Usefulness on patients it never saw, with intervals"
INSIDE = "AUROC on its training patients"
SETTINGS_CAPTION = "Settings and cost of training"
SETTINGS_COLUMNS = ("Model", "Settings", "Cost")
TRAINING_NOTES = "Notes on the training"
NOT_KNOWN = "not known to this report"
LEARNER, METHOD, SETTINGS, PROMISE = "Model family", "Way of training", "Settings", "Promise"


# --- certainty ----------------------------------------------------------------------------------


CERTAINTY = (
    "Three things limit what an audit can tell: whether the attacks work at all (controls), how "
    "many patients there are (the smallest leak it could see), and luck (the intervals)."
)
CONTROLS_CAPTION = "Controls: tests of the test, by the AUC that came out"
CONTROLS_COLUMNS = (
    "Model",
    "Attack",
    "Planted leak: must be found",
    "Nothing to find: must hold 0.5",
)
CONTROL_CAPTIONS = {
    "positive": "Controls with a planted leak, which must be found: AUC by attack",
    "negative": "Controls with nothing to find, where the interval must hold 0.5: AUC by attack",
}
CONTROL_KINDS = {"positive": "Planted leak", "negative": "Nothing to find"}
CONTROL_NONE = "not run"
CONTROL_BROKEN = Badge("– could not be run", "untested")


def control_note(kind: str, what: str, levels: Iterable[float]) -> str:
    sure = " and ".join(n.share(level) for level in levels)
    return f"{CONTROL_KINDS.get(kind, kind)}: {what}. Intervals at {sure} confidence."


def control_result(c: Control) -> Badge:
    if c.passed:
        return Badge("○ as it must", "unseen")
    return Badge("✕ not found" if c.kind == "positive" else "✕ a find", "invalid")


LEAST_CAPTION = "The smallest leak this audit could have seen, 4 times in 5"
LEAST_COLUMNS = ("Model", "AUC", "at 1 in 10 false alarms", "at 1 in 100", "at 1 in 1,000")
RESOLUTION_COLUMNS = ("False alarms", "Held-out patients needed", "There are", "Stated")
RESOLUTION_CAPTION = "Resolution: how fine a rate this many held-out patients allow"
INTERVALS = "How the intervals were made"
SPLIT_TOSSED = "Who is trained on was decided by a fair coin for each patient."
SPLIT_GIVEN = (
    "Who is trained on was given and not drawn here, so the intervals hold for patients as these are, "
    "and not for what else may set the two sides apart."
)
SEEDS = (
    "Every random step has its own "
    "named stream, all from the one number printed under “Evidence”. The intervals describe "
    "which patients happened to be drawn. They do not describe how the numbers would move if the "
    "model were trained again, because each model was trained once."
)


def luck(tossed: bool) -> str:
    """What the intervals do and do not describe."""
    return f"{SPLIT_TOSSED if tossed else SPLIT_GIVEN} {SEEDS}"
