"""Metrics beside their floors: one code path, one size, no units; and the NLL."""

import math

import numpy as np
import pytest

from driftfield.errors import InputError
from driftfield.evaluation import Metric, nll, two_sample

NAMES = ["c2st_knn", "c2st_boosting", "wasserstein2", "sliced_wasserstein2", "energy", "mmd", "out_of_range"]


def normal(n, seed, D=2):
    return np.random.default_rng(seed).normal(size=(n, D)) * [1.0, 100.0, *[1.0] * (D - 2)][:D]


def test_the_floor_of_a_sample_is_what_it_scores_as_generated_rows():
    real, other = normal(250, 0), normal(250, 1)
    found = two_sample(other, real, other)
    assert [metric.name for metric in found] == NAMES
    for metric in found[:-1]:  # the chance of a row out of range is known without a second sample
        assert (metric.value, metric.error) == (
            metric.floor,
            metric.floor_error,
        )  # bit for bit: the same code and seeds
        assert metric.excess == 0


def test_every_metric_sees_a_shift_above_its_floor_and_its_noise():
    real, other = normal(400, 2), normal(400, 3)
    for metric in two_sample(normal(400, 4) + np.array([2.0, 0.0]), real, other):
        # A Bayes accuracy of 0.84 and a distance of two standard deviations: eight and more errors for each of them.
        assert metric.excess > 4 * math.hypot(metric.error, metric.floor_error)


def test_wasserstein_is_in_standard_deviations_of_the_real_rows():
    real = normal(200, 5)
    shift = np.array([0.5, 80.0])
    found = {metric.name: metric for metric in two_sample(real + shift, real, normal(200, 6))}
    exact = np.linalg.norm(shift / real.std(0))  # a translation is the optimal map
    assert found["wasserstein2"].value == pytest.approx(exact, rel=1e-9)
    assert found["wasserstein2"].unit == "standard deviations"


def test_units_do_not_matter():
    sides = [normal(200, seed) for seed in (7, 8, 9)]
    moved = [side * [1024.0, 2.0**-20] for side in sides]  # powers of two, so that standardising is exact
    for before, after in zip(two_sample(*sides), two_sample(*moved), strict=True):
        assert after.value == pytest.approx(before.value, rel=1e-9, abs=1e-12)
        assert after.floor == pytest.approx(before.floor, rel=1e-9, abs=1e-12)


def test_all_sides_are_cut_to_the_smallest_and_say_so():
    for metric in two_sample(normal(90, 10), normal(60, 11), normal(40, 12)):
        assert metric.rows == 40
        assert "40 rows of the smallest" in metric.note or metric.name == "out_of_range"


@pytest.mark.parametrize("n", [3, 5, 36])
@pytest.mark.parametrize("D", [1, 13])
def test_few_rows_work(n, D):
    for metric in two_sample(normal(n, 13, D), normal(n, 14, D), normal(n, 15, D)):
        assert all(map(math.isfinite, (metric.value, metric.floor, metric.error, metric.floor_error)))


def test_a_constant_column_and_huge_values_work():
    sides = [np.c_[normal(50, seed) * 1e30, np.full(50, 7.0)] for seed in (16, 17, 18)]
    plain = [normal(50, seed) for seed in (16, 17, 18)]
    for metric, without in zip(two_sample(*sides)[2:], two_sample(*plain)[2:], strict=True):
        if metric.name != "sliced_wasserstein2":  # whose directions differ in three dimensions
            assert metric.value == pytest.approx(without.value, rel=1e-9)  # a constant column adds no distance


def test_large_samples_are_drawn_from_and_the_note_says_how():
    found = {metric.name: metric for metric in two_sample(*(normal(6000, seed, 1) for seed in (19, 20, 21)))}
    assert {name: found[name].rows for name in NAMES} == dict(
        zip(NAMES, (6000, 6000, 6000, 6000, 5000, 5000, 6000), strict=True)
    )
    assert "3 blocks of 2,000 rows" in found["wasserstein2"].note
    assert "5,000 rows drawn" in found["energy"].note
    # Equal distributions: every value is its floor to within the two errors, which are cautious; four of them.
    for metric in found.values():
        assert abs(metric.excess) < 4 * math.hypot(metric.error, metric.floor_error)


def test_the_global_random_state_is_untouched_and_the_seed_decides():
    sides = [normal(60, seed) for seed in (22, 23, 24)]
    before = np.random.get_state()[1].copy()
    assert two_sample(*sides, seed=5) == two_sample(*sides, seed=5)
    assert (np.random.get_state()[1] == before).all()


@pytest.mark.parametrize(
    ("generated", "message"),
    [
        (np.zeros((9, 3)), "generated rows have 3 columns, but 2 are expected"),
        (np.zeros((2, 2)), "2 generated rows"),
        (np.where(np.eye(9, 2) > 0, np.nan, 0.0), "in 2 of the generated rows, first in row 0"),
        (np.zeros(9), "generated rows have shape"),
    ],
)
def test_rows_that_cannot_be_judged_are_refused_in_one_sentence(generated, message):
    with pytest.raises(InputError, match=message):
        two_sample(generated, normal(9, 25), normal(9, 26))


def test_nll_of_a_gaussian_under_itself_is_its_entropy():
    x = np.random.default_rng(27).normal(size=20_000)
    entropy = 0.5 * math.log(2 * math.pi * math.e)
    metric = nll(-0.5 * x**2 - 0.5 * math.log(2 * math.pi), entropy)
    assert metric.error == pytest.approx(math.sqrt(0.5 / 20_000), rel=0.05)  # Var x^2 / 4 = 1/2; its estimate has 1 %
    assert abs(metric.excess) < 4 * metric.error
    assert (metric.floor, metric.best, metric.rows, metric.unit) == (entropy, entropy, 20_000, "nats")


def test_nll_without_an_entropy_has_no_floor():
    metric = nll([-1.0, -3.0])
    assert (metric.value, metric.floor, metric.excess, metric.error) == (2.0, None, None, 1.0)
    assert math.isnan(metric.best)


def test_nll_counts_rows_of_density_zero_and_refuses_nan():
    metric = nll([-1.0, -np.inf, -2.0])
    assert metric.value == np.inf
    assert metric.error is None
    assert "1 held-out rows have density zero" in metric.note
    with pytest.raises(InputError, match=r"in 1 rows, first in row 1"):
        nll([0.0, np.nan])
    with pytest.raises(InputError, match="no rows"):
        nll([])


def test_a_metric_without_a_floor_has_no_excess():
    assert Metric("a", "A", 1.0, None, None, None, "", 0.0, 5, "").excess is None
