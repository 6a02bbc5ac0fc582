r"""Kernels: the reverse transition p(x_s | x_t) of ancestral sampling.

A denoiser gives the mean of the bridge q(x_s | x_t, x) with x_hat for x; its variance is a choice (Ho et al.
2020, sec. 3.2):

    "small"     var_ts sigma_s^2 / sigma_t^2    the bridge's own: right when the data are a point
    "large"     var_ts                          for neighbours of a chain, beta_t: right when the data are N(0, I)
    "learned"   log var = share log large + (1 - share) log small, with a share that the network gives for each
                number (Nichol, Dhariwal 2021, eq. 15)
    "marginal"  sigma_s^2                       a mistake to look at: 1 - alpha_bar of the step before, which a
                widely read tutorial takes for the posterior's variance; too large by the factor sigma_t^2 / var_ts

All are zero noise at s = 0: the last step returns x_hat.

A learned kernel has no denoiser: two networks give mean and standard deviation of every step of a chain (Sohl-Dickstein
et al. 2015, table 1), the last one too, p(x | x_1/T), which is its decoder. Its mean implies a denoiser all the same.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from driftfield.diffusion.basics.bridge import bridge_mean, bridge_variance, log_added_fraction, transition
from driftfield.diffusion.basics.denoisers import BaseDenoiser, Estimate
from driftfield.diffusion.basics.gaussian import Gaussian
from driftfield.diffusion.basics.schedules import Schedule, match
from driftfield.errors import InputError, unknown_name

STEP_TOLERANCE = 1e-6  # of t - s: times in float32 are exact to 6e-8


class Kernel(Protocol):
    """A reverse process: ``step`` gives p(x_s | x_t) for x_t (B, *D), t and s () or (B,), s < t."""

    @property
    def schedule(self) -> Schedule: ...

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, cond: Tensor | None = None) -> Gaussian: ...


def small_variance(schedule: Schedule, t: Tensor, s: Tensor) -> Tensor:
    """log of var_ts sigma_s^2 / sigma_t^2."""
    return bridge_variance(schedule, t, s)


def large_variance(schedule: Schedule, t: Tensor, s: Tensor) -> Tensor:
    """log of var_ts, and -inf (no noise) at s = 0."""
    log_var = transition(schedule, t, s)[1]
    return torch.where(s > 0, log_var, torch.full_like(log_var, -torch.inf))


def marginal_variance(schedule: Schedule, t: Tensor, s: Tensor) -> Tensor:
    """log of sigma_s^2: no reverse step of the process has this variance unless x_t says nothing of x_s."""
    return 2 * schedule.log_sigma(s.double())


VARIANCES: dict[str, Callable[[Schedule, Tensor, Tensor], Tensor]] = {
    "small": small_variance,
    "large": large_variance,
    "marginal": marginal_variance,
}
LEARNED = "learned"


class DenoiserKernel:
    """p(x_s | x_t) from a denoiser and a variance rule: a name in VARIANCES, or "learned".

    Called with x_t (B, *D), t and s () or (B,), s < t; returns the Gaussian of x_s.

    Raises:
        InputError: the rule is unknown; when called, it is "learned" and the denoiser has no learned variance.
    """

    def __init__(self, denoiser: BaseDenoiser, variance: str = "small") -> None:
        if variance not in (*VARIANCES, LEARNED):
            raise unknown_name("variance", variance, (*VARIANCES, LEARNED))
        self.denoiser = denoiser
        self.variance = VARIANCES.get(variance)

    @property
    def schedule(self) -> Schedule:
        """The denoiser's."""
        return self.denoiser.schedule

    def __call__(self, x_t: Tensor, t: Tensor, s: Tensor, cond: Tensor | None = None) -> Gaussian:
        return self.step(x_t, t, s, cond)

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, cond: Tensor | None = None) -> Gaussian:
        """p(x_s | x_t); a learned variance is held between its bounds, beyond which it would be an extrapolation.

        Only training (:meth:`transition`) lets it pass them, so that it can find its way back.
        """
        estimate = self.denoiser(x_t, t, cond)
        if estimate.variance_fraction is not None:
            estimate = replace(estimate, variance_fraction=estimate.variance_fraction.clamp(0, 1))
        return self.transition(estimate, x_t, t, s)

    def transition(self, estimate: Estimate, x_t: Tensor, t: Tensor, s: Tensor) -> Gaussian:
        """The same from an estimate at x_t that is at hand already."""
        mean = bridge_mean(self.schedule, x_t, estimate.x0, t, s)
        if self.variance is None:
            return Gaussian(mean, learned_variance(estimate, t, s))
        return Gaussian(mean, match(self.variance(self.schedule, t, s), x_t))


def learned_variance(estimate: Estimate, t: Tensor, s: Tensor) -> Tensor:
    """share log large + (1 - share) log small, (B, *D); -inf (no noise) at s = 0, where small is zero."""
    if estimate.variance_fraction is None:
        raise InputError(
            'The variance "learned" needs a denoiser that gives one: build it with learned_variance, or choose another.'
        )
    share, schedule = estimate.variance_fraction, estimate.schedule
    small, large = (match(rule(schedule, t, s), share) for rule in (small_variance, large_variance))
    noisy = torch.isfinite(small)
    small, large = (torch.where(noisy, bound, 0.0) for bound in (small, large))  # so that no gradient meets infinity
    return torch.where(noisy, share * large + (1 - share) * small, -torch.inf)


class LearnedKernel(BaseDenoiser):
    """p(x_s | x_t) = N(mean(x_t, t), std(x_t, t)^2) for the T steps of a chain, std = softplus of its network.

    It adds noise at s = 0 too. As a denoiser it says what its mean implies.

    Args:
        schedule: a chain; the kernel owns it.
        mean_network, std_network: modules (x (B, *D), label () or (B,), cond) -> (B, *D); the label is t, i / T at the
            steps.

    Raises:
        InputError: the schedule is no chain.
    """

    def __init__(self, schedule: Schedule, mean_network: nn.Module, std_network: nn.Module) -> None:
        super().__init__(schedule)
        if schedule.T is None:
            raise InputError(
                "A learned kernel needs a schedule with a fixed number of steps, as its networks are trained for steps "
                "of one length: choose a chain, for example linear."
            )
        self.mean_network = mean_network
        self.std_network = std_network
        self.length = 1 / schedule.T

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, cond: Tensor | None = None) -> Gaussian:
        """p(x_s | x_t) for s = t - 1 / T.

        Raises:
            InputError: s is another time.
        """
        if ((t.double() - s.double() - self.length).abs() > STEP_TOLERANCE).any():
            raise InputError(
                f"The learned kernel knows only the T steps of its chain: take {self.schedule.T} steps on the grid "
                '"uniform", or a sampler that asks a denoiser.'
            )
        log_std = log_softplus(self.std_network(x_t, t.to(x_t.dtype), cond))
        return Gaussian(self._mean(x_t, t, cond), 2 * log_std)

    transition = step  # the name that samplers ask for

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        """The denoiser that the mean implies at x_t (B, *D) and any t in [1 / T, 1].

        The bridge's mean c_t x_t + c_x x with s = t - 1 / T (:mod:`~driftfield.diffusion.basics.bridge`), solved for x:

            x_hat = (mean - c_t x_t) / c_x,  c_x = alpha_s var_ts / sigma_t^2,  eps_hat = (x_t - alpha x_hat) / sigma

        Errors of the mean are divided by c_x, which is small where a step removes little of the noise: with 50 steps
        and a constant beta of 0.117 it is 1 at t = 1 / T and 0.0055 at t = 1.
        """
        x_t, t = self.schedule.clamp_state(x_t, t)
        s = t - self.length
        c_x = self.schedule.alpha(s) * log_added_fraction(self.schedule, t, s).exp()
        rest = self._mean(x_t, t, cond) - bridge_mean(self.schedule, x_t, torch.zeros_like(x_t), t, s)
        x_hat = rest / match(c_x, x_t)
        alpha, sigma = match(self.schedule.alpha(t), x_t), match(self.schedule.sigma(t), x_t)
        return Estimate(x_hat, (x_t - alpha * x_hat) / sigma, t, self.schedule)

    def _mean(self, x_t: Tensor, t: Tensor, cond: Tensor | None) -> Tensor:
        mean: Tensor = self.mean_network(x_t, t.to(x_t.dtype), cond)
        return mean


def log_softplus(z: Tensor) -> Tensor:
    """log log(1 + e^z), by the series z - e^z / 2 below -15, where e^z would lose its digits in the end."""
    low = z < -15  # the series' next term, 5/24 e^2z, is below 2e-14 there
    return torch.where(low, z - z.clamp(max=-15).exp() / 2, nn.functional.softplus(z.clamp(min=-15)).log())
