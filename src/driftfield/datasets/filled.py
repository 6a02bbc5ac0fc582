"""Tables as they are written, with missing cells filled: every other cell, row and column stays as it is."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from driftfield.datasets.cells import LEADING_ZERO, as_numbers, cleaned
from driftfield.datasets.dialect import MISSING
from driftfield.datasets.distribution import FloatArray
from driftfield.datasets.raw_table import RawTable, Whole, unique_names
from driftfield.datasets.writing import Spelled, Written, rows_frame

if TYPE_CHECKING:
    import polars as pl

MOST_SPELLED = 100  # values of a column whose spelling is kept
_SPELLED = re.compile(r"[+-]?0\d+|true|false", re.IGNORECASE)


def whole_of(raw: RawTable, picks: Sequence[str] | None = None) -> Whole:
    """The table as it is written, with its empty rows and columns; the picked columns, all of them for None."""
    import polars as pl

    if raw.whole is not None:
        found = raw.whole()
    else:
        series = [pl.Series(str(i), raw.text(i), dtype=pl.String) for i in range(len(raw.columns))]
        frame = pl.DataFrame([_typed(cells, ".") for cells in series])
        found = Whole(frame, raw.columns)
    if picks is None:
        return found
    wanted = [name if name in found.names else name.strip() for name in picks]
    kept = [i for i, name in enumerate(found.names) if name in wanted]
    return found._replace(frame=found.frame[:, kept], names=tuple(found.names[i] for i in kept))


def spellings(raw: RawTable, columns: Sequence[str], values: FloatArray) -> Spelled:
    """How truth values and codes with leading zeros are written, of columns of few numbers (n, C) that hold these."""
    few = [j for j in range(len(columns)) if _are_few_whole(values[:, j])]
    if raw.whole is None or not few:
        return {}
    whole = raw.whole()
    found: dict[str, dict[float, str]] = {}
    for j in few:
        cells = whole.frame.to_series(whole.names.index(columns[j]))
        cells = cells if raw.kept is None else cells[raw.kept[0]]
        if whole.decimal is None and str(cells.dtype) != "Boolean":
            continue
        texts: dict[float, str] = {}
        for value, text in zip(values[:, j].tolist(), cells.to_list(), strict=True):
            if value == value and value not in texts:
                texts[value] = str(text).strip()
        if any(_SPELLED.fullmatch(text) for text in texts.values()):
            found[columns[j]] = texts
    return found


def _are_few_whole(cells: FloatArray) -> bool:
    present = cells[~np.isnan(cells)]
    return bool((present == np.round(present)).all()) and len(np.unique(present)) <= MOST_SPELLED


def filled_frame(
    whole: Whole,
    columns: Sequence[str],
    missing: NDArray[np.bool_],
    values: FloatArray,
    places: Sequence[int | None],
    levels: Written,
) -> "pl.DataFrame":
    """The frame of a table with the missing cells of some columns filled.

    Args:
        columns: names (C,); those that the table lacks come last.
        missing: which cells of these columns are filled (n, C), with the rows of the whole table.
        values: what they are filled with (n, C), and the other cells as numbers.
        places, levels: how values are written, as in :func:`~driftfield.datasets.writing.write_rows`.
    """
    import polars as pl

    new = rows_frame(values, columns, places, levels=levels)
    series: list[pl.Series] = []
    for name, unique, old in zip(whole.names, unique_names(whole.names), whole.frame, strict=True):
        cells = old
        if name in columns and name not in whole.names[: len(series)]:
            j = list(columns).index(name)
            fill = new[name]
            if whole.decimal is not None:
                fill = _spelled(old, fill, missing[:, j], values[:, j], whole.decimal)
            cells = _filled(old, fill, missing[:, j])
        series.append(cells.alias(unique))
    return pl.DataFrame([*series, *(new[name] for name in columns if name not in whole.names)])


def typed_frame(frame: "pl.DataFrame", decimal: str) -> "pl.DataFrame":
    """A frame of text with numbers and truth values where columns hold nothing else; codes like 007 stay text."""
    return frame.with_columns(_typed(cells, decimal) for cells in frame if str(cells.dtype) == "String")


def _spelled(
    old: "pl.Series", new: "pl.Series", missing: NDArray[np.bool_], values: FloatArray, decimal: str
) -> "pl.Series":
    """New cells as text, written as the column has them if it does: 007 as 007, 1 as True."""
    import polars as pl

    known: dict[float, str] = {}
    for value, text in zip(values[~missing].tolist(), old.filter(pl.Series(~missing)), strict=True):
        if text is not None:
            known.setdefault(value, text.strip())
    texts = new.cast(pl.String)
    if new.dtype.is_numeric() and decimal == ",":
        texts = texts.str.replace(".", ",", literal=True)
    found = [known.get(value, text) for value, text in zip(values.tolist(), texts, strict=True)]
    return pl.Series(new.name, found, dtype=pl.String)


def _filled(old: "pl.Series", new: "pl.Series", missing: NDArray[np.bool_]) -> "pl.Series":
    """A column with its missing cells filled, in its type where that can hold them."""
    import polars as pl

    if not missing.any():
        return old
    mask = pl.Series(missing)
    wanted = new.set(~mask, None)
    cast = _cast(wanted, old.dtype)
    if cast is None:
        other = pl.Float64() if old.dtype.is_numeric() and new.dtype.is_numeric() else pl.String()
        old, cast = (old, wanted) if old.dtype == pl.Null else (old.cast(other), wanted.cast(other))
    return pl.select(pl.when(mask).then(cast).otherwise(old)).to_series()


def _cast(cells: "pl.Series", dtype: "pl.DataType") -> "pl.Series | None":
    """The cells in a type; None where it cannot hold them."""
    import polars as pl
    from polars.exceptions import PolarsError

    if dtype == pl.Null:
        return None
    if dtype == pl.Boolean:
        texts = cells.cast(pl.Float64).cast(pl.String) if cells.dtype.is_numeric() else cells
        lower = texts.str.to_lowercase()
        known = lower.drop_nulls().is_in(["true", "false", "1.0", "0.0"]).all()
        return lower.is_in(["true", "1.0"]).set(lower.is_null(), None) if known else None
    if dtype.is_integer() and cells.dtype.is_float() and bool((cells != cells.round()).any()):
        return None
    try:
        return cells.cast(dtype)
    except PolarsError:
        return None


def _typed(texts: "pl.Series", decimal: str) -> "pl.Series":
    """A column of text as truth values, whole numbers or numbers, if all its cells are such and can be told from it."""
    import polars as pl

    cells = cleaned(texts, MISSING)
    present = cells.drop_nulls()
    if not len(present) or bool(present.str.contains(LEADING_ZERO).any()):
        return texts
    if bool(present.str.to_lowercase().is_in(["true", "false"]).all()):
        lower = cells.str.to_lowercase()
        return (lower == "true").alias(texts.name)
    whole = cells.cast(pl.Int64, strict=False)
    if whole.null_count() == cells.null_count():
        return whole
    numbers = as_numbers(cells, decimal)
    return numbers.alias(texts.name) if numbers.null_count() == cells.null_count() else texts
