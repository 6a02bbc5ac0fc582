"""The quadratures behind densities and entropies, against integrals that are known."""

import numpy as np
import pytest
from scipy.special import logsumexp as scipy_logsumexp
from scipy.special import ndtr

from driftfield.datasets.distribution import FloatArray, in_chunks
from driftfield.datasets.quadrature import (
    bell,
    gauss_legendre,
    logsumexp,
    nodes_along,
    nodes_for_noise,
    plane_entropy,
    segment,
    tensor,
)


def test_panels_integrate_polynomials_of_degree_15_exactly() -> None:
    x, weights = gauss_legendre(np.array([-1.0, 0.5, 2.0]))
    assert weights @ x**15 == pytest.approx((2.0**16 - 1) / 16, rel=1e-13)


def test_nodes_lie_on_the_path_in_panels_of_equal_length() -> None:
    def spiral(t: FloatArray) -> FloatArray:
        return np.stack([t * np.cos(t), t * np.sin(t)], axis=-1)

    nodes = nodes_along(spiral, 1, 10, panel=0.5)
    assert nodes.weights.sum() == pytest.approx(9)
    np.testing.assert_allclose(nodes.points, spiral(nodes.parameters))
    speed = np.sqrt(1 + nodes.parameters**2)  # of the spiral r = t
    lengths = (nodes.weights * speed).reshape(-1, 8).sum(axis=1)
    np.testing.assert_allclose(lengths, lengths.mean(), rtol=1e-3)  # edges are interpolated between 4,097 points
    assert lengths.max() <= 0.5


def test_the_entropy_of_a_gaussian_on_a_grid_is_exact() -> None:
    def log_density(x: FloatArray) -> FloatArray:
        return np.asarray(-(x**2).sum(axis=1) / 2 - np.log(2 * np.pi))

    edge = np.full(2, 8.0)
    assert plane_entropy(log_density, -edge, edge, 0.5) == pytest.approx(np.log(2 * np.pi * np.e), abs=1e-10)


def test_logsumexp_agrees_with_scipy_far_from_zero() -> None:
    a = np.random.default_rng(0).normal(size=(7, 11)) * 1000
    np.testing.assert_allclose(logsumexp(a.copy()), scipy_logsumexp(a, axis=1), rtol=1e-14)


def test_chunks_give_what_one_call_gives() -> None:
    x = np.random.default_rng(0).normal(size=(1000, 2))
    np.testing.assert_array_equal(in_chunks(lambda part: part.sum(axis=1), x, 2**15), x.sum(axis=1))
    assert in_chunks(lambda part: part.sum(axis=1), x[:0], 5).shape == (0,)


@pytest.mark.parametrize("std", [0.02, 0.3, 2.0, 50.0])
def test_a_segment_with_noise_is_a_difference_of_normal_distribution_functions(std: float) -> None:
    nodes, weights = segment(-1, 2, std)
    x = np.linspace(-1 - 3 * std, 2 + 3 * std, 101)
    found = np.exp(-((x[:, None] - nodes) ** 2) / (2 * std**2)) @ weights / (std * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(found, ndtr((x + 1) / std) - ndtr((x - 2) / std), rtol=0, atol=1e-8)
    assert len(nodes) <= 2 * 3 / std + 20  # 2 per standard deviation, and what the last panel needs


@pytest.mark.parametrize("std", [0.05, 1.0, 30.0])
def test_a_bell_with_noise_is_a_wider_bell(std: float) -> None:
    z, log_weights = bell(std)
    x = np.linspace(-3, 3, 41) * np.hypot(1, std)
    found = np.exp(log_weights - (x[:, None] - z) ** 2 / (2 * std**2)).sum(axis=1) / std
    np.testing.assert_allclose(found * np.hypot(1, std), np.exp(-(x**2) / (2 + 2 * std**2)), rtol=2e-8)


def test_nodes_for_noise_follow_a_curve_that_curls_up_within_the_noise() -> None:
    def circle(t: FloatArray) -> FloatArray:
        return np.stack([np.cos(t), np.sin(t)], axis=-1)

    for std in (0.1, 1.0, 100.0):
        nodes = nodes_for_noise(circle, 0, 2 * np.pi, std)
        # Powers of the angle up to the fifth have the mean 0 on a whole turn: panels of 2 radians see that to 1e-6.
        for power in range(1, 6):
            assert abs(nodes.weights @ np.cos(power * nodes.parameters)) < 1e-6
        np.testing.assert_allclose(nodes.points, circle(nodes.parameters))


def test_a_tensor_holds_every_combination() -> None:
    a, b = tensor(np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0]))
    assert list(zip(a, b, strict=True)) == [(1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5)]
