"""Profiles: three sizes of audit."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from privaudit.errors import PrivauditError


@dataclass(frozen=True)
class Profile:
    """A size of audit.

    Args:
        name: As on the command line.
        summary: One line for `privaudit list profiles`.
        refits: Shadow models of each method, which the attacks that need some share.
        learners: Learners to use; None for all.
        attacks: Attacks to run; None for all.
        without: Attacks that are left out where none is named, for what they cost.
        settings: `component.field` -> value, where it differs from the component's default.
        methods: Methods to train where none is named.
        beside: Method -> learners, where `--methods all` uses more than the method's usual one.
        epsilons: Privacy budgets at which `--methods all` trains each method that guarantees one;
            none for the method's own default.
        generators: Generators of synthetic records to use; None for all.
    """

    name: str
    summary: str
    refits: int
    learners: tuple[str, ...] | None = None
    attacks: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    methods: tuple[str, ...] = ("baseline",)
    beside: Mapping[str, tuple[str, ...]] = field(
        # The reference points for linear models, networks and trees, without any defence.
        default_factory=lambda: {"baseline": ("boosted", "logreg", "mlp"), "local_only": ("mlp",)}
    )
    epsilons: tuple[str, ...] = ()
    generators: tuple[str, ...] | None = None

    def keep(self, attacks: Sequence[str]) -> tuple[str, ...]:
        """Those of these attacks that are run where none is named."""
        return tuple(
            name
            for name in attacks
            if name not in self.without and (self.attacks is None or name in self.attacks)
        )


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "smoke",
            "a check that everything runs, in a minute or two; intervals are wide",
            refits=8,
            without=("reference_lira", "property_inference"),
            learners=("boosted", "logreg", "mlp"),
            settings={
                "model_extraction.budgets": "100,400",
                "square.records": "100",
                "square.queries": "40",
                "fgsm.records": "100",
                "pgd.records": "100",
                "pgd.steps": "3",
                "shadow.rows": "1000",
                "neighbourhood.probes": "6",
                "quantile.rounds": "10",
                "model_inversion.patients": "600",
                "tree_reconstruction.seconds": "5",
                "backdoor.rivals": "1",
                "byzantine.rivals": "0",
                "byzantine.repeats": "1",
                "label_flip.rivals": "1",
                "sign_flip.rivals": "1",
                "table_ensemble.shadows": "0",
                "gradient_inversion.records": "100",
                "gradient_inversion.steps": "50",
                "ctgan.epochs": "8",
                "tvae.epochs": "25",
                "medgan.epochs": "8",
                "medgan.pretrain": "10",
            },
        ),
        Profile("standard", "every learner and every attack, for a first assessment", refits=16),
        Profile(
            "thorough",
            "four times the shadow models, for decisions",
            refits=64,
            settings={
                "ctgan.epochs": "300",
                "tvae.epochs": "600",
                "medgan.epochs": "200",
                "medgan.pretrain": "200",
            },
            epsilons=("0.5", "1", "3", "10"),
        ),
    )
}


def profile(name: str) -> Profile:
    """The profile of this name."""
    if name not in PROFILES:
        near = difflib.get_close_matches(name, PROFILES, n=1)
        raise PrivauditError(
            f"no profile called {name!r}",
            f"profiles are: {', '.join(PROFILES)}",
            f"did you mean {near[0]!r}?" if near else "choose one of these",
        )
    return PROFILES[name]
