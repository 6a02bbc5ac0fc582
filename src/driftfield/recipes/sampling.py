"""From [sample] of a recipe, and what beats it, to a sampler's step and the times of a grid."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from driftfield.diffusion import Schedule, Step
from driftfield.diffusion.basics.stochastic import with_last_noise
from driftfield.memory import require
from driftfield.options import Options
from driftfield.recipes.defaults import chooses_steps, sampler_row, sampling_steps
from driftfield.recipes.schema import Recipe, SampleSection

_COPIES = 4  # of the times, while they are computed
AnySampler = str | Step | Options | None


def build_sampling(
    section: SampleSection,
    schedule: Schedule,
    *,
    sampler: str | Step | None = None,
    steps: int | None = None,
    grid: str | None = None,
    options: Mapping[str, Any] | None = None,
    last_noise: bool | None = None,
) -> tuple[Step, Tensor]:
    """The step function and the decreasing times (n + 1,) of a recipe; what is given beats the recipe's [sample].

    The options of the recipe are those of its own sampler and grid. So is its number of steps where one of the two
    samplers chooses its own steps and the other does not; :func:`driftfield.recipes.defaults.sampling_steps` decides.

    Args:
        options: of the sampler or of the grid, by name.

    Raises:
        InputError: an unknown name, an option that the sampler does not take, or fewer than one step.
    """
    own = sampler if callable(sampler) else None
    changes = {"sampler": None if own else sampler, "grid": grid, "last_noise": last_noise, **(options or {})}
    chosen = changed(section, changes)
    step: Step = own or chosen.sampler.part
    if chosen.last_noise:
        step = with_last_noise(step)
    return step, grid_times(chosen, schedule, step_count(section, schedule.T, sampler, steps))


def grid_times(section: SampleSection, schedule: Schedule, n: int, grid: str | None = None) -> Tensor:
    """The decreasing times (n + 1,) of a grid, by default the recipe's own."""
    require(8 * _COPIES * n, f"{n:,} sampling steps", "take fewer")
    with torch.no_grad():
        times: Tensor = changed(section, {"grid": grid}).grid.part(schedule, n)
    return times


def changed(section: SampleSection, changes: Mapping[str, Any]) -> SampleSection:
    """The section with the given keys replaced, options of its sampler and grid among them; None replaces nothing."""
    given = {key: value for key, value in changes.items() if value is not None}
    return Recipe(sample=section).updated({"sample": given}, "").sample if given else section


def step_count(section: SampleSection, T: int | None, sampler: AnySampler = None, steps: int | None = None) -> int:
    """How many steps are taken: as given, else by the recipe, unless its sampler chooses steps and this one does not.

    Nor do the recipe's steps count the other way round.
    """
    chosen = sampler or section.sampler
    if steps is None and chooses_steps(chosen) == chooses_steps(section.sampler):
        steps = section.steps
    return sampling_steps(chosen, T) if steps is None else steps


def too_few_steps(
    section: SampleSection, T: int | None, sampler: AnySampler = None, steps: int | None = None
) -> str | None:
    """One sentence where fewer steps are taken than the sampler needs, else None; see :func:`step_count`."""
    chosen = sampler or section.sampler
    row, count = sampler_row(chosen), step_count(section, T, sampler, steps)
    if row is None or row.fewest_steps is None or count >= row.fewest_steps:
        return None
    name = chosen.kind if isinstance(chosen, Options) else chosen
    are = "steps are" if count > 1 else "step is"
    return (
        f"{count} {are} too few for the sampler {name}: below {row.fewest_steps} the variance of its rows can be far "
        "from that of the data. Take more steps, or a sampler that needs fewer (driftfield samplers lists them)."
    )
