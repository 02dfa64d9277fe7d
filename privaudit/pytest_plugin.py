"""A limit on what a model gives away, asserted in a user's own test suite.

    def test_model_gives_little_away(privaudit):
        model = RandomForestClassifier(min_samples_leaf=20).fit(X, y)
        found = privaudit(model, members=(X, y), nonmembers=(X_held_out, y_held_out))
        found.limit("membership.auc", max=0.6)

pytest finds the fixture when privaudit is installed. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from privaudit.results import Audit
    from privaudit.verdicts import Verdicts


class Found:
    """What an audit found, to be held against limits. `findings`: what `privaudit.audit`
    returned."""

    def __init__(self, findings: Any) -> None:
        self.findings = findings

    @property
    def audit(self) -> Audit:
        """The audit document."""
        found: Audit = getattr(self.findings, "audit", self.findings)
        return found

    def limit(
        self,
        metric: str,
        *,
        max: float,
        fpr: float | None = None,
        prior: float | None = None,
        at: Sequence[str] = (),
        attacks: Sequence[str] = (),
        by: Sequence[str] = (),
        **statistics: Any,
    ) -> Verdicts:
        """Fail unless this risk is surely at most `max`: as a [[limit]] of a policy.

        statistics: as in a policy's [statistics]; `on_inconclusive="pass"` lets through what these
        data cannot decide. Raises PrivauditError for a metric that does not exist, and the like.
        """
        rule: dict[str, Any] = {"id": metric, "metric": metric, "max": max}
        given = {"fpr": fpr, "prior": prior, "at": at, "attacks": attacks, "by": by}
        rule |= {key: _plain(value) for key, value in given.items() if value}
        return self._judge("limit", rule, statistics)

    def guard(
        self, metric: str, *, min: float | None = None, max: float | None = None, **statistics: Any
    ) -> Verdicts:
        """Fail unless this utility is surely at least `min` (an error at most `max`)."""
        bounds = {key: value for key, value in (("min", min), ("max", max)) if value is not None}
        return self._judge("guard", {"id": metric, "metric": metric, **bounds}, statistics)

    def policy(self, path: str | Path) -> Verdicts:
        """Fail unless every rule of a policy file that blocks is met."""
        from privaudit.policy import judge, read

        return _assert(judge(read(path), self.audit), self.audit)

    def _judge(self, kind: str, rule: dict[str, Any], statistics: dict[str, Any]) -> Verdicts:
        from privaudit.facts import FAMILIES
        from privaudit.policy import judge
        from privaudit.policy.file import build
        from privaudit.policy.metrics import find_metric
        from privaudit.policy.rules import SCHEMA

        own = find_metric(rule["metric"]).family
        tree = {
            "schema": SCHEMA,
            "name": "this test",
            "approved_by": "this test",
            "review_by": "9999-12-31",
            "statistics": statistics,
            "not_tested": [
                {"family": family, "reason": "this test is about one number"}
                for family in FAMILIES
                if family != own
            ],
            kind: [rule],
        }
        return _assert(judge(build(tree), self.audit), self.audit)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return [value]
    return list(value) if isinstance(value, Sequence) else value


def _assert(made: Verdicts, audit: Audit) -> Verdicts:
    """The verdicts, where nothing stops the gate; else an AssertionError that says what to do."""
    __tracebackhide__ = True
    if made.code == 0:
        return made
    from privaudit.report.formats.shared import (
        name_verdict,
        select_stopping,
        word_outcome,
        word_state,
    )
    from privaudit.report.wording.nouns import use_words
    from privaudit.report.wording.verdicts import explain_verdict, word_notes

    with use_words(audit.data.words):
        lines = [word_outcome(made), *(word_notes(made) if made.code == 5 else ())]
        for one in select_stopping(made):
            lines += ["", f"{word_state(one)}  {name_verdict(one)}"]
            lines += [f"  {text}" for text in explain_verdict(one)]
    raise AssertionError("\n".join(lines))


class Auditor:
    """The fixture: call it with a model, members and non-members."""

    def __call__(self, model: Any, *, members: Any, nonmembers: Any, **more: Any) -> Found:
        """Audit a model; arguments as of `privaudit.api.audit`."""
        from privaudit.api import audit

        return Found(audit(model, members=members, nonmembers=nonmembers, **more))

    def read(self, run: str | Path) -> Found:
        """What a finished run found."""
        from privaudit.engine.folder import read

        return Found(read(Path(run)))


@pytest.fixture
def privaudit() -> Auditor:
    """Audits a model and holds what was found against limits: see `privaudit.pytest_plugin`."""
    return Auditor()
