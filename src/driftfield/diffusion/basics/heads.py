r"""Heads: what the output of the network means.

A parametrisation is two numbers, a and b, at each time: the network is trained to return

    a(t) x + b(t) eps.

Together with x_t = alpha x + sigma eps, its output determines estimates of both x and eps. With D = a sigma - b alpha,

    x_hat = (sigma out - b x_t) / D,        eps_hat = (a x_t - alpha out) / D,

and squared errors convert by  |out - target|^2 = (D^2 / sigma^2) |x_hat - x|^2.  So all heads describe the same
denoiser; they differ in what is easy for a network to learn. Adding a head is adding one function.

References:
    eps: Ho et al. 2020, https://arxiv.org/abs/2006.11239
    v: Salimans, Ho 2022, appendix D, https://arxiv.org/abs/2202.00512
    score: Song et al. 2021 (SDE), https://arxiv.org/abs/2011.13456
    flow: Lipman et al. 2023, eq. 9, https://arxiv.org/abs/2210.02747
    edm: Karras et al. 2022, eq. 7 and table 1, https://arxiv.org/abs/2206.00364
"""

from collections.abc import Callable

import torch
from torch import Tensor

from driftfield.diffusion.basics.schedules import Schedule

Head = Callable[[Schedule, Tensor], tuple[Tensor, Tensor]]  # (schedule, t) -> (a, b), of the shape of t


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
    """(0, -1 / sigma): the score of q(x_t | x), the gradient of its logarithm with respect to x_t."""
    return torch.zeros_like(t), -1 / schedule.sigma(t)


def flow(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    """(d alpha / dt, d sigma / dt): the velocity d x_t / dt for fixed x and eps."""
    return schedule.derivatives(t)


def edm(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    """(sigma, -alpha) / sqrt(alpha^2 + sigma^2): the residual of the best linear denoiser, scaled to unit variance.

    For data of unit variance the best linear denoiser is c_skip x_t with c_skip = alpha / (alpha^2 + sigma^2), and the
    root mean square of its error is c_out = sigma / sqrt(alpha^2 + sigma^2). The network returns (x - c_skip x_t) /
    c_out, which has unit variance at every t. Under a variance-preserving schedule that is -v.
    """
    scale = schedule.scale(t)
    return schedule.sigma(t) / scale, -schedule.alpha(t) / scale


HEADS: dict[str, Head] = {"eps": eps, "x0": x0, "v": v, "score": score, "flow": flow, "edm": edm}
