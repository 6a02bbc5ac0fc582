r"""Steps: one function a sampler, (denoiser, x_t, t, s, memory) -> x_s for s < t.

All are written on the estimate (x_hat, eps_hat) at x_t and never divide by alpha_t, so that alpha = 0 at the start
(flow matching, zero terminal SNR) and sigma = 0 at the end are ordinary. The first-order step moves along the line

    x_s = alpha_s x_hat + sigma_s eps_hat,

which is at once DDIM (Song et al. 2021, eq. 12 with eta = 0) and Euler's method for the probability-flow ODE in the
variable sigma / alpha (eq. 13 and 14 there; Karras et al. 2022, eq. 4).
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from driftfield.diffusion.bridge import bridge_variance, transition
from driftfield.diffusion.denoisers import BaseDenoiser
from driftfield.diffusion.gaussian import Gaussian
from driftfield.diffusion.kernels import DenoiserKernel
from driftfield.diffusion.samplers.loop import Memory, Step
from driftfield.diffusion.schedules import match
from driftfield.errors import InputError


def euler(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
    """First order: x_s = alpha_s x_hat + sigma_s eps_hat."""
    estimate = denoiser(x_t, t, memory.cond)
    alpha_s, sigma_s = denoiser.schedule.alpha(s), denoiser.schedule.sigma(s)
    return match(alpha_s, x_t) * estimate.x0 + match(sigma_s, x_t) * estimate.eps


def ddim(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory, eta: float = 0.0) -> Tensor:
    """DDIM (Song et al. 2021, eq. 12): eta = 0 deterministic, eta = 1 ancestral with the small variance.

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
    denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory, variance: str = "small"
) -> Tensor:
    """A draw from the kernel p(x_s | x_t) (Ho et al. 2020, algorithm 2); the mean itself at s = 0."""
    return DenoiserKernel(denoiser, variance)(x_t, t, s, memory.cond).sample(memory.noise())


def learned_kernel(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
    """A draw from the model's own p(x_s | x_t), of learned mean and variance.

    Raises:
        InputError: the denoiser is no kernel as well: it has no ``step(x_t, t, s, cond) -> Gaussian``.
    """
    step: Callable[[Tensor, Tensor, Tensor, Tensor | None], Gaussian] | None = getattr(denoiser, "step", None)
    if step is None:
        raise InputError(
            'The sampler "kernel" needs a model that learned its reverse step: choose "ancestral" for others.'
        )
    return step(x_t, t, s, memory.cond).sample(memory.noise())


def euler_maruyama(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
    """Euler-Maruyama's method for the reverse SDE (Song et al. 2021, eq. 6), of weak order 1 in t - s.

    x_s = x_t - (t - s) (f x_t - g^2 score) + g sqrt(t - s) z, with rates at the nearest time at which a network may be
    asked. No noise is added at s = 0, the end, where it would stay in the sample; unlike the other steps this one does
    not return the estimate x_hat there. Where rates change fast, as at the start of "cosine", it needs many steps.
    """
    schedule = denoiser.schedule
    f, g2 = schedule.rates(schedule.clamp(t))
    score = denoiser(x_t, t, memory.cond).score
    x_s = x_t - match(t - s, x_t) * (match(f, x_t) * x_t - match(g2, x_t) * score)
    return x_s + match((g2 * (t - s)).sqrt() * (s > 0), x_t) * memory.noise()


def heun(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
    """Second order (Karras et al. 2022, algorithm 1), for any alpha: the mean slope of both ends in sigma / alpha.

    x_s = alpha_s x_hat + sigma_s (eps_hat + eps_hat') / 2 + alpha_s (sigma_t / alpha_t) (eps_hat - eps_hat') / 2, with
    eps_hat' at Euler's x_s. Where alpha_t = 0 or sigma_s = 0 the variable or the slope ends, and Euler's step stands.
    """
    schedule = denoiser.schedule
    estimate = denoiser(x_t, t, memory.cond)
    alpha_s, sigma_s = match(schedule.alpha(s), x_t), match(schedule.sigma(s), x_t)
    x_s = alpha_s * estimate.x0 + sigma_s * estimate.eps
    if s <= 0 or schedule.alpha(t) == 0:
        return x_s
    change = (denoiser(x_s, s, memory.cond).eps - estimate.eps) / 2
    return x_s + (sigma_s - alpha_s * match(schedule.noise_ratio(t), x_t)) * change


def dpmpp_2m(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
    """DPM-Solver++(2M), second order with one evaluation a step (Lu et al. 2022, DPM-Solver++, algorithm 2).

    With lambda = -gamma / 2 and h its increase, x_hat is extrapolated from the last step's,
    D = x_hat + (h / (2 h_last)) (x_hat - x_hat_last), and x_s = (sigma_s / sigma_t) x_t + (alpha_s - alpha_t sigma_s /
    sigma_t) D. The first step, the last, where h is infinite, and one after a step of length 0 are of first order.
    """
    schedule = denoiser.schedule
    estimate = denoiser(x_t, t, memory.cond)
    D = estimate.x0
    if memory.last is not None and memory.last_t is not None and memory.last_t > t and s > 0:
        h = schedule.gamma(t) - schedule.gamma(s)
        h_last = schedule.gamma(memory.last_t) - schedule.gamma(t)
        D = D + match(h / (2 * h_last), x_t) * (D - memory.last.x0)
    memory.last, memory.last_t = estimate, t
    ratio = schedule.sigma(s) / schedule.sigma(t)
    return match(ratio, x_t) * x_t + match(schedule.alpha(s) - ratio * schedule.alpha(t), x_t) * D


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


SAMPLERS: dict[str, Step] = {
    "ancestral": ancestral,
    "ancestral-large": partial(ancestral, variance="large"),
    "ancestral-learned": partial(ancestral, variance="learned"),
    "ancestral-marginal": partial(ancestral, variance="marginal"),
    "kernel": learned_kernel,
    "ddim": ddim,
    "euler": euler,
    "euler-maruyama": euler_maruyama,
    "heun": heun,
    "dpmpp-2m": dpmpp_2m,
}
