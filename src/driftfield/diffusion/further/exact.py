r"""Exact denoisers: distributions whose posterior mean is known at every noise level, the oracle of every test.

For a Gaussian mixture sum_k w_k N(m_k, S_k), the noisy distribution is a mixture again, with C_k = alpha^2 S_k +
sigma^2 I:

    p(x_t) = sum_k w_k N(x_t; alpha m_k, C_k),        r_k = w_k N(x_t; alpha m_k, C_k) / p(x_t)
    eps_hat = -sigma grad log p(x_t) = sigma sum_k r_k C_k^{-1} (x_t - alpha m_k)
    x_hat   = sum_k r_k [ m_k + alpha S_k C_k^{-1} (x_t - alpha m_k) ]

The empirical distribution of n rows x_i (what a network that memorises learns; Karras et al. 2022, appendix B.3) is the
case S_k = 0:  x_hat = sum_i softmax_i( -|x_t - alpha x_i|^2 / (2 sigma^2) ) x_i.

The posterior of the data is known beyond its mean. Given the component, x is Gaussian with mean
mu_k = m_k + alpha S_k C_k^{-1} (x_t - alpha m_k) and covariance sigma^2 S_k C_k^{-1}, so

    Cov[x | x_t] = sum_k r_k [ sigma^2 S_k C_k^{-1} + (mu_k - x_hat)(mu_k - x_hat)^T ]
                 = (sigma^2 / alpha^2) (I + sigma^2 Hessian log p(x_t)),

the second line for every distribution (Tweedie's formula of second order; Efron 2011, eq. 2.8).

Everything is computed in float64 with logarithms of weights, and is stable from sigma = 1e-4 to sigma = 1e4.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from driftfield.diffusion.basics.denoisers import BaseDenoiser, Estimate, extend_estimate
from driftfield.diffusion.basics.schedules import Schedule
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
        variances, axes = principal(covariances.double())  # (K, D), (K, D, D)
        self.register_buffer("log_weights", torch.log(weights.double() / weights.double().sum()))
        self.register_buffer("means", means.double())
        self.register_buffer("variances", variances)
        self.register_buffer("axes", axes)

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        """The exact estimate at x_t (B, D), t () or (B,); computed in float64, returned in x_t's dtype."""
        x, asked = self.schedule.clamp_state(x_t, t)
        alpha, sigma = coefficients(self.schedule, asked, len(x))
        z, C, log_joint = self._joint(x, alpha, sigma)
        r = torch.softmax(log_joint, 1)[..., None]  # (B, K, 1)
        whitened = z / C
        eps = sigma * (r * self._rotate_back(whitened)).sum(1)
        x0 = (r * (self.means + alpha[..., None] * self._rotate_back(self.variances * whitened))).sum(1)
        return extend_estimate(Estimate(x0.to(x_t.dtype), eps.to(x_t.dtype), asked, self.schedule), x_t, t)

    def log_prob(self, x_t: Tensor, t: Tensor) -> Tensor:
        """log p(x_t) in nats; (B,) float64. At t = 0 it is the density of the data."""
        alpha, sigma = coefficients(self.schedule, t.double(), len(x_t))
        return torch.logsumexp(self._joint(x_t, alpha, sigma)[2], 1)

    def moments(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (B, D) and covariance (B, D, D) of the data given x_t, in float64."""
        x_t, t = self.schedule.clamp_state(x_t, t)
        alpha, sigma = coefficients(self.schedule, t, len(x_t))
        z, C, log_joint = self._joint(x_t, alpha, sigma)
        r = torch.softmax(log_joint, 1)[..., None]  # (B, K, 1)
        means = self.means + alpha[..., None] * self._rotate_back(self.variances * z / C)  # (B, K, D)
        mean = (r * means).sum(1)
        away = means - mean[:, None]
        inner = self.variances * sigma[..., None] ** 2 / C  # (B, K, D)
        within = torch.einsum("bke,kde,kfe->bdf", r * inner, self.axes, self.axes)
        return mean, within + (r * away).mT @ away

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n rows of the mixture itself; (n, D) float64."""
        component = torch.multinomial(self.log_weights.exp(), n, replacement=True, generator=generator)
        eps = torch.randn(n, self.means.shape[1], dtype=torch.float64, generator=generator)
        scaled = self.variances[component].sqrt() * eps
        return self.means[component] + torch.einsum("bde,be->bd", self.axes[component], scaled)

    def _joint(self, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        residual = x_t.double()[:, None] - alpha[..., None] * self.means  # (B, K, D)
        z = torch.einsum("kde,bkd->bke", self.axes, residual)  # on the principal axes
        C = alpha[..., None] ** 2 * self.variances + sigma[..., None] ** 2  # (B, K, D)
        log_density = -0.5 * (z**2 / C + torch.log(C) + math.log(2 * math.pi)).sum(-1)
        return z, C, self.log_weights + log_density

    def _rotate_back(self, z: Tensor) -> Tensor:
        return torch.einsum("kde,bke->bkd", self.axes, z)


class TiedMixtureDenoiser(BaseDenoiser):
    """The exact denoiser of Gaussians that share one covariance, sum_i w_i N(m_i, S); memory is bounded by chunking.

    With every S_k = S the responsibilities mix the means alone: x_hat = m + alpha S C^{-1} (x_t - alpha m) with
    m = sum_i r_i m_i. That serves distributions that are cut into very many small parts.

    Args:
        schedule: the noise schedule.
        points: the means, (M, *D).
        log_weights: (M,), normalised here; equal weights for None.
        covariance: (D, D) of the flattened points, symmetric, positive semi-definite; zero for None.
        chunk: how many numbers are held at a time.
    """

    points: Tensor
    log_weights: Tensor
    variances: Tensor
    axes: Tensor | None

    def __init__(
        self,
        schedule: Schedule,
        points: Tensor,
        log_weights: Tensor | None = None,
        covariance: Tensor | None = None,
        chunk: int = 1_000_000,
    ) -> None:
        super().__init__(schedule)
        points = points.double().flatten(1)  # (M, D)
        if log_weights is None:
            log_weights = points.new_zeros(len(points))
        variances, axes = points.new_zeros(points.shape[1]), None
        if covariance is not None:
            variances, axes = principal(covariance.double()[None])
            variances, axes = variances[0], axes[0]
            points = points @ axes  # on the principal axes, as everything below
        self.register_buffer("points", points)
        self.register_buffer("log_weights", torch.log_softmax(log_weights.double(), 0))
        self.register_buffer("variances", variances)
        self.register_buffer("axes", axes)
        self.chunk = max(1, chunk // points.numel())

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        """The exact estimate at x_t (B, *D), t () or (B,); computed in float64, returned in x_t's dtype."""
        x, asked = self.schedule.clamp_state(x_t, t)
        y, alpha, sigma, C = self._placed(x, asked)
        mean = torch.cat([torch.softmax(self._joint(*part), 1) @ self.points for part in self._parts(y, alpha, C)])
        x0 = mean + alpha * self.variances / C * (y - alpha * mean)
        eps = sigma * (y - alpha * mean) / C
        x0, eps = (self._back(part).view_as(x_t).to(x_t.dtype) for part in (x0, eps))
        return extend_estimate(Estimate(x0, eps, asked, self.schedule), x_t, t)

    def log_prob(self, x_t: Tensor, t: Tensor) -> Tensor:
        """log p(x_t) in nats; (B,) float64. At t = 0 it is the density of the data.

        Raises InputError where there is no density: for a singular covariance at t = 0.
        """
        y, alpha, _, C = self._placed(x_t, t.double())
        if not (C > 0).all():
            raise InputError(
                "A distribution with a singular covariance has no density without noise: ask at a time above 0."
            )
        log_sum = torch.cat([torch.logsumexp(self._joint(*part), 1) for part in self._parts(y, alpha, C)])
        return log_sum - 0.5 * (torch.log(C) + math.log(2 * math.pi)).sum(1)

    def moments(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (B, D) and covariance (B, D, D) of the data given x_t, in float64; D is flattened."""
        x_t, t = self.schedule.clamp_state(x_t, t)
        y, alpha, sigma, C = self._placed(x_t, t)
        means, spreads = [], []
        for part in self._parts(y, alpha, C):
            r = torch.softmax(self._joint(*part), 1)
            mean = r @ self.points
            away = self.points - mean[:, None]  # (b, M, D)
            means.append(mean)
            spreads.append((r[..., None] * away).mT @ away)
        mean = torch.cat(means)
        shrink = sigma**2 / C  # (B, D): how much of a distance between means is left between posterior means
        covariance = shrink[:, :, None] * torch.cat(spreads) * shrink[:, None]
        covariance = covariance + torch.diag_embed(self.variances * shrink)
        mean = mean + alpha * self.variances / C * (y - alpha * mean)
        return self._back(mean), covariance if self.axes is None else self.axes @ covariance @ self.axes.mT

    def _placed(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(x_t on the principal axes (B, D), alpha (B, 1), sigma (B, 1), C (B, D))."""
        y = x_t.double().flatten(1)
        y = y if self.axes is None else y @ self.axes
        alpha, sigma = coefficients(self.schedule, t, len(y))
        return y, alpha, sigma, alpha**2 * self.variances + sigma**2

    def _parts(self, *rows: Tensor) -> Iterator[tuple[Tensor, ...]]:
        return zip(*(torch.split(tensor, self.chunk) for tensor in rows), strict=True)

    def _joint(self, y: Tensor, alpha: Tensor, C: Tensor) -> Tensor:
        # No |a|^2 - 2ab + |b|^2, which cancels. The points last: sums over a short last axis are slow.
        scale = C.rsqrt()[..., None]  # (b, D, 1)
        difference = scale * y[..., None] - scale * alpha[..., None] * self.points.mT  # (b, D, M)
        return self.log_weights - 0.5 * difference.square_().sum(1)  # (b, M)

    def _back(self, y: Tensor) -> Tensor:
        return y if self.axes is None else y @ self.axes.mT


class EmpiricalDenoiser(TiedMixtureDenoiser):
    """The exact denoiser of the empirical distribution of the rows ``data`` (n, *D); memory is bounded by chunking.

    Args:
        chunk: how many numbers are held at a time.
    """

    def __init__(self, schedule: Schedule, data: Tensor, chunk: int = 1_000_000) -> None:
        super().__init__(schedule, data, chunk=chunk)


def exact_denoiser(
    schedule: Schedule, points: Tensor, log_weights: Tensor, covariance: Tensor
) -> MixtureDenoiser | TiedMixtureDenoiser:
    """The exact denoiser of sum_i w_i N(points_i, S): S is one covariance (D, D), or one each (M, D, D).

    Points (M, D), log_weights (M,), normalised here. Raises InputError for a covariance with a negative eigenvalue.
    """
    if covariance.ndim == 2:
        return TiedMixtureDenoiser(schedule, points, log_weights, covariance)
    weights = torch.softmax(log_weights.double(), 0)
    kept = weights > 0
    return MixtureDenoiser(schedule, weights[kept], points[kept], covariance[kept])


def principal(covariances: Tensor) -> tuple[Tensor, Tensor]:
    """Variances (K, D) along the principal axes of covariances (K, D, D), and the axes (K, D, D) as columns.

    Raises InputError for a covariance with a negative eigenvalue.
    """
    variances, axes = torch.linalg.eigh(covariances)
    lowest = variances.amin(1)
    bad = lowest < -1e-6 * variances.abs().amax(1)  # beyond what rounding leaves of zero
    if bad.any():
        k = int(bad.nonzero()[0])
        raise InputError(
            f"The covariance of component {k + 1} has the negative eigenvalue {float(lowest[k]):.3g}: covariances "
            "must be positive semi-definite."
        )
    return variances.clamp(min=0), axes


def coefficients(schedule: Schedule, t: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """alpha and sigma at t, () or (B,), for each row; (B, 1) each."""
    t = t.expand(rows) if t.ndim == 0 else t
    return schedule.alpha(t)[:, None], schedule.sigma(t)[:, None]
