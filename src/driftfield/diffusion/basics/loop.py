r"""The sampler loop: start from noise at t = 1 and apply a step from t to s, again and again, until s = 0.

    x_1 ~ prior,     x_s = step(denoiser, x_t, t, s, memory)  for neighbouring times t > s of a grid

A sampler is such a step, a plain function; this loop is the same for all of them. It is a generator of states, so the
whole trajectory is available at no extra cost.
"""

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from driftfield.diffusion.basics.denoisers import BaseDenoiser, Estimate
from driftfield.diffusion.basics.forward import State


class Past(NamedTuple):
    """An earlier step, as multistep methods need it: its time t (), its x_t (B, *D) and the denoiser's estimate."""

    t: Tensor
    x: Tensor
    estimate: Estimate


@dataclass
class Memory:
    """What a step may use beside x_t, and where it keeps what later steps need.

    Attributes:
        noise: returns fresh standard normal noise of the shape of x_t at each call.
        cond: passed on to the denoiser.
        steps: the number of steps in all.
        past: earlier steps kept by a multistep method, the latest first.
    """

    noise: Callable[[], Tensor]
    cond: Tensor | None = None
    steps: int = 1
    past: list[Past] = field(default_factory=list)

    def remember(self, t: Tensor, x: Tensor, estimate: Estimate, keep: int) -> None:
        """Add a step at t (), x_t (B, *D) to ``past``, which keeps the latest ``keep``."""
        self.past = [Past(t, x, estimate), *self.past][:keep]


Step = Callable[..., Tensor]  # (denoiser, x_t (B, *D), t (), s (), memory, **options) -> x_s (B, *D)
Need = Literal["", "a learned variance", "a learned kernel"]


@dataclass(frozen=True)
class Sampler:
    """A step function together with the facts about it; calling it calls the step.

    Attributes:
        step: (denoiser, x_t (B, *D), t (), s (), memory) -> x_s (B, *D).
        summary, source: what it is, and where it comes from.
        order: of convergence to the solution of the probability-flow ODE; for a random sampler the weak order, of
            convergence in distribution. None where no theory states one.
        evaluations: of the denoiser in each step; None if the step chooses.
        random: whether it draws noise on the way.
        needs: what the model must have learned beyond a denoiser, if anything.
        walks_chain: whether on a chain it takes every step in turn, unless a number of steps is given.
        fewest_steps: from this many steps on, the variance of its samples is within a factor of two of the true one on
            the Gaussian and the mixture of :mod:`driftfield.verification.convergence`. None if no number of steps is
            enough, or if it was not measured: it chooses its own steps, or needs more than a denoiser.
    """

    step: Step
    summary: str
    source: str
    _: KW_ONLY
    order: int | None
    evaluations: int | None = 1
    random: bool = False
    needs: Need = ""
    walks_chain: bool = False
    fewest_steps: int | None = None

    @property
    def chooses_steps(self) -> bool:
        """Whether it subdivides the steps of the grid as needed, so that a grid of one step is enough."""
        return self.evaluations is None

    @property
    def __wrapped__(self) -> Step:
        """The step, from which ``inspect.signature`` takes the sampler's signature."""
        return self.step

    def __call__(
        self, denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory, **options: Any
    ) -> Tensor:
        return self.step(denoiser, x_t, t, s, memory, **options)


def sample(
    denoiser: BaseDenoiser,
    x: Tensor,
    times: Tensor,
    step: Step,
    noise: Callable[[], Tensor],
    cond: Tensor | None = None,
) -> Iterator[State]:
    """Walk the decreasing ``times`` (n + 1,) from x (B, *D) at times[0]; yields n + 1 states, the last is the sample.

    Args:
        step: (denoiser, x_t, t, s, memory) -> x_s for s < t.
        noise: returns fresh standard normal noise of the shape of x at each call.
        cond: passed on to the denoiser.
    """
    memory = Memory(noise, cond, len(times) - 1)
    yield State(times[0], x)
    for t, s in pairwise(times):
        with torch.no_grad():
            x = step(denoiser, x, t, s, memory)
        yield State(s, x)
