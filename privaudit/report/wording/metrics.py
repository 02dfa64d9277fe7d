"""What every number means, in one line: the one place where the names of the catalogue are put into words."""

from __future__ import annotations

from privaudit.facts import Metric
from privaudit.stats.catalogue import PPV_FPR

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


__all__ = ["MEANINGS", "explain_metric"]
