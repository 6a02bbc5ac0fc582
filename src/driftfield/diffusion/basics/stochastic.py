r"""Stochastic samplers: draws from the reverse kernel, the reverse SDE, and ODE solvers with added noise.

The reverse SDE (Song et al. 2021 (SDE), eq. 6)

    dx_t = (f x_t - g^2 score) dt + g dw        backwards in t

has the same distribution at every t as the probability-flow ODE. Its noise makes it forget earlier errors, at the price
of more steps. All samplers are functions (denoiser, x_t, t, s, memory) -> x_s for s < t. None adds noise at s = 0,
where it would stay in the sample.
"""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from driftfield.diffusion.basics.bridge import bridge_log_variance, transition
from driftfield.diffusion.basics.denoisers import BaseDenoiser
from driftfield.diffusion.basics.kernels import DenoiserKernel, LogVariance
from driftfield.diffusion.basics.loop import Memory, Step
from driftfield.diffusion.basics.schedules import match
from driftfield.diffusion.basics.single_step import euler, heun

MOST_CHURN = math.sqrt(2) - 1  # largest relative increase of the noise level in one step


def ddim(
    denoiser: BaseDenoiser,
    x_t: Tensor,
    t: Tensor,
    s: Tensor,
    memory: Memory,
    *,
    eta: Annotated[float, Field(ge=0, le=1, description="amount of noise, from 0 (none) to 1 (ancestral)")] = 0.0,
) -> Tensor:
    """DDIM (Song et al. 2021 (DDIM), eq. 12): deterministic for eta = 0, ancestral (small variance) for eta = 1.

    x_s = alpha_s x_hat + sqrt(sigma_s^2 - eta^2 v) eps_hat + eta sqrt(v) z,  where v is the variance of the bridge.
    """
    if eta == 0:
        return euler(denoiser, x_t, t, s, memory)
    schedule = denoiser.schedule
    estimate = denoiser(x_t, t, memory.cond)
    added = eta**2 * bridge_log_variance(schedule, t, s).exp()
    kept = (schedule.sigma(s) ** 2 - added).clamp(min=0).sqrt()
    x_s = match(schedule.alpha(s), x_t) * estimate.x0 + match(kept, x_t) * estimate.eps
    return x_s + match(added.sqrt(), x_t) * memory.noise()


def ancestral(
    denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory, variance: str | LogVariance = "small"
) -> Tensor:
    """A draw from the kernel p(x_s | x_t) (Ho et al. 2020, algorithm 2); at s = 0 its mean."""
    return DenoiserKernel(denoiser, variance).step(x_t, t, s, memory.cond).sample(memory.noise())


def euler_maruyama(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
    """The Euler-Maruyama method for the reverse SDE (Song et al. 2021 (SDE), eq. 6), of weak order 1 in t - s.

    x_s = x_t - (t - s) (f x_t - g^2 score) + g sqrt(t - s) z, with f and g at the nearest time at which a network may
    be evaluated. Unlike the other steps it does not return x_hat at s = 0. Where f and g change fast, as at the start
    of "cosine", it needs many steps.
    """
    schedule = denoiser.schedule
    f, g2 = schedule.rates(schedule.clamp(t))
    score = denoiser(x_t, t, memory.cond).score
    x_s = x_t - match(t - s, x_t) * (match(f, x_t) * x_t - match(g2, x_t) * score)
    return x_s + match((g2 * (t - s)).sqrt() * (s > 0), x_t) * memory.noise()


def churn(
    denoiser: BaseDenoiser,
    x_t: Tensor,
    t: Tensor,
    s: Tensor,
    memory: Memory,
    *,
    churn: Annotated[float, Field(ge=0, description="S_churn: how much noise is added back")] = 40.0,
) -> Tensor:
    """The stochastic sampler of EDM (Karras et al. 2022, algorithm 2): add a little noise, then take Heun's step.

    The noise level is raised to (1 + c) sigma / alpha, c = min(churn / steps, sqrt 2 - 1), by the forward process
    itself, unless that is beyond the end of the schedule. S_noise is 1. The default is S_churn of table 5 for ImageNet.
    """
    schedule = denoiser.schedule
    gamma = schedule.gamma(t) + 2 * math.log1p(min(churn / memory.steps, MOST_CHURN))
    noise = memory.noise()
    if s > 0 and gamma <= schedule.gamma(torch.full_like(t, schedule.t_high)):
        later = schedule.time(gamma)
        alpha_ut, log_var_ut = transition(schedule, later, t)
        x_t = match(alpha_ut, x_t) * x_t + match((log_var_ut / 2).exp(), x_t) * noise
        t = later
    return heun(denoiser, x_t, t, s, memory)


def with_last_noise(step: Step) -> Step:
    """The step, but with noise at s = 0 too, of variance var_ts (beta_1 on a chain): a bug of some published code."""

    def noisy(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
        x_s = step(denoiser, x_t, t, s, memory)
        if s > 0:
            return x_s
        return x_s + match((transition(denoiser.schedule, t, s)[1] / 2).exp(), x_s) * memory.noise()

    return noisy
