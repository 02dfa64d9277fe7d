"""Audits from Python: one call, and findings that show themselves in a notebook."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from privaudit.inputs.user_release import Brought
    from privaudit.results import Audit, Estimate, Finding, Subject
    from privaudit.verdicts import Verdicts

SAYS = {
    "auc": "chance that a member reads as more of a member than somebody else (0.5 is a guess)",
    "tpr_at_fpr_0.01": "members recognised at 1 false alarm in 100",
    "tpr_at_fpr_0.1": "members recognised at 1 false alarm in 10",
}


def audit(
    model: Any, members: tuple[Any, Any], nonmembers: tuple[Any, Any], *,
    reference: tuple[Any, Any] | None = None, patient: Any = None, groups: Any = None,
    estimator: Any = None, target: str = "outcome", attacks: Sequence[str] | None = None,
    profile: str = "standard", policy: Path | str | None = None, out: Path | str | None = None,
    seed: int = 0, confidence: float = 0.95, jobs: int | None = None, answers: str = "",
) -> Findings:  # fmt: skip
    """What does this model give away of the people it was trained on?

    model: anything with `predict_proba`, a torch module, a booster, or a function of X that answers with
    probabilities. members, nonmembers: (X, y) of the rows trained on and of rows of patients held out;
    X a numpy array or pandas frame, NaN where nothing was measured. reference: (X, y) of what the attacker
    owns, else a fifth of the held-out patients. patient: a column of the frames, or one array a table:
    who is the unit of privacy. groups: columns whose subgroups are told apart. estimator: unfitted, or
    a function that returns one, for the attacks that train again; None for scikit-learn's clone where
    it can, False for none. attacks, profile: see `privaudit list attacks`; answers: "logits" where the
    model does not answer with probabilities. out: keeps the run there; without it nothing is left on disk.

    PrivauditError for whatever cannot be audited. Global random state stays as it is.
    """
    import os

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from privaudit.engine.configure import Entry, given
    from privaudit.engine.profiles import profile as profiles
    from privaudit.inputs import user_release as own
    from privaudit.seeds import Seeds

    seeds = Seeds(seed).child("brought")
    how = profiles(profile)
    rules = _rules(policy)
    read, method, prepared_notes, here = _method(
        model, members, nonmembers, reference, patient, groups, estimator, answers, seeds
    )
    split, notes = own.pools(
        read.members, read.nonmembers, read.reference, Seeds(0).child("brought").rng("reference"),
        patient if isinstance(patient, str) else "the patient",
    )  # fmt: skip
    split = own.without_rare_names(split)
    method, told = _tried(method, split, seeds, estimator)
    held = method.fit(split.members, seeds.rng("held")).model
    if held is None:
        raise ValueError("a brought model is always there")
    prepared = own.prepare(
        split, held, seeds=seeds, confidence=confidence, source="tables of a Python session",
        notes=(*prepared_notes, *notes, *told),
    )  # fmt: skip
    classes = split.members.classes
    task = own.Given.of(prepared, target, f"{target} = {classes[-1]}")
    request = given(
        "own", task, [Entry("own-model", "own", "", method)], how, entropy=seed,
        attacks=tuple(attacks) if attacks else task.attacks, confidence=confidence,
        command="privaudit.audit(...)",
    )  # fmt: skip
    return _run(request, out, 1 if not here else jobs, rules)


def _rules(policy: Path | str | None) -> Any:
    if policy is None:
        return None
    from privaudit.policy import read

    return read(Path(policy))


def _method(
    model: Any, members: Any, nonmembers: Any, reference: Any, patient: Any, groups: Any,
    estimator: Any, answers: str, seeds: Any,
) -> tuple[Any, Brought, tuple[str, ...], bool]:  # fmt: skip
    """The tables, the method that hands the model out, notes, and whether it can be sent elsewhere."""
    from privaudit.inputs import dataframe as frames
    from privaudit.inputs import user_release as own
    from privaudit.inputs.models import in_process as live
    from privaudit.inputs.models.layout import Frame
    from privaudit.inputs.models.open_model import ANSWERS
    from privaudit.inputs.models.opened_model import How

    if answers not in ANSWERS:
        raise PrivauditError(
            f"answers={answers!r}", f"known are: {', '.join(ANSWERS[1:])}", "choose one of these"
        )
    labels = getattr(model, "classes_", None)
    labels = None if labels is None else list(labels.tolist() if hasattr(labels, "tolist") else labels)  # fmt: skip
    read = frames.pools(
        members, nonmembers, reference, patient=patient, groups=groups, labels=labels
    )
    opened = live.opened(model, read.frame)
    first = read.members
    bound = opened.bind(How(first.columns, first.classes, "", answers))
    if read.frame is not None and hasattr(bound, "reads"):
        bound = _as_seen(bound, read.frame, opened.names)
    digest, here = live.digest(model)
    recipe = None
    if estimator is None:
        recipe = own.cloned(model)
    elif estimator is not False:
        recipe = _recipe(estimator)
    twin = None
    if recipe is not None:
        whole = read.frame or Frame(tuple(c.name for c in first.columns))
        given = own.in_order(opened.labels, first.classes) if opened.labels else None
        twin = own.twin_of(recipe, bound, opened.names, first.classes, given, whole)
    notes = (f"The model is {opened.form}, asked in the session that it lives in.",
             *(note[:1].upper() + note[1:] + "." for note in opened.notes))  # fmt: skip
    method = own.Brought.of(bound, opened.form, digest, notes=notes, twin=twin)
    return read, method, (), here and (twin is None or live.packed(twin) is not None)


def _as_seen(bound: Any, frame: Any, names: tuple[str, ...] | None) -> Any:
    """The model asked with a frame of the same dtypes as the one that was given."""
    from dataclasses import replace

    if names is not None and list(names) != list(frame.names):
        if not set(names) <= set(frame.names):
            return bound
        frame = replace(frame, names=tuple(names))
    return replace(bound, reads=frame)


def _recipe(estimator: Any) -> Any:
    from privaudit.inputs import user_release as own
    from privaudit.inputs.models import in_process as live

    found = own.cloned(estimator)
    if found is None and isinstance(estimator, str):
        found = own.named(estimator)
    if found is None and callable(estimator):
        digest, _ = live.digest(estimator)
        found = (getattr(estimator, "__name__", type(estimator).__name__), digest, estimator)
    if found is None:
        raise PrivauditError(
            f"an estimator of type {type(estimator).__name__}",
            "it is trained again, `fit(X, y)`, and asked, `predict_proba(X)`",
            "pass an unfitted scikit-learn classifier, or a function that returns one",
        )
    return found


def _tried(
    method: Brought, split: Any, seeds: Any, estimator: Any
) -> tuple[Brought, tuple[str, ...]]:
    from privaudit.inputs import user_release as own

    twin = method.twin
    if not isinstance(twin, own.Retrained):
        return method, ()
    try:
        own.tried(twin, split, seeds.rng("tried"))
    except PrivauditError as error:
        if estimator is not None:
            raise
        release = method.fit(split.members, seeds.rng("held"))
        if release.model is None:
            raise
        alone = own.Brought.of(release.model, method.form, method.digest, notes=release.notes)
        return alone, (f"The model was not trained again: {error.what}; {error.because}.",)
    return method, ()


def _run(request: Any, out: Path | str | None, jobs: int | None, rules: Any) -> Findings:
    import tempfile

    from privaudit import report
    from privaudit.engine.run import run

    judged: list[Verdicts] = []

    def write(found: Audit, folder: Path) -> None:
        if rules is not None:
            from privaudit import verdicts
            from privaudit.policy import judge

            digest = hashlib.sha256((folder / "audit.json").read_bytes()).hexdigest()
            judged.append(judge(rules, found, audit_sha256=digest))
            (folder / "verdicts.json").write_text(verdicts.to_json(judged[0]), encoding="utf-8")
        report.write(found, folder, judged[0] if judged else None)

    if out is not None:
        from privaudit.evidence.account import account

        with account(Path(out), request.command) as witness:
            done = run(request, out=Path(out), workers=jobs, report=write, witness=witness)
            witness.finish(done.folder, judged[0].code if judged else done.code)
        folder: Path | None = done.folder
    else:
        with tempfile.TemporaryDirectory(prefix="privaudit-") as scratch:
            done = run(request, out=Path(scratch), workers=jobs, report=None)
        if rules is not None:
            from privaudit.policy import judge

            judged.append(judge(rules, done.audit))
        folder = None
    return Findings(done.audit, judged[0] if judged else None, folder)


@dataclass(frozen=True, eq=False)
class Findings:
    """What an audit found. Shows itself in a notebook; `estimate("auc")` is the headline's number.

    audit: the whole document; verdicts: under the policy given, else None; folder: the run's, else None.
    """

    audit: Audit = field(repr=False)
    verdicts: Verdicts | None = None
    folder: Path | None = None

    @property
    def subject(self) -> Subject:
        """The model that was audited."""
        return self.audit.subjects[0]

    @property
    def headline(self) -> Finding | None:
        """The strongest membership attack."""
        return self.subject.headline

    def estimate(self, name: str = "auc", attack: str = "") -> Estimate:
        """One number with its interval: of the headline, or of the attack named."""
        from privaudit.results import Finding

        ran = {o.attack: o for o in self.subject.outcomes if isinstance(o, Finding)}
        if attack and attack not in ran:
            raise PrivauditError(
                f"no findings of {attack!r}", f"there are: {', '.join(ran) or 'none'}", "name one"
            )
        one = ran[attack] if attack else self.headline
        if one is None:
            raise PrivauditError(
                "no membership attack ran", "there is no headline", "name an attack that ran"
            )
        known = {estimate.name: estimate for estimate in one.estimates}
        if name not in known:
            raise PrivauditError(
                f"no estimate {name!r} of {one.attack}",
                f"there are: {', '.join(known)}",
                "name one",
            )
        return known[name]

    def report(self, folder: Path | str) -> Path:
        """Write report.html and its companions into a folder; the path of report.html."""
        from privaudit import report
        from privaudit.results import to_json

        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        (place / "audit.json").write_text(to_json(self.audit), encoding="utf-8")
        report.write(self.audit, place, self.verdicts)
        return place / "report.html"

    def __repr__(self) -> str:
        lines = [f"Findings about a model of {self.audit.data.title}"]
        lines += [f"  ! {caveat}" for caveat in self.audit.caveats]
        lines += [f"  {name}: {number}" for name, number, _ in self._numbers()]
        if self.verdicts is not None:
            lines.append(f"  verdict: {self.verdicts.state}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """A table for notebooks: no script, everything escaped."""
        say = html.escape
        caveats = "".join(f"<p><strong>Note:</strong> {say(c)}</p>" for c in self.audit.caveats)
        rows = "".join(
            f"<tr><th scope='row' style='text-align:left'>{say(name)}</th><td>{say(number)}</td>"
            f"<td style='text-align:left'>{say(means)}</td></tr>"
            for name, number, means in self._numbers()
        )
        skipped = ", ".join(o.attack for o in self.subject.outcomes if o.kind == "skipped")
        failed = ", ".join(o.attack for o in self.subject.outcomes if o.kind == "failed")
        verdict = (
            f"<p><strong>Verdict: {say(self.verdicts.state)}</strong></p>" if self.verdicts else ""
        )
        return (
            f"<div><h3>{say(self.audit.data.title)}: what the model gives away</h3>{verdict}{caveats}"
            "<table><thead><tr><th>attack and number</th><th>value (interval)</th><th>meaning</th></tr>"
            f"</thead><tbody>{rows}</tbody></table>"
            + (f"<p>Did not apply: {say(skipped)}.</p>" if skipped else "")
            + (f"<p>Broke: {say(failed)}.</p>" if failed else "")
            + "</div>"
        )

    def _numbers(self) -> list[tuple[str, str, str]]:
        from privaudit.results import Finding

        best = self.headline
        found = []
        for one in self.subject.outcomes:
            if isinstance(one, Finding) and one.family == "membership":
                first = best is not None and one.attack == best.attack
                chosen = best.estimates if best is not None and first else one.estimates
                for estimate in chosen:
                    if estimate.name in SAYS:
                        mark = " (headline)" if first else ""
                        name = f"{one.attack}{mark} {estimate.name}"
                        found.append((name, _told(estimate), SAYS[estimate.name]))
        return found


def _told(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"not stated: {estimate.refusal}"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


__all__ = ["Findings", "audit"]
