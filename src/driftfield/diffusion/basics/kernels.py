r"""Kernels: the reverse transition p(x_s | x_t) of ancestral sampling.

Its mean is that of the bridge q(x_s | x_t, x) with the denoiser's x_hat in place of x. Its variance is a choice (Ho et
al. 2020, sec. 3.2):

    "small"     var_ts sigma_s^2 / sigma_t^2    that of the bridge: right if the data are a single point
    "large"     var_ts                          beta_t for one step of a chain: right if the data are N(0, I) and
                                                alpha^2 + sigma^2 = 1 (else right is
                                                var_ts (alpha_s^2 + sigma_s^2) / (alpha_t^2 + sigma_t^2))
    "marginal"  sigma_s^2                       a mistake worth knowing: a widely read tutorial takes this for the
                                                variance of the bridge; it is too large by the factor sigma_t^2 / var_ts

None adds noise at s = 0: the last step returns x_hat.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from driftfield.diffusion.basics.bridge import bridge_log_variance, bridge_mean, transition
from driftfield.diffusion.basics.denoisers import BaseDenoiser, Estimate
from driftfield.diffusion.basics.gaussian import Gaussian
from driftfield.diffusion.basics.schedules import Schedule, match
from driftfield.errors import unknown_name

LogVariance = Callable[[Estimate, Tensor, Tensor], Tensor]  # (estimate, t, s) -> log variance, broadcastable to (B, *D)


class Kernel(Protocol):
    """A reverse process: ``step`` gives p(x_s | x_t) for x_t (B, *D), t and s () or (B,), s < t."""

    @property
    def schedule(self) -> Schedule:
        """The schedule of the forward process that it reverses."""

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, cond: Tensor | None = None) -> Gaussian:
        """p(x_s | x_t) for x_t (B, *D), t and s () or (B,), s < t."""


def small_log_variance(estimate: Estimate, t: Tensor, s: Tensor) -> Tensor:
    """Log of var_ts sigma_s^2 / sigma_t^2."""
    return match(bridge_log_variance(estimate.schedule, t, s), estimate.x0)


def large_log_variance(estimate: Estimate, t: Tensor, s: Tensor) -> Tensor:
    """Log of var_ts; -inf (no noise) at s = 0."""
    log_var = transition(estimate.schedule, t, s)[1]
    return match(torch.where(s > 0, log_var, torch.full_like(log_var, -torch.inf)), estimate.x0)


def marginal_log_variance(estimate: Estimate, t: Tensor, s: Tensor) -> Tensor:
    """Log of sigma_s^2, which would be right only if x_t were independent of x_s."""
    return match(2 * estimate.schedule.log_sigma(s.double()), estimate.x0)


VARIANCES: dict[str, LogVariance] = {
    "small": small_log_variance,
    "large": large_log_variance,
    "marginal": marginal_log_variance,
}


class DenoiserKernel:
    """p(x_s | x_t) from a denoiser and a variance.

    Args:
        denoiser: estimates x at x_t.
        variance: a name in VARIANCES, or a function (estimate, t, s) -> log variance, broadcastable to (B, *D).

    Raises:
        InputError: the name is unknown.
    """

    def __init__(self, denoiser: BaseDenoiser, variance: str | LogVariance = "small") -> None:
        if isinstance(variance, str):
            if variance not in VARIANCES:
                raise unknown_name("variance", variance, VARIANCES)
            variance = VARIANCES[variance]
        self.denoiser = denoiser
        self.variance = variance

    @property
    def schedule(self) -> Schedule:
        """The schedule of the denoiser."""
        return self.denoiser.schedule

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, cond: Tensor | None = None) -> Gaussian:
        """p(x_s | x_t), a Gaussian with the mean of q(x_s | x_t, x_hat); x_t (B, *D), t and s () or (B,), s < t."""
        estimate = self.denoiser(x_t, t, cond)
        return Gaussian(bridge_mean(self.schedule, x_t, estimate.x0, t, s), self.variance(estimate, t, s))
