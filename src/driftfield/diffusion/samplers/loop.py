"""The one loop that all samplers share: a generator of states, so that a trajectory costs nothing extra."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from driftfield.diffusion.denoisers import BaseDenoiser, Estimate


class State(NamedTuple):
    """One state of a reverse process: time t () and x_t (B, *D)."""

    t: Tensor
    x: Tensor


@dataclass
class Memory:
    """What a step may use and keep: fresh noise, and the last step's estimate for multistep methods."""

    noise: Callable[[], Tensor]
    last_t: Tensor | None = None
    last: Estimate | None = None
    cond: Tensor | None = None


Step = Callable[[BaseDenoiser, Tensor, Tensor, Tensor, Memory], Tensor]


def sample(
    denoiser: BaseDenoiser,
    x: Tensor,
    times: Tensor,
    step: Step,
    noise: Callable[[], Tensor],
    cond: Tensor | None = None,
) -> Iterator[State]:
    """Walk the decreasing ``times`` (n + 1,) from x (B, *D) at times[0]; yields n + 1 states, the last one the sample.

    Args:
        step: (denoiser, x_t, t, s, memory) -> x_s for s < t.
        noise: returns fresh standard normal noise of x's shape at each call.
        cond: passed on to the denoiser.
    """
    memory = Memory(noise, cond=cond)
    yield State(times[0], x)
    for t, s in pairwise(times):
        with torch.no_grad():
            x = step(denoiser, x, t, s, memory)
        yield State(s, x)
