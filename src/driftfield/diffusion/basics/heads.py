r"""Heads: what the network's output means.

A parametrisation is two numbers: the network is trained to return

    a(t) x + b(t) eps.

With x_t = alpha x + sigma eps and D = a sigma - b alpha, its output gives back both parts,

    x_hat = (sigma out - b x_t) / D,        eps_hat = (a x_t - alpha out) / D,

and errors convert by  |out - target|^2 = (D^2 / sigma^2) |x_hat - x|^2.  Adding a head is adding one function.

References:
    eps: Ho et al. 2020.  v: Salimans, Ho 2022, appendix D.  score: Song et al. 2021 (SDE).
    flow: Lipman et al. 2023, eq. 9 (the velocity d x_t / dt).  EDM: Karras et al. 2022, eq. 7 and table 1.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from driftfield.diffusion.basics.schedules import Schedule

Head = Callable[[Schedule, Tensor], tuple[Tensor, Tensor]]


def eps(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    """The noise: (0, 1)."""
    return torch.zeros_like(t), torch.ones_like(t)


def x0(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    """The data: (1, 0)."""
    return torch.ones_like(t), torch.zeros_like(t)


def v(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    """(-sigma, alpha): v = alpha eps - sigma x."""
    return -schedule.sigma(t), schedule.alpha(t)


def score(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    """(0, -1 / sigma): the score of q(x_t | x)."""
    return torch.zeros_like(t), -1 / schedule.sigma(t)


def flow(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    """(alpha', sigma'): the velocity d x_t / dt along the path of one x and one eps."""
    return schedule.derivatives(t)


def edm(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    """((1 - c_skip alpha) / c_out, -c_skip sigma / c_out) for data of unit variance, for any alpha.

    c_skip = alpha / (sigma^2 + alpha^2) is the best linear denoiser of data with unit variance and
    c_out = sigma / sqrt(sigma^2 + alpha^2) the error that it leaves, so the target has unit variance at every t. In
    closed form the two numbers are (sigma, -alpha) / sqrt(sigma^2 + alpha^2): for a variance-preserving schedule, -v.
    """
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    scale = schedule.scale(t)
    return sigma / scale, -alpha / scale


HEADS: dict[str, Head] = {"eps": eps, "x0": x0, "v": v, "score": score, "flow": flow, "edm": edm}
