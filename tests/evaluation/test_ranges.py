"""Rows out of range: the chance of them is exact, whatever the distribution."""

import numpy as np
import pytest

from driftfield.evaluation.ranges import out_of_range


def normal(n, seed, D=1):
    return np.random.default_rng(seed).normal(size=(n, D))


def test_the_range_leaves_out_one_per_cent_of_the_real_rows_at_either_end():
    real = np.arange(1.0, 400.0)[:, None]  # 399 rows, so that the 4th at either end is the edge
    found = out_of_range(np.array([[3.9], [4.0], [396.0], [396.1]]), real, ["x"])
    assert found.value == 0.5
    assert found.best == pytest.approx(0.02)
    assert "the central 98 % of 399 real rows" in found.note


@pytest.mark.parametrize("draw", [lambda rng, n: rng.normal(size=(n, 1)), lambda rng, n: rng.standard_cauchy((n, 1))])
def test_mean_and_scatter_for_equal_distributions_are_those_of_the_formula(draw):
    rng, draws = np.random.default_rng(0), 2000
    found = [out_of_range(draw(rng, 50), draw(rng, 150), ["x"]) for _ in range(draws)]
    values = np.array([metric.value for metric in found])
    assert found[0].best == pytest.approx(4 / 151)
    assert abs(values.mean() - found[0].best) < 4 * values.std() / draws**0.5
    # Of a skewed count with a kurtosis of about 6 the standard deviation is known to 1.2 sqrt(1 / draws) = 2.7 %.
    assert values.std() == pytest.approx(found[0].floor_error, rel=0.1)


def test_the_floor_is_the_mean_of_the_largest_fraction_of_independent_columns():
    found = [out_of_range(normal(100, (i, 0), 20), normal(100, (i, 1), 20), ["x"] * 20) for i in range(300)]
    values = np.array([metric.value for metric in found])
    # A count of 100 rows is whole, so that the quantile is known to half of 0.01; the mean to 0.002.
    assert abs(values.mean() - found[0].floor) < 0.01


def test_the_worst_column_is_named_on_one_line():
    made = normal(60, 1, 3) * [1.0, 9.0, 1.0]
    names = ["a", "b\n" + "long " * 20, "c"]
    assert out_of_range(made, normal(60, 2, 3), names).label == 'Rows out of range in "b long long long lo…"'


def test_a_column_of_one_value_has_no_rows_out_of_range():
    assert out_of_range(np.ones((9, 1)), np.ones((9, 1)), ["x"]).value == 0.0
