"""Whether the network starts from a mixture: only where its draws cannot be told from the rows."""

import numpy as np
import pytest

from driftfield.codecs import EncodedRows, TableCodec
from driftfield.fitting.mixture import drawn, fit_mixture, stands_in

n = 1_500


def rows_of_two(rng: np.random.Generator, share: float = 0.5) -> np.ndarray:
    """A category, whose second level has this share, a number about 3 times it, another, and a whole number; (n, 4)."""
    c = rng.random(n) < share
    x = 3 * c + rng.normal(size=n)
    return np.column_stack([c, x, 0.5 * x + rng.normal(size=n), np.round(5 * rng.normal(size=n))]).astype(float)


def codec_of(rows: np.ndarray) -> TableCodec:
    return TableCodec.fit(rows, ("c", "x", "y", "i"), (("a", "b"), (), (), ()))


def is_told(rows: np.ndarray, judged: np.ndarray) -> bool:
    """Whether the mixture of some rows is told from others."""
    codec = codec_of(rows)
    mixture = fit_mixture(codec.encoded(rows), codec.levels, seed=0)
    return not stands_in(mixture, codec, judged, 0, None)


def test_a_mixture_of_what_it_can_be_stands_in() -> None:
    rows = rows_of_two(np.random.default_rng(0))
    assert not is_told(rows, rows)


def test_holes_are_no_difference() -> None:
    rng = np.random.default_rng(1)
    rows = rows_of_two(rng)
    rows[rng.random(rows.shape) < 0.3] = np.nan
    assert not is_told(rows, rows)


def test_a_ring_is_told_apart() -> None:
    rows = rows_of_two(np.random.default_rng(2))
    turn = np.random.default_rng(3).random(n) * 2 * np.pi
    rows[:, 1], rows[:, 2] = np.cos(turn), np.sin(turn)
    assert is_told(rows, rows)


def test_levels_that_go_together_in_another_way_are_told_apart() -> None:
    rows = rows_of_two(np.random.default_rng(4))
    other = rows.copy()
    other[:, 0] = 1 - other[:, 0]
    assert is_told(rows, other)


def test_rows_are_chosen_by_their_weights() -> None:
    even, uneven = (rows_of_two(np.random.default_rng(51), share) for share in (0.5, 20 / 21))
    weights = np.where(even[:, 0] == 1, 20.0, 1.0)
    codec = codec_of(even)
    mixture = fit_mixture(codec.encoded(uneven), codec.levels, seed=0)
    assert stands_in(mixture, codec, even, 0, weights)
    assert not stands_in(mixture, codec, even, 0, None)


def test_draws_have_the_moments_of_the_mixture() -> None:
    rows = rows_of_two(np.random.default_rng(7))
    codec = codec_of(rows)
    mixture = fit_mixture(codec.encoded(rows), codec.levels, seed=0)
    z, codes = drawn(mixture, 40_000, np.random.default_rng(8))
    w = mixture.log_weights.exp().numpy()
    mean = w @ mixture.means.numpy()
    # Standard errors of means of 40,000 draws of variance about 1, and of shares: five of them.
    np.testing.assert_allclose(z.mean(0), mean, atol=5 / 200)
    shares = w @ mixture.log_levels.exp().numpy()
    np.testing.assert_allclose(np.bincount(codes[:, 0], minlength=2) / 40_000, shares, atol=5 * 0.5 / 200)
    second = mixture.covariances.numpy() + np.einsum("md,me->mde", mixture.means.numpy(), mixture.means.numpy())
    covariance = np.einsum("m,mde->de", w, second) - np.outer(mean, mean)
    np.testing.assert_allclose(np.cov(z.T), covariance, atol=5 * 2**0.5 / 200)


@pytest.mark.parametrize("D", [0, 2])
def test_tables_without_numbers_or_categories_are_drawn(D: int) -> None:
    rng = np.random.default_rng(9)
    z, codes = rng.normal(size=(200, D)).astype(np.float32), rng.integers(0, 2, (200, 2 - D))
    rows = EncodedRows(z, 0 * z, z == z, codes, 0 * z)
    found = drawn(fit_mixture(rows, (2,) * (2 - D), seed=0), 10, rng)
    assert [part.shape for part in found] == [(10, D), (10, 2 - D)]
