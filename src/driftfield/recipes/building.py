"""From a recipe to its parts; a part that a researcher passes in person is taken as it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from driftfield.diffusion import (
    GRIDS,
    HEADS,
    METRICS,
    SAMPLERS,
    SCHEDULES,
    TIMES,
    WEIGHTS,
    BaseDenoiser,
    Denoiser,
    LearnedKernel,
    LearnedVarianceDenoiser,
    Schedule,
    chain_loss,
    continuous_bound,
    denoising_loss,
    diffusion_bound,
    hybrid_loss,
    sliced_score_loss,
    trained_gammas,
)
from driftfield.diffusion.basics.loop import Step
from driftfield.diffusion.basics.stochastic import with_last_noise
from driftfield.diffusion.further.conversion import narrow
from driftfield.errors import InputError, unknown_name
from driftfield.networks import NETWORKS
from driftfield.options import OneOf, wrong_value
from driftfield.recipes.combinations import check_combination
from driftfield.recipes.defaults import chooses_steps, sampling_steps
from driftfield.recipes.schema import DenoiserSection, ObjectiveSection, Recipe, SampleSection, call_with_options

Objective = Callable[[Denoiser, Tensor, torch.Generator], Tensor]
Loss = Callable[..., Tensor]  # (rows (B, *D), generator, labels (B,) if there are any) -> (B,), per dimension
Noise = Callable[[Tensor, torch.Generator], Tensor]
BOUND_SHARE = 1e-3  # of the bound in the hybrid loss (Nichol, Dhariwal 2021, sec. 3.1)
LABEL_DROPOUT = 0.1  # share of rows whose label is hidden, so that a model without labels is learned as well


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
    """The schedule of a recipe, with the noise levels at which its network is trained and evaluated."""
    options = recipe.schedule.model_dump(exclude={"kind"})
    if recipe.schedule.kind not in SCHEDULES:
        raise unknown_name("schedule", recipe.schedule.kind, SCHEDULES)
    schedule: Schedule = call_with_options(
        f'schedule "{recipe.schedule.kind}"', SCHEDULES[recipe.schedule.kind], options
    )
    return _narrowed(schedule, recipe.denoiser)


def _narrowed(schedule: Schedule, section: DenoiserSection) -> Schedule:
    """The schedule, with its network evaluated only at the noise levels of the recipe, if that gives any."""
    if section.kappa_min is section.kappa_max is None:
        return schedule
    low, high = (schedule.gamma_ends() / 2).exp().tolist()
    kappas = torch.tensor([section.kappa_min or low, section.kappa_max or high], dtype=torch.float64)
    narrow(schedule, 2 * kappas.log())
    if schedule.t_low >= schedule.t_high:
        raise InputError(
            f"No noise level of the schedule, with sigma / alpha from {low:.2g} to {high:.2g}, lies between "
            "denoiser.kappa_min and denoiser.kappa_max: change one of them."
        )
    return schedule


def build_denoiser(
    recipe: Recipe,
    dimensions: int,
    parts: Parts,
    seed: int,
    directions: Tensor | None = None,
    classes: int = 0,
) -> BaseDenoiser:
    """The denoiser of a recipe for rows of the given number of columns, with weights drawn from the seed.

    ``directions`` are those of the network's positional features: the columns of the table in the network's units.
    ``classes`` is the number of class labels.
    """
    schedule = parts.schedule or build_schedule(recipe)
    with torch.random.fork_rng(devices=[]):  # layers draw their weights from the global state: lend them a copy
        torch.default_generator.manual_seed(seed)
        build = partial(_build_network, recipe, dimensions, schedule, directions=directions, classes=classes)
        if recipe.kernel.kind == "learned":
            return LearnedKernel(schedule, build(), build())
        learned_variance = recipe.denoiser.variance == "learned"
        network = parts.network or build(outputs=2 * dimensions if learned_variance else None)
    told = "log-sigma" if recipe.network.embedding in (None, "sine") else "t"
    label = getattr(network, "label", told)
    make = LearnedVarianceDenoiser if learned_variance else Denoiser
    return make(network, schedule, recipe.denoiser.head, label, recipe.denoiser.scale_input)


def _build_network(
    recipe: Recipe,
    dimensions: int,
    schedule: Schedule,
    directions: Tensor | None,
    classes: int,
    outputs: int | None = None,
) -> nn.Module:
    section = recipe.network
    if section.kind not in NETWORKS:
        raise unknown_name("network", section.kind, NETWORKS)
    if section.frequencies and (section.embedding not in (None, "sine") or not recipe.denoiser.scale_input):
        raise InputError(
            "The positional features of network.frequencies need network.embedding = sine and "
            "denoiser.scale_input = true: change one of them."
        )
    asked = section.model_dump(exclude={"kind"}) | {"outputs": outputs, "classes": classes or None}
    asked |= {"steps": schedule.T} if section.kind == "conditional-mlp" else {"directions": directions}
    network: nn.Module = call_with_options(
        f'network "{section.kind}"', NETWORKS[section.kind], asked, dimensions=dimensions
    )
    return network


def build_loss(recipe: Recipe, denoiser: BaseDenoiser, parts: Parts) -> Loss:
    """(rows, generator, labels) -> loss of each row, per dimension."""
    if parts.objective is not None:
        own = parts.objective
        return lambda rows, generator, *labels: own(cast(Denoiser, denoiser), rows, generator)
    if recipe.objective.kind not in OBJECTIVES:
        raise unknown_name("objective", recipe.objective.kind, OBJECTIVES)
    loss = OBJECTIVES[recipe.objective.kind](recipe.objective, denoiser)
    return lambda rows, generator, *labels: loss(rows, generator, *labels) / rows[0].numel()


def _elbo(section: ObjectiveSection, denoiser: BaseDenoiser) -> Loss:
    terms, last = section.terms or "all", section.last_transition is not False
    kernel = cast(LearnedKernel, denoiser)
    return lambda rows, generator, *labels: chain_loss(kernel, rows, generator, terms, last)


def _denoising(section: ObjectiveSection, denoiser: BaseDenoiser) -> Loss:
    weight, metric = _weighing(section)
    return _at_times(section, cast(Denoiser, denoiser), partial(denoising_loss, weight=weight, metric=metric))


def _hybrid(section: ObjectiveSection, denoiser: BaseDenoiser) -> Loss:
    weight, metric = _weighing(section)
    share = BOUND_SHARE if section.bound_share is None else section.bound_share
    return _at_times(section, denoiser, partial(hybrid_loss, weight=weight, metric=metric, share=share))


def _bound(section: ObjectiveSection, denoiser: BaseDenoiser) -> Loss:
    return _at_times(section, denoiser, continuous_bound)


def _sliced(section: ObjectiveSection, denoiser: BaseDenoiser) -> Loss:
    return _at_times(section, denoiser, sliced_score_loss, v=rademacher)


OBJECTIVES: dict[str, Callable[[ObjectiveSection, BaseDenoiser], Loss]] = {
    "denoising": _denoising,
    "elbo": _elbo,
    "hybrid": _hybrid,
    "bound": _bound,
    "sliced-score": _sliced,
}


def _at_times(section: ObjectiveSection, denoiser: BaseDenoiser, draw: Callable[..., Tensor], **noise: Noise) -> Loss:
    """The loss whose one draw is ``draw(denoiser, x, t, eps, cond=.., **noise)`` at times that the recipe chooses."""
    times = _times(section)

    def loss(rows: Tensor, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
        t = times(denoiser.schedule, len(rows), generator)
        eps = torch.randn(rows.shape, generator=generator, device=rows.device)
        cond = None if labels is None else _partly_hidden(labels, section.label_dropout, generator)
        drawn = {name: make(rows, generator) for name, make in noise.items()}
        return draw(denoiser, rows, t, eps, cond=cond, **drawn)

    return loss


def _times(section: ObjectiveSection) -> Callable[..., Tensor]:
    if section.times not in TIMES:
        raise unknown_name("times", section.times, TIMES)
    given = {name: value for name in ("mean", "std") if (value := getattr(section, name)) is not None}
    if given and section.times != "log-normal":
        raise InputError(f'The times "{section.times}" take no mean and std: these belong to "log-normal".')
    return partial(TIMES[section.times], **given)


def rademacher(rows: Tensor, generator: torch.Generator) -> Tensor:
    """Independent signs, of the shape of the rows."""
    return torch.randint(0, 2, rows.shape, generator=generator, device=rows.device).to(rows) * 2 - 1


def _partly_hidden(labels: Tensor, dropout: float | None, generator: torch.Generator) -> Tensor:
    """The labels (B,), with a share of them replaced by -1, which is none."""
    chances = torch.rand(len(labels), generator=generator, device=labels.device)
    return torch.where(chances < (LABEL_DROPOUT if dropout is None else dropout), -1, labels)


def _weighing(section: ObjectiveSection) -> tuple[Callable[..., Tensor], Callable[[Tensor], Tensor]]:
    for table, name, what in ((METRICS, section.metric, "metric"), (WEIGHTS, section.weight, "weight")):
        if name not in table:
            raise unknown_name(what, name, table)
    return WEIGHTS[section.weight], METRICS[section.metric]


def build_judge(recipe: Recipe, denoiser: BaseDenoiser, parts: Parts) -> Loss:
    """(rows, generator, labels) -> what early stopping compares: the bound on the NLL of each row, per dimension.

    It is the loss itself for an objective of the user's own, and for a learned kernel, whose loss is a bound. The bound
    covers only the noise levels that are trained: elsewhere the network's output is arbitrary, and it would decide.
    """
    if parts.objective is not None or not isinstance(denoiser, Denoiser):
        return build_loss(recipe, denoiser, parts)
    judge = partial(diffusion_bound, denoiser, gammas=trained_gammas(denoiser.schedule, _times(recipe.objective)))
    return lambda rows, generator, *labels: judge(rows, generator, *labels) / rows[0].numel()


SAMPLER_OPTIONS = ("eta", "tolerance", "churn", "langevin")  # keys of [sample]


def sampler_options(section: SampleSection) -> dict[str, float | None]:
    """What a recipe says of samplers that take options."""
    return {key: getattr(section, key) for key in SAMPLER_OPTIONS}


def build_step(
    sampler: str | Step, options: Mapping[str, float | None] | None = None, last_noise: bool = False
) -> Step:
    """A sampler's step from its name and its options (keys of SAMPLER_OPTIONS), or a function as it is."""
    if callable(sampler):
        return sampler
    try:
        step: Step = OneOf("sampler", SAMPLERS).parse({"kind": sampler, **(options or {})}).part
    except ValidationError as error:
        raise InputError(wrong_value(error, prefix="sample")) from None
    return with_last_noise(step) if last_noise else step


def build_sampling(
    section: SampleSection,
    schedule: Schedule,
    *,
    sampler: str | Step | None = None,
    steps: int | None = None,
    grid: str | None = None,
    options: Mapping[str, float | None] | None = None,
    last_noise: bool | None = None,
) -> tuple[Step, Tensor]:
    """The step function and the decreasing times (n + 1,) of a recipe; what is given beats the recipe's [sample].

    The options of the recipe are those of its own sampler. So is its number of steps where one of the two samplers
    chooses its own steps and the other does not; :func:`driftfield.recipes.defaults.sampling_steps` fills the gap.

    Raises:
        InputError: an unknown name, an option that the sampler does not take, or fewer than one step.
    """
    if sampler is None:
        given = {key: value for key, value in (options or {}).items() if value is not None}
        options = sampler_options(section) | given
    step = build_step(sampler or section.sampler, options, section.last_noise if last_noise is None else last_noise)
    name = grid or section.grid
    if name not in GRIDS:
        raise unknown_name("grid", name, GRIDS)
    with torch.no_grad():
        return step, GRIDS[name](schedule, step_count(section, schedule.T, sampler, steps))


def step_count(
    section: SampleSection, T: int | None, sampler: str | Step | None = None, steps: int | None = None
) -> int:
    """How many steps are taken: as given, else by the recipe, unless they are those of a sampler of another sort."""
    chosen = sampler or section.sampler
    if steps is None and chooses_steps(chosen) == chooses_steps(section.sampler):
        steps = section.steps
    return sampling_steps(chosen, T) if steps is None else steps


def too_few_steps(
    section: SampleSection, T: int | None, sampler: str | Step | None = None, steps: int | None = None
) -> str | None:
    """One sentence where fewer steps are taken than the sampler needs, else None; see :func:`step_count`."""
    name, count = sampler or section.sampler, step_count(section, T, sampler, steps)
    fewest = SAMPLERS[name].fewest_steps if isinstance(name, str) and name in SAMPLERS else None
    if fewest is None or count >= fewest:
        return None
    are = "steps are" if count > 1 else "step is"
    return (
        f"{count} {are} too few for the sampler {name}: below {fewest} the variance of its rows can be far from that "
        "of the data. Take more steps, or a sampler that needs fewer (driftfield samplers lists them)."
    )


def check_names(recipe: Recipe) -> None:
    """Refuse a recipe whose names are unknown or do not go together, before any work is done."""
    for what, name, table in (
        ("head", recipe.denoiser.head, HEADS),
        ("sampler", recipe.sample.sampler, SAMPLERS),
        ("grid", recipe.sample.grid, GRIDS),
        ("objective", recipe.objective.kind, OBJECTIVES),
    ):
        if name not in table:
            raise unknown_name(what, name, table)
    build_step(recipe.sample.sampler, sampler_options(recipe.sample))
    check_combination(recipe, build_schedule(recipe))
