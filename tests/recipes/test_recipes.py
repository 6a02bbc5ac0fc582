"""Every built-in recipe goes all the way: it is trained, sampled, scored, saved, loaded and judged."""

import json
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import driftfield
from driftfield.model.model import Model
from driftfield.recipes.schema import load_recipe, recipe_names
from driftfield.recipes.settings import parse_settings
from driftfield.report import dots
from driftfield.report.panels import figure
from driftfield.report.style import LIGHT

ROWS, T = 300, 20
SHORT = {
    "data": {"rows": ROWS},
    "train": {"steps": 6, "epochs": None, "batch": 128, "snapshots": [2, 4]},
    "likelihood": {"steps": 6},
}


def fitted(name: str) -> Model:
    """A recipe after six steps; a chain is one of 20 steps."""
    recipe = load_recipe(name).updated(SHORT)
    recipe = recipe.updated(
        parse_settings([f"{'sample.steps' if recipe.schedule.get('T') is None else 'schedule.T'}={T}"])
    )
    return driftfield.fit("moons" if name == "default" else None, recipe, device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe_names())
def test_a_built_in_recipe_goes_all_the_way(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fitted(name)
    assert model.distribution is not None
    monkeypatch.setitem(
        vars(model.distribution), "entropy", 1.0
    )  # its quadrature takes seconds, and has tests of its own
    assert model.recipe.data.rows == ROWS
    assert model.recipe.sample.steps == T  # samplers that walk a chain take all its steps, however many they are
    assert model.facts["steps"] == 6
    assert sorted(model.snapshots) == [2, 4]
    assert np.isfinite(model.history[-1]["loss"])
    rows = model.sample(10)
    assert np.isfinite(rows).all()
    value, error = model.log_prob(model.held_out[:5])
    assert np.isfinite(value).all()
    assert np.isfinite(error).all()
    back = driftfield.load(model.save(tmp_path / "run"))
    assert back.recipe == model.recipe
    assert_allclose(back.sample(10), rows, rtol=1e-6)
    # To the last digits alone: how sums are split among vector units depends on where a tensor lies in memory.
    assert_allclose(back.log_prob(model.held_out[:5])[0], value, rtol=1e-6)
    judged = model.evaluate(20)
    json.dumps(judged.as_dict(), allow_nan=False)
    assert {"c2st_knn", "wasserstein2", "nll", "kl"} <= {metric.name for metric in judged.metrics}
    drawn = {text.get_text() for text in figure([dots.metrics(judged.metrics)], LIGHT).axes[0].texts}
    assert {metric.label for metric in judged.metrics} <= drawn  # none is cut


@pytest.mark.parametrize("name", recipe_names())
def test_every_key_that_a_recipe_gives_can_be_given_on_the_command_line(name: str) -> None:
    text = resources.files("driftfield").joinpath("recipes", f"{name}.toml").read_text(encoding="utf-8")
    settings = [f"{key}={json.dumps(value)}" for key, value in flattened(tomllib.loads(text))]
    assert load_recipe("default").updated(parse_settings(settings)) == load_recipe(name)


def flattened(tables: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted key and the value of each entry of nested tables."""
    for key, value in tables.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{path}{key}.")
        else:
            yield path + key, value


def test_recipes_say_what_they_are_in_their_first_line() -> None:
    for name in recipe_names():
        text = resources.files("driftfield").joinpath("recipes", f"{name}.toml").read_text(encoding="utf-8")
        assert text.startswith("# ")
