r"""Samplers that add noise on the way: the kernel's own draws, the reverse SDE, and solvers with noise put back.

The reverse process (Song et al. 2021 (SDE), eq. 6)

    dx = (f x - g^2 score) dt + g dw        backwards in t

has the same marginals as the probability-flow ODE. Its noise forgets errors made before, at the price of more steps.
All are functions (denoiser, x_t, t, s, memory) -> x_s for s < t, on the estimate (x_hat, eps_hat) at x_t. No noise is
added at s = 0, where it would stay in the sample.
"""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from driftfield.diffusion.basics.bridge import bridge_variance, transition
from driftfield.diffusion.basics.denoisers import BaseDenoiser
from driftfield.diffusion.basics.kernels import DenoiserKernel, Variance
from driftfield.diffusion.basics.loop import Memory, Step
from driftfield.diffusion.basics.schedules import match
from driftfield.diffusion.basics.single_step import ddim_step, euler, heun

MOST_CHURN = math.sqrt(2) - 1  # of one step: the noise level rises by this share at most


def ddim(
    denoiser: BaseDenoiser,
    x_t: Tensor,
    t: Tensor,
    s: Tensor,
    memory: Memory,
    *,
    eta: Annotated[float, Field(ge=0, le=1, description="share of the ancestral noise: 0 none, 1 ancestral")] = 0.0,
) -> Tensor:
    """DDIM (Song et al. 2021 (DDIM), eq. 12): eta = 0 deterministic, eta = 1 ancestral with the small variance.

    x_s = alpha_s x_hat + sqrt(sigma_s^2 - eta^2 v) eps_hat + eta sqrt(v) z,  with v the bridge's variance.
    """
    if eta == 0:
        return euler(denoiser, x_t, t, s, memory)
    schedule = denoiser.schedule
    estimate = denoiser(x_t, t, memory.cond)
    added = eta**2 * bridge_variance(schedule, t, s).exp()
    kept = (schedule.sigma(s) ** 2 - added).clamp(min=0).sqrt()
    x_s = match(schedule.alpha(s), x_t) * estimate.x0 + match(kept, x_t) * estimate.eps
    return x_s + match(added.sqrt(), x_t) * memory.noise()


def ancestral(
    denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory, variance: str | Variance = "small"
) -> Tensor:
    """A draw from the kernel p(x_s | x_t) (Ho et al. 2020, algorithm 2); the mean itself at s = 0."""
    return DenoiserKernel(denoiser, variance)(x_t, t, s, memory.cond).sample(memory.noise())


def euler_maruyama(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
    """Euler-Maruyama's method for the reverse SDE (Song et al. 2021 (SDE), eq. 6), of weak order 1 in t - s.

    x_s = x_t - (t - s) (f x_t - g^2 score) + g sqrt(t - s) z, with rates at the nearest time at which a network may be
    asked. Unlike the other steps this one does not return the estimate x_hat at s = 0. Where rates change fast, as at
    the start of "cosine", it needs many steps.
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
    churn: Annotated[float, Field(ge=0, allow_inf_nan=False, description="S_churn: how much noise is put back")] = 40.0,
) -> Tensor:
    """EDM's stochastic sampler (Karras et al. 2022, algorithm 2): back to a little more noise, then Heun's step.

    The noise level rises to (1 + c) sigma / alpha, c = min(churn / steps, sqrt 2 - 1), by the forward process itself,
    q(x_u | x_t). Its S_noise is 1, and every level is churned but those that would pass the schedule's end. The default
    churn is S_churn of table 5, for ImageNet.
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


def predictor_corrector(
    denoiser: BaseDenoiser,
    x_t: Tensor,
    t: Tensor,
    s: Tensor,
    memory: Memory,
    *,
    langevin: Annotated[float, Field(gt=0, le=0.5, description="signal-to-noise ratio of the corrector")] = 0.16,
) -> Tensor:
    """An ancestral step, then one of Langevin's at the level reached (Song et al. 2021 (SDE), algorithms 4, 5).

    With r for ``langevin`` and sin(theta) = 2 r the corrector is

        x <- alpha_s x_hat + sigma_s (cos(theta) eps_hat + sin(theta) z),

    for small theta Langevin's step x + d score + sqrt(2 d) z with d = 2 r^2 sigma_s^2, the mean of the paper's. Written
    so it leaves the distribution of x_s exactly as it is where the data are one point, and each row depends on itself
    alone: the paper's step length is a mean over the batch. There is no corrector at s = 0. The default r is that of
    appendix G; at the largest, r = 1/2, the corrector draws x_s anew.
    """
    schedule = denoiser.schedule
    x_s = ancestral(denoiser, x_t, t, s, memory)
    noise = memory.noise()
    if s <= 0:
        return x_s
    estimate = denoiser(x_s, s, memory.cond)
    theta = math.asin(2 * langevin)
    added = match(schedule.sigma(s), x_s) * (math.sin(theta) * noise - (1 - math.cos(theta)) * estimate.eps)
    return ddim_step(schedule, estimate, s) + added


def with_last_noise(step: Step) -> Step:
    """The step, but with noise added at s = 0 too, of the variance var_ts of the last transition, beta_1 on a chain.

    Some published loops forget that the last step returns the mean; their samples carry this noise.
    """

    def noisy(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
        x_s = step(denoiser, x_t, t, s, memory)
        if s > 0:
            return x_s
        return x_s + match((transition(denoiser.schedule, t, s)[1] / 2).exp(), x_s) * memory.noise()

    return noisy
