"""A recipe: one experiment, described completely and validated; a TOML file, and the parts that it names.

Sections and keys are pydantic models: unknown keys are refused, and one JSON schema serves file, flags and pages. A
name in a recipe is a key of the plain dict beside the functions it names. ``None`` means "chosen from the data" (see
:mod:`driftfield.recipes.defaults`), and a run stores the recipe with every choice filled in.
"""

import inspect
import json
import tomllib
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from driftfield.errors import InputError, unknown_name

Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A section of a recipe: no unknown keys, no silent conversion, unchangeable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Data(Section):
    """Where the rows come from and how they are scaled inside the model."""

    name: str | None = Field(None, description="a built-in name, sklearn:NAME, or a path; the DATA argument beats it")
    rows: Positive | None = Field(None, description="rows to draw from a distribution, or at most to take from a file")
    held_out: Annotated[float, Field(gt=0, lt=1)] = Field(0.2, description="share held out, at most 10,000 rows")
    scaling: Literal["whiten", "standard", "none"] | None = Field(
        None, description="by the full covariance, per column, or not at all"
    )
    fresh: bool = Field(False, description="draw new rows of the distribution for every step of training")
    label: str | None = Field(None, description="column of class labels to condition on; of a distribution, class")


class ScheduleSection(Section):
    """The noise schedule; options that its kind does not take are refused."""

    kind: str = "ve"
    T: Positive | None = None
    beta: PositiveFloat | None = None
    beta_start: PositiveFloat | None = None
    beta_end: PositiveFloat | None = None
    beta_min: Annotated[float, Field(ge=0)] | None = None
    beta_max: PositiveFloat | None = None
    s: PositiveFloat | None = None
    sigma_min: PositiveFloat | None = None
    sigma_max: PositiveFloat | None = None
    gamma_min: float | None = None
    gamma_max: float | None = None


class NetworkSection(Section):
    """The network."""

    kind: str = "mlp"
    width: Positive | None = None
    depth: Positive | None = None
    widths: tuple[Positive, ...] | None = Field(None, description="of each hidden layer, in place of width and depth")
    activation: str | None = None
    embedding: Literal["sine", "sine-time", "concat"] | None = Field(None, description="of the time")
    frequencies: tuple[PositiveFloat, ...] | None = Field(None, description="of positional features; [] for none")
    init: Literal["zero", "torch", "xavier"] | None = Field(None, description="of the weights")


class DenoiserSection(Section):
    """What the network's output means."""

    head: str = "edm"
    scale_input: bool = True
    kappa_min: PositiveFloat | None = Field(
        None, description="smallest sigma / alpha to train and evaluate the network at; for ve see schedule.sigma_min"
    )
    kappa_max: PositiveFloat | None = Field(None, description="largest sigma / alpha; for ve see schedule.sigma_max")
    variance: Literal["fixed", "learned"] = Field("fixed", description="of the reverse transitions")


class KernelSection(Section):
    """The reverse transitions: those that follow from the denoiser, or a mean and a spread learned on their own."""

    kind: Literal["denoiser", "learned"] = "denoiser"


class ObjectiveSection(Section):
    """What is minimised."""

    kind: str = "denoising"
    weight: str = "simple"
    metric: str = "squared"
    times: str = "log-normal"
    mean: float | None = Field(None, description="of log(sigma / alpha), for log-normal times")
    std: PositiveFloat | None = Field(None, description="of log(sigma / alpha), for log-normal times")
    terms: Literal["all", "random", "stepwise"] | None = Field(None, description="of the chain, for elbo")
    last_transition: bool | None = Field(None, description="count the transition out of t = T, for elbo")
    bound_share: PositiveFloat | None = Field(None, description="factor of the bound, for hybrid")
    label_dropout: Share | None = Field(None, description="share of rows whose label is hidden")


class TrainSection(Section):
    """The optimisation."""

    steps: Positive | None = None
    epochs: Positive | None = Field(None, description="passes through the rows, in place of steps")
    batch: Positive | None = None
    order: Literal["random", "shuffled"] = Field("random", description="rows with replacement, or in shuffled passes")
    lr: PositiveFloat | None = None
    beta2: Annotated[float, Field(gt=0, lt=1)] = Field(0.99, description="of Adam")
    warmup: Annotated[int, Field(ge=0)] = 100
    decay: Literal["cosine", "none"] = "cosine"
    ema: Share = 0.999
    clip: Annotated[float, Field(ge=0)] | None = Field(1.0, description="largest gradient norm; 0 for any")
    square_loss: bool = Field(False, description="minimise half the square of the mean loss")
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    validation: Share | None = Field(None, description="share of the training rows kept for early stopping")
    patience: Share = Field(0.3, description="stop after this share of the steps without improvement; 0 never stops")
    prior: Literal["standard", "matched"] = "matched"
    snapshots: tuple[Positive, ...] = Field((), description="epochs, or steps without epochs, whose weights are kept")


class SampleSection(Section):
    """How rows are drawn."""

    sampler: str = "dpmpp-2m"
    steps: Positive | None = Field(None, description="28, all T of a chain for samplers that walk it, 1 for rk45")
    grid: str = "karras"
    eta: Annotated[float, Field(ge=0, le=1)] | None = Field(None, description="of the sampler ddim")
    tolerance: Annotated[float, Field(gt=0, lt=1)] | None = Field(None, description="of the sampler rk45; 1e-4")
    churn: Annotated[float, Field(ge=0)] | None = Field(None, description="of the sampler churn: S_churn; 40")
    langevin: Annotated[float, Field(gt=0, le=0.5)] | None = Field(
        None, description="of the sampler predictor-corrector: the signal-to-noise ratio of its corrector; 0.16"
    )
    guidance: float | None = Field(None, description="of class labels: 0 ignores them, 1 obeys, more exaggerates")
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
    paths: Annotated[int, Field(ge=2)] = Field(4, description="simulated chains a row, for a learned kernel")


class EvaluateSection(Section):
    """How a model is judged."""

    rows: Annotated[int, Field(ge=5)] = Field(10_000, description="rows of each side, at most")


class Recipe(Section):
    """One experiment."""

    data: Data = Data()
    schedule: ScheduleSection = ScheduleSection()
    network: NetworkSection = NetworkSection()
    denoiser: DenoiserSection = DenoiserSection()
    kernel: KernelSection = KernelSection()
    objective: ObjectiveSection = ObjectiveSection()
    train: TrainSection = TrainSection()
    sample: SampleSection = SampleSection()
    likelihood: LikelihoodSection = LikelihoodSection()
    evaluate: EvaluateSection = EvaluateSection()

    @classmethod
    def parse(cls, sections: Mapping[str, Any], where: str = "recipe") -> "Recipe":
        """A recipe from nested mappings; raises InputError with one sentence for the first thing wrong."""
        try:
            # JSON mode lets lists stand for tuples, and integers for floats, but nothing looser.
            return cls.model_validate_json(json.dumps(sections, allow_nan=True))
        except ValidationError as error:
            raise InputError(_sentence(error, where)) from None
        except TypeError as error:
            raise InputError(f"The {where} holds a value that TOML cannot: {error}.") from None

    def updated(self, changes: Mapping[str, Mapping[str, Any]], where: str = "recipe") -> "Recipe":
        """This recipe with the given keys of the given sections replaced, validated again."""
        sections = self.model_dump(mode="json")
        for section, values in changes.items():
            if section not in sections:
                raise unknown_name(f"section in {where}", section, sections)
            for key, value in values.items():
                if key not in sections[section]:
                    raise unknown_name(f"key in [{section}] of {where}", key, sections[section])
                sections[section][key] = value
        return Recipe.parse(sections, where)

    def toml(self) -> str:
        """The recipe as TOML; keys without a value are left out."""
        lines: list[str] = []
        for section, values in self.model_dump(mode="json").items():
            given = {key: value for key, value in values.items() if value is not None}
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in given.items()), ""]
        return "\n".join(lines)


def _sentence(error: ValidationError, where: str) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "the whole"
    if first["type"] == "extra_forbidden":
        *parents, key = [str(part) for part in first["loc"]]
        model = getattr(Recipe(), parents[0]) if parents else Recipe()
        return str(unknown_name(f"key in {where}", key, type(model).model_fields)).replace(f'"{key}"', f'"{place}"', 1)
    reason = first["msg"][0].lower() + first["msg"][1:]
    return f"The {where} has a wrong value for {place}: {reason}, but it is {first['input']!r}."


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
        return Recipe.parse(source)
    path = Path(source)
    if path.suffix == ".toml" or path.exists():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"Cannot read the recipe {path}: {error}.") from None
        where = f"recipe {path}"
    else:
        if str(source) not in recipe_names():
            raise unknown_name("recipe", str(source), recipe_names())
        text = resources.files("driftfield").joinpath("recipes", f"{source}.toml").read_text(encoding="utf-8")
        where = f"recipe {source}"
    try:
        return Recipe.parse(tomllib.loads(text), where)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"The {where} is not valid TOML: {error}.") from None


def parse_settings(settings: list[str]) -> dict[str, dict[str, Any]]:
    """``["train.steps=500", "network.activation=gelu"]`` as nested mappings; values are TOML, bare words, or nothing.

    Nothing, as in ``schedule.beta_end=``, leaves the key out.
    """
    changes: dict[str, dict[str, Any]] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and section and key):
            raise InputError(f'"--set {setting}" is not of the form section.key=value, such as train.steps=500.')
        try:
            value = tomllib.loads(f"value = {text}")["value"] if text.strip() else None
        except tomllib.TOMLDecodeError:
            value = text.strip()
        changes.setdefault(section, {})[key] = value
    return changes


def call_with_options(what: str, function: Callable[..., Any], options: Mapping[str, Any], **fixed: Any) -> Any:
    """function(**fixed, **options) without the options that are None; an option it does not take is an InputError."""
    given = {key: value for key, value in options.items() if value is not None}
    taken = set(inspect.signature(function).parameters) - set(fixed)
    for key in given:
        if key not in taken:
            takes = ", ".join(sorted(taken)) or "no options"
            unset = f"--set {what.split()[0]}.{key}="
            raise InputError(f"The {what} does not take {key}: it takes {takes}; {unset} leaves it out.")
    return function(**fixed, **given)
