"""The verdict: one plain sentence that follows the numbers."""

import numpy as np
import pytest

from driftfield.evaluation import Baseline, Memorisation, Metric, nll, two_sample, verdict
from driftfield.evaluation.classifiers import SCATTER
from driftfield.evaluation.metrics import _distances
from driftfield.evaluation.ranges import out_of_range
from driftfield.evaluation.verdict import level


def judge(value, floor=0.5, error=0.0035, rows=10_000, name="c2st_knn"):
    """With the binomial ``error``, of which the stated one is SCATTER times as much."""
    return Metric(name, "C2ST", value, floor, SCATTER * error, SCATTER * error, "accuracy", 0.5, rows, "")


def density(value, floor=None, error=0.01):
    return Metric("nll", "NLL", value, floor, error, None, "nats", float("nan"), 1000, "")


def mixture(log_density):
    return Baseline("mixture", "Gaussian mixture", np.full(9, log_density), "2 components")


def copies(closer, n=1000, duplicates=0.0):
    distances = np.where(np.arange(n) < closer * n, 0.0, 1.0)
    return Memorisation(distances, np.linspace(0.5, 1.5, n), 5000, duplicates, 0.0)


def test_a_good_model_is_told_in_one_sentence():
    text = verdict([judge(0.516)], copies(0.0), None, density(1.018, 1.010, 0.008))
    assert text == (
        "A classifier tells samples from fresh data 51.6 % of the time (floor 50.0 %): practically indistinguishable; "
        "the mean NLL of 1.018 nats is 0.0080 ± 0.0080 above the entropy, the best possible."
    )


@pytest.mark.parametrize(
    ("excess", "words"),
    [
        (-0.02, "indistinguishable within noise"),
        (0.005, "indistinguishable within noise"),
        (0.014, "indistinguishable within noise"),
        (0.018, "practically indistinguishable"),
        (0.04, "slightly distinguishable"),
        (0.1, "clearly distinguishable"),
        (0.3, "a poor match"),
    ],
)
def test_the_level_follows_the_excess_over_the_floor(excess, words):
    assert level(excess, error=0.005, rows=10_000) == words
    assert words in verdict([judge(0.47 + excess, floor=0.47)])


def test_few_rows_are_not_called_indistinguishable():
    text = verdict([judge(0.52, error=0.03, rows=140)])
    assert "no significant difference; with 140 rows per side only gaps above 13 points would be detected" in text
    assert "indistinguishable" not in text


def test_so_few_rows_that_a_clear_difference_would_not_show_tell_nothing():
    text = verdict([judge(0.52, error=0.06, rows=36)])
    assert "it cannot tell with so few rows; with 36 rows per side only gaps above 25 points would be detected" in text
    assert "no significant" not in text
    assert "a poor match" in verdict([judge(0.8, error=0.06, rows=36)])
    # 3 sqrt(1/4 / n), the error of two accuracies at n rows a side, is 0.15 at 100.
    assert "cannot tell" in level(0.1, (0.25 / 99) ** 0.5, 99)
    assert "no significant" in level(0.1, (0.25 / 101) ** 0.5, 101)


def test_the_sharpest_judge_is_quoted():
    assert "58.0 % of the time" in verdict([judge(0.51), judge(0.58, name="c2st_boosting")])


def distance(value, floor, error=0.1, floor_error=0.0, name="energy", label="Energy distance"):
    return Metric(name, label, value, floor, error, floor_error, "standard deviations", 0.0, 40, "")


def test_every_distance_more_than_three_errors_above_its_floor_is_named_whatever_a_classifier_sees():
    near, far = distance(0.59, 0.3), distance(0.7, 0.3, name="mmd", label="MMD, squared")
    farther = distance(2.0, 0.3, 0.2, 0.2, "sliced_wasserstein2", "Sliced Wasserstein-2")
    blind = judge(0.52, error=0.06, rows=36)
    assert "errors above" not in verdict([blind, near])
    assert "; more than three errors above its floor: MMD, squared (0.70 ± 0.10, floor 0.300)." in verdict([blind, far])
    assert verdict([near, far, farther]) == (
        "More than three errors above their floors: sliced Wasserstein-2 (2.00 ± 0.20, floor 0.30 ± 0.20), "
        "MMD, squared (0.70 ± 0.10, floor 0.300)."
    )
    assert "errors above" not in verdict([distance(0.0, 0.9)])  # below its floor


def test_a_wasserstein_distance_whose_square_is_uncertain_is_not_named():
    # Five outliers give W^2 = 5 a +- sqrt(5) a: 2.2 errors, although the root seems to be 4.5 of its own above zero.
    assert "errors above" not in verdict([distance(1.0, 0.0, 0.2236, name="wasserstein2", label="Wasserstein-2")])
    assert "Wasserstein-2 (1.00 ± 0.22, " in verdict([distance(1.0, 0.0, 0.2236, label="Wasserstein-2")])


def tables(kind, n, D, rng):
    """Three samples (n, D) of one distribution, and the last as a model would have it that is too wide by half."""
    draws = {
        "normal": lambda: rng.normal(size=(n, D)),
        "heavy tails": lambda: rng.standard_t(2, size=(n, D)),
        "mixture": lambda: 0.1 * rng.normal(size=(n, D)) + 3 * rng.integers(-1, 2, size=(n, 1)),
        "grid": lambda: rng.integers(0, 4, size=(n, D)).astype(float),
        "outliers": lambda: np.where(rng.random((n, D)) < 0.005, 99999.0, rng.normal(60, 9, size=(n, D))),
    }
    return [draws[kind]() for _ in range(3)]


def distances(generated, real, other):
    return verdict(
        [*_distances(generated, real, other, 0, ""), out_of_range(generated, other, [str(i) for i in range(99)])]
    )


@pytest.mark.parametrize("kind", ["normal", "heavy tails", "mixture", "grid", "outliers"])
@pytest.mark.parametrize(("n", "D"), [(24, 2), (24, 40), (100, 3)])
def test_equal_distributions_raise_no_alarm_by_their_distances(kind, n, D):
    rng = np.random.default_rng(n + D)
    alarms = sum("errors above" in distances(*tables(kind, n, D, rng)) for _ in range(12))
    assert alarms == 0  # 12,600 draws of this kind, of 24 and 100 rows and 1 to 10 columns, gave none


def test_few_rows_of_many_columns_that_are_too_wide_are_named_where_no_classifier_can_tell():
    generated, real, other = tables("normal", 24, 40, np.random.default_rng(0))
    text = verdict(two_sample(1.5 * generated, real, other))
    assert "cannot tell with so few rows" in text
    assert "more than three errors above" in text
    assert "Wasserstein-2" in text


def test_samples_that_two_cells_of_99999_put_out_of_range_are_named():
    # What a model makes of 2 such cells among 400: a tenth of its rows far below the range, and a tenth far above.
    rng = np.random.default_rng(1)
    generated, real, other = (
        np.c_[rng.normal(70, 12, size=(n, 1)), rng.normal(40, 6, size=(n, 1))] for n in (80, 80, 288)
    )
    generated[:8, 0], generated[8:16, 0], other[:2, 0] = -2000.0, 4000.0, 99999.0
    text = verdict(two_sample(generated, real, other, columns=["weight", "waist"]))
    assert "indistinguishable" not in text
    assert 'rows out of range in "weight" (0.2' in text


def test_the_floor_counts_not_one_half():
    assert "practically indistinguishable" in verdict([judge(0.475, floor=0.46)])
    assert "slightly distinguishable" in verdict([judge(0.5, floor=0.46)])


def test_of_few_rows_a_floor_below_chance_is_luck():
    text = verdict([judge(0.5, floor=0.325, error=0.06, rows=80)])
    assert "poor" not in text
    assert "cannot tell with so few rows" in text


def test_a_lead_within_its_paired_error_is_no_lead():
    rng = np.random.default_rng(0)
    rows = -11.5 + rng.normal(0, 3, 9)
    text = verdict([], None, [mixture(-11.5)], density(-rows.mean()), rows)
    assert "a simpler density does as well within noise" in text
    assert text.count("11.500 nats") == 1


def test_a_better_baseline_is_named_plainly():
    text = verdict([], None, [mixture(-11.5)], density(11.9))
    assert text == (
        "The mean NLL of held-out rows is 11.900 ± 0.010 nats; a simpler density is better by 0.400 "
        "(Gaussian mixture, 11.500 nats)."
    )
    assert "is worse by 0.400" in verdict([], None, [mixture(-12.3), mixture(-13.0)], density(11.9))
    assert "does as well" in verdict([], None, [mixture(-11.905)], density(11.9))


def test_a_model_without_density_on_some_rows_loses_to_any_baseline():
    text = verdict([], None, [mixture(-11.5)], nll([-1.0, -np.inf]))
    assert text.startswith("Some held-out rows have density zero under the model; a simpler density is better (")


def test_an_nll_below_the_entropy_is_doubted_only_beyond_its_error():
    assert "0.020 ± 0.010 below the entropy, the best possible" in verdict([], None, None, density(0.98, 1.0))
    assert "which is impossible: do not trust it" in verdict([], None, None, density(0.9, 1.0))


def test_memorisation_is_mentioned_when_it_is_present_and_only_then():
    assert "memorises" not in verdict([judge(0.51)], copies(0.01))
    assert verdict([judge(0.51)], copies(0.2)).endswith(
        "20.0 % of samples lie suspiciously close to a training row (1.0 % expected): it memorises."
    )
    assert verdict([], copies(0.2, duplicates=0.3)) == (
        "30.0 % of samples copy a training row (0.0 % of fresh rows do): it memorises."
    )


def test_nothing_measured_is_said_so():
    assert verdict([]) == "No metric was measured, so there is no verdict."


def test_of_few_rows_counts_are_told_in_place_of_percentages():
    text = verdict([judge(0.6, error=0.2, rows=5)], copies(0.9, n=20))
    assert "tells samples from fresh data 6 of 10 times (floor 5 of 10)" in text
    assert "with 5 rows per side only large gaps would be detected" in text
    assert "18 of 20 samples lie suspiciously close to a training row (1 of 20 expected)" in text
    assert "%" not in text
