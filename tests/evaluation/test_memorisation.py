"""Memorisation: copies are found, fresh rows are not, and chance is what the formulas say."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from driftfield.errors import InputError
from driftfield.evaluation import Memorisation, memorisation
from driftfield.evaluation.memorisation import nearest_distances


def normal(n, seed, D=2):
    return np.random.default_rng(seed).normal(size=(n, D))


def test_a_copied_training_set_is_memorised():
    train = normal(800, 0)
    found = memorisation(train, train, normal(800, 1))
    assert found.present
    assert (found.ratio, found.closer, found.duplicates) == (0.0, 1.0, 1.0)


def test_copies_that_went_through_float32_are_still_copies():
    train = normal(500, 2, D=20) * 1000
    found = memorisation(train.astype(np.float32), train, normal(500, 3, D=20) * 1000)
    assert found.present
    assert found.duplicates == 1.0


def test_fresh_rows_are_not_memorised():
    found = memorisation(normal(2000, 4), normal(5000, 5), normal(2000, 6))
    assert not found.present
    assert found.duplicates == 0
    ratio, closer, duplicates = found.metrics()
    assert abs(ratio.excess) < 4 * ratio.floor_error  # four standard errors between two real samples
    assert abs(closer.excess) < 4 * closer.floor_error
    assert (duplicates.value, duplicates.floor) == (0.0, 0.0)


def test_a_model_that_copies_now_and_then_is_found_though_the_medians_agree():
    train, made = normal(3000, 7), normal(2000, 8)
    made[:120] = train[:120] + 1e-4 * normal(120, 9)  # 6 % near-copies, none of them exact
    found = memorisation(made, train, normal(2000, 10))
    assert found.present
    assert found.ratio > 0.85  # 6 % of copies move the median by 0.06 / (2 f(m) m), about a tenth
    assert found.closer == pytest.approx(0.06 + 0.94 * found.expected, abs=4 * found.error)
    assert found.duplicates == 0


def test_a_table_that_repeats_its_rows_is_not_called_memorised():
    rng = np.random.default_rng(11)
    found = memorisation(*(rng.integers(0, 4, size=(1000, 3)).astype(float) for _ in range(3)))
    assert found.held_out_duplicates == 1.0
    assert not found.present
    assert np.isnan(found.ratio)


def test_a_wide_model_is_not_called_memorised():
    found = memorisation(3 * normal(1000, 12), normal(1000, 13), normal(1000, 14))
    assert not found.present
    assert found.ratio > 1.2


@pytest.mark.parametrize("n", [5, 36, 300])
def test_the_share_of_close_fresh_rows_has_the_stated_mean_and_scatter(n):
    rng = np.random.default_rng(15)
    draws = [Memorisation(rng.random(n), rng.random(n), n, 0.0, 0.0) for _ in range(1500)]
    shares = np.array([draw.closer for draw in draws])
    assert shares.mean() == pytest.approx(draws[0].expected, abs=4 * draws[0].expected_error / np.sqrt(1500))
    # The distribution is skewed: the scatter of 1,500 draws is known to about 5 %; four of those.
    assert shares.std() == pytest.approx(draws[0].expected_error, rel=0.2)
    # Each of the two exact tests passes by chance in at most 3 of 100,000 draws.
    assert sum(draw.present for draw in draws) <= 1


@pytest.mark.parametrize(
    ("rows", "training", "draw"),
    [
        (4, 16, lambda rng, n: rng.poisson(2, n)),
        (12, 48, lambda rng, n: rng.poisson(20, n)),
        (50, 200, lambda rng, n: rng.poisson(2, n)),
        (100, 400, lambda rng, n: rng.lognormal(size=n)),
        (30, 120, lambda rng, n: rng.lognormal(size=n).round(1)),
    ],
)
def test_fresh_rows_of_small_tables_with_repeated_values_raise_no_alarm(rows, training, draw):
    rng = np.random.default_rng(34)
    sets = [[draw(rng, n)[:, None].astype(float) for n in (rows, training, rows)] for _ in range(500)]
    alarms = sum(memorisation(*each).present for each in sets)
    assert alarms <= 1  # at most 6 of 100,000 by the level: two in 500 have a probability of 0.0004


@pytest.mark.parametrize(("rows", "training"), [(12, 48), (30, 120), (100, 400)])
def test_copies_are_found_in_small_tables(rows, training):
    rng = np.random.default_rng(35)
    train = rng.lognormal(size=(training, 2))
    made = train[rng.choice(training, rows)]
    assert memorisation(made, train, rng.lognormal(size=(rows, 2))).present


def test_the_error_of_the_ratio_matches_its_scatter():
    rng = np.random.default_rng(16)
    found = [Memorisation(rng.gamma(4, size=400), rng.gamma(4, size=400), 1, 0.0, 0.0) for _ in range(300)]
    stated = [draw.metrics()[0].error for draw in found]
    # The scatter of 300 draws is known to 4 %; the median's error, from two quantiles, is 5 % off at this n.
    assert np.mean(stated) == pytest.approx(np.std([draw.ratio for draw in found]), rel=0.2)


@pytest.mark.parametrize("D", [2, 40])
def test_nearest_distances_are_exact(D):
    rows, among = normal(50, 17, D), normal(300, 18, D)
    assert np.allclose(nearest_distances(rows, among), cdist(rows, among).min(1), rtol=1e-12)
    assert (nearest_distances(among + 1e6, among + 1e6) == 0).all()  # a copy has distance zero, not rounding


def test_distances_are_in_standard_deviations_of_the_training_rows():
    train, made, real = normal(200, 19), normal(100, 20), normal(100, 21)
    plain = memorisation(made, train, real)
    scaled = memorisation(*(rows * [1e-6, 1e9] + 5 for rows in (made, train, real)))
    # 5 is five million standard deviations of the first column: ten of the sixteen digits are left.
    assert np.allclose(plain.generated, scaled.generated, rtol=1e-6, atol=1e-8)
    assert plain.generated[0] == pytest.approx((np.linalg.norm((made[0] - train) / train.std(0), axis=1)).min())


def test_both_sides_have_the_same_number_of_rows():
    found = memorisation(normal(90, 22), normal(500, 23), normal(36, 24))
    assert len(found.generated) == len(found.held_out) == found.rows == 36
    assert found.training_rows == 500


def test_the_order_of_rows_does_not_matter():
    made, train, real = normal(100, 25), normal(300, 26), normal(100, 27)
    order = np.random.default_rng(0).permutation(100)
    assert memorisation(made[order], train[::-1], real).metrics()[1] == memorisation(made, train, real).metrics()[1]


def test_few_rows_work():
    for metric in memorisation(normal(5, 28), normal(20, 29), normal(5, 30)).metrics():
        assert np.isfinite([metric.value, metric.error, metric.floor_error]).all()


def test_columns_that_differ_are_refused():
    with pytest.raises(InputError, match="held-out rows have 3 columns, but 2 are expected"):
        memorisation(normal(9, 31), normal(9, 32), normal(9, 33, 3))
