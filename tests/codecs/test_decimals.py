"""New rows are written on the grid of the old ones."""

import numpy as np
import pytest

import driftfield
from driftfield.codecs.decimals import decimals, rounded
from driftfield.datasets import DISTRIBUTIONS


def test_the_decimals_of_a_column_are_the_fewest_that_all_its_numbers_have() -> None:
    rng = np.random.default_rng(0)
    values = np.stack(
        [
            rng.integers(0, 90, 200).astype(float),
            np.round(rng.normal(size=200), 1),
            np.round(rng.normal(1e4, 1, 200), 3),
            rng.normal(size=200),
            rng.integers(0, 9, 200) * 1e30,
        ],
        axis=1,
    )
    assert decimals(values) == (0, 1, 3, None, 0)


@pytest.mark.parametrize("name", ["moons", "checkerboard"])
def test_a_distribution_of_real_numbers_has_no_grid(name: str) -> None:
    assert decimals(DISTRIBUTIONS[name].sample(100, 0)) == (None, None)


def test_rounding_keeps_columns_without_a_grid_and_is_idempotent() -> None:
    values = np.random.default_rng(1).normal(size=(50, 3))
    once = rounded(values, (0, None, 2))
    np.testing.assert_array_equal(once[:, 1], values[:, 1])
    assert decimals(once)[0] == 0
    assert decimals(once)[2] == 2
    np.testing.assert_array_equal(rounded(once, (0, None, 2)), once)


def test_samples_of_whole_numbers_are_whole_unless_asked_otherwise() -> None:
    rng = np.random.default_rng(2)
    rows = np.stack([rng.integers(20, 80, 300).astype(float), rng.normal(size=300)], axis=1)
    drawn = driftfield.fit(rows, steps=20, batch=64).sample(50)
    assert decimals(drawn) == (0, None)
    free = driftfield.fit(rows, steps=20, batch=64, sample={"round": False}).sample(50)
    assert decimals(free) == (None, None)
    np.testing.assert_allclose(np.round(free[:, 0]), drawn[:, 0])


def test_decimals_survive_a_source_in_single_precision() -> None:
    rng = np.random.default_rng(2)
    values = np.stack([rng.normal(100, 5, 300).round(2), rng.normal(size=300).round(3), rng.normal(size=300)], axis=1)
    assert decimals(values.astype(np.float32).astype(np.float64)) == (2, 3, None)


def test_quarters_and_whole_numbers_beyond_single_precision_keep_their_grid() -> None:
    values = np.stack([np.arange(80) / 4, 2.0**26 + np.arange(80), 2.0**53 + 2 * np.arange(80)], axis=1)
    assert decimals(values) == (2, 0, 0)


def test_a_number_near_the_largest_has_no_decimals_and_no_warning() -> None:
    column = np.array([0.1, 1.25, np.finfo(float).max])
    with np.errstate(all="raise"):
        assert decimals(np.stack([column, np.sign(column) * 1e308], axis=1)) == (None, 0)
