"""A hospital's side of boosted trees: it grows one round on its own records, and looks at what
others have grown before it is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.deploy.messages import Body
from pipelines.deploy.refused import Refused
from pipelines.deploy.site_data import SiteData, client_stream
from pipelines.deploy.site_state import SiteState
from pipelines.deploy.terms import RunTerms
from pipelines.federated.kernel import streams
from pipelines.learners._prepare import check_levels
from pipelines.learners.boosted import Trees, _values
from pipelines.methods.federated_trees import FederatedTrees, _margin
from pipelines.settings import COUNT, SHARE, check_settings
from privaudit.errors import PrivauditError
from privaudit.inputs.models.xgboost_trees import check_xgboost

if TYPE_CHECKING:
    import xgboost

LARGEST = 16 << 20
"""Bytes of one hospital's trees of a round, as `messages` has it."""


class TreeSite:
    """One hospital's records in XGBoost's form, and the forest so far as their margins.

    Args:
        name: Of this hospital.
    """

    def __init__(self, terms: RunTerms, name: str, data: SiteData) -> None:
        import xgboost

        assert isinstance(data.method, FederatedTrees)
        self._terms, self._name, self._data, self._method = terms, name, data, data.method
        check_settings(self._method, rounds=COUNT, depth=COUNT, rate=SHARE)
        records = data.trained
        check_levels(records, range(len(records.columns)))
        self._k = len(records.classes)
        self._x = np.ascontiguousarray(_values(records), dtype=np.float32)
        self._matrix = xgboost.QuantileDMatrix(
            self._x, label=records.y, max_bin=self._method.bins, nthread=1
        )

    def grow(self, body: Body, state: SiteState) -> Body:
        """Take in every hospital's trees of the last round, and grow this one's next.

        Raises:
            Refused: Trees that are none, of somebody who is not on the roster, or another's in this
                hospital's place.
        """
        import xgboost

        if state.trained >= self._method.rounds:
            raise Refused("spent", "a round more", f"{self._method.rounds} were agreed to")
        margins = self._add(body, state)
        width = self._k if self._k > 2 else 1
        self._matrix.set_base_margin(margins if width > 1 else margins[:, 0])
        parameters = self._method._parameters(self._k, self._stream(body["round"]))
        booster = xgboost.train(parameters, self._matrix, num_boost_round=1)
        raw = bytes(booster.save_raw("json"))
        state.margins, state.grown = margins, body["round"]
        state.trained += 1
        return {"round": body["round"], "trees": raw}

    def read_model(self, raw: bytes) -> Trees:
        """The forest to be graded; Refused where it is none of these records."""
        self._check(raw)
        return Trees(self._data.trained.columns, self._k, raw)

    def _add(self, body: Body, state: SiteState) -> np.ndarray:
        """(n, 1 or k) margins with the trees that came."""
        width = self._k if self._k > 2 else 1
        margins = np.zeros((len(self._x), width)) if state.grown < 0 else state.margins.copy()
        grown: Mapping[str, bytes] = body["trees"]
        names = sorted(grown)
        if not set(names) <= set(self._terms.roster):
            raise Refused("bad_question", "trees of somebody who is not on the roster", "they are")
        shares = read_shares(body["shares"], len(names))
        kept = state.answers.get("grow")
        if self._name in grown and (kept is None or grown[self._name] != kept.answer["trees"]):
            raise Refused(
                "bad_question", "other trees in this hospital's place", "it has not grown them"
            )
        for name, share in zip(names, shares, strict=True):
            margins += share * _margin(self._load(grown[name]), self._x)
        if not np.isfinite(margins).all():
            raise Refused(
                "bad_question", "trees whose leaves are not finite", "they answer nothing"
            )
        return margins

    def _load(self, raw: bytes) -> xgboost.Booster:
        """Trees of one round, each class one."""
        import xgboost

        if len(raw) > LARGEST:
            raise Refused("bad_question", f"{len(raw)} bytes of trees", f"{LARGEST} at most")
        found = self._check(raw)
        if found != (self._k if self._k > 2 else 1):
            raise Refused("bad_question", f"{found} trees of one round", "one a class")
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(raw))
        return booster

    def _check(self, raw: bytes) -> int:
        """How many trees; Refused for what XGBoost should not be handed."""
        try:
            check_xgboost(raw)
            if raw[:2] in (b'{"', b"{\n", b"{ "):
                learner = json.loads(raw)["learner"]
            else:
                from privaudit.inputs.models.json_text import parse_ubjson

                learner = parse_ubjson(raw)["learner"]
            param: Mapping[str, Any] = learner["learner_model_param"]
            inputs, classes = int(param["num_feature"]), int(param.get("num_class", "0"))
            trees = len(learner["gradient_booster"]["model"]["trees"])
            depth = max(map(_depth, learner["gradient_booster"]["model"]["trees"]), default=0)
        except (PrivauditError, KeyError, TypeError, ValueError):
            raise Refused(
                "bad_question", "trees that are none", "they do not fit together"
            ) from None
        right = inputs == self._x.shape[1] and classes == (self._k if self._k > 2 else 0)
        if not right or depth > self._method.depth:
            raise Refused(
                "bad_question", "trees of other columns, classes or depth", "terms differ"
            )
        return trees

    def _stream(self, round: int) -> np.random.Generator:
        """Where the columns of this round are drawn from: as in the simulation under a seed, where
        one stream serves all hospitals by turns."""
        if self._terms.seed is None:
            return client_stream(self._terms, self._name)
        rng = streams(np.random.default_rng(self._terms.seed))["clients"]
        roster = self._terms.roster
        for _ in range(round * len(roster) + roster.index(self._name)):
            rng.integers(2**31 - 1)
        return rng


def read_shares(raw: bytes, count: int) -> np.ndarray:
    """(count,) float64, what each hospital's trees count for: parts of one whole."""
    if len(raw) != 8 * count:
        raise Refused("bad_question", f"{len(raw)} bytes of shares", f"{count} numbers take 8 each")
    shares = np.frombuffer(raw, "<f8")
    if not np.isfinite(shares).all() or (shares < 0).any() or float(shares.sum()) > 1.001:
        raise Refused("bad_question", "shares that are none of one whole", "each is a part of 1")
    return shares


def _depth(tree: Mapping[str, Any]) -> int:
    """How many splits lie above the deepest leaf; parents stand before their children."""
    left, right = tree["left_children"], tree["right_children"]
    depth = [0] * len(left)
    for node, (a, b) in enumerate(zip(left, right, strict=True)):
        if a != -1:
            depth[a] = depth[b] = depth[node] + 1
    return max(depth, default=0)


__all__ = ["TreeSite", "read_shares"]
