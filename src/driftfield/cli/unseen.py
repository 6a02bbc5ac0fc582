"""Levels of categories that no training row has: what is said of them, and how they are written."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from driftfield.cli.streams import say
from driftfield.datasets import Table
from driftfield.datasets.raw_table import RawTable
from driftfield.datasets.tables import mixed_rows
from driftfield.datasets.writing import Written

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftfield.codecs import Codec, FloatArray, TableCodec

ZERO = "its row has probability 0"
UNKNOWN = "as it is given, it is taken for unknown"
STAYS = "it stays, and is taken for unknown where the other cells of its row are filled"


def read_open(codec: "TableCodec", raw: RawTable, picks: list[str] | None, source: str) -> Table:
    """The rows of a raw table, with such levels."""
    return mixed_rows(raw, picks, source, codec.columns, codec.levels_of_text, codec.dates, codec.is_category)


def warn_of_unseen(
    codec: "TableCodec", table: Table, raw: RawTable, of: Sequence[str] | None, given: Sequence[str]
) -> None:
    """Warn of such cells where they are asked for, and where they are given."""
    asked = [name not in given if of is None else name in of for name in codec.columns]
    _warn(codec, table, raw, asked, ZERO)
    _warn(codec, table, raw, [name in given for name in codec.columns], UNKNOWN)


def warn_of_kept(codec: "TableCodec", table: Table, raw: RawTable) -> None:
    """Warn of such cells in a table that is filled."""
    _warn(codec, table, raw, [True] * len(codec.columns), STAYS)


def warn_of_bounds(codec: "Codec", rows: "FloatArray", impossible: "NDArray[np.bool_]") -> None:
    """Warn of rows of probability 0 that have no such cell: one of their numbers lies beyond its bounds."""
    unseen = getattr(codec, "unseen", None)
    beyond = impossible if unseen is None else impossible & ~unseen(rows).any(1)
    if beyond.any():
        count = "1 row has" if beyond.sum() == 1 else f"{beyond.sum():,} rows have"
        first = int(beyond.argmax()) + 1
        say(f"Warning: {count} probability 0, the first in row {first} of the data: a number lies beyond its bounds.")


def _warn(codec: "TableCodec", table: Table, raw: RawTable, columns: Sequence[bool], what: str) -> None:
    """Say where the first such cell of some columns is, how many there are, and ``what`` comes of it."""
    unseen = codec.unseen(table.values) & np.array(columns)
    if not unseen.any():
        return
    row, j = np.argwhere(unseen)[0]
    part, value = codec.parts[j], float(table.values[row, j])
    strange = table.spelled.get(part.name, {})
    text = strange[value] if value in strange else part.written(value)
    index = row if raw.kept is None else int(np.searchsorted(raw.kept[0], row))
    count = int(unseen.sum())
    more = f" (the first of {count:,} such cells)" if count > 1 else ""
    where = f'Column "{part.name}" has "{text[:40]}" in {raw.locate(index)}'
    say(f"Warning: {where}, which no training row has{more}: {what}.")


def written_unseen(codec: "TableCodec", table: Table) -> Written:
    """How columns with such cells are written, where these are text."""
    found: dict[str, Mapping[float, str]] = {}
    for part, cells, unseen in zip(codec.parts, table.values.T, codec.unseen(table.values).T, strict=True):
        strange = table.spelled.get(part.name, {})
        if unseen.any() and (part.texts or part.spelled or strange):
            known = {value: part.written(value) for value in part.values}
            found[part.name] = known | {value: f"{value:.10g}" for value in cells[unseen].tolist()} | dict(strange)
    return found
