"""Criteria of authorities and standards, what each asks, and how it may be read with this report.

`VERSION` names the catalogue, `AS_OF` the day on which its entries were last checked. Both are printed.
"""

from __future__ import annotations

from dataclasses import dataclass

VERSION, AS_OF = "1", "2026-11-21"


@dataclass(frozen=True)
class Criterion:
    """One criterion. classes: keys of `privaudit.report.classes` that bear on it; none: it is told by
    `told` alone."""

    source: str
    where: str
    asks: str
    classes: tuple[str, ...] = ()
    told: str = ""


CRITERIA: tuple[Criterion, ...] = (
    Criterion(
        "EDPB Opinion 28/2024 (17 December 2024)",
        "paragraph 55",
        "tests against membership and attribute inference, exfiltration, regurgitation, model "
        "inversion and reconstruction; success counts only for the attacks that were run",
        ("membership", "attribute", "exfiltration", "regurgitation", "inversion", "reconstruction"),
    ),
    Criterion(
        "EDPB Opinion 28/2024 (17 December 2024)",
        "paragraph 43",
        "a likelihood that is insignificant for any person whose data were used, not on average",
        (),
        "read the most affected group beside everyone, under “Who is most affected”; a single "
        "person’s risk is not measured",
    ),
    Criterion(
        "EDPB Opinion 28/2024 (17 December 2024)",
        "paragraph 58",
        "documentation: who tested, when, how, how far, against which threats, what risk remains",
        (),
        "the text for an impact assessment below, and audit.json",
    ),
    Criterion(
        "Article 29 Working Party, Opinion 05/2014 (WP216)",
        "section 2.2",
        "no singling out, no linkage, no inference about a person",
        ("membership", "reconstruction", "synthetic", "attribute"),
    ),
    Criterion(
        "GDPR, Regulation (EU) 2016/679",
        "article 35",
        "an assessment of risks before processing that is likely to result in a high risk",
        (),
        "this report is an input to it and does not replace it",
    ),
    Criterion(
        "HIPAA, 45 CFR 164.514(b)(1)",
        "expert determination",
        "that the risk of identification by an anticipated recipient is very small; the rule gives no "
        "number",
        (),
        "an expert may use these numbers; no number here settles it",
    ),
    Criterion(
        "EMA, guidance on Policy 0070",
        "threshold of 0.09",
        "a probability of re-identification of at most 0.09 for clinical reports that are published",
        (),
        "about released records; an attack’s success rate is another quantity and is not compared "
        "with it",
    ),
    Criterion(
        "NIST SP 800-226 (March 2025)",
        "evaluating differential privacy",
        "unit, neighbouring data, epsilon and delta, mechanism and accounting of every claim",
        ("epsilon",),
    ),
    Criterion(
        "NIST AI 100-2 E2025 (March 2025)",
        "taxonomy of attacks",
        "names for attacks and for what the attacker knows: evasion, poisoning, privacy attacks",
        ("evasion", "poisoning", "membership", "reconstruction", "property"),
    ),
)

CRITERIA_INTRO = (
    f"A reading aid and no legal opinion. Catalogue {VERSION}, as of {AS_OF}; sources change, so check "
    "the current text."
)
CRITERIA_CAPTION = "What is asked, and what this run holds on it"
CRITERIA_COLUMNS = ("Source", "Where", "Asks for", "In this run")


def in_run(tested: list[str], open_: list[str]) -> str:
    parts = [f"tested: {', '.join(tested)}"] if tested else []
    parts += [f"not tested: {', '.join(open_)}"] if open_ else []
    return "; ".join(parts) or "does not apply to these releases"
