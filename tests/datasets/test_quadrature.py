"""The quadratures behind densities and entropies, against integrals that are known."""

import numpy as np
import pytest
from scipy.special import logsumexp as scipy_logsumexp

from driftfield.datasets.law import FloatArray, in_chunks
from driftfield.datasets.quadrature import gauss_legendre, logsumexp, nodes_along, plane_entropy


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
