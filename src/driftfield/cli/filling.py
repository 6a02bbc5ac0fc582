"""The commands that take tables with given and missing cells: sample --given, impute, outliers."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from driftfield.cli.commands import Request, prepared, requested_recipe
from driftfield.cli.progress import Bar
from driftfield.cli.rows import open_run, read_asked, show
from driftfield.cli.streams import say
from driftfield.cli.unseen import read_open, warn_of_kept, written_unseen
from driftfield.datasets import SUFFIXES
from driftfield.datasets.distributions import DISTRIBUTIONS
from driftfield.datasets.files import path_and_columns
from driftfield.datasets.filled import filled_frame, typed_frame, whole_of
from driftfield.datasets.raw_table import RawTable, unique_names
from driftfield.datasets.tables import raw_table, table_of
from driftfield.datasets.writing import flat, write_frame
from driftfield.errors import InputError
from driftfield.files import check_no_input, check_writable
from driftfield.model import run as runs

if TYPE_CHECKING:
    import polars as pl

    from driftfield.model.model import Model

POINT_DRAWS = 20  # whose mean or mode --point writes


def parse_given(texts: Sequence[str]) -> dict[str, str]:
    """``["species=Adelie,body_mass_g=3700"]`` as a mapping; a comma without a name before it belongs to the value."""
    found: dict[str, str] = {}
    for text in texts:
        name = ""
        for part in text.split(","):
            if "=" in part:
                name, _, value = part.partition("=")
                name = name.strip()
                if name in found:
                    raise InputError(f'--given names the column "{name}" twice: give it one value.')
                found[name] = value.strip()
            elif name:
                found[name] += "," + part
            else:
                raise InputError(f'"--given {text}" is not of the form column=value, such as species=Adelie.')
    return found


def parse_names(text: str | None) -> tuple[str, ...]:
    """Names between commas; none for None."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def impute(
    source: str,
    data: str | None,
    out: Path | None,
    draws: int,
    point: bool,
    seed: int,
    settings: Sequence[str],
    quiet: bool,
) -> None:
    """Fill the missing cells of DATA by a run, or by a model that is fitted to DATA itself."""
    from driftfield.model.tables import table_codec

    run = Path(source)
    known = runs.is_complete(run)
    if data is None and known:
        raise InputError(f"Name the file whose cells are to be filled: driftfield impute {source} FILE -o OUT.")
    if data is not None and settings:
        raise InputError("--set is for a model that is fitted to the file: leave it out, as the run has its recipe.")
    if point and draws > 1:
        raise InputError("--point writes one table, the mean or the mode of the draws: leave out --draws.")
    target = data or source
    if out is not None:
        check_writable(out, SUFFIXES)
        check_no_input(out, [path_and_columns(target)[0]])
    if data is None:
        if source in DISTRIBUTIONS or source == "-" or source.startswith("-:"):
            raise InputError(f"A model of {source} cannot fill it: name a file whose cells are to be filled.")
        request = Request(source, seed=seed, settings=settings, quiet=quiet)
        raw, picks, name = raw_table(source, requested_recipe(request).data.dialect)
        kind = _needs(raw, picks, name)
        if kind is None:
            say(f"No cell of {name} is missing in a column that can be learned: it is written as it is.")
            table = whole_of(raw, picks)
            _write([table.unique()] * draws, table.decimal, out)
            return
        model = _fitted(replace(request, settings=[*kind, *settings]))
    else:
        model = open_run(run, out=out)
        table_codec(model)
        raw, picks, name = raw_table(data, model.recipe.data.dialect)
    codec = table_codec(model)
    read = read_open(codec, raw, picks, name)
    warn_of_kept(codec, read, raw)
    rows = read.values
    with Bar("filling", quiet) as bar:
        count = POINT_DRAWS if point else draws
        filled = model.impute(rows, seed, draws=count, observe=lambda done: bar.rows(done, count * len(rows)))
    if point:
        filled = codec.middle(filled)[None]
    places = codec.places if model.recipe.sample.round else ()
    table, missing = whole_of(raw, picks), np.isnan(rows)
    written = {**codec.written, **codec.spelled, **written_unseen(codec, read)}
    frames = [filled_frame(table, model.columns, missing, each, places, written) for each in filled]
    _write(frames, table.decimal, out)


def _write(frames: "Sequence[pl.DataFrame]", decimal: str | None, out: Path | None) -> None:
    """Write tables one below the other, numbered where there are several; ``decimal`` is the mark of one of text."""
    import polars as pl

    frame = pl.concat(frames, how="vertical_relaxed")
    if decimal is not None and out is not None and out.suffix.lower() != ".csv":
        frame = typed_frame(frame, decimal)
    if len(frames) > 1:
        (name,) = unique_names(["draw"], frame.columns)
        number = pl.Series(name, np.repeat(np.arange(1, len(frames) + 1), len(frames[0])))
        frame = pl.DataFrame([number, *frame])
    separator = ";" if decimal == "," else ","
    if out is None:
        sys.stdout.write(flat(frame).write_csv(separator=separator))
        return
    write_frame(out, frame, separator)
    print(out)


def _needs(raw: RawTable, picks: list[str] | None, name: str) -> list[str] | None:
    """Settings that a model needs to fill a table, None where no cell is missing."""
    found = table_of(raw, picks, name, as_mixed=True)
    without = raw.kept is not None and len(raw.kept[0]) < raw.kept[1]  # rows without a cell, which are not trained on
    if not (np.isnan(found.values).any() or without):
        return None
    return [] if found.levels else ["network.kind=table", "objective.kind=table"]


def _fitted(request: Request) -> "Model":
    """A model of a file that is not kept."""
    from driftfield.fitting import fit as fitting
    from driftfield.training.callbacks import Callbacks

    ready = prepared(request)
    with Bar("training", request.quiet) as bar:
        return fitting.carry_out(ready, None, "auto", Callbacks(observe=bar.training, message=lambda text: None))


def outliers(run: Path, data: str, out: Path | None, n: int, seed: int, quiet: bool) -> None:
    """The n most surprising rows of DATA, with the cell of each that is most surprising given the rest."""
    from driftfield.model.surprise import cell_surprise, row_surprise
    from driftfield.model.tables import table_codec

    if out is not None:
        check_no_input(out, [path_and_columns(data)[0]])
    model = open_run(run, out=out)
    table_codec(model)
    rows, of, written = read_asked(model, data)
    with Bar("scoring", quiet) as bar:
        surprise = row_surprise(model, rows, seed, lambda done: bar.rows(done, len(rows)), of=of)
    order = np.argsort(-surprise, kind="stable")[:n]
    with Bar("finding the cells", quiet) as bar:
        cells = cell_surprise(model, rows[order], seed, lambda done: bar.rows(done, len(order)), of)
    odd = np.where(np.isnan(cells), -np.inf, cells)
    most = odd.max(1)
    before = {"row": order + 1.0, "surprise": surprise[order], "cell_surprise": np.where(most > -np.inf, most, np.nan)}
    names = [model.columns[j] if there else "" for j, there in zip(odd.argmax(1), most > -np.inf, strict=True)]
    show(model, rows[order], out, before, {"cell": names}, written)
