"""Flags of more than one command: for text files, and those that derive from [sample] of the recipe.

[sample] has a flag for each key, and one for each option of its parts.

They are built when the command is parsed, not when it is listed: the parts are defined beside the mathematics, which
takes a second to import.
"""

import inspect
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import typer
from typer.core import TyperCommand

from driftfield.errors import InputError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

GIVEN = "driftfield.flags"  # where the context of a command keeps the derived flags that were given


class WithSampleFlags(TyperCommand):
    """A command with a flag for each key of [sample] except switches, and for each option of samplers and grids."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The declared parameters, the derived flags, and --help."""
        *declared, help_option = super().get_params(ctx)
        return [*declared, *_parameters(), help_option]

    def invoke(self, ctx: Any) -> Any:
        """Call the function of the command with the declared parameters alone."""
        derived = {parameter.name: ctx.params.pop(parameter.name) for parameter in _parameters()}
        ctx.meta[GIVEN] = {key: value for key, value in derived.items() if value is not None}
        return super().invoke(ctx)


def given_flags(ctx: typer.Context) -> dict[str, Any]:
    """The derived flags that were given, by key."""
    return dict(ctx.meta[GIVEN])


def dialect_flags(
    header: str | None, separator: str | None, decimal: str | None, missing: list[str] | None, encoding: str | None
) -> dict[str, Any]:
    """The keys of [data] that the flags for text files give."""
    known = {"yes": True, "no": False}
    if header is not None and header not in known:
        raise InputError(f'--header is yes or no, not "{header}".')
    given = {
        "header": None if header is None else known[header],
        "separator": separator,
        "decimal": decimal,
        "missing": tuple(missing) if missing else None,
        "encoding": encoding,
    }
    return {key: value for key, value in given.items() if value is not None}


def _parameters() -> list[Any]:
    """The derived flags as parameters of a command."""

    def command(**flags: Any) -> None: ...

    made = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for key, annotation in _annotations().items()
    ]
    command.__signature__ = inspect.Signature(made)  # type: ignore[attr-defined]
    command.__annotations__ = _annotations()
    app = typer.Typer(add_completion=False)
    app.command()(command)
    return list(typer.main.get_command(app).params)


def _annotations() -> dict[str, Any]:
    from driftfield.options import all_options, parts_in
    from driftfield.recipes.schema import SampleSection

    parts, found = parts_in(SampleSection), {}
    for key, field in SampleSection.model_fields.items():
        if _type(field) is not bool:
            found[key] = _flag(key, field, ", ".join(parts[key].table) if key in parts else None)
    for one_of in parts.values():
        for key, (field, owners) in all_options(one_of).items():
            found[key] = _flag(key, field, f"of {', '.join(owners)}, {_shown(field.default)} by default")
    return found


def _flag(key: str, field: "FieldInfo", more: str | None) -> Any:
    described = "; ".join(text for text in (field.description, more) if text)
    return Annotated[_type(field) | None, typer.Option(f"--{key.replace('_', '-')}", help=described)]


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _type(field: "FieldInfo") -> type:
    """int, float or bool, and str for everything else; the recipe checks bounds."""
    annotation: Any = field.annotation
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(each for each in get_args(annotation) if each is not type(None))
    while get_args(annotation):
        annotation = get_args(annotation)[0]
    return annotation if annotation in (int, float, bool) else str
