"""Plan: all that a training depends on, as plain data, and its files in a run folder."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftfield.codecs import FloatArray
from driftfield.datasets.dates import Dates
from driftfield.datasets.mixed import AllDates, Levels
from driftfield.datasets.writing import Spelled
from driftfield.files import replacing
from driftfield.model import run as runs
from driftfield.recipes.defaults import steps_of_a_pass
from driftfield.recipes.schema import Recipe, load_recipe

Labels = NDArray[np.int64]
ARRAYS = (
    "rows",
    "validation",
    "held_out",
    "labels",
    "validation_labels",
    "weights",
    "validation_weights",
    "held_out_weights",
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be trained: a training is determined by its plan, so it can be resumed.

    Attributes:
        recipe: with every choice filled in.
        source: DATA as the user named it.
        columns, classes: names of the columns and of the class labels.
        rows, validation, held_out: in the user's units, (n, D).
        labels, validation_labels: class numbers (n,), where there are classes.
        weights, validation_weights, held_out_weights: of the rows (n,), where they differ.
        seed: of the network's weights and the training.
        seconds: a time budget, or None.
        command: the command line that started the training, or "".
        levels: the texts of each column of text, where the rows have text or missing cells.
        dates: how the dates of each of these columns are written, None for one without.
        spelled: of columns with True or 007, how their numbers are written.
        real: columns of a table that are real numbers, whatever their values look like.
        shrink: whether whitening shrinks the covariance, as it does since 0.2.
    """

    recipe: Recipe
    source: str
    columns: tuple[str, ...]
    rows: FloatArray
    held_out: FloatArray
    seed: int
    validation: FloatArray | None = None
    labels: Labels | None = None
    validation_labels: Labels | None = None
    weights: FloatArray | None = None
    validation_weights: FloatArray | None = None
    held_out_weights: FloatArray | None = None
    classes: tuple[str, ...] = ()
    seconds: float | None = None
    command: str = ""
    levels: Levels = ()
    dates: AllDates = ()
    spelled: Spelled = field(default_factory=dict)
    real: frozenset[str] = frozenset()
    shrink: bool = True

    @property
    def steps_per_epoch(self) -> int:
        """Batches that a pass through the training rows takes."""
        return steps_of_a_pass(len(self.rows), self.recipe.train.batch or 1)

    @property
    def class_counts(self) -> tuple[float, ...]:
        """How many training rows each class has, each row counted by its weight."""
        if self.labels is None:
            return ()
        return tuple(np.bincount(self.labels, self.weights, minlength=len(self.classes)).tolist())

    @property
    def rows_per_step(self) -> int:
        """Rows that a network sees in one step: a batch, at every step of the chain where the loss sums over all."""
        batch = self.recipe.train.batch or 1
        all_terms = self.recipe.objective.get("terms") == "all"
        return batch * (self.recipe.schedule.get("T") or 1) if all_terms else batch


def write_plan(plan: Plan, folder: Path, device: str) -> None:
    """Write a plan, and the name of the device, into an existing folder."""
    for name in ARRAYS:
        if (array := getattr(plan, name)) is not None:
            with replacing(folder / f"{name}.npy") as temporary:
                np.save(temporary, array, allow_pickle=False)
    setup = {
        "columns": list(plan.columns),
        "source": plan.source,
        "seed": plan.seed,
        "seconds": plan.seconds,
        "command": plan.command,
        "classes": list(plan.classes),
        "device": device,
        "levels": [list(texts) for texts in plan.levels],
        "dates": [None if dates is None else asdict(dates) for dates in plan.dates],
        "spelled": {name: list(texts.items()) for name, texts in plan.spelled.items()},
        "real": sorted(plan.real),
        "shrink": plan.shrink,
        "recipe": plan.recipe.model_dump(mode="json"),
    }
    runs.write_json(folder / runs.SETUP, setup)  # last: its presence says that the training can be resumed


def read_plan(folder: Path) -> tuple[Plan, str]:
    """The plan that :func:`write_plan` wrote, and its device."""
    setup: dict[str, Any] = runs.read_json(folder / runs.SETUP)
    paths = {name: folder / f"{name}.npy" for name in ARRAYS}
    arrays = {name: np.load(path, allow_pickle=False) for name, path in paths.items() if path.exists()}
    plan = Plan(
        recipe=load_recipe(setup["recipe"]),
        source=setup["source"],
        columns=tuple(setup["columns"]),
        seed=setup["seed"],
        seconds=setup["seconds"],
        command=setup["command"],
        classes=tuple(setup["classes"]),
        levels=tuple(tuple(texts) for texts in setup.get("levels", ())),
        dates=tuple(None if dates is None else Dates(**dates) for dates in setup.get("dates", ())),
        spelled={name: dict(map(tuple, texts)) for name, texts in setup.get("spelled", {}).items()},
        real=frozenset(setup.get("real", ())),
        shrink=setup.get("shrink", False),
        **arrays,
    )
    return plan, setup["device"]
