"""privaudit audit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from privaudit.commands._finish import ending, settle
from privaudit.commands._options import several
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from privaudit.engine.configure import Request
    from privaudit.inputs.user_release import Brought, Given

PATH = click.Path(path_type=Path)

OPTIONS = (
    click.option("--model", type=PATH, metavar="FILE",
                 help="XGBoost .json/.ubj, LightGBM .txt, .onnx, TorchScript .pt, .safetensors, .skops, .joblib, .pkl."),
    click.option("--members", type=PATH, metavar="TABLE", help="The rows that the model was trained on."),
    click.option("--nonmembers", type=PATH, metavar="TABLE", help="Rows of patients held out."),
    click.option("--target", default="", metavar="COLUMN", help="The outcome."),
    click.option("--reference", type=PATH, metavar="TABLE",
                 help="Rows that the attacker owns. [default: a fifth of the held-out patients]"),
    click.option("--patient", default="", metavar="COLUMN",
                 help="Who the patient is. [default: by its name, else each row its own]"),
    click.option("--schema", type=PATH, metavar="FILE",
                 help="What the columns are (privaudit schema). [default: proposed]"),
    click.option("--groups", metavar="A,B", help="Columns whose subgroups are told apart."),
    click.option("--estimator", default="", metavar="MODULE:FUNCTION",
                 help="Returns the unfitted estimator, so that attacks can train it again; `none` not to. "
                      "[default: scikit-learn's clone where it can]"),
    click.option("--module", default="", metavar="MODULE:FUNCTION",
                 help="Makes the torch module whose weights a .safetensors file holds."),
    click.option("--trust-pickle", is_flag=True,
                 help="Open a pickle: it runs whatever code its maker put into it, with your rights."),
    click.option("--encode", default="", metavar="HOW",
                 help="How texts became numbers before training: codes or onehot."),
    click.option("--answers", default="", metavar="KIND",
                 help="What the model answers with: probabilities or logits."),
    click.option("--predictions", type=PATH, metavar="TABLE",
                 help="No model: its probabilities, with outcome and membership, one row a record."),
    click.option("--member", default="", metavar="COLUMN", help="In --predictions: 1 for trained on, else 0."),
    click.option("--probabilities", metavar="A,B", help="In --predictions: the columns of probabilities."),
    click.option("--sample", default="50000", show_default=True, metavar="N",
                 help="Rows to read of each side, whole patients drawn by lot; `all` for every one."),
    click.option("--profile", default="standard", show_default=True, metavar="NAME",
                 help="How much to do: smoke, standard or thorough."),
    click.option("--out", type=PATH, default=Path("runs"), show_default=True, metavar="DIR",
                 help="Where runs and finished steps are kept."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
                 help="Entropy of every random stream: the same gives the same numbers."),
    click.option("--jobs", type=click.IntRange(min=1), metavar="N",
                 help="Processes of one thread each. [default: all cores]"),
    click.option("--attacks", metavar="A,B", help="Only these attacks, by name or family."),
    click.option("--set", "settings", multiple=True, metavar="ATTACK.FIELD=VALUE",
                 help="Change one setting of an attack. Repeatable."),
    click.option("--confidence", type=float, default=0.95, show_default=True, metavar="P",
                 help="Coverage of every interval."),
    click.option("--exact-counts", is_flag=True,
                 help="Print counts below 10 too: for openly licensed data alone."),
)  # fmt: skip


def _with_options(command: Any) -> Any:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.command("audit")
@_with_options
@ending
def command(*, out: Path, jobs: int | None, cluster: str | None, policy: Path | None, pdf: bool,
            as_json: bool, **options: Any) -> int:  # fmt: skip
    """Audit a model of your own: what it gives away of the patients it was trained on.

    \b
    privaudit audit --model m.json --members train.csv --nonmembers heldout.csv --target died
    privaudit audit --predictions answers.csv --target died --member trained_on

    Tables are CSV or Parquet. Standard output holds the path of report.html alone.
    """
    request = request_of(options)
    return settle(
        request, out=out, workers=jobs, cluster=cluster, policy=policy, pdf=pdf, as_json=as_json
    )


def request_of(options: dict[str, Any]) -> Request:
    """What the options ask for; reads the model and the tables."""
    # Numeric libraries read this when they load: workers and this process use one thread each.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from privaudit.engine.configure import Entry, given
    from privaudit.engine.profiles import profile

    how = profile(options["profile"])
    task, method, notes = brought(options)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    asked = several(options["attacks"]) or task.attacks
    return given(
        "own",
        task,
        [Entry("own-model", "own", "", method)],
        how,
        entropy=options["seed"],
        attacks=asked,
        settings=options["settings"],
        confidence=options["confidence"],
        exact_counts=options["exact_counts"],
        command=spelled(options),
    )


def brought(options: dict[str, Any]) -> tuple[Given, Brought, tuple[str, ...]]:
    """The task and the method that the options name."""
    from privaudit.inputs import user_task as files
    from privaudit.seeds import Seeds

    # Which rows are read, and whose are the attacker's, is the same for every --seed: runs that differ in it
    # alone make a baseline.
    seeds = Seeds(0).child("brought")
    if options["predictions"] is not None:
        _alone(options)
        asked = files.Asked(
            options["predictions"], options["target"], options["member"],
            several(options["probabilities"]), options["patient"], several(options["groups"]),
            _sample(options["sample"]),
        )  # fmt: skip
        return files.predictions(asked, seeds=seeds, confidence=options["confidence"])
    for name in ("model", "members", "nonmembers"):
        if options[name] is None:
            raise PrivauditError(
                f"no --{name}",
                "an audit of a model needs the model, the rows it was trained on and rows held out",
                f"add --{name} FILE; or give --predictions FILE, if only answers are at hand",
            )
    tables = files.Files(
        options["members"], options["nonmembers"], options["reference"], options["schema"],
        options["target"], options["patient"], several(options["groups"]), _sample(options["sample"]),
    )  # fmt: skip
    trust = files.Trust(options["trust_pickle"], options["module"], options["encode"], options["answers"])  # fmt: skip
    return files.audit(
        options["model"], tables, trust=trust, estimator=options["estimator"], seeds=seeds,
        confidence=options["confidence"],
    )  # fmt: skip


def _alone(options: dict[str, Any]) -> None:
    for name in ("model", "members", "nonmembers", "reference", "schema", "estimator", "module"):
        if options[name]:
            raise PrivauditError(
                f"--predictions together with --{name}",
                "a table of probabilities is audited without the model and its tables",
                f"leave --{name} out, or leave --predictions out",
            )


def _sample(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdigit() or int(text) < 100:
        raise PrivauditError(
            f"--sample {text}", "it is a number of rows, at least 100, or `all`", "use 50000"
        )
    return int(text)


def spelled(options: dict[str, Any]) -> str:
    """The command as it may be told: files are left out."""
    words = ["privaudit", "audit"]
    paths = ("model", "members", "nonmembers", "reference", "schema", "predictions")
    words += [f"--{name} FILE" for name in paths if options[name] is not None]
    texts = ("target", "patient", "groups", "estimator", "module", "encode", "answers", "member", "probabilities", "attacks")  # fmt: skip
    words += [f"--{name} {options[name]}" for name in texts if options[name]]
    words += [f"--{name} {options[name]}" for name in ("sample", "profile", "seed")]
    words += ["--trust-pickle"] if options["trust_pickle"] else []
    words += [f"--set {text}" for text in options["settings"]]
    words += [f"--confidence {options['confidence']}"] if options["confidence"] != 0.95 else []
    words += ["--exact-counts"] if options["exact_counts"] else []
    return " ".join(words)
