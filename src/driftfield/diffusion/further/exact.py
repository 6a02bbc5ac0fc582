r"""Exact denoisers: distributions whose posterior mean is known at every noise level, the ground truth of many tests.

For a Gaussian mixture sum_k w_k N(m_k, S_k), the noisy distribution is a mixture again, with C_k = alpha^2 S_k +
sigma^2 I:

    p(x_t) = sum_k w_k N(x_t; alpha m_k, C_k),        r_k = w_k N(x_t; alpha m_k, C_k) / p(x_t)
    eps_hat = -sigma grad log p(x_t) = sigma sum_k r_k C_k^{-1} (x_t - alpha m_k)
    x_hat   = sum_k r_k [ m_k + alpha S_k C_k^{-1} (x_t - alpha m_k) ]

The empirical distribution of n rows x_i is the case S_k = 0, and what a network that memorises has learned (Karras et
al. 2022, appendix B.3):  x_hat = sum_i softmax_i( -|x_t - alpha x_i|^2 / (2 sigma^2) ) x_i.

The whole posterior of the data is known. Given the component, x is Gaussian with mean
mu_k = m_k + alpha S_k C_k^{-1} (x_t - alpha m_k) and covariance sigma^2 S_k C_k^{-1}, so

    Cov[x | x_t] = sum_k r_k [ sigma^2 S_k C_k^{-1} + (mu_k - x_hat)(mu_k - x_hat)^T ]
                 = (sigma^2 / alpha^2) (I + sigma^2 Hessian log p(x_t)),

where the second line holds for every distribution (Tweedie's formula of second order; Efron 2011, eq. 2.8).

Everything is computed in float64, weights as logarithms, and is stable from sigma = 1e-4 to sigma = 1e4.
"""

import math
from collections.abc import Iterator
from itertools import repeat

import torch
from torch import Tensor

from driftfield.diffusion.basics.denoisers import BaseDenoiser, Estimate, extend_estimate
from driftfield.diffusion.basics.schedules import Schedule
from driftfield.errors import InputError


class MixtureDenoiser(BaseDenoiser):
    """The exact denoiser of a Gaussian mixture; rows are processed in chunks, so that memory is bounded.

    With one covariance for all components only the means have to be averaged, x_hat = m + alpha S C^{-1} (x_t -
    alpha m) with m = sum_k r_k m_k, which makes mixtures of very many components possible.

    Args:
        schedule: the noise schedule.
        weights: (K,) positive; normalised here.
        means: (K, *D).
        covariances: (K, D, D), one for each component, or (D, D), one for all; symmetric and positive semi-definite,
            over the flattened dimensions. None for zero: all components are single points.
        chunk: how many numbers to hold in memory at a time.

    Raises:
        InputError: a weight is not positive, or a covariance has a negative eigenvalue.
    """

    log_weights: Tensor
    means: Tensor
    variances: Tensor
    axes: Tensor | None
    centres: Tensor

    def __init__(
        self,
        schedule: Schedule,
        weights: Tensor,
        means: Tensor,
        covariances: Tensor | None,
        chunk: int = 1_000_000,
    ) -> None:
        super().__init__(schedule)
        if not (weights > 0).all():
            raise InputError("The weights of a mixture must be positive: leave out the components without weight.")
        means = means.double().flatten(1)  # (K, D)
        variances, axes, centres = means.new_zeros(1, means.shape[1]), None, means
        if covariances is not None:
            covariances = covariances.double()
            variances, axes = principal(covariances if covariances.ndim == 3 else covariances[None])
        if axes is not None:
            centres = torch.einsum("kde,kd->ke", axes.expand(len(means), -1, -1), means)
        self.register_buffer("log_weights", torch.log(weights.double() / weights.double().sum()))
        self.register_buffer("means", means)
        self.register_buffer("variances", variances)  # (K, D), or (1, D) for one covariance
        self.register_buffer("axes", axes)  # (K, D, D), (1, D, D), or None for the axes of the data
        self.register_buffer("centres", centres)  # (K, D): the means on these axes
        self.chunk = max(1, chunk // means.numel())

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        """The exact estimate at x_t (B, *D), t () or (B,); computed in float64, returned in x_t's dtype."""
        x, clamped = self.schedule.clamp_state(x_t, t)
        data, noise = [], []
        for y, alpha, sigma, C in self._chunks(x, clamped):
            r = torch.softmax(self._log_joint(y, alpha, C), 1)
            if len(self.variances) == 1:
                mean = (r @ self.centres)[..., None]  # (b, D, 1)
                residual = (y - alpha * mean) / C
                x_hat = mean + alpha * self.variances.mT * residual
            else:
                difference = y - alpha * self.centres.mT  # (b, D, K)
                residual = r[:, None] * (difference / C)
                x_hat = r[:, None] * (self.centres.mT + alpha * self.variances.mT / C * difference)
            data.append(self._summed(x_hat))
            noise.append(sigma[..., 0] * self._summed(residual))
        x0, eps = (torch.cat(part).view_as(x_t).to(x_t.dtype) for part in (data, noise))
        return extend_estimate(Estimate(x0, eps, clamped, self.schedule), x_t, t)

    def log_prob(self, x_t: Tensor, t: Tensor) -> Tensor:
        """log p(x_t) in nats; (B,) float64. At t = 0 it is that of the data.

        Raises:
            InputError: at t = 0 a covariance is singular, so that there is no density.
        """
        found = []
        for y, alpha, _, C in self._chunks(x_t, t.double()):
            if not (C > 0).all():
                raise InputError(
                    "A distribution with a singular covariance has no density without noise: choose a time above 0."
                )
            found.append(torch.logsumexp(self._log_joint(y, alpha, C), 1))
        return torch.cat(found) - 0.5 * self.means.shape[1] * math.log(2 * math.pi)

    def moments(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (B, D) and covariance (B, D, D) of the data given x_t, in float64; D is flattened."""
        means, covariances = [], []
        for y, alpha, sigma, C in self._chunks(*self.schedule.clamp_state(x_t, t)):
            r = torch.softmax(self._log_joint(y, alpha, C), 1)  # (b, K)
            gain, within = alpha * self.variances.mT / C, sigma**2 * self.variances.mT / C  # (b, D, K) or (b, D, 1)
            each = self._rotated(self.centres.mT + gain * (y - alpha * self.centres.mT))  # (b, K, D)
            mean = r[:, None] @ each  # (b, 1, D)
            weight = r if len(self.variances) > 1 else torch.ones_like(r[:, :1])
            axes = torch.eye(y.shape[1]).to(y)[None] if self.axes is None else self.axes
            means.append(mean[:, 0])
            covariances.append(
                torch.einsum("bk,bek,kde,kfe->bdf", weight, within, axes, axes)
                + (r[..., None] * (each - mean)).mT @ (each - mean)
            )
        return torch.cat(means), torch.cat(covariances)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n rows of the mixture, without noise; (n, D) float64."""
        component = torch.multinomial(self.log_weights.exp(), n, replacement=True, generator=generator)
        eps = torch.randn(n, self.means.shape[1], dtype=torch.float64, generator=generator)
        own = component if len(self.variances) > 1 else torch.zeros_like(component)
        scaled = self.variances[own].sqrt() * eps
        if self.axes is not None:
            scaled = torch.einsum("bde,be->bd", self.axes[own], scaled)
        return self.means[component] + scaled

    def _chunks(self, x_t: Tensor, t: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """(x_t on the principal axes (b, D, K or 1), alpha and sigma (b, 1, 1), the diagonal of C (b, D, K or 1)).

        With one time for all rows, t (), the last three have b = 1.
        """
        coefficients = [part.reshape(-1, 1, 1) for part in (self.schedule.alpha(t), self.schedule.sigma(t))]
        pieces = [torch.split(part, self.chunk) if t.ndim else repeat(part) for part in coefficients]
        for rows, alpha, sigma in zip(torch.split(x_t.double().flatten(1), self.chunk), *pieces, strict=False):
            y = rows[..., None] if self.axes is None else torch.einsum("bd,kde->bek", rows, self.axes)
            yield y, alpha, sigma, alpha**2 * self.variances.mT + sigma**2

    def _log_joint(self, y: Tensor, alpha: Tensor, C: Tensor) -> Tensor:
        """log w_k N(x_t; alpha m_k, C_k) + D/2 log 2 pi; (b, K)."""
        # |a|^2 - 2ab + |b|^2 would cancel. Components are the last axis, as sums over a short last axis are slow.
        scale = C.rsqrt()
        difference = scale * y - scale * alpha * self.centres.mT  # (b, D, K)
        return self.log_weights - 0.5 * (difference.square_().sum(1) + torch.log(C).sum(1))

    def _rotated(self, y: Tensor) -> Tensor:
        """From the principal axes (b, D, K) to those of the data; (b, K, D)."""
        if self.axes is None:
            return y.mT
        return torch.einsum("kde,bek->bkd", self.axes.expand(y.shape[2], -1, -1), y)

    def _summed(self, y: Tensor) -> Tensor:
        """The sum over the components, rotated in the same way; (b, D)."""
        return y.sum(2) if self.axes is None else torch.einsum("kde,bek->bd", self.axes, y)


def empirical_denoiser(schedule: Schedule, data: Tensor, chunk: int = 1_000_000) -> MixtureDenoiser:
    """The exact denoiser of the empirical distribution of the rows ``data`` (n, *D)."""
    return MixtureDenoiser(schedule, torch.ones(len(data), device=data.device), data, None, chunk)


def exact_denoiser(schedule: Schedule, points: Tensor, log_weights: Tensor, covariance: Tensor) -> MixtureDenoiser:
    """The exact denoiser of sum_i w_i N(points_i, S_i).

    Args:
        points, log_weights: (M, D) and (M,); the weights are normalised here, and those that are zero left out.
        covariance: (M, D, D), or one for all points (D, D).
    """
    weights = torch.softmax(log_weights.double(), 0)
    kept = weights > 0
    return MixtureDenoiser(
        schedule, weights[kept], points[kept], covariance if covariance.ndim == 2 else covariance[kept]
    )


def principal(covariances: Tensor) -> tuple[Tensor, Tensor | None]:
    """Variances (K, D) along the principal axes of covariances (K, D, D), and the axes (K, D, D) as columns.

    Where all covariances are diagonal, the axes are those of the data, and None.

    Raises:
        InputError: a covariance has a negative eigenvalue.
    """
    diagonal = covariances.diagonal(dim1=1, dim2=2)  # (K, D)
    variances, axes = (
        (diagonal, None) if torch.equal(covariances, torch.diag_embed(diagonal)) else torch.linalg.eigh(covariances)
    )
    lowest = variances.amin(1)
    bad = lowest < -1e-6 * variances.abs().amax(1)  # more than rounding errors
    if bad.any():
        k = int(bad.nonzero()[0])
        raise InputError(
            f"The covariance of component {k + 1} has the negative eigenvalue {float(lowest[k]):.3g}: covariances "
            "must be positive semi-definite."
        )
    return variances.clamp(min=0), axes
