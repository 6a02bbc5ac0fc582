"""Results: a tutorial's trained model, its companions, and every number that its report states.

The tutorial's own training is a fit like any other. In addition the companions are trained, and the default recipe on
the same data, for at most the same time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from driftfield.evaluation import Evaluation
from driftfield.fitting.fit import fit
from driftfield.model.model import Model
from driftfield.recipes.schema import load_recipe
from driftfield.tutorials.measure import ROWS, accuracy, distribution_of, floor, from_noised_data, sampled_accuracy
from driftfield.tutorials.tutorial import Tutorial

DEFAULT_SECONDS = 15.0  # enough for the default recipe with 10,000 rows of the plane
SHORTEST_SECONDS = 0.1  # of any additional training, however short the main one was
FIRST_SECONDS = 1.0  # of the search for equal quality, doubled until it is reached


@dataclass(frozen=True)
class Results:
    """What a report is made from.

    The accuracies are those of the two-sample test, 0.5 at best: as the recipe samples, started from noised data, with
    another sampler (None for a learned kernel), and with each fault that can be brought back while sampling.
    """

    tutorial: Tutorial
    model: Model
    judged: Evaluation
    companions: dict[str, Model]
    accuracy: float
    floor: float
    from_noised_data: float
    other_sampler: float | None
    faults: dict[str, float]
    default: Model
    default_judged: Evaluation
    equal: tuple[float, float] | None  # the shortest training of the default recipe that is as good: seconds, accuracy
    seed: int

    @property
    def seconds(self) -> float:
        """Of the tutorial's training."""
        return float(self.model.facts["training seconds"])

    @property
    def unit(self) -> tuple[str, int]:
        """What the training is counted in, and its steps: epochs, or single steps where every step draws new rows."""
        steps = self.model.facts.get("steps per epoch")
        return ("step", 1) if steps is None else ("epoch", int(steps))

    @property
    def length(self) -> str:
        """Of the training in these units: "1,000 epochs"."""
        word, steps = self.unit
        return f"{self.model.facts['steps'] / steps:,.0f} {word}s"

    def summary(self) -> dict[str, Any]:
        """What a table of all tutorials says about this one; plain data."""
        mismatch = self.model.prior_mismatch
        return {
            "tutorial": self.tutorial.name,
            "steps": self.model.facts["steps"],
            "seconds": self.seconds,
            "signal": mismatch.signal,
            "prior_bound": mismatch.bound,
            "accuracy": self.accuracy,
            "floor": self.floor,
            "accuracy_from_noised_data": self.from_noised_data,
            "metrics": {metric.name: metric.value for metric in self.judged.metrics},
            "floors": {metric.name: metric.floor for metric in self.judged.metrics},
            "repair": {
                "seconds": float(self.default.facts["training seconds"]),
                "metrics": {metric.name: metric.value for metric in self.default_judged.metrics},
            },
            "equal_quality_seconds": None if self.equal is None else self.equal[0],
        }


def study(tutorial: Tutorial, model: Model, seed: int, say: Callable[[str], None]) -> Results:
    """Train the companions of a tutorial's trained model and the default recipe, and measure all of them."""
    distribution, rows = distribution_of(model), model.recipe.data.rows
    seconds = max(float(model.facts["training seconds"]), SHORTEST_SECONDS)
    companions = {}
    for key, each in tutorial.companions.items():
        length = max(each.fraction * min(seconds, 2 * DEFAULT_SECONDS), SHORTEST_SECONDS)
        say(f"Training {each.label} for {length:.0f} s ..")
        shared = model.recipe.model_dump(mode="json", include=set(each.shared))
        recipe = load_recipe(each.recipe or tutorial.name).updated(shared).updated(each.changes)
        companions[key] = fit(recipe.data.name, recipe, seed, time=length, rows=rows)
    say("Measuring ..")
    judged = model.evaluate(ROWS, seed)
    own = sampled_accuracy(model, seed)
    other = None
    if model.recipe.kernel.kind == "denoiser":
        other = sampled_accuracy(model, seed, sampler="dpmpp-2m", grid="karras", steps=40, last_noise=False)
    broken = [fault for fault in tutorial.faults if fault.sampling]
    faults = {fault.what: sampled_accuracy(model, seed, **fault.sampling) for fault in broken}
    noised = accuracy(from_noised_data(model, ROWS, seed), distribution, seed)
    length = min(seconds, DEFAULT_SECONDS)
    say(f"Training the default recipe on the same rows for {length:.0f} s ..")
    default = fit(model.source, seed=seed, time=length, rows=rows)
    return Results(
        tutorial,
        model,
        judged,
        companions,
        accuracy=own,
        floor=floor(distribution, seed),
        from_noised_data=noised,
        other_sampler=other,
        faults=faults,
        default=default,
        default_judged=default.evaluate(ROWS, seed),
        equal=_equal_quality(model.source, rows, own, length, seed),
        seed=seed,
    )


def _equal_quality(source: str, rows: int | None, target: float, most: float, seed: int) -> tuple[float, float] | None:
    """Seconds and accuracy of the shortest training of the default recipe that reaches a target, if any."""
    seconds = FIRST_SECONDS
    while seconds <= most:
        found = sampled_accuracy(fit(source, seed=seed, time=seconds, rows=rows), seed)
        if found <= target:
            return seconds, found
        seconds *= 2
    return None
