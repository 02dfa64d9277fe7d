"""What an audit from Python found: numbers by name, a table for notebooks, the report."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from privaudit.errors import PrivauditError
from privaudit.facts import Group, Metric
from privaudit.results import Estimate, Finding

if TYPE_CHECKING:
    from privaudit.results import Audit, Subject
    from privaudit.verdicts import Verdicts

MEANINGS = {
    Metric(
        "auc"
    ): "how often a member reads as more of a member than somebody else; 0.5 is a guess",
    Metric("tpr", fpr=0.01): "members recognised at a false positive rate of 1 in 100",
    Metric("tpr", fpr=0.1): "members recognised at a false positive rate of 1 in 10",
}
"""The numbers of the notebook's table."""


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
        group: Group | None = None,
    ) -> Estimate:
        """One number with its interval.

        Args:
            name: Which number, such as "auc", "tpr", "ppv" or "attack_rate".
            fpr: The false positive rate at which it is read, where it has one.
            prior: The share of members among those asked about, where it has one.
            at: The setting, as `str(estimate.metric.at)` shows it, where an attack has several.
            attack: The attack; "" for the headline.
            group: A subgroup of patients; None for all.

        Returns:
            The estimate.

        Raises:
            PrivauditError: No estimate, or several, of what was asked for.
        """
        found = [
            one
            for one in self._find_estimates(attack, group)
            if one.metric.name == name
            and (fpr is None or one.metric.fpr == fpr)
            and (prior is None or one.metric.prior == prior)
            and (at is None or str(one.metric.at) == at)
        ]
        if len(found) == 1:
            return found[0]
        known = [str(one.metric) for one in found or self._find_estimates(attack, group)]
        raise PrivauditError(
            f"{len(found) or 'no'} estimates {name!r} of {attack or 'the headline'}",
            f"there are: {', '.join(known) or 'none'}",
            "name one, with fpr=, prior= or at= where there are several",
        )

    def _find_estimates(self, attack: str, group: Group | None) -> tuple[Estimate, ...]:
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
        if group is None:
            return one.estimates
        for result in one.groups:
            if (result.by, result.level) == (group.by, group.level):
                return result.estimates
        raise PrivauditError(
            f"no subgroup {group.level!r} of {group.by!r}",
            f"there are: {', '.join(f'{g.by}: {g.level}' for g in one.groups) or 'none'}",
            "name one of them",
        )

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
        lines = [f"Findings: {self.audit.data.title}"]
        lines += [f"  ! {caveat}" for caveat in self._word_caveats()]
        lines += [f"  {name}: {number}" for name, number, _ in self._rows()]
        if self.verdicts is not None:
            lines.append(f"  verdict: {self.verdicts.state}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """A table for notebooks: no script, everything escaped."""
        escape = html.escape
        left = "style='text-align:left'"
        rows = "".join(
            f"<tr><th scope='row' {left}>{escape(name)}</th><td>{escape(number)}</td>"
            f"<td {left}>{escape(meaning)}</td></tr>"
            for name, number, meaning in self._rows()
        )
        parts = [f"<h3>{escape(self.audit.data.title)}: privacy audit</h3>"]
        if self.verdicts is not None:
            parts.append(f"<p><strong>Verdict: {escape(self.verdicts.state)}</strong></p>")
        parts += [f"<p><strong>Note:</strong> {escape(text)}</p>" for text in self._word_caveats()]
        parts.append(
            "<table><thead><tr><th>attack and number</th><th>value (interval)</th>"
            f"<th>meaning</th></tr></thead><tbody>{rows}</tbody></table>"
        )
        for kind, text in (("skipped", "Not run"), ("failed", "Failed with an error")):
            names = [o.attack for o in self.subject.outcomes if o.kind == kind]
            if names:
                parts.append(f"<p>{text}: {escape(', '.join(names))}.</p>")
        return f"<div>{''.join(parts)}</div>"

    def _word_caveats(self) -> list[str]:
        from privaudit.report.wording.reasons_and_caveats import word_caveat

        return [word_caveat(caveat) for caveat in self.audit.caveats]

    def _rows(self) -> list[tuple[str, str, str]]:
        """(attack and number, value, meaning) of every membership attack."""
        from privaudit.report.wording.metrics import name_metric
        from privaudit.report.wording.reasons_and_caveats import word_reason

        best = self.headline
        rows = []
        for one in self.subject.outcomes:
            if not isinstance(one, Finding) or one.family != "membership":
                continue
            first = best is not None and one.attack == best.attack
            label = f"{one.attack} (headline)" if first else one.attack
            for estimate in best.estimates if best is not None and first else one.estimates:
                if estimate.metric in MEANINGS:
                    number = (
                        f"not stated: {word_reason(estimate.refusal)}"
                        if estimate.value is None
                        else _format(estimate.value, estimate.low, estimate.high)
                    )
                    name = f"{label} {name_metric(estimate.metric)}"
                    rows.append((name, number, MEANINGS[estimate.metric]))
        return rows


def _format(value: float, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{value:.3f}"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


__all__ = ["Findings"]
