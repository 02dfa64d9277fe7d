"""What a run is to make, written down before any of it is made.

A document can be edited so that an attack was never asked for; a plan that was committed to before
the first model was trained cannot, without the key. It stays in `restricted/`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from privaudit.engine import document
from privaudit.engine.configure import Request
from privaudit.engine.plan import Plan
from privaudit.results import to_tree

FILE = "plan.json"
"""In `restricted/`."""


@dataclass(frozen=True)
class Planned:
    """A stored plan.

    Args:
        asked: Run, task, command, profile, confidence and exact_counts, as in the manifest.
        subjects: Name -> method, learner and settings.
        untrained: Subjects that could not be made, for want of a library.
        attacks: Name -> settings.
        steps: (subject, attack, variant) of every attack and control.
        refused: (subject, attack, variant) of those that refused before anything was made; None
            for a plan of an earlier version, which does not tell.
    """

    asked: dict[str, Any]
    subjects: dict[str, dict[str, Any]]
    untrained: tuple[str, ...]
    attacks: dict[str, dict[str, Any]]
    steps: frozenset[tuple[str, str, str]]
    refused: frozenset[tuple[str, str, str]] | None = None


def render(request: Request, plan: Plan, run: str) -> str:
    """The plan of a run as JSON."""
    tree = {
        "asked": {
            "run": run,
            "task": request.task_name,
            "command": request.command,
            "profile": request.profile,
            "confidence": request.confidence,
            "exact_counts": request.exact_counts,
        },
        "subjects": {
            entry.name: {
                "method": entry.method_name,
                "learner": entry.learner_name,
                "params": document.params(entry.method),
            }
            for entry in request.entries
        },
        "untrained": [one.name for one in request.untrained],
        "attacks": {
            name: to_tree(document.typed_params(attack)) for name, attack in request.attacks.items()
        },
        "steps": [[step.entry.name, step.attack_name, step.variant] for step in plan.steps],
        "refused": [
            [step.entry.name, step.attack_name, step.variant]
            for step in plan.steps
            if step.error is not None
        ],
    }
    return json.dumps(tree, indent=1, sort_keys=True, allow_nan=False) + "\n"


def read(path: Path) -> tuple[str, Planned]:
    """The text of a stored plan, and what it says.

    Raises:
        ValueError: For a file that is not as `render` makes it.
    """
    text = path.read_bytes().decode()
    tree = json.loads(text)
    try:
        steps = _read_steps(tree["steps"])
        refused = _read_steps(tree["refused"]) if "refused" in tree else None
        return text, Planned(
            dict(tree["asked"]),
            {str(name): dict(one) for name, one in tree["subjects"].items()},
            tuple(map(str, tree["untrained"])),
            {str(name): dict(one) for name, one in tree["attacks"].items()},
            steps,
            refused,
        )
    except (KeyError, TypeError, AttributeError):
        raise ValueError("it is no plan of a run") from None


def _read_steps(listed: Any) -> frozenset[tuple[str, str, str]]:
    return frozenset((str(s), str(a), str(v)) for s, a, v in listed)


__all__ = ["FILE", "Planned", "read", "render"]
