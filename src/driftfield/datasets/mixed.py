"""Mixed columns: numbers and text, with missing cells, as one array of numbers.

A row of such a table is an array of float64: a number is itself, text is the number of its level in the order of the
column's levels, and a missing cell is NaN.
"""

from collections.abc import Sequence

import numpy as np

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


def mixed(
    raw: RawTable, picks: Sequence[str] | None, fewest: int = 2, known: Levels | None = None
) -> tuple[FloatArray, tuple[str, ...], Levels]:
    """The picked columns of a raw table (all of them for None): values (n, C), names and levels (C,).

    Args:
        known: the levels of each column, where the rows are for a model that has them; by default those that occur, in
            alphabetical order.

    Raises:
        InputError: as :func:`~driftfield.datasets.raw_table.numbers` does, but not for text and missing cells; dates,
            text with more than 1,000 levels, or text that is not among the known levels.
    """
    indices = selected(raw, picks)
    columns = tuple(raw.columns[i] for i in indices)
    values: list[FloatArray] = []
    levels: list[tuple[str, ...]] = []
    for j, (i, column) in enumerate(zip(indices, raw.read(indices), strict=True)):
        own = known[j] if known is not None else ()
        if isinstance(column, NotNumeric) or own:
            if isinstance(column, NotNumeric) and (column.what != "text" or column.hint):
                raise InputError(
                    f'Column "{columns[j]}" of {raw.name} holds {column.what}, for example "{column.example}" in '
                    f"{raw.locate(column.row)}: {column.hint or 'turn it into numbers, or leave it out'}."
                )
            codes, own = _codes(raw, i, own, known is not None)
            values.append(codes)
        else:
            if np.isinf(column).any():
                row = int(np.isinf(column).argmax())
                raise InputError(
                    f'Column "{columns[j]}" of {raw.name} has an infinite cell in {raw.locate(row)}: correct it, or '
                    "leave it empty."
                )
            values.append(column)
        levels.append(own)
    check_rows(raw, len(values[0]), fewest)
    return np.stack(values, 1), columns, tuple(levels)


def left_out(values: FloatArray, columns: Sequence[str], levels: Levels, raw: RawTable | None = None) -> dict[str, str]:
    """Columns of which nothing can be learned, and why: one value, or a text of its own in most rows."""
    found = {}
    for name, cells, texts in zip(columns, values.T, levels, strict=True):
        present = cells[~np.isnan(cells)]
        distinct = len(np.unique(present))
        if raw and distinct == 1 and not texts and differs_beyond(raw, name, present[0]):
            found[name] = (
                f'Column "{name}" has whole numbers beyond 2^53, which float64 cannot tell apart: it is left out.'
            )
        elif distinct < 2:
            one = "no value" if not distinct else f"one value, {texts[0] if texts else f'{present[0]:g}'},"
            found[name] = f'Column "{name}" has {one} in all rows: it is left out.'
        elif texts and len(present) >= FEWEST_TO_TELL and distinct > OWN_TEXT * len(present):
            found[name] = (
                f'Column "{name}" has {distinct:,} different texts in {len(present):,} rows, as names and identifiers '
                "have: it is left out."
            )
    return found


def _codes(raw: RawTable, i: int, levels: tuple[str, ...], fixed: bool) -> tuple[FloatArray, tuple[str, ...]]:
    """A column of text as codes (n,), NaN for a missing cell, and its levels."""
    cells = list(raw.text(i))
    found = dict.fromkeys(cell for cell in cells if cell is not None)
    if not fixed:
        levels = tuple(sorted(found))
        _check_no_numbers(raw, i, cells, levels)
        if len(levels) > max(MOST_LEVELS, OWN_TEXT * len(cells)):  # the latter are left out
            raise InputError(
                f'Column "{raw.columns[i]}" of {raw.name} has {len(levels):,} different texts, more than the '
                f"{MOST_LEVELS:,} that can be learned: leave it out{_pick(raw, i)}."
            )
    number = {level: float(code) for code, level in enumerate(levels)}
    strange = next((cell for cell in found if cell not in number), None)
    if strange is not None:
        kind = "text" if levels else "numbers"
        known = f"none of its {len(levels):,} values" if levels else f"not one of the {kind} that it holds"
        raise InputError(
            f'Column "{raw.columns[i]}" of {raw.name} has "{strange}" in {raw.locate(cells.index(strange))}, which is '
            f"{known} in the model's training data: correct it, or leave it empty."
        )
    return np.array([np.nan if cell is None else number[cell] for cell in cells]), levels


def _check_no_numbers(raw: RawTable, i: int, cells: Sequence[str | None], levels: Sequence[str]) -> None:
    """Raises InputError where a column is one of numbers with few exceptions, which are mistakes or marks."""
    strange = [level for level in levels if not is_number(level)]
    if len(strange) == len(levels):
        return
    if not strange:
        return
    rare = sum(cell in strange for cell in cells) <= RARE * len(cells) and len(cells) >= FEWEST_TO_TELL
    if not rare and (len(levels) < FEWEST_TO_TELL or len(strange) > MOST_STRANGE * len(levels)):
        return
    row = cells.index(strange[0])
    raise InputError(
        f'Column "{raw.columns[i]}" of {raw.name} holds numbers, but "{strange[0][:40]}" in {raw.locate(row)}: correct '
        f"it, or say --missing {strange[0][:40]} if it marks a missing cell."
    )


def _pick(raw: RawTable, i: int) -> str:
    others = [name for name in raw.columns if name != raw.columns[i]]
    return f", as in {raw.pick(others[:8])}" if others else ""


def is_mixed(values: FloatArray, levels: Levels) -> bool:
    """Whether a table has text or missing cells, so that it is more than rows of numbers."""
    return any(levels) or bool(np.isnan(values).any())
