"""Runs that are opened, and rows that are read and written as a model takes them."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from driftfield.cli.progress import Bar
from driftfield.cli.unseen import read_open, warn_of_unseen, written_unseen
from driftfield.datasets import SUFFIXES, csv_text, load_like, write_rows
from driftfield.datasets.files import path_and_columns
from driftfield.datasets.raw_table import unique_names
from driftfield.datasets.tables import mixed_rows, raw_table
from driftfield.datasets.writing import Spelled, Written
from driftfield.errors import InputError
from driftfield.files import check_no_input, check_writable
from driftfield.model import run as runs

if TYPE_CHECKING:
    from driftfield.codecs import FloatArray
    from driftfield.model.model import Model


def open_run(run: Path, device: str = "auto", out: Path | None = None, endings: Sequence[str] = SUFFIXES) -> "Model":
    """The model of a run; checks first that ``out`` could be written, and is none of the files of the run.

    Nor may it be the file that the run was trained on.
    """
    runs.find(run)
    if out is not None:
        check_writable(out, endings)
        check_no_input(out, runs.inputs(run))
    from driftfield.fitting.devices import choose_device
    from driftfield.model.loading import load_model

    model = load_model(run, device=str(choose_device(device)))
    if out is not None:
        check_no_input(out, _sources(run, model.source), "which the run was trained on")
    return model


def _sources(run: Path, source: str) -> list[Path]:
    """Where the file that a run was trained on may be: its path may be relative to a folder above that of the run."""
    path = path_and_columns(source)[0]
    return [folder / path for folder in (Path(), *run.absolute().parents)]


def read_like(model: "Model", data: str) -> "FloatArray":
    """The rows of DATA as a model takes them."""
    from driftfield.codecs import TableCodec

    dialect, codec = model.recipe.data.dialect, model.codec
    if not isinstance(codec, TableCodec):
        return load_like(data, model.columns, dialect).values
    raw, picks, source = raw_table(data, dialect)
    return mixed_rows(raw, picks, source, model.columns, codec.levels_of_text, codec.dates).values


class Asked(NamedTuple):
    """Rows (n, C) as a model takes them, the columns that are asked for beside given ones, None for all.

    ``written`` is how columns are written that have levels which the model does not know.
    """

    rows: "FloatArray"
    of: Sequence[str] | None
    written: Written


def read_asked(model: "Model", data: str, given: Sequence[str] = (), of: Sequence[str] | None = None) -> Asked:
    """The rows of DATA and what is asked for; levels of categories that the model does not know are said."""
    from driftfield.codecs import TableCodec
    from driftfield.model.table_densities import asked_columns

    codec = model.codec
    if not isinstance(codec, TableCodec):
        return Asked(read_like(model, data), of, {})
    raw, picks, source = raw_table(data, model.recipe.data.dialect)
    table = read_open(codec, raw, picks, source)
    of = asked_columns(codec, raw.names_of(picks), given, of)
    warn_of_unseen(codec, table, raw, of, given)
    return Asked(table.values, of, written_unseen(codec, table))


def levels_of(model: "Model") -> Written:
    """How columns are written that hold no numbers: the texts of their levels, or dates."""
    return getattr(model.codec, "written", {})


def _spelled(model: "Model", out: Path | None) -> Written:
    """How numbers are written as in the training file: True or 007; in Parquet, truth values have their type."""
    spelled: Spelled = getattr(model.codec, "spelled", {})
    if out is None or out.suffix.lower() != ".parquet":
        return spelled
    return {
        name: {value: text.lower() in ("true", "1") for value, text in texts.items()}
        if any(text.lower() in ("true", "false") for text in texts.values())
        else texts
        for name, texts in spelled.items()
    }


def show(
    model: "Model",
    rows: "FloatArray",
    out: Path | None,
    before: "Mapping[str, FloatArray] | None" = None,
    texts: Mapping[str, Sequence[str]] | None = None,
    written: Written | None = None,
) -> None:
    """Write rows of a model to a file, or to stdout, with columns of numbers before them and of text after.

    Where the model has a column of the same name, that of an added one ends in _2. ``written`` says how columns are
    written, beyond what the model knows.
    """
    levels, places = dict(levels_of(model)), model.codec.places if model.recipe.sample.round else ()
    if out is not None and out.suffix.lower() == ".npy" and levels:
        raise InputError(f"{out} can hold numbers alone, but {next(iter(levels))} has none: write .csv or .parquet.")
    new = unique_names([*(before or {}), *(texts or {})], model.columns)
    levels.update({**_spelled(model, out), **(written or {})})
    extra = dict(zip(new, (before or {}).values(), strict=False))
    texts = dict(zip(new[len(extra) :], (texts or {}).values(), strict=True))
    whole = [0 if bool((column == np.round(column)).all()) else None for column in extra.values()]
    table = np.concatenate([*(column[:, None] for column in extra.values()), rows], 1)
    put(table, (*extra, *model.columns), out, (*whole, *places), texts, levels)


def put(
    rows: np.ndarray[Any, Any],
    columns: tuple[str, ...],
    out: Path | None,
    places: Sequence[int | None] = (),
    texts: Mapping[str, Sequence[str]] | None = None,
    levels: Written | None = None,
) -> None:
    if out is not None:
        write_rows(out, rows, columns, places, texts, levels)
        print(out)
        return
    sys.stdout.write(csv_text(rows, columns, places, texts, levels))


def sample_given(
    model: "Model", data: str, n: int, given: Mapping[str, str], seed: int, options: Mapping[str, Any], bar: Bar
) -> "tuple[FloatArray, FloatArray]":
    """n rows for each row of DATA, its cells given, and the number of the row that each belongs to, from 1."""
    from driftfield.model.tables import fill, how_of, table_codec, template

    codec = table_codec(model)
    rows, (more, drawn) = read_like(model, data), template(codec, 1, given)
    missing = np.isnan(rows)
    if (~missing & ~drawn).any():
        raise InputError("A column is given both by --given and by --given-file: give it once.")
    rows, missing = np.where(missing, more, rows), missing & drawn
    codec.inward(rows, ~missing)  # refuses what rules cannot answer
    rows = np.repeat(rows, n, axis=0)
    filled = fill(
        model,
        rows,
        np.repeat(missing, n, axis=0),
        seed,
        how_of(options),
        observe=lambda done: bar.rows(done, len(rows)),
    )
    return filled, np.repeat(np.arange(1.0, len(rows) // n + 1), n)
