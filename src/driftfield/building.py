"""From a recipe to its parts; a part that a researcher passes in person is taken as it is."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from driftfield.diffusion import (
    GRIDS,
    HEADS,
    METRICS,
    SAMPLERS,
    SCHEDULES,
    TIMES,
    WEIGHTS,
    Denoiser,
    Schedule,
    diffusion_bound,
)
from driftfield.diffusion.objectives.denoising import denoising_loss
from driftfield.diffusion.samplers.loop import Step
from driftfield.diffusion.samplers.steps import ddim
from driftfield.errors import InputError, unknown_name
from driftfield.networks import NETWORKS
from driftfield.recipe import Recipe, call_with_options

Objective = Callable[[Denoiser, Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Parts:
    """Parts that stand in for names: a network module, a schedule, an objective (denoiser, rows, generator) -> (B,)."""

    network: nn.Module | None = None
    schedule: Schedule | None = None
    objective: Objective | None = None

    @property
    def names(self) -> list[str]:
        """Which parts were passed."""
        return [name for name in ("network", "schedule", "objective") if getattr(self, name) is not None]


def build_schedule(recipe: Recipe) -> Schedule:
    """The schedule of a recipe."""
    options = recipe.schedule.model_dump(exclude={"kind"})
    if recipe.schedule.kind not in SCHEDULES:
        raise unknown_name("schedule", recipe.schedule.kind, SCHEDULES)
    schedule: Schedule = call_with_options(
        f'schedule "{recipe.schedule.kind}"', SCHEDULES[recipe.schedule.kind], options
    )
    return schedule


def build_denoiser(
    recipe: Recipe, dimensions: int, parts: Parts, seed: int, directions: Tensor | None = None
) -> Denoiser:
    """The denoiser of a recipe for rows of the given number of columns, with weights drawn from the seed.

    ``directions`` are those of the network's positional features: the columns of the table in the network's units.
    """
    schedule = parts.schedule or build_schedule(recipe)
    network = parts.network
    if network is None:
        section = recipe.network
        if section.kind not in NETWORKS:
            raise unknown_name("network", section.kind, NETWORKS)
        if section.frequencies and (section.embedding != "sine" or not recipe.denoiser.scale_input):
            raise InputError(
                "The positional features of network.frequencies need network.embedding = sine and "
                "denoiser.scale_input = true: change one of them."
            )
        with torch.random.fork_rng(devices=[]):  # layers draw their weights from the global state: lend them a copy
            torch.default_generator.manual_seed(seed)
            network = call_with_options(
                f'network "{section.kind}"',
                NETWORKS[section.kind],
                section.model_dump(exclude={"kind"}),
                dimensions=dimensions,
                **({} if directions is None else {"directions": directions}),
            )
    label = "log-sigma" if recipe.network.embedding == "sine" else "t"
    return Denoiser(network, schedule, recipe.denoiser.head, label, recipe.denoiser.scale_input)


def build_loss(recipe: Recipe, denoiser: Denoiser, parts: Parts) -> Callable[[Tensor, torch.Generator], Tensor]:
    """(rows, generator) -> loss of each row, per dimension."""
    if parts.objective is not None:
        own = parts.objective
        return lambda rows, generator: own(denoiser, rows, generator)
    section = recipe.objective
    for table, name, what in ((TIMES, section.times, "times"), (METRICS, section.metric, "metric")):
        if name not in table:
            raise unknown_name(what, name, table)
    if section.weight not in WEIGHTS:
        raise unknown_name("weight", section.weight, WEIGHTS)
    times: Callable[..., Tensor] = TIMES[section.times]
    if section.times == "log-normal":
        times = partial(times, **{k: v for k, v in (("mean", section.mean), ("std", section.std)) if v is not None})
    elif section.mean is not None or section.std is not None:
        raise InputError(f'The times "{section.times}" take no mean and std: these belong to "log-normal".')

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        t = times(denoiser.schedule, len(rows), generator)
        eps = torch.randn(rows.shape, generator=generator, device=rows.device)
        value = denoising_loss(denoiser, rows, t, eps, WEIGHTS[section.weight], METRICS[section.metric])
        return value / rows[0].numel()

    return loss


def build_judge(denoiser: Denoiser, parts: Parts) -> Callable[[Tensor, torch.Generator], Tensor] | None:
    """(rows, generator) -> the bound on the NLL of each row, per dimension; None for an objective of the user's own."""
    if parts.objective is not None:
        return None
    return lambda rows, generator: diffusion_bound(denoiser, rows, generator) / rows[0].numel()


def build_step(sampler: str | Step, eta: float | None) -> Step:
    """A sampler's step from its name, or a function as it is."""
    if callable(sampler):
        return sampler
    if sampler not in SAMPLERS:
        raise unknown_name("sampler", sampler, SAMPLERS)
    if eta is None:
        return SAMPLERS[sampler]
    if sampler != "ddim":
        raise InputError(f'The sampler "{sampler}" does not take eta: it belongs to "ddim".')
    return partial(ddim, eta=eta)


def check_names(recipe: Recipe) -> None:
    """Refuse a recipe whose names are unknown, before any work is done."""
    for what, name, table in (
        ("head", recipe.denoiser.head, HEADS),
        ("sampler", recipe.sample.sampler, SAMPLERS),
        ("grid", recipe.sample.grid, GRIDS),
    ):
        if name not in table:
            raise unknown_name(what, name, table)
    build_step(recipe.sample.sampler, recipe.sample.eta)
    build_schedule(recipe)
