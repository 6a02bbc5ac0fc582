"""From a recipe to its parts; a part that is passed as an object is used as it is."""

import inspect
import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from driftfield.diffusion import (
    BaseDenoiser,
    Denoiser,
    LearnedKernel,
    LearnedVarianceDenoiser,
    Loss,
    Schedule,
    TableDenoiser,
    TableMixture,
    diffusion_bound,
    table_bound,
    trained_gammas,
)
from driftfield.diffusion.further.conversion import narrow
from driftfield.errors import InputError
from driftfield.memory import require
from driftfield.options import Options
from driftfield.recipes.combinations import check_combination
from driftfield.recipes.schema import DenoiserSection, Recipe

_TABLES = 6  # of double precision that a chain makes, or a learned schedule in a step
Objective = Callable[..., Tensor]


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
    """The schedule of a recipe, with the noise levels at which its network is trained and evaluated.

    Raises:
        InputError: its tables take more memory than there is, or it has none of the noise levels.
    """
    for option in ("T", "hidden"):
        if size := recipe.schedule.get(option):
            require(_TABLES * 8 * size, f"The tables of schedule.{option} = {size:,}", "choose a smaller one")
    return _narrowed(cast(Schedule, recipe.schedule.part()), recipe.denoiser)


def _narrowed(schedule: Schedule, section: DenoiserSection) -> Schedule:
    """The schedule, with its network evaluated only at the noise levels of the recipe, if that gives any."""
    if section.kappa_min is section.kappa_max is None:
        return schedule
    low, high = (schedule.gamma_ends() / 2).exp().tolist()
    kappa_min, kappa_max = section.kappa_min or low, section.kappa_max or high
    if kappa_min > kappa_max or max(kappa_min / high, low / kappa_max) > 1 + 1e-6:  # equal ends may differ by rounding
        raise InputError(
            f"No noise level of the schedule, with sigma / alpha from {low:.2g} to {high:.2g}, lies between "
            "denoiser.kappa_min and denoiser.kappa_max: change one of them."
        )
    narrow(schedule, 2 * torch.tensor([kappa_min, kappa_max], dtype=torch.float64).log())
    return schedule


def build_denoiser(
    recipe: Recipe,
    dimensions: int,
    parts: Parts,
    seed: int,
    directions: Tensor | None = None,
    classes: int = 0,
    levels: tuple[int, ...] = (),
) -> BaseDenoiser:
    """The denoiser of a recipe for rows of the given number of columns, with weights drawn from the seed.

    ``directions`` are those of the network's positional features: the columns of the table in the network's units.
    ``classes`` is the number of class labels, ``levels`` those of the categories of a table.

    Raises:
        InputError: the parts do not go together, or the weights take more memory than there is.
    """
    schedule = parts.schedule or build_schedule(recipe)
    if parts.network is None:
        require(4 * weights(recipe.network, dimensions, schedule.T), "The weights of the network", "make it smaller")
    with torch.random.fork_rng(devices=[]):  # layers draw their weights from the global state: give them a copy
        torch.default_generator.manual_seed(seed)
        known = {"directions": directions, "classes": classes or None, "levels": levels}
        build = partial(_build_network, recipe, dimensions, schedule, known)
        if recipe.kernel.kind == "learned":
            return LearnedKernel(schedule, build(), build())
        learned_variance = recipe.denoiser.variance == "learned"
        network = parts.network or build(outputs=2 * dimensions if learned_variance else None)
    default_label = "log-sigma" if recipe.network.get("embedding", "sine") == "sine" else "t"
    label = getattr(network, "label", default_label)
    make = LearnedVarianceDenoiser if learned_variance else TableDenoiser if is_table(recipe) else Denoiser
    section = recipe.denoiser
    network = network.float()  # also one of the user's own, made under another default dtype
    if isinstance(mixture := getattr(network, "mixture", None), TableMixture):
        mixture.double()
    return make(network, schedule, section.head, label, section.scale_input, bool(section.scale_output))


def _build_network(
    recipe: Recipe,
    dimensions: int,
    schedule: Schedule,
    data: dict[str, Any],
    outputs: int | None = None,
) -> nn.Module:
    network = recipe.network
    plain = network.get("embedding", "sine") != "sine" or not recipe.denoiser.scale_input
    if network.get("frequencies") and plain:
        raise InputError(
            "The positional features of network.frequencies need network.embedding = sine and "
            "denoiser.scale_input = true: change one of them."
        )
    known = {"dimensions": dimensions, "steps": schedule.T, "outputs": outputs, **data}
    taken = inspect.signature(network.source).parameters
    given: dict[str, Any] = {name: value for name, value in known.items() if name in taken and value is not None}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element")  # a table without numbers, or without categories
        return cast(nn.Module, network.part(**given))


def weights(network: Options, dimensions: int, T: int | None) -> float:
    """About how many weights a network has, from its options alone: those between its layers, and by step of a chain.

    A layer counts as at least a thousand, as it takes some memory of its own.
    """
    given = network.get("widths")
    if given is not None:
        sizes = [float(width) for width in (dimensions, *given, dimensions)]
        return sum(max(a * b, 1e3) for a, b in itertools.pairwise(sizes))
    width, depth = float(network.get("width") or 1), float(network.get("depth") or 1)
    by_step = 0.0 if T is None or network.get("embedding") is not None else T * depth * width
    return 2 * dimensions * width + (depth - 1) * max(width * width, 1e3) + by_step


def build_loss(recipe: Recipe, denoiser: BaseDenoiser, parts: Parts) -> Loss:
    """(rows, generator, labels) -> loss of each row, per dimension."""
    if parts.objective is not None:
        own = parts.objective
        if is_table(recipe):  # whose rows are more than their numbers
            return lambda rows, generator, *cells: own(cast(Denoiser, denoiser), rows, generator, *cells)
        return lambda rows, generator, *labels: own(cast(Denoiser, denoiser), rows, generator)
    loss = cast(Loss, recipe.objective.part(denoiser))
    return lambda rows, generator, *labels: loss(rows, generator, *labels) / max(rows[0].numel(), 1)


def is_table(recipe: Recipe) -> bool:
    """Whether a recipe is for a table of numbers and categories."""
    return recipe.network.kind == "table"


def build_judge(recipe: Recipe, denoiser: BaseDenoiser, parts: Parts) -> Loss:
    """(rows, generator, labels) -> what early stopping compares: the bound on the NLL of each row, per dimension.

    It is the loss itself for an objective of the user's own, and for a learned kernel, whose loss is a bound. The bound
    covers only the noise levels that are trained: elsewhere the network's output is arbitrary, and it would decide.
    """
    if parts.objective is not None or not isinstance(denoiser, Denoiser):
        return build_loss(recipe, denoiser, parts)
    times = recipe.objective.get("times")
    gammas = None if times is None else trained_gammas(denoiser.schedule, times.part)
    bound: Loss = table_bound if is_table(recipe) else diffusion_bound
    judge = partial(bound, denoiser, gammas=gammas)
    return lambda rows, generator, *labels: judge(rows, generator, *labels) / max(rows[0].numel(), 1)


def check_recipe(recipe: Recipe) -> None:
    """Refuse a recipe whose parts do not go together, before any work is done."""
    check_combination(recipe, build_schedule(recipe))
