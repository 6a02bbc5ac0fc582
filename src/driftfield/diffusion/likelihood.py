r"""Exact log-densities by the probability-flow ODE, with an error estimate for each row.

The probability-flow ODE carries data to the prior and changes log-densities by its divergence (Chen et al. 2018, eq. 8;
Song et al. 2021, eq. 39). It is solved here in the variables

    tau = log(sigma / alpha) = gamma / 2,         z = x_t / sqrt(alpha^2 + sigma^2) = y / sqrt(1 + lambda^2),

with y = x_t / alpha and lambda = sigma / alpha, where dy / dlambda = eps_hat. Hence

    dz / dtau      = lambda / sqrt(1 + lambda^2) eps_hat - lambda^2 / (1 + lambda^2) z
    d log p / dtau = - div_z (dz / dtau).

For data of unit variance the right-hand side vanishes if they are Gaussian, so that only the departure from the
Gaussian has to be integrated, and it is bounded at both ends, whatever the schedule. The integrator is the
classical Runge-Kutta method of order 4 on equal steps in tau; the divergence is exact, by differentiation along each
dimension.

The density is that of the data at the smallest noise level of the schedule, t_low. With n steps and with n / 2, order 4
would give the error estimate |log p_n - log p_{n/2}| / 15 (Hairer et al. 1993, sec. II.4) if n were large. Where the
learned field is rough it is not, so the difference itself is reported: measured on exact mixtures of std 0.03 to 0.1
with 24 steps, the true error exceeds it in 1 to 2 % of the rows.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from driftfield.diffusion.denoisers import BaseDenoiser
from driftfield.diffusion.gaussian import Gaussian
from driftfield.diffusion.schedules import match
from driftfield.errors import InputError


@dataclass(frozen=True)
class LogDensity:
    """``value``: log p(x) in nats (B,); ``error``: its estimated integration error in nats (B,); ``latent``: x_1."""

    value: Tensor
    error: Tensor
    latent: Tensor


def log_prob(
    denoiser: BaseDenoiser, x: Tensor, prior: Gaussian, steps: int = 32, cond: Tensor | None = None
) -> LogDensity:
    """log p(x) by the probability-flow ODE, and its error from step halving.

    Args:
        x: (B, *D) data, in the denoiser's units.
        prior: the Gaussian that stands for x_1, of event shape (*D).
        steps: Runge-Kutta steps, even; each costs four evaluations with D derivatives.

    Raises:
        InputError: ``steps`` is odd or below 2.
    """
    if steps < 2 or steps % 2:
        raise InputError(f"The likelihood needs an even number of steps, at least 2, but {steps} were asked for.")
    fine, latent = _solve(denoiser, x, prior, steps, cond)
    coarse, _ = _solve(denoiser, x, prior, steps // 2, cond)
    return LogDensity(fine, (fine - coarse).abs(), latent)


def _solve(
    denoiser: BaseDenoiser, x: Tensor, prior: Gaussian, steps: int, cond: Tensor | None
) -> tuple[Tensor, Tensor]:
    schedule = denoiser.schedule
    ends = torch.tensor([schedule.t_low, schedule.t_high, 1.0], dtype=torch.float64, device=x.device)
    low, high, _ = schedule.gamma(ends) / 2
    size = torch.hypot(schedule.alpha(ends), schedule.sigma(ends))
    first_scale, last_scale = schedule.alpha(ends[0]) / size[0], size[2]  # beyond t_high z does not change any more
    slope = _slope(denoiser, cond)

    z = x * first_scale.to(x)
    log_change = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    h = (high - low) / steps
    taus = low + h / 2 * torch.arange(2 * steps + 1, dtype=torch.float64, device=x.device)
    nodes = list(zip(taus, schedule.time(2 * taus), strict=True))
    for i in range(steps):
        begin, middle, end = nodes[2 * i : 2 * i + 3]
        k1, d1 = slope(z, *begin)
        k2, d2 = slope(z + (h / 2).to(z) * k1, *middle)
        k3, d3 = slope(z + (h / 2).to(z) * k2, *middle)
        k4, d4 = slope(z + h.to(z) * k3, *end)
        z = z + (h / 6).to(z) * (k1 + 2 * k2 + 2 * k3 + k4)
        log_change = log_change + h / 6 * (d1 + 2 * d2 + 2 * d3 + d4).double()
    latent = z * last_scale.to(z)
    dimensions = math.prod(x.shape[1:])
    log_volume = dimensions * (torch.log(first_scale) + torch.log(last_scale))
    return prior.log_prob(latent).double() + log_change + log_volume, latent


Slope = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _slope(denoiser: BaseDenoiser, cond: Tensor | None) -> Slope:
    """dz / dtau (B, *D) and its divergence (B,) as a function of (z, tau, t)."""
    schedule = denoiser.schedule

    def evaluate(z: Tensor, tau: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        size = torch.hypot(schedule.alpha(t), schedule.sigma(t))
        ratio = (2 * tau).exp()
        shrink = ratio / (1 + ratio)

        def velocity(z: Tensor) -> Tensor:
            eps = denoiser(match(size, z) * z, t, cond).eps
            return match(shrink.sqrt(), z) * eps - match(shrink, z) * z

        return _with_divergence(velocity, z)

    return evaluate


def _with_divergence(function: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    """function(z) (B, *D) and its exact divergence (B,): one backward pass for each dimension, on all rows at once.

    Backward passes use the fused derivatives of layers and activations; measured on the default network they take a
    half to a fifth of the time of forward-mode tangents.
    """
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        value = function(z)
        columns = value.flatten(1).sum(0)  # rows do not meet, so the gradient of a sum holds every row's own
        divergence = torch.zeros(len(z), dtype=z.dtype, device=z.device)
        for i, column in enumerate(columns):
            (gradient,) = torch.autograd.grad(column, z, retain_graph=i + 1 < len(columns))
            divergence = divergence + gradient.flatten(1)[:, i]
    return value.detach(), divergence.detach()
