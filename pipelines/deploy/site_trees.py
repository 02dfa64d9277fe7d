"""A hospital's side of boosted trees: it grows a round on its own records, and looks at what others
have grown before it takes that in."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from pipelines.deploy.messages import Body
from pipelines.deploy.refused import Refused
from pipelines.deploy.site_data import SiteData, client_stream
from pipelines.deploy.site_state import NEVER, SiteState
from pipelines.deploy.terms import RunTerms
from pipelines.federated.kernel import streams
from pipelines.federated.trees import (
    Grower,
    build_booster,
    count_trees,
    draw_seed,
    pack_trees,
    read_forest,
    read_trees,
)
from pipelines.learners._prepare import check_levels
from pipelines.learners.boosted import Trees, _values
from pipelines.methods.federated_trees import FederatedTrees
from pipelines.settings import COUNT, SHARE, check_settings
from privaudit.errors import PrivauditError


class TreeSite:
    """One hospital's records in XGBoost's form.

    Args:
        name: Of this hospital.
    """

    def __init__(self, terms: RunTerms, name: str, data: SiteData) -> None:
        assert isinstance(data.method, FederatedTrees)
        self._terms, self._name, self._data, self._method = terms, name, data, data.method
        check_settings(self._method, rounds=COUNT, depth=COUNT, rate=SHARE)
        records = data.trained
        check_levels(records, range(len(records.columns)))
        self._inputs, self._classes = self._method.find_shape(records)
        x = np.ascontiguousarray(_values(records), dtype=np.float32)
        self._grower = Grower(self._method.growth, x, records.y, self._classes)

    def grow(self, body: Body, state: SiteState) -> Body:
        """Take in the trees that came, and grow this hospital's next.

        Raises:
            Refused: Trees that are none, of somebody who is not on the roster, or another's in this
                hospital's place.
        """
        if state.trained >= self._method.rounds:
            raise Refused("spent", "a round more", f"{self._method.rounds} were agreed to")
        shape = self._grower.margin.shape
        self._grower.margin = (
            np.zeros(shape) if state.grown == NEVER else state.margins.copy().reshape(shape)
        )
        for raw, share in self._choose(body, state):
            trees = self._read(raw)
            self._grower.take(build_booster(trees, self._inputs, self._classes), share)
        if not np.isfinite(self._grower.margin).all():
            raise Refused("bad_question", "trees whose sum is not finite", "they answer nothing")
        booster = self._grower.grow(draw_seed(self._stream(body["round"])))
        state.margins, state.grown = self._grower.margin, body["round"]
        state.trained += 1
        return {"round": body["round"], "trees": pack_trees(booster)}

    def read_model(self, raw: bytes) -> Trees:
        """The forest to be graded; Refused where it is none of these records."""
        most = self._method.rounds * len(self._terms.roster) * count_trees(self._classes)
        try:
            trees = read_forest(raw, self._inputs, self._classes, self._method.depth, most)
        except PrivauditError as error:
            raise Refused("bad_question", error.what, error.because, error.fix) from None
        booster = build_booster(trees, self._inputs, self._classes)
        saved = bytes(booster.save_raw("ubj"))
        return Trees(self._data.trained.columns, self._classes, saved)

    def _choose(self, body: Body, state: SiteState) -> list[tuple[bytes, float]]:
        """Trees that this hospital has not taken in yet, with their shares, in the order in which
        they were grown."""
        sent: Mapping[str, bytes] = body["trees"]
        shares = read_shares(body["shares"], set(sent))
        kept, found = state.answers.get("grow"), []
        for key, raw in sent.items():
            number, _, name = key.partition("/")
            if name not in self._terms.roster or not number.isdecimal() or len(number) > 9:
                raise Refused("bad_question", "trees of nobody on the roster", "they are")
            if not int(number) < body["round"]:
                raise Refused("bad_question", "trees of a round that is not over", "they are")
            is_last = name == self._name and kept is not None and int(number) == kept.round
            if is_last and kept is not None and raw != kept.answer["trees"]:
                raise Refused(
                    "bad_question", "other trees in this hospital's place", "it grew them"
                )
            # What the last question held was taken in, though its answer may have been late.
            if int(number) >= state.grown:
                found.append((int(number), name, raw, shares[key]))
        return [(raw, share) for _, _, raw, share in sorted(found)]

    def _read(self, raw: bytes) -> list[dict[str, object]]:
        try:
            return read_trees(raw, self._inputs, self._classes, self._method.depth)
        except PrivauditError as error:
            raise Refused("bad_question", error.what, error.because, error.fix) from None

    def _stream(self, round: int) -> np.random.Generator:
        """Where the columns of this round are drawn from: as in the simulation under a seed, where
        one stream serves all hospitals by turns."""
        if self._terms.seed is None:
            return client_stream(self._terms, self._name)
        rng = streams(np.random.default_rng(self._terms.seed))["clients"]
        roster = self._terms.roster
        for _ in range(round * len(roster) + roster.index(self._name)):
            draw_seed(rng)
        return rng


def read_shares(raw: bytes, keys: set[str]) -> dict[str, float]:
    """What each hospital's trees of a round count for: JSON, a part of one whole for every key."""
    try:
        made = json.loads(raw) if raw else {}
        fits = isinstance(made, dict) and set(made) == keys
        fits = fits and all(type(part) in (int, float) and 0 <= part <= 1 for part in made.values())
    except (ValueError, RecursionError):
        fits = False
    if not fits:
        raise Refused("bad_question", "shares that are none of these trees", "each is a part of 1")
    return {key: float(part) for key, part in made.items()}


__all__ = ["TreeSite", "read_shares"]
