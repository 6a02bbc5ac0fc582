"""Maps of a number: increasing, with an exact inverse and derivative, linear unless values are far from normal."""

import numpy as np
import pytest

from driftfield.codecs.maps import Map, bent, choose_map, linear_map, scores_map

RNG = np.random.default_rng(0)
COLUMNS = {
    "lognormal": np.exp(RNG.normal(size=2_000)),
    "heavy tails": RNG.standard_t(2, size=2_000),
    "exponential": 1e6 + 1e3 * RNG.exponential(size=500),
    "many ties": np.round(np.exp(RNG.normal(size=2_000)), 1),
}


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS)
@pytest.mark.parametrize("make", [linear_map, scores_map])
def test_back_undoes_forward_also_beyond_the_knots(values: np.ndarray, make) -> None:  # type: ignore[no-untyped-def]
    found, spread = make(values), np.ptp(values)
    x = np.linspace(values.min() - spread, values.max() + spread, 4_001)
    assert np.allclose(found.back(found.forward(x)), x, rtol=0, atol=1e-9 * np.abs(x).max())
    assert (np.diff(found.forward(x)) > 0).all()


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS)
def test_the_slope_is_the_derivative(values: np.ndarray) -> None:
    found, step = scores_map(values), 1e-6 * np.ptp(values)
    x = np.linspace(values.min() - 0.1 * np.ptp(values), values.max(), 997)  # at no knot
    numeric = (found.forward(x + step) - found.forward(x - step)) / (2 * step)
    # Where a knot lies within the step, both sides count: the slope is continuous, its derivative is not.
    assert np.allclose(found.log_slope(x), np.log(numeric), atol=1e-3)


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS)
@pytest.mark.parametrize("make", [linear_map, scores_map])
def test_mapped_values_have_mean_0_and_variance_1(values: np.ndarray, make) -> None:  # type: ignore[no-untyped-def]
    z = make(values).forward(values)
    assert z.mean() == pytest.approx(0, abs=1e-9)
    assert z.std() == pytest.approx(1)


def test_only_columns_far_from_normal_are_mapped_to_normal_scores() -> None:
    rng = np.random.default_rng(1)
    assert len(choose_map(rng.normal(size=2_000)).x) == 2
    assert len(choose_map(rng.uniform(size=2_000)).x) == 2
    assert len(choose_map(np.concatenate([rng.normal(-2, 1, 1_000), rng.normal(2, 1, 1_000)])).x) == 2
    assert len(choose_map(np.exp(rng.normal(size=2_000))).x) > 2
    assert len(choose_map(rng.standard_t(2, size=2_000)).x) > 2


def test_clusters_are_left_to_the_model() -> None:
    rng = np.random.default_rng(2)
    apart = np.concatenate([rng.normal(-2, 0.3, 1_000), rng.normal(2, 0.3, 1_000)])
    assert len(choose_map(apart).x) == len(choose_map(np.sort(apart)).x) == 2
    assert len(choose_map(np.exp(apart)).x) > 2  # the widths of which differ e^4 times


def test_a_weighted_map_has_the_moments_of_repeated_values() -> None:
    values, weights = np.array([1.0, 2.0, 5.0]), np.array([3.0, 1.0, 2.0])
    assert linear_map(values, weights) == linear_map(np.repeat(values, [3, 1, 2]))


def test_one_value_has_a_map() -> None:
    assert linear_map(np.array([2.0, 2.0])) == Map((2.0, 3.0), (0.0, 1.0))


def test_no_value_lies_beyond_a_bound() -> None:
    values = RNG.exponential(size=2_000)
    plain = scores_map(values)
    found = Map(plain.x, plain.z, low=0.0)
    z = np.linspace(-40, 40, 4_001)
    x = found.back(z)
    assert (x >= 0).all()
    inner = z > -8  # farther out, x is 0 in float64
    assert np.allclose(found.forward(x[inner]), z[inner], atol=1e-6)
    inside = np.linspace(1e-7, plain.x[0], 50)[:-1]
    step = 1e-9
    numeric = (found.forward(inside + step) - found.forward(inside - step)) / (2 * step)
    assert np.allclose(found.log_slope(inside), np.log(numeric), atol=1e-2)
    above = np.linspace(plain.x[0], 20, 100)
    assert np.array_equal(found.forward(above), plain.forward(above))


def test_values_at_a_bound_and_beyond_are_told_apart_and_stay_finite() -> None:
    map_ = bent(linear_map(np.array([1.0, 2.0, 4.0])), 0.0, 5.0)
    values = np.array([-1.0, 0.0, 1e-8, 1.0, 5.0, 7.0])
    assert map_.outside(values).tolist() == [True, True, False, False, True, True]
    with np.errstate(divide="raise", invalid="raise"):
        assert np.isfinite(map_.forward(values)).all()
        assert np.isfinite(map_.log_slope(values)).all()
    assert not bent(map_, None, None).outside(values).any()
