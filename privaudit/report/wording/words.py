"""Words for numbers, shared by all sentences."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.results import Estimate


def half(e: Estimate) -> float | None:
    return None if e.low is None or e.high is None else (e.high - e.low) / 2


def excess(e: Estimate) -> bool:
    return e.low is not None and e.chance is not None and e.low > e.chance


def measure(name: str) -> str:
    """An estimate's name in words; an unknown name is printed as it came, without underscores."""
    bare, size, fpr = n.stem(name), n.budget(name), n.fpr_of(name)
    if fpr is not None and bare.startswith("tpr_"):
        text = f"recognised at {n.one_in(fpr)} false alarms"
    elif fpr is not None and bare.startswith("detectable_tpr_"):
        text = f"smallest share to be seen at {n.one_in(fpr)} false alarms"
    elif fpr is not None and bare.startswith("ppv_"):
        text = f"share of right namings if {n.share(fpr)} are members"
    else:
        text = _MEASURES.get(bare, bare.replace("_", " "))
    return f"{text} at {size}" if size else text


_MEASURES = {
    "auc": "AUC",
    "epsilon_lower_bound": "epsilon at least (right guesses)",
    "epsilon_lower_bound_fdp": "epsilon at least (trade-off)",
    "detectable_auc": "smallest AUC to be seen",
    "attack_rate": "attack succeeds",
    "control_rate": "control succeeds",
    "attack_minus_control": "attack minus control",
    "guess_rate": "guess succeeds",
    "attack_minus_guess": "attack minus guess",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "brier": "Brier score",
    "log_loss": "log loss",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
}


def capital(text: str) -> str:
    """The first letter large."""
    return text[:1].upper() + text[1:]
