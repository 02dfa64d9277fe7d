"""Training by several hospitals: federated learning, poisoning, split learning, encryption."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report.wording.nouns import Phrase, Phrases, w
from privaudit.results import Estimate

INTRO = Phrase(
    "In federated learning records stay in each {site}, but what {a_site} sends is computed "
    "from them. The first table states who could read what one {site} sent."
)
TRUST_CAPTION = Phrase("Who could read what of one {site}’s contribution")
TRUST_COLUMNS = ("Model", "Who", "What", "Could read it")
COST_CAPTION = "Cost of federated training"
COSTS: dict[str, Phrase] = {
    "rounds": Phrase("Rounds"),
    "bytes_up": Phrase("Sent by {sites}"),
    "bytes_down": Phrase("Sent to {sites}"),
    "bytes_between_sites": Phrase("Sent between {sites}"),
    "simulated_seconds": Phrase("Time on a simulated network"),
    "refused_updates": Phrase("Updates refused"),
    "train_seconds": Phrase("Processor time"),
}
SITES_CAPTION = Phrase("Utility (AUROC) by {site}, on held-out {people}")
SITES = Phrase(
    "Whether federated training benefits {a_site}: its own {people}, under models trained by "
    "{sites} alone, together, and in one place."
)
SITE_COLUMN = Phrase("{Site}")
ALL_PATIENTS = Phrase("all {people}")
SUPPRESSED = "not shown"
EVERYBODY = Phrase(
    "A model that one {site} trains alone answers for its own {people} in the table above. Asked "
    "about the {people} of every {site}, it shows what it would be worth elsewhere."
)
EVERYBODY_CAPTION = Phrase("Utility (AUROC) of each {site}’s own model, on held-out {people}")
EVERYBODY_COLUMNS = (
    Phrase("{Site}"),
    Phrase("Model"),
    Phrase("Its own {people}"),
    Phrase("All {people}"),
)


def word_benefit(alone: Estimate, together: Estimate, model: str) -> str:
    """Whether training together is more useful than alone."""
    both = (
        f"AUROC {n.estimate_text(together)} with {model}, {n.estimate_text(alone)} with {w.sites} "
        "alone"
    )
    if (together.low or 0) > (alone.high or 1):
        return f"Training together is more useful than {w.sites} alone: {both}."
    if (alone.low or 0) > (together.high or 1):
        return f"Training together is less useful than {w.sites} alone: {both}."
    return f"Over all {w.people}, training together and alone are not distinguishable: {both}."


# --- poisoning ----------------------------------------------------------------------------------

POISONING = Phrase(
    "One or more malicious {sites} take part. Each row is the same training with them, held "
    "against two others: with all {sites} honest (the whole harm), and with the malicious ones "
    "absent (the harm beyond the loss of their records). A policy judges both. For a backdoor, "
    "success is {a_person} with the trigger who gets the prediction that the attacker wants; for "
    "the others, a wrong prediction. An aggregator in brackets is not that of the release: the "
    "same training was repeated with it."
)
POISONING_CAPTION = Phrase(
    "Predictions changed by malicious {sites}, by aggregator: against all {sites} honest"
)
ABSENCE_CAPTION = Phrase(
    "Predictions changed by malicious {sites}, by aggregator: against their absence"
)
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

SPLIT_LEARNING = Phrase(
    "The server sees activations in place of records. These attacks test what the traffic reveals: "
    "the outcomes, and the records themselves. Where the sites keep the last layer (U-shaped), no "
    "outcome is sent as such, and yet outcomes are readable. With cross entropy {a_person}’s "
    "gradient at that layer is the error of the prediction times the layer’s weights: with two "
    "outcomes all gradients lie on one line, and their side is the outcome. For that nothing about "
    "any {person} need be known, only which outcome is the rarer."
)


def word_outcomes(model: str, series: str, e: Estimate, guess: Estimate) -> str:
    """The strongest series on outcomes for which nobody's outcome is known."""
    return (
        f"{model}: without knowing any {w.person}’s outcome, the attack ({series}) is right in "
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
OVERHEAD_COLUMNS = Phrases(("Model", "Sent by {sites}", "Ratio", "Processor time", "AUROC"))
