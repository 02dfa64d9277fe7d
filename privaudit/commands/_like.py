"""Runs on the splits, refits and seeds of a baseline: `run --like` and `audit --like`.

A baseline holds commitments to its seeds and no seed. Every stream comes from a seed under the key
of the folder of runs, so that whoever has the key finds the seeds, and nobody else does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from privaudit.commands._finish import Ended, audit_once, describe, prepare, read_rules
from privaudit.commands._options import PATH, option
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from privaudit.engine.configure import Request
    from privaudit.policy import Policy
    from privaudit.policy.baseline import Baseline
    from privaudit.policy.baseline import Run as Kept

TRIED = 10_000
"""Seeds below this are tried under the key; larger ones are looked for in the folder's runs."""

_LIKE = (
    "Make the candidate's runs on the splits, refits and seeds of this baseline, pair by pair. "
    "Profile, attacks and confidence are the baseline's unless given; with --policy, the answer of "
    "the gate is printed."
)
_PAIRS = "With --like: only the first N runs of the baseline. [default: all]"
LIKE = option("--like", "BASELINE", _LIKE, PATH)
PAIRS = option("--pairs", "N", _PAIRS, click.IntRange(min=2))


def refuse_pairs(like: Path | None, pairs: int | None) -> None:
    """Refuse --pairs where there is nothing to pair with."""
    if like is None and pairs is not None:
        raise PrivauditError(
            "--pairs without --like",
            "it says how many runs of a baseline are to be paired",
            "add --like BASELINE, or leave --pairs out",
        )


def take_over(options: Mapping[str, Any], held: Baseline) -> dict[str, Any]:
    """The options, with the baseline's profile, attacks and confidence where they are not given."""
    if options["seed"] is not None:
        raise PrivauditError(
            "--seed together with --like",
            "the seeds are those of the baseline",
            "leave one of them out",
        )
    known = {
        "profile": held.basis.profile,
        "attacks": ",".join(held.asked or sorted(held.basis.attacks)),
        "confidence": held.basis.confidence,
    }
    context = click.get_current_context()
    own = click.core.ParameterSource.DEFAULT
    return {
        **options,
        **{n: v for n, v in known.items() if context.get_parameter_source(n) is own},
    }


def settle_like(
    request: Request,
    held: Baseline,
    *,
    out: Path,
    pairs: int | None = None,
    data: Path | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    policy: Path | None = None,
    pdf: bool = False,
    as_json: bool = False,
    allow_near_cohort: bool = False,
) -> int:
    """Run the candidate once for each run of the baseline, judge them together, and print the
    answer; the exit code.

    Raises:
        PrivauditError: The baseline is of another task or of other records, its seeds are not
            known here, or no rule of the policy compares with a baseline.
    """
    prepare(pdf)
    rules = read_rules(policy, request)
    _refuse_idle(rules)
    _refuse_other_task(request, held)
    wanted = list(zip(held.runs, find_seeds(held, out), strict=True))[:pairs]
    ended: list[Ended] = []
    for number, (kept, seed) in enumerate(wanted, 1):
        click.echo(f"run {number} of {len(wanted)}, like {kept.run}", err=True)
        last = number == len(wanted)
        one = audit_once(
            replace(request, seed=seed),
            out=out,
            data=data,
            workers=workers,
            cluster=cluster,
            rules=rules if last else None,
            pdf=pdf,
            allow_near_cohort=allow_near_cohort,
            baseline=held if last else None,
            candidates=[before.audit for before in ended] if last else (),
            expect=_expect(held, kept),
            # On the baseline's seeds every step would be found again whose change nobody sees, such
            # as one in a library of one's own: the candidate would be the baseline.
            fresh=True,
        )
        ended.append(one)
        _check_same_settings(held, one)
        if one.finished.code == 5 and not last:
            click.echo("the audit failed: the runs that were to follow are not made", err=True)
            break
    _print(ended, as_json)
    judged = ended[-1].judged
    return max(one.finished.code for one in ended) if judged is None else judged.code


def find_seeds(held: Baseline, out: Path) -> list[int | None]:
    """The seeds of a baseline's runs, in its order, each held against its commitment.

    Args:
        held: The baseline.
        out: The folder of runs whose key they are looked for under.

    Returns:
        A seed for each run; None for the one that the key stands for.

    Raises:
        PrivauditError: The folder has another key, or a seed is nowhere to be found.
    """
    from privaudit import commitments
    from privaudit.seeds import commit_to, derive_entropy

    key = commitments.peek_key(out)
    own = commitments.kind(commitments.commit(key, ""))
    if commitments.kind(held.basis.data) != own:
        raise PrivauditError(
            "a baseline that was made under another key than this folder of runs has",
            "splits and seeds follow from the key, so that nothing here could be paired with it",
            f"give the folder of runs where it was made (--out), or let a new folder have its key: "
            f"{commitments.GIVEN}=FILE, a copy of its restricted/{commitments.KEY}",
        )
    found: dict[str, int | None] = {}
    wanted = {run.seed for run in held.runs}
    for seed in _seeds(out):
        if len(found) == len(wanted):
            break
        mark = commit_to(derive_entropy(key, seed))
        if mark in wanted:
            found.setdefault(mark, seed)
    lost = [run.run for run in held.runs if run.seed not in found]
    if lost:
        raise PrivauditError(
            f"runs of the baseline whose seed is not known here: {', '.join(lost)}",
            f"seeds below {TRIED:,} are tried under the key of this folder, and those of the runs "
            "in it are read",
            "give the folder of runs where the baseline was made (--out), or make it again: "
            "privaudit baseline create TASK --seeds 5",
        )
    return [found[run.seed] for run in held.runs]


def _seeds(out: Path) -> Iterator[int | None]:
    """Seeds to try: those that people choose, then those of the runs in the folder."""
    from privaudit.engine.folder import read_exact

    yield None
    yield from range(TRIED)
    for path in sorted(out.glob("*/restricted/audit.json")):
        try:
            seed = read_exact(path.parent.parent).manifest.seed
        except (PrivauditError, OSError, UnicodeDecodeError):
            continue
        if seed is not None:
            yield seed


def _refuse_idle(rules: Policy | None) -> None:
    if rules is not None and not rules.regressions:
        raise PrivauditError(
            "--like with a policy that has no [[regression]]",
            "the runs would be compared with the baseline by no rule",
            "add a [[regression]] to the policy, or leave --like out",
        )


def _refuse_other_task(request: Request, held: Baseline) -> None:
    from privaudit.policy import alike

    if request.task_name != held.basis.task:
        what = f"task: {held.basis.task} (baseline), {request.task_name} (candidate)"
        raise alike.refuse([what])


def _expect(held: Baseline, kept: Kept) -> Callable[[str, str], None]:
    """Refuses other records and another split before anything is trained on them."""
    from privaudit.policy import alike

    def look(data: str, split: str) -> None:
        differs = alike.compare_records(held.basis.data, data)
        if differs:
            raise alike.refuse([differs])
        if not alike.have_one_split(kept.split, split):
            raise PrivauditError(
                f"another split than the run {kept.run} of the baseline had",
                "a pair has one split; the baseline does not state it, or it was supplied with the "
                "tables, or another version of the software drew it otherwise",
                "make the baseline again with this version and these tables: privaudit baseline "
                "update BASELINE RUN... --anew --reason TEXT",
            )

    return look


def _check_same_settings(held: Baseline, one: Ended) -> None:
    """Refuse after one run, and not after all, what is not run as the baseline was."""
    from privaudit.policy import alike

    alike.check_comparable(held.basis, [one.audit])


def _print(ended: Sequence[Ended], as_json: bool) -> None:
    judged = ended[-1].judged
    if as_json:
        code = max(one.finished.code for one in ended) if judged is None else judged.code
        answer: dict[str, Any] = {"runs": [describe(one) for one in ended], "code": code}
        if judged is not None:
            answer["verdict"] = judged.state
        click.echo(json.dumps(answer, indent=1))
        return
    reports = [str(describe(one)["report"]) for one in ended]
    if judged is None:
        click.echo("\n".join(reports))
        return
    from privaudit.commands._paint import print_verdicts
    from privaudit.report.wording.nouns import use_words

    with use_words(ended[-1].audit.data.words):
        print_verdicts(judged)
    click.echo(f"\nreport: {reports[-1]}", err=True)


__all__ = ["LIKE", "PAIRS", "find_seeds", "refuse_pairs", "settle_like", "take_over"]
