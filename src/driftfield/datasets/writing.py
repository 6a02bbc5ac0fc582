"""Writing rows to CSV, Parquet or NPY files; an interrupted write leaves the old file in place."""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from driftfield.datasets.dates import Dates
from driftfield.datasets.distribution import FloatArray
from driftfield.datasets.files import SUFFIXES
from driftfield.datasets.frames import frame_text, nested_columns
from driftfield.errors import InputError
from driftfield.files import check_writable, write_atomically

if TYPE_CHECKING:
    import polars as pl

Spelled = Mapping[str, Mapping[float, str]]  # of each column, how numbers are written: 7 as 007, 1 as True
# The texts of the levels of a column, how its dates are written, or what its numbers are written as.
Written = Mapping[str, Sequence[str] | Dates | Mapping[float, str] | Mapping[float, bool]]
_LARGEST_WHOLE = 2.0**63  # that int64 holds


def write_rows(
    path: str | os.PathLike[str],
    values: FloatArray,
    columns: Sequence[str],
    places: Sequence[int | None] = (),
    texts: Mapping[str, Sequence[str]] | None = None,
    levels: Written | None = None,
) -> None:
    """Write values (n, D) under the names (D,) to a file in the format of its extension; float64 is kept bit for bit.

    The rows are written to a temporary file in the same folder, which then replaces the target. An NPY file has no
    column names. Columns with 0 decimal `places` (see `decimals`) are written as integers. In CSV and Parquet, NaN is
    an empty cell, and a column of `levels` holds the text whose number it has, or dates.

    Raises InputError for an unknown extension, a missing folder, a file that cannot be written, and names that do not
    match the columns.
    """
    path, values = Path(path), np.asarray(values, dtype=np.float64)
    check_writable(path, SUFFIXES)
    if values.ndim != 2 or values.shape[1] != len(columns) or len(set(columns)) != len(columns):
        raise InputError(
            f"Rows of shape {values.shape} cannot be written under the names {list(columns)}: "
            "give each column a unique name."
        )
    suffix = path.suffix.lower()
    frame = rows_frame(values, columns, places, texts, levels, typed=suffix != ".csv")
    write_atomically(path, _content(suffix, values, frame))


def write_frame(path: str | os.PathLike[str], frame: "pl.DataFrame", separator: str = ",") -> None:
    """Write a polars frame to a file in the format of its extension; ``separator`` is that of a CSV file.

    Raises InputError as `write_rows` does, and for text in an NPY file.
    """
    path, values = Path(path), np.empty((0, 0))
    check_writable(path, SUFFIXES)
    if path.suffix.lower() == ".npy":
        words = next(
            (cells.name for cells in frame if not (cells.dtype.is_numeric() or str(cells.dtype) == "Boolean")), None
        )
        if words is not None:
            raise InputError(f"{path} can hold numbers alone, but {words} has none: write .csv or .parquet.")
        values = np.stack([cells.cast(float).to_numpy() for cells in frame], 1)
    frame = flat(frame) if path.suffix.lower() == ".csv" else frame
    write_atomically(path, _content(path.suffix.lower(), values, frame, separator))


def flat(frame: "pl.DataFrame") -> "pl.DataFrame":
    """A frame that CSV can hold: lists, records and bytes as text."""
    import narwhals as nw
    import polars as pl

    wrapped = nw.from_native(frame, eager_only=True)
    names = nested_columns(wrapped, frame.columns)
    return frame.with_columns(pl.Series(name, frame_text(wrapped[name]), dtype=pl.String) for name in names)


def csv_text(
    values: FloatArray,
    columns: Sequence[str],
    places: Sequence[int | None] = (),
    texts: Mapping[str, Sequence[str]] | None = None,
    levels: Written | None = None,
) -> str:
    """What `write_rows` writes to a CSV file, as text."""
    text: str = rows_frame(values, columns, places, texts, levels, typed=False).write_csv()
    return text


def rows_frame(
    values: FloatArray,
    columns: Sequence[str],
    places: Sequence[int | None] = (),
    texts: Mapping[str, Sequence[str]] | None = None,
    levels: Written | None = None,
    typed: bool = True,
) -> "pl.DataFrame":
    """The rows as a polars frame; arguments as in `write_rows`. Dates are text unless ``typed``, as those of frames."""
    import polars as pl

    series = []
    for i, (name, place) in enumerate(zip_longest(columns, places[: len(columns)])):
        cells = pl.Series(name, values[:, i])
        cells = cells.set(cells.is_nan(), None)
        own = levels.get(name) if levels else None
        if isinstance(own, Dates):
            cells = (own if typed else replace(own, dtype="")).series(values[:, i]).alias(name)
        elif isinstance(own, Mapping):
            cells = cells.replace_strict(list(own), list(own.values()))
        elif own is not None:
            cells = cells.cast(pl.Int64).replace_strict(range(len(own)), own, return_dtype=pl.String)
        elif place == 0 and _are_whole(values[:, i]):
            cells = cells.cast(pl.Int64)
        series.append(cells)
    return pl.DataFrame(
        [*series, *(pl.Series(name, list(text), dtype=pl.String) for name, text in (texts or {}).items())]
    )


def _are_whole(values: FloatArray) -> bool:
    """Whether all values (n,) but NaN are integers that int64 holds; a cell that was given may be none."""
    present = values[~np.isnan(values)]
    return bool((present == np.round(present)).all() and np.abs(present).max(initial=0) < _LARGEST_WHOLE)


def _content(suffix: str, values: FloatArray, frame: "pl.DataFrame", separator: str = ",") -> bytes:
    """The rows as a file of this format: in memory, as writers hide what is wrong with a disk."""
    buffer = io.BytesIO()
    if suffix == ".npy":
        np.save(buffer, values, allow_pickle=False)
    elif suffix == ".csv":
        frame.write_csv(buffer, separator=separator)
    else:
        frame.write_parquet(buffer)
    return buffer.getvalue()
