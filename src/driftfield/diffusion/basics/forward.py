r"""The forward process as a path: one row on its way to noise, step by step.

    x_t = alpha_ts x_s + sqrt(var_ts) z,   z ~ N(0, I),   for neighbouring times s < t of a grid

(Ho et al. 2020, eq. 2, with alpha_ts and var_ts of :mod:`driftfield.diffusion.basics.bridge`). Each x_t is distributed
as alpha x + sigma eps, but the states of one path are correlated: each contains the noise of the states before it.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from driftfield.diffusion.basics.bridge import transition
from driftfield.diffusion.basics.schedules import Schedule, match
from driftfield.errors import InputError


class State(NamedTuple):
    """One state of a process: time t () and x_t (B, *D)."""

    t: Tensor
    x: Tensor


def chain_times(schedule: Schedule) -> Tensor:
    """i / T for i = 0 .. T; (T + 1,) float64.

    Raises:
        InputError: the schedule is not a chain.
    """
    if schedule.T is None:
        raise InputError("This needs a discrete chain, but the schedule has continuous time: choose one with T steps.")
    return torch.arange(schedule.T + 1, dtype=torch.float64, device=schedule.device) / schedule.T


def walk(schedule: Schedule, x: Tensor, noise: Callable[[], Tensor], times: Tensor) -> Iterator[State]:
    """Walk the increasing ``times`` (n + 1,) from x (B, *D) at times[0]; yields n + 1 states, the first is x itself.

    Args:
        noise: returns fresh standard normal noise of the shape of x at each call.
    """
    alpha_ts, log_var_ts = transition(schedule, times[1:], times[:-1])  # (n,)
    std_ts = (log_var_ts / 2).exp()
    yield State(times[0], x)
    for i, t in enumerate(times[1:]):
        x = match(alpha_ts[i], x) * x + match(std_ts[i], x) * noise()
        yield State(t, x)
