"""The page of the public API: it is up to date, and every public name says its shapes and its errors."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest
from benchmarks import api

PAGE = Path(__file__).parent.parent / api.PAGE
FUNCTIONS = api.public_functions()
CLASSES = {name: thing for name, thing in api.public().items() if inspect.isclass(thing)}
ARRAY = re.compile(r"Tensor|NDArray|ndarray|FloatArray|ArrayLike|Gaussian\b|Estimate\b")
# A shape such as (n, D), (B, *D), (T + 1,), (..) or (); or the shape of something else.
SHAPE = re.compile(r"\((\*?[A-Z]\w?|n|m|\.\.|\d)( [+-] 1)?,[^()]*\)|\(\)|\(\*[a-zD]\w*\)|(same|the|of|any) shape")


def text_of(name: str) -> str:
    """The docstring of a function, with that of its class for a method."""
    owner = CLASSES.get(name.rpartition(".")[0])
    return f"{api.docstring(FUNCTIONS[name])}\n\n{api.docstring(owner) if owner else ''}"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == api.page(), "run `make docs`"


def test_every_public_name_is_on_the_page_and_described() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, thing in api.public().items():
        assert api.docstring(thing), name
        assert f"\n### {name.removeprefix('diffusion.').removeprefix('estimators.')}\n" in page, name
    for name, function in FUNCTIONS.items():
        attribute = re.search(rf"\b{name.rpartition('.')[2]}\b", text_of(name))
        assert api.docstring(function) or attribute, name


def annotations(function: Callable[..., Any]) -> str:
    return " ".join(map(str, function.__annotations__.values()))


@pytest.mark.parametrize("name", [name for name, function in FUNCTIONS.items() if ARRAY.search(annotations(function))])
def test_what_takes_or_returns_arrays_states_their_shape(name: str) -> None:
    assert SHAPE.search(api.docstring(FUNCTIONS[name])), api.docstring(FUNCTIONS[name])


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_made_of_arrays_states_their_shape(name: str) -> None:
    init = vars(CLASSES[name]).get("__init__")
    taken = {key: note for key, note in getattr(init, "__annotations__", {}).items() if key != "return"}
    if re.search(r"Tensor|Array", " ".join(map(str, taken.values()))):
        assert SHAPE.search(api.docstring(CLASSES[name]))


def raised(function: Callable[..., Any], depth: int = 1) -> set[str]:
    """The errors that a function raises itself, or in functions of the package that it calls by name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            error = ast.unparse(node.exc.func)
            made = next(resolved(error, function), None)  # a function that makes the error
            found.add(error if made is None else inspect.get_annotations(made, eval_str=True)["return"].__name__)
        if isinstance(node, ast.Call) and depth:
            for called in resolved(ast.unparse(node.func), function):
                found |= raised(called, depth - 1)
    return found


def resolved(name: str, function: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """The function of the package that a name in another function means, if it does."""
    first, *rest = name.split(".")
    thing = getattr(function, "__globals__", {}).get(first)
    for each in rest:
        thing = getattr(thing, each, None) if inspect.ismodule(thing) else None
    thing = inspect.unwrap(thing) if callable(thing) else thing
    if inspect.isfunction(thing) and thing.__module__.startswith("driftfield."):
        yield thing


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_errors_that_are_raised_are_documented(name: str) -> None:
    for error in raised(inspect.unwrap(FUNCTIONS[name])):
        assert error in text_of(name), f"{name} raises {error}"


@pytest.mark.parametrize("name", CLASSES)
def test_the_errors_of_making_an_object_are_documented(name: str) -> None:
    own = vars(CLASSES[name])
    made = "__post_init__" if is_dataclass(CLASSES[name]) else "__init__"
    if inspect.isfunction(own.get(made)) and own[made].__module__.startswith("driftfield."):
        for error in raised(own[made]):
            assert error in api.docstring(CLASSES[name])


def test_markdown_keeps_what_a_docstring_says() -> None:
    from benchmarks.markdown import markdown

    text = (
        "x_t of :class:`~a.b.Shape` (B, *D).\n\n    x_t = a * b\n\nArgs:\n    n, m: the ``numbers``\n        of rows."
    )
    assert markdown(text) == (
        "x\\_t of `Shape` (B, \\*D).\n\n```text\nx_t = a * b\n```\n\nArgs:\n\n- `n, m`: the `numbers` of rows.\n"
    )
