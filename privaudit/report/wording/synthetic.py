"""Synthetic tables: how like the real one they are, what they are good for, and whom they forget."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.report import numbers as n
from privaudit.results import Estimate

SYNTHETIC = (
    "A synthetic table is released in place of real records. This part says what it is like and what "
    "it is good for; what it gives away is under the findings. No single number says whether a table is "
    "good: a table may look right column by column and be useless, or be useful and give patients away."
)

# --- the outcome --------------------------------------------------------------------------------

PREVALENCE_HEADING = "First: how common the outcome is"
PREVALENCE = (
    "A model of a table in which the outcome is more or less common than in life gives wrong risks, "
    "however well it ranks. Read this before any calibration or predictive value of such a model."
)
PREVALENCE_CAPTION = "Share of rows with the outcome, synthetic and real"
PREVALENCE_COLUMNS = ("Table", "Rows", "Outcome", "Synthetic", "Real", "Difference")


def prevalence_off(names: Sequence[str]) -> str:
    many = "these tables" if len(names) > 1 else "this table"
    return f"The outcome is not as common as in life in {many}: {', '.join(names)}."


PREVALENCE_OFF = (
    "Risks predicted by models of them are too high or too low for real patients. Do not use their "
    "probabilities, or calibrate them again on real records."
)

# --- usefulness ---------------------------------------------------------------------------------

USEFUL_HEADING = "What models of it are worth"
USEFUL = (
    "Each model family learns once from the real and once from the synthetic records, of the same columns, "
    "and is asked about the same real patients, whom neither saw. The loss is what the synthetic records "
    "cost in ranking; its interval pairs the two answers patient by patient."
)
USEFUL_CAPTION = "Learnt from real and from synthetic records, asked about real patients"
USEFUL_COLUMNS = (
    "Table", "Model family", "AUROC, real", "AUROC, synthetic", "Loss", "Calibration slope", "Calibration intercept",
)  # fmt: skip
USEFUL_NOTE = (
    "Calibration of the models that learnt from synthetic records: a slope of 1 and an intercept of 0 are right; "
    "the intercept follows the share of the outcome above."
)


def useful_title(name: str, loss: Estimate, learner: str, most: bool = True) -> str:
    if loss.value is None or loss.low is None or loss.high is None:
        return f"What models of {name} are worth could not be told."
    lead = f"Of the tables here, {name} costs {'least' if most else 'most'}" if most else name
    return f"{lead}: {learner} loses {n.estimate_text(loss)} of AUROC by learning from it."


PLANE_HEADING = "Every table and every model, by risk and usefulness"
PLANE_ELSEWHERE = "Tables stand beside all models, by risk and usefulness, under "
PLANE_X = "Usefulness: AUROC (right is better)"
PLANE_Y = "AUC of the strongest attack (down is better)"
PLANE_CAPTION = "Usefulness and risk of synthetic tables and of trained models"
PLANE_NOTE = (
    "A table's usefulness is that of the model family named first above, learnt from it; a model's is "
    "its own. Risk is the headline attack's AUC on each."
)
PLANE_KINDS = {0: "trained on real records", 1: "a synthetic table", 2: "a table with a promise"}


# --- likeness -----------------------------------------------------------------------------------

LIKE_HEADING = "How like the real table it is"
LIKE = (
    "Each number stands beside what real records of other patients would read: below or near that, the "
    "table is as like the real one as another sample of patients. A detector is a model that is asked to tell "
    "synthetic rows from real ones; 0.5 is guessing."
)
LIKE_CAPTION = "Likeness to the real table; in brackets the interval, after the bar what other real patients read"
LIKE_COLUMNS = (
    "Table",
    "Columns apart",
    "Pairs of columns",
    "Pairs with the outcome",
    "Detector’s AUC",
)


def with_other(e: Estimate | None, chance: float | None) -> str:
    """`0.12 (0.10 to 0.13) | 0.06`."""
    if e is None:
        return ""
    told = n.estimate_text(e)
    return told if chance is None else f"{told} | {n.significant(chance, 2)}"


def columns_heading(name: str) -> str:
    return f"{name}: column by column"


def columns_title(name: str, far: int, total: int, worst: str, noisy: bool) -> str:
    drawn = " before and after the noise of its promise" if noisy else ""
    if not far:
        return (
            f"{name}{drawn}: none of {total} columns is clearly further from the real one than other "
            f"real patients are; {worst} differs most."
        )
    are = "is" if far == 1 else "are"
    return (
        f"{name}{drawn}: {far} of {total} columns {are} clearly further from the real one than other real "
        f"patients are; {worst} differs most."
    )


APART_CAPTION = "Columns clearly further from the real ones than other real patients are"
APART_COLUMNS = ("Table", "Columns", "Differs most", "Apart")
COLUMNS_NOTE = (
    "Drawn: the outcome and the columns that differ most. Apart: the share of values that would have to "
    "change to match the real column; after the bar, what other real patients read. No bar rests on 1 to 9 "
    "real patients. The real shares are counts of this audit, which no promise of a table covers."
)
COLUMNS_COLUMNS = ("Column and value", "Real", "Synthetic")
NOISY_COLUMN = "After noise"
OUTCOME = "outcome"
REAL, DRAWN, NOISY = "real", "synthetic", "after the noise of the promise"

# --- copies and distances -----------------------------------------------------------------------

NEAR_HEADING = "Copies of real records"
NEAR = (
    "How many of the records learnt from stand in the table, beside how many records of patients whom it "
    "never saw do. People with little measured are alike, so that some copies are chance."
)
NEAR_CAPTION = "Copies counted"
NEAR_COLUMNS = (
    "Table", "Word for word", "Of other patients", "But for a few cells", "Of other patients",
)  # fmt: skip
FAR_CAPTION = "Distances described"
FAR_COLUMNS = (
    "Table",
    "Closest record",
    "Closest to second closest",
    "Closer to a record learnt from",
)
FEW = "1 to 9 patients"
DISTANCES = (
    "These describe and prove nothing: distances to the closest record read alike for tables that "
    "give patients away and for tables that do not (“The DCR Delusion”, arXiv 2505.01524). After the bar: "
    "for patients whom the table never saw; 50 % of rows would be closer to a record learnt from by chance. No limit is set on "
    "them. The attacks under the findings are the test."
)


def copies_title(names: Sequence[str]) -> str:
    return f"Records of real patients stand in {', '.join(names)}, more than chance explains."


COPIES_BODY = (
    "Whoever is given such a table is given those records. It is not fit to be handed out."
)

# --- minorities ---------------------------------------------------------------------------------

FORGOT_HEADING = "Whom it forgets"
FORGOT = (
    "A generator may leave a small group out, or draw its members like everybody else. Share: of the table's "
    "rows. Loss: of AUROC for this group's real patients, by learning from synthetic records."
)
FORGOT_COLUMNS = (
    "Group",
    "Share, real",
    "Share, synthetic",
    "AUROC, real",
    "AUROC, synthetic",
    "Loss",
)
FORGOT_SMALL = "fewer than 10 patients"
FORGOT_BOLD = "Bold: the group's share is off by more than chance explains, or its loss differs from everyone else's (adjusted)."


def forgot_caption(name: str, learner: str) -> str:
    by = f", models of the family {learner}" if learner else ""
    return f"{name}: subgroups, real and synthetic{by}"


FORGOT_MANY = "Loss of AUROC for each group's real patients, by table"
FORGOT_SHARES = "Each group's share of the rows, by table"

NOTES_SUMMARY = "What to know about these comparisons"
