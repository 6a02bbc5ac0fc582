"""Recipes: validated, complete, and the same in every form."""

import pickle
import tomllib

import pytest

from driftfield.errors import InputError
from driftfield.recipes.schema import Recipe, load_recipe, recipe_names
from driftfield.recipes.settings import parse_settings


def test_a_recipe_survives_being_written_and_read() -> None:
    recipe = Recipe().updated({"network": {"frequencies": [1.0, 2.0]}, "train": {"steps": 7, "clip": None}})
    again = Recipe.parse(tomllib.loads(recipe.toml()))
    # TOML has no null: a key set to nothing comes back as its default.
    assert again.updated({"train": {"clip": None}}) == recipe


@pytest.mark.parametrize("name", recipe_names())
def test_every_built_in_recipe_is_valid(name: str) -> None:
    assert load_recipe(name).toml()


def test_the_default_recipe_file_says_what_the_defaults_are() -> None:
    assert load_recipe("default") == Recipe()


def test_settings_are_toml_values_or_bare_words() -> None:
    found = parse_settings(
        ["train.steps=500", "network.activation=gelu", "network.frequencies=[1, 2.5]", "train.lr=1e-3"]
    )
    assert found == {
        "train": {"steps": 500, "lr": 1e-3},
        "network": {"activation": "gelu", "frequencies": [1, 2.5]},
    }
    recipe = Recipe().updated(found)
    assert recipe.network.frequencies == (1.0, 2.5)


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ('columns."*".missing=model', "*"),
        ("columns.*.missing=model", "*"),
        ("columns.'a.b'.missing=model", "a.b"),
        ('columns."a=b" . missing = model', "a=b"),
        ("columns.it's.missing=model", "it's"),
    ],
)
def test_names_in_settings_may_be_in_quotes(setting: str, name: str) -> None:
    assert parse_settings([setting]) == {"columns": {name: {"missing": "model"}}}


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"trian": {}}, ["trian", "train"]),
        ({"train": {"stepz": 1}}, ["train.stepz", "steps"]),
        ({"train": {"steps": 1.5}}, ["train.steps", "1.5"]),
        ({"train": {"steps": True}}, ["train.steps"]),
        ({"train": {"lr": "fast"}}, ["train.lr", "fast"]),
        ({"train": {"ema": 1.0}}, ["train.ema"]),
        ({"data": {"scaling": "robust"}}, ["data.scaling", "robust"]),
        ({"likelihood": {"steps": 5}}, ["likelihood.steps"]),
    ],
)
def test_what_is_wrong_is_named_in_one_sentence(sections: dict[str, dict[str, object]], words: list[str]) -> None:
    with pytest.raises(InputError) as raised:
        Recipe.parse(sections)
    message = str(raised.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_an_option_of_another_schedule_is_refused() -> None:
    import driftfield

    with pytest.raises(InputError, match="takes no T"):
        driftfield.fit("moons", schedule={"kind": "vp", "T": 10})


def test_a_key_of_an_earlier_version_is_the_key_of_this_one() -> None:
    old = load_recipe({"denoiser": {"variance": "learned"}, "objective": {"kind": "hybrid", "bound_share": 0.1}})
    assert old == load_recipe(
        {"denoiser": {"variance": "learned"}, "objective": {"kind": "hybrid", "bound_factor": 0.1}}
    )
    assert old.objective.get("bound_factor") == 0.1


def test_a_recipe_survives_being_pickled() -> None:
    recipe = Recipe().updated({"schedule": {"kind": "cosine"}, "train": {"steps": 7}})
    again = pickle.loads(pickle.dumps(recipe))
    assert again == recipe
    assert again.model_fields_set == recipe.model_fields_set
