"""Distributions that are mixtures of Gaussians:  p(x) = Σ_k w_k N(x; m_k, C_k)."""

import numpy as np

from driftfield.datasets.distribution import Distribution, FloatArray
from driftfield.datasets.gaussians import GaussianMixture, random_mixture


def eight_gaussians() -> Distribution:
    """Eight equal Gaussians on a circle, 4/1.414 from the centre, each with a standard deviation of 0.5/1.414."""
    angle = np.arange(8) * np.pi / 4
    means = 4 / 1.414 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    covariances = np.tile((0.5 / 1.414) ** 2 * np.eye(2), (8, 1, 1))
    equal = GaussianMixture(np.full(8, 1 / 8), means, covariances)
    return equal.distribution("8-gaussians", "eight round Gaussians on a circle", "one of eight Gaussians")


def gaussian_mixture() -> Distribution:
    """Four Gaussians that differ in weight, width and direction."""
    return mixture(
        "gaussian-mixture",
        "four Gaussians of different weight, width and direction",
        weights=np.array([0.4, 0.3, 0.2, 0.1]),
        means=np.array([[-2.0, 0.0], [2.0, 1.0], [0.5, -2.0], [0.0, 2.5]]),
        covariances=np.array(
            [
                [[0.5, 0.3], [0.3, 0.4]],
                [[0.2, -0.15], [-0.15, 0.5]],
                [[1.0, 0.0], [0.0, 0.05]],
                [[0.04, 0.0], [0.0, 0.04]],
            ]
        ),
    )


def gaussian() -> Distribution:
    """One Gaussian with correlated columns: standard deviations 2 and 1, correlation 0.8."""
    covariance = np.array([[[4.0, 1.6], [1.6, 1.0]]])
    return mixture("gaussian", "one Gaussian, correlation 0.8", np.ones(1), np.array([[1.0, -1.0]]), covariance)


def many_columns(D: int) -> Distribution:
    """Five equally likely Gaussians of D columns with random means and full covariances."""
    name, summary = f"mixture-{D}d", f"five Gaussians in {D} dimensions, random full covariances"
    return random_mixture(D, 5, seed=D, equal=True).distribution(name, summary, "one of five Gaussians")


def mixture(name: str, summary: str, weights: FloatArray, means: FloatArray, covariances: FloatArray) -> Distribution:
    """The distribution of the mixture with weights (K,), means (K, D) and covariances (K, D, D)."""
    return GaussianMixture(weights, means, covariances).distribution(name, summary)
