"""Audits from Python: of a model that answers, and of a synthetic table."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.errors import python_session
from privaudit.findings import Findings

if TYPE_CHECKING:
    from privaudit.engine.configure import Request
    from privaudit.facts import Caveat
    from privaudit.inputs.table_file import Table
    from privaudit.policy.rules import Policy
    from privaudit.records import Split
    from privaudit.results import Audit
    from privaudit.verdicts import Verdicts
    from privaudit.words import Words


@python_session()
def audit(
    model: Any,
    members: tuple[Any, Any],
    nonmembers: tuple[Any, Any],
    *,
    reference: tuple[Any, Any] | None = None,
    series: Any = None,
    patient: Any = None,
    groups: Any = None,
    sensitive: Sequence[str] = (),
    estimator: Any = None,
    outcome: str = "outcome",
    outcome_kind: str = "class",
    classes: Sequence[Any] | None = None,
    event: Any = None,
    shadow_answers: Any = None,
    shadow_members: Any = None,
    explanations: Any = None,
    attacks: Sequence[str] | str | None = None,
    profile: str = "standard",
    policy: Path | str | None = None,
    out: Path | str | None = None,
    seed: int | None = None,
    confidence: float = 0.95,
    jobs: int | None = None,
    answers: str = "",
    expect: Any = None,
    words: Words | None = None,
    token_env: str = "",
    queries: int | None = None,
    inputs: str = "",
    output: str = "",
    timeout: float = 60.0,
) -> Findings:
    """Audit a model: what does it give away of the people it was trained on?

    Global random state stays as it is.

    Args:
        model: Anything with `predict_proba`, a torch module, a booster, or a function of X that
            answers with probabilities, of shape (n, k), or (n,) for two classes; for a number,
            anything with `predict`, or what answers with one number a row; or the address of a
            deployed model, "https://HOST/v2/models/NAME" or "mlflow+https://HOST/invocations".
        members: (X, y) of the rows trained on; X of shape (n, d), a numpy array or a data frame,
            NaN where nothing was measured; y of shape (n,), the outcomes.
        nonmembers: (X, y) of rows of patients held out.
        reference: (X, y) of what the attacker owns, else a fifth of the held-out patients.
        series: Where the model reads series, a tuple of one array a table, (n, steps, channels) of
            its rows in their order, NaN where nothing was measured; `patient` is needed then. The
            model is a torch module or a function of (X, series), or, where X is None, of the series
            alone; an `estimator` has fit(X, series, y) or fit(series, y).
        patient: Who is the unit of privacy: a column of the frames, which the model does not read,
            or a tuple of one array a table. Each row is its own patient by default.
        groups: Columns of the frames whose subgroups are reported, a tuple of one array a table, or
            a mapping of names to such tuples.
        sensitive: Columns that are worth inferring about a patient, for attribute inference, beside
            those whose names say so; "x0" is the first column of an array.
        estimator: An unfitted estimator, or a function that returns one, for the attacks that train
            again; None for scikit-learn's clone where it can make one, False for none.
        outcome: What the report calls the outcome.
        outcome_kind: "number" where y holds numbers such as lengths of stay and the model predicts
            them; "time" where y is (time, event) and the model answers with a risk, the higher the
            sooner; "ordered" where y holds classes that `classes` lists in their order, lowest
            first; never guessed.
        classes: The outcome's classes in the order of the model's answers, where they are not 0, 1,
            ... and the model has no `classes_`.
        event: Of two classes, the one whose probability the model answers with, in place of
            `classes`.
        shadow_answers: What K shadow models answer, in place of training any: (K, n) probabilities
            of the recorded outcome, or (K, n, k) of every class, for the n rows of members, then of
            nonmembers.
        shadow_members: (K, n) bool: whether each was trained on each row. K is 8 or more; best in
            pairs, one trained on a random half of all patients and one on the other half.
        explanations: Where explanations are released beside the answers: a pair of attributions,
            (n, d) of the rows of members and (m, d) of those of nonmembers, of two classes to the
            last; or "exact" to compute them, for XGBoost, LightGBM and linear models.
        attacks: Names or families, see `privaudit list attacks`; None for all that can be run.
        profile: How much to do: "smoke", "standard" or "thorough".
        policy: A policy file that the audit is judged by.
        out: Stores the run there; without it nothing is left on disk.
        seed: Of every random stream; drawn unless given. The same seed gives the same numbers, with
            `out` in the same folder, whose key it is put under.
        confidence: Coverage of every interval.
        jobs: Processes of one thread each, all cores by default.
        answers: "logits" where the model does not answer with probabilities.
        expect: Your own probabilities, to be equal within 0.00001: of all rows of members, then of
            nonmembers, (n, k) in the order of the model's answers or (n,) of the last of two
            classes; or a pair, the places of 10 rows or more among these n and their probabilities.
        words: What the report calls people, sites and records, as `privaudit.Words("customer",
            "customers", "branch", "branches")`; patients and hospitals by default.
        token_env: Of a deployed model: the environment variable that holds the server's token.
        queries: Rows that it may be asked about; attacks that do not fit are not tested. Any number
            by default.
        inputs: "columns" or "tensor": how it is sent rows, where its server does not say.
        output: The output that holds its probabilities, "predict_proba" by default.
        timeout: Seconds until an answer of its server is complete.

    Returns:
        The findings.

    Raises:
        PrivauditError: Whatever cannot be audited, with what to do about it.

    Examples:
        >>> import numpy as np, privaudit
        >>> from sklearn.ensemble import RandomForestClassifier
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(800, 5))
        >>> y = (X[:, 0] + rng.normal(size=800) > 0).astype(int)
        >>> model = RandomForestClassifier(20, random_state=0).fit(X[:400], y[:400])
        >>> found = privaudit.audit(
        ...     model, (X[:400], y[:400]), (X[400:], y[400:]), profile="smoke", attacks="threshold"
        ... )
        >>> found.estimate("auc").value > 0.8
        True
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from privaudit.commitments import SESSION, load_key, seed_reading
    from privaudit.engine.configure import Entry, given
    from privaudit.engine.profiles import profile as find_profile
    from privaudit.inputs import deployed, pools, session_model, session_series, session_tables
    from privaudit.inputs.class_order import StatedOrder, refuse_order_of_numbers
    from privaudit.inputs.dataframe import read_frames
    from privaudit.inputs.examine_shadows import join_bank
    from privaudit.inputs.outcome import read_outcome_kind
    from privaudit.inputs.retraining import settle_recipe
    from privaudit.inputs.session_expected import check_expected_arrays
    from privaudit.inputs.shadow_answers import no_shadows_of_numbers
    from privaudit.inputs.user_release import hold_parts
    from privaudit.seeds import Seeds

    # The name of the stream is part of every number.
    seeds = Seeds(seed or 0).child("brought")
    how = find_profile(profile)
    rules = _read_policy(policy)
    kind, ordered = read_outcome_kind(outcome_kind)
    given_tables = [members, nonmembers, *([reference] if reference is not None else [])]
    if kind != "class":
        stated = tuple(map(str, classes or ()))
        refuse_order_of_numbers(StatedOrder(stated, "" if event is None else str(event)))
    long: list[Any] = []
    if series is not None:
        long, given_tables = session_series.read_series_argument(series, given_tables, patient)
    if kind == "time":
        given_tables = session_tables.read_times(given_tables)
    groups = session_tables.read_group_argument(groups, given_tables)
    if patient is not None and not isinstance(patient, str):
        session_tables.check_parts(patient, given_tables, "patients")
    aligned = session_tables.align_tables(given_tables)
    outcomes = [pair[1] for pair in aligned if isinstance(pair, tuple)]
    labels = None
    if kind == "class":
        labels = session_model.find_labels(model, classes, event, outcomes)
    if kind == "class" and len(outcomes) == len(aligned):
        aligned = session_tables.match_booleans(aligned, labels)
    read = read_frames(
        aligned[0],
        aligned[1],
        aligned[2] if reference is not None else None,
        patient=patient,
        groups=groups,
        labels=labels,
        outcome_kind=kind,
    )
    if long:
        read = session_series.with_series(read, long)
    if ordered:
        read = session_model.mark_ordered(read, classes)
    if sensitive:
        read = session_model.mark_sensitive_columns(
            read, (sensitive,) if isinstance(sensitive, str) else sensitive
        )
    everybody = read
    supplied = None
    if shadow_answers is not None or shadow_members is not None:
        if kind != "class":
            raise no_shadows_of_numbers()
        supplied, read = session_model.read_shadows(
            shadow_answers, shadow_members, read, labels, estimator
        )
        estimator = False
    scratch = None
    address = session_model.find_address(model)
    remote = bool(token_env or queries or inputs or output)
    session_model.refuse_misplaced(address, explanations is not None, remote)
    if address:
        scratch = None if out is not None else tempfile.TemporaryDirectory(prefix="privaudit-")
        options = session_model.how_to_ask(
            Path(scratch.name if scratch else str(out)),
            token_env=token_env,
            queries=queries,
            inputs=inputs,
            output=output,
            timeout=timeout,
        )
        held = session_model.hold_deployed(address, options, read, estimator, answers)
    else:
        held = session_model.hold_model(model, read, estimator, answers, explanations)

    def cut() -> tuple[Split, tuple[str, ...]]:
        return pools.split_pools(
            read.members,
            read.nonmembers,
            read.reference,
            seed_reading(None if out is None else Path(out)).rng("reference"),
            patient if isinstance(patient, str) else "the patient",
        )

    allotted = deployed.Allotted()
    by_order = held.by_order
    if address and queries is not None:
        from privaudit.engine.queries import make_planner

        decide = make_planner(
            _list_attacks(attacks),
            profile=profile,
            settings=(),
            seed=seed,
            key=SESSION if out is None else load_key(Path(out)),
            budget=queries,
        )
        trial = expect is None and kind == "class"
        allotted = deployed.allot(
            held.release.model, cut()[0], held.twin, decide, by_order if trial else None
        )
    if labels is None and kind == "class":
        session_model.refuse_unsaid_order(held.release, read.members)
    elif classes is not None or event is not None:
        said = f"event={event!r}" if classes is None else f"classes={list(classes)!r}"
        session_model.refuse_reversed_order(held.release, read.members, said)
    doubts: list[Caveat] = []
    shown: list[Caveat] = []
    if expect is not None:
        shown = [
            check_expected_arrays(
                expect, held.release.model, everybody.members, everybody.nonmembers
            )
        ]
    elif kind == "class":
        doubts = list(
            deployed.doubt_reading(
                held.release.model, read.members, by_order=by_order, allotted=allotted
            )
        )
    split, notes = cut()
    split = pools.replace_rare_class_names(split)
    required = estimator is not None and estimator is not False
    release, compared = settle_recipe(held.release, split, seeds, required=required)
    bound = release.fit(split.members, seeds.rng("held")).model
    if bound is None:
        raise ValueError("a supplied model is always there")
    if supplied is not None:
        shadows, checked = join_bank(supplied.bank, read.nonmembers, split, bound)
        release = held.with_shadows(shadows)
        compared += [*supplied.notes, checked]
    task = pools.prepare_task(
        split,
        bound,
        outcome=outcome,
        seeds=seeds,
        confidence=confidence,
        source="tables of a Python session",
        notes=(*notes, *compared, *shown),
        caveats=tuple(doubts),
        patients=read.patients,
    )
    request = given(
        "own",
        task.using(words),
        [Entry("own-model", "own", "", hold_parts(release, barred=allotted.barred))],
        how,
        seed=seed,
        attacks=_list_attacks(attacks) or how.keep(task.attacks),
        confidence=confidence,
        command="privaudit.audit(...)",
    )
    found = _run(request, out, jobs if held.can_be_sent else 1, rules)
    if scratch is not None:
        scratch.cleanup()
    return found


@python_session()
def audit_table(
    real: Table,
    control: Table,
    synthetic: Table,
    *,
    schema: Path | str | None = None,
    outcome: str = "",
    patient: str = "",
    groups: Sequence[str] = (),
    file: Path | str | None = None,
    secrets: Sequence[str] = (),
    sensitive: Sequence[str] = (),
    rows: int = 10_000,
    attacks: Sequence[str] | str = (),
    settings: Sequence[str] = (),
    profile: str = "standard",
    policy: Path | str | None = None,
    out: Path | str | None = None,
    seed: int | None = None,
    confidence: float = 0.95,
    jobs: int | None = None,
    words: Words | None = None,
) -> Findings:
    """Audit a synthetic table: whom does it give away, and what is it good for?

    Args:
        real: The real rows that the synthetic table was made from: a CSV or Parquet file, or a data
            frame.
        control: Real rows of patients held out, of whom the generator saw nothing.
        synthetic: The synthetic rows.
        schema: A schema file (`privaudit schema`); proposed from the real tables by default.
        outcome: The outcome's column.
        patient: The column that names patients; each row is its own patient by default.
        groups: Columns whose subgroups are reported.
        file: The generator's file, where it is to be handed out too; it is opened, never run.
        secrets: Columns that an attacker would infer.
        sensitive: Columns that are worth inferring about a patient.
        rows: About how many rows of the real and of the control table to read.
        attacks: Names or families, see `privaudit list attacks`; all by default.
        settings: Settings of attacks as "ATTACK.FIELD=VALUE".
        profile: How much to do: "smoke", "standard" or "thorough".
        policy: A policy file that the audit is judged by.
        out: Stores the run there; without it nothing is left on disk.
        seed: Of every random stream; drawn unless given. The same seed gives the same numbers, with
            `out` in the same folder, whose key it is put under.
        confidence: Coverage of every interval.
        jobs: Processes of one thread each, all cores by default.
        words: What the report calls people, sites and records; patients and hospitals by default.

    Returns:
        The findings.

    Raises:
        PrivauditError: Tables that cannot be compared, with what to do about it.

    Examples:
        >>> import numpy as np, pandas as pd, privaudit
        >>> rng = np.random.default_rng(0)
        >>> draw = lambda: pd.DataFrame(
        ...     {"age": rng.integers(18, 90, 200), "lactate": rng.gamma(2, 1, 200).round(1)}
        ... )
        >>> real, control = draw(), draw()
        >>> found = privaudit.audit_table(
        ...     real, control, real.sample(200, replace=True), profile="smoke", attacks=["copies"]
        ... )
        >>> found.subject.name
        'synthetic-table'
    """
    from privaudit.inputs.read_synthetic import SyntheticTables

    tables = SyntheticTables(
        real,
        control,
        synthetic,
        Path(schema) if schema is not None else None,
        outcome,
        patient,
        _list_names(groups),
        Path(file) if file is not None else None,
        _list_names(sensitive),
        _list_names(secrets),
        rows,
    )
    rules = _read_policy(policy)
    request = request_table_audit(
        tables,
        profile=profile,
        attacks=attacks,
        settings=settings,
        seed=seed,
        confidence=confidence,
        command="privaudit.audit_table(...)",
        out=None if out is None else Path(out),
        words=words,
    )
    return _run(request, out, jobs, rules)


def request_table_audit(
    tables: Any,
    *,
    profile: str,
    attacks: Sequence[str] | str,
    settings: Sequence[str],
    seed: int | None,
    confidence: float,
    command: str,
    exact_counts: bool = False,
    out: Path | None = None,
    words: Words | None = None,
) -> Request:
    """What the engine is asked for; reads the tables (`inputs.read_synthetic.SyntheticTables`)."""
    # Numeric libraries read this when they load: workers and this process use one thread each.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from privaudit.commitments import seed_reading
    from privaudit.engine.configure import Entry, given
    from privaudit.engine.profiles import profile as find_profile
    from privaudit.inputs.read_synthetic import read_synthetic

    how = find_profile(profile)
    task, release = read_synthetic(tables, seeds=seed_reading(out))
    settings = list(settings)
    if tables.secrets:
        settings.append(f"synthetic_attribute_inference.secrets={','.join(tables.secrets)}")
    return given(
        "table",
        task.using(words),
        [Entry("synthetic-table", "synthetic", "", release)],
        how,
        seed=seed,
        attacks=_list_attacks(attacks),
        settings=settings,
        confidence=confidence,
        exact_counts=exact_counts,
        command=command,
    )


def _read_policy(policy: Path | str | None) -> Policy | None:
    if policy is None:
        return None
    from privaudit.policy import read

    return read(Path(policy))


def _list_attacks(attacks: Sequence[str] | str | None) -> tuple[str, ...]:
    return _list_names(attacks or ())


def _list_names(names: Sequence[str] | str) -> tuple[str, ...]:
    """One name is a list of one."""
    return (names,) if isinstance(names, str) else tuple(names)


def _run(
    request: Request, out: Path | str | None, jobs: int | None, rules: Policy | None
) -> Findings:
    from privaudit import report, verdicts
    from privaudit.engine.run import run
    from privaudit.policy import judge

    judged: list[Verdicts] = []

    def write(found: Audit, folder: Path) -> None:
        if rules is not None:
            digest = hashlib.sha256((folder / "audit.json").read_bytes()).hexdigest()
            judged.append(judge(rules, found, audit_sha256=digest))
            (folder / "verdicts.json").write_text(verdicts.to_json(judged[0]), encoding="utf-8")
        report.write(found, folder, judged[0] if judged else None)

    folder: Path | None = None
    if out is not None:
        from privaudit.evidence.account import account

        with account(Path(out), request.command) as witness:
            done = run(request, out=Path(out), workers=jobs, report=write, witness=witness)
            witness.finish(done.folder, judged[0].code if judged else done.code)
        folder = done.folder
    else:
        with tempfile.TemporaryDirectory(prefix="privaudit-") as scratch:
            from privaudit.commitments import SESSION

            key = SESSION if request.seed is not None else None
            done = run(request, out=Path(scratch), workers=jobs, report=None, key=key)
        if rules is not None:
            judged.append(judge(rules, done.audit))
    return Findings(done.audit, judged[0] if judged else None, folder)


__all__ = ["audit", "audit_table", "request_table_audit"]
