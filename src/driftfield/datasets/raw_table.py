"""Raw tables: tables as they are read, before their columns are checked to be numbers that a model can learn from.

Every source of rows (a CSV file, a Parquet file, an array, a data frame) becomes a raw table. One function, `numbers`,
picks its columns and rejects what cannot be learned: text, missing cells, infinity, too many columns, too few rows.
Every error names the cell or column, and the columns that can be used.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from driftfield.datasets.distribution import FloatArray
from driftfield.errors import InputError, nearest, unknown_name
from driftfield.errors import reason as reason

if TYPE_CHECKING:
    import polars as pl

MOST_COLUMNS = 2_000
MOST_CLASSES = 1_000
LARGEST = 1e300  # of a number to fit: differences and multiples of larger ones overflow
LARGEST_EXACT = 2.0**53  # whole numbers beyond are not all float64
_NAMES_SHOWN = 8  # in advice on columns to pick
_EXAMPLE_SHOWN = 40  # characters of a cell


@dataclass(frozen=True)
class NotNumeric:
    """A column that is not numeric: what it holds, an example and the index of its row, and what to do about it.

    ``dtype`` is that of dates and times in a frame, as :class:`~driftfield.datasets.dates.Dates` names it.
    """

    what: str  # "text"
    example: str
    row: int
    hint: str = ""
    dtype: str = ""


def unique_names(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """The names, with _2, _3, .. after those that are taken or occur before."""
    found: list[str] = []
    for name in names:
        others, free, count = {*taken, *found}, name, 1
        while free in others:
            count += 1
            free = f"{name}_{count}"
        found.append(free)
    return found


class Whole(NamedTuple):
    """A table as it is written: its cells and the names of its columns.

    ``decimal`` is the decimal mark of a table of text, None where cells have types.
    """

    frame: "pl.DataFrame"
    names: tuple[str, ...]
    decimal: str | None = None

    def unique(self) -> "pl.DataFrame":
        """The frame under its names, with _2, _3, .. after those that occur before."""
        frame = self.frame.clone()
        frame.columns = unique_names(self.names)
        return frame


@dataclass(frozen=True)
class RawTable:
    """A table of n rows whose cells are read on demand.

    `read(indices)` yields the columns with these indices, each as float64 (n,) with NaN for an empty cell, or as a
    NotNumeric. `locate(i)` describes the position of row index i, as in "row 17 (line 18)". `pick(names)` is what
    the user writes to select these columns, as in "wine.csv:ash,hue". `text(i)` is a column with its cells as they
    are written, None for a missing one. `notes` says how a file was read where it is not plain CSV, a phrase each,
    `warnings` what of that is doubtful, a sentence each, and `dialect` what was understood of a text file. `whole()` is
    the table with what was left out, its empty rows and columns among them; None where there is nothing more.
    """

    name: str
    columns: tuple[str, ...]
    read: Callable[[Sequence[int]], Iterator[FloatArray | NotNumeric]]
    locate: Callable[[int], str]
    pick: Callable[[Sequence[str]], str]
    text: Callable[[int], Iterable[str | None]]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    dialect: Mapping[str, str] = field(default_factory=dict)
    whole: Callable[[], Whole] | None = None
    kept: tuple[NDArray[np.int64], int] | None = None  # which rows those are of the file, and how many it has
    empty: tuple[str, ...] = ()  # names of columns without a cell, which are not among the others
    nested: Mapping[str, str] = field(default_factory=dict)  # columns of lists and the like, and what they hold
    from_text: frozenset[str] = frozenset()  # columns whose numbers are stored as text, where types are known

    def names_of(self, picks: Sequence[str] | None) -> tuple[str, ...]:
        """The names of the picked columns; of all, also of empty ones, for None."""
        if picks is None:
            return self.columns + self.empty
        return tuple(self.columns[self.index(pick)] for pick in picks)

    def index(self, pick: str) -> int:
        """The index of a column that the user names. Raises InputError for an unknown name."""
        for name in (pick, pick.strip()):
            if name in self.columns:
                return self.columns.index(name)
        near = nearest(pick, self.columns)
        raise unknown_name(f"column of {self.name}", pick, self.columns[:_NAMES_SHOWN] if near is None else [near])


def numbers(
    raw: RawTable, picks: Sequence[str] | None, fewest: int = 2, advise: bool = True
) -> tuple[FloatArray, tuple[str, ...]]:
    """The picked columns of a raw table (all of them for None): values (n, D) in float64, and names (D,).

    Raises InputError for unknown, repeated or ambiguous names, more than 2,000 columns, a column that is not numeric,
    fewer than `fewest` rows, and cells that are missing or infinite; with `advise`, the message names columns that
    could be picked instead.
    """
    indices = selected(raw, picks)
    columns = tuple(raw.columns[i] for i in indices)
    values = np.empty((0, len(indices)))
    for j, column in enumerate(raw.read(indices)):
        if isinstance(column, NotNumeric):
            raise _not_numeric(raw, columns[j], column)
        if j == 0:
            check_rows(raw, len(column), fewest)
            values = np.empty((len(column), len(indices)))
        values[:, j] = column
    _check_finite(raw, values, columns, advise)
    return values, columns


def labels(raw: RawTable, name: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """A column of text or numbers as classes: the class number of each row (n,), and the names of the classes.

    A class is called as it is written in the file; numbers are in the order of their size.

    Raises InputError for an unknown column, empty cells, fewer than 2 classes and more than 1,000.
    """
    cells = list(raw.text(raw.index(name)))
    if None in cells:
        where = raw.locate(cells.index(None))
        raise InputError(f'The label column "{name}" of {raw.name} has an empty cell in {where}: fill it.')
    found = sorted({cell for cell in cells if cell is not None})
    if not 2 <= len(found) <= MOST_CLASSES:
        raise InputError(
            f'The label column "{name}" of {raw.name} has {len(found):,} different values: name a '
            f"column with 2 to {MOST_CLASSES:,} values."
        )
    with suppress(ValueError):
        found.sort(key=float)
    number = {cell: i for i, cell in enumerate(found)}
    return np.array([number[cell] for cell in cells if cell is not None], dtype=np.int64), tuple(found)


def check_varying(
    table: FloatArray, columns: Sequence[str], name: str, rows: str, advice: Callable[[Sequence[str]], str]
) -> None:
    """Raises InputError when a column of `table` (n, D) has one value in all rows.

    `rows` describes the rows, as in "every row"; `advice(good)` says what to do, given the columns that vary.
    """
    constant = table.min(axis=0) == table.max(axis=0)
    if not constant.any():
        return
    first, count = int(np.argmax(constant)), int(constant.sum())
    good = [column for column, same in zip(columns, constant, strict=True) if not same]
    others = f" (and {count - 1} more)" if count > 1 else ""
    raise InputError(
        f'Column "{columns[first]}"{others} of {name} has the same value, {table[0, first]:g}, in {rows}, '
        f"so there is nothing to learn from it: {advice(good)}."
    )


def check_size(table: FloatArray, columns: Sequence[str], name: str) -> None:
    """Raises InputError when `table` (n, D) holds numbers so large that a model cannot compute with them."""
    sizes = np.nan_to_num(np.abs(table))
    row, j = divmod(int(sizes.argmax()), table.shape[1])
    largest = float(table[row, j])
    if abs(largest) > LARGEST:
        raise InputError(
            f'Column "{columns[j]}" of {name} holds numbers beyond {LARGEST:g}, such as {largest:g}, whose differences '
            "overflow: divide it by a constant, or remove such rows."
        )


def differs_beyond(raw: RawTable, name: str, value: float) -> bool:
    """Whether a column that is one value in float64 is not, as whole numbers beyond 2^53 are rounded."""
    cells = raw.text(raw.index(name)) if abs(value) > LARGEST_EXACT else ()
    return len({cell for cell in cells if cell is not None}) > 1


def suggestion(raw: RawTable, names: Sequence[str], lead: str) -> str:
    """`lead`, as in wine.csv:ash,hue": advice to use the columns `names`; empty where there are none."""
    more = len(names) - _NAMES_SHOWN
    rest = f" ({more:,} more can be used)" if more > 0 else ""
    return f"{lead}, as in {raw.pick(names[:_NAMES_SHOWN])}{rest}" if names else ""


def capital(name: str) -> str:
    """The name of a table at the start of a sentence: "the array" becomes "The array", a file name is unchanged."""
    return name[0].upper() + name[1:] if name.startswith(("the ", "standard ")) else name


def selected(raw: RawTable, picks: Sequence[str] | None) -> list[int]:
    if not raw.columns:
        raise InputError(f"{capital(raw.name)} has no columns: at least one column of numbers is needed.")
    indices = list(range(len(raw.columns))) if picks is None else [raw.index(pick) for pick in picks]
    occurs = Counter(raw.columns)
    shared = next((raw.columns[i] for i in indices if occurs[raw.columns[i]] > 1), None)
    if shared is not None:
        single = [name for name in raw.columns if occurs[name] == 1]
        raise InputError(
            f'{capital(raw.name)} has {occurs[shared]} columns called "{shared}": '
            f"rename them{suggestion(raw, single, ', or pick others')}."
        )
    repeated = next((raw.columns[i] for i, count in Counter(indices).items() if count > 1), None)
    if repeated is not None:
        raise InputError(f'Column "{repeated}" of {raw.name} is picked more than once: name it once.')
    if len(indices) > MOST_COLUMNS:
        raise InputError(
            f"{capital(raw.name)} has {len(indices):,} columns, more than the {MOST_COLUMNS:,} that can be learned "
            f"together: {suggestion(raw, raw.columns[:2], 'pick some')}."
        )
    return indices


def check_rows(raw: RawTable, rows: int, fewest: int) -> None:
    if rows < fewest:
        found = "no rows of data" if rows == 0 else "one row of data"
        needed = f"at least {fewest} {'is' if fewest == 1 else 'are'} needed"
        raise InputError(f"{capital(raw.name)} has {found}: {needed}.")


def _not_numeric(raw: RawTable, column: str, found: NotNumeric) -> InputError:
    example = _cut(" ".join(found.example.split()), _EXAMPLE_SHOWN)
    advice = suggestion(raw, _usable(raw), ", or pick numeric columns") or ", as no other column can be used"
    return InputError(
        f'Column "{column}" of {raw.name} holds {found.what}, for example "{example}" in '
        f"{raw.locate(found.row)}: {found.hint or f'turn it into numbers{advice}'}."
    )


def _check_finite(raw: RawTable, values: FloatArray, columns: Sequence[str], advise: bool) -> None:
    """Raises InputError for missing and infinite cells; ``advise`` says whether other columns may be picked."""
    bad = ~np.isfinite(values)
    count = int(bad.sum())
    if count == 0:
        return
    missing = int(np.isnan(values).sum())
    row = int(np.argmax(bad.any(axis=1)))
    j = int(np.argmax(bad[row]))
    kind = "missing" if missing == count else "infinite" if missing == 0 else "missing or infinite"
    cells = f"1 {kind} cell" if count == 1 else f"{count:,} {kind} cells"
    advice = suggestion(raw, _usable(raw), ", or pick complete columns") if advise else ""
    raise InputError(
        f'{capital(raw.name)} has {cells}, the first in column "{columns[j]}", '
        f"{raw.locate(row)}: fill or remove such rows{advice}."
    )


def _usable(raw: RawTable) -> list[str]:
    """The columns that could be picked: numeric, finite, varying, and with a unique name."""
    occurs = Counter(raw.columns)
    return [
        name
        for name, column in zip(raw.columns, raw.read(range(len(raw.columns))), strict=True)
        if not isinstance(column, NotNumeric)
        and occurs[name] == 1
        and np.isfinite(column).all()
        and column.min() < column.max()
    ]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "…"
