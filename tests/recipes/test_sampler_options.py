"""Options of samplers, from a model's method and from a recipe."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import driftfield
from driftfield.errors import InputError
from driftfield.recipes.defaults import SAMPLING_STEPS
from driftfield.recipes.sampling import too_few_steps
from driftfield.recipes.schema import load_recipe


def test_samplers_take_their_own_options_and_no_others() -> None:
    model = driftfield.fit("moons", rows=500, steps=40, batch=128, network={"width": 16})
    loose, close = (model.sample(50, sampler="rk45", tolerance=tolerance) for tolerance in (1e-2, 1e-6))
    assert np.abs(loose - close).max() > 1e-5
    assert_allclose(model.sample(50, sampler="rk45", tolerance=1e-6, steps=3), close, atol=1e-3)
    quiet, loud = (model.sample(50, sampler="churn", steps=10, churn=amount) for amount in (0.0, 20.0))
    assert_allclose(quiet, model.sample(50, sampler="heun", steps=10), atol=1e-5)
    assert np.abs(loud - quiet).max() > 1e-2
    for options, owner in (({"tolerance": 1e-3}, "rk45"), ({"churn": 1.0}, "churn"), ({"langevin": 0.1}, "predictor")):
        with pytest.raises(InputError, match=f"it belongs to .{owner}"):
            model.sample(5, sampler="heun", **options)
    for name, options in (("rk45", {"tolerance": 0.0}), ("predictor-corrector", {"langevin": 0.7})):
        with pytest.raises(InputError, match=r"sample\.sampler\.\w+ should be"):
            model.sample(5, sampler=name, **options)


def test_an_option_in_the_recipe_is_that_of_its_sampler() -> None:
    tiny = {"network": {"width": 8}, "train": {"steps": 3}}
    model = driftfield.fit("moons", tiny | {"sample": {"sampler": "rk45", "tolerance": 1e-5}}, rows=200)
    assert model.recipe.sample.steps == 1  # each row takes the steps that it needs
    assert_allclose(model.sample(20), model.sample(20, tolerance=1e-5), rtol=1e-6)
    assert np.abs(model.sample(20, tolerance=1e-1) - model.sample(20)).max() > 1e-6
    other = model.sample(5, sampler="heun")  # neither the options nor the one step of rk45 are those of another
    assert_allclose(other, model.sample(5, sampler="heun", steps=SAMPLING_STEPS), rtol=1e-6)
    with pytest.raises(InputError, match=r"takes no tolerance: it belongs to .rk45"):
        driftfield.fit("moons", tiny | {"sample": {"sampler": "heun", "tolerance": 1e-5}}, rows=200)


def test_a_sampler_with_too_few_steps_is_named() -> None:
    section = load_recipe("default").sample  # dpmpp-2m, 28 steps once it is resolved
    assert too_few_steps(section, None) is None
    assert too_few_steps(section, None, "heun", 9) is None
    warning = too_few_steps(section, None, "heun", 8)
    assert warning is not None
    assert warning.startswith("8 steps are too few for the sampler heun: below 9 ")
    assert (too_few_steps(section, None, "rk4", 1) or "").startswith("1 step is")
    assert too_few_steps(section, None, "rk45", 1) is None  # it chooses its own steps
    assert too_few_steps(section, 5, "ancestral") is not None  # a chain of five steps
    assert too_few_steps(section.model_copy(update={"sampler": "rk45", "steps": 1}), None, "heun") is None
