r"""Kernels: the reverse transition p(x_s | x_t) of ancestral sampling.

A denoiser gives the mean of the bridge q(x_s | x_t, x) with x_hat for x; its variance is a choice (Ho et al.
2020, sec. 3.2):

    "small"     var_ts sigma_s^2 / sigma_t^2    the bridge's own: right when the data are a point
    "large"     var_ts                          for neighbours of a chain, beta_t: right when the data are N(0, I)
    "marginal"  sigma_s^2                       a mistake to look at: 1 - alpha_bar of the step before, which a
                widely read tutorial takes for the posterior's variance; too large by the factor sigma_t^2 / var_ts

All are zero noise at s = 0: the last step returns x_hat.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from driftfield.diffusion.basics.bridge import bridge_mean, bridge_variance, transition
from driftfield.diffusion.basics.denoisers import BaseDenoiser, Estimate
from driftfield.diffusion.basics.gaussian import Gaussian
from driftfield.diffusion.basics.schedules import Schedule, match
from driftfield.errors import unknown_name

Variance = Callable[[Estimate, Tensor, Tensor], Tensor]  # (estimate, t, s) -> log variance, broadcastable to (B, *D)


class Kernel(Protocol):
    """A reverse process: ``step`` gives p(x_s | x_t) for x_t (B, *D), t and s () or (B,), s < t."""

    @property
    def schedule(self) -> Schedule: ...

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, cond: Tensor | None = None) -> Gaussian: ...


def small_variance(estimate: Estimate, t: Tensor, s: Tensor) -> Tensor:
    """log of var_ts sigma_s^2 / sigma_t^2."""
    return match(bridge_variance(estimate.schedule, t, s), estimate.x0)


def large_variance(estimate: Estimate, t: Tensor, s: Tensor) -> Tensor:
    """log of var_ts, and -inf (no noise) at s = 0."""
    log_var = transition(estimate.schedule, t, s)[1]
    return match(torch.where(s > 0, log_var, torch.full_like(log_var, -torch.inf)), estimate.x0)


def marginal_variance(estimate: Estimate, t: Tensor, s: Tensor) -> Tensor:
    """log of sigma_s^2: no reverse step of the process has this variance unless x_t is independent of x_s."""
    return match(2 * estimate.schedule.log_sigma(s.double()), estimate.x0)


VARIANCES: dict[str, Variance] = {"small": small_variance, "large": large_variance, "marginal": marginal_variance}


class DenoiserKernel:
    """p(x_s | x_t) from a denoiser and a variance: a name in VARIANCES, or a function (estimate, t, s) -> log variance.

    Called with x_t (B, *D), t and s () or (B,), s < t; returns the Gaussian of x_s.

    Raises:
        InputError: the name is unknown.
    """

    def __init__(self, denoiser: BaseDenoiser, variance: str | Variance = "small") -> None:
        if isinstance(variance, str):
            if variance not in VARIANCES:
                raise unknown_name("variance", variance, VARIANCES)
            variance = VARIANCES[variance]
        self.denoiser = denoiser
        self.variance = variance

    @property
    def schedule(self) -> Schedule:
        """The denoiser's."""
        return self.denoiser.schedule

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, cond: Tensor | None = None) -> Gaussian:
        """p(x_s | x_t) = N( mean of q(x_s | x_t, x_hat), exp(log variance) )."""
        estimate = self.denoiser(x_t, t, cond)
        return Gaussian(bridge_mean(self.schedule, x_t, estimate.x0, t, s), self.variance(estimate, t, s))

    __call__ = step
