"""Gradient inversion: patients' rows read back out of the update that a hospital sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._encoded_rows import EXACT, Layout, exact, matched
from privaudit.attacks._options import check_whole
from privaudit.attacks.evasion._evasion import one_thread
from privaudit.attacks.federated._gradient_matching import FIT, is_worthwhile, labels, match, unpack
from privaudit.attacks.federated._gradient_span import separate
from privaudit.attacks.federated._picture_inversion import rebuild_pictures
from privaudit.contracts import Access, Attack, Exchange, Fitted, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting

CONTROL = "the attacker's usual record, or random real ones where those are nearer"
DRAWS = 4
"""Times that random records are drawn for the guess, whose expectation they estimate."""
VALID = 0.95
"""Share of a row's telling columns that the encoding must be able to produce."""
PICTURE_STEPS = 3
"""Steps of a search for a picture, for each of `steps`: it has many more cells."""
CANDIDATES = 600
"""Most candidate rows of one client that are compared with each other, the most valid first."""


@dataclass(frozen=True)
class GradientInversion(Attack):
    """Reads patients' rows out of each hospital's update, as the server that receives it could.

    First by division: a first-layer unit that was active for one record alone hands over that
    record, as its weights' change over its bias' change; what the encoding cannot produce is thrown
    out. Where a hospital has at most `few` records, the span of its update is taken apart (SPEAR),
    and what is missing is then searched by optimisation: where that reads more than filling in on a
    trial with the attacker's own records, and its gradient points where the update does. All else
    is filled in with random real records.
    Two series: "cells", the share of a record's columns read right, and "exact rows", records read
    completely (95 % of encoded columns within 0.01). The guess is as many random real records, the
    control is the usual record or, where they come nearer on average, those random ones; all are
    graded the same way, and neither knows anything of the update.

    Of pictures one series, "pictures", beside decibels: see `_picture_inversion`. Of a recurrent
    network the columns that do not change, by division and SPEAR: nobody tries its series.

    records: how many members' records are graded, spread over the hospitals; few, steps: the
    largest hospital that is optimised and for how long; restarts: how many hospitals are.
    Phong et al. 2017, section 3; Geiping et al. 2020 (arXiv 2003.14053), section 3 and 4; Vero et
    al. 2023 (TabLeak, arXiv 2210.01785); Dimitrov et al. 2024 (SPEAR, arXiv 2403.03945).
    """

    records: int = 300
    few: int = 16
    steps: int = 100
    restarts: int = 2

    needs: ClassVar[frozenset[Access]] = frozenset({Access.UPDATES})
    family: ClassVar[Literal["reconstruction"]] = "reconstruction"

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[Setting, Trials]:
        check_whole(self, records=1, few=0, steps=1, restarts=0)
        exchange = target.release.updates
        if exchange is None:
            raise ValueError("this release shows no updates")
        members, reference = target.split.members, target.split.reference
        few, recurrent = self.few, exchange.lstm is not None
        if recurrent:
            exchange, few = read_fixed(exchange), 0  # no search: it would need the state
        if exchange.image is not None:
            holder = _holder(exchange, members.site)
            with one_thread():
                return rebuild_pictures(
                    exchange, members, reference, holder, PICTURE_STEPS * self.steps, rng
                )
        own = np.asarray(exchange.encode(reference), dtype=np.float64)
        truth = np.asarray(exchange.encode(members), dtype=np.float64)
        layout = Layout.probe(exchange.encode, reference)
        layout = layout.keep_read() if recurrent else layout
        holder = _holder(exchange, members.site)
        quota = max(1, self.records // max(1, len(exchange.clients)))
        optimised = _smallest(exchange, holder, few, self.restarts)
        usual_row = layout.usual[None]
        graded: list[np.ndarray] = []
        patients: list[np.ndarray] = []
        with one_thread():
            for client in range(len(exchange.clients)):
                rows = np.flatnonzero(holder == client)
                if not len(rows):
                    continue
                tried = np.sort(rng.permutation(rows)[:quota])
                n = _claimed(exchange, client, len(rows))
                read = candidates(layout, exchange, client)
                read = self._separated(layout, exchange, client, n, read, rng)
                guessed = self._rebuild(
                    layout, exchange, client, n, read, own, reference.y, client in optimised, rng
                )
                shown = truth[tried]
                draws = [own[rng.integers(len(own), size=n)] for _ in range(DRAWS)]
                cells = (
                    matched(layout, guessed, shown),
                    matched(layout, np.repeat(usual_row, n, axis=0), shown),
                    np.mean([matched(layout, draw, shown) for draw in draws], axis=0),
                )
                full = (
                    exact(np.concatenate([read, guessed]), shown),
                    exact(usual_row, shown),
                    np.mean([exact(draw, shown) for draw in draws], axis=0),
                )
                graded.append(np.array([cells, full], dtype=np.float64))
                patients.append(members.patient[tried])
        if not graded:
            raise PrivauditError(
                "no member's record behind any update",
                "an attack is graded on the records that the clients trained on",
                "let the release state which client held which member (`Exchange.holder`)",
            )
        who, found = np.concatenate(patients), {}
        series = zip(("cells", "exact rows"), np.concatenate(graded, axis=2), strict=True)
        for name, (success, usual, random) in series:
            # Whichever knows more without an update: a weak control would pass for a leak.
            control = usual if usual.mean() >= random.mean() else random
            found[Setting("variant", name)] = Trials(success, control, random, CONTROL, who)
        return found

    def _separated(
        self,
        layout: Layout,
        exchange: Exchange,
        client: int,
        n: int,
        read: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """The rows read so far and those that the span of an update gives, round by round."""
        for sent, updates in zip(exchange.weights, exchange.updates, strict=True):
            if len(read) >= n or n > self.few:
                break
            update = np.asarray(updates[client], dtype=np.float64)
            if not np.isfinite(update).all() or not update.any():
                continue
            weight, bias = unpack(update, exchange.widths)[0]
            slope = _slope(exchange, np.asarray(sent), update)
            rows = separate(weight, bias, n, slope, rng)
            for row in rows[layout.valid(rows) >= VALID]:
                if not (np.abs(read - row) <= 2 * EXACT).mean(axis=1).max(initial=0) >= 0.9:
                    read = np.concatenate([read, row[None]])
            if len(rows):
                break
        return read

    def _rebuild(
        self,
        layout: Layout,
        exchange: Exchange,
        client: int,
        n: int,
        read: np.ndarray,
        own: np.ndarray,
        outcomes: np.ndarray,
        optimise: bool,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """(n, w): as many rows as the client has, surest first, the attacker's own for the rest."""
        sure = read[:n]
        if optimise and len(sure) < n:
            for sent, updates in zip(exchange.weights, exchange.updates, strict=True):
                update = np.asarray(updates[client], dtype=np.float64)
                if not np.isfinite(update).all() or not update.any():
                    continue
                gradient = -update / max(exchange.rate * exchange.steps, 1e-12)
                sent = np.asarray(sent, dtype=np.float64)
                y = labels(sent, gradient, exchange.widths, own, n)
                if is_worthwhile(
                    layout, sent, exchange.widths, len(sure), own, outcomes, n, self.steps, rng
                ):
                    rows, cos = match(
                        layout, sent, gradient, exchange.widths, sure, own, y, self.steps, rng
                    )
                    if cos >= FIT:
                        return rows
                break  # later rounds leak less: the network has learnt its records by then
        return np.concatenate([sure, own[rng.integers(len(own), size=n - len(sure))]])


def read_fixed(exchange: Exchange) -> Exchange:
    """What a recurrent network's updates say of the columns that do not change: its fully connected
    layers, without the places of the state in the first."""
    assert exchange.lstm is not None
    steps, features, fixed, units = exchange.lstm
    if not fixed:
        raise PrivauditError(
            "updates of a recurrent network that reads series alone",
            "what can be divided out of them is a state after all hours, and no row",
            "judge them by what else is tried on them: nobody tries to rebuild a series",
        )
    below = 4 * units * (features + 1 + units)
    high = exchange.widths[1]

    def cut(vectors: np.ndarray) -> np.ndarray:
        dense = np.asarray(vectors)[..., below:]
        first, rest = np.split(dense, [high * exchange.widths[0]], axis=-1)
        kept = first.reshape(*first.shape[:-1], high, -1)[..., 2 * units :]
        return np.concatenate([kept.reshape(*first.shape[:-1], high * fixed), rest], axis=-1)

    return replace(
        exchange,
        weights=tuple(map(cut, exchange.weights)),
        updates=tuple(map(cut, exchange.updates)),
        widths=(fixed, *exchange.widths[1:]),
        encode=lambda records: exchange.encode(records)[:, steps * features :],
        lstm=None,
    )


def candidates(layout: Layout, exchange: Exchange, client: int) -> np.ndarray:
    """(m, w): rows that a client's updates hand over by division, surest first, no two alike.

    A row is surer the better the encoding could have produced it, then the more units give it.
    """
    rows, weights = [], []
    for updates in exchange.updates:
        weight, bias = unpack(np.asarray(updates[client], dtype=np.float64), exchange.widths)[0]
        live = np.isfinite(bias) & np.isfinite(weight).all(axis=1)
        live &= np.abs(bias) > 1e-7 * max(1e-30, np.abs(np.where(live, bias, 0)).max())
        rows.append(weight[live] / bias[live, None])
        weights.append(np.abs(bias[live]))
    if not sum(map(len, rows)):
        return np.empty((0, exchange.widths[0]))
    x, weight = np.concatenate(rows), np.concatenate(weights)
    valid = layout.valid(x)
    best = np.flatnonzero(valid >= VALID)
    best = best[np.argsort(-valid[best], kind="stable")][:CANDIDATES]
    x, weight, valid = x[best], weight[best], valid[best]
    alone = np.ones(len(x), dtype=bool)
    found, rank = [], []
    for i in np.argsort(-weight, kind="stable"):
        if not alone[i]:
            continue
        like = alone & ((np.abs(x - x[i]) <= 2 * EXACT).mean(axis=1) >= 0.9)
        alone[like] = False
        share = weight[like] / weight[like].sum()
        found.append(share @ x[like])
        rank.append((round(float(valid[like].max()), 2), int(like.sum())))
    order = sorted(range(len(found)), key=lambda i: rank[i], reverse=True)
    return np.array([found[i] for i in order]).reshape(len(order), exchange.widths[0])


def _slope(exchange: Exchange, sent: np.ndarray, update: np.ndarray) -> np.ndarray | None:
    """(h,) how far each unit moved the log odds, on the mean over local steps; see `separate`."""
    if len(exchange.widths) != 3 or exchange.widths[-1] != 2:
        return None
    half = (exchange.steps - 1) / (2 * max(exchange.steps, 1))
    ends = [unpack(v.astype(np.float64), exchange.widths)[1][0] for v in (sent, update)]
    at = ends[0] + half * ends[1]
    slope = at[1] - at[0]
    return np.where(np.abs(slope) > 1e-12, slope, 1e-12)


def _holder(exchange: Exchange, site: np.ndarray) -> np.ndarray:
    """(members,) which client held each record, -1 for none."""
    if exchange.holder is not None:
        return np.asarray(exchange.holder, dtype=np.int64)
    place = {int(code): i for i, code in enumerate(exchange.clients)}
    return np.array([place.get(int(code), -1) for code in site])


def _claimed(exchange: Exchange, client: int, rows: int) -> int:
    """How many records the server believes the client to have; never fewer than are graded."""
    count = float(exchange.counts[client]) if client < len(exchange.counts) else float(rows)
    return rows if not np.isfinite(count) or count < rows else min(int(count), 2 * rows)


def _smallest(exchange: Exchange, holder: np.ndarray, few: int, most: int) -> set[int]:
    sizes = [(int((holder == c).sum()), c) for c in range(len(exchange.clients))]
    return {c for n, c in sorted(sizes)[:most] if 0 < n <= few}


__all__ = ["GradientInversion"]
