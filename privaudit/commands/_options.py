"""Options that several commands share, and the request that `run` and `plan` make of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from privaudit.engine.configure import Request

PATH = click.Path(path_type=Path)

Decorator = Callable[[Any], Any]


def option(flag: str, metavar: str, text: str, kind: Any = None, **more: Any) -> Decorator:
    """An option with a value, or a flag where `metavar` is empty. kind: the value's type."""
    if not metavar:
        return click.option(flag, is_flag=True, help=text, **more)
    shown = more.get("default") not in (None, "")
    return click.option(flag, metavar=metavar, type=kind, help=text, show_default=shown, **more)


def with_options(*options: Decorator) -> Decorator:
    """A decorator that attaches these options, shown in this order."""

    def attach(command: Any) -> Any:
        for one in reversed(options):
            command = one(command)
        return command

    return attach


PROFILE = option(
    "--profile", "NAME", "How much to do: smoke, standard or thorough.", default="standard"
)
OUT = option(
    "--out", "DIR", "Where runs and finished steps are stored.", PATH, default=Path("runs")
)
_SEED = (
    "Seed of every random stream: the same seed gives the same numbers in the same folder of runs, "
    "whose key it is put under. [default: drawn once for the folder]"
)
SEED = option("--seed", "N", _SEED, click.IntRange(min=0))
_JOBS = "Number of processes, of one thread each. [default: all cores]"
JOBS = option("--jobs", "N", _JOBS, click.IntRange(min=1))
ATTACKS = option("--attacks", "A,B", "Only these attacks, by name or by family.")
CONFIDENCE = option("--confidence", "P", "Confidence level of every interval.", float, default=0.95)
EXACT_COUNTS = option(
    "--exact-counts", "", "Print counts below 10 too; only for openly licensed data."
)
_NEAR = (
    "Audit a cohort that differs by fewer than 10 patients from that of an earlier audit in --out; "
    "the results are then written under restricted/ alone."
)
NEAR_COHORT = option("--allow-near-cohort", "", _NEAR)
_CLUSTER = "Run on the cluster at dask://HOST or ray://HOST instead of this machine's cores."
CLUSTER = option("--cluster", "URL", _CLUSTER)
_POLICY = "Judge the audit by this policy; the exit code is then that of `check`."
POLICY = option("--policy", "FILE", _POLICY, PATH)
PDF = option("--pdf", "", "Also write report.pdf (needs privaudit[pdf]).")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON to standard output.")

ENDING = (NEAR_COHORT, CLUSTER, POLICY, PDF, JSON)
ending = with_options(*ENDING)
"""Attach the options about how an audit ends."""

_METHODS = (
    "Training methods: names, NAME@EPSILON for a privacy budget, or `all`. [default: baseline]"
)
_SET = "Change one setting, such as mlp.hidden=32 or lira.shadows=64. Repeatable."
_SETTING = "COMPONENT.FIELD=VALUE"
_COHORT = "Short for --set task.cohort=RULE (first_stay, all_stays or benchmarks)."

_DATA = option(
    "--data",
    "DIR",
    "Source tables, or for the task `table` one file. [default: synthetic demo data]",
    PATH,
)
_SCHEMA = "Of the task `table`: what its columns are, as `privaudit schema` proposes it."
_CHECKED = (
    "Of the task `table`: what the schema states of this column is public knowledge, although it "
    "may have been read off the data; `all` for every column. Repeatable; for private methods."
)
_PARTS = (
    JOBS,
    option("--methods", "A,B", _METHODS),
    option("--learners", "A,B", "Only these learners."),
    option("--generators", "A,B", "Only these generators (with --methods synthetic)."),
    ATTACKS,
    click.option("--set", "settings", multiple=True, metavar=_SETTING, help=_SET),
    option("--window", "HOURS", "Short for --set task.window=HOURS (24 or 48).", int),
    option("--cohort", "RULE", _COHORT),
    option("--as-known", "", "Use only what had been charted by the end of the window."),
    option("--schema", "FILE", _SCHEMA, PATH),
    click.option("--checked", multiple=True, metavar="COLUMN", help=_CHECKED),
    CONFIDENCE,
    EXACT_COUNTS,
)
TRAINING = (_DATA, PROFILE, *_PARTS)
"""Options about what is trained and attacked, without where and from which seed."""

audit_options = with_options(click.argument("task"), _DATA, PROFILE, OUT, SEED, *_PARTS)
"""Attach the options of `run` and `plan`."""


def several(text: str | None) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def request_of(command: str, options: Mapping[str, Any]) -> Request:
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
    if options["schema"] is not None:
        settings.append(f"task.schema={options['schema']}")
    if options["checked"]:
        settings.append(f"task.checked={','.join(options['checked'])}")
    task = known_name("tasks", options["task"], members("tasks"))
    return request(
        task,
        profile(options["profile"]),
        seed=options["seed"],
        methods=several(options["methods"]),
        learners=several(options["learners"]),
        generators=several(options["generators"]),
        attacks=several(options["attacks"]),
        settings=settings,
        confidence=options["confidence"],
        exact_counts=options["exact_counts"],
        command=printable_command(command, task, options, settings),
    )


_UNSHOWN = {"task.codes": "FILE", "task.classes": "NAMES"}
"""Settings that name a file, whose path no document shows, or classes, of which a few people may
have one."""

_SCHEMA = "task.schema"


def _before_equals(text: str) -> str:
    return text.partition("=")[0].strip()


def printable_command(
    command: str, task: str, options: Mapping[str, Any], settings: list[str]
) -> str:
    """The command as a document may show it: without folders."""
    words = ["privaudit", command, task]
    if options["data"] is not None:
        words.append("--data DIR")
    words.append(f"--profile {options['profile']}")
    words += [
        f"--{n} {options[n]}"
        for n in ("methods", "learners", "generators", "attacks")
        if options[n]
    ]
    named = [_before_equals(text) for text in settings]
    words += [
        f"--set {name}={_UNSHOWN[name]}" if name in _UNSHOWN else f"--set {text}"
        for name, text in zip(named, settings, strict=True)
        if name != _SCHEMA
    ]
    if _SCHEMA in named:
        words.append("--schema FILE")
    if options["confidence"] != 0.95:
        words.append(f"--confidence {options['confidence']}")
    if options["exact_counts"]:
        words.append("--exact-counts")
    return " ".join(words)
