"""Recipes that nobody would write by hand: each is refused cheaply, in one sentence, or read back as it was."""

import math
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftfield.errors import InputError
from driftfield.options import all_options, parts_in
from driftfield.recipes.schema import Recipe, load_recipe
from driftfield.recipes.settings import parse_settings
from driftfield.recipes.toml import toml_value

TEXTS = {
    "nested lists": "[train]\nsnapshots = " + "[" * 3_000 + "]" * 3_000,
    "nested tables": "[train]\nsteps = " + "{a=" * 3_000 + "1" + "}" * 3_000,
    "some nested tables": "[train]\nsteps = " + "{a=" * 60 + "1" + "}" * 60,
    "a dotted key": ".".join(["a"] * 100_000) + " = 1",
    "a dotted header": "[" + ".".join(["a"] * 100_000) + "]\nb = 1",
    "a dotted key in quotes": ".".join(['"a b"', "'c\"'", '"\\"" '] * 30_000) + " = 1",
    "many digits": "[train]\nsteps = " + "9" * 5_001,
    "a large integer": f"[train]\nsteps = {2**63}",
    "a small integer": f"[network]\nwidths = [{-(2**64)}]",
    "a date": "[train]\nsteps = 1979-05-27",
    "many sections": "".join(f"[k{i}]\n" for i in range(20_000)),
    "a long value": f'[train]\ndecay = "{"x" * 100_000}"',
    "a long list": f"[train]\nsteps = [{'1,' * 100_000}]",
    "a long key": f"[train]\n{'k' * 100_000} = 1",
    "escapes": '[train]\ndecay = "\\u001b[31mred\\n"',
    "too long": "#" * (1 << 20) + "\n",
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_hostile_text_is_refused_in_one_short_sentence(case: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(TEXTS[case])
    with pytest.raises(InputError, match=r"r\.toml") as raised:
        load_recipe(tmp_path / "r.toml")
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) <= 1_000


def test_dots_in_values_and_comments_are_no_long_key(tmp_path: Path) -> None:
    text = f'# {"." * 400}\n[data]\nname = "{"../" * 100}rows.csv" # {". . " * 200}\n'
    text += f"[network]\nfrequencies = [{', '.join(f'{i}.5' for i in range(1, 300))}]\n"
    (tmp_path / "r.toml").write_text(text)
    assert str(load_recipe(tmp_path / "r.toml").data.name).startswith("../../")


def test_what_is_not_a_file_of_text_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "latin.toml").write_bytes(b'[data]\nname = "m\xe9"\n')
    with (tmp_path / "huge.toml").open("wb") as file:
        file.truncate(1 << 40)
    for name in ("pipe.toml", "folder.toml", "latin.toml", "huge.toml", "none.toml", "/dev/zero"):
        with pytest.raises(InputError, match="Cannot read the recipe"):
            load_recipe(tmp_path / name)


def test_a_folder_does_not_hide_the_recipe_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("default").mkdir()
    assert load_recipe("default") == Recipe()


def floats() -> Iterator[tuple[str, str]]:
    """Every key of a recipe that takes a float, options of parts among them, as (section, key)."""
    for name in set(Recipe.model_fields) - {"columns"}:  # which has a level more
        section = type(getattr(Recipe(), name)) if name not in parts_in(Recipe) else None
        options = {} if section is None else {key: each.annotation for key, each in section.model_fields.items()}
        places = [parts_in(Recipe)[name]] if section is None else parts_in(section).values()
        for place in places:
            options |= {key: option.annotation for key, (option, _) in all_options(place).items()}
        yield from ((name, key) for key, annotation in options.items() if "float" in str(annotation))


def test_every_float_of_a_recipe_must_be_finite() -> None:
    places = list(floats())
    assert {("train", "clip"), ("sample", "churn"), ("objective", "mean"), ("sample", "guidance")} <= set(places)
    for section, key in places:
        for value in (math.inf, -math.inf, math.nan):
            for kinds in kinds_with(section, key):
                for each in (value, [value]):
                    with pytest.raises(InputError):
                        Recipe.parse({section: {**kinds, key: each}})


@pytest.mark.parametrize("key", ["low", "high", "atoms"])
def test_every_float_of_a_column_must_be_finite(key: str) -> None:
    for value in (math.inf, -math.inf, math.nan):
        with pytest.raises(InputError, match=r"columns\.x"):
            Recipe.parse({"columns": {"x": {key: [value] if key == "atoms" else value}}})


def kinds_with(section: str, key: str) -> list[dict[str, str]]:
    """The keys that choose a part with this option; nothing for a key of the section itself."""
    if section in parts_in(Recipe):
        return [{"kind": owner} for owner in parts_in(Recipe)[section].owners(key)]
    model = type(getattr(Recipe(), section))
    found = [{name: owner} for name, place in parts_in(model).items() for owner in place.owners(key)]
    return found or [{}]


@given(st.text())
def test_every_text_of_a_recipe_is_read_back_as_it_was_written(text: str) -> None:
    assert tomllib.loads(f"a = {toml_value(text)}") == {"a": text}
    recipe = Recipe.parse({"data": {"name": text, "label": "🦊\x7f\x00\u2028"}})
    assert Recipe.parse(tomllib.loads(recipe.toml())) == recipe


@pytest.mark.parametrize("name", ["\ud83e", "a\udcff.csv", "\udc00\ud800"])
def test_a_lone_surrogate_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"data\.name in recipe is not text in UTF-8") as raised:
        Recipe.parse({"data": {"name": name}})
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "setting",
    ["objective.weight." + ".".join(["a"] * 50_000) + "=3", "train.steps={" + ".".join(["a"] * 50_000) + " = 1}"]
    + [f"train.steps={digits}" for digits in ("9" * 6_000, "9" * 4_000)]
    + ["train.steps=" + "[" * 5_000, "train.steps=" + "{a=" * 5_000 + "1" + "}" * 5_000],
)
def test_a_hostile_setting_is_refused_in_one_short_sentence(setting: str) -> None:
    with pytest.raises(InputError) as raised:
        Recipe().updated(parse_settings([setting]), "--set")
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) <= 1_000
