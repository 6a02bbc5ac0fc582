"""The samplers that the tests loop over, all from the package's table, and what becomes of a Gaussian under one."""

from functools import partial
from itertools import pairwise

import torch
from oracles import ExactGaussian, f64
from torch import Tensor

from driftfield.diffusion import SAMPLERS, BaseDenoiser, Memory, Step, sample
from driftfield.diffusion.basics.stochastic import ddim
from driftfield.diffusion.further.row_noise import SAMPLES, BlockNoise

# All other samplers that need no more than a denoiser end at its estimate and draw the right distribution.
APART = {
    "euler-maruyama": "it has an error of its own in every step, the last included",
    "ancestral-marginal": "it is a mistake, kept to be looked at",
}
DETERMINISTIC = tuple(name for name, each in SAMPLERS.items() if not each.random and not each.chooses_steps)
RANDOM = tuple(name for name, each in SAMPLERS.items() if each.random and not each.needs and name not in APART)
EVERY_STEP: dict[str, Step] = {
    **{name: SAMPLERS[name] for name in (*DETERMINISTIC, *RANDOM)},
    "ddim, eta 0.5": partial(ddim, eta=0.5),
    "ddim, eta 1": partial(ddim, eta=1.0),
}
ANY_DENOISER: dict[str, Step] = {**EVERY_STEP, **{name: SAMPLERS[name] for name in APART}}
ORDERS = {name: each.order for name, each in SAMPLERS.items() if not each.random and each.order}


def last_of(denoiser: BaseDenoiser, x: Tensor, times: Tensor, step: Step) -> Tensor:
    """The last state, with the noise of seed 1."""
    source = BlockNoise(1, SAMPLES, 0, len(x), tuple(x.shape[1:]), torch.device("cpu"))
    *_, last = sample(denoiser, x, times, step, source)
    return last.x


def linear_map(denoiser: BaseDenoiser, step: Step, t: Tensor, s: Tensor, D: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """(offset, slope, noise) (D,) of a step on Gaussian data: in each column x_s = offset + slope x_t + noise z."""
    x, z = f64([[0.0], [1.0], [0.0]]).expand(3, D), f64([[0.0], [0.0], [1.0]]).expand(3, D)
    neither, with_x, with_z = step(denoiser, x, t, s, Memory(lambda: z))
    return neither, with_x - neither, with_z - neither


def noisy_moments(data: ExactGaussian, t: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of x_t."""
    alpha, sigma = data.schedule.alpha(t), data.schedule.sigma(t)
    return alpha * data.mean, alpha**2 * data.variance + sigma**2


def moments_at_the_end(data: ExactGaussian, step: Step, times: Tensor, D: int = 1) -> tuple[Tensor, Tensor]:
    """Mean and variance (D,), without drawing, of what steps along ``times`` make of x_t at their beginning."""
    mean, variance = noisy_moments(data, times[0])
    for t, s in pairwise(times):
        offset, slope, noise = linear_map(data, step, t, s, D)
        mean, variance = offset + slope * mean, slope**2 * variance + noise**2
    return mean, variance
