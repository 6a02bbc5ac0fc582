"""The command ``data``: what is built in, what is understood of a file, and rows to write."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from driftfield.cli.streams import say
from driftfield.cli.tables import plain_console, print_catalogue
from driftfield.datasets import DISTRIBUTIONS, SUFFIXES, catalogue, load, write_rows
from driftfield.datasets.dialect import Dialect
from driftfield.datasets.files import path_and_columns
from driftfield.datasets.raw_table import check_size
from driftfield.datasets.tables import check_is_text, raw_table, table_of
from driftfield.errors import InputError
from driftfield.files import check_no_input, check_writable, plain
from driftfield.fitting.splitting import ruled
from driftfield.recipes.schema import Recipe, load_recipe
from driftfield.recipes.settings import parse_settings
from driftfield.wording import number

if TYPE_CHECKING:
    from driftfield.codecs.columns import Column
    from driftfield.datasets import Distribution
    from driftfield.datasets import Table as DataTable

LONGEST_NAME = 20  # that is written on one line in any case
WIDE = 110  # characters of a terminal, from which all that is known of a column fits on its line


def data(
    name: str | None,
    n: int | None,
    out: Path | None,
    seed: int,
    json_: bool,
    dialect: Mapping[str, Any],
    settings: Sequence[str] = (),
) -> None:
    """List the built-in data, describe one or a file, or write its rows."""
    recipe = load_recipe(None).updated(parse_settings(list(settings)), "--set")
    if name is None:
        if out is not None:
            raise InputError("Nothing to write: name the data, such as driftfield data moons -o moons.csv.")
        entries = [dict(zip(("name", "size", "summary"), entry, strict=True)) for entry in catalogue()]
        print(json.dumps(entries, indent=2)) if json_ else print_catalogue(entries)
        return
    if out is not None:
        check_writable(out, SUFFIXES)
        check_no_input(out, [path_and_columns(name)[0]])
        table = load(name, rows=n, seed=seed, dialect=Dialect(**dialect))
        write_rows(out, table.values, table.columns)
        print(out)
        return
    if name in DISTRIBUTIONS:
        check_is_text(name, {}, Dialect(**dialect))
        described = _of_distribution(DISTRIBUTIONS[name], n, seed)
    else:
        if n is not None:
            say("All rows are described: -n is for distributions, and for writing with -o.")
        described = _of_table(name, Dialect(**dialect), recipe)
    print(json.dumps(plain(described), indent=2)) if json_ else _print(described)


def _of_distribution(distribution: "Distribution", n: int | None, seed: int) -> dict[str, Any]:
    table = load(distribution.name, rows=n, seed=seed)
    values = table.values
    moments = zip(table.columns, values.mean(0), values.std(0), values.min(0), values.max(0), strict=True)
    return {
        "source": distribution.name,
        "rows": len(values),
        "entropy": distribution.entropy,
        "classes": [part.name for part in distribution.classes],
        "columns": [
            {"name": name, "mean": mean, "std": std, "min": low, "max": high} for name, mean, std, low, high in moments
        ],
    }


def _of_table(name: str, dialect: Dialect, recipe: Recipe) -> dict[str, Any]:
    """What is understood of a table, and why it cannot be fitted as it is, where that is so."""
    from driftfield.codecs.description import describe_columns

    raw, picks, source = raw_table(name, dialect)
    check_is_text(source, raw.dialect, dialect)
    indices = [raw.index(pick) for pick in picks] if picks is not None else list(range(len(raw.columns)))
    columns = list(describe_columns(raw, indices))
    rows = sum(1 for _ in raw.text(indices[0])) if indices else 0
    warnings, refused = list(raw.warnings), None
    try:
        table = table_of(raw, picks, source, as_mixed=True)
        table = ruled(table, recipe.rules.hold)
        modelled = _as_modelled(table, recipe)
        columns = [
            {**column, **modelled.get(column["name"], {"kind": "left out"} if modelled else {})} for column in columns
        ]
        warnings = list(table.warnings)
        check_size(table.values, table.columns, source)
    except InputError as error:
        refused = str(error)
    return {
        "source": source,
        "rows": rows,
        "dialect": dict(raw.dialect),
        "notes": list(raw.notes),
        "columns": columns,
        "rules": list(recipe.rules.hold),
        "warnings": warnings,
        "refused": refused,
    }


def _as_modelled(table: "DataTable", recipe: Recipe) -> dict[str, dict[str, Any]]:
    """What each column of a table with text or missing cells is modelled as: its kind, atoms and bounds."""
    from driftfield.codecs import TableCodec

    hold = recipe.rules.hold
    if not table.levels and not recipe.columns and not hold:
        return {}
    levels = table.levels or ((),) * len(table.columns)
    found: dict[str, dict[str, Any]] = {}
    codec = TableCodec.fit(table.values, table.columns, levels, declared=recipe.columns, dates=table.dates, hold=hold)
    for part, cells in zip(codec.parts, table.values.T, strict=True):
        found[part.name] = {"kind": part.shown}
        ends = {"min": np.nanmin(cells), "max": np.nanmax(cells)} if part.dates else {}
        known = ends | ({"low": part.low, "high": part.high} if part.numeric else {})
        found[part.name] |= {key: _written(part, value) for key, value in known.items()}
        if part.numeric:
            found[part.name]["atoms"] = [_written(part, value) for value in part.values]
    return found


def _written(part: "Column", value: float | None) -> float | str | None:
    """A number as plain data: a date as text."""
    return value if value is None or part.dates is None else part.written(value)


def _print(described: Mapping[str, Any]) -> None:
    console = plain_console()
    entropy = described.get("entropy")
    entropy = "" if entropy is None else f", entropy {entropy:.3f} nats"
    console.print(f"{described['source']}: {described['rows']:,} rows{entropy}")
    if described.get("classes"):
        console.print(f"classes (data.label = class): {', '.join(described['classes'])}")
    if described.get("dialect"):
        console.print(", ".join(f"{key}: {value}" for key, value in described["dialect"].items()))
    if described.get("notes"):
        console.print(f"read {', '.join(described['notes'])}", soft_wrap=True)
    console.print(_table(described["columns"], console.width))
    for rule in described.get("rules", ()):
        console.print(f"In every row: {rule}", soft_wrap=True)
    for warning in described.get("warnings", ()):
        console.print(f"Warning: {warning}", soft_wrap=True)
    if described.get("refused"):
        console.print(f"Cannot be fitted as it is. {described['refused']}", soft_wrap=True)


def _table(columns: list[dict[str, Any]], width: int) -> Table:
    """A row for each column of the data; a narrow terminal gets the ranges, without moments and examples."""
    kinds = bool(columns) and "kind" in columns[0]
    dates = [len(column["min"]) for column in columns if isinstance(column.get("min"), str)]
    wide = width >= WIDE + 2 * max(0, *dates, 8) - 16  # a number has eight characters
    numbers = ("mean", "std", "min", "max") if wide or not kinds else ("min", "max")
    counts = ("missing", "distinct", "decimals") if kinds else ()
    table = Table(box=None, pad_edge=False)
    longest = max((len(column["name"]) for column in columns), default=0)
    table.add_column("column", overflow="fold", min_width=min(longest, LONGEST_NAME))
    for heading in (*(["kind"] if kinds else []), *numbers, *counts):
        table.add_column(heading, justify="left" if heading == "kind" else "right", no_wrap=True)
    if kinds and wide:
        table.add_column("examples")
    for column in columns:
        cells = [column["name"], *([column["kind"]] if kinds else [])]
        cells += [_cell(column.get(key, "")) for key in numbers]
        if kinds:
            places = column.get("decimals", "")
            cells += [f"{column['missing']:,}", f"{column['distinct']:,}", "more" if places is None else str(places)]
            shown = [] if isinstance(column.get("min"), str) else column["examples"]  # the ends of dates are examples
            cells += ["; ".join(shown)] if wide else []
        table.add_row(*cells)
    return table


def _cell(value: float | str) -> str:
    return value if isinstance(value, str) else number(value, 4)
