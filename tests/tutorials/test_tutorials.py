"""Each tutorial's report has the figures of the tutorial, the numbers beside them, and the three closing sections."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import driftfield
from driftfield import tutorials
from driftfield.evaluation import classifiers
from driftfield.figures import Contents, write_pictures
from driftfield.figures.section import Link, Section
from driftfield.recipe import load_recipe, recipe_names
from driftfield.tutorials import TUTORIALS, common, lesson, measure, ring, vlb, x0
from driftfield.tutorials.lesson import Lesson
from driftfield.tutorials.report import contents_of

SMALL = {  # constants of the modules, as small as their pictures allow
    measure: {"ROWS": 100},
    lesson: {"ROWS": 100, "REPAIR_SECONDS": 0.15, "FIRST_SECONDS": 0.1},
    common: {"POINTS": 60},
    ring: {"ROWS": 100, "ROWS_OF_HISTOGRAMS": 500, "PARTICLES": 400, "CELLS": 48, "STEPS": 12},
    vlb: {"ROWS": 60, "PATHS": 500, "IMPORTANCE_PATHS": 2},
    x0: {"ROWS": 100, "BOUND_ROWS": 60, "STRIDES": (20, 5)},
}
T = 20
SHORT = {"data": {"rows": 300}, "train": {"batch": 100, "epochs": 3, "steps": None, "lr": 1e-3}}
FIRST = {  # chapters that the tutorials' figures ask for, by the recipe
    "swiss-roll-elbo": ["tutorial-data", "tutorial-forward", "tutorial-reverse", "tutorial-loss", "tutorial-result"],
    "ddpm-vlb": ["tutorial-data", "closed-forms", "tutorial-loss", "tutorial-result", "terms", "ladder"],
    "ring-score-sde": ["tutorial-data", "ring-histograms", "tutorial-loss", "ring-sliced", "smoluchowski"],
}
FIRST["ring-sliced-score"] = FIRST["ring-score-sde"]
PROCESS = ["tutorial-data", "tutorial-schedules", "tutorial-forward", "tutorial-reverse", "tutorial-loss"]
for _name in ("moons-ddpm", "s-curve-ddpm", "swiss-roll-ddpm"):
    FIRST[_name] = [*PROCESS, "tutorial-result", "tutorial-film"]
FIRST["moons-circles-x0"] = [*PROCESS, "tutorial-result", "tutorial-film", "learned-variance"]
FIRST["parabola-x0"] = [*FIRST["moons-circles-x0"], "learned-schedule"]
FIRST["moons-classes"] = [
    name for name in [*PROCESS, "tutorial-result", "tutorial-film", "guidance", "striding"] if "schedules" not in name
]


@pytest.fixture(scope="module")
def small() -> Iterator[pytest.MonkeyPatch]:
    """Everything that a lesson measures, made small."""
    with pytest.MonkeyPatch.context() as patch:
        for module, values in SMALL.items():
            for name, value in values.items():
                patch.setattr(module, name, value)
        yield patch


def taught(name: str) -> tuple[Lesson, Contents]:
    """A tutorial after three epochs on 300 rows, studied."""
    recipe = load_recipe(name)
    if recipe.train.epochs:
        recipe = recipe.updated({"train": {"snapshots": [epoch for epoch in recipe.train.snapshots if epoch < 3][:1]}})
    recipe = recipe.updated(SHORT).updated(
        {"schedule": {"T": T}} if recipe.schedule.T else {"sample": {"steps": T}}
    )
    model = driftfield.fit(None, recipe, device="cpu")
    model.facts["command"] = f"driftfield tutorial {name}"
    assert model.law is not None
    vars(model.law).setdefault("entropy", 1.0)
    found = lesson.study(TUTORIALS[name], model, 0, lambda text: None)
    return found, contents_of(found, "runs/x")
