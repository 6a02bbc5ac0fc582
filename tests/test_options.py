"""Options are read off the signature of a part, and are refused where they do not belong."""

from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from driftfield.diffusion import GRIDS, SAMPLERS, SCHEDULES, TIMES
from driftfield.errors import InputError
from driftfield.networks import NETWORKS
from driftfield.options import FROM_DATA, NameIn, OneOf, Positive, options_of, routed, union_of, wrong_value


def square(x: float, *, side: Annotated[float, Field(gt=0, description="length of a side")] = 2.0) -> float:
    return x + side**2


def disc(x: float, *, radius: Annotated[float, Field(gt=0), FROM_DATA] = 3.0, corners: int = 0) -> float:
    return x + 3 * radius**2


SHAPES = {"square": square, "disc": disc}


def stack(
    *,
    shape: Annotated[Any, OneOf("shape", SHAPES)] = square,
    sizes: Annotated[tuple[Positive, ...], Field()] = (1, 2),
    colour: Annotated[str, NameIn("colour", {"red": 1, "blue": 2})] = "red",
) -> tuple[float, tuple[int, ...], str]:
    return shape(0.0), sizes, colour


STACKS = OneOf("stack", {"plain": stack}, "plain")


def test_the_options_of_a_part_are_its_annotated_parameters_with_their_defaults() -> None:
    assert options_of(square, "square").model_fields.keys() == {"kind", "side"}
    assert options_of(disc, "disc").model_fields.keys() == {"kind", "radius"}
    found = OneOf("shape", SHAPES, "square").parse("square")
    assert (found.kind, found.side, found.part(1.0)) == ("square", 2.0, 5.0)
    assert OneOf("shape", SHAPES).parse({"kind": "square", "side": 3}).part(1.0) == 10.0


def test_what_the_data_choose_is_open_until_it_is_chosen_and_the_part_has_its_own_default() -> None:
    shapes = OneOf("shape", SHAPES)
    assert shapes.parse("disc").radius is None
    assert shapes.parse("disc").part(0.0) == 27.0
    assert shapes.parse({"kind": "disc", "radius": 1.0}).part(0.0) == 3.0


def test_an_option_can_be_a_part_with_options_of_its_own() -> None:
    assert STACKS.parse("plain").part() == (4.0, (1, 2), "red")
    nested = {"shape": {"kind": "disc", "radius": 1.0}, "sizes": [3], "colour": "blue"}
    beside = {"shape": "disc", "radius": 1.0, "sizes": [3], "colour": "blue"}
    for given in (nested, beside):
        assert STACKS.parse(given).part() == (3.0, (3,), "blue")
    assert STACKS.parse({"side": 1.0}).shape.side == 1.0  # of the shape that is the default


def test_an_option_beside_the_name_of_its_part_goes_to_the_part_that_takes_it() -> None:
    model = STACKS.model("plain")
    assert routed({"radius": 1, "shape": "disc"}, model) == {"shape": {"kind": "disc", "radius": 1}}
    assert routed({"radius": None, "shape": {"kind": "disc", "radius": 2}}, model) == {
        "shape": {"kind": "disc", "radius": None}
    }
    assert routed({"height": 1}, model) == {"height": 1}  # nobody's


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("sqare", 'Unknown shape "sqare": did you mean "square"?'),
        ({"kind": "disc", "side": 1.0}, 'The shape "disc" takes no side: it belongs to "square".'),
        ({"kind": "square", "sid": 1.0}, 'The shape "square" takes no sid: did you mean "side"?'),
        ({"kind": "disc", "corners": 3}, 'The shape "disc" takes no corners: choose one of radius.'),
    ],
)
def test_a_wrong_name_is_refused_with_the_right_one(given: Any, message: str) -> None:
    with pytest.raises(InputError) as raised:
        OneOf("shape", SHAPES).parse(given)
    assert str(raised.value) == message


def test_a_wrong_value_is_told_with_its_bound() -> None:
    with pytest.raises(ValidationError) as raised:
        STACKS.parse({"shape": {"kind": "square", "side": -1.0}})
    assert (
        wrong_value(raised.value, "x.toml", "pile") == "pile.shape.side in x.toml should be greater than 0, got -1.0."
    )
    with pytest.raises(ValidationError, match="integer"):
        STACKS.parse({"sizes": [1.5]})


def test_options_survive_being_written_and_read() -> None:
    found = STACKS.parse({"shape": {"kind": "disc", "radius": 1.0}})
    assert STACKS.parse(found.model_dump(mode="json")) == found
    assert found.model_dump(mode="json", exclude_unset=True) == {
        "kind": "plain",
        "shape": {"kind": "disc", "radius": 1.0},
    }


def test_the_schema_of_a_table_lists_its_parts_their_options_and_bounds() -> None:
    schema = TypeAdapter(union_of(OneOf("shape", SHAPES))).json_schema()
    side = schema["$defs"]["shape_square"]["properties"]["side"]
    assert (side["exclusiveMinimum"], side["default"], side["description"]) == (0, 2.0, "length of a side")
    assert schema["discriminator"]["mapping"].keys() == SHAPES.keys()


@pytest.mark.parametrize(
    ("table", "owners"),
    [
        (SAMPLERS, {"eta": ["ddim"], "tolerance": ["rk45"], "churn": ["churn"], "langevin": ["predictor-corrector"]}),
        (GRIDS, {"rho": ["karras"]}),
        (TIMES, {"mean": ["log-normal"], "std": ["log-normal"]}),
        (NETWORKS, {"widths": ["mlp"], "depth": ["mlp", "conditional-mlp", "table"]}),
        (SCHEDULES, {"hidden": ["learned"], "beta_end": ["linear", "quadratic", "sigmoid"]}),
    ],
    ids=["samplers", "grids", "times", "networks", "schedules"],
)
def test_who_takes_an_option_is_read_from_the_tables(table: dict[str, Any], owners: dict[str, list[str]]) -> None:
    for option, names in owners.items():
        assert OneOf("part", table).owners(option) == names


@pytest.mark.parametrize("table", [SAMPLERS, GRIDS, TIMES, NETWORKS, SCHEDULES])
def test_every_option_of_every_part_says_what_it_is_and_takes_its_own_default(table: dict[str, Any]) -> None:
    parts = OneOf("part", table)
    for model in parts.models():
        for name, field in model.model_fields.items():
            assert name in ("kind", "activation") or field.description, (model, name)
        options = parts.parse(model.model_fields["kind"].default)
        assert parts.parse(options.model_dump(mode="json")) == options
