r"""Kernels: the reverse transition p(x_s | x_t) of ancestral sampling.

A denoiser gives the mean of the bridge q(x_s | x_t, x) with x_hat for x; its variance is a choice (Ho et al.
2020, sec. 3.2):

    "small"   var_ts sigma_s^2 / sigma_t^2    the bridge's own: right when the data are a point
    "large"   var_ts                          for neighbouring steps of a chain, beta_t: right when the data are N(0, I)

Both are zero noise at s = 0: the last step returns x_hat.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from driftfield.diffusion.bridge import bridge_mean, bridge_variance, transition
from driftfield.diffusion.denoisers import BaseDenoiser, Estimate
from driftfield.diffusion.gaussian import Gaussian
from driftfield.diffusion.schedules import Schedule, match
from driftfield.errors import unknown_name

Kernel = Callable[[Tensor, Tensor, Tensor, Tensor | None], Gaussian]


def small_variance(schedule: Schedule, t: Tensor, s: Tensor) -> Tensor:
    """log of var_ts sigma_s^2 / sigma_t^2."""
    return bridge_variance(schedule, t, s)


def large_variance(schedule: Schedule, t: Tensor, s: Tensor) -> Tensor:
    """log of var_ts, and -inf (no noise) at s = 0."""
    log_var = transition(schedule, t, s)[1]
    return torch.where(s > 0, log_var, torch.full_like(log_var, -torch.inf))


VARIANCES: dict[str, Callable[[Schedule, Tensor, Tensor], Tensor]] = {"small": small_variance, "large": large_variance}


class DenoiserKernel:
    """p(x_s | x_t) from a denoiser and a variance rule: "small" or "large".

    Called with x_t (B, *D), t and s () or (B,), s < t; returns the Gaussian of x_s.
    """

    def __init__(self, denoiser: BaseDenoiser, variance: str = "small") -> None:
        if variance not in VARIANCES:
            raise unknown_name("variance", variance, VARIANCES)
        self.denoiser = denoiser
        self.variance = VARIANCES[variance]

    def __call__(self, x_t: Tensor, t: Tensor, s: Tensor, cond: Tensor | None = None) -> Gaussian:
        return self.transition(self.denoiser(x_t, t, cond), x_t, t, s)

    def transition(self, estimate: Estimate, x_t: Tensor, t: Tensor, s: Tensor) -> Gaussian:
        """The same from an estimate at x_t that is at hand already."""
        schedule = self.denoiser.schedule
        mean = bridge_mean(schedule, x_t, estimate.x0, t, s)
        return Gaussian(mean, match(self.variance(schedule, t, s), x_t))
