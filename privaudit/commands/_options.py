"""Options that `run` and `plan` share, and the request they make."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from privaudit.engine.configure import Request

PATH = click.Path(path_type=Path)


def several(text: str | None) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


OPTIONS = (
    click.argument("task"),
    click.option("--data", type=PATH, metavar="DIR", help="Source tables; without it, generated records."),
    click.option("--profile", default="standard", show_default=True, metavar="NAME",
                 help="How much to do: smoke, standard or thorough."),
    click.option("--out", type=PATH, default=Path("runs"), show_default=True, metavar="DIR",
                 help="Where runs and finished steps are kept."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
                 help="Entropy of every random stream: the same gives the same numbers."),
    click.option("--jobs", type=click.IntRange(min=1), metavar="N",
                 help="Processes of one thread each. [default: all cores]"),
    click.option("--methods", metavar="A,B", help="Training methods; `all` for every one, NAME@EPSILON for a promise. [default: baseline]"),
    click.option("--learners", metavar="A,B", help="Only these model families."),
    click.option("--generators", metavar="A,B", help="Only these generators of synthetic records (with --methods synthetic)."),
    click.option("--attacks", metavar="A,B", help="Only these attacks, by name or family."),
    click.option("--set", "settings", multiple=True, metavar="COMPONENT.FIELD=VALUE",
                 help="Change one setting, e.g. mlp.hidden=32 or lira.shadows=64. Repeatable."),
    click.option("--window", type=int, metavar="HOURS", help="Short for --set task.window=HOURS (24 or 48)."),
    click.option("--cohort", metavar="RULE",
                 help="Short for --set task.cohort=RULE (first_stay, all_stays, benchmarks)."),
    click.option("--as-known", is_flag=True,
                 help="Only what had been charted by the end of the window."),
    click.option("--confidence", type=float, default=0.95, show_default=True, metavar="P",
                 help="Coverage of every interval."),
    click.option("--exact-counts", is_flag=True,
                 help="Print counts below 10 too: for openly licensed data alone."),
)  # fmt: skip


def audit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Attach all shared options."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def request_of(command: str, options: dict[str, Any]) -> Request:
    """What the options ask for."""
    # Numeric libraries read this when they load: workers and this process use one thread each.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from privaudit.engine.configure import known_name, request
    from privaudit.engine.profiles import profile
    from privaudit.plugins import members

    settings = list(options["settings"])
    for name in ("window", "cohort"):
        if options[name] is not None:
            settings.append(f"task.{name}={options[name]}")
    if options["as_known"]:
        settings.append("task.as_known=true")
    task = known_name("tasks", options["task"], members("tasks"))
    return request(
        task,
        profile(options["profile"]),
        entropy=options["seed"],
        methods=several(options["methods"]),
        learners=several(options["learners"]),
        generators=several(options["generators"]),
        attacks=several(options["attacks"]),
        settings=settings,
        confidence=options["confidence"],
        exact_counts=options["exact_counts"],
        command=spelled(command, task, options, settings),
    )


def spelled(command: str, task: str, options: dict[str, Any], settings: list[str]) -> str:
    """The command as it may be told: folders are left out."""
    words = ["privaudit", command, task]
    if options["data"] is not None:
        words.append("--data DIR")
    words += [f"--profile {options['profile']}", f"--seed {options['seed']}"]
    words += [
        f"--{n} {options[n]}"
        for n in ("methods", "learners", "generators", "attacks")
        if options[n]
    ]
    words += [f"--set {text}" for text in settings]
    if options["confidence"] != 0.95:
        words.append(f"--confidence {options['confidence']}")
    if options["exact_counts"]:
        words.append("--exact-counts")
    return " ".join(words)
