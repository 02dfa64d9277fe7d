"""The names of all estimates, each with the scale that it lies on. What they mean in words:
`report.wording.metrics`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from privaudit.facts import Metric

Scale = Literal["share", "difference", "unbounded", "proof"]
"""share: 0 to 1; difference: of two shares, -1 to 1; unbounded: any number; proof: a lower
bound, which has no upper one."""

FPRS = (0.1, 0.01, 0.001)
"""False positive rates at which a membership attack is read."""

PRIORS = (0.5, 0.1, 0.01, 0.001)
"""Shares of true members among the people an attacker asks about."""

PPV_FPR = 0.01
"""The false positive rate at which the positive predictive value is read."""

POWER = 0.8
"""The power at which the smallest detectable effect is stated."""

MEMBERSHIP: Mapping[str, Scale] = {
    "auc": "share",
    "detectable_auc": "share",
    "tpr": "share",
    "detectable_tpr": "share",
    "ppv": "share",
}
"""`tpr` and `detectable_tpr` are read at a false positive rate, `ppv` at `PPV_FPR` and a prior."""

PATIENTS: Mapping[str, Scale] = {
    "patients_at_risk": "share",
    "patients_named_beyond": "share",
    "patients_named": "share",
    "members_named": "share",
}
"""Shares of patients, each of them judged by themselves (`privaudit.stats.patient_risk`)."""

AT_RISK_BEYOND = 0.75
"""Share of pairs of models beyond which a patient who is told apart counts as at risk. No setting:
who runs an audit could put it where nobody is."""

TRIALS: Mapping[str, Scale] = {
    "attack_rate": "share",
    "control_rate": "share",
    "attack_minus_control": "difference",
    "guess_rate": "share",
    "attack_minus_guess": "difference",
}
"""Of attempts; `Metric.at` is the series where there are several."""

RANKED: Mapping[str, Scale] = {
    "auroc_attacked": "share",
    "auroc_shaken": "share",
    "auroc_unchanged": "share",
    "auroc_fall": "difference",
}
"""Of the same attempts where they change what a model answers; `auroc_fall` is what the attack
takes off beyond random changes."""

PICTURES: Mapping[str, Scale] = {
    "psnr_attack": "unbounded",
    "psnr_control": "unbounded",
    "psnr_gain": "unbounded",
}
"""Of the same attempts where pictures are rebuilt, in decibels; `psnr_gain` is what the attack has
beyond the nearest picture of the attacker's own."""

UTILITY: Mapping[str, Scale] = {
    "auroc": "share",
    "auprc": "share",
    "brier": "share",
    "log_loss": "unbounded",
    "calibration_slope": "unbounded",
    "calibration_intercept": "unbounded",
}
"""Where the outcome is a class. With more than two classes the calibration estimates have
`Metric.at`: a class, or where they are ordered a cut."""

UTILITY_OF_ORDER: Mapping[str, Scale] = {
    "kappa_linear": "difference",
    "mean_miss": "unbounded",
    "concordance": "share",
}
"""Where there are more than two classes in an order. Kappa is at most 1 and, as a difference of two
shares, may be negative; a miss is counted in classes."""

UTILITY_OF_NUMBERS: Mapping[str, Scale] = {
    "r2": "unbounded",
    "mae": "unbounded",
    "rmse": "unbounded",
    "prediction_slope": "unbounded",
}
"""Where the outcome is a number. R2 has no lower end; errors are in the outcome's unit."""

UTILITY_OF_TIMES: Mapping[str, Scale] = {"c_index": "share"}
"""Where the outcome is a time to an event."""

EPSILON: Mapping[str, Scale] = {
    "epsilon_lower_bound": "proof",
    "epsilon_lower_bound_fdp": "proof",
}
"""For scores whose membership was assigned at random, each patient for themselves
(`Scores.randomised`)."""

FIDELITY: Mapping[str, Scale] = {
    "prevalence_synthetic": "share",
    "prevalence_real": "share",
    "prevalence_gap": "difference",
    "column_distance": "share",
    "association_error": "share",
    "association_error_outcome": "share",
    "detection_auc": "share",
    "detection_auc_real": "share",
    "exact_copies": "share",
    "exact_copies_excess": "difference",
    "near_copies": "share",
    "near_copies_excess": "difference",
    "closest_distance": "unbounded",
    "neighbour_ratio": "share",
    "closer_to_members": "share",
    "auroc_loss": "difference",
    "auroc_synthetic": "share",
    "auroc_real": "share",
    "group_share_synthetic": "share",
    "group_share_real": "share",
}
"""For a synthetic table beside the real one. With more than two outcomes the prevalences have
`Metric.at`."""

CURVES: Mapping[str, Scale] = {"observed_rate": "share"}
"""What only a curve holds: the observed rate at a predicted one."""

SURVIVAL: Mapping[str, Scale] = {"patients_beyond": "share"}
"""The same: the share of patients who are told apart more often than so."""

CATALOGUE: Mapping[str, Scale] = {
    **MEMBERSHIP,
    **PATIENTS,
    **TRIALS,
    **RANKED,
    **PICTURES,
    **UTILITY,
    **UTILITY_OF_ORDER,
    **UTILITY_OF_NUMBERS,
    **UTILITY_OF_TIMES,
    **EPSILON,
    **FIDELITY,
    **CURVES,
    **SURVIVAL,
}

MEMBERSHIP_METRICS = (
    Metric("auc"),
    Metric("detectable_auc"),
    *(Metric("tpr", fpr=fpr) for fpr in FPRS),
    *(Metric("detectable_tpr", fpr=fpr) for fpr in FPRS),
    *(Metric("ppv", fpr=PPV_FPR, prior=prior) for prior in PRIORS),
)
"""Every estimate of a membership game, in the order of documents."""

__all__ = [
    "AT_RISK_BEYOND",
    "CATALOGUE",
    "CURVES",
    "EPSILON",
    "FIDELITY",
    "FPRS",
    "MEMBERSHIP",
    "MEMBERSHIP_METRICS",
    "PATIENTS",
    "PICTURES",
    "POWER",
    "PPV_FPR",
    "PRIORS",
    "RANKED",
    "SURVIVAL",
    "TRIALS",
    "UTILITY",
    "UTILITY_OF_NUMBERS",
    "UTILITY_OF_ORDER",
    "UTILITY_OF_TIMES",
    "Scale",
]
