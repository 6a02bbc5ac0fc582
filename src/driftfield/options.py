"""Options of a part: declared once, in the part's own signature, and read from there by everything else.

A part is an entry of a table: a schedule, a network, an objective, a sampler, a grid. Its options are those of its
parameters that are annotated with ``Annotated``:

    def ddim(denoiser, x_t, t, s, memory, *, eta: Annotated[float, Field(ge=0, le=1, description="..")] = 0.0)

:func:`options_of` makes a pydantic class of them. :class:`OneOf` marks a place that holds one part of a table, by its
name or as a mapping with its ``kind``: a key of a recipe, or an option of another part. Sections of recipes, ``--set``,
flags of the command line, error messages and the JSON schema follow from these two.
"""

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from driftfield.errors import InputError, unknown_name

Part = Callable[..., Any]
Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
_VALUE_SHOWN = 100  # characters of a wrong value
FROM_DATA = object()  # marks an option that a recipe may leave open: it is then chosen from the data


class Section(BaseModel):
    """Keys and values: no unknown keys, no silent conversion, no number that is not finite, unchangeable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Options(Section):
    """A part of a table, by its name, with its options; :func:`options_of` makes a subclass for each part."""

    kind: str
    source: ClassVar[Part]

    @property
    def part(self) -> Part:
        """The part with these options bound to it; those that are None keep the part's own default."""
        values = {name: getattr(self, name) for name in type(self).model_fields if name != "kind"}
        bound = {
            name: value.part if isinstance(value, Options) else value
            for name, value in values.items()
            if value is not None
        }
        return partial(type(self).source, **bound) if bound else type(self).source

    def get(self, name: str, default: Any = None) -> Any:
        """The value of an option, or ``default`` where this part takes no such option."""
        return getattr(self, name) if name in type(self).model_fields else default

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class UnknownOption(InputError):
    """A part was given an option that it does not take."""

    def __init__(self, message: str, option: str) -> None:
        super().__init__(message)
        self.option = option


@dataclass(frozen=True, eq=False)
class OneOf:
    """One part of a table, with its options: ``Annotated[Options, OneOf("sampler", SAMPLERS, "dpmpp-2m")]``.

    Attributes:
        what: the noun of the table's parts, for messages.
        table: the parts by name.
        default: the name of the part where none is given.
    """

    what: str
    table: Mapping[str, Part]
    default: str = ""

    def parse(self, value: Any) -> Options:
        """The options that a name or a mapping stands for; a value of None counts as not given.

        Raises:
            InputError: there is no such part, or it takes no such option.
            ValidationError: an option has a wrong value.
        """
        values = _as_mapping(value)
        kind = self.default if values.get("kind") is None else values["kind"]
        model = self.model(kind)
        given = {key: each for key, each in routed({**values, "kind": kind}, model).items() if each is not None}
        for key in given:
            if key not in model.model_fields:
                raise self._unknown(kind, model, key)
        # In JSON mode lists stand for tuples, and integers for floats, but nothing looser.
        return model.model_validate_json(json.dumps(given))

    def merged(self, old: Options, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The given options of a part with some replaced, its kind perhaps among them.

        Options that the new kind does not take are left out where they have the default value of the old kind.
        """
        values = merged(old, changes)
        kind = values.get("kind")
        if kind == old.kind or kind not in self.table:
            return values
        fields, taken = type(old).model_fields, self.model(kind).model_fields
        idle = {key for key in fields if getattr(old, key) == fields[key].get_default(call_default_factory=True)}
        return {key: value for key, value in values.items() if key in changes or key in taken or key not in idle}

    def model(self, kind: Any) -> type[Options]:
        """The pydantic class of a part's options."""
        if not isinstance(kind, str) or kind not in self.table:
            raise unknown_name(self.what, str(kind), self.table)
        return options_of(self.table[kind], kind, self.what)

    def models(self) -> list[type[Options]]:
        """The pydantic classes of all parts."""
        return [self.model(kind) for kind in self.table]

    def owners(self, option: str) -> list[str]:
        """The parts that take an option, themselves or in a part of their own."""
        return [kind for kind in self.table if _takes(self.model(kind), option)]

    def field(self, description: str | None = None) -> Any:
        """A pydantic field that holds such a part, by default the default one."""
        return Field(default_factory=lambda: self.parse(self.default), description=description)

    def _unknown(self, kind: str, model: type[Options], key: str) -> UnknownOption:
        owners, known = self.owners(key), [name for name in model.model_fields if name != "kind"]
        if owners:
            advice = f"it belongs to {_listed(owners)}."
        else:
            suggestion = str(unknown_name("option", key, known)).split(": ", 1)[1]
            advice = suggestion if known else "it has no options."
        return UnknownOption(f'The {self.what} "{kind}" takes no {key}: {advice}', key)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(_dumped, info_arg=True),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        names = {"type": "string", "enum": sorted(self.table)}
        return {"anyOf": [names, handler(TypeAdapter(union_of(self)).core_schema)], "default": self.default}


@dataclass(frozen=True, eq=False)
class NameIn:
    """A name in a table whose parts have no options: ``Annotated[str, NameIn("head", HEADS)]``."""

    what: str
    table: Mapping[str, Any]

    def check(self, name: str) -> str:
        """The name itself; an unknown one is an InputError."""
        if name not in self.table:
            raise unknown_name(self.what, name, self.table)
        return name

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema) | {"enum": sorted(self.table)}


@cache
def options_of(part: Part, kind: str, what: str = "part") -> type[Options]:
    """The pydantic class of a part's options: ``kind``, and each parameter annotated with ``Annotated``."""
    fields: dict[str, Any] = {"kind": (Literal[kind], kind)}
    for name, parameter in inspect.signature(part, eval_str=True).parameters.items():
        if get_origin(parameter.annotation) is Annotated:
            fields[name] = _field(*get_args(parameter.annotation), default=parameter.default)
    model: type[Options] = create_model(f"{what} {kind}", __base__=Options, __doc__=inspect.getdoc(part), **fields)
    model.source = part
    return model


def union_of(one_of: OneOf) -> Any:
    """The union of the options of all parts of a table, discriminated by ``kind``."""
    return Annotated[Union[tuple(one_of.models())], Field(discriminator="kind")]  # noqa: UP007 - made at run time


def parts_in(model: type[BaseModel]) -> dict[str, OneOf]:
    """The fields of a model that hold a part."""
    return {
        name: each for name, field in model.model_fields.items() for each in field.metadata if isinstance(each, OneOf)
    }


def all_options(one_of: OneOf) -> dict[str, tuple[FieldInfo, list[str]]]:
    """Every option of the parts of a table, also of parts within them, with the names of the parts that take it."""
    found: dict[str, tuple[FieldInfo, list[str]]] = {}
    for model in one_of.models():
        for name, field in model.model_fields.items():
            if name != "kind":
                found.setdefault(name, (field, []))[1].append(str(model.model_fields["kind"].default))
        for inner in parts_in(model).values():
            for name, option in all_options(inner).items():
                found.setdefault(name, option)
    return found


def routed(values: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """The values of a section, with the options of a part that stand beside its name moved into it.

    ``{"sampler": "ddim", "eta": 0.5}`` becomes ``{"sampler": {"kind": "ddim", "eta": 0.5}}``.
    """
    places = parts_in(model)
    moved: dict[str, list[str]] = {
        key: [name for name, one_of in places.items() if one_of.owners(key)]
        for key in values
        if key not in model.model_fields
    }
    result = {key: value for key, value in values.items() if not moved.get(key)}
    for key, names in moved.items():
        if names:
            chosen = [name for name in names if key in _fields_of(places[name], result.get(name))]
            name = (chosen or names)[0]
            result[name] = {**_as_mapping(result.get(name)), key: values[key]}
    return result


def merged(section: Section, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The given values of a section with some replaced, as plain mappings.

    A mapping without a kind changes options of the part that is there; a name, or a mapping with a kind, replaces it.
    """
    values = section.model_dump(mode="json", exclude_unset=True)
    places = parts_in(type(section))
    for key, change in changes.items():
        stays = key in places and isinstance(change, Mapping) and "kind" not in change
        values[key] = places[key].merged(getattr(section, key), change) if stays else change
    return values


def wrong_value(error: ValidationError, where: str = "", prefix: str = "") -> str:
    """One sentence for the first wrong value: 'train.lr in recipe a.toml should be greater than 0, got -1.0.'"""
    first = error.errors()[0]
    place = ".".join([*([prefix] if prefix else []), *(str(part) for part in first["loc"])]) or "the whole"
    reason = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
    value = repr(first["input"])
    shown = value if len(value) <= _VALUE_SHOWN else value[:_VALUE_SHOWN] + "…"
    return f"{place}{f' in {where}' if where else ''} {reason}, got {shown}."


def _field(base: Any, *metadata: Any, default: Any) -> tuple[Any, Any]:
    """The type and the default of a pydantic field, of an option."""
    for each in metadata:
        if isinstance(each, OneOf):
            names = [name for name, part in each.table.items() if part is default or name == default]
            one_of = replace(each, default=names[0])
            rest = [other for other in metadata if other is not each]
            return Annotated[(Options, one_of, *rest)], one_of.field()
    if FROM_DATA in metadata:
        return Annotated[(base | None, *(each for each in metadata if each is not FROM_DATA))], None
    return Annotated[(base, *metadata)], ... if default is inspect.Parameter.empty else default


def _takes(model: type[Options], option: str) -> bool:
    fields = model.model_fields
    return (option in fields and option != "kind") or any(each.owners(option) for each in parts_in(model).values())


def _fields_of(one_of: OneOf, value: Any) -> Iterable[str]:
    """The options of the part that a value names; none for an unknown one."""
    kind = _as_mapping(value).get("kind", one_of.default)
    return one_of.model(kind).model_fields if isinstance(kind, str) and kind in one_of.table else ()


def _as_mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, Options):
        return value.model_dump(mode="json", exclude_unset=True)
    if value is None:
        return {}
    return dict(value) if isinstance(value, Mapping) else {"kind": value}


def _dumped(value: Options, info: core_schema.SerializationInfo) -> dict[str, Any]:
    return value.model_dump(mode="json", exclude_unset=info.exclude_unset)


def _listed(names: list[str]) -> str:
    quoted = [f'"{name}"' for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
