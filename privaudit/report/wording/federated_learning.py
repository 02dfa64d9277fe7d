"""Training by several hospitals: federated learning, poisoning, split learning, encryption."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.results import Estimate

INTRO = (
    "In federated learning records stay in each hospital, but what a hospital sends is computed "
    "from them. The first table states who could read what one hospital sent."
)
TRUST_CAPTION = "Who could read what of one hospital’s contribution"
TRUST_COLUMNS = ("Model", "Who", "What", "Could read it")
COST_CAPTION = "Cost of federated training"
COSTS: dict[str, str] = {
    "rounds": "Rounds",
    "bytes_up": "Sent by hospitals",
    "bytes_down": "Sent to hospitals",
    "bytes_between_sites": "Sent between hospitals",
    "simulated_seconds": "Time on a simulated network",
    "refused_updates": "Updates refused",
    "train_seconds": "Processor time",
}
SITES_CAPTION = "Utility (AUROC) by hospital, on held-out patients"
SITES = (
    "Whether federated training benefits a hospital: its own patients, under models trained by "
    "hospitals alone, together, and in one place."
)
SITE_COLUMN = "Hospital"
ALL_PATIENTS = "all patients"
SUPPRESSED = "not shown"
EVERYBODY = (
    "A model that one hospital trains alone answers for its own patients in the table above. Asked "
    "about the patients of every hospital, it shows what it would be worth elsewhere."
)
EVERYBODY_CAPTION = "Utility (AUROC) of each hospital’s own model, on held-out patients"
EVERYBODY_COLUMNS = ("Hospital", "Model", "Its own patients", "All patients")


def word_benefit(alone: Estimate, together: Estimate, model: str) -> str:
    """Whether training together is more useful than alone."""
    both = (
        f"AUROC {n.estimate_text(together)} with {model}, {n.estimate_text(alone)} with hospitals "
        "alone"
    )
    if (together.low or 0) > (alone.high or 1):
        return f"Training together is more useful than hospitals alone: {both}."
    if (alone.low or 0) > (together.high or 1):
        return f"Training together is less useful than hospitals alone: {both}."
    return f"Over all patients, training together and alone are not distinguishable: {both}."


# --- poisoning ----------------------------------------------------------------------------------

POISONING = (
    "One or more malicious hospitals take part. Each row is the same training with them, held "
    "against two others: with all hospitals honest (the whole harm), and with the malicious ones "
    "absent (the harm beyond the loss of their records). A policy judges both. For a backdoor, "
    "success is a patient with the trigger who gets the prediction that the attacker wants; for "
    "the others, a wrong prediction. An aggregator in brackets is not that of the release: the "
    "same training was repeated with it."
)
POISONING_CAPTION = (
    "Predictions changed by malicious hospitals, by aggregator: against all hospitals honest"
)
ABSENCE_CAPTION = "Predictions changed by malicious hospitals, by aggregator: against their absence"
POISONING_COLUMNS = ("Model", "Attack")
POISONING_NOTE = "Bold: more than chance explains. The rates of each training are in audit.json."


def word_poisoning(model: str, worst: str, against: str, e: Estimate, best: str) -> str:
    """The worst attack on the aggregator of the release, and the aggregator that resists it
    best."""
    text = f"{model}: the worst attack is {worst} against {against} ({n.estimate_text(e)})"
    if not best:
        return f"{text}; no other aggregator tried resists it clearly better."
    return f"{text}; {best} resists it best."


# --- split learning and encryption --------------------------------------------------------------

SPLIT_LEARNING = (
    "The server sees activations in place of records. These attacks test what the traffic reveals: "
    "the outcomes, and the records themselves. Where the sites keep the last layer (U-shaped), no "
    "outcome is sent as such, and yet outcomes are readable. With cross entropy a patient’s "
    "gradient at that layer is the error of the prediction times the layer’s weights: with two "
    "outcomes all gradients lie on one line, and their side is the outcome. For that nothing about "
    "any patient need be known, only which outcome is the rarer."
)


def word_outcomes(model: str, series: str, e: Estimate, guess: Estimate) -> str:
    """The strongest series on outcomes for which nobody's outcome is known."""
    return (
        f"{model}: without knowing any patient’s outcome, the attack ({series}) is right in "
        f"{n.frequency(e, 100)} attempts ({n.frequency_interval(e, 100)}); guessing is in "
        f"{n.frequency(guess, 100)}."
    )


CUT_CAPTION = "What the traffic at the cut reveals"
CUT_COST_CAPTION = "What crosses the cut, and its cost"
ATTEMPT_COLUMNS = ("Model", "Attack", "Setting", "Attack success", "Control", "Baseline")
ENCRYPTION = (
    "Encryption and masks hide single updates from the server. They hide neither what the sum of "
    "the updates reveals nor what the finished model reveals. Whoever holds the key reads "
    "everything."
)
SEEN_CAPTION = "What is visible under masks and encryption"
KEY_CAPTION = "Attempts to recover the key"
OVERHEAD_CAPTION = "Overhead of protection beside the same training without it"
OVERHEAD_COLUMNS = ("Model", "Sent by hospitals", "Ratio", "Processor time", "AUROC")
