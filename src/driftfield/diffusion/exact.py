r"""Exact denoisers: laws whose posterior mean is known at every noise level, the oracle of every test.

For a Gaussian mixture sum_k w_k N(m_k, S_k), the noisy law is a mixture again, with C_k = alpha^2 S_k + sigma^2 I:

    p(x_t) = sum_k w_k N(x_t; alpha m_k, C_k),        r_k = w_k N(x_t; alpha m_k, C_k) / p(x_t)
    eps_hat = -sigma grad log p(x_t) = sigma sum_k r_k C_k^{-1} (x_t - alpha m_k)
    x_hat   = sum_k r_k [ m_k + alpha S_k C_k^{-1} (x_t - alpha m_k) ]

The empirical law of n rows x_i (what a network that memorises learns; Karras et al. 2022, appendix B.3) is the case
S_k = 0:  x_hat = sum_i softmax_i( -|x_t - alpha x_i|^2 / (2 sigma^2) ) x_i.

Everything is computed in float64 with logarithms of weights, and is stable from sigma = 1e-4 to sigma = 1e4.
"""

import math

import torch
from torch import Tensor

from driftfield.diffusion.denoisers import BaseDenoiser, Estimate
from driftfield.diffusion.schedules import Schedule
from driftfield.errors import InputError


class MixtureDenoiser(BaseDenoiser):
    """The exact denoiser of a Gaussian mixture.

    Args:
        schedule: the noise schedule.
        weights: (K,) positive; normalised here.
        means: (K, D).
        covariances: (K, D, D) symmetric, positive semi-definite.
    """

    log_weights: Tensor
    means: Tensor
    variances: Tensor
    axes: Tensor

    def __init__(self, schedule: Schedule, weights: Tensor, means: Tensor, covariances: Tensor) -> None:
        super().__init__(schedule)
        if not (weights > 0).all():
            raise InputError("The weights of a mixture must be positive: leave out the components without weight.")
        variances, axes = torch.linalg.eigh(covariances.double())  # (K, D), (K, D, D) with axes as columns
        lowest = variances.amin(1)
        bad = lowest < -1e-6 * variances.abs().amax(1)  # beyond what rounding leaves of zero
        if bad.any():
            k = int(bad.nonzero()[0])
            raise InputError(
                f"The covariance of component {k + 1} has the negative eigenvalue {float(lowest[k]):.3g}: covariances "
                "must be positive semi-definite."
            )
        self.register_buffer("log_weights", torch.log(weights.double() / weights.double().sum()))
        self.register_buffer("means", means.double())
        self.register_buffer("variances", variances.clamp(min=0))
        self.register_buffer("axes", axes)

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        """The exact estimate at x_t (B, D), t () or (B,); computed in float64, returned in x_t's dtype."""
        x_t, t = self.schedule.askable(x_t, t)
        alpha, sigma = self._coefficients(x_t, t)
        z, C, log_joint = self._joint(x_t, alpha, sigma)
        r = torch.softmax(log_joint, 1)[..., None]  # (B, K, 1)
        whitened = z / C
        eps = sigma * (r * self._rotate_back(whitened)).sum(1)
        x0 = (r * (self.means + alpha[..., None] * self._rotate_back(self.variances * whitened))).sum(1)
        return Estimate(x0.to(x_t.dtype), eps.to(x_t.dtype), t, self.schedule)

    def log_prob(self, x_t: Tensor, t: Tensor) -> Tensor:
        """log p(x_t) in nats; (B,) float64. At t = 0 it is the density of the data."""
        alpha, sigma = self._coefficients(x_t, t.double())
        return torch.logsumexp(self._joint(x_t, alpha, sigma)[2], 1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n rows of the mixture itself; (n, D) float64."""
        component = torch.multinomial(self.log_weights.exp(), n, replacement=True, generator=generator)
        eps = torch.randn(n, self.means.shape[1], dtype=torch.float64, generator=generator)
        scaled = self.variances[component].sqrt() * eps
        return self.means[component] + torch.einsum("bde,be->bd", self.axes[component], scaled)

    def _coefficients(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        t = t.expand(len(x_t)) if t.ndim == 0 else t
        return self.schedule.alpha(t)[:, None], self.schedule.sigma(t)[:, None]  # (B, 1)

    def _joint(self, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        residual = x_t.double()[:, None] - alpha[..., None] * self.means  # (B, K, D)
        z = torch.einsum("kde,bkd->bke", self.axes, residual)  # on the principal axes
        C = alpha[..., None] ** 2 * self.variances + sigma[..., None] ** 2  # (B, K, D)
        log_density = -0.5 * (z**2 / C + torch.log(C) + math.log(2 * math.pi)).sum(-1)
        return z, C, self.log_weights + log_density

    def _rotate_back(self, z: Tensor) -> Tensor:
        return torch.einsum("kde,bke->bkd", self.axes, z)


class EmpiricalDenoiser(BaseDenoiser):
    """The exact denoiser of the empirical law of the rows ``data`` (n, *D); memory is bounded by chunking.

    Args:
        chunk: how many numbers are held at a time.
    """

    data: Tensor

    def __init__(self, schedule: Schedule, data: Tensor, chunk: int = 10_000_000) -> None:
        super().__init__(schedule)
        self.register_buffer("data", data.double())
        self.chunk = max(1, chunk // self.data.numel())

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        """The exact estimate at x_t (B, *D), t () or (B,); computed in float64, returned in x_t's dtype."""
        x_t, t = self.schedule.askable(x_t, t)
        times = t.expand(len(x_t)) if t.ndim == 0 else t
        alpha, sigma = self.schedule.alpha(times)[:, None], self.schedule.sigma(times)[:, None]  # (B, 1)
        flat, rows = x_t.double().flatten(1), self.data.flatten(1)
        x0 = torch.empty_like(flat)
        for i in range(0, len(flat), self.chunk):
            part = slice(i, i + self.chunk)
            difference = (
                flat[part, None] - alpha[part, None] * rows
            )  # (chunk, n, D): no |a|^2 - 2ab + |b|^2, which cancels
            x0[part] = torch.softmax(-0.5 * (difference / sigma[part, None]).square().sum(-1), 1) @ rows
        eps = (flat - alpha * x0) / sigma
        return Estimate(x0.view_as(x_t).to(x_t.dtype), eps.view_as(x_t).to(x_t.dtype), t, self.schedule)
