"""Names of numbers, and how to read them."""

from __future__ import annotations

from privaudit.facts import Group, Metric, Setting
from privaudit.report import numbers as n
from privaudit.results import GroupResult

_NAMES = {
    "auc": "AUC",
    "detectable_auc": "smallest detectable AUC",
    "tpr": "true positive rate",
    "detectable_tpr": "smallest detectable true positive rate",
    "ppv": "positive predictive value",
    "attack_rate": "attack success",
    "control_rate": "control success",
    "attack_minus_control": "attack minus control",
    "guess_rate": "baseline success",
    "attack_minus_guess": "attack minus baseline",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "brier": "Brier score",
    "log_loss": "log loss",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
    "accuracy": "accuracy",
    "epsilon_lower_bound": "lower bound on epsilon (right guesses)",
    "epsilon_lower_bound_fdp": "lower bound on epsilon (f-DP)",
    "prevalence_synthetic": "prevalence of the outcome, synthetic",
    "prevalence_real": "prevalence of the outcome, real",
    "prevalence_gap": "prevalence of the outcome, synthetic minus real",
    "column_distance": "total variation distance of marginals",
    "association_error": "correlation error",
    "association_error_outcome": "correlation error with the outcome",
    "detection_auc": "discriminator AUC",
    "detection_auc_real": "discriminator AUC of other real records",
    "exact_copies": "exact duplicates",
    "exact_copies_excess": "exact duplicates, training minus other patients",
    "near_copies": "near-duplicates",
    "near_copies_excess": "near-duplicates, training minus other patients",
    "closest_distance": "distance to closest record",
    "neighbour_ratio": "nearest-neighbour distance ratio",
    "closer_to_members": "rows closer to a training record than to a held-out one",
    "auroc_loss": "AUROC lost",
    "auroc_synthetic": "AUROC, trained on synthetic records",
    "auroc_real": "AUROC, trained on real records",
    "group_share_synthetic": "share of synthetic rows",
    "group_share_real": "share of real rows",
}

_READINGS = {
    "auroc": "higher is better; 0.5 is guessing",
    "auprc": "higher is better; guessing gives the share of patients with the outcome",
    "brier": "lower is better",
    "log_loss": "lower is better",
    "calibration_slope": "1 is ideal; below 1 predictions are too extreme",
    "calibration_intercept": "0 is ideal; below 0 predicted risks are too high",
    "accuracy": "higher is better",
}


def name_metric(metric: Metric) -> str:
    """The number's name; one that is not known here is printed as it came, without underscores."""
    text = _NAMES.get(metric.name, metric.name.replace("_", " "))
    if metric.fpr is not None and metric.name != "ppv":
        text = f"{text} at {n.share(metric.fpr)} FPR"
    if metric.prior is not None:
        text = f"{text} if {n.share(metric.prior)} are members"
    return text if metric.at is None else f"{text}, {name_setting(metric.at)}"


def explain_metric(metric: Metric) -> str:
    """How the number is read; nothing for one that needs no word."""
    return _READINGS.get(metric.name, "")


def name_setting(setting: Setting | None) -> str:
    """Which series of an attack, or part of a measure; nothing for none."""
    if setting is None:
        return ""
    if setting.kind == "known_columns":
        return f"{setting} known columns"
    return str(setting)


def name_group(group: Group | GroupResult) -> str:
    """A subgroup: what patients are split on, and the value."""
    return f"{group.by.replace('_', ' ')}: {group.level}"


def capitalise(text: str) -> str:
    """The first letter as a capital, the others as they are."""
    return text[:1].upper() + text[1:]


__all__ = ["capitalise", "explain_metric", "name_group", "name_metric", "name_setting"]
