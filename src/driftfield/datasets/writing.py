"""Writing rows to CSV, Parquet or NPY files; an interrupted write leaves the old file in place."""

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from driftfield.datasets.distribution import FloatArray
from driftfield.datasets.files import SUFFIXES
from driftfield.errors import InputError
from driftfield.files import check_writable, write_atomically

if TYPE_CHECKING:
    import polars as pl

_LARGEST_WHOLE = 2.0**63  # that int64 holds


def write_rows(
    path: str | os.PathLike[str],
    values: FloatArray,
    columns: Sequence[str],
    places: Sequence[int | None] = (),
    texts: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write values (n, D) under the names (D,) to a file in the format of its extension; float64 is kept bit for bit.

    The rows are written to a temporary file in the same folder, which then replaces the target. An NPY file has no
    column names. Columns with 0 decimal `places` (see `decimals`) are written as integers. In CSV and Parquet, numbers
    that are not finite are empty cells.

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
    frame = _frame(values, columns, places, texts or {})
    write_atomically(path, _content(path.suffix.lower(), values, frame))


def csv_text(
    values: FloatArray,
    columns: Sequence[str],
    places: Sequence[int | None] = (),
    texts: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """What `write_rows` writes to a CSV file, as text."""
    text: str = _frame(values, columns, places, texts or {}).write_csv()
    return text


def _frame(
    values: FloatArray, columns: Sequence[str], places: Sequence[int | None], texts: Mapping[str, Sequence[str]]
) -> "pl.DataFrame":
    import polars as pl

    cells = {name: values[:, i] for i, name in enumerate(columns)}
    for name, place in zip(columns, places, strict=False):
        if place == 0 and np.abs(cells[name]).max(initial=0) < _LARGEST_WHOLE:
            cells[name] = cells[name].astype(np.int64)
    numbers = pl.col(pl.Float64)
    written = pl.DataFrame(cells).with_columns(pl.when(numbers.is_finite()).then(numbers))
    return written.with_columns(pl.Series(name, list(cells), dtype=pl.String) for name, cells in texts.items())


def _content(suffix: str, values: FloatArray, frame: "pl.DataFrame") -> bytes:
    """The rows as a file of this format: in memory, as writers hide what is wrong with a disk."""
    buffer = io.BytesIO()
    if suffix == ".npy":
        np.save(buffer, values, allow_pickle=False)
    elif suffix == ".csv":
        frame.write_csv(buffer)
    else:
        frame.write_parquet(buffer)
    return buffer.getvalue()
