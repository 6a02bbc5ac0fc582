"""A lesson: a tutorial's model, trained, with everything measured that its report says.

The tutorial's own training is a fit like any other. Beside it come its companions, and the repair: the same data by the
default recipe, in at most the same time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from driftfield.evaluation import Evaluation
from driftfield.fitting import fit
from driftfield.model import Model
from driftfield.recipe import load_recipe
from driftfield.tutorials.measure import ROWS, accuracy, floor, from_noised_data, law_of, sampled_accuracy
from driftfield.tutorials.tutorial import Fault, Tutorial

REPAIR_SECONDS = 15.0  # in which the default recipe is done with 10,000 rows of the plane
SHORTEST_SECONDS = 0.1  # of any training beside the main one, however short that was
FIRST_SECONDS = 1.0  # of the search for equal quality, doubled until it is reached


@dataclass(frozen=True)
class EqualQuality:
    """The shortest training of the default recipe, of 1, 2, 4, .. seconds, that is as good: its time and accuracy."""

    seconds: float
    accuracy: float


@dataclass(frozen=True)
class Costs:
    """Accuracies of the two-sample test, 0.5 at best: as the recipe samples, and with one thing mended or broken."""

    own: float
    floor: float
    from_noised_data: float
    other_sampler: float | None
    faults: tuple[tuple[Fault, float], ...]


@dataclass(frozen=True)
class Lesson:
    """What a report is made from."""

    tutorial: Tutorial
    model: Model
    judged: Evaluation
    companions: dict[str, Model]
    costs: Costs
    repair: Model
    repair_judged: Evaluation
    equal: EqualQuality | None
    seed: int

    @property
    def seconds(self) -> float:
        """Of the tutorial's training."""
        return float(self.model.facts["training seconds"])

    def summary(self) -> dict[str, Any]:
        """What a table of all tutorials says of this one; plain data."""
        return {
            "tutorial": self.tutorial.name,
            "steps": self.model.facts["steps"],
            "seconds": self.seconds,
            "signal": self.model.prior_mismatch.signal,
            "prior_bound": self.model.prior_mismatch.bound,
            "accuracy": self.costs.own,
            "floor": self.costs.floor,
            "accuracy_from_noised_data": self.costs.from_noised_data,
            "metrics": {metric.name: metric.value for metric in self.judged.metrics},
            "floors": {metric.name: metric.floor for metric in self.judged.metrics},
            "repair": {
                "seconds": float(self.repair.facts["training seconds"]),
                "metrics": {metric.name: metric.value for metric in self.repair_judged.metrics},
            },
            "equal_quality_seconds": None if self.equal is None else self.equal.seconds,
        }

    @property
    def epochs(self) -> float:
        """Passes through the rows that were made; steps where rows are drawn anew for each."""
        return float(self.model.facts["steps"]) / float(self.model.facts.get("steps per epoch", 1))


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
    law = law_of(model)
    other = None
    if model.recipe.kernel.kind == "denoiser":
        other = sampled_accuracy(model, seed, sampler="dpmpp-2m", grid="karras", steps=40, last_noise=False)
    faults = tuple(
        (fault, sampled_accuracy(model, seed, **fault.sampling)) for fault in tutorial.faults if fault.sampling
    )
    noised = accuracy(from_noised_data(model, ROWS, seed), law, seed)
    return Costs(sampled_accuracy(model, seed), floor(law, seed), noised, other, faults)


def _equal_quality(source: str, rows: int | None, target: float, most: float, seed: int) -> EqualQuality | None:
    """Search for it; None if the default recipe needs more than ``most`` seconds."""
    seconds = FIRST_SECONDS
    while seconds <= most:
        found = sampled_accuracy(fit(source, seed=seed, time=seconds, rows=rows), seed)
        if found <= target:
            return EqualQuality(seconds, found)
        seconds *= 2
    return None
