"""Laws that are mixtures of Gaussians:  p(x) = Σ_k w_k N(x; m_k, C_k)."""

from dataclasses import replace

import numpy as np

from driftfield.datasets.law import FloatArray, Law, planar_law
from driftfield.datasets.quadrature import logsumexp, plane_entropy

_REACH = 8.0  # the entropy's box ends so many standard deviations from every mean
_GRID = 0.5  # and its grid has this spacing, in units of the smallest standard deviation


def eight_gaussians() -> Law:
    """Eight equal Gaussians on a circle, 4/1.414 from the centre, each with a standard deviation of 0.5/1.414."""
    angle = np.arange(8) * np.pi / 4
    means = 4 / 1.414 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    covariances = np.tile((0.5 / 1.414) ** 2 * np.eye(2), (8, 1, 1))
    whole = mixture("8-gaussians", "eight round Gaussians on a circle", np.full(8, 1 / 8), means, covariances)
    each = tuple(
        mixture(str(i + 1), "one of eight Gaussians", np.ones(1), means[i : i + 1], covariances[i : i + 1])
        for i in range(8)
    )
    return replace(whole, classes=each)


def gaussian_mixture() -> Law:
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


def gaussian() -> Law:
    """One Gaussian with correlated columns: standard deviations 2 and 1, correlation 0.8."""
    covariance = np.array([[[4.0, 1.6], [1.6, 1.0]]])
    return mixture("gaussian", "one Gaussian, correlation 0.8", np.ones(1), np.array([[1.0, -1.0]]), covariance)


def mixture(name: str, summary: str, weights: FloatArray, means: FloatArray, covariances: FloatArray) -> Law:
    """The planar mixture with weights (K,), means (K, 2) and covariances (K, 2, 2)."""
    factors = np.linalg.cholesky(covariances)  # (K, 2, 2)
    inverses = np.linalg.inv(factors)
    log_scale = np.log(weights) - np.log(np.linalg.det(factors)) - np.log(2 * np.pi)  # (K,)

    def draw(n: int, rng: np.random.Generator) -> FloatArray:
        component = rng.choice(len(weights), n, p=weights)
        noise = rng.standard_normal((n, 2))
        return np.asarray(means[component] + np.einsum("nij,nj->ni", factors[component], noise))

    def log_density(x: FloatArray) -> FloatArray:
        white = np.einsum("kij,nkj->nki", inverses, x[:, None] - means)  # (n, K, 2)
        return logsumexp(log_scale - (white**2).sum(axis=-1) / 2)

    def entropy() -> float:
        spread = np.sqrt(np.linalg.eigvalsh(covariances))  # (K, 2)
        margin = _REACH * spread.max(axis=1, keepdims=True)
        low, high = (means - margin).min(axis=0), (means + margin).max(axis=0)
        return plane_entropy(log_density, low, high, _GRID * float(spread.min()))

    return planar_law(name, summary, draw, log_density, entropy)
