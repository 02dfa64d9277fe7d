"""Reliability of this audit."""

from __future__ import annotations

from collections.abc import Iterable

from privaudit.report import numbers as n
from privaudit.report.blocks import Badge
from privaudit.report.wording.nouns import Phrase, Phrases

INTRO = Phrase(
    "Three things limit what an audit can show: whether the attacks work at all (controls), how "
    "many {people} there are (power), and chance (the confidence intervals)."
)
RUN_CAVEATS = "Caveats of the whole run"
CONTROLS_CAPTIONS = {
    "positive": "Positive controls: a planted leak must be detected. AUC by attack",
    "negative": "Negative controls: the interval must hold 0.5; where the split was "
    "supplied, it shows how the two sides differ. AUC by attack",
}
CONTROL_KINDS = {"positive": "Positive control", "negative": "Negative control"}
NOT_RUN = "not run"
CONTROL_ERROR = Badge("– not made", "untested")
CONTROL_FAILED = Badge("✕ failed", "invalid")
CONTROL_DRIFTED = Badge("◇ the pools differ", "shifted")
CONTROLS_NOTE = "Controls without a mark passed."
DETECTABLE_CAPTION = "Power: the smallest leak that this audit would detect 4 times in 5"
TOO_FEW = Phrase("too few {people}")
RESOLUTION_CAPTION = Phrase(
    "Resolution: which false positive rates this many held-out {people} allow"
)
RESOLUTION_COLUMNS = Phrases(
    ("False positive rate", "Held-out {people} needed", "Available", "Stated")
)
YES, NO = "yes", "no"
INTERVALS = "How the intervals were made"
RANDOM_SPLIT = Phrase("Each {person} was assigned at random to training or held-out.")
SUPPLIED_SPLIT = Phrase(
    "The split was supplied and not assigned at random, so the intervals describe these {people}, "
    "and not what else may set the two sides apart."
)
SEEDS = Phrase(
    "Every random step has its own named stream, all from one seed under a secret key. The "
    "intervals describe which {people} happened to be sampled. They do not describe how the "
    "numbers would vary if the model were trained again, because each model was trained once."
)


def word_control(kind: str, text: str, levels: Iterable[float]) -> str:
    """What a control was made of."""
    levels_text = " and ".join(n.share(level) for level in levels)
    return f"{CONTROL_KINDS.get(kind, kind)}: {text}. Intervals at {levels_text} confidence."


def word_interval(names: Iterable[str], how: str) -> str:
    """Which numbers have an interval made so."""
    return f"{', '.join(names)}: {how}."
