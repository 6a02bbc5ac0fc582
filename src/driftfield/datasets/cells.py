"""Cells of text as numbers: decimal points and commas, thousands marks, true and false, marks of missing cells.

"1,234" is 1234 or 1.234. A column decides it where one of its cells can be read in one way alone; then the file does;
where nothing does, the user is asked.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from driftfield.errors import InputError

if TYPE_CHECKING:
    import polars as pl

_EXPONENT = r"([eE][+-]?\d+)?"
PLAIN = rf"^[+-]?(\d+\.?\d*|\.\d+){_EXPONENT}$"
LEADING_ZERO = r"^[+-]?0\d"  # of a code
_WORDS = r"^[+-]?(?i:nan|inf|infinity)$"
_GAP = "[ '’\u00a0\u202f\u2009]"  # thousands marks that mean nothing else
_GROUPED = {  # numbers with thousands marks, for each decimal mark
    ".": rf"^[+-]?[1-9]\d{{0,2}}((,\d{{3}})+|({_GAP}\d{{3}})+)(\.\d*)?$",
    ",": rf"^[+-]?[1-9]\d{{0,2}}((\.\d{{3}})+|({_GAP}\d{{3}})+)(,\d*)?$",
}
_COMMA = rf"^[+-]?(\d+,?\d*|,\d+){_EXPONENT}$"


def cleaned(column: "pl.Series", marks: Sequence[str]) -> "pl.Series":
    """A column of text without spaces around its cells, with minus signs as in ASCII, and null for missing cells."""
    import polars as pl

    cells = column.str.strip_chars().str.replace("^−", "-")
    return cells.set(cells.is_in(list(marks)), None) if len(cells) else cells.cast(pl.String)


def equal_numbers(cells: "pl.Series", marks: Sequence[str], decimal: str | None) -> "pl.Series":
    """Which (cleaned) cells are the same number as a mark, however they are written: -999.0 and -999,0 as -999.

    Where a cell is no number with the ``decimal`` mark, or for None, either decimal mark will do.
    """
    import polars as pl

    def read(texts: "pl.Series", decimal: str) -> "pl.Series":
        plain = texts.set(~texts.str.contains(f"{PLAIN}|{_COMMA}").fill_null(False), None)
        other = plain.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
        return pl.select(pl.coalesce(as_numbers(texts, decimal), other)).to_series()

    found = cells.is_null() & False
    for mark in (decimal,) if decimal else (".", ","):
        wanted = [x for x in read(pl.Series(marks, dtype=pl.String), mark) if x is not None and x == x]
        found |= read(cells, mark).is_in(wanted).fill_null(False)
    return found


def decimal_mark(
    columns: Mapping[str, "pl.Series"], commas_separate: bool, name: str
) -> tuple[str, list[str], list[str]]:
    """(decimal mark of a file, what to note about it, what to warn of), from its (cleaned) columns.

    A column in which some cell with a comma or a point can be read in one way decides. Where commas separate the
    columns, 1.234 has a decimal point.

    Raises:
        InputError: the columns contradict each other, or can be read in two ways.
    """
    comma = point = either = None
    fixed = None  # a column in which points stand in every cell and could be between thousands
    for column, cells in columns.items():
        marked = cells.drop_nulls()
        marked = marked.filter(marked.str.contains(r"[.,]"))
        as_point = _all_match(cells, PLAIN, _GROUPED["."], _WORDS)
        as_comma = _all_match(cells, _COMMA, _GROUPED[","], _WORDS)
        points_alone = not marked.str.contains(",").any()
        if not (as_point or as_comma) or not len(marked):
            continue
        if not as_point:
            comma = comma or column
        elif not as_comma or (points_alone and commas_separate):
            point = point or column
        elif points_alone and len(marked) == len(cells) - cells.null_count():
            fixed = fixed or column
        else:
            either = either or column
    if comma and point:
        raise InputError(
            f'{name} has decimal commas in column "{comma}" and decimal points in column "{point}": '
            "say which with --decimal."
        )
    if either and not (comma or point):
        example = next(cell for cell in columns[either].drop_nulls() if re.search("[.,]", cell))
        raise InputError(
            f'Column "{either}" of {name} can be read in two ways, for example "{example}": say whether the decimal '
            "mark is a point or a comma, with --decimal."
        )
    mark = "," if comma else "."
    notes, doubts = ["with decimal commas"] * (mark == ","), []
    if fixed and not comma and not point:
        notes += ["with decimal points"]
        example = columns[fixed].drop_nulls()[0]
        doubts = [
            f'Column "{fixed}" has three digits after a point in each cell, for example "{example}", which is read as '
            "a decimal point: say --decimal , if the points stand between thousands."
        ]
    grouped = any(bool(cells.str.contains(_GROUPED[mark]).any()) for cells in columns.values())
    return mark, notes + ["with thousands marks"] * grouped, doubts


def _all_match(cells: "pl.Series", *patterns: str) -> bool:
    """Whether each cell that is not missing matches one of the patterns."""
    return bool(cells.drop_nulls().str.contains("|".join(patterns)).all())


def may_be_thousands(values: "pl.Series") -> bool:
    """Whether numbers that were read with a decimal point, as 1.234, may have points between thousands."""
    import polars as pl

    if values.dtype != pl.Float64:
        return False
    broken = values.filter(values != values.round()).abs()
    fits = (broken >= 1) & (broken < 1000) & ((broken * 1000 - (broken * 1000).round()).abs() < 1e-6)
    return bool(fits.all())


def as_numbers(column: "pl.Series", decimal: str) -> "pl.Series":
    """A (cleaned) column as float64; null for missing cells and for cells that are not numbers.

    True and false are 1 and 0 in a column that holds nothing else, or 0 and 1 besides.
    """
    import polars as pl

    lower = column.str.to_lowercase()
    if bool(lower.is_in(["true", "false"]).any()) and bool(lower.drop_nulls().is_in(["true", "false", "0", "1"]).all()):
        return pl.select(pl.when(lower.is_not_null()).then(lower.is_in(["true", "1"]))).to_series().cast(pl.Float64)
    cells = column
    other = "," if decimal == "." else "."
    grouped = cells.str.contains(_GROUPED[decimal])
    if bool(grouped.any()):
        marks = rf"[{other} '’\x{{a0}}\x{{202f}}\x{{2009}}]"
        cells = pl.select(pl.when(grouped).then(cells.str.replace_all(marks, "")).otherwise(cells)).to_series()
    if decimal == ",":
        plain = cells.str.contains(_COMMA)
        point = pl.when(plain).then(cells.str.replace(",", ".", literal=True))
        words = pl.when(cells.str.contains(_WORDS)).then(cells)
        cells = pl.select(pl.coalesce(point, words, pl.when(cells.is_not_null()).then(pl.lit("text")))).to_series()
    return cells.cast(pl.Float64, strict=False)
