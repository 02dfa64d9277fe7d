"""What an audit does otherwise where the model is deployed: it counts what it asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from privaudit.contracts import Model
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode
from privaudit.inputs.endpoints.answers import count_decimals
from privaudit.inputs.endpoints.endpoint import (
    Allotted,
    EndpointModel,
    EndpointOptions,
    open_endpoint,
)
from privaudit.inputs.models.opened_model import Opened
from privaudit.inputs.other_readings import refuse_other_reading
from privaudit.inputs.user_release import Retrained, UserRelease
from privaudit.records import Records, Split


class ForecastOnly(Exception):
    """A forecast was asked for, and nothing else."""


FEW_READ = 60
"""Members with whom other readings are compared of a deployed model, whose every answer counts."""

Allot = Callable[[UserRelease, Split, Callable[[], None]], Allotted]
"""Called with the release of a model that counts what it is asked, the pools, and what tries other
readings of it; says what the budget leaves room for."""


def open_deployed(address: str, options: EndpointOptions | None, answers: str) -> Opened:
    """What a deployed model says of itself."""
    if options is None:
        raise ValueError("a deployed model is asked in some way")
    return open_endpoint(address, options, answers=answers)


def refuse_options_of_files(module: str, trust_pickle: bool) -> None:
    """Refuse what says how a file is opened."""
    if module or trust_pickle:
        raise PrivauditError(
            "options about a model's file, for a deployed model",
            "it is asked over the network, and no file of it is opened",
            "leave --module and --trust-pickle out",
        )


def allot(
    model: Model, split: Split, twin: Retrained | None, decide: Allot | None, by_order: bool | None
) -> Allotted:
    """What the budget of a deployed model leaves room for; everything for any other.

    Args:
        model: The model, which is not asked.
        split: The pools.
        twin: How it is trained again.
        decide: Says what there is room for; None for everything.
        by_order: As `doubt_reading` takes it; None where no other reading is tried.
    """
    if decide is None or not isinstance(model, EndpointModel):
        return Allotted()
    counts = model.counting(len(split.members.classes))

    def try_readings() -> None:
        if by_order is not None:
            with suppress(PrivauditError):
                doubt_reading(counts, split.members, by_order=by_order, allotted=Allotted())

    release = UserRelease.of_model(counts, "a deployed model", "", twin=twin)
    return decide(release, split, partial(try_readings))


def doubt_reading(
    model: Model, members: Records, *, by_order: bool, allotted: Allotted
) -> Sequence[Caveat]:
    """Caveats on how the table is read; a deployed model is asked about few rows, or none where the
    budget leaves no room."""
    if not isinstance(model, EndpointModel):
        return refuse_other_reading(model, members, by_order=by_order)
    if not allotted.reading:
        return (Caveat(CaveatCode.READING_NOT_TRIED),)
    return refuse_other_reading(model, members, by_order=by_order, rows=FEW_READ)


def describe_deployed(model: EndpointModel, form: str, members: Records) -> tuple[str, ...]:
    """What the report says of the model: what it is, and to how many decimals it answers."""
    decimals = count_decimals(model.predict_proba(members))
    if not decimals:
        return (f"The model is {form}.",)
    step = f"{10.0**-decimals:g}"
    return (
        f"The model is {form}.",
        f"All its answers are multiples of {step}: attacks read them as they are.",
    )


__all__ = [
    "Allot",
    "Allotted",
    "ForecastOnly",
    "allot",
    "describe_deployed",
    "doubt_reading",
    "open_deployed",
    "refuse_options_of_files",
]
