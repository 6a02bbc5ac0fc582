"""Write the page of the public API from the docstrings of the package.

    python -m benchmarks.api [--to docs/api.md]

What is public stands in four lists: ``driftfield.__all__``, ``driftfield.estimators.__all__``,
``driftfield.diffusion.__all__``, and RESULTS, the classes that public functions take or return. Every public class
comes with its public methods and properties, every table of parts with the options of each part.
"""

import argparse
import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

import driftfield
from benchmarks.markdown import annotation, inline, markdown, signature
from driftfield import diffusion, estimators
from driftfield.options import options_of

PAGE = Path("docs/api.md")

# Classes that public functions take or return.
RESULTS = (
    "driftfield.model.sampling.Trajectory",
    "driftfield.model.tensors.Tensors",
    "driftfield.evaluation.evaluate.Evaluation",
    "driftfield.evaluation.metric.Metric",
    "driftfield.training.callbacks.Report",
    "driftfield.codecs.codec.Codec",
    "driftfield.datasets.distribution.Distribution",
    "driftfield.diffusion.basics.schedules.PriorMismatch",
    "driftfield.errors.TrainingError",
    "driftfield.errors.Interrupted",
)

# The tables of parts: the package that holds each, and what its parts are.
TABLES = {
    "SCHEDULES": ("diffusion", "schedules: `Schedule` classes, and functions that return a `Chain`"),
    "SAMPLERS": ("diffusion", "samplers: steps `(denoiser, x_t (B, *D), t (), s (), memory) -> x_s (B, *D)`"),
    "GRIDS": ("diffusion", "grids: `(schedule, n) -> times (n + 1,)`, decreasing, the last is 0"),
    "OBJECTIVES": ("diffusion", "objectives: functions that return a `Loss`"),
    "HEADS": (
        "diffusion",
        "heads: `(schedule, t () or (B,)) -> (a, b)` of the shape of t; the target is `a x + b eps`",
    ),
    "WEIGHTS": ("diffusion", "weights of the denoising objective"),
    "METRICS": ("diffusion", "distances of the denoising objective"),
    "TIMES": ("diffusion", "distributions of the times to train at"),
    "VARIANCES": ("diffusion", "variances of a reverse step"),
    "NETWORKS": ("networks", "networks: modules `(x (B, *D), label () or (B,), cond) -> (B, outputs)`"),
    "DISTRIBUTIONS": ("datasets", "built-in distributions"),
}

ALIASES = {
    diffusion.Step: "A step, for s < t: (denoiser, x_t (B, *D), t (), s (), memory, **options) -> x_s (B, *D).",
    diffusion.Loss: "What training minimises: (rows (B, *D), generator, labels (B,) if there are any) -> (B,).",
}

INTRODUCTION = """\
# The API

<!-- written by `make docs` from the docstrings: change those, not this page -->
Everything that is public, from its docstrings. Names follow the
[table of symbols](../src/driftfield/diffusion/__init__.py): B rows in a batch, n rows of a table, D columns, `*D` the
shape of one row, t a time `()` or `(B,)`. What belongs to a `Model` is in the units of the user's table;
`driftfield.diffusion` is in the units of its tensors. Log-densities, bounds and entropies are in nats, summed over
columns. Every error is a `DriftfieldError`, with the exit code of the command line.
"""


def public_functions() -> dict[str, Callable[..., Any]]:
    """Every public function, method and property by its qualified name; classes by the name of what makes one."""
    found: dict[str, Callable[..., Any]] = {}
    for name, thing in public().items():
        if inspect.isclass(thing):
            found |= {f"{name}.{member}": function for member, function in members(thing)}
        elif inspect.isfunction(thing):
            found[name] = thing
    return found


def public() -> dict[str, Any]:
    """Every public class and function by its name; tables and the version are left out."""
    found = {f"driftfield.{name}": getattr(driftfield, name) for name in sorted(driftfield.__all__)}
    found |= {path.rsplit(".", 1)[1]: _imported(path) for path in RESULTS}
    found |= {f"estimators.{name}": getattr(estimators, name) for name in estimators.__all__}
    found |= {f"diffusion.{name}": getattr(diffusion, name) for name in diffusion.__all__ if name not in TABLES}
    return {name: thing for name, thing in found.items() if not name.endswith("__version__")}


def _imported(path: str) -> Any:
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def members(owner: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public methods and properties of a class in the order of the source, without those of a public base.

    Those that a class overrides without a docstring of their own are described at the base.
    """
    names: dict[str, Any] = {}
    for base in reversed(owner.__mro__):
        if base is owner or (base.__module__.startswith("driftfield.") and base not in public_classes()):
            names |= {name: value for name, value in vars(base).items() if not name.startswith("_")}
    inherited = {name for base in bases(owner) for name, _ in members(base)}
    for name, value in names.items():
        function = getattr(value, "fget", None) or getattr(value, "func", None) or getattr(value, "__func__", value)
        if inspect.isfunction(function) and (function.__doc__ or name not in inherited):
            yield name, function


def bases(owner: type) -> list[type]:
    """The public classes from which a class derives, the nearest first."""
    return [base for base in owner.__mro__[1:] if base in public_classes()]


@cache
def public_classes() -> frozenset[type]:
    """The public classes."""
    return frozenset(thing for thing in public().values() if inspect.isclass(thing))


def page() -> str:
    """The whole page, in Markdown."""
    known = public()
    top = [name for name in known if name.startswith("driftfield.")]
    mathematics = [name for name in known if name.startswith("diffusion.")]
    of_sklearn = [name for name in known if name.startswith("estimators.")]
    others = [name for name in known if name not in {*top, *mathematics, *of_sklearn}]
    parts = [
        INTRODUCTION,
        "## driftfield\n",
        *(entry(name, known[name]) for name in top),
        "## What these take and return\n",
        *(entry(name, known[name]) for name in others),
        "## driftfield.estimators\n",
        "Classes of scikit-learn; see [estimators](estimators.md).\n",
        *(entry(name, known[name]) for name in of_sklearn),
        "## Tables of parts\n",
        "In a recipe or on the command line a part is named by its key. Options are listed with their defaults.\n",
        *(table(name) for name in TABLES),
        "## driftfield.diffusion\n",
        "Functions of torch tensors. Read them in the order of their [table of contents]"
        "(../src/driftfield/diffusion/__init__.py); here they are in alphabetical order.\n",
        *(entry(name, known[name]) for name in mathematics),
    ]
    return "\n".join(parts).rstrip() + "\n"


def entry(name: str, thing: Any) -> str:
    """A class with its members, or a function."""
    short = name.removeprefix("diffusion.").removeprefix("estimators.")
    lines = [f"### {short}\n"]
    if not inspect.isclass(thing):
        about = signature(short, thing) if inspect.isfunction(thing) else _alias(thing)
        return "\n".join([*lines, about, markdown(docstring(thing))])
    if not issubclass(thing, Exception | BaseModel):
        lines.append(signature(short, thing))
    lines.append(markdown(docstring(thing)))
    if found := bases(thing):
        lines.append(f"A `{found[0].__name__}`, with its methods and properties.\n")
    if issubclass(thing, BaseModel):
        lines.append(_sections(thing))
    for member, function in members(thing):
        is_property = isinstance(inspect.getattr_static(thing, member), property | cached_property)
        if is_property and not function.__doc__:  # among the attributes in the docstring of the class
            continue
        heading = member if is_property else f"{member}(..)"
        lines += [f"#### {short.rsplit('.', 1)[-1]}.{heading}\n"]
        lines += [] if is_property else [signature(member, function)]
        lines += [markdown(docstring(function))]
    return "\n".join(lines)


def docstring(thing: Any) -> str:
    """The docstring, without indentation; "" if there is none but the one that dataclasses generate."""
    if not inspect.isclass(thing) and not inspect.isfunction(thing):
        return ALIASES[thing]
    text = inspect.cleandoc(vars(thing).get("__doc__") or "") if inspect.isclass(thing) else inspect.getdoc(thing) or ""
    return "" if is_dataclass(thing) and text.startswith(f"{getattr(thing, '__name__', '')}(") else text


def _alias(thing: Any) -> str:
    return f"```text\n{annotation(thing)}\n```\n"


def _sections(recipe: type[BaseModel]) -> str:
    """The sections of a recipe and their keys."""
    lines = ["Options of a part stand beside its kind. A key with the default – is chosen from the data, or off.\n"]
    lines += ["| key | default | what it is |", "|---|---|---|"]
    for section, field in recipe.model_fields.items():
        keys = getattr(field.annotation, "model_fields", {})
        if not keys or any(hasattr(each, "table") for each in field.metadata):
            lines.append(_key(f"{section}.kind", field))
        else:
            lines += [_key(f"{section}.{key}", inner) for key, inner in keys.items()]
    return "\n".join([*lines, ""])


def _key(name: str, field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    shown = getattr(value, "kind", value)
    described = [inline(field.description or "")]
    described += [f"a name in {_table_name(each.table)}" for each in field.metadata if hasattr(each, "table")]
    if get_origin(field.annotation) is Literal:
        described.append(" or ".join(f"`{each}`" for each in get_args(field.annotation)))
    return f"| `{name}` | {'–' if shown in (None, ()) else f'`{shown}`'} | {'; '.join(filter(None, described))} |"


def _table_name(table: Any) -> str:
    return next(name for name in TABLES if _rows(name) is table)


def _rows(name: str) -> dict[str, Any]:
    """A table of parts by its name."""
    rows: dict[str, Any] = getattr(importlib.import_module(f"driftfield.{TABLES[name][0]}"), name)
    return rows


def table(name: str) -> str:
    """A table of parts: name, what it is, options."""
    module, what = TABLES[name]
    rows = _rows(name)
    lines = [f"### {name}\n", f"`driftfield.{module}.{name}`: {what}.\n"]
    if name == "DISTRIBUTIONS":
        lines += ["| name | rows | what it is |", "|---|---|---|"]
        lines += [f"| `{key}` | (n, {len(row.columns)}) | {inline(row.summary)} |" for key, row in rows.items()]
        return "\n".join([*lines, ""])
    lines += ["| name | what it is | options |", "|---|---|---|"]
    lines += [f"| `{key}` | {_summary(part)} | {_options(part, key)} |" for key, part in rows.items()]
    return "\n".join([*lines, ""])


def _summary(part: Any) -> str:
    text = getattr(part, "summary", None) or inspect.getdoc(inspect.unwrap(getattr(part, "func", part))) or ""
    return inline(" ".join(text.split("\n\n")[0].split()))


def _options(part: Any, key: str) -> str:
    found = []
    for name, field in options_of(part, key).model_fields.items():
        if name != "kind":
            value = field.get_default(call_default_factory=True)
            shown = getattr(value, "kind", value)
            found.append(f"`{name}` = {'from the data' if shown is None else shown}")
    return "; ".join(found)


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=PAGE)
    to = parser.parse_args().to
    to.write_text(page(), encoding="utf-8")
    print(to)


if __name__ == "__main__":
    main()
