"""Tables: associations of columns of any kind, and scores of imputation, against known values."""

import math

import numpy as np
import pytest

from driftfield.codecs import TableCodec
from driftfield.evaluation.associations import associations, cramers_v
from driftfield.evaluation.imputation import crps, hide, judge_imputation, score_draws

N = 20_000


def rows() -> np.ndarray:
    """A category, a number around its own mean, a number that depends on the other one, and noise."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, N).astype(float)
    x = rng.normal(np.where(kind == 0, -1.0, 1.0))
    y = 0.6 * (x - x.mean()) / x.std() + 0.8 * rng.normal(size=N)
    other = rng.integers(0, 3, N).astype(float)
    return np.stack([kind, x, y, other], 1)


def test_associations_are_the_known_ones() -> None:
    found = associations(rows(), [False, True, True, False])
    # Of the ranks; means at -1 and 1 with variance 1 explain half of the variance of x, a bit more of its ranks.
    assert found[0, 1] == pytest.approx(math.sqrt(0.5), abs=0.03)
    assert found[1, 2] == pytest.approx(6 / math.pi * math.asin(0.6 / 2), abs=0.03)  # of a Gaussian pair
    assert found[0, 3] == pytest.approx(0, abs=0.03)
    assert np.allclose(found, found.T)
    assert np.allclose(found.diagonal(), 1)


def test_cramers_v_of_equal_columns_is_1_and_a_column_alone_has_none() -> None:
    codes = rows()[:, 3]
    assert cramers_v(codes, codes) == pytest.approx(1, abs=1e-3)
    assert np.isnan(associations(np.stack([codes, np.ones(N)], 1), [False, False])[0, 1])


def test_holes_are_left_out_of_associations() -> None:
    table = rows()[:2_000]
    holes = table.copy()
    holes[::3, 1] = np.nan
    kept = np.delete(table, np.s_[::3], axis=0)
    numeric = [False, True, True, False]
    assert associations(holes, numeric)[1, 2] == associations(kept, numeric)[1, 2]


def test_the_crps_of_normal_draws_is_the_closed_form() -> None:
    y = np.array([0.0, 1.5])
    draws = np.random.default_rng(0).normal(size=(20_000, 2))
    # Gneiting, Raftery 2007: y (2 Phi(y) - 1) + 2 phi(y) - 1 / sqrt(pi)
    phi = np.exp(-(y**2) / 2) / math.sqrt(2 * math.pi)
    Phi = np.array([0.5, 0.9331928])
    assert crps(draws, y) == pytest.approx(y * (2 * Phi - 1) + 2 * phi - 1 / math.sqrt(math.pi), abs=0.02)


def test_two_draws_suffice_for_an_unbiased_crps() -> None:
    rng = np.random.default_rng(1)
    y = np.zeros(40_000)
    few, many = crps(rng.normal(size=(2, 40_000)), y).mean(), crps(rng.normal(size=(50, 40_000)), y).mean()
    assert few == pytest.approx(many, abs=0.02)


def test_exact_draws_have_the_coverage_they_should() -> None:
    table = rows()
    codec = TableCodec.fit(table, ("kind", "x", "y", "other"), (("a", "b"), (), (), ("p", "q", "r")))
    hidden = np.zeros(table.shape, dtype=bool)
    hidden[:2_000, 1] = True
    means = np.where(table[:2_000, 0] == 0, -1.0, 1.0)
    draws = np.tile(table[:2_000], (40, 1, 1))
    draws[:, :, 1] = np.random.default_rng(2).normal(means, size=(40, 2_000))
    found = score_draws("exact", codec, draws, table[:2_000], hidden[:2_000], table.std(0))
    assert found.within_90 == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 2_000))
    assert found.within_50 == pytest.approx(0.5, abs=4 * math.sqrt(0.25 / 2_000))
    assert found.numbers == 2_000
    assert np.isnan(found.accuracy)


def test_a_fifth_is_hidden_and_never_a_whole_row() -> None:
    table = rows()[:1_000]
    table[:, 2] = np.nan
    hidden = hide(table, 0)
    assert not hidden[:, 2].any()
    assert hidden[:, [0, 1, 3]].mean() == pytest.approx(0.2, abs=0.05)
    assert not (hidden | np.isnan(table)).all(1).any()


def test_other_imputers_are_judged_on_the_same_cells() -> None:
    table = rows()[:400]
    codec = TableCodec.fit(table, ("kind", "x", "y", "other"), (("a", "b"), (), (), ("p", "q", "r")))
    own, mean, neighbours, chained = judge_imputation(codec, lambda holes: np.zeros((3, *holes.shape)), table, table)
    assert own.name == "this model"
    assert chained.rmse < mean.rmse  # y depends on x, and x on the kind
    assert chained.accuracy > 0.4
    assert neighbours.numbers == mean.numbers == own.numbers
