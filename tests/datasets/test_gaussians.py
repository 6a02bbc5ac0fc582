"""Mixtures of Gaussians in any dimension, against scipy, Bayes' rule, quadrature and finite differences."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from driftfield.datasets import DISTRIBUTIONS, FloatArray, GaussianMixture, Noise, random_mixture
from driftfield.errors import InputError

DIMENSIONS = [1, 2, 5, 10, 30]


def tilted(D: int, seed: int = 0) -> FloatArray:
    """A covariance that is neither round nor along the axes."""
    factor = np.random.default_rng(seed).standard_normal((D, D)) / np.sqrt(D)
    return np.asarray(0.3 * factor @ factor.T + 0.05 * np.eye(D))


def noises(D: int) -> list[Noise]:
    return [0.0, 0.5, 20.0, tilted(D)]


def covariance_of(noise: Noise, D: int) -> FloatArray:
    return noise if isinstance(noise, np.ndarray) else noise**2 * np.eye(D)


def joint(mixture: GaussianMixture, x: FloatArray, noise: Noise) -> FloatArray:
    """ln w_k + ln N(x; m_k, C_k + S) by scipy; (n, K)."""
    S = covariance_of(noise, mixture.dimensions)
    parts = [
        np.log(w) + np.reshape(multivariate_normal(m, C + S).logpdf(x), len(x))
        for w, m, C in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    ]
    return np.stack(parts, axis=1)


def rows_of(mixture: GaussianMixture, n: int, noise: Noise, seed: int = 1) -> FloatArray:
    D = mixture.dimensions
    factor = np.linalg.cholesky(covariance_of(noise, D) + 1e-300 * np.eye(D))
    return mixture.sample(n, seed) + np.random.default_rng(seed).standard_normal((n, D)) @ factor.T


@pytest.mark.parametrize("D", DIMENSIONS)
def test_density_and_responsibilities_are_those_of_scipy(D: int) -> None:
    mixture = random_mixture(D, 4, seed=3)
    for noise in noises(D):
        x = rows_of(mixture, 40, noise)
        expected = joint(mixture, x, noise)
        total = logsumexp(expected, axis=1)
        np.testing.assert_allclose(mixture.log_prob(x, noise), total, rtol=1e-10, atol=1e-10)
        shares = np.exp(expected - total[:, None])
        np.testing.assert_allclose(mixture.responsibilities(x, noise), shares, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("D", DIMENSIONS)
def test_the_score_is_the_slope_of_the_log_density(D: int) -> None:
    mixture, step = random_mixture(D, 4, seed=3), 1e-5
    for noise in noises(D):
        x = rows_of(mixture, 6, noise)
        shifts = step * np.eye(D)
        slope = np.stack(
            [
                (mixture.log_prob(x + shift, noise) - mixture.log_prob(x - shift, noise)) / (2 * step)
                for shift in shifts
            ],
            axis=1,
        )
        # Rounding of 1e-13 over the step, and step^2 / 6 of a third derivative of at most 1 / 0.2^3 times 10 or so.
        np.testing.assert_allclose(mixture.score(x, noise), slope, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("D", DIMENSIONS)
def test_the_posterior_is_tweedies_of_first_and_second_order(D: int) -> None:
    mixture, step = random_mixture(D, 4, seed=5), 1e-4
    for noise in noises(D)[1:]:
        S, x = covariance_of(noise, D), rows_of(mixture, 5, noise)
        mean, covariance = mixture.posterior(x, noise)
        np.testing.assert_allclose(mean, x + mixture.score(x, noise) @ S, rtol=0, atol=1e-10 * (1 + np.abs(S).max()))
        hessian = np.stack(
            [(mixture.score(x + s, noise) - mixture.score(x - s, noise)) / (2 * step) for s in step * np.eye(D)], axis=1
        )
        # S^2 times the error of the differences: 1e-15 |score| / step and step^2 times a fourth derivative.
        np.testing.assert_allclose(covariance, S + S @ hessian @ S, rtol=0, atol=1e-6 * max(1, S.max() ** 2 / 10))


@pytest.mark.parametrize("noise", [0.3, 2.0])
def test_the_posterior_is_that_of_quadrature(noise: float) -> None:
    mixture = random_mixture(1, 3, seed=1)
    y = np.linspace(-20, 20, 40_001)[:, None]  # spacing 1e-3, far below 0.2: exact to rounding
    prior = np.exp(mixture.log_prob(y))
    for x in (-2.0, 0.3, 4.0):
        weight = prior * np.exp(-((x - y[:, 0]) ** 2) / (2 * noise**2))
        weight /= weight.sum()
        mean, covariance = mixture.posterior(np.array([[x]]), noise)
        assert mean.item() == pytest.approx(weight @ y[:, 0], abs=1e-9)
        assert covariance.item() == pytest.approx(weight @ (y[:, 0] - weight @ y[:, 0]) ** 2, abs=1e-9)


@pytest.mark.parametrize(
    ("D", "known"), [(2, [0]), (5, [3, 0]), (5, [1]), (10, [9, 2, 4]), (30, list(range(0, 30, 2)))]
)
def test_a_conditional_times_its_marginal_is_the_joint_density(D: int, known: list[int]) -> None:
    mixture = random_mixture(D, 4, seed=2)
    rest = [i for i in range(D) if i not in known]
    for x in mixture.sample(5, 3):
        marginal = mixture.marginal(known).log_prob(x[None, known])
        conditional = mixture.conditional(known, x[known]).log_prob(x[None, rest])
        np.testing.assert_allclose(marginal + conditional, mixture.log_prob(x[None]), rtol=0, atol=1e-9)


def test_a_marginal_is_an_integral_over_the_other_columns() -> None:
    mixture = random_mixture(3, 3, seed=4)
    x = np.array([0.4, -0.7])

    def over(second: float) -> float:
        return float(np.exp(mixture.log_prob(np.array([[x[1], second, x[0]]])))[0])

    expected = quad(over, -15, 15, points=[-5, -2, 0, 2, 5], epsabs=1e-12)[0]
    assert np.exp(mixture.marginal([2, 0]).log_prob(x[None])).item() == pytest.approx(expected, rel=1e-7)


def test_a_conditional_of_the_conditional_is_that_of_all_that_is_known() -> None:
    mixture, values = random_mixture(6, 3, seed=8), np.array([0.3, -1.0, 0.2])
    at_once = mixture.conditional([4, 1, 0], values)
    first = mixture.conditional([4], values[:1])  # leaves columns 0, 1, 2, 3, 5
    step_by_step = first.conditional([1, 0], values[1:])
    for a, b in zip(vars_of(at_once), vars_of(step_by_step), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


def vars_of(mixture: GaussianMixture) -> tuple[FloatArray, FloatArray, FloatArray]:
    return mixture.weights, mixture.means, mixture.covariances


def test_a_value_that_only_one_component_can_have_leaves_that_one() -> None:
    far = GaussianMixture(np.array([0.5, 0.5]), np.array([[0.0, 0.0], [1e3, 5.0]]), np.tile(np.eye(2), (2, 1, 1)))
    given = far.conditional([0], np.array([1e3]))
    np.testing.assert_array_equal(given.weights, [0.0, 1.0])
    x = np.array([[4.0], [6.0]])
    np.testing.assert_allclose(given.log_prob(x), multivariate_normal(5, 1).logpdf(x), rtol=1e-12)
    assert np.isfinite(given.score(x, 0.3)).all()
    assert (given.sample(100, 0) > -1).all()


@pytest.mark.parametrize("D", DIMENSIONS)
def test_samples_have_the_moments_of_the_mixture_and_of_each_component(D: int) -> None:
    mixture, n = random_mixture(D, 4, seed=6), 50_000
    x = mixture.sample(n, 0)
    mean = mixture.weights @ mixture.means
    away = mixture.means - mean
    covariance = np.tensordot(mixture.weights, mixture.covariances + away[:, :, None] * away[:, None], 1)
    std = np.sqrt(np.diagonal(covariance))
    # Five standard errors: of a mean std / sqrt(n), of a covariance at most sqrt(3 v v' / n) for tails like these.
    assert (np.abs(x.mean(axis=0) - mean) < 5 * std / np.sqrt(n)).all()
    assert (np.abs(np.cov(x.T).reshape(D, D) - covariance) < 5 * np.sqrt(3 / n) * np.outer(std, std)).all()
    share = mixture.responsibilities(x).mean(axis=0)
    assert (np.abs(share - mixture.weights) < 5 * np.sqrt(mixture.weights / n)).all()


def test_the_seed_alone_decides_the_rows() -> None:
    mixture = random_mixture(3, 2, seed=0)
    np.testing.assert_array_equal(mixture.sample(20, 4), mixture.sample(20, 4))
    assert not np.intersect1d(mixture.sample(20, 4), mixture.sample(20, 5)).size


def test_the_entropy_of_one_gaussian_is_in_closed_form() -> None:
    one = random_mixture(7, 1, seed=0)
    expected = float(multivariate_normal(one.means[0], one.covariances[0]).entropy())
    assert one.entropy() == (pytest.approx(expected, abs=1e-12), 0.0)
    assert one.distribution("one").entropy == pytest.approx(expected, abs=1e-12)


def test_the_entropy_in_one_dimension_is_that_of_quadrature() -> None:
    mixture = random_mixture(1, 4, seed=7)
    x = np.linspace(-25, 25, 50_001)[:, None]
    log_p = mixture.log_prob(x)
    value, error = mixture.entropy()
    assert 0 < error < 1e-3
    assert value == pytest.approx(-(np.exp(log_p) * log_p).sum() * 1e-3, abs=4 * error)


def test_the_entropy_in_the_plane_agrees_with_its_quadrature_and_with_many_components() -> None:
    for seed in range(3):
        mixture = random_mixture(2, 6, seed)
        value, error = mixture.entropy()
        assert error < 2e-3
        assert value == pytest.approx(mixture.distribution("six").entropy, abs=4 * error)


def test_the_error_of_the_entropy_is_the_spread_between_seeds() -> None:
    mixture = random_mixture(5, 5, seed=0)
    values, errors = zip(*(mixture.entropy(rows=2_000, seed=seed) for seed in range(30)), strict=True)
    # The spread of 30 values is known to 1 / sqrt(58) = 13 %.
    assert np.std(values, ddof=1) == pytest.approx(np.mean(errors), rel=4 * 0.13)


@pytest.mark.parametrize("name", ["mixture-5d", "mixture-10d", "mixture-30d"])
def test_mixtures_of_many_columns_are_distributions_with_equally_likely_classes(name: str) -> None:
    distribution = DISTRIBUTIONS[name]
    D = int(name.removeprefix("mixture-").removesuffix("d"))
    assert distribution.columns == tuple(f"x{i + 1}" for i in range(D))
    assert [part.name for part in distribution.classes] == ["1", "2", "3", "4", "5"]
    assert distribution.log_prob is not None
    x, labels = distribution.sample_labelled(20_000, 3)
    log_p = distribution.log_prob(x)
    # Classes put the rows together again: the mean log-density is minus the entropy, known to 1e-3.
    assert distribution.entropy is not None
    assert -log_p.mean() == pytest.approx(distribution.entropy, abs=4 * log_p.std() / np.sqrt(len(x)) + 1e-3)
    each = [
        part.log_prob(x[labels == k]).mean() for k, part in enumerate(distribution.classes) if part.log_prob is not None
    ]
    assert all(own > log_p[labels == k].mean() for k, own in enumerate(each))


def test_random_mixtures_are_what_they_promise() -> None:
    for D in DIMENSIONS:
        mixture = random_mixture(D, 5, seed=1)
        std = np.sqrt(np.linalg.eigvalsh(mixture.covariances))
        assert 0.2 <= std.min() <= std.max() <= 2.0
        assert np.linalg.cond(mixture.covariances).max() <= 100 * (1 + 1e-9)
        assert mixture.weights.sum() == pytest.approx(1)
        assert np.ptp(mixture.weights) > 0
        np.testing.assert_array_equal(random_mixture(D, 5, seed=1, equal=True).weights, np.full(5, 0.2))
        np.testing.assert_array_equal(mixture.means, random_mixture(D, 5, seed=1).means)
        assert not np.array_equal(mixture.means, random_mixture(D, 5, seed=2).means)


def test_what_is_no_mixture_is_refused() -> None:
    fine = random_mixture(3, 2, seed=0)
    for call, words in (
        (lambda: GaussianMixture(np.ones(2), fine.means, fine.covariances), "add up to 1"),
        (lambda: GaussianMixture(np.array([1.5, -0.5]), fine.means, fine.covariances), "must not be negative"),
        (lambda: GaussianMixture(np.ones(1), fine.means, fine.covariances), "do not fit"),
        (lambda: fine.log_prob(np.zeros((4, 2))), r"shape \(n, 3\), not \(4, 2\)"),
        (lambda: fine.marginal([0, 3]), r"columns \[0, 3\] are not different numbers from 0 to 2"),
        (lambda: fine.marginal([1, 1]), "not different numbers"),
        (lambda: fine.conditional([0, 1], np.zeros(1)), "Given 1 values for 2 of 3 columns"),
        (lambda: fine.conditional([0, 1, 2], np.zeros(3)), "leave out at least one column"),
        (lambda: fine.sample(3, -1), "seed is -1"),
    ):
        with pytest.raises(InputError, match=words):
            call()
