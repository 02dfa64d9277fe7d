"""What an audit from Python found: numbers by name, a table for notebooks, the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from privaudit.errors import PrivauditError
from privaudit.facts import Group
from privaudit.results import Estimate, Finding, GroupResult

if TYPE_CHECKING:
    from privaudit.results import Audit, Subject
    from privaudit.verdicts import Verdicts


@dataclass(frozen=True, eq=False)
class Findings:
    """What an audit found. Shows itself in a notebook.

    Args:
        audit: The whole document.
        verdicts: Under the policy given, else None.
        folder: The run directory, None where nothing was stored.

    Examples:
        >>> found = privaudit.audit(model, (X, y), (X_held_out, y_held_out))  # doctest: +SKIP
        >>> found.estimate("tpr", fpr=0.01).value  # doctest: +SKIP
        0.031
    """

    audit: Audit = field(repr=False)
    verdicts: Verdicts | None = None
    folder: Path | None = None

    @property
    def subject(self) -> Subject:
        """The model or synthetic table that was audited."""
        return self.audit.subjects[0]

    @property
    def headline(self) -> Finding | None:
        """The strongest membership attack."""
        return self.subject.headline

    def estimate(
        self,
        name: str = "auc",
        *,
        fpr: float | None = None,
        prior: float | None = None,
        at: str | None = None,
        attack: str = "",
        group: Group | tuple[str, str] | None = None,
    ) -> Estimate:
        """One number with its interval.

        Args:
            name: Which number, such as "auc", "tpr", "ppv" or "attack_rate"; of the model's
                performance on held-out patients "auroc", "brier" and others.
            fpr: The false positive rate at which it is read, where it has one.
            prior: The share of members among those asked about, where it has one.
            at: The setting, as `str(estimate.metric.at)` shows it, where an attack has several.
            attack: The attack; "" for the headline.
            group: A subgroup of patients, such as ("sex", "F"); None for all.

        Returns:
            The estimate.

        Raises:
            PrivauditError: No estimate, or several, of what was asked for.
        """
        known = self._find_estimates(name, attack, group)
        found = [
            one
            for one in known
            if one.metric.name == name
            and (fpr is None or one.metric.fpr == fpr)
            and (prior is None or one.metric.prior == prior)
            and (at is None or str(one.metric.at) == at)
        ]
        if len(found) == 1:
            return found[0]
        names = [str(one.metric) for one in found or known]
        raise PrivauditError(
            f"{len(found) or 'no'} estimates {name!r} of {attack or 'the headline'}",
            f"there are: {', '.join(names) or 'none'}",
            "name one, with fpr=, prior= or at= where there are several",
        )

    def _find_estimates(
        self, name: str, attack: str, group: Group | tuple[str, str] | None
    ) -> tuple[Estimate, ...]:
        """The numbers among which one is looked for: of an attack, or of the performance."""
        subject = self.subject
        if not attack and any(one.metric.name == name for one in subject.utility):
            return _select_group(subject.utility, subject.utility_groups, group)
        ran = {o.attack: o for o in subject.outcomes if isinstance(o, Finding)}
        if attack and attack not in ran:
            raise PrivauditError(
                f"no findings of {attack!r}", f"there are: {', '.join(ran) or 'none'}", "name one"
            )
        found = ran[attack] if attack else self.headline
        if found is None:
            raise PrivauditError(
                "no membership attack ran", "there is no headline", "name an attack that ran"
            )
        return _select_group(found.estimates, found.groups, group)

    def report(self, folder: Path | str) -> Path:
        """Write report.html and its companions into a folder.

        Args:
            folder: Where to; made if it is not there.

        Returns:
            The path of report.html.
        """
        from privaudit import report
        from privaudit.results import to_json

        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        (place / "audit.json").write_text(to_json(self.audit), encoding="utf-8")
        report.write(self.audit, place, self.verdicts)
        return place / "report.html"

    def __repr__(self) -> str:
        from privaudit.report.notebook import render_text

        return render_text(self.audit, self.verdicts)

    def _repr_html_(self) -> str:
        """A table for notebooks: no script, everything escaped."""
        from privaudit.report.notebook import render_notebook

        return render_notebook(self.audit, self.verdicts)


def _select_group(
    overall: tuple[Estimate, ...],
    groups: Sequence[GroupResult],
    group: Group | tuple[str, str] | None,
) -> tuple[Estimate, ...]:
    if group is None:
        return overall
    by, level = (group.by, group.level) if isinstance(group, Group) else map(str, group)
    for result in groups:
        if (result.by, result.level) == (by, level):
            return result.estimates
    raise PrivauditError(
        f"no subgroup {level!r} of {by!r}",
        f"there are: {', '.join(f'{g.by}: {g.level}' for g in groups) or 'none'}",
        "name one of them",
    )


__all__ = ["Findings"]
