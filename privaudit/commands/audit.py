"""privaudit audit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from privaudit.commands import _deployed as deployed
from privaudit.commands import _inputs as inputs
from privaudit.commands import _options as shared
from privaudit.commands._finish import settle
from privaudit.commands._like import LIKE, PAIRS, refuse_pairs, settle_like, take_over
from privaudit.commands._options import PATH, option, several
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from privaudit.engine.configure import Request
    from privaudit.facts import Caveat
    from privaudit.inputs.user_release import UserRelease
    from privaudit.inputs.user_task import UserTask

_MODEL = (
    "The model's file: XGBoost .json or .ubj, LightGBM .txt, CatBoost .cbm or .json, .onnx, "
    "TorchScript .pt, .safetensors, .skops, .joblib or .pkl; or the address of a deployed model: "
    "https://HOST/v2/models/NAME (Open Inference Protocol), mlflow+https://HOST/invocations."
)
_ESTIMATOR = (
    "A function that returns the unfitted estimator, so that attacks can train it again; `none` "
    "for "
    "no retraining. [default: scikit-learn's clone of the model]"
)
_MODULE = "A function that makes the torch module whose weights a .safetensors file holds."
_PICKLE = "Open a pickle, which runs whatever code its maker put into it, with your rights."
_ENCODE = (
    "How texts became numbers before training: codes (in sorted order) or onehot. Checked on the "
    "members."
)
_ANSWERS = "What the model answers with: probabilities or logits; deployed, also labels."
_PREDICTIONS = (
    "In place of a model: its probabilities, with outcome and membership, a row a record; or FHIR "
    "RiskAssessment resources (.ndjson), with --members, --nonmembers, --patient and --outcome."
)
_MEMBER = "In --predictions, the column of membership: 1 for trained on, 0 for held out."
_CLASSES = "The classes in the order of the model's outputs, where nothing else says it."
_EVENT = "Of two classes, the one whose probability the model gives, or gives last."
_EXPECT = (
    "The owner's own probabilities of some rows, to be equal within 0.00001: a table with the "
    "column `row` (0 for the first) or the patient's, and p or p_CLASS columns."
)
_REFERENCE = "Rows that the attacker owns. [default: a fifth of the held-out patients]"
_SHADOW_ANSWERS = (
    "Your own shadow models in place of training any: a column a model, its probability of the "
    "recorded outcome, a row for each of the audit's rows, with their patient column."
)
_SHADOW_MEMBERS = "The same columns and rows: 1 where that model was trained on that row, else 0."
_EXPLANATIONS = (
    "Attributions (such as SHAP values) that are released beside each answer: two tables, a column "
    "a feature, with the rows of --members and of --nonmembers."
)
_SAMPLE = "Rows to read of each side, of patients drawn at random; `all` for every row."


@click.command("audit")
@shared.with_options(
    option("--model", "MODEL", _MODEL),
    option("--members", "TABLE", "The rows that the model was trained on.", PATH),
    option("--nonmembers", "TABLE", "Rows of patients who were held out.", PATH),
    inputs.OUTCOME,
    inputs.OUTCOME_KIND,
    inputs.EVENT_COLUMN,
    option("--reference", "TABLE", _REFERENCE, PATH),
    inputs.PATIENT,
    inputs.SCHEMA,
    inputs.GROUPS,
    option("--estimator", "MODULE:FUNCTION", _ESTIMATOR, default=""),
    option("--module", "MODULE:FUNCTION", _MODULE, default=""),
    option("--trust-pickle", "", _PICKLE),
    option("--encode", "HOW", _ENCODE, default=""),
    option("--answers", "KIND", _ANSWERS, default=""),
    option("--classes", "A,B", _CLASSES),
    option("--event", "CLASS", _EVENT, default=""),
    option("--expect", "TABLE", _EXPECT, PATH),
    option("--predictions", "TABLE", _PREDICTIONS, PATH),
    option("--member", "COLUMN", _MEMBER, default=""),
    option("--probabilities", "A,B", "In --predictions, the columns of probabilities."),
    option("--shadow-answers", "TABLE", _SHADOW_ANSWERS, PATH),
    option("--shadow-members", "TABLE", _SHADOW_MEMBERS, PATH),
    option("--explanations", "A,B", _EXPLANATIONS),
    option("--sample", "N", _SAMPLE, default="50000"),
    *deployed.OPTIONS,
    shared.PROFILE,
    shared.OUT,
    shared.SEED,
    shared.JOBS,
    shared.ATTACKS,
    inputs.SET,
    shared.CONFIDENCE,
    shared.EXACT_COUNTS,
    LIKE,
    PAIRS,
    *shared.ENDING,
)
def command(
    *,
    out: Path,
    jobs: int | None,
    like: Path | None,
    pairs: int | None,
    cluster: str | None,
    policy: Path | None,
    pdf: bool,
    as_json: bool,
    allow_near_cohort: bool,
    **options: Any,
) -> int:
    """Audit a model, or predictions, that you supply.

    \b
    privaudit audit --model m.json --members train.csv --nonmembers heldout.csv --outcome died
    privaudit audit --predictions answers.csv --outcome died --member trained_on

    Tables are CSV or Parquet files. Prints the path of report.html; with --like and --policy, the
    verdicts.
    """
    endings: dict[str, Any] = {
        "cluster": cluster,
        "policy": policy,
        "pdf": pdf,
        "as_json": as_json,
        "allow_near_cohort": allow_near_cohort,
    }
    refuse_pairs(like, pairs)
    if like is None:
        from privaudit.inputs.deployed import ForecastOnly

        try:
            request = request_of({**options, "out": out})
        except ForecastOnly:
            return 0
        code = settle(request, out=out, workers=jobs, **endings)
        deployed.say_asked(request)
        return code
    from privaudit.policy.baseline import read

    held = read(like)
    request = request_of({**take_over(options, held), "out": out})
    return settle_like(request, held, out=out, workers=jobs, pairs=pairs, **endings)


def request_of(options: dict[str, Any]) -> Request:
    """What the options ask for; reads the model and the tables."""
    # Numeric libraries read this when they load: workers and this process use one thread each.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from privaudit.contracts import Prepared
    from privaudit.engine.configure import Entry, given
    from privaudit.engine.profiles import profile
    from privaudit.inputs.user_release import get_part
    from privaudit.report.wording.nouns import use_words
    from privaudit.report.wording.reasons_and_caveats import word_caveat, word_reason

    how = profile(options["profile"])
    task, release, notes = read_inputs(options)
    with use_words(get_part(task, "prepared", Prepared).words or task.words):
        for note in notes:
            text = note if isinstance(note, str) else word_caveat(note)
            click.echo(f"note: {text}", err=True)
        if release.unretrained is not None:
            why = word_reason(release.unretrained)
            click.echo(f"warning: shadow attacks are not run: {why}.", err=True)
    return given(
        "own",
        task,
        [Entry("own-model", "own", "", release)],
        how,
        seed=options["seed"],
        attacks=several(options["attacks"]) or how.keep(task.attacks),
        settings=options["settings"],
        confidence=options["confidence"],
        exact_counts=options["exact_counts"],
        command=inputs.spell_command(
            "audit --trust-pickle" if options["trust_pickle"] else "audit",
            options,
            (
                *("model", "members", "nonmembers", "reference", "schema", "predictions"),
                *("expect", "shadow_answers", "shadow_members", "explanations"),
            ),
            (
                *("outcome", "outcome_kind", "event_column", "patient", "groups", "estimator"),
                *("module", "encode", "answers", "classes", "event", "member", "probabilities"),
                *("attacks", "sample", "profile", "queries", "inputs", "output"),
            ),
        ),
    )


def read_inputs(options: dict[str, Any]) -> tuple[UserTask, UserRelease, tuple[str | Caveat, ...]]:
    """The task, the release and the notes of what the options name."""
    from privaudit.commitments import seed_reading
    from privaudit.inputs.class_order import StatedOrder
    from privaudit.inputs.model_tables import TablePaths
    from privaudit.inputs.outcome import read_outcome_kind
    from privaudit.inputs.read_model import ModelOptions, read_model
    from privaudit.inputs.read_predictions import PredictionsTable, read_predictions
    from privaudit.inputs.read_shadow_answers import ShadowTables

    shadows = ShadowTables.of(options["shadow_answers"], options["shadow_members"])
    endpoint = deployed.read_options(options)
    seeds, confidence = seed_reading(options["out"]), options["confidence"]
    groups, sample = several(options["groups"]), inputs.parse_sample(options["sample"])
    outcome_kind, ordered = read_outcome_kind(options["outcome_kind"] or "class")
    order = StatedOrder(several(options["classes"]), options["event"])
    if options["predictions"] is not None:
        path, member, columns = _find_predictions(options)
        table = PredictionsTable(
            path,
            options["outcome"],
            member,
            columns,
            options["patient"],
            groups,
            sample,
            outcome_kind,
            order,
            shadows,
            options["event_column"],
            ordered,
        )
        return read_predictions(table, seeds=seeds, confidence=confidence)
    for name in ("model", "members", "nonmembers"):
        if options[name] is None:
            raise PrivauditError(
                f"no --{name}",
                "an audit of a model needs the model, the rows it was trained on and rows held out",
                f"add --{name} FILE; or give --predictions FILE, if only answers are at hand",
            )
    tables = TablePaths(
        options["members"],
        options["nonmembers"],
        options["reference"],
        options["schema"],
        options["outcome"],
        options["patient"],
        groups,
        sample,
        outcome_kind,
        shadows,
        options["event_column"],
        ordered,
        _find_explanations(options["explanations"]),
    )
    if shadows is not None and options["estimator"]:
        raise PrivauditError(
            "--shadow-answers together with --estimator",
            "shadow models are either supplied or trained for the audit",
            "leave one of them out",
        )
    how = ModelOptions(
        options["trust_pickle"],
        options["module"],
        options["encode"],
        options["answers"],
        order,
        options["expect"],
        endpoint,
        deployed.plan_queries(options),
    )
    return read_model(
        deployed.read_model_option(options["model"]),
        tables,
        options=how,
        estimator=options["estimator"],
        seeds=seeds,
        confidence=confidence,
    )


def _find_explanations(given: str | None) -> tuple[Path, Path] | None:
    """The two tables that --explanations names."""
    if not given:
        return None
    names = several(given)
    if len(names) != 2:
        raise PrivauditError(
            f"--explanations with {len(names)} names",
            "it takes the attributions of --members and of --nonmembers, in two tables",
            "write --explanations MEMBERS.csv,NONMEMBERS.csv",
        )
    return Path(names[0]), Path(names[1])


def _find_predictions(options: dict[str, Any]) -> tuple[Any, str, tuple[str, ...]]:
    """The table of predictions, and its columns of membership and of probabilities.

    FHIR resources name patients alone: the two tables say who was trained on and what was recorded.
    """
    from privaudit.inputs.risk_assessments import Assessments, is_assessments, read_assessments

    own = ("reference", "schema", "estimator", "module", "expect", "explanations")
    if not is_assessments(options["predictions"]):
        _refuse_beside_predictions(options, ("model", "members", "nonmembers", *own))
        return options["predictions"], options["member"], several(options["probabilities"])
    _refuse_beside_predictions(options, ("model", "member", "probabilities", "groups", *own))
    for name in ("members", "nonmembers", "outcome", "patient"):
        if not options[name]:
            raise PrivauditError(
                f"risk assessments without --{name}",
                "an assessment names its patient and a probability: who was trained on, and what "
                "was recorded, stands in two tables",
                "give --members TABLE --nonmembers TABLE --patient COLUMN --outcome COLUMN",
            )
    return read_assessments(
        Assessments(
            options["predictions"],
            options["members"],
            options["nonmembers"],
            options["outcome"],
            options["patient"],
        )
    )


def _refuse_beside_predictions(options: dict[str, Any], alone: tuple[str, ...]) -> None:
    for name in alone:
        if options[name]:
            raise PrivauditError(
                f"--predictions together with --{name}",
                "a table of probabilities is audited without the model and its tables",
                f"leave --{name} out, or leave --predictions out",
            )
