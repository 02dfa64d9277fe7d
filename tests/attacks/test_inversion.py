"""Gradient inversion: what the literature reads is read, masks are not, and the grading is fair."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from pipelines.federated.encode import PublicEncoding
from pipelines.federated.network import Network
from privaudit import stats
from privaudit.attacks._encoded_rows import Layout, exact, matched
from privaudit.attacks.federated._gradient_matching import labels
from privaudit.attacks.federated._gradient_span import separate
from privaudit.attacks.federated.gradient_inversion import GradientInversion
from privaudit.contracts import Exchange, Release, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import Column, Records, Split

CELLS, EXACT_ROWS = (Setting("variant", name) for name in ("cells", "exact rows"))


def table(n: int, seed: int = 0) -> Records:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 8))
    full = np.column_stack(
        [z + rng.normal(size=(n, 8)), rng.integers(0, 2, (n, 2)), rng.integers(0, 5, n)]
    ).astype(np.float32)
    full[:, :8][rng.random((n, 8)) < 0.15] = np.nan
    columns = (
        *(Column(f"x{i}", bounds=(-6.0, 6.0)) for i in range(8)),
        Column("sex", "binary"),
        Column("ventilated", "binary"),
        Column("ward", "category", levels=tuple("abcde")),
    )
    y = (z[:, 0] + rng.normal(size=n) > 0).astype(int)
    return Records(columns, full, y, np.arange(n), np.zeros(n, dtype=int))


def exchange(
    members: Records, batch: int, steps: int = 1, hidden: int = 64, rate: float = 0.05
) -> Exchange:
    """One round in which every client takes `steps` of torch's SGD on its whole batch."""
    import torch

    encoding = PublicEncoding(members.columns)
    network = Network((encoding.width, hidden, 2))
    sent = network.start(np.random.default_rng(7))
    z, y = torch.from_numpy(encoding.encode(members)), torch.from_numpy(members.y)
    clients = len(members) // batch
    updates = []
    for client in range(clients):
        own = slice(client * batch, (client + 1) * batch)
        flat = torch.from_numpy(sent.copy()).requires_grad_()
        optimiser = torch.optim.SGD([flat], lr=rate)
        for _ in range(steps):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(network.forward(flat, z[own]), y[own])
            loss.backward()
            optimiser.step()
        updates.append(flat.detach().numpy() - sent)
    holder = np.arange(len(members)) // batch
    return Exchange(
        (sent,),
        (np.stack(updates),),
        np.arange(clients),
        np.full(clients, batch),
        network.widths,
        encoding.encode,
        rate,
        steps,
        batch,
        holder=np.where(holder < clients, holder, -1),
    )


def split_of(members: int = 32) -> Split:
    rows = table(members + 300)
    return Split(
        rows.take(slice(0, members)),
        rows.take(slice(members, members + 50)),
        rows.take(slice(members + 50, members + 300)),
    )


def attack(split: Split, shown: Exchange, **options: object) -> dict[str, Trials]:
    target = Target(Release(updates=shown), split)
    return GradientInversion(**options).run(target, (), np.random.default_rng(0))


@pytest.mark.parametrize("steps", [1, 5, 20])
def test_a_client_of_one_record_leaks_it_whole_after_any_number_of_steps(steps: int):
    split = split_of(8)
    evidence = attack(split, exchange(split.members, 1, steps))
    assert evidence[EXACT_ROWS].success.tolist() == [1.0] * 8
    assert evidence[CELLS].success.min() == 1.0
    assert evidence[EXACT_ROWS].guess.max() == 0.0
    assert evidence[CELLS].guess.mean() < 0.5


def test_division_alone_reads_what_was_published_for_64_hidden_units():
    """All rows at batch 1 and 2, nearly all at 4, some at 8, next to none at 16."""
    split = split_of(64)
    share = {
        batch: attack(split, exchange(split.members, batch), few=0)[EXACT_ROWS].success.mean()
        for batch in (1, 2, 4, 8, 16)
    }
    assert share[1] == share[2] == 1.0
    assert 0.85 <= share[4] <= 1.0
    assert 0.15 <= share[8] <= 0.5
    assert share[16] <= 0.1


def test_the_span_reads_more_than_division():
    split = split_of(32)
    for steps in (1, 10):
        shown = exchange(split.members, 8, steps)
        alone = attack(split, shown, few=0)[EXACT_ROWS].success.mean()
        evidence = attack(split, shown, few=8, restarts=0)
        assert evidence[EXACT_ROWS].success.mean() > alone + 0.15
        found = {str(e.metric): e for e in stats.estimates(evidence, rng=np.random.default_rng(0))}
        assert found["attack_minus_guess@cells"].low > 0.1
        assert found["attack_minus_guess@exact rows"].low > 0.1


def test_the_span_of_a_known_gradient():
    """D of random signs and half zeros, X random: some rows to the last digit; none from noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 20))
    d = rng.normal(size=(64, 6)) * (rng.random((64, 6)) < 0.5)
    rows = separate(d @ x, d.sum(axis=1), 6, None, np.random.default_rng(1))
    assert rows.shape == (6, 20)
    assert exact(rows, x).sum() >= 2
    noise = rng.normal(size=(64, 20))
    assert not len(separate(noise, noise[:, 0], 6, None, np.random.default_rng(1)))
    assert not len(separate(0 * noise, 0 * noise[:, 0], 6, None, np.random.default_rng(1)))


@pytest.mark.parametrize("protected", ["secure_sum", "encrypted_sum"])
def test_masked_updates_read_like_random_records(protected: str):
    split = split_of(32)
    plain = exchange(split.members, 4)
    shape = plain.updates[0].shape
    bits = np.random.default_rng(5).integers(-(2**31), 2**31, shape)
    seen = (bits / 2**20).astype(np.float32)
    shown = replace(plain, updates=(seen,), protected=protected)
    evidence = attack(split, shown)
    assert evidence[EXACT_ROWS].success.sum() == 0
    found = {str(e.metric): e for e in stats.estimates(evidence, rng=np.random.default_rng(0))}
    for name in ("attack_minus_guess@cells", "attack_minus_control@cells"):
        assert found[name].low < 0 < found[name].high


@pytest.mark.parametrize("worthless", [0.0, np.nan, np.inf])
def test_updates_that_say_nothing_read_like_random_records(worthless: float):
    split = split_of(16)
    plain = exchange(split.members, 8)
    shown = replace(plain, updates=(np.full_like(plain.updates[0], worthless),))
    evidence = attack(split, shown)
    assert evidence[EXACT_ROWS].success.sum() == 0
    assert abs(evidence[CELLS].success.mean() - evidence[CELLS].guess.mean()) < 0.15


def test_several_rounds_tell_no_less_than_one():
    split = split_of(16)
    shown = exchange(split.members, 4)
    twice = replace(
        shown,
        weights=shown.weights * 2,
        updates=(shown.updates[0], exchange(split.members, 4, 3).updates[0]),
    )
    one, two = (attack(split, e, few=0)[EXACT_ROWS].success.mean() for e in (shown, twice))
    assert two >= one > 0.8


def test_the_layout_is_found_by_probing():
    reference = table(100)
    encoding = PublicEncoding(reference.columns)
    layout = Layout.probe(encoding.encode, reference)
    rows = encoding.encode(reference)
    assert layout.value.tolist() == [*range(10), -1]
    assert [layout.mask[j] for j in encoding.masks] == list(range(10, 10 + len(encoding.masks)))
    assert layout.groups[10].tolist() == list(range(rows.shape[1]))[-5:]
    assert layout.discrete.sum() == 2 + len(encoding.masks) + 5
    assert (layout.valid(rows) == 1).all()
    assert np.allclose(layout.tidy(rows), rows)
    assert (layout.valid(0.7 * rows[:50] + 0.3 * rows[50:]) < 0.95).mean() > 0.9
    assert np.allclose(np.diag(layout.agreement(rows[:20], rows[:20])), 1)


def test_cells_are_graded_by_value_gap_and_level():
    reference = table(200)
    encoding = PublicEncoding(reference.columns)
    layout = Layout.probe(encoding.encode, reference)
    row = np.array([[1.0] * 8 + [0, 1, 2]], dtype=np.float32)

    def share(**changes: float) -> float:
        other = row.copy()
        for name, value in changes.items():
            other[0, [c.name for c in reference.columns].index(name)] = value
        a, b = (
            encoding.encode(replace(reference.take([0]), X=x)).astype(float) for x in (row, other)
        )
        return float(layout.agreement(b, a)[0, 0])

    near = 0.2 * float(np.nanstd(reference.X[:, 0]))
    assert share() == 1
    assert share(x0=1 + near) == 1
    assert share(x0=4) == share(x0=np.nan) == pytest.approx(10 / 11)
    assert share(sex=1) == share(ward=3) == share(ward=np.nan) == pytest.approx(10 / 11)


def test_guessed_rows_are_assigned_once():
    reference = table(50)
    encoding = PublicEncoding(reference.columns)
    layout = Layout.probe(encoding.encode, reference)
    rows = encoding.encode(reference).astype(float)
    order = np.random.default_rng(0).permutation(20)
    assert np.allclose(matched(layout, rows[order], rows[:20]), 1)
    twice = np.concatenate([rows[:1], rows[:1]])
    assert sorted(matched(layout, twice, rows[:2]) == 1) == [False, True]


def test_outcomes_are_counted_from_the_output_bias():
    split = split_of(64)
    shown = exchange(split.members, 16)
    own = shown.encode(split.reference)
    for client in range(4):
        gradient = -shown.updates[0][client].astype(float) / shown.rate
        y = labels(shown.weights[0].astype(float), gradient, shown.widths, own, 16)
        true = split.members.y[client * 16 : (client + 1) * 16].sum()
        assert abs(int(y.sum()) - int(true)) <= 1


def test_it_is_a_function_of_its_stream_and_quick():
    split = split_of(32)
    shown = exchange(split.members, 16)
    start = time.process_time()
    one, two = (attack(split, shown) for _ in range(2))
    assert time.process_time() - start < 12
    assert all(np.array_equal(one[k].success, two[k].success) for k in one)


def test_refusals_name_what_came():
    split = split_of(8)
    shown = exchange(split.members, 4)
    with pytest.raises(PrivauditError, match="no member"):
        attack(split, replace(shown, holder=np.full(8, -1)))
    for wrong in ({"records": 0}, {"few": -1}, {"steps": 0}, {"restarts": True}):
        with pytest.raises(PrivauditError, match=next(iter(wrong))):
            attack(split, shown, **wrong)


def test_sites_tell_who_held_a_record_where_no_holder_is_given():
    split = split_of(8)
    shown = exchange(split.members, 4)
    two = replace(split.members, site=np.repeat([1, 0], 4), sites=("p", "q"))
    others = {p: replace(getattr(split, p), sites=("p", "q")) for p in ("nonmembers", "reference")}
    turned = Split(two, **others)
    evidence = attack(turned, replace(shown, holder=None, clients=np.array([1, 0])), few=0)
    same = attack(split, shown, few=0)
    assert evidence[EXACT_ROWS].success.sum() == same[EXACT_ROWS].success.sum() > 4


def test_on_the_updates_of_our_own_federation():
    """A federation of small hospitals leaks rows; the same under masks leaks none."""
    from pipelines.federated.secure_sum import SecureSum
    from pipelines.methods.federated import Federated

    rows = table(200)
    site = np.minimum(np.arange(200) % 50, 5)
    records = replace(rows, site=site, sites=tuple("abcdef"))
    members = records.take(np.flatnonzero(np.arange(200) < 120))
    order = np.argsort(members.site, kind="stable")
    keep = np.concatenate([order[members.site[order] == s][:2] for s in range(5)])
    keep = np.concatenate([keep, order[members.site[order] == 5][:30]])
    members = members.take(np.sort(keep))
    split = Split(members, records.take(slice(120, 140)), records.take(slice(140, 200)))
    small = Federated(rounds=2, steps=2)
    plain = small.fit(members, np.random.default_rng(0))
    masked = replace(small, protect=SecureSum()).fit(members, np.random.default_rng(0))
    rates = [
        GradientInversion().run(Target(r, split), (), np.random.default_rng(1))
        for r in (plain, masked)
    ]
    few = np.isin(rates[0][CELLS].patients, members.patient[members.site < 5])
    assert rates[0][EXACT_ROWS].success[few].mean() > 0.8
    assert rates[1][EXACT_ROWS].success.sum() == 0
