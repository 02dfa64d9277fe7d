"""Names of numbers, and how to read them."""

from __future__ import annotations

from privaudit.facts import Group, Metric, Setting
from privaudit.report import numbers as n
from privaudit.results import GroupResult
from privaudit.stats.catalogue import PPV_FPR

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
    "observed_rate": "observed rate of the outcome",
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


MEANINGS: dict[str, str] = {
    "auc": "chance that a training record scores above a held-out one (0.5: the attack knows nothing)",
    "detectable_auc": "smallest AUC that so many patients would reveal in 4 of 5 audits",
    "tpr": "share of training records recognised{fpr}",
    "detectable_tpr": "smallest share of training records recognised{fpr} that so many patients "
    "would reveal in 4 of 5 audits",
    "ppv": f"positive predictive value at a false positive rate of {PPV_FPR:.0%}: chance that a "
    "record named as a member is one{prior}",
    "attack_rate": "share of attempts that succeed",
    "control_rate": "share of attempts of the control that succeed",
    "attack_minus_control": "how much more often the attack succeeds than its control",
    "guess_rate": "share of guesses without the release that succeed",
    "attack_minus_guess": "how much more often the attack succeeds than a guess without the release",
    "auroc": "chance that a patient with the outcome is ranked above one without "
    "(more than two outcomes: mean over them)",
    "auprc": "average precision (chance: prevalence)",
    "brier": "mean squared error of the probabilities",
    "log_loss": "mean negative log probability of what happened, in nats",
    "calibration_slope": "slope of the outcome on the predicted log odds; 1 is perfect, below 1 "
    "overconfident",
    "calibration_intercept": "log odds to add so that predicted and observed rates agree; 0 is "
    "perfect",
    "epsilon_lower_bound": "least epsilon that explains the attack's correct guesses about "
    "membership assigned at random; above the claimed one, the guarantee does not hold",
    "epsilon_lower_bound_fdp": "the same, from the trade-off between the two kinds of wrong guess",
    "prevalence_synthetic": "share of synthetic rows with the outcome (chance: the share of real "
    "ones)",
    "prevalence_real": "share of training records with the outcome",
    "prevalence_gap": "how much more often synthetic rows have the outcome than real ones",
    "column_distance": "total variation distance of a column's marginal from the real one, mean over "
    "columns (chance: of real tables of other patients)",
    "association_error": "difference between real and synthetic association, mean over pairs of "
    "columns (chance: of real tables of other patients)",
    "association_error_outcome": "the same over the pairs of a column with the outcome",
    "detection_auc": "discriminator AUC: chance that a synthetic row scores above a real one (0.5: "
    "they cannot be told apart)",
    "detection_auc_real": "the same for real rows of other patients: what a perfect table would read",
    "exact_copies": "share of training records with an exact duplicate in the table (chance: of "
    "held-out records)",
    "exact_copies_excess": "how many more of the training records than of the held-out ones have an "
    "exact duplicate in the table",
    "near_copies": "share of training records with a near-duplicate in the table (chance: of "
    "held-out records)",
    "near_copies_excess": "how many more of the training records than of the held-out ones have a "
    "near-duplicate in the table",
    "closest_distance": "median distance of a synthetic row to the closest training record (chance: "
    "to the closest held-out one); a description, not a measure of safety",
    "neighbour_ratio": "median of the distance to the closest over that to the second closest "
    "training record (chance: held-out records); a description, not a measure of safety",
    "closer_to_members": "share of synthetic rows closer to a training record than to a held-out "
    "one; a description, not a measure of safety",
    "auroc_loss": "how much worse a model ranks real patients when trained on synthetic records",
    "auroc_synthetic": "AUROC on real patients of a model trained on synthetic records",
    "auroc_real": "AUROC on the same patients of a model trained on real records",
    "group_share_synthetic": "share of synthetic rows in the group (chance: of real ones)",
    "group_share_real": "share of training records in the group",
    "observed_rate": "observed rate of the outcome among records of this predicted probability",
}
"""What every number of the catalogue means, in one line."""


def name_metric(metric: Metric) -> str:
    """The number's name; one that is not known here is printed as it came, without underscores."""
    text = _NAMES.get(metric.name, metric.name.replace("_", " "))
    if metric.fpr is not None and metric.name != "ppv":
        text = f"{text} at {n.share(metric.fpr)} FPR"
    if metric.prior is not None:
        text = f"{text} if {n.share(metric.prior)} are members"
    return text if metric.at is None else f"{text}, {name_setting(metric.at)}"


def explain_reading(metric: Metric) -> str:
    """Which way is good; nothing for a number that needs no word."""
    return _READINGS.get(metric.name, "")


def explain_metric(metric: Metric) -> str:
    """What a number means, in one line, at its false positive rate or prior; its series is left out.

    Args:
        metric: any metric whose name is in `privaudit.stats.catalogue.CATALOGUE`.

    Returns:
        One line without a full stop.
    """
    fpr = "" if metric.fpr is None else f" at a false positive rate of {metric.fpr:.1%}"
    prior = "" if metric.prior is None else f" when {metric.prior:.1%} of those asked about are"
    return MEANINGS[metric.name].replace("{fpr}", fpr).replace("{prior}", prior)


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


__all__ = [
    "capitalise",
    "MEANINGS",
    "explain_metric",
    "explain_reading",
    "name_group",
    "name_metric",
    "name_setting",
]
