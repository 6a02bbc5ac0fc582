"""What a tutorial is: a recipe, the figures of its chapters, its faults, and which parts its ideas became.

And what a lesson is: a tutorial, trained, with everything measured that its report says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from driftfield.evaluation import Evaluation
    from driftfield.model.model import Model
    from driftfield.report.section import Section

Settings = Mapping[str, Mapping[str, Any]]  # keys of a recipe, by section


@dataclass(frozen=True)
class Idea:
    """An idea of the tutorial, the part that it became, and the module that explains it."""

    idea: str
    part: str
    module: str


@dataclass(frozen=True)
class Fault:
    """Something that the published code gets wrong: what, what it costs, and how to bring it back.

    ``toggle`` is the setting that does so, where there is one; ``sampling`` holds options of :meth:`Model.sample` that
    do, so that the cost can be measured on the trained model.
    """

    what: str
    cost: str
    toggle: str = ""
    sampling: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Companion:
    """Another training beside the main one, to compare with: a recipe, with changes, for a share of its time.

    ``shared`` sections are those of the main training, so that what a user sets there holds for both.
    """

    key: str
    label: str
    recipe: str
    changes: Settings = field(default_factory=dict)
    shared: tuple[str, ...] = ()
    share: float = 0.4


@dataclass(frozen=True)
class Tutorial:
    """One tutorial's recipe and what its report shows.

    Attributes:
        name: of the recipe.
        source: the document it follows.
        title: of the report.
        summary: one line for the list.
        chapters: the sections with its figures, from what was trained and measured.
        ideas, faults: for the bridge and the diagnosis.
        companions: trained beside it.
    """

    name: str
    source: str
    title: str
    summary: str
    chapters: Callable[[Lesson], Iterator[Section]]
    ideas: tuple[Idea, ...]
    faults: tuple[Fault, ...]
    companions: tuple[Companion, ...] = ()


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
