"""Distances against closed forms, scipy, direct loops, and their own scatter over repeated draws."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, pdist
from scipy.stats import energy_distance

from driftfield.evaluation.distances import (
    CHUNK,
    kernel_distances,
    kernel_sums,
    median_distance,
    sliced_wasserstein2,
    transport_blocks,
    wasserstein2,
)


def normal(n, D, seed, shift=0.0, scale=1.0):
    x = scale * np.random.default_rng(seed).normal(size=(n, D))
    x[:, 0] += shift
    return x


def test_wasserstein_of_a_translated_sample_is_the_length_of_the_translation():
    x = normal(300, 3, 0)
    # Exact for any sample: a translation is the optimal map. Only rounding is left.
    assert wasserstein2(x + np.array([1.0, -2.0, 2.0]), x, 0).value == pytest.approx(3.0, abs=1e-9)


def test_wasserstein_between_two_gaussians_is_the_closed_form():
    x, y = normal(1500, 2, 1, shift=3.0, scale=1.5), normal(1500, 2, 2)
    found = wasserstein2(x, y, 0)
    exact = np.sqrt(3.0**2 + 2 * 0.5**2)  # |m1 - m2|^2 + sum (s1 - s2)^2
    # Four standard errors, and the finite-sample bias of W2^2, about 0.02 in two dimensions at this n.
    assert abs(found.value - exact) < 4 * found.error + 0.02 / (2 * exact)
    assert 0.01 < found.error < 0.1


def test_wasserstein_agrees_with_the_assignment_problem():
    x, y = normal(80, 4, 3), normal(80, 4, 4, shift=0.3)
    cost = cdist(x, y, "sqeuclidean")
    exact = np.sqrt(cost[linear_sum_assignment(cost)].mean())
    assert wasserstein2(x, y, 0).value == pytest.approx(exact, rel=1e-9)  # both solve one linear program exactly


def test_wasserstein_uses_disjoint_blocks_of_at_most_two_thousand_rows():
    assert [transport_blocks(n) for n in (5, 2000, 3999, 4000, 10_000)] == [
        (1, 5), (1, 2000), (1, 2000), (2, 2000), (3, 2000),
    ]  # fmt: skip


def test_wasserstein_of_a_sample_to_itself_is_zero_without_an_error():
    x = normal(50, 2, 5)
    assert wasserstein2(x, x, 0) == (0.0, None)
    assert sliced_wasserstein2(x, x, 0) == (0.0, None)


def test_sliced_wasserstein_in_one_dimension_is_wasserstein():
    x, y = normal(70, 1, 6), normal(70, 1, 7, shift=0.5, scale=2.0)
    cost = cdist(x, y, "sqeuclidean")
    exact = np.sqrt(cost[linear_sum_assignment(cost)].mean())
    assert sliced_wasserstein2(x, y, 0).value == pytest.approx(exact, rel=1e-12)  # sorting is exact


@pytest.mark.parametrize("D", [2, 10])
def test_sliced_wasserstein_of_a_translation_is_its_length_over_the_root_of_the_dimension(D):
    x = normal(200, D, 8)
    # E (theta . s)^2 = |s|^2 / D; the mean of 200 directions has a relative error of sqrt(2 (D - 1) / (D + 2) / 200),
    # at most 0.09 for the square and half of it for the root; four of them.
    found = sliced_wasserstein2(x + 3.0 * np.eye(D)[0], x, 0).value
    assert found == pytest.approx(3 / np.sqrt(D), rel=4 * 0.5 * np.sqrt(2 * (D - 1) / (D + 2) / 200))


def test_energy_distance_agrees_with_scipy_in_one_dimension():
    x, y = normal(90, 1, 9), normal(70, 1, 10, shift=0.4)
    # scipy: root of the V-statistic, in which every row is also paired with itself.
    of_pairs = [2 * pdist(rows).sum() / len(rows) ** 2 / (len(rows) - 1) for rows in (x, y)]
    exact = energy_distance(x[:, 0], y[:, 0]) ** 2 - sum(of_pairs)
    assert kernel_distances(x, y, 1.0, 0)[0].value == pytest.approx(exact, abs=1e-12)


def test_mmd_agrees_with_a_double_loop():
    x, y, h = normal(50, 3, 11), normal(50, 3, 12, shift=0.5), 1.7

    def k(a, b):
        return np.exp(-np.sum((a - b) ** 2) / (2 * h**2))

    n = len(x)
    within = sum(k(s[i], s[j]) for s in (x, y) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    across = sum(k(a, b) for a in x for b in y) / n**2
    assert kernel_distances(x, y, h, 0)[1].value == pytest.approx(within - 2 * across, abs=1e-12)


def test_kernel_sums_over_chunks_equal_the_whole_matrix():
    x, y = normal(2 * CHUNK + 7, 2, 13), normal(CHUNK - 5, 2, 14)
    found, kernel = kernel_sums(x, y, 0.8), -cdist(x, y)
    assert np.allclose(found.rows[0], kernel.sum(1), rtol=1e-12)
    assert np.allclose(found.columns[0], kernel.sum(0), rtol=1e-12)
    assert found.squares[0] == pytest.approx(np.sum(kernel**2), rel=1e-12)
    itself = kernel_sums(x, x, 0.8)
    assert np.allclose(itself.rows[1], np.exp(-(cdist(x, x) ** 2) / (2 * 0.8**2)).sum(1) - 1, rtol=1e-12)


def test_energy_distance_and_mmd_are_unbiased_between_equal_distributions():
    found = np.array([
        [measured.value for measured in kernel_distances(normal(25, 3, 2 * i), normal(25, 3, 2 * i + 1), 2.0, i)]
        for i in range(300)
    ])  # fmt: skip
    assert (np.abs(found.mean(0)) < 4 * found.std(0) / np.sqrt(300)).all()  # four standard errors of the mean


def repeated(distance, shift, repeats=150, n=100):
    found = np.array([distance(normal(n, 2, 2 * i, shift), normal(n, 2, 2 * i + 1), i) for i in range(repeats)])
    return found[:, 1].mean() / found[:, 0].std()


DISTANCES = {
    "wasserstein": wasserstein2,
    "sliced": sliced_wasserstein2,
    "energy": lambda x, y, seed: kernel_distances(x, y, 1.5, seed)[0],
    "mmd": lambda x, y, seed: kernel_distances(x, y, 1.5, seed)[1],
}


@pytest.mark.parametrize("name", DISTANCES)
def test_errors_match_the_scatter_between_different_distributions(name):
    # The scatter of 150 draws is known to 6 %; four of those.
    assert repeated(DISTANCES[name], shift=1.0) == pytest.approx(1.0, abs=0.24)


@pytest.mark.parametrize("name", DISTANCES)
def test_errors_are_cautious_but_not_wild_between_equal_distributions(name):
    # Documented as 1.0 to 1.8 times the scatter; 0.24 for the 150 draws.
    assert 1.0 - 0.24 < repeated(DISTANCES[name], shift=0.0) < 1.8 + 0.24


@pytest.mark.parametrize(("draw", "low", "high"), [("lognormal", 0.7, 0.9), ("t", 0.35, 0.6)])
def test_the_error_of_sliced_wasserstein_is_too_small_on_heavy_tails_by_the_stated_factors(draw, low, high):
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x, y = rng.lognormal(size=(2, 300, 2)) if draw == "lognormal" else rng.standard_t(3, size=(2, 300, 2))
        found.append(sliced_wasserstein2(x, y, seed))
    values, errors = np.array(found).T
    # Over ten times 200 draws the ratio itself scatters by 0.1 (log-normal) and 0.13 (t), as single rows decide.
    assert low - 0.3 < errors.mean() / values.std() < min(1.0, high + 0.3)


def test_the_order_of_rows_does_not_matter():
    x, y = normal(200, 3, 15), normal(200, 3, 16, shift=0.2)
    order = np.random.default_rng(0).permutation(200)
    for distance in DISTANCES.values():
        # Every row is used, so that only the order of summation differs.
        assert distance(x[order], y, 0).value == pytest.approx(distance(x, y, 0).value, rel=1e-7)


def test_the_bandwidth_is_the_median_distance_and_never_zero():
    x = normal(60, 2, 17)
    assert median_distance(x, 0) == pytest.approx(np.median(pdist(x)), rel=1e-12)
    assert median_distance(np.zeros((9, 2)), 0) == 1.0
    assert median_distance(np.repeat([[0.0], [3.0]], [99, 1], axis=0), 0) == pytest.approx(3.0)
