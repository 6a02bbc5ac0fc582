"""Baselines against scipy, against their units, and against integrals."""

from importlib import import_module

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf

from driftfield.errors import InputError
from driftfield.evaluation import Baseline, baselines, best
from driftfield.evaluation.baselines import gaussian, kernel_density, mixture


def correlated(n, seed, D=3):
    mixing = np.random.default_rng(99).normal(size=(D, D))
    return np.random.default_rng(seed).normal(size=(n, D)) @ mixing * [10.0, *[1.0] * (D - 2), 0.1] + 7


def clusters(n, seed):
    rng = np.random.default_rng(seed)
    return np.array([[-6.0, 0.0], [0.0, 6.0], [6.0, 0.0]])[rng.integers(3, size=n)] + rng.normal(size=(n, 2))


def by_name(train, held_out, seed=0):
    return {baseline.name: baseline for baseline in baselines(train, held_out, seed)}


def test_the_gaussian_has_the_shrunk_covariance_of_the_standardised_columns():
    train, held_out = correlated(300, 0), correlated(50, 1)
    units = train.std(0)
    covariance = ledoit_wolf(train / units)[0] * np.outer(units, units)
    exact = multivariate_normal(train.mean(0), covariance).logpdf(held_out)
    found = by_name(train, held_out)["gaussian"]
    assert np.allclose(found.log_prob, exact, atol=1e-6)  # of the smallest eigenvalue, 1e-9 is added
    assert found.detail.startswith("Ledoit-Wolf shrinkage 0.0")
    assert found.log_density == pytest.approx(found.log_prob.mean())
    assert found.error == pytest.approx(found.log_prob.std(ddof=1) / np.sqrt(50))


def test_scaling_a_column_shifts_every_log_density_by_minus_log_of_the_scale():
    train, held_out, scale = clusters(200, 2), clusters(40, 3), np.array([1024.0, 2.0**-7])
    before, after = by_name(train, held_out), by_name(train * scale + 3, held_out * scale + 3)
    for name, baseline in before.items():
        # The same standardised rows but for rounding of the offset, 1e-14; the tolerance of the kernel sum is 1e-4.
        shifted = baseline.log_prob - np.log(scale).sum()
        assert np.allclose(after[name].log_prob, shifted, atol=2e-4 if name == "kde" else 1e-6), name
        assert after[name].detail == baseline.detail


def test_every_density_integrates_to_one_in_the_users_units():
    train = clusters(150, 4)[:, :1] * 50
    grid = np.linspace(-2500, 2500, 10_001)  # ten standard deviations
    for baseline in baselines(train, grid[:, None]):
        # The trapezoid rule is exact to 1e-6 on smooth densities; the tolerance of the kernel sum is 1e-4.
        tolerance = 2e-4 if baseline.name == "kde" else 1e-6
        assert np.trapezoid(np.exp(baseline.log_prob), grid) == pytest.approx(1.0, abs=tolerance), baseline.name


def test_the_mixture_finds_three_clusters_and_their_density():
    train, held_out = clusters(1200, 5), clusters(1200, 6)
    found = by_name(train, held_out)["mixture"]
    assert found.detail.startswith("3 components")
    entropy = np.log(3) + np.log(2 * np.pi * np.e)  # clusters six and more standard deviations apart
    # 17 parameters cost 17 / 2N = 0.007 nats; four errors for the held-out rows.
    assert -found.log_density == pytest.approx(entropy, abs=0.007 + 4 * found.error)


def test_the_bandwidth_is_close_to_the_best_one():
    from sklearn.neighbors import KernelDensity

    train, held_out = clusters(600, 7), clusters(4000, 8)
    center, scale = train.mean(0), train.std(0)
    z, judged = (train - center) / scale, (held_out - center) / scale
    log_prob, detail = kernel_density(z, judged, 0)
    scores = [KernelDensity(bandwidth=h).fit(z).score_samples(judged).mean() for h in np.geomspace(0.05, 0.5, 15)]
    # Near its maximum the likelihood is flat: 20 % in bandwidth costs about 0.01 nats.
    assert log_prob.mean() > max(scores) - 0.01
    assert "5-fold cross-validation" in detail
    assert "tried" not in detail


def test_repeated_rows_drive_the_bandwidth_to_the_smallest_one_and_the_detail_says_so():
    z = np.repeat(np.random.default_rng(9).normal(size=(20, 1)), 10, axis=0)
    assert kernel_density(z, z, 0)[1].endswith("the smallest tried")


def test_a_singular_covariance_is_shrunk_and_the_detail_says_so():
    rows = correlated(200, 10, D=2)
    repeated = np.c_[rows, rows[:, 0]]
    wide = np.random.default_rng(11).normal(size=(8, 30))
    for train in (repeated, wide):
        found = by_name(train, train)["gaussian"]
        assert np.isfinite(found.log_prob).all()
        assert "Ledoit-Wolf shrinkage" in found.detail


def test_few_rows_work():
    for baseline in baselines(clusters(5, 12), clusters(3, 13)):
        assert np.isfinite(baseline.log_prob).all()


def test_the_order_of_rows_does_not_matter():
    train, held_out = clusters(300, 14), clusters(60, 15)
    order = np.random.default_rng(0).permutation(60)
    before, after = by_name(train, held_out), by_name(train[::-1], held_out[order])
    for name, baseline in before.items():
        # Training rows fall into other folds and starts: the bandwidth moves by a step of 12 % of the fine grid, which
        # costs 0.01 nats on average; the other two are the same optimum to the tolerance of EM, 1e-3.
        assert after[name].log_density == pytest.approx(baseline.log_density, abs=0.02), name
        if name == "gaussian":
            assert np.allclose(after[name].log_prob, baseline.log_prob[order], atol=1e-10)


def test_at_most_twenty_thousand_rows_are_fitted_and_the_detail_says_so(monkeypatch):
    monkeypatch.setattr(import_module("driftfield.evaluation.baselines"), "FIT_ROWS", 100)
    found = by_name(clusters(150, 16), clusters(20, 17))
    assert found["kde"].detail.endswith("on 100 of 150 rows")
    assert found["mixture"].detail.endswith("on 100 of 150 rows")
    assert "of 150" not in found["gaussian"].detail


def test_the_parts_take_standardised_rows_of_one_column():
    z = np.random.default_rng(18).normal(size=(80, 1))
    for log_prob, _ in (gaussian(z, z[:1]), kernel_density(z, z[:1], 0), mixture(z, z[:1], 0)):
        assert log_prob.shape == (1,)


def test_the_best_baseline_has_the_highest_mean():
    worse, better = (Baseline(name, name, np.array([0.0, value]), "") for name, value in (("a", 1.0), ("b", 2.0)))
    assert best([worse, better]).name == "b"
    with pytest.raises(InputError, match="no baseline"):
        best([])


def test_rows_that_are_all_equal_are_refused():
    with pytest.raises(InputError, match="all equal"):
        baselines(np.ones((9, 2)), np.ones((3, 2)))


def test_the_global_random_state_is_untouched_and_the_seed_decides():
    before = np.random.get_state()[1].copy()
    first, second = (by_name(clusters(100, 19), clusters(20, 20), seed=4) for _ in range(2))
    assert (np.random.get_state()[1] == before).all()
    assert all((first[name].log_prob == second[name].log_prob).all() for name in first)
