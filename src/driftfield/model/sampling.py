"""Sampling: new rows of a model, and the paths between data and noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from driftfield.codecs import FloatArray
from driftfield.datasets.weights import representative
from driftfield.diffusion import GuidedDenoiser, State, sample
from driftfield.diffusion.basics.loop import Step
from driftfield.diffusion.further.row_noise import BLOCK, SAMPLES, BlockNoise
from driftfield.errors import InputError, unknown_name
from driftfield.memory import require
from driftfield.model.finite import check_finite
from driftfield.model.labels import Label, class_numbers
from driftfield.model.whole_rows import check_held_out, check_whole
from driftfield.modes import own_modes
from driftfield.recipes.defaults import walks_chain
from driftfield.recipes.sampling import build_sampling, changed, grid_times
from driftfield.seeds import stream

if TYPE_CHECKING:
    from driftfield.model.model import Model

_COPIES = 3  # of the rows: in pieces, as a whole, and rounded
CHUNK = 4 * BLOCK  # rows that are sampled together


@dataclass(frozen=True)
class Trajectory:
    """A process on a time axis: ``times`` (K,), ``states`` (K, n, D) in the user's units, ``noise`` (K,) sigma / alpha.

    A state is x_t times ``scale`` (K,) = 1 / sqrt(alpha^2 + sigma^2), so that data and noise have the same size on the
    page; about the mean of the data, which is the origin of the network's units.
    """

    times: FloatArray
    states: FloatArray
    noise: FloatArray
    scale: FloatArray


@dataclass(frozen=True)
class How:
    """How rows are drawn; None leaves a choice to the recipe.

    Attributes:
        sampler, steps, grid, last_noise: beat the recipe's [sample]; the sampler may be a step function.
        options: of the sampler, by name.
        guidance: weight of the class, where there is one.
    """

    sampler: str | Step | None = None
    steps: int | None = None
    grid: str | None = None
    last_noise: bool | None = None
    guidance: float | None = None
    options: Mapping[str, float | None] | None = None


@own_modes
def sample_rows(
    model: Model,
    n: int,
    seed: int,
    how: How,
    label: Label = None,
    start: int = 0,
    observe: Callable[[int], None] | None = None,
) -> FloatArray:
    """n new rows in the user's units; see :meth:`Model.sample`."""
    check_number(n)
    require(8 * _COPIES * n * model.dimensions, f"{n:,} rows", "draw fewer at a time, each time with another seed")
    rows = [model.codec.decode(np.empty((0, *model.codec.shape)))]
    cond = class_numbers(model, label, n)
    for first in range(start, start + n, CHUNK):
        count = min(CHUNK, start + n - first)
        own = None if cond is None else cond[first - start : first - start + count]
        *_, last = reverse(model, count, seed, how, first, own)
        rows.append(model.codec.decode(last.x.cpu().numpy()))
        if observe is not None:
            observe(first + count - start)
    result = check_finite(np.concatenate(rows), "samples")
    return model.codec.finish(result) if model.recipe.sample.round else result


def check_number(n: int) -> None:
    """Raises InputError for a negative number of rows."""
    if n < 0:
        raise InputError(f"The number of rows must not be negative, got {n}.")


def reverse(model: Model, n: int, seed: int, how: How, start: int = 0, cond: Tensor | None = None) -> Iterator[State]:
    """The states of rows ``start`` .. ``start + n - 1`` of the seed from noise to data, in the network's units."""
    section = model.recipe.sample
    denoiser, guidance = model.denoiser, how.guidance
    step, times = build_sampling(
        section,
        denoiser.schedule,
        sampler=how.sampler,
        steps=how.steps,
        grid=how.grid,
        options=how.options,
        last_noise=how.last_noise,
    )
    if guidance is not None and cond is None:
        raise InputError("Guidance needs a class: name one with label (--class on the command line).")
    if cond is not None:
        guidance = guidance if guidance is not None else section.guidance
        denoiser = GuidedDenoiser(denoiser, 1.0 if guidance is None else guidance)
    noise = BlockNoise(seed, SAMPLES, start, n, model.codec.shape, model.device)
    return sample(denoiser, model.prior.sample(noise()), times.to(model.device), step, noise, cond)


def forward(model: Model, n: int, seed: int, frames: int, grid: str | None = None) -> Iterator[State]:
    """Held-out rows on their way from data to noise, at the times of a grid, in the network's units."""
    rng = stream(seed, "rows on their way to noise")
    rows = model.held_out[representative(len(model.held_out), model.held_out_weights, rng)[:n]]
    z = torch.from_numpy(model.codec.encode(rows)).to(model.device)
    eps = BlockNoise(seed, "noise of the forward process", 0, len(z), model.codec.shape, model.device)()
    times = grid_times(model.recipe.sample, model.denoiser.schedule, frames - 1, grid).flip(0).to(model.device)
    for t in times:
        yield State(t, model.denoiser.schedule.perturb(z, t, eps))


@own_modes
def trajectory(model: Model, n: int, seed: int, direction: str, frames: int, how: How) -> Trajectory:
    """n rows from noise to data or from data to noise; see :meth:`Model.trajectory`."""
    check_whole(model, "path between noise and data")
    schedule, section = model.denoiser.schedule, model.recipe.sample
    if schedule.T is not None and changed(section, {"grid": how.grid}).grid.kind == "trailing":
        frames = min(frames, schedule.T + 1)  # this grid has only the steps of a chain
    if direction == "reverse":
        walks = schedule.T is not None and walks_chain(how.sampler or section.sampler)
        steps = section.steps if walks else max(section.steps or 1, frames - 1)
        _require_states(model, steps, n)
        states = list(reverse(model, n, seed, How(how.sampler, steps, how.grid)))
    elif direction == "forward":
        check_held_out(model)
        _require_states(model, frames, min(n, len(model.held_out)))
        states = list(forward(model, n, seed, frames, how.grid))
    else:
        raise unknown_name("direction", direction, ["forward", "reverse"])
    times = torch.tensor([float(state.t) for state in states], dtype=torch.float64)
    schedule.to("cpu")
    kappa, scale = schedule.sigma(times) / schedule.alpha(times), schedule.scale(times)
    schedule.to(model.device)
    shown = [model.codec.decode((state.x / size).cpu().numpy()) for state, size in zip(states, scale, strict=True)]
    return Trajectory(times.numpy(), np.stack(shown), kappa.numpy(), (1 / scale).numpy())


def _require_states(model: Model, steps: int | None, n: int) -> None:
    """Refuse more states than fit into memory: float32, and float64 in the user's units."""
    needed = 12 * n * model.dimensions * (steps or 1)
    require(needed, f"The states of {n:,} rows at {steps or 1:,} times", "take fewer of both")
