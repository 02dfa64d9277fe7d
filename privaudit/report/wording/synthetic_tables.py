"""Synthetic tables: fidelity, utility, duplicates and under-represented groups."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.report import numbers as n
from privaudit.report.wording.metrics import name_setting
from privaudit.report.wording.nouns import Phrase, Phrases, w
from privaudit.results import Estimate

INTRO = Phrase(
    "A synthetic table is released in place of real records. This part describes its fidelity and "
    "utility; what it reveals is under “Results by attack”. No single number states whether a "
    "table is good: a table may have the right marginals and no utility, or be useful and reveal "
    "{people}."
)

PREVALENCE_HEADING = "Prevalence of the outcome"
PREVALENCE = (
    "A model trained on a table with another prevalence predicts wrong risks, however well it "
    "ranks. Read this before any calibration or predictive value of such a model."
)
PREVALENCE_CAPTION = "Share of rows with the outcome, synthetic and real"
PREVALENCE_COLUMNS = ("Table", "Rows", "Outcome", "Synthetic", "Real", "Difference")
PREVALENCE_OFF = Phrase(
    "Risks predicted by models trained on them are too high or too low for real {people}. Do not "
    "use their probabilities, or recalibrate on real records."
)
OUTCOME, WITH_OUTCOME, WITHOUT_OUTCOME = "outcome", "with it", "without it"


def title_prevalence(names: Sequence[str]) -> str:
    """Tables with another prevalence than the real one."""
    return f"The prevalence of the outcome differs from the real one in {', '.join(names)}."


UTILITY_HEADING = "Utility: train on synthetic, test on real"
UTILITY = Phrase(
    "Each learner is trained once on the real and once on the synthetic records, with the same "
    "columns, and tested on the same real held-out {people}. The loss is the AUROC that training "
    "on synthetic records costs; its interval is paired by {person}."
)
UTILITY_CAPTION = Phrase("Trained on real and on synthetic records, tested on real {people}")
UTILITY_COLUMNS = (
    "Table",
    "Learner",
    "AUROC, real",
    "AUROC, synthetic",
    "Loss",
    "Calibration slope",
    "Calibration intercept",
)
UTILITY_NOTE = (
    "Calibration of the models trained on synthetic records: a slope of 1 and an intercept of 0 "
    "are ideal; the intercept follows the prevalence above."
)
UTILITY_FURTHEST = "Of several outcomes, or cuts, the one that is furthest from ideal is shown."

FIDELITY_HEADING = "Fidelity"
FIDELITY = Phrase(
    "After the bar stands what real records of other {people} read: near or below that, the table "
    "is as close to the real one as another sample of {people}. A discriminator is a model trained "
    "to tell synthetic rows from real ones; 0.5 is guessing."
)
FIDELITY_CAPTION = Phrase("Distance from the real table; after the bar, of other real {people}")
FIDELITY_COLUMNS = (
    "Table",
    "Total variation distance of marginals",
    "Correlation error",
    "Correlation error with the outcome",
    "Discriminator AUC",
)


def word_furthest(e: Estimate | None) -> str:
    """`0.81 (0.70 to 0.92)`, with the outcome or cut that it is of, where there are several."""
    at = "" if e is None or e.value is None else name_setting(e.metric.at)
    return f"{n.cell_text(e)}, {at}" if at else n.cell_text(e)


def word_with_reference(e: Estimate | None, reference: float | None) -> str:
    """`0.12 (0.10 to 0.13) | 0.06`."""
    text = n.cell_text(e)
    return text if reference is None or not text else f"{text} | {n.significant(reference, 2)}"


def caption_marginals(name: str) -> str:
    """The caption of one table's marginals."""
    return f"{name}: marginals"


def title_marginals(name: str, far: int, total: int, worst: str, noisy: bool) -> str:
    """How many columns differ clearly."""
    drawn = ", before and after the noise of differential privacy" if noisy else ""
    differ = "differs" if far == 1 else "differ"
    return (
        f"{name}{drawn}: {far or 'none'} of {total} columns {differ} from the real ones clearly "
        f"more than other real {w.people} do; {worst} differs most."
    )


MARGINALS_CAPTION = Phrase(
    "Columns clearly further from the real ones than other real {people} are"
)
MARGINALS_COLUMNS = ("Table", "Columns", "Differs most", "Distance")
MARGINALS_NOTE = Phrase(
    "Drawn: the outcome and the columns that differ most. Distance: total variation, the share of "
    "values that would have to change to match the real column; after the bar, of other real "
    "{people}. No bar rests on 1 to 9 real {people}. The real shares are counts of this audit, "
    "which no guarantee of a table covers."
)
VALUE_COLUMNS = ("Column and value", "Real", "Synthetic")
NOISY_COLUMN = "After noise"
LEGEND = ("real", "synthetic", "after the noise of differential privacy")


def word_distance(distance: float, reference: float | None = None) -> str:
    """`TV 12 % | 3 %`."""
    text = f"TV {n.share(distance)}"
    return text if reference is None else f"{text} | {n.share(reference)}"


DUPLICATES_HEADING = "Exact duplicates and near-duplicates"
DUPLICATES = Phrase(
    "The share of training {people} any of whose records is in the table, beside the share of "
    "{people} not in the training data. {People} with few measurements are alike, so some "
    "duplicates are due to chance."
)
DUPLICATES_CAPTION = "Duplicates of real records"
DUPLICATES_COLUMNS = Phrases(
    (
        "Table",
        "Exact duplicates",
        "Of other {people}",
        "Near-duplicates",
        "Of other {people}",
    )
)
DUPLICATES_BY_RECORD = "{}, every record for itself"
"""The second line of a table whose patients have several records."""
DUPLICATES_BODY = "Whoever is given such a table is given those records. It is not fit for release."
DISTANCES_CAPTION = "Distances to the closest record"
DISTANCES_COLUMNS = (
    "Table",
    "Closest record",
    "Nearest-neighbour ratio",
    "Closer to a training record",
)
ONE_TO_NINE = Phrase("1 to 9 {people}")
DISTANCES_NOTE = Phrase(
    "A description, not a privacy test: distances to the closest record are similar for tables "
    "that reveal {people} and for tables that do not (“The DCR Delusion”, arXiv 2505.01524). After "
    "the bar: for held-out {people}; by chance, 50 % of rows would be closer to a training record. "
    "No limit is set on them; the attacks are the test."
)

GROUPS_HEADING = "Under-represented groups"
GROUPS = Phrase(
    "A generator may leave a small group out, or draw its members like everybody else. Share: of "
    "the rows, synthetic beside real. Loss: of AUROC for this group’s real {people}, from training "
    "on synthetic records."
)
SHARES_CAPTION = "Each group’s share of the rows: real, then by table"
LOSSES_CAPTION = Phrase("AUROC lost for each group’s real {people}, by table")
REAL_COLUMN = "Real"
GROUPS_NOTE = (
    "Bold: the share differs by more than chance explains, or the loss differs from everyone "
    "else’s (adjusted)."
)
NOTES_SUMMARY = "Notes on these comparisons"
