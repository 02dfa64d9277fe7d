"""Numbers from a key stream: their distributions, whom they depend on, and whom they do not."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from privaudit import secure_random
from privaudit.secure_random import (
    KeyStream,
    SecretGenerator,
    SecretState,
    derive_key,
    discrete_gaussian,
    is_secret,
)
from privaudit.seeds import Seeds

KEY = b"k" * 32
SMALL, LARGE = 5, 2**31 + 12345


def draws(scale: int, count: int, name: str = "a") -> np.ndarray:
    return discrete_gaussian(KeyStream(derive_key(KEY, name)), scale, count)


@pytest.mark.parametrize("scale", [2, SMALL, 17])
def test_every_whole_number_has_its_own_chance(scale: int) -> None:
    """Chi-square against the exact chances of the discrete Gaussian, tails together."""
    z = draws(scale, 200_000)
    k = np.arange(-4 * scale, 4 * scale + 1)
    far = np.arange(-60 * scale, 60 * scale + 1)
    weight = np.exp(-(k**2) / (2 * scale**2)) / np.exp(-(far**2) / (2 * scale**2)).sum()
    expected = np.append(weight, 1 - weight.sum()) * len(z)
    seen = np.append([(z == i).sum() for i in k], (np.abs(z) > 4 * scale).sum())
    assert stats.chisquare(seen, expected).pvalue > 1e-4
    assert (z == 0).mean() == pytest.approx(weight[4 * scale], rel=0.05), "0 comes once, not twice"


def test_moments_shape_and_tails_at_the_scale_of_noise() -> None:
    z = draws(LARGE, 400_000) / LARGE
    n = len(z)
    assert z.mean() == pytest.approx(0, abs=5 / math.sqrt(n))
    assert z.var() == pytest.approx(1, abs=5 * math.sqrt(2 / n))
    assert (z**4).mean() == pytest.approx(3, abs=5 * math.sqrt(96 / n))
    assert stats.kstest(z, "norm").pvalue > 1e-4
    for far in (2.0, 3.0, 4.0):
        tail = 2 * stats.norm.sf(far)
        assert (np.abs(z) > far).mean() == pytest.approx(tail, abs=5 * math.sqrt(tail / n))
    # The last bits are even, and no whole number of steps is left out near any value.
    for bits in (1, 3, 8):
        low = draws(LARGE, 100_000, "low") & (2**bits - 1)
        assert stats.chisquare(np.bincount(low, minlength=2**bits)).pvalue > 1e-4


def test_sums_of_draws_are_uncorrelated() -> None:
    z = draws(LARGE, 200_000) / LARGE
    for lag in (1, 2, 7):
        assert abs(np.mean(z[:-lag] * z[lag:])) < 5 / math.sqrt(len(z))


def test_what_64_bits_leave_open_is_settled_exactly() -> None:
    """The rare path, walked on purpose: coins and tables at the very edge of a decision."""
    edge = secure_random._thresholds()[0] >> 192
    above, below = b"\xff" * 24, b"\0" * 24

    class Rest(KeyStream):
        def __init__(self, rest: bytes) -> None:
            super().__init__(KEY)
            self.rest = rest

        def take(self, count: int) -> bytes:
            return self.rest[:count]

    words = np.array([edge, edge - 1, edge + 1], dtype=np.uint64)
    assert secure_random._whole_scales(Rest(above), words).tolist() == [1, 0, 1]
    assert secure_random._whole_scales(Rest(below), words).tolist() == [0, 0, 1]
    # The table itself, against a sum of exact fractions of the exponentials' known digits.
    total = sum(math.exp(-k * k / 2) for k in range(30))
    assert secure_random._thresholds()[0] / 2**256 == pytest.approx(1 / total, rel=1e-14)
    # exp(-y) of the acceptance, in units of 2^-255.
    for k, j, s in ((0, 0, 7), (1, 3, 7), (4, 123456, 2**31), (11, 2**31 - 1, 2**31)):
        y = Fraction(j * (2 * k * s + j), 2 * s * s)
        assert secure_random._power(k, j, s) / 2**255 == pytest.approx(math.exp(-y), rel=1e-13)


def test_a_coin_on_the_edge_is_carried_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every coin called open, the draws are the same: doubles and 256 bits agree."""
    plain = draws(LARGE, 300)
    asked: list[int] = []
    real = secure_random._power

    def power(k: int, j: int, scale: int) -> int:
        asked.append(k)
        return real(k, j, scale)

    monkeypatch.setattr(secure_random, "_power", power)
    monkeypatch.setattr(
        secure_random.np,
        "abs",
        lambda x: np.zeros_like(x) if x.dtype.kind == "f" else np.absolute(x),
    )
    stream = KeyStream(derive_key(KEY, "a"))
    found = secure_random._accepted(stream, LARGE, 300)
    assert len(asked) >= len(found) > 100
    assert np.array_equal(found, plain[: len(found)])


def test_a_stream_is_its_keys_and_however_it_is_read() -> None:
    whole = KeyStream(KEY).take(200_000)
    parts = KeyStream(KEY)
    assert b"".join(parts.take(n) for n in (1, 7, 65_528, 3, 134_461)) == whole
    assert KeyStream(b"l" * 32).take(64) != whole[:64]
    keys = {derive_key(KEY, *names) for names in (("a",), ("a", 1), ("a", "1"), ("a1",), ("b",))}
    assert len(keys) == 5
    bits = np.unpackbits(np.frombuffer(whole, np.uint8))
    assert bits.mean() == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(len(bits)))


def test_coins_whole_numbers_and_orders_are_even() -> None:
    rng = Seeds(3**100).secret_rng("a")
    u = rng.random((300, 300))
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-4
    assert (rng.random(50_000) < 0.1).mean() == pytest.approx(0.1, abs=5 * 0.3 / math.sqrt(50_000))
    faces = rng.integers(1, 7, size=60_000)
    assert stats.chisquare(np.bincount(faces, minlength=7)[1:]).pvalue > 1e-4
    assert faces.min() == 1
    assert faces.max() == 6
    assert set(rng.integers(0, 2, size=100, endpoint=True)) == {0, 1, 2}
    assert 0 <= rng.integers(2**63 - 1) < 2**63 - 1
    assert 0 <= rng.random() < 1
    orders = np.array([rng.permutation(3) for _ in range(6000)])
    assert stats.chisquare(np.unique(orders, axis=0, return_counts=True)[1]).pvalue > 1e-4
    assert sorted(rng.permutation(np.arange(10, 20))) == list(range(10, 20))


def test_children_do_not_depend_on_what_was_drawn_and_spawned_ones_differ() -> None:
    one, two = Seeds(3**100).secret_rng("a"), Seeds(3**100).secret_rng("a")
    two.random(1000)
    assert one.child("x").random() == two.child("x").random() != one.child("y").random()
    first, second = (g.random() for g in one.spawn(2))
    (third,) = one.spawn(1)
    assert len({first, second, third.random()}) == 3
    assert isinstance(third, SecretGenerator)


def test_only_a_drawn_key_counts_as_a_secret() -> None:
    """A seed that was typed in, or a family derived from one, drives the cipher, no more."""
    assert is_secret(Seeds(2**255 + 1).secret_rng("fit"))
    for weak in (Seeds(0), Seeds(2**64), Seeds(0).child("brought"), Seeds(2**128 - 1)):
        assert not is_secret(weak.secret_rng("fit"))
        assert not is_secret(weak.secret_rng("fit").child("x"))
    assert not is_secret(np.random.default_rng(0))


def test_same_key_and_name_same_numbers_and_no_others() -> None:
    def first(entropy: int, *names: str) -> bytes:
        return Seeds(entropy).secret_rng(*names).bytes(16)

    assert first(2**255 + 1, "fit", "m") == first(2**255 + 1, "fit", "m")
    assert len({first(e, n) for e in (5, 2**255, 2**255 + 1) for n in ("a", "b")}) == 6
    # The plain streams of a secret entropy are not those of a seed, and do not share its state.
    plain = Seeds(2**255 + 1).rng("fit", "m")
    assert plain.random() != Seeds(2**255 + 1).secret_rng("fit", "m").random()
    assert Seeds(7).rng("a").integers(1000) == np.random.default_rng(
        np.random.SeedSequence([7, *_sha_words("a")])
    ).integers(1000), "a seed's numbers stay what they were"


def _sha_words(*names: str) -> list[int]:
    import hashlib

    digest = hashlib.sha256(repr(names).encode()).digest()
    return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]


def test_a_generator_is_not_written_down() -> None:
    import pickle

    with pytest.raises(TypeError, match="not written down"):
        pickle.dumps(Seeds(1).secret_rng("a"))


def test_the_older_interface_draws_from_the_stream_and_refuses_the_rest() -> None:
    state = SecretState(KeyStream(KEY))
    normal = state.standard_normal((200, 200))
    assert stats.kstest(normal.ravel(), "norm").pvalue > 1e-4
    gamma = state.gamma(1.75, 3.0, 20_000)
    assert stats.kstest(gamma, stats.gamma(1.75, scale=3.0).cdf).pvalue > 1e-4
    assert 2 <= state.uniform(2.0, 3.0) < 3
    assert set(np.asarray(state.randint(3, size=100))) == {0, 1, 2}
    assert 0 <= state.random() < 1
    for other in ("shuffle", "choice", "rand", "normal", "permutation", "laplace"):
        with pytest.raises(AttributeError, match="key stream"):
            getattr(state, other)
