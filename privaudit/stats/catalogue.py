"""The names of all estimates, each with what it means in one line."""

from __future__ import annotations

FPRS = (0.1, 0.01, 0.001)
"""False positive rates at which a membership attack is read."""

PRIORS = (0.5, 0.1, 0.01, 0.001)
"""Shares of true members among the people an attacker asks about."""

PPV_FPR = 0.01
"""The false positive rate at which the positive predictive value is read."""

MIN_FALSE_POSITIVES = 10
"""A rate at a false positive rate is stated only where this many patients are expected above it."""

MIN_CELL = 10
"""No group, bin or point that rests on fewer patients than this leaves the stats module."""

POWER = 0.8
"""The power at which the smallest detectable effect is stated."""

MEMBERSHIP: dict[str, str] = {
    "auc": "chance that a training record scores above a held-out one (0.5: the attack knows nothing)",
    "detectable_auc": "smallest AUC that this many patients would reveal 4 times in 5",
    **{
        f"tpr_at_fpr_{f:g}": f"share of training records recognised while wrongly naming {f:.1%} of others"
        for f in FPRS
    },
    **{
        f"detectable_tpr_at_fpr_{f:g}": f"smallest such share, at {f:.1%} false alarms, that this many "
        "patients would reveal 4 times in 5"
        for f in FPRS
    },
    **{
        f"ppv_at_prior_{p:g}": f"chance that a named record is a member, at {PPV_FPR:.0%} false alarms, "
        f"when {p:.1%} of those asked about are members"
        for p in PRIORS
    },
}

TRIALS: dict[str, str] = {
    "attack_rate": "share of attempts that succeed",
    "control_rate": "share that succeed in the control, on the same records or on others as the attack says",
    "attack_minus_control": "how much more often the attack succeeds than its control",
    "guess_rate": "share that succeed without the release",
    "attack_minus_guess": "how much more often the attack succeeds than a guess without the release",
}
"""For a mapping of trials each name is followed by `@` and its key: `attack_rate@0.1 sd`."""

UTILITY: dict[str, str] = {
    "auroc": "chance that a patient with the outcome is ranked above one without (k > 2: mean over classes)",
    "auprc": "average precision (chance: prevalence)",
    "brier": "mean squared error of the probabilities",
    "log_loss": "mean negative log probability of what happened, in nats",
    "calibration_slope": "slope of the outcome on the log odds predicted; 1 is perfect, below 1 overconfident",
    "calibration_intercept": "log odds to add so that predicted and observed rates agree; 0 is perfect",
}

EPSILON: dict[str, str] = {
    "epsilon_lower_bound": "least epsilon that the attack's right guesses about coin-flipped membership "
    "allow; above the promise, the promise is broken",
    "epsilon_lower_bound_fdp": "the same, from the trade-off between the two kinds of wrong guess",
}
"""For scores whose membership was decided by a fair coin for each patient (`Scores.randomised`)."""

FIDELITY: dict[str, str] = {
    "prevalence_synthetic": "share of synthetic rows with the outcome (chance: the share of real ones)",
    "prevalence_real": "share of the real rows learnt from with the outcome",
    "prevalence_gap": "how much more often synthetic rows have the outcome than real ones",
    "column_distance": "share of one column's values that would have to change to match the real ones, mean "
    "over columns (chance: of real tables of other patients)",
    "association_error": "difference between real and synthetic association, mean over pairs of columns "
    "(chance: of real tables of other patients)",
    "association_error_outcome": "the same over the pairs of a column with the outcome",
    "detection_auc": "chance that a detector scores a synthetic row above a real one (0.5: it cannot tell)",
    "detection_auc_real": "the same for real rows of other patients: what a perfect table would read",
    "exact_copies": "share of the records learnt from that stand in the table word for word (chance: of "
    "records not learnt from)",
    "exact_copies_excess": "how many more of the records learnt from than of others stand in the table",
    "near_copies": "share of the records learnt from that stand in the table but for a few cells (chance: of "
    "records not learnt from)",
    "near_copies_excess": "how many more of the records learnt from than of others nearly stand in the table",
    "closest_distance": "median distance of a synthetic row to the closest record learnt from (chance: to "
    "the closest of other patients); a description, no measure of safety",
    "neighbour_ratio": "median distance to the closest over that to the second closest record learnt from "
    "(chance: of other patients); a description, no measure of safety",
    "closer_to_members": "share of synthetic rows closer to a record learnt from than to one that was not; a "
    "description, no measure of safety",
    "auroc_loss": "how much worse a model ranks real patients for having learnt from synthetic ones",
    "auroc_synthetic": "AUROC on real patients of a model that learnt from synthetic ones",
    "auroc_real": "AUROC on the same patients of a model that learnt from real ones",
    "group_share_synthetic": "share of synthetic rows in the group (chance: of real ones)",
    "group_share_real": "share of the real rows learnt from in the group",
}
"""For a synthetic table beside the real one. With more than two outcomes the prevalences' names end in
`@` and the class."""

CATALOGUE: dict[str, str] = {**MEMBERSHIP, **TRIALS, **UTILITY, **EPSILON, **FIDELITY}


def meaning(name: str) -> str:
    """What an estimate's name means, in one line; the key after `@` is left aside."""
    return CATALOGUE[name.split("@", 1)[0]]
