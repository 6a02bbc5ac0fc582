"""A recipe: one experiment, described completely and validated; a TOML file, and the parts that it names.

Sections and keys are pydantic models: unknown keys are refused, and files, flags and pages use one JSON schema. A
name in a recipe is a key of the plain dict beside the functions it names. ``None`` means "chosen from the data" (see
:mod:`driftfield.recipes.defaults`), and a run stores the recipe with every choice filled in.
"""

import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from driftfield.codecs.columns import ColumnOptions
from driftfield.codecs.rule_texts import RulesSection
from driftfield.datasets.dialect import Dialect
from driftfield.diffusion import GRIDS, HEADS, OBJECTIVES, SAMPLERS, SCHEDULES
from driftfield.errors import InputError, reason, unknown_name
from driftfield.files import read_text
from driftfield.networks import NETWORKS
from driftfield.options import (
    Fraction,
    NameIn,
    OneOf,
    Options,
    Positive,
    PositiveFloat,
    Section,
    UnknownOption,
    all_options,
    merged,
    parts_in,
    routed,
    wrong_value,
)
from driftfield.recipes.migration import migrated
from driftfield.recipes.toml import parse_toml, toml_value

SCHEDULE = OneOf("schedule", SCHEDULES, "ve")
NETWORK = OneOf("network", NETWORKS, "mlp")
OBJECTIVE = OneOf("objective", OBJECTIVES, "denoising")
SAMPLER = OneOf("sampler", SAMPLERS, "dpmpp-2m")
GRID = OneOf("grid", GRIDS, "karras")

MOST_BYTES = 1 << 20  # of a file
DEEPEST = 20  # a section, a key, and parts of parts
LARGEST = 2**63 - 1


class Data(Section):
    """Where the rows come from and how they are scaled inside the model."""

    name: str | None = Field(None, description="a built-in name, sklearn:NAME, or a path; the DATA argument beats it")
    rows: Positive | None = Field(None, description="rows to draw from a distribution, or at most to take from a file")
    held_out: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.2, description="fraction held out, at most 10,000 rows; 0 trains on all, and nothing can be evaluated"
    )
    scaling: Literal["whiten", "standard", "none"] | None = Field(
        None, description="by the full covariance, per column, or not at all"
    )
    fresh: bool = Field(False, description="draw new rows of the distribution for every step of training")
    label: str | None = Field(None, description="column of class labels to condition on; of a distribution, class")
    weight: str | None = Field(None, description="column of row weights: a row of weight 2 counts as two rows")
    header: bool | None = Field(None, description="whether a text file names its columns; found out by default")
    separator: str | None = Field(None, description="of a text file: comma, semicolon, tab, bar or space")
    decimal: str | None = Field(None, description="decimal mark of a text file: . or a comma")
    missing: tuple[str, ...] | None = Field(
        None, description="marks of missing cells in a text file, beside the usual ones"
    )
    encoding: str | None = Field(None, description="encoding of a text file, such as utf-8 or cp1252")

    @property
    def dialect(self) -> Dialect:
        """How a text file is written, as far as it is said. Raises InputError for an unknown separator or mark."""
        return Dialect(self.header, self.separator, self.decimal, self.missing, self.encoding)


class DenoiserSection(Section):
    """What the network's output means."""

    head: Annotated[str, NameIn("head", HEADS)] = "edm"
    scale_input: bool = Field(True, description="divide x_t by its standard deviation for data of unit variance")
    scale_output: bool | None = Field(
        None, description="multiply the output by the size of the head's target; by default for score and flow"
    )
    kappa_min: PositiveFloat | None = Field(
        None, description="smallest sigma / alpha to train and evaluate the network at; for ve see schedule.sigma_min"
    )
    kappa_max: PositiveFloat | None = Field(None, description="largest sigma / alpha; for ve see schedule.sigma_max")
    variance: Literal["fixed", "learned"] = Field("fixed", description="of the reverse transitions")


class KernelSection(Section):
    """The reverse transitions: those that follow from the denoiser, or a mean and a spread learned on their own."""

    kind: Literal["denoiser", "learned"] = "denoiser"


class TrainSection(Section):
    """The optimisation."""

    steps: Positive | None = Field(None, description="of the optimiser")
    epochs: Positive | None = Field(None, description="passes through the rows, in place of steps")
    batch: Positive | None = Field(None, description="rows of a step")
    order: Literal["random", "shuffled"] = Field("random", description="rows with replacement, or in shuffled passes")
    lr: PositiveFloat | None = Field(None, description="learning rate of Adam")
    beta2: Annotated[float, Field(gt=0, lt=1)] = Field(0.99, description="of Adam")
    warmup: Annotated[int, Field(ge=0)] = Field(100, description="steps in which the learning rate rises to lr")
    decay: Literal["cosine", "none"] = Field("cosine", description="of the learning rate after the warm-up")
    ema: Fraction = Field(0.999, description="of the moving average of the weights, which is the model; 0 for none")
    clip: Annotated[float, Field(ge=0)] | None = Field(1.0, description="largest gradient norm; 0 for any")
    square_loss: bool = Field(False, description="minimise half the square of the mean loss")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="of AdamW")
    validation: Fraction | None = Field(None, description="fraction of the training rows kept for early stopping")
    patience: Fraction = Field(
        0.3, description="stop after this fraction of the steps without improvement; 0 never stops"
    )
    prior: Literal["standard", "matched"] = Field("matched", description="from which sampling starts")
    snapshots: tuple[Positive, ...] = Field((), description="epochs, or steps without epochs, whose weights are kept")


class SampleSection(Section):
    """How rows are drawn."""

    sampler: Annotated[Options, SAMPLER] = SAMPLER.field("the method; driftfield samplers describes them")
    steps: Positive | None = Field(
        None, description="28 by default, all T of a chain for samplers that walk it, 1 for rk45"
    )
    grid: Annotated[Options, GRID] = GRID.field("the times that the sampler visits")
    guidance: float | None = Field(
        None, description="weight of the class: 0 ignores it, 1 follows it, larger values exaggerate it"
    )
    last_noise: bool = Field(False, description="add noise in the last step too")
    round: bool = Field(True, description="write columns with as many decimals as the data have, at most 6")


class LikelihoodSection(Section):
    """How log-densities are computed."""

    steps: Annotated[int, Field(ge=2, multiple_of=2)] = Field(40, description="Runge-Kutta steps, even")
    tolerance: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="of steps that each row chooses for itself, in place of steps"
    )
    divergence: Literal["exact", "hutchinson"] | None = Field(
        None, description="of the field; exact up to 64 columns, or estimated with random probes"
    )
    probes: Annotated[int, Field(ge=2)] = Field(8, description="for each row, of hutchinson")
    paths: Annotated[int, Field(ge=2)] = Field(4, description="simulated chains for each row, for a learned kernel")


class EvaluateSection(Section):
    """How a model is judged."""

    rows: Annotated[int, Field(ge=5)] = Field(10_000, description="rows of each side, at most")


class Recipe(Section):
    """One experiment."""

    data: Data = Data()
    schedule: Annotated[Options, SCHEDULE] = SCHEDULE.field()
    network: Annotated[Options, NETWORK] = NETWORK.field()
    denoiser: DenoiserSection = DenoiserSection()
    kernel: KernelSection = KernelSection()
    objective: Annotated[Options, OBJECTIVE] = OBJECTIVE.field()
    train: TrainSection = TrainSection()
    sample: SampleSection = Field(default_factory=SampleSection)
    likelihood: LikelihoodSection = LikelihoodSection()
    evaluate: EvaluateSection = EvaluateSection()
    rules: RulesSection = RulesSection()
    columns: dict[str, ColumnOptions] = Field({}, description="what is said of a column of a table, by its name")

    @classmethod
    def parse(cls, sections: Mapping[str, Any], where: str = "recipe") -> "Recipe":
        """A recipe from nested mappings.

        Options of a part may stand beside its name: ``sample = {"sampler": "ddim", "eta": 0.5}``.

        Raises:
            InputError: there is no such section or key, or a value is out of range; the first thing wrong.
        """
        _check_values(sections, where)
        prepared = dict(sections)
        for name, values in sections.items():
            model = cls.model_fields[name].annotation if name in cls.model_fields else None
            if isinstance(values, Mapping) and isinstance(model, type) and issubclass(model, Section):
                prepared[name] = routed(values, model)
        try:
            # JSON mode lets lists stand for tuples, and integers for floats, but nothing looser.
            return cls.model_validate_json(json.dumps(prepared, allow_nan=True))
        except ValidationError as error:
            raise InputError(_sentence(error, where)) from None
        except TypeError as error:
            raise InputError(f"The {where} holds a value that a recipe cannot: {error}.") from None

    def updated(self, changes: Mapping[str, Mapping[str, Any]], where: str = "recipe") -> "Recipe":
        """This recipe with the given keys of the given sections replaced, validated again.

        What was never given follows its default, which may depend on the new kind of a part. What was given stays,
        unless it was the default and the new kind does not take it.

        Raises:
            InputError: there is no such section or key, or a value is out of range.
        """
        _check_values(changes, where)
        sections = self.model_dump(mode="json", exclude_unset=True)
        for section, values in changes.items():
            if section not in type(self).model_fields:
                raise unknown_name(f"section in {where}", section, type(self).model_fields)
            if section == "columns":
                sections[section] = _columns(sections.get(section, {}), values)
                continue
            own, one_of = getattr(self, section), parts_in(type(self)).get(section)
            sections[section] = one_of.merged(own, values) if one_of else merged(own, values)
        return Recipe.parse(sections, where)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as plain data: the classes of options are made from signatures, and have no name to be found by."""
        return Recipe.parse, (self.model_dump(mode="json", exclude_unset=True),)

    def toml(self) -> str:
        """The recipe as TOML; keys without a value are left out."""
        lines: list[str] = []
        for section, values in self.model_dump(mode="json").items():
            if section == "columns":
                for name, options in values.items():
                    lines += [f"[columns.{toml_value(name)}]"]
                    lines += [*(f"{key} = {toml_value(each)}" for key, each in options.items() if each is not None), ""]
                continue
            given = {key: value for key, value in values.items() if value is not None}
            lines += [f"[{section}]", *(f"{key} = {toml_value(value)}" for key, value in given.items()), ""]
        return "\n".join(lines)


def _columns(known: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of columns, with the keys of some replaced."""
    found = dict(known)
    for name, options in changes.items():
        given = options.model_dump(exclude_unset=True) if isinstance(options, ColumnOptions) else options
        if not isinstance(given, Mapping):
            raise InputError(f"columns.{name} takes keys, got {given}: write columns.{name}.kind, for example.")
        found[name] = {**found.get(name, {}), **given}
    return found


def _sentence(error: ValidationError, where: str) -> str:
    first = error.errors()[0]
    *parents, key = [str(part) for part in first["loc"]] or [""]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, UnknownOption) and not parents:
        return f"{str(cause).removesuffix('.').removesuffix('?')}; --set {key}.{cause.option}= leaves it out."
    if isinstance(cause, InputError):
        return str(cause)
    if first["type"] == "extra_forbidden":
        known = section_keys(parents[0]) if parents else Recipe.model_fields
        place = ".".join([*parents, key])
        unknown = unknown_name(f"key in {where}" if where else "key", key, known)
        return str(unknown).replace(f'"{key}"', f'"{place}"', 1)
    return wrong_value(error, where)


def _check_values(value: Any, where: str, place: tuple[str, ...] = ()) -> None:
    """Refuse what a recipe could not hold in its file, or what would take for ever to look at."""
    name = ".".join(place)
    if len(place) > DEEPEST:
        raise InputError(f"The {where} nests deeper than {DEEPEST} levels, in {name}: no value of a recipe does.")
    if isinstance(value, Mapping):
        for key, each in value.items():
            _check_values(each, where, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for each in value:
            _check_values(each, where, (*place, "[]"))
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise InputError(f"{name} in {where} is an integer with more than 64 bits: choose a smaller one.")
    elif isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InputError(f"{name} in {where} is not text in UTF-8, got {value}: rename it.") from None


def section_keys(section: str) -> list[str]:
    """The keys that a section may have, with the options of its parts, which may stand beside their names."""
    if section == "columns":
        return sorted(ColumnOptions.model_fields)
    one_of = parts_in(Recipe).get(section)
    if one_of is not None:
        return sorted({"kind", *all_options(one_of)})
    model = type(getattr(Recipe(), section))
    return sorted({*model.model_fields, *(name for each in parts_in(model).values() for name in all_options(each))})


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("driftfield").joinpath("recipes")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_recipe(source: "str | Path | Mapping[str, Any] | Recipe | None") -> Recipe:
    """A recipe from a built-in name, a TOML file, nested mappings, or None for the default.

    Raises:
        InputError: the name or file does not exist, or the recipe is not valid.
    """
    if source is None:
        return Recipe()
    if isinstance(source, Recipe):
        return source
    if isinstance(source, Mapping):
        return Recipe.parse(migrated(source))
    path = Path(source)
    if path.suffix == ".toml" or (str(source) not in recipe_names() and os.path.exists(path)):
        try:
            text = read_text(path, MOST_BYTES)
        except (OSError, ValueError) as error:
            raise InputError(f"Cannot read the recipe {path} ({reason(error)}): name a TOML file in UTF-8.") from None
        where = f"recipe {path}"
    else:
        if str(source) not in recipe_names():
            raise unknown_name("recipe", str(source), recipe_names())
        text = resources.files("driftfield").joinpath("recipes", f"{source}.toml").read_text(encoding="utf-8")
        where = f"recipe {source}"
    try:
        sections = parse_toml(text)
    except ValueError as error:
        raise InputError(f"The {where} is not valid TOML ({reason(error)}): correct the file.") from None
    return Recipe.parse(migrated(sections), where)
