"""Mixed columns: numbers and text, with missing cells, as one array of numbers.

A row of such a table is an array of float64: a number is itself, a date or time the number of its days or seconds
(:mod:`~driftfield.datasets.dates`), other text is the number of its level in the order of the column's levels, and a
missing cell is NaN.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from driftfield.datasets.cells import as_numbers
from driftfield.datasets.dates import Dates, Found, find_dates
from driftfield.datasets.dialect import is_number
from driftfield.datasets.distribution import FloatArray
from driftfield.datasets.raw_table import NotNumeric, RawTable, check_rows, differs_beyond, selected
from driftfield.errors import InputError

MOST_LEVELS = 1_000
FEWEST_TO_TELL = 10  # cells or texts from which a pattern is more than chance
OWN_TEXT = 0.5  # different texts for each row, above which they are names
MOST_STRANGE = 0.2  # of the texts of a column of numbers that are none,
RARE = 0.02  # or of its cells
Levels = tuple[tuple[str, ...], ...]  # for each column the text of its levels; () for a column of numbers
AllDates = tuple[Dates | None, ...]  # for each column how its dates are written; None for other columns


class Mixed(NamedTuple):
    """Values (n, C), and of each column its name, the text of its levels, and how its dates are written; warnings.

    ``strange`` are the texts of each column that are not among its known levels, by the numbers that stand for them.
    """

    values: FloatArray
    columns: tuple[str, ...]
    levels: Levels
    dates: AllDates
    warnings: tuple[str, ...] = ()
    strange: Mapping[str, Mapping[float, str]] = {}


class _Cells(NamedTuple):
    """A column of these."""

    values: FloatArray
    levels: tuple[str, ...] = ()
    dates: Dates | None = None
    strange: Mapping[float, str] = {}


def mixed(
    raw: RawTable,
    picks: Sequence[str] | None,
    fewest: int = 2,
    known: Levels | None = None,
    known_dates: AllDates = (),
    with_dates: bool = True,
    open_: Sequence[bool] = (),
) -> Mixed:
    """The picked columns of a raw table, all of them for None.

    Args:
        known: the levels of each column, where the rows are for a model that has them; by default those that occur, in
            alphabetical order.
        known_dates: the same of the dates; () where there are none.
        with_dates: whether dates are looked for.
        open_: which of these columns are categories that may hold text that is not known; none by default.

    Raises:
        InputError: as :func:`~driftfield.datasets.raw_table.numbers` does, but not for text and missing cells; text
            with more than 1,000 levels, or text that is not among the known levels, or no date of the known format.
    """
    indices = selected(raw, picks)
    columns = tuple(raw.columns[i] for i in indices)
    found: list[_Cells] = []
    warnings: list[str] = []
    for j, (i, column) in enumerate(zip(indices, raw.read(indices), strict=True)):
        if known is None:
            found.append(_found(raw, i, column, warnings, with_dates))
        else:
            dates = known_dates[j] if known_dates else None
            found.append(_as_known(raw, i, column, known[j], dates, bool(open_) and open_[j]))
    check_rows(raw, len(found[0].values), fewest)
    return Mixed(
        np.stack([each.values for each in found], 1),
        columns,
        tuple(each.levels for each in found),
        tuple(each.dates for each in found),
        tuple(warnings),
        {name: each.strange for name, each in zip(columns, found, strict=True) if each.strange},
    )


def _found(raw: RawTable, i: int, column: FloatArray | NotNumeric, warnings: list[str], with_dates: bool) -> _Cells:
    """A column of which nothing is known yet."""
    written = None
    if with_dates and isinstance(column, NotNumeric) and not column.hint:
        written, column = _found_dates(raw, i, column, warnings)
    if not isinstance(column, NotNumeric):
        return _Cells(_finite(raw, i, column), dates=written)
    _check_is_text(raw, i, column)
    return _codes(raw, i)


def _as_known(
    raw: RawTable,
    i: int,
    column: FloatArray | NotNumeric,
    levels: tuple[str, ...],
    dates: Dates | None,
    is_open: bool,
) -> _Cells:
    """A column with known levels or dates, or of numbers; one that is open may hold other text too."""
    if dates is not None:
        return _Cells(_known_dates(raw, i, column, dates), dates=dates)
    if not levels and isinstance(column, NotNumeric) and column.what == "text":
        column = _numbers_in_text(raw, i, column)
    if not isinstance(column, NotNumeric) and not levels:
        return _Cells(_finite(raw, i, column))
    if isinstance(column, NotNumeric) and not (is_open and column.what == "text"):
        _check_is_text(raw, i, column)
    return _known_codes(raw, i, levels, is_open)


def _finite(raw: RawTable, i: int, column: FloatArray) -> FloatArray:
    """A column of numbers. Raises InputError where one of them is infinite."""
    if np.isinf(column).any():
        row = int(np.isinf(column).argmax())
        raise InputError(
            f'Column "{raw.columns[i]}" of {raw.name} has an infinite cell in {raw.locate(row)}: correct it, or '
            "leave it empty."
        )
    return column


def _check_is_text(raw: RawTable, i: int, column: NotNumeric) -> None:
    if column.what != "text" or column.hint:
        raise InputError(
            f'Column "{raw.columns[i]}" of {raw.name} holds {column.what}, for example "{column.example}" in '
            f"{raw.locate(column.row)}: {column.hint or 'turn it into numbers, or leave it out'}."
        )


def _found_dates(
    raw: RawTable, i: int, column: NotNumeric, warnings: list[str]
) -> tuple[Dates | None, FloatArray | NotNumeric]:
    """How a column of dates is written, and its numbers; None and the column for one of other text."""
    if column.what != "text" and not column.dtype:
        return None, column
    cells = list(raw.text(i))
    found = find_dates(cells, column.dtype)
    warnings += _doubts_of_dates(raw.columns[i], found)
    if found.dates is None:
        return None, column
    if not found.strange:
        return found.dates, found.dates.read(cells)
    if _are_few(cells, set(cells) - {None}, found.strange):
        row = next(row for row, cell in enumerate(cells) if cell in found.strange)
        cell = str(cells[row])[:40]
        raise InputError(
            f'Column "{raw.columns[i]}" of {raw.name} holds dates like {found.dates.example}, but "{cell}" in '
            f"{raw.locate(row)}: correct it, or say --missing {cell} if it marks a missing cell."
        )
    return None, column


def _doubts_of_dates(name: str, found: Found) -> list[str]:
    """What is said of a column of dates that may be read in another way, a sentence each."""
    if found.doubtful:
        first = "the day, the month or the year" if found.doubtful[2:6:3] == "--" else "the day or the month"
        return [
            f'Column "{name}" can be read with {first} first, as in "{found.doubtful}", so that it is taken for text: '
            "write its dates as 2024-05-31."
        ]
    if found.offsets:
        return [
            f'Column "{name}" has times with different offsets from UTC, such as "{found.offsets[0].strip()}" and '
            f'"{found.offsets[1].strip()}", so that it is taken for text: write them with one.'
        ]
    if found.dates is not None and "%y" in found.dates.format and not found.strange:
        return [f'Column "{name}" has years of two digits, which are read as 1970 to 2069.']
    return []


def _known_dates(raw: RawTable, i: int, column: FloatArray | NotNumeric, dates: Dates) -> FloatArray:
    """A column as numbers of dates that are written in a known way."""
    if not isinstance(column, NotNumeric) and np.isnan(column).all():
        return column
    cells = list(raw.text(i))
    numbers = dates.read(cells)
    strange = [cell is not None and bool(np.isnan(number)) for cell, number in zip(cells, numbers, strict=True)]
    if any(strange):
        row = strange.index(True)
        raise InputError(
            f'Column "{raw.columns[i]}" of {raw.name} has "{str(cells[row])[:40]}" in {raw.locate(row)}, which is no '
            f"{dates.kind} like {dates.example}: correct it, or leave it empty."
        )
    return numbers


def _numbers_in_text(raw: RawTable, i: int, column: NotNumeric) -> FloatArray | NotNumeric:
    """The numbers that a column of text in a frame holds, such as 007 or True, if it holds nothing else."""
    import polars as pl

    cells = pl.Series(list(raw.text(i)), dtype=pl.String)
    found = as_numbers(cells, ".")
    if found.null_count() > cells.null_count():
        return column
    numbers: FloatArray = found.to_numpy().astype(np.float64)
    return numbers


def left_out(
    values: FloatArray, columns: Sequence[str], levels: Levels, raw: RawTable | None = None, dates: AllDates = ()
) -> dict[str, str]:
    """Columns of which nothing can be learned, and why: one value, or a text of its own in most rows."""
    found = {}
    all_dates = dates or (None,) * len(columns)
    for name, cells, texts, written in zip(columns, values.T, levels, all_dates, strict=True):
        present = cells[~np.isnan(cells)]
        distinct = len(np.unique(present))
        first = present[0] if distinct else 0.0
        if raw and distinct == 1 and not texts and differs_beyond(raw, name, present[0]):
            found[name] = (
                f'Column "{name}" has whole numbers beyond 2^53, which float64 cannot tell apart: it is left out.'
            )
        elif distinct < 2:
            value = texts[0] if texts else written.written(first) if written else f"{first:g}"
            one = f"one value, {value}," if distinct else "no value"
            found[name] = f'Column "{name}" has {one} in all rows: it is left out.'
        elif texts and len(present) >= FEWEST_TO_TELL and distinct > OWN_TEXT * len(present):
            found[name] = (
                f'Column "{name}" has {distinct:,} different texts in {len(present):,} rows, as names and identifiers '
                "have: it is left out."
            )
    return found


def _codes(raw: RawTable, i: int) -> _Cells:
    """A column of text as codes (n,), NaN for a missing cell, and its levels."""
    cells = list(raw.text(i))
    levels = tuple(sorted({cell for cell in cells if cell is not None}))
    _check_no_numbers(raw, i, cells, levels)
    if len(levels) > max(MOST_LEVELS, OWN_TEXT * len(cells)):  # the latter are left out
        raise InputError(
            f'Column "{raw.columns[i]}" of {raw.name} has {len(levels):,} different texts, more than the '
            f"{MOST_LEVELS:,} that can be learned: leave it out{_pick(raw, i)}."
        )
    return _Cells(_numbered(cells, {level: float(code) for code, level in enumerate(levels)}), levels)


def _known_codes(raw: RawTable, i: int, levels: tuple[str, ...], is_open: bool) -> _Cells:
    """A column of text as codes of known levels, or of numbers where there are none (n,); and other texts, if open.

    These have codes beyond all others.
    """
    cells = list(raw.text(i))
    texts = dict.fromkeys(cell for cell in cells if cell is not None)
    number = {level: float(code) for code, level in enumerate(levels)} or _plain_numbers(texts)
    strange = [text for text in texts if text not in number]
    if strange and not is_open:
        known = f"none of its {len(levels):,} values" if levels else "not one of the numbers that it holds"
        raise InputError(
            f'Column "{raw.columns[i]}" of {raw.name} has "{strange[0]}" in {raw.locate(cells.index(strange[0]))}, '
            f"which is {known} in the model's training data: correct it, or leave it empty."
        )
    first = (
        len(levels) or np.floor(max(map(abs, number.values()), default=0.0)) + 2
    )  # beyond 0 and 1, of False and True
    beyond = {first + k: text for k, text in enumerate(strange)}
    return _Cells(_numbered(cells, number | {text: code for code, text in beyond.items()}), levels, strange=beyond)


def _numbered(cells: Sequence[str | None], number: Mapping[str, float]) -> FloatArray:
    return np.array([np.nan if cell is None else number[cell] for cell in cells])


def _plain_numbers(texts: Iterable[str]) -> dict[str, float]:
    """The numbers and truth values among texts."""
    truth = {"false": 0.0, "true": 1.0}
    found = {text: truth[text.lower()] for text in texts if text.lower() in truth}
    for text in texts:
        with suppress(ValueError):
            value = float(text.replace(",", "."))
            found |= {text: value} if np.isfinite(value) else {}
    return found


def _check_no_numbers(raw: RawTable, i: int, cells: Sequence[str | None], levels: Sequence[str]) -> None:
    """Raises InputError where a column is one of numbers with few exceptions, which are mistakes or marks."""
    strange = [level for level in levels if not is_number(level)]
    if len(strange) == len(levels):
        return
    if not strange:
        return
    if not _are_few(cells, levels, set(strange)):
        return
    row = cells.index(strange[0])
    raise InputError(
        f'Column "{raw.columns[i]}" of {raw.name} holds numbers, but "{strange[0][:40]}" in {raw.locate(row)}: correct '
        f"it, or say --missing {strange[0][:40]} if it marks a missing cell."
    )


def _are_few(cells: Sequence[str | None], levels: Collection[str | None], strange: Collection[str]) -> bool:
    """Whether strange cells are so few, or of so few of the levels, that they are mistakes or marks."""
    rare = sum(cell in strange for cell in cells) <= RARE * len(cells) and len(cells) >= FEWEST_TO_TELL
    return rare or (len(levels) >= FEWEST_TO_TELL and len(strange) <= MOST_STRANGE * len(levels))


def _pick(raw: RawTable, i: int) -> str:
    others = [name for name in raw.columns if name != raw.columns[i]]
    return f", as in {raw.pick(others[:8])}" if others else ""


def is_mixed(values: FloatArray, levels: Levels, dates: AllDates = ()) -> bool:
    """Whether a table has text, dates or missing cells, so that it is more than rows of numbers."""
    return any(levels) or any(dates) or bool(np.isnan(values).any())
