"""The verdict: one plain sentence that follows the numbers."""

import numpy as np
import pytest

from driftfield.evaluation import Baseline, Memorisation, Metric, nll, verdict
from driftfield.evaluation.classifiers import SCATTER
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
    text = verdict([judge(0.512)], copies(0.0), None, density(1.018, 1.010, 0.008))
    assert text == (
        "A classifier tells samples from fresh data 51.2 % of the time (floor 50.0 %): practically indistinguishable; "
        "the mean NLL of 1.018 nats is 0.0080 ± 0.0080 above the entropy, the best possible."
    )


@pytest.mark.parametrize(
    ("excess", "words"),
    [
        (-0.02, "indistinguishable within noise"),
        (0.005, "indistinguishable within noise"),
        (0.015, "practically indistinguishable"),
        (0.04, "slightly distinguishable"),
        (0.1, "clearly distinguishable"),
        (0.3, "a poor match"),
    ],
)
def test_the_level_follows_the_excess_over_the_floor(excess, words):
    assert level(excess, error=0.005, rows=10_000) == words
    assert words in verdict([judge(0.47 + excess, floor=0.47)])


def test_few_rows_are_not_called_indistinguishable():
    text = verdict([judge(0.52, error=0.06, rows=36)])
    assert "no significant difference; with 36 rows per side only gaps above 25 points would be detected" in text
    assert "indistinguishable" not in text
    assert "a poor match" in verdict([judge(0.8, error=0.06, rows=36)])


def test_the_sharpest_judge_is_quoted():
    assert "58.0 % of the time" in verdict([judge(0.51), judge(0.58, name="c2st_boosting")])


def test_the_floor_counts_not_one_half():
    assert "practically indistinguishable" in verdict([judge(0.475, floor=0.46)])
    assert "slightly distinguishable" in verdict([judge(0.5, floor=0.46)])


def test_of_few_rows_a_floor_below_chance_is_luck():
    text = verdict([judge(0.5, floor=0.325, error=0.06, rows=80)])
    assert "poor" not in text
    assert "no significant difference" in text


def test_a_lead_within_its_paired_error_is_no_lead():
    rng = np.random.default_rng(0)
    rows = -11.5 + rng.normal(0, 3, 9)
    text = verdict([], None, [mixture(-11.5)], density(-rows.mean()), rows)
    assert "a simpler density does as well within noise" in text


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
