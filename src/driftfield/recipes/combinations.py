"""Which parts of a recipe go together: a combination that makes no sense is refused, with the reason."""

import inspect
from collections.abc import Iterator
from itertools import chain

from driftfield.diffusion import SAMPLERS, Schedule
from driftfield.errors import InputError
from driftfield.options import Options
from driftfield.recipes.schema import Recipe


def check_combination(recipe: Recipe, schedule: Schedule) -> None:
    """Raise an InputError for the first thing in a recipe that contradicts another."""
    rules = (
        _kernel(recipe, schedule),
        _objective(recipe, schedule),
        _sampling(recipe),
        _table(recipe),
        _data(recipe),
        _mixture(recipe),
    )
    for reason in chain.from_iterable(rules):
        raise InputError(f"The recipe contradicts itself: {reason}.")


def _kernel(recipe: Recipe, schedule: Schedule) -> Iterator[str]:
    kind, objective = recipe.kernel.kind, recipe.objective.kind
    if kind == "learned":
        if schedule.T is None:
            yield (
                "a learned kernel has one transition for each step of a chain, but the schedule "
                f'"{recipe.schedule.kind}" is continuous; take kernel.kind = denoiser, or a chain'
            )
        if objective != "elbo":
            yield (
                f'a learned kernel predicts no noise that the objective "{objective}" could compare; take '
                "objective.kind = elbo"
            )
        if recipe.denoiser.variance == "learned":
            yield "a learned kernel has a spread of its own; leave out denoiser.variance"
        if recipe.data.label is not None:
            yield "a learned kernel takes no class labels; leave out data.label"
    elif objective == "elbo":
        yield 'the objective "elbo" trains kernel.kind = learned; for a denoiser take objective.weight = vlb'


def _objective(recipe: Recipe, schedule: Schedule) -> Iterator[str]:
    section = recipe.objective
    learned = recipe.denoiser.variance == "learned"
    if learned and section.kind != "hybrid":
        yield (
            f'a learned variance is trained by the objective "hybrid" alone, but the objective is "{section.kind}"; '
            "change objective.kind or denoiser.variance"
        )
    if section.kind == "hybrid" and not learned:
        yield 'the objective "hybrid" trains a learned variance; set denoiser.variance = learned'
    if schedule.T is None and section.kind == "hybrid":
        yield "a learned variance lies between the bounds of a chain's steps, but the schedule is continuous"
    if schedule.T is None and _kind(section, "weight") == "half-snr":
        yield 'the weight "half-snr" is a difference between steps of a chain; in continuous time take vlb'
    if (recipe.schedule.kind == "learned") and section.kind != "bound":
        yield (
            f'the objective "{section.kind}" would be lowered by a schedule that hides the noise; a learned schedule '
            "is trained by objective.kind = bound alone"
        )
    if section.kind == "bound" and schedule.T is not None:
        yield 'the objective "bound" is the bound in continuous time; on a chain take objective.weight = vlb'
    if section.kind == "sliced-score" and recipe.network.get("activation") == "relu":
        yield (
            "sliced score matching differentiates the network, and no gradient depends on where the kinks of ReLU lie; "
            "take network.activation = silu"
        )
    if section.kind == "bound" and _kind(section, "times") == "log-normal":
        yield 'the bound is a mean over uniform times; set objective.times to "uniform", "stratified" or "antithetic"'


def _kind(section: Options, name: str) -> str | None:
    """The name of a part that is an option; None where there is no such option."""
    part = section.get(name)
    return None if part is None else part.kind


def _sampling(recipe: Recipe) -> Iterator[str]:
    sampler, needs = recipe.sample.sampler.kind, SAMPLERS[recipe.sample.sampler.kind].needs
    if needs == "a learned kernel" and recipe.kernel.kind != "learned":
        yield f'the sampler "{sampler}" draws from a learned kernel; take sample.sampler = ancestral'
    if needs == "a learned variance" and recipe.denoiser.variance != "learned":
        yield f'the sampler "{sampler}" needs denoiser.variance = learned; take sample.sampler = ancestral'
    if recipe.sample.guidance is not None and recipe.data.label is None:
        yield "sample.guidance follows class labels, but data.label names none"


def _table(recipe: Recipe) -> Iterator[str]:
    kinds = {"network.kind": recipe.network.kind, "objective.kind": recipe.objective.kind}
    tables = [name for name, kind in kinds.items() if kind == "table"]
    if len(tables) == 1:
        yield f"{tables[0]} = table needs the other one of {' and '.join(kinds)} too; set both"
    if not tables:
        return
    if recipe.kernel.kind != "denoiser" or recipe.denoiser.variance == "learned":
        yield "a table has neither a learned kernel nor a learned variance; leave out kernel and denoiser.variance"
    if recipe.train.prior == "standard" or not recipe.denoiser.scale_input:
        yield "a table needs numbers of unit variance; leave out train.prior and denoiser.scale_input"
    if recipe.data.label is not None:
        yield "the classes of a table are one of its columns; leave out data.label, and give the class as any cell"
    if recipe.data.scaling not in (None, "standard"):
        yield "the numbers of a table are scaled one by one; leave out data.scaling"


def takes_mixture(recipe: Recipe) -> bool:
    """Whether the network of a recipe can add to a mixture: it has no classes, and no variance of its own."""
    plain = recipe.kernel.kind == "denoiser" and recipe.denoiser.variance != "learned"
    return plain and recipe.data.label is None


def _mixture(recipe: Recipe) -> Iterator[str]:
    if recipe.network.get("components") and not takes_mixture(recipe):
        yield (
            "a mixture knows neither classes nor a learned kernel or variance; set network.components = 0, or leave "
            "out data.label, kernel and denoiser.variance"
        )


def _data(recipe: Recipe) -> Iterator[str]:
    if recipe.objective.get("label_dropout") is not None and recipe.data.label is None:
        yield "objective.label_dropout hides class labels, but data.label names none"
    if recipe.data.label is not None and "classes" not in inspect.signature(recipe.network.source).parameters:
        yield f'the network "{recipe.network.kind}" takes no class labels; take network.kind = mlp'
    if recipe.data.fresh and recipe.train.order == "shuffled":
        yield "fresh rows are used once and have no order to shuffle; leave out train.order or data.fresh"
    if recipe.train.epochs is not None and recipe.train.steps is not None:
        yield "train.epochs and train.steps both say how long; leave one of them out"
