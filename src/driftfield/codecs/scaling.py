r"""Scaling: the affine map between the user's units and those of the network.

    z = (x - mean) A,        x = mean + z A^{-1}

with A diagonal (per column) or the symmetric inverse square root of the covariance, which turns a Gaussian table into
N(0, I), the case that the default denoiser solves before it is trained. Densities and scores change units with the map,

    log p(x) = log p(z) + log |det A|,        grad_x log p(x) = A grad_z log p(z)      (row vectors: A is symmetric).

The covariance is a shrunk one. With n rows standardised by column, z_i, and S = mean z_i z_i^T their correlations,

    C = (1 - rho) S + rho m I,    m = tr S / D,    rho = min(1, b / d),
    b = 1/n^2 sum_i |z_i z_i^T - S|^2,    d = |S - m I|^2      (Ledoit, Wolf 2004, A well-conditioned estimator for
                                                                large-dimensional covariance matrices, section 3)

so that rows that are few beside the columns, or fewer than these, leave no direction without a spread; rho falls as
1/n. With weights w_i, moments are weighted means, and 1/n^2 is (w_i / sum w)^2.

Moments are taken in float64 after division by each column's largest size, so that 1e30 and 1e-30 are ordinary.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
SMALLEST_EIGENVALUE = 1e-9  # of a correlation matrix: columns that repeat each other keep a finite scale


def shrunk_covariance(z: FloatArray, weights: FloatArray | None = None) -> tuple[FloatArray, float]:
    """(C, rho) of the module's docstring: the shrunk covariance (D, D) of centred rows z (n, D), and its shrinkage."""
    n, D = z.shape
    share = np.full(n, 1 / n) if weights is None else weights / weights.sum()  # (n,)
    S = (z * share[:, None]).T @ z
    size = np.square(S).sum()
    distances = np.square(z).sum(1) ** 2 - 2 * np.einsum("ni,ij,nj->n", z, S, z, optimize=True) + size  # |z z^T - S|^2
    target = np.trace(S) / D * np.eye(D)
    b, d = (share**2 * distances).sum(), np.square(S - target).sum()
    rho = float(min(b / d, 1.0)) if d > 0 else 0.0
    return (1 - rho) * S + rho * target, rho


@dataclass(frozen=True)
class Scaler:
    """The map z = (x - mean) / scale @ rotation; ``inverse`` undoes the rotation. All float64, in the user's units."""

    mean: FloatArray  # (D,)
    scale: FloatArray  # (D,)
    rotation: FloatArray  # (D, D), symmetric
    inverse: FloatArray  # (D, D)

    @classmethod
    def fit(
        cls, rows: FloatArray, kind: str = "whiten", weights: FloatArray | None = None, shrink: bool = True
    ) -> "Scaler":
        """The scaler of rows (n, D), weighted by ``weights`` (n,): "whiten", "standard" or "none".

        ``shrink`` is False for trainings that were begun when the covariance was not shrunk.
        """
        D = rows.shape[1]
        if kind == "none":
            return cls(np.zeros(D), np.ones(D), np.eye(D), np.eye(D))
        largest = np.abs(rows).max(0)
        largest[largest == 0] = 1.0
        part = rows / largest
        mean = np.average(part, axis=0, weights=weights)
        scale = np.sqrt(np.average((part - mean) ** 2, axis=0, weights=weights))
        mean, scale = mean * largest, np.where(scale > 0, scale, 1.0) * largest
        if kind == "standard" or D == 1:
            return cls(mean, scale, np.eye(D), np.eye(D))
        z = (rows - mean) / scale
        correlation = shrunk_covariance(z, weights)[0] if shrink else z.T @ z / len(z)
        values, axes = np.linalg.eigh(correlation)
        values = np.maximum(values, SMALLEST_EIGENVALUE)
        return cls(mean, scale, (axes / np.sqrt(values)) @ axes.T, (axes * np.sqrt(values)) @ axes.T)

    @property
    def log_det(self) -> float:
        """log |det A|, what log-densities gain on the way back to the user's units; nats."""
        return float(np.linalg.slogdet(self.rotation)[1] - np.log(self.scale).sum())

    def forward(self, x: FloatArray) -> NDArray[np.float32]:
        """z (n, D) in float32 from x (n, D); infinite or NaN where float32 or float64 overflows."""
        with np.errstate(over="ignore", invalid="ignore"):  # out of the range of float32 is infinite
            return (((x - self.mean) / self.scale) @ self.rotation).astype(np.float32)

    def back(self, z: NDArray[np.floating]) -> FloatArray:
        """x (..., D) from z (..., D)."""
        result: FloatArray = self.mean + (z.astype(np.float64) @ self.inverse) * self.scale
        return result

    def score_back(self, score: NDArray[np.floating]) -> FloatArray:
        """The score in the user's units, grad_x log p = (grad_z log p) A^T, from (n, D)."""
        result: FloatArray = (score.astype(np.float64) @ self.rotation) / self.scale
        return result
