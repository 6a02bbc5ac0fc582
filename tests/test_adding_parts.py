"""A new sampler and a new schedule are one function or class with its options, and one row of a table: nothing else."""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from pydantic import Field
from torch import Tensor
from typer.testing import CliRunner

import driftfield
from driftfield.cli.app import app
from driftfield.diffusion import SAMPLERS, SCHEDULES, BaseDenoiser, Memory, Sampler, Schedule
from driftfield.diffusion.basics.single_step import euler
from driftfield.errors import InputError
from driftfield.options import Positive
from driftfield.recipes.schema import Recipe, load_recipe
from driftfield.recipes.settings import parse_settings

TINY = {"network": {"width": 8}, "train": {"steps": 3, "batch": 32}}


def shaken(
    denoiser: BaseDenoiser,
    x_t: Tensor,
    t: Tensor,
    s: Tensor,
    memory: Memory,
    *,
    shake: Annotated[float, Field(ge=0, le=1, description="how far a row is moved to the right")] = 0.25,
) -> Tensor:
    return euler(denoiser, x_t, t, s, memory) + (shake if s == 0 else 0)


class Power(Schedule):
    """alpha = 1 and sigma = t^power."""

    t_low = 1e-3

    def __init__(self, power: Annotated[Positive, Field(le=9, description="of t in sigma")] = 2) -> None:
        super().__init__()
        self.power, self.prior_std = power, math.exp(3)

    def log_alpha(self, t: Tensor) -> Tensor:
        return torch.zeros_like(t)

    def log_sigma(self, t: Tensor) -> Tensor:
        return self.power * t.log() + 3


@pytest.fixture(autouse=True)
def rows_of_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        SAMPLERS,
        "shaken",
        Sampler(shaken, "Euler, shaken", "this test", order=1, fewest_steps=1),
    )
    monkeypatch.setitem(SCHEDULES, "power", Power)


def refusal(sections: dict[str, Any]) -> str:
    with pytest.raises(InputError) as raised:
        Recipe.parse(sections)
    return str(raised.value)


def test_the_options_of_a_new_sampler_and_a_new_schedule_are_keys_of_recipes(tmp_path: Path) -> None:
    path = tmp_path / "new.toml"
    path.write_text('[schedule]\nkind = "power"\npower = 3\n[sample]\nsampler = {kind = "shaken", shake = 0.5}\n')
    recipe = load_recipe(path)
    assert (recipe.schedule.power, recipe.sample.sampler.shake) == (3, 0.5)
    path.write_text('[schedule]\nkind = "power"\npower = 3\n[sample]\nsampler = "shaken"\nshake = 0.5\n')
    assert load_recipe(path) == recipe
    path.write_text(recipe.toml())
    assert load_recipe(path) == recipe
    settings = ["schedule.kind=power", "schedule.power=3", "sample.sampler=shaken", "sample.shake=0.5"]
    assert Recipe().updated(parse_settings(settings)) == recipe
    assert Recipe().updated(parse_settings([*settings[:3], "sample.sampler.shake=0.5"])) == recipe
    assert Recipe.parse({"sample": {"sampler": "shaken"}}).sample.sampler.shake == 0.25


def test_messages_name_a_new_part_and_its_bounds() -> None:
    assert refusal({"sample": {"sampler": "heun", "shake": 0.5}}) == (
        'The sampler "heun" takes no shake: it belongs to "shaken".'
    )
    assert refusal({"schedule": {"kind": "vp", "power": 3}}) == (
        'The schedule "vp" takes no power: it belongs to "power"; --set schedule.power= leaves it out.'
    )
    assert refusal({"sample": {"sampler": "shakn"}}) == 'Unknown sampler "shakn": did you mean "shaken"?'
    assert refusal({"sample": {"sampler": "shaken", "shake": 2}}) == (
        "sample.sampler.shake in recipe should be less than or equal to 1, got 2."
    )
    assert refusal({"schedule": {"kind": "power", "power": 0}}) == (
        "schedule.power in recipe should be greater than or equal to 1, got 0."
    )
    assert refusal({"sample": {"shak": 1}}) == 'Unknown key in recipe "sample.shak": did you mean "shake"?'


def test_the_schema_holds_a_new_part_with_its_options() -> None:
    parts = Recipe.model_json_schema()["$defs"]
    shake = parts["sampler_shaken"]["properties"]["shake"]
    assert (shake["minimum"], shake["maximum"], shake["default"]) == (0, 1, 0.25)
    assert shake["description"] == "how far a row is moved to the right"
    assert parts["schedule_power"]["properties"]["power"]["maximum"] == 9


def test_a_new_part_trains_samples_and_has_flags(tmp_path: Path) -> None:
    model = driftfield.fit("moons", {**TINY, "schedule": {"kind": "power", "power": 3}}, rows=200, device="cpu")
    assert isinstance(model.denoiser.schedule, Power)
    assert model.denoiser.schedule.power == 3
    model.save(tmp_path / "run")
    assert driftfield.load(tmp_path / "run").denoiser.schedule.power == 3
    rows = model.sample(5, sampler="shaken", steps=4, shake=0.5)
    assert np.abs(rows - model.sample(5, sampler="euler", steps=4)).max() > 0.1

    run = CliRunner()
    arguments = ["sample", str(tmp_path / "run"), "-n", "5", "-q", "-o", str(tmp_path / "rows.npy")]
    done = run.invoke(app, [*arguments, "--sampler", "shaken", "--steps", "4", "--shake", "0.5"])
    assert done.exit_code == 0, done.output
    assert_array_equal(np.load(tmp_path / "rows.npy"), rows)
    refused = run.invoke(app, [*arguments, "--sampler", "heun", "--shake", "0.5"])
    assert str(refused.exception) == 'The sampler "heun" takes no shake: it belongs to "shaken".'
    text = " ".join(run.invoke(app, ["sample", "--help"]).output.split())
    assert "--shake" in text
    assert "how far a row is moved to the right; of shaken, 0.25 by default" in text
    listed = json.loads(run.invoke(app, ["samplers", "--json"]).output)
    assert "shaken" in [entry["name"] for entry in listed]
