"""The one loop that all samplers share: a generator of states, so that a trajectory costs nothing extra."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from driftfield.diffusion.basics.denoisers import BaseDenoiser, Estimate
from driftfield.diffusion.basics.forward import State


class Past(NamedTuple):
    """A step of a multistep method that is over: its time t (), its x_t (B, *D), and what the denoiser said of it."""

    t: Tensor
    x: Tensor
    estimate: Estimate


@dataclass
class Memory:
    """What a step may use and keep.

    Attributes:
        noise: returns fresh standard normal noise of x's shape at each call.
        cond: passed on to the denoiser.
        steps: how many steps the whole walk has.
        past: what multistep methods keep, the latest first.
    """

    noise: Callable[[], Tensor]
    cond: Tensor | None = None
    steps: int = 1
    past: list[Past] = field(default_factory=list)

    def remember(self, t: Tensor, x: Tensor, estimate: Estimate, keep: int) -> None:
        """Put a step before the others, of which ``keep`` are kept, itself included."""
        self.past = [Past(t, x, estimate), *self.past][:keep]


Step = Callable[..., Tensor]  # (denoiser, x_t (B, *D), t (), s (), memory, **options) -> x_s (B, *D)
Need = Literal["", "a learned variance", "a learned kernel"]


@dataclass(frozen=True)
class Sampler:
    """A step function, called as such, with what is known of it.

    Attributes:
        step: (denoiser, x_t, t, s, memory) -> x_s.
        order: of convergence to the solution of the probability-flow ODE; of a random sampler, the weak order, of
            convergence to its distribution. None where no theory states one.
        evaluations: of the denoiser in a step; None where the step chooses.
        random: it draws noise on the way.
        summary, source: what it is, and where it comes from.
        needs: what the model must have learned beside a denoiser, if anything.
        walks_chain: on a chain it takes every step in turn, unless told otherwise.
        fewest_steps: from this many steps on, the variance of its rows is within a factor of two of the true one, on
            the Gaussian and the mixture of :mod:`driftfield.verification.convergence`. None where no number of steps is
            enough, or where that was not measured: it chooses its own steps, or needs more than a denoiser.
    """

    step: Step
    order: int | None
    evaluations: int | None
    random: bool
    summary: str
    source: str
    needs: Need = ""
    walks_chain: bool = False
    fewest_steps: int | None = None

    @property
    def chooses_steps(self) -> bool:
        """Whether it divides a step of the grid as each row needs, so that a grid of one step will do."""
        return self.evaluations is None

    @property
    def __wrapped__(self) -> Step:
        """The step, whose signature is the sampler's."""
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
    """Walk the decreasing ``times`` (n + 1,) from x (B, *D) at times[0]; yields n + 1 states, the last one the sample.

    Args:
        step: (denoiser, x_t, t, s, memory) -> x_s for s < t.
        noise: returns fresh standard normal noise of x's shape at each call.
        cond: passed on to the denoiser.
    """
    memory = Memory(noise, cond, len(times) - 1)
    yield State(times[0], x)
    for t, s in pairwise(times):
        with torch.no_grad():
            x = step(denoiser, x, t, s, memory)
        yield State(s, x)
