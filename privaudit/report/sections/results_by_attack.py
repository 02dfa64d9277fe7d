"""Results by attack: a table a topic, whatever the number of releases, and drawings of the most
exposed."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.facts import CaveatCode, Metric
from privaudit.report import charts
from privaudit.report import numbers as n
from privaudit.report.blocks import (
    Block,
    Bullets,
    Chart,
    Heading,
    Prose,
    Table,
    Text,
    embolden,
    make_table,
)
from privaudit.report.kinds import get_kinds
from privaudit.report.reading import (
    AUC,
    FPRS,
    PRIMARY_FPR,
    exceeds_chance,
    exceeds_null,
    get,
    get_detailed,
    get_findings,
    get_ppv,
    get_unresolved,
    is_unstated,
    read_membership,
    tpr_at,
)
from privaudit.report.sections._attack_charts import draw_evasion, draw_ranking, draw_roc
from privaudit.report.series import (
    Series,
    get_all_series,
    get_other_estimates,
    get_ranking,
    get_series,
    get_unit,
    make_series,
    measure_gain,
)
from privaudit.report.wording import results_by_attack as words
from privaudit.report.wording.classes import name_family
from privaudit.report.wording.knowledge import attack_notes, name_attack
from privaudit.report.wording.metrics import capitalise, name_metric, name_setting
from privaudit.report.wording.reasons_and_caveats import word_caveat, word_reason
from privaudit.report.wording.releases import name_column, name_subset
from privaudit.results import Audit, Finding, Skipped, Subject
from privaudit.stats.catalogue import PRIORS
from privaudit.verdicts import Verdicts

ELSEWHERE = ("membership", "poisoning", "epsilon")
"""Families that other parts of the report hold."""
MAX_ROWS = 40
"""Attempts that a table holds at every setting; of more, each attack's best setting."""

Attempt = tuple[Subject, Finding, Series]


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """Membership, every other family, attacks without a result, further numbers, caveats."""
    head = name_column(get_kinds(audit))
    blocks = [*_build_membership(audit, head), *_build_trials(audit, head)]
    blocks = blocks or [Prose(words.NO_FINDINGS)]
    return (
        Prose(words.INTRO),
        *blocks,
        *_build_unresolved(audit),
        *_build_others(audit, head),
        *_build_caveats(audit),
    )


# --- membership -----------------------------------------------------------------------------


def _build_membership(audit: Audit, head: str) -> list[Block]:
    attacks = list(
        dict.fromkeys(f.attack for s in audit.subjects for f in get_findings(s, "membership"))
    )
    if not attacks and all(s.headline is None for s in audit.subjects):
        return []
    blocks: list[Block] = [Heading(name_family("membership"), "results-membership")]
    blocks += _draw_headlines(audit, head)
    blocks.append(_build_matrix(audit, head, attacks, AUC))
    rates = [_build_matrix(audit, head, attacks, tpr_at(fpr)) for fpr in FPRS]
    blocks += [table for table in rates if any(any(row[1:]) for row in table.rows)][-1:]
    blocks += _build_by_record(audit, head)
    blocks += _build_ppv(audit, head)
    for i in get_detailed(audit):
        s = audit.subjects[i]
        blocks += draw_roc(s, get_findings(s, "membership"), i + 1)
    return blocks


def _draw_headlines(audit: Audit, head: str) -> list[Block]:
    bars: list[charts.Bar] = []
    rows: list[tuple[Text, ...]] = []
    chosen: dict[str, list[str]] = {}
    for s in audit.subjects:
        r = read_membership(audit, s)
        if r.finding is None:
            continue
        rate = get(r.finding.estimates, tpr_at(PRIMARY_FPR))
        if r.auc is not None:
            strong = r.state == "detected"
            bars.append(charts.Bar(s.name, (r.auc, rate), words.TOO_FEW(), strong))
        how = " ".join(word_caveat(c) for c in r.finding.caveats)
        how = words.AFTERWARDS if r.afterwards else how
        chosen.setdefault(how, []).append(s.name)
        cells = (n.cell_text(r.auc), n.cell_text(rate))
        rows.append((s.name, name_attack(r.finding.attack), *cells))
    if not bars:
        return []
    notes = [words.word_chosen(how, at, len(rows)) for how, at in chosen.items() if how]
    title = words.title_headlines(sum(b.strong for b in bars), len(bars))
    rate_title = capitalise(name_metric(tpr_at(PRIMARY_FPR)))
    panels = [charts.Panel("AUC", 0.5), charts.Panel(rate_title, PRIMARY_FPR)]
    svg = charts.draw_forest(bars, panels, "chart-headlines", title, names=190)
    columns = (head, *words.HEADLINES_COLUMNS)
    return [Chart(title, svg, make_table(words.HEADLINES_CAPTION, columns, rows, 2, notes))]


def _build_matrix(audit: Audit, head: str, attacks: Sequence[str], metric: Metric) -> Table:
    """One measure: a row a release, a column an attack. Bold: above guessing by more than
    chance."""
    rows: list[tuple[Text, ...]] = []
    reasons: dict[str, None] = {}
    for s in audit.subjects:
        own = {f.attack: f for f in get_findings(s, "membership")}
        cells: list[Text] = []
        for attack in attacks:
            e = get(own[attack].estimates, metric) if attack in own else None
            if e is not None and e.value is None:
                reasons[word_reason(e.refusal)] = None
            text = n.estimate_text(e) if e is not None and e.value is not None else ""
            strong = attack in own and exceeds_null(own[attack], metric)
            cells.append(embolden(text, strong))
        if any(cells):
            rows.append((s.name, *cells))
    notes = [words.BOLD_ABOVE_CHANCE] if rows else []
    notes += [words.word_refusal(reason) for reason in list(reasons)[:1]]
    columns = (head, *(name_attack(a) for a in attacks))
    return make_table(words.caption_matrix(metric), columns, rows, 1, notes)


def _build_by_record(audit: Audit, head: str) -> list[Block]:
    """Further lines where patients have several records: with their number evened out, and every
    record for itself."""
    metrics = (AUC, tpr_at(PRIMARY_FPR))
    rows = [
        (
            s.name,
            name_attack(f.attack),
            *(n.cell_text(get(part, m)) for part in (f.evened, f.by_record) for m in metrics),
        )
        for s in audit.subjects
        for f in get_findings(s, "membership")
        if f.by_record
    ]
    if not rows:
        return []
    columns = (head, *words.BY_RECORD_COLUMNS)
    return [make_table(words.BY_RECORD_CAPTION(), columns, rows, 2, words.BY_RECORD_NOTES())]


def _build_ppv(audit: Audit, head: str) -> list[Block]:
    rows = []
    for s in audit.subjects:
        finding = read_membership(audit, s).finding
        found = [] if finding is None else [get_ppv(finding.estimates, prior) for prior in PRIORS]
        if any(e is not None and e.value is not None for e in found):
            rows.append((s.name, *(n.cell_text(e) for e in found)))
    if not rows:
        return []
    columns = (head, *(n.share(prior) for prior in PRIORS))
    return [make_table(words.PPV_CAPTION(), columns, rows, 1, (words.PPV_NOTE(),))]


# --- every other family ---------------------------------------------------------------------


def _build_trials(audit: Audit, head: str) -> list[Block]:
    families = dict.fromkeys(f.family for s in audit.subjects for f in get_findings(s))
    blocks: list[Block] = []
    for family in families:
        attempts = get_all_series(audit.subjects, family)
        if family in ELSEWHERE or not attempts:
            continue
        blocks.append(Heading(name_family(family), f"results-{len(blocks)}"))
        blocks.append(_build_attempts(family, head, attempts))
        blocks += _build_attempts_by_record(audit, family, head)
        if family == "evasion":
            for i in get_detailed(audit):
                s = audit.subjects[i]
                blocks += draw_evasion(s, get_findings(s, family), i + 1)
            blocks += _build_ranking(audit, head)
            for i in get_detailed(audit):
                s = audit.subjects[i]
                blocks += draw_ranking(s, get_findings(s, family), i + 1)
    return blocks


def _build_ranking(audit: Audit, head: str) -> list[Block]:
    """What changes of records do to the AUROC."""
    tried = [(s, f, get_ranking(f)) for s in audit.subjects for f in get_findings(s, "evasion")]
    rows: list[tuple[Text, ...]] = []
    reasons: dict[str, None] = {}
    for s, f, found in tried:
        for size, numbers in found:
            reasons |= {word_reason(e.refusal): None for e in numbers if e.refusal is not None}
            cells: list[Text] = [n.cell_text(e) for e in numbers]
            cells[-1] = embolden(n.cell_text(numbers[-1]), exceeds_chance(numbers[-1]))
            rows.append(
                (s.name, name_attack(f.attack), words.name_size(size, get_unit([f])), *cells)
            )
    if not rows:
        return []
    notes = [words.RANKING_NOTE, *(words.word_refusal(reason) for reason in list(reasons)[:1])]
    columns = (head, *words.RANKING_COLUMNS)
    return [make_table(words.RANKING_CAPTION, columns, rows, 3, notes)]


def _build_attempts(family: str, head: str, attempts: list[Attempt]) -> Table:
    shown = attempts if len(attempts) <= MAX_ROWS else _select_best(attempts)
    evasion = family == "evasion"
    columns = [head, *(words.EVASION_COLUMNS if evasion else words.TRIAL_COLUMNS)]
    guessed = any(t.guess is not None for _, _, t in shown)
    if guessed:
        columns += words.UNCHANGED_COLUMNS if evasion else words.BASELINE_COLUMNS
    rows: list[tuple[Text, ...]] = []
    for s, f, t in shown:
        cells: list[Text] = [n.cell_text(t.attack), n.cell_text(t.control)]
        cells += [embolden(n.cell_text(t.gap), exceeds_chance(t.gap))]
        if guessed:
            cells += [n.cell_text(t.guess), embolden(n.cell_text(t.gain), exceeds_chance(t.gain))]
        rows.append((s.name, name_attack(f.attack), word_setting(t), *cells))
    notes: list[Text] = [words.TRIAL_NOTE()]
    if evasion:
        shades = get_unit([f for _, f, _ in shown]) != "sd"
        notes = [words.EVASION_NOTE_PICTURES() if shades else words.EVASION_NOTE()]
    if len(shown) < len(attempts):
        notes.append(words.word_best_settings(len(shown), len(attempts)))
    if any(t.counterfactual for _, _, t in shown):
        notes.append(words.COUNTERFACTUAL_NOTE)
    notes += dict.fromkeys(note for _, f, _ in shown for note in list_comparisons(f))
    refused = (e for _, _, t in shown for e in (t.attack, t.gap) if e is not None and e.refusal)
    notes += list(dict.fromkeys(words.word_refusal(word_reason(e.refusal)) for e in refused))[:2]
    return make_table(words.caption_trials(name_family(family)), columns, rows, 3, notes)


def _build_attempts_by_record(audit: Audit, family: str, head: str) -> list[Block]:
    """The second line where patients have several records: every record for itself."""
    rows = [
        (
            s.name,
            name_attack(f.attack),
            word_setting(t),
            *(n.cell_text(e) for e in (t.attack, t.control, t.gap)),
        )
        for s in audit.subjects
        for f in get_findings(s, family)
        for t in make_series(f.by_record)
    ]
    if not rows:
        return []
    caption = words.caption_trials_by_record(name_family(family))
    columns, notes = (head, *words.TRIAL_COLUMNS), (words.TRIALS_BY_RECORD_NOTE(),)
    return [make_table(caption, columns, rows, 3, notes)]


def word_setting(t: Series) -> str:
    """The setting, in brackets where it is not that of this release."""
    text = name_setting(t.setting)
    return f"({text})" if t.counterfactual else text


def list_comparisons(f: Finding) -> list[Text]:
    """What an attack's control and baseline were."""
    lines: list[Text] = [
        words.word_control(name_attack(f.attack), word_caveat(c))
        for c in f.caveats
        if c.code == CaveatCode.CONTROL_DESCRIBED
    ]
    note = attack_notes().get(f.attack)
    if note is not None and note.guess and any(t.guess for t in get_series(f)):
        lines.append(words.word_baseline(note.label, note.guess))
    return lines


def _select_best(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Of each attack on each release the setting with the largest difference; of evasion, which is
    no risk of those trained on, the best attack alone."""
    best: dict[tuple[str, str], Attempt] = {}
    for attempt in attempts:
        s, f, t = attempt
        key = (s.name, "" if f.family == "evasion" else f.attack)
        if key not in best or measure_gain(t) > measure_gain(best[key][2]):
            best[key] = attempt
    return list(best.values())


# --- the rest -------------------------------------------------------------------------------


def _build_unresolved(audit: Audit) -> list[Block]:
    """Attacks without a result: one row a reason, with the releases it holds for."""
    names: dict[tuple[str, str, str], list[str]] = {}
    for s in audit.subjects:
        for o in get_unresolved(s):
            outcome = words.SKIPPED if isinstance(o, Skipped) else words.FAILED
            outcome = words.UNSTATED if is_unstated(o) else outcome
            key = (outcome, word_reason(o.reason), name_attack(o.attack))
            names.setdefault(key, []).append(s.name)
    attacks: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (outcome, why, attack), at in names.items():
        attacks.setdefault((outcome, why, tuple(at)), []).append(attack)
    rows = [
        (", ".join(found), outcome, why, name_subset(at, len(audit.subjects)))
        for (outcome, why, at), found in attacks.items()
    ]
    return [make_table(words.UNRESOLVED_CAPTION, words.UNRESOLVED_COLUMNS, rows)] if rows else []


def _build_others(audit: Audit, head: str) -> list[Block]:
    """Numbers that no other table holds."""
    rows = [
        (
            s.name,
            name_attack(f.attack),
            capitalise(name_metric(e.metric)),
            words.word_value(e),
            n.chance_text(e),
        )
        for s in audit.subjects
        for f in get_findings(s)
        for e in get_other_estimates(f)
    ]
    columns = (head, *words.OTHERS_COLUMNS)
    return [make_table(words.OTHERS_CAPTION, columns, rows, 3)] if rows else []


def _build_caveats(audit: Audit) -> list[Block]:
    """Every caveat once, with the releases it is about."""
    names: dict[tuple[str, str], list[str]] = {}
    for s in audit.subjects:
        for f in get_findings(s):
            for c in f.caveats:
                if c.code != CaveatCode.CONTROL_DESCRIBED:
                    key = (name_attack(f.attack), word_caveat(c))
                    names.setdefault(key, []).append(s.name)
    lines = [words.word_caveats(*key, at, len(audit.subjects)) for key, at in names.items()]
    if not lines:
        return []
    return [Heading(words.CAVEATS, "results-caveats"), Bullets(tuple(lines))]


__all__ = ["build", "list_comparisons", "word_setting"]
