"""A federation between machines: who sent what, who could read it, and what was measured."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report.wording.nouns import Phrase, Phrases, w
from privaudit.results import Estimate

TRUST = "What each could read by design stands under"
TRUST_LINK = "Federated learning"
PROTECTED = {
    "": Phrase("Updates were sent in the open: the coordinator read each {site}’s."),
    "secure_sum": Phrase(
        "Updates were masked: the coordinator could read their sum alone, as long as too few of "
        "the {sites} act together with it."
    ),
    "encrypted_sum": Phrase(
        "Updates were encrypted under a key that every {site} holds and the coordinator does not: "
        "any {site} that gets hold of another’s encrypted update can open it."
    ),
}
CUSTODY = {
    "none": Phrase("no key opens a single {site}’s update"),
    "sites": Phrase("every {site}; the coordinator has none"),
}
FACTS = Phrases(("Run", "Terms consented to", "Rounds", "Fewest {sites} a round", "Keys"))


def word_intro(sites: int, took: int, consented: int, withdrew: int) -> str:
    """How many took part."""
    text = (
        f"This model was trained between the machines of {n.count(sites)} {w.sites}, and no "
        f"{w.record} was moved: {n.count(consented)} consented and {n.count(took)} took part"
    )
    return f"{text}; {n.count(withdrew)} took the consent back." if withdrew else f"{text}."


def word_rounds(rounds: int, idle: int, recovered: int) -> str:
    """How many rounds, and those that went wrong."""
    text = n.count(rounds)
    if idle:
        text += f"; in {n.count(idle)} too few updates could be combined"
    if recovered:
        text += (
            f"; in {n.count(recovered)} the masks of {w.sites} that had dropped out were removed"
        )
    return text


TRAFFIC_CAPTION = Phrase("What left each {site}")
TRAFFIC_COLUMNS = Phrases(
    ("{Site}", "What", "Messages", "Arrived", "Left, by its own outbox", "In agreement")
)
TRAFFIC_NOTE = Phrase(
    "Arrived: the bytes that messages hold, counted by the coordinator. Left: the same with their "
    "packing, and also messages that never arrived, as the {site} states. They agree where no more "
    "arrived than left."
)
AGREES = {True: "yes", False: "no: more arrived", None: "not known"}
KINDS: dict[str, str] = {
    "hello": "greetings",
    "train": "updates",
    "mask_keys": "keys for masks",
    "mask_shares": "sealed shares of masks",
    "masked": "masked updates",
    "reveal": "shares of masks of those who dropped out",
    "box_key": "public keys",
    "make_secret": "a sealed secret key",
    "take_secret": "receipts of the secret key",
    "encrypt": "encrypted updates",
    "agree": "signatures under who arrived",
    "decrypt": "decrypted sums",
    "grow": "trees",
    "grade": "counts",
}
TRAINED = "notices that an update is ready"
MORE_ARRIVED = Phrase("More arrived in the name of {a_site} than it sent")
MORE_ARRIVED_BODY = Phrase(
    "Somebody else may hold its certificate. Ask these {sites}, and train nothing more with them "
    "until it is known: "
)
ALARMS = Phrase("Alarms during the run")
ALARM_WORDS: dict[str, str] = {
    "second_login": "a second machine logged in with its certificate",
    "decrypted_apart": "sums that it decrypted differed from those of the others",
    "clock": "its clock differed",
    "disk": "its disk could not be written",
    "other_build": "it ran other code",
    "other_terms": "it answered under other terms",
    "other_schema": "its records have other columns",
}
UNKNOWN_ALARM = "an alarm that this version does not know"

MEASURED = Phrase(
    "Measured by the {sites} on their own {people}: rows read whole out of what each had sent "
    "last, as the coordinator received it, and how surely the finished model reveals who was "
    "trained on."
)
MEASURED_CAPTION = Phrase("What was read of each {site}’s {people}")
MEASURED_COLUMNS = Phrases(
    (
        "{Site}",
        "Rows rebuilt of rows tried",
        "Without an update",
        "Membership AUC",
        "AUROC of the model",
    )
)
ALL_SITES = Phrase("all {sites}")
NOT_STATED = "not stated"
ON_ITS_WORD = Phrase(
    "Each {site} counted for itself. One that misstates its counts hides its own leak here, and "
    "nobody else can tell."
)


def word_largest(site: str, e: Estimate) -> str:
    """Whose people are told apart most."""
    text = f"Membership shows most at {site}: AUC {n.estimate_text(e)}"
    if e.low is not None and e.low > 0.5:
        return f"{text}. Its {w.people} bear the largest risk."
    return f"{text}, which is not distinguishable from chance."


ROUNDS_CAPTION = Phrase("Who took part")
ROUNDS_COLUMNS = Phrases(
    (
        "{Site}",
        "Consent",
        "Counts",
        "Rounds",
        "No answer",
        "Late",
        "Refused",
    )
)
CONSENT = {"given": "given", "withdrawn": "withdrawn", "none": "not given"}
COUNTED = {True: "stated", False: "none"}
WITHHELD_CAPTION = Phrase("What {sites} did not state of their {people}")
WITHHELD_COLUMNS = Phrases(("{Site}", "What", "Why"))
PARTS: dict[str, str] = {
    "pools": "anything",
    "utility": "utility",
    "unknown": "an attack of another version",
}
WITHHELD: dict[str, Phrase] = {
    "few_patients": Phrase("too few {people}"),
    "few_with_outcome": Phrase("too few {people} with an outcome"),
    "many_outcomes": Phrase("more than two outcomes"),
    "refits_not_allowed": Phrase("training again is not allowed there"),
    "not_applicable": Phrase("does not apply to this model or these records"),
    "nothing_sent": Phrase("it has no update of its own to try this on"),
    "refused": Phrase("the attack could not be made on these records"),
    "unknown_attack": Phrase("it does not know the attack"),
}
UNKNOWN_CODE = "for a reason that this version does not know"
