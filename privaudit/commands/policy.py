"""privaudit policy."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from privaudit.policy.rules import Guard, Limit, Regression
    from privaudit.policy.simulate import Simulated

PATH = click.Path(path_type=Path)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON to standard output.")


@click.group("policy")
def command() -> None:
    """Look at a policy before it decides anything.

    \b
    privaudit policy validate policy.toml
    privaudit policy simulate policy.toml --audit runs/latest
    privaudit policy metrics                 what a rule may be about
    privaudit policy schema                  what an editor can check a policy by
    """


@command.command("validate", short_help="Read a policy and state what it asks for.")
@click.argument("file", type=PATH, metavar="FILE")
@JSON
def validate(file: Path, as_json: bool) -> None:
    """Read a policy and state what it asks for; a fault is reported with what was meant."""
    from datetime import date

    from privaudit.policy import read
    from privaudit.policy.judge import expired
    from privaudit.report.wording.verdicts import word_note

    policy = read(file)
    today = date.today()
    old = [word_note(expired(one)) for one in policy.waivers if one.expires < today]
    if as_json:
        tree = {
            "name": policy.name,
            "sha256": policy.sha256,
            "review_by": policy.review_by.isoformat(),
            "rules": [
                {"id": rule.id, "asks": _word(rule), "severity": rule.severity}
                for rule in policy.rules
            ],
            "not_tested": [
                {"family": one.family, "attacks": list(one.attacks), "reason": one.reason}
                for one in policy.left_out
            ],
            "notes": old,
        }
        click.echo(json.dumps(tree, indent=1))
        return
    click.echo(f"{policy.name}: stands until {policy.review_by.isoformat()}")
    for rule in policy.rules:
        means = "blocks" if rule.severity == "block" else "warns"
        click.echo(f"  {rule.id}: {_word(rule)} ({means})")
    for one in policy.left_out:
        only = f" ({', '.join(one.attacks)})" if one.attacks else ""
        click.echo(f"  not asked for: {one.family}{only}: {one.reason}")
    for note in old:
        click.echo(f"  note: {note}")


def _word(rule: Limit | Guard | Regression) -> str:
    """A rule in a few words."""
    from privaudit.policy.rules import Guard, Regression
    from privaudit.report.wording.verdicts import word_rule

    if isinstance(rule, Regression):
        return word_rule("regression", rule.metric, rule.margin, fpr=rule.fpr, prior=rule.prior)
    if isinstance(rule, Guard):
        at_least = rule.min is not None
        limit = rule.min if rule.min is not None else rule.max or 0.0
        return word_rule("guard", rule.metric, limit, at_least=at_least)
    return word_rule("limit", rule.metric, rule.max, fpr=rule.fpr, prior=rule.prior)


@command.command("schema", short_help="Print the JSON Schema of a policy.")
def schema() -> None:
    """Print the JSON Schema of a policy, for an editor that checks it while it is written."""
    from privaudit.policy.schema import render_schema

    click.echo(render_schema(), nl=False)


@command.command("metrics", short_help="List the metrics that a rule may be about.")
@JSON
def metrics(as_json: bool) -> None:
    """Every metric that a limit, a guard or a regression may be about."""
    from privaudit.policy.metrics import METRICS
    from privaudit.report.wording.verdicts import explain_policy_metric

    rows = [
        {
            "name": known.name,
            "use": "guard" if known.kind == "use" else "limit",
            "takes": known.takes,
            "meaning": explain_policy_metric(known.name),
        }
        for known in METRICS.values()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    width = max(map(len, METRICS)) + 2
    for row in rows:
        takes = f" (give {row['takes']})" if row["takes"] else ""
        click.echo(f"{row['name']:<{width}}{row['use']:<7}{row['meaning']}{takes}")


@command.command("simulate", short_help="Simulate how often a policy decides wrongly.")
@click.argument("file", type=PATH, metavar="FILE")
@click.option(
    "--audit",
    "run",
    required=True,
    type=PATH,
    metavar="RUN",
    help="A finished run whose numbers of patients, attacks and groups are taken.",
)
@click.option(
    "--runs",
    type=click.IntRange(min=10, max=10_000),
    default=100,
    show_default=True,
    metavar="N",
    help="How many clean and how many leaking runs.",
)
@click.option(
    "--pairs",
    type=click.IntRange(min=2, max=100),
    default=5,
    show_default=True,
    metavar="N",
    help="Runs of the baseline and of the candidate on the same seeds, for regressions.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N")
@JSON
def simulate(file: Path, run: Path, runs: int, pairs: int, seed: int, as_json: bool) -> None:
    """Simulate how often a policy blocks a clean model, passes a leaking one, or cannot decide.

    Runs of RUN's sizes are drawn and judged by FILE as `check` judges: clean ones leak nothing; for
    each rule, leaking ones twice as far above chance as its limit, or worse than the baseline by
    twice the margin. A policy that leaves most clean models undecided needs more held-out patients,
    or wider limits: `privaudit init --audit RUN` proposes some.
    """
    import numpy as np

    from privaudit.engine.folder import read
    from privaudit.policy import read as read_policy
    from privaudit.policy.simulate import simulate as play
    from privaudit.report.wording.nouns import use_words

    policy, audit = read_policy(file), read(run)
    with click.progressbar(length=2 * runs, label="simulating", file=sys.stderr) as bar:
        made = play(
            policy,
            audit,
            runs=runs,
            pairs=pairs,
            rng=np.random.default_rng(seed),
            progress=lambda share: bar.update(round(share * 2 * runs) - bar.pos),
        )
    with use_words(audit.data.words):
        click.echo(json.dumps(_tree(made), indent=1) if as_json else _text(made))


def _tree(made: Simulated) -> dict[str, object]:
    return {
        "runs": made.runs,
        "patients": {"members": made.patients[0], "nonmembers": made.patients[1]},
        "gate": {
            kind: {
                "blocks": rates.share("1"),
                "undecided": rates.share("3"),
                "passes": rates.share("0"),
            }
            for kind, rates in made.gate.items()
        },
        "rules": {
            name: {kind: dict(rates.states) for kind, rates in found.items()}
            for name, found in made.rules.items()
        },
        "leak": dict(made.leak),
        "pairs": made.pairs,
        "skipped": list(made.skipped),
        "open": list(made.open),
    }


def _text(made: Simulated) -> str:
    from privaudit.report.wording.nouns import w

    lines = [
        f"{made.runs} clean models, and {made.runs} leaking ones for each rule, with "
        f"{made.patients[0]:,} training {w.people} and {made.patients[1]:,} held out",
        *([f"{made.pairs} runs of baseline and candidate, pair by pair"] if made.pairs else []),
        "",
        f"{'':<24}{'clean models':<33}models that leak twice what the rule allows",
        _columns("", "pass", "undecided", "blocked", "missed", "undecided", "caught"),
    ]
    gate = {kind: [r.share("0"), r.share("3"), r.share("1")] for kind, r in made.gate.items()}
    lines.append(_row("the whole gate", gate["clean"], gate["leaking"]))
    for name, found in made.rules.items():
        clean, leaking = (
            [
                rates.share("WITHIN", "NOT REFUTED"),
                rates.share("INCONCLUSIVE"),
                rates.share("EXCEEDS", "REFUTED"),
            ]
            for rates in (found["clean"], found["leaking"])
        )
        if not any(clean):
            lines.append(f"{name:<24}not tested in this run")
        elif name in made.skipped:
            lines.append(
                _columns(name, *(f"{share:.0%}" for share in clean), "", "not", "simulated")
            )
        else:
            lines.append(_row(name, clean, leaking))
    if made.leak:
        lines += ["", "Simulated leaks, in the unit of the rule:"]
        lines += [f"  {name}: {value:.3g}" for name, value in made.leak.items()]
    if made.open:
        lines += [
            "",
            f"Classes of attack that keep every run from passing: {', '.join(made.open)}.",
        ]
        lines += ["Test and limit them, or leave them out by name with a reason: [[not_tested]]."]
    lines += [
        "",
        "Clean models read as in this run where attacks have no clean state (evasion, poisoning), "
        "and in utility. Not simulated: claims, bounds on epsilon, and guards.",
    ]
    return "\n".join(lines)


def _row(name: str, clean: list[float], leaking: list[float]) -> str:
    return _columns(name, *(f"{share:.0%}" for share in (*clean, *leaking)))


def _columns(name: str, *cells: str) -> str:
    short = name if len(name) <= 22 else name[:21] + "…"
    halves = [f"{a:>7}{b:>12}{c:>10}" for a, b, c in (cells[:3], cells[3:])]
    return f"{short:<24}{'    '.join(halves)}"
