"""Parts that do not go together are refused before any work is done, with the reason and what to change."""

import pytest

import driftfield
from driftfield.errors import InputError
from driftfield.recipes.building import build_schedule, check_recipe
from driftfield.recipes.combinations import check_combination
from driftfield.recipes.schema import load_recipe, recipe_names
from driftfield.recipes.settings import parse_settings

CONTRADICTIONS = {
    # A learned kernel.
    "in continuous time": ("default", "kernel.kind=learned objective.kind=elbo", "continuous"),
    "trained on the noise": (
        "swiss-roll-elbo",
        "objective.kind=denoising objective.terms= objective.last_transition=",
        "predicts no noise",
    ),
    "with two spreads": ("swiss-roll-elbo", "denoiser.variance=learned", "a spread of its own"),
    "with labels": ("swiss-roll-elbo", "data.label=class", "leave out data.label"),
    "elbo without a kernel": ("moons-ddpm", "objective.kind=elbo objective.times=", "trains kernel.kind = learned"),
    # Objectives.
    "a learned variance by denoising": ("moons-ddpm", "denoiser.variance=learned", '"hybrid" alone'),
    "hybrid with a fixed variance": ("moons-ddpm", "objective.kind=hybrid", "set denoiser.variance = learned"),
    "hybrid in continuous time": ("default", "objective.kind=hybrid denoiser.variance=learned", "is continuous"),
    "half-snr in continuous time": ("default", "objective.weight=half-snr", "in continuous time take vlb"),
    "a learned schedule by denoising": ("parabola-learned-schedule", "objective.kind=denoising", "hides the noise"),
    "the continuous bound on a chain": ("moons-ddpm", "objective.kind=bound", "objective.weight = vlb"),
    "slices of a network with kinks": ("ring-sliced-score", "network.activation=relu", "the kinks of ReLU"),
    "the bound at log-normal times": ("parabola-learned-schedule", "objective.times=log-normal", "uniform times"),
    # Sampling.
    "a sampler without its kernel": ("default", "sample.sampler=kernel", "draws from a learned kernel"),
    "a sampler without its variance": ("default", "sample.sampler=ancestral-learned", "denoiser.variance = learned"),
    "a mixture with classes": ("moons-classes", "network.components=2", "set network.components = 0"),
    "guidance without labels": ("default", "sample.guidance=2.0", "data.label names none"),
    # Data.
    "hidden labels without labels": ("default", "objective.label_dropout=0.1", "data.label names none"),
    "labels for a deaf network": ("moons-ddpm", "data.label=class", "take network.kind = mlp"),
    "an order of fresh rows": ("ring-score-sde", "train.order=shuffled", "have no order to shuffle"),
    "two lengths": ("moons-ddpm", "train.steps=5", "leave one of them out"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_what_contradicts_itself_is_refused_with_the_reason(case: str) -> None:
    name, settings, reason = CONTRADICTIONS[case]
    recipe = load_recipe(name)
    check_combination(recipe, build_schedule(recipe))  # good until the settings change it
    with pytest.raises(InputError) as raised:
        driftfield.fit("moons", recipe.updated(parse_settings(settings.split())), rows=30)
    message = str(raised.value)
    assert message.startswith("The recipe contradicts itself: ")
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize("name", recipe_names())
def test_no_built_in_recipe_contradicts_itself(name: str) -> None:
    check_recipe(load_recipe(name))
