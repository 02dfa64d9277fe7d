"""Words that the report explains, and where they stand in running text."""

from __future__ import annotations

GLOSSARY: tuple[tuple[str, str, str], ...] = (
    (
        "adjusted-p-value",
        "Adjusted p-value",
        "How often a difference this large would turn up by luck in any of the groups, if there "
        "were none. Adjusted means: the number of groups looked at is taken into account.",
    ),
    (
        "auc",
        "AUC",
        "Given one training patient and one other patient, how often the attack ranks the training "
        "patient higher. 0.5 is guessing, 1 is always right.",
    ),
    (
        "auroc",
        "AUROC",
        "Given one patient with the outcome and one without, how often the model gives the first "
        "the higher risk. 0.5 is guessing, 1 is perfect.",
    ),
    (
        "auprc",
        "AUPRC",
        "Average share of right alarms over all alarm levels. It matters where the outcome is rare.",
    ),
    (
        "aggregator",
        "Aggregator",
        "The rule by which a server makes one update of the hospitals’ updates: their average, their "
        "median, and so on.",
    ),
    (
        "bound",
        "Bound (one-sided)",
        "A value that the true one lies above (lower bound) or below (upper bound), at the policy’s "
        "level of confidence. Verdicts rest on bounds and not on the measured value.",
    ),
    (
        "brier-score",
        "Brier score",
        "Average squared distance between the predicted risk and what happened; 0 is perfect.",
    ),
    (
        "calibration",
        "Calibration",
        "Whether a predicted risk of 20 in 100 comes true for 20 in 100 patients.",
    ),
    (
        "control",
        "Control",
        "A test of the test. Positive: a leak is planted and must be found. Negative: there is "
        "nothing to find, and nothing may be found.",
    ),
    (
        "differential-privacy",
        "Differential privacy",
        "A mathematical promise, made while training, that one patient’s data change the result "
        "only a little. Its size is called epsilon: the smaller, the stronger.",
    ),
    (
        "epsilon",
        "Epsilon and delta",
        "Size of a differential-privacy promise. With epsilon 1 an attacker’s odds about one patient "
        "grow at most 2.7-fold by the release; with 3, 20-fold; with 10, 22,000-fold. Delta is the "
        "chance that this does not hold.",
    ),
    (
        "false-alarm",
        "False alarm",
        "A patient who was not in the training data but whom the attack names as if so. “1 in 100 "
        "false alarms” means: of 100 such patients, one is wrongly named.",
    ),
    (
        "federated-training",
        "Federated training",
        "Training on the records of several hospitals that stay where they are: each hospital sends "
        "what it learnt (its update), never its records.",
    ),
    (
        "headline",
        "Headline",
        "The strongest attack. It is chosen on retrained models whose training patients are known or, "
        "where there are none, on one half of the patients and measured on the other, so that "
        "picking the best of many does not make the number look worse than it is.",
    ),
    (
        "held-out-patient",
        "Held-out patient",
        "A patient who was kept out of training: by the toss of a coin where the audit trained the models "
        "itself, else by whoever did. They show what the attack "
        "says about patients whom the model has never seen.",
    ),
    (
        "interval",
        "Interval",
        "The range that holds the true value in 95 of 100 audits like this one, unless another "
        "level is named. A wide interval means that few patients were available.",
    ),
    (
        "log-loss",
        "Log loss",
        "A penalty for being sure and wrong; lower is better.",
    ),
    (
        "membership",
        "Membership",
        "Whether a patient’s record was used to train the model.",
    ),
    (
        "ppv",
        "Share of right namings",
        "Of the patients whom the attack names as training patients, the share who truly are. It "
        "depends on how many training patients there are among those asked about.",
    ),
    (
        "reference-pool",
        "Reference pool",
        "Patients who play the attacker’s own data. They are in neither of the other two pools.",
    ),
    (
        "roc",
        "ROC curve",
        "A line that shows, for every level of false alarms, how many training patients an attack "
        "recognises.",
    ),
    (
        "shadow-model",
        "Shadow model",
        "A copy that the attacker trains in the same way on other patients, to learn how the model "
        "behaves.",
    ),
    (
        "split-training",
        "Split training",
        "The first layers of a network run in the hospital and the others at a server. The values "
        "between them cross a line, the cut.",
    ),
    (
        "standard-deviation",
        "Standard deviation (sd)",
        "The usual spread of a value among patients. A change of 0.1 sd in heart rate is about two "
        "beats a minute.",
    ),
    (
        "waiver",
        "Waiver",
        "A person’s written acceptance of an exceeded limit, until a day. It does not change the "
        "measurement, and the verdict is printed with it.",
    ),
)

TERMS: dict[str, str] = {
    "adjusted p-value": "adjusted-p-value",
    "AUC": "auc",
    "AUROC": "auroc",
    "AUPRC": "auprc",
    "lower bound": "bound",
    "upper bound": "bound",
    "Brier score": "brier-score",
    "calibration": "calibration",
    "calibrated": "calibration",
    "controls": "control",
    "control": "control",
    "differential privacy": "differential-privacy",
    "false alarms": "false-alarm",
    "false alarm": "false-alarm",
    "headline": "headline",
    "held-out patients": "held-out-patient",
    "interval": "interval",
    "intervals": "interval",
    "log loss": "log-loss",
    "reference pool": "reference-pool",
    "ROC curve": "roc",
    "ROC curves": "roc",
    "shadow models": "shadow-model",
    "standard deviations": "standard-deviation",
    "standard deviation": "standard-deviation",
}
"""Words of the running text that are linked to the glossary, once a section."""
