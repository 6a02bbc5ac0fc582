"""A lesson: a tutorial's model, trained, with everything measured that its report says.

The tutorial's own training is a fit like any other. Beside it come its companions, and the repair: the same data by the
default recipe, in at most the same time.
"""

from __future__ import annotations

from collections.abc import Callable

from driftfield.fitting.fit import fit
from driftfield.model.model import Model
from driftfield.recipes.schema import load_recipe
from driftfield.tutorials.measure import ROWS, accuracy, distribution_of, floor, from_noised_data, sampled_accuracy
from driftfield.tutorials.tutorial import Costs, EqualQuality, Lesson, Tutorial

REPAIR_SECONDS = 15.0  # in which the default recipe is done with 10,000 rows of the plane
SHORTEST_SECONDS = 0.1  # of any training beside the main one, however short that was
FIRST_SECONDS = 1.0  # of the search for equal quality, doubled until it is reached


def study(tutorial: Tutorial, model: Model, seed: int, say: Callable[[str], None]) -> Lesson:
    """Train the companions and the repair of a trained tutorial, and measure all of them."""
    seconds = max(float(model.facts["training seconds"]), SHORTEST_SECONDS)
    rows = model.recipe.data.rows
    companions = {}
    for companion in tutorial.companions:
        length = max(companion.share * min(seconds, 2 * REPAIR_SECONDS), SHORTEST_SECONDS)
        say(f"Training {companion.label} for {length:.0f} s ..")
        own = model.recipe.model_dump(mode="json", include=set(companion.shared))
        asked = load_recipe(companion.recipe).updated(own).updated(companion.changes)
        companions[companion.key] = fit(asked.data.name, asked, seed, time=length, rows=rows)
    say("Measuring ..")
    judged = model.evaluate(ROWS, seed)
    costs = _costs(tutorial, model, seed)
    length = min(seconds, REPAIR_SECONDS)
    say(f"The repair: the default recipe on the same rows, {length:.0f} s ..")
    repair = fit(model.source, seed=seed, time=length, rows=rows)
    repair_judged = repair.evaluate(ROWS, seed)
    equal = _equal_quality(model.source, rows, costs.own, length, seed)
    return Lesson(tutorial, model, judged, companions, costs, repair, repair_judged, equal, seed)


def _costs(tutorial: Tutorial, model: Model, seed: int) -> Costs:
    distribution = distribution_of(model)
    other = None
    if model.recipe.kernel.kind == "denoiser":
        other = sampled_accuracy(model, seed, sampler="dpmpp-2m", grid="karras", steps=40, last_noise=False)
    faults = tuple(
        (fault, sampled_accuracy(model, seed, **fault.sampling)) for fault in tutorial.faults if fault.sampling
    )
    noised = accuracy(from_noised_data(model, ROWS, seed), distribution, seed)
    return Costs(sampled_accuracy(model, seed), floor(distribution, seed), noised, other, faults)


def _equal_quality(source: str, rows: int | None, target: float, most: float, seed: int) -> EqualQuality | None:
    """Search for it; None if the default recipe needs more than ``most`` seconds."""
    seconds = FIRST_SECONDS
    while seconds <= most:
        found = sampled_accuracy(fit(source, seed=seed, time=seconds, rows=rows), seed)
        if found <= target:
            return EqualQuality(seconds, found)
        seconds *= 2
    return None
