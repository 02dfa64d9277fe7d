"""What was audited, and on whom: models, synthetic tables, and what somebody brought."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.report import numbers as n
from privaudit.report.kinds import Kind, mixed, tables
from privaudit.results import Data

DRIFT = "pools told apart without the model, AUC"
"""The fact under which a brought model's audit keeps how far the two sides differ."""


def noun(told: Sequence[Kind], count: int) -> str:
    """What to call so many of these."""
    one = "release" if mixed(told) else "synthetic table" if tables(told) else "model"
    return one if count == 1 else f"{one}s"


def heading(told: Sequence[Kind]) -> str:
    """The heading of a column of their names."""
    return "Release" if mixed(told) else "Table" if tables(told) else "Model"


def counted(told: Sequence[Kind]) -> str:
    """`3 models`, `1 synthetic table`, `2 models and 3 synthetic tables`."""
    if not told:
        return "nothing"
    flat = [one in ("table", "given") for one in told]
    parts = [
        _many(len(flat) - sum(flat), "model"),
        _many(sum(flat), "synthetic table"),
    ]
    return " and ".join(part for part in parts if part)


def _many(count: int, what: str) -> str:
    return "" if not count else f"1 {what}" if count == 1 else f"{n.whole(count)} {what}s"


def tested(
    data: Data,
    told: Sequence[Kind],
    ways: Sequence[str],
    forms: Sequence[str],
    drawn: Sequence[str],
    promised: int,
) -> str:
    """What was audited, in a sentence.

    ways: how models trained here were trained; forms: file types of models brought; drawn: generators
    of tables drawn here; promised: how many of those tables hold a promise.
    """
    parts = []
    models, made = told.count("model"), told.count("table")
    title = f"“{data.title}”"
    if models:
        how = f" (trained {', '.join(ways)})" if ways else ""
        parts.append(f"{_many(models, 'model')} that predict{_s(models)} {title}{how}")
    if made:
        by = f" (drawn by {', '.join(drawn)}"
        by += f"; {_many(promised, 'promise')} of differential privacy)" if promised else ")"
        each = "with a model trained on it" if made == 1 else "each with a model trained on it"
        of = "" if models else f" that predicts {title}"
        parts.append(f"{_many(made, 'synthetic table')}{by if drawn else ''}, {each}{of}")
    if given := told.count("given"):
        parts.append(f"{_many(given, 'synthetic table')}, as brought by {_owner(given)}")
    if own := told.count("own"):
        what = f" ({', '.join(forms)})" if forms else ""
        parts.append(f"{_many(own, 'model')} as brought by {_owner(own)}{what}, to predict {title}")
    if answers := told.count("answers"):
        parts.append(
            f"the probabilities of {title} that {_many(answers, 'model')} gave for each record; "
            "the model itself was not brought"
        )
    text = ", and ".join(parts) or f"Nothing that predicts {title}"
    return f"{text[:1].upper()}{text[1:]}."


def _s(count: int) -> str:
    return "s" if count == 1 else ""


def _owner(count: int) -> str:
    return "its owner" if count == 1 else "their owners"


def by_attacks(count: int, classes: Sequence[str]) -> str:
    if not count:
        return "No attack gave a result."
    by = "1 attack" if count == 1 else f"{count} attacks"
    which = "this class" if len(classes) == 1 else "these classes"
    return f"{by} gave a result, of {which}: {'; '.join(classes)}."


def whom(data: Data, told: Sequence[Kind]) -> str:
    """On whom: who was trained on, who was kept out, and who decided that."""
    pools = {p.name: p.patients for p in data.pools}
    if "members" not in pools:
        return f"The data: {data.source}."
    one = len(told) == 1
    it = "it was" if one else "they were"
    verb = f"{it} {'made from' if tables(told) or mixed(told) else 'trained on'}"
    inside, outside = n.whole(pools["members"]), n.whole(pools.get("nonmembers", 0))
    if data.random_split:
        return (
            f"{verb[:1].upper()}{verb[1:]} {inside} patients ({data.source}), the training patients: "
            f"patients whose records {'it' if one else 'they'} learnt from. Another {outside}, picked by the toss of a coin, were kept out, so that an attack’s "
            "success can be told from luck."
        )
    return (
        f"By its owner’s word {verb} {inside} patients ({data.source}), the training patients, whose "
        f"records {'it' if one else 'they'} learnt from, and not the {outside} others who stand beside them here. No coin of this audit decided who is "
        "which, so the two sides may differ in other ways, such as the year or the ward, and such a "
        f"difference can look like a leak. {_drift(data)}"
    )


def _drift(data: Data) -> str:
    if data.distribution_shift:
        return "They do differ: see the warning above."
    found = data.facts.get(DRIFT)
    if isinstance(found, int | float):
        return (
            "A check without the model could not tell the two sides apart (AUC "
            f"{n.significant(float(found))}, where 0.5 is guessing)."
        )
    return "Whether they do was not checked here."


UNFAIR_TITLE = "Training patients and others differ, whatever was trained"
UNFAIR_SHORT = (
    "Nothing can be said about who was in the training data: the training patients differ from the "
    "others even without asking what was released."
)


def also_beyond(places: Sequence[str]) -> str:
    shown = ", ".join(places[:6]) + (f", and {len(places) - 6} more" if len(places) > 6 else "")
    return (
        f"Other attacks that did better than their control and than guessing: {shown}. Each is judged "
        "on its own, so 1 in 40 of all that were tried would show here by luck."
    )


# --- what happened, and what it means -----------------------------------------------------------


TALLIED = 5


def tally(states: Sequence[str], told: Sequence[Kind], names: Sequence[str]) -> str:
    """How many read how; counts of releases, not of patients. names: of all, those found are named."""
    what = noun(told, 1)
    if len(states) == 1:
        alone = {
            "found": f"This {what} gave away who was in its training data, beyond chance.",
            "unseen": f"On this {what} the attacks did no better than guessing.",
            "small": (
                f"On this {what} nothing beyond guessing was seen, but there are too few patients to "
                "tell at the strictness asked for."
            ),
            "weak": (
                f"On this {what} nothing beyond guessing was seen, but no planted leak was found "
                "either, so that says little."
            ),
            "unfair": UNFAIR_SHORT,
        }
        return alone.get(
            states[0], f"On this {what} no attack told who was in its training data, or not."
        )
    found = [name for name, state in zip(names, states, strict=True) if state == "found"]
    parts = {
        "found": f"{{}} gave away who was in their training data, beyond chance ({_few(found)})",
        "unseen": "on {} the attacks did no better than guessing",
        "small": "on {} nothing was seen, but there are too few patients to tell",
        "weak": "on {} nothing was seen, but no planted leak was found either",
        "untested": "on {} no membership attack gave a result",
    }
    if "unfair" in states:
        return UNFAIR_SHORT
    said = [text.format(k) for state, text in parts.items() if (k := states.count(state))]
    return f"Of {len(states)} {noun(told, len(states))}, {'; '.join(said)}."


def _few(names: Sequence[str]) -> str:
    more = len(names) - TALLIED
    return ", ".join(names[:TALLIED]) + (f" and {more:,} more" if more > 0 else "")


def means_found(told: Sequence[Kind]) -> str:
    made = "whom the table was made from" if tables(told) else "in the training data"
    return (
        "To be recognised means: somebody who already holds a patient’s record learns that this "
        f"patient is among those {made}, and with it whatever is true of all of these: that they were "
        "treated there, and for what."
    )


def means_unseen(told: Sequence[Kind]) -> str:
    return (
        "As far as these attacks can tell, somebody who holds a patient’s record cannot tell from the "
        f"{noun(told, 1)} whether the patient was in its training data."
    )


MEANS_UNCLEAR = (
    "This audit cannot say whether somebody who holds a patient’s record could tell that the patient "
    "was in the training data."
)


# --- what was not tested ------------------------------------------------------------------------


def not_everywhere(count: int, told: Sequence[Kind]) -> str:
    which = "1 attack" if count == 1 else f"{count} attacks"
    if len(told) == 1:
        needs = "needs" if count == 1 else "need"
        return (
            f"{which} {needs} what was not released here; the reasons stand under “What was found”."
        )
    return f"{which} could not be used on some {noun(told, 2)}, for the reasons under “What was found”."


NO_RECIPE = (
    "Attacks that train the model again on other patients (shadow models, LiRA, RMIA, few-shadow "
    "Bayes): nobody said how it is trained. They often find more. `privaudit audit --estimator` runs "
    "them."
)
ANSWERS_ONLY = (
    "Attacks that ask the model about other records (attribute inference, evasion): only its answers "
    "are known. `privaudit audit --model` runs them."
)
