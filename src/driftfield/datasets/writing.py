"""Writing rows to CSV, Parquet or NPY files; an interrupted write leaves the old file in place."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from driftfield.datasets.distribution import FloatArray
from driftfield.datasets.files import SUFFIXES
from driftfield.errors import InputError
from driftfield.files import replacing

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
    check_writable(path)
    if values.ndim != 2 or values.shape[1] != len(columns) or len(set(columns)) != len(columns):
        raise InputError(
            f"Rows of shape {values.shape} cannot be written under the names {list(columns)}: "
            "give each column a unique name."
        )
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            _write(file, path.suffix.lower(), values, _frame(values, columns, places, texts or {}))
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}): choose another folder.") from error


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raises InputError when `write_rows` could not write there; nothing is created."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"Cannot write {path}: end its name in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file.")
    if not path.parent.is_dir():
        raise InputError(f"Cannot write {path}: there is no folder {path.parent}, so create it first.")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"Cannot write {path}: the folder {path.parent} is not writable, so choose another folder.")


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


def _write(file: IO[bytes], suffix: str, values: FloatArray, frame: "pl.DataFrame") -> None:
    if suffix == ".npy":
        np.save(file, values, allow_pickle=False)
    elif suffix == ".csv":
        frame.write_csv(file)
    else:
        frame.write_parquet(file)
