"""Columns: what each column of a table is, found out from its cells.

    number          a density
    whole number    a mass on each integer: the density integrated over the interval from x - 1/2 to x + 1/2
    category        a probability for each level; text, truth values, and few distinct whole numbers

A value that holds a large part of a column of numbers is an *atom*, a point mass beside the density.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from driftfield.codecs.decimals import decimals
from driftfield.codecs.maps import Map, choose_map
from driftfield.datasets.distribution import FloatArray
from driftfield.errors import InputError

Kind = Literal["number", "whole number", "category"]
KINDS = get_args(Kind)
FEW_VALUES = 10  # distinct whole numbers that are levels of a category,
ROWS_OF_A_LEVEL = 10  # where each has so many rows in the mean
ATOM = 0.1  # of the cells of a column: a value that holds more is an atom
MOST_ATOMS = 3
VALUES_BESIDE = 10  # distinct values that a column has beside its atoms
_LARGEST_WHOLE = 2.0**31


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        kind: "number", "whole number" or "category".
        texts: of the levels of a category that is written as text; rows hold their numbers 0, 1, ..
        values: what rows hold for each level of a category; of other columns, their atoms.
        places: decimals of a number; None for a real one.
        map: of a number.
    """

    name: str
    kind: Kind
    texts: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    places: int | None = None
    map: Map | None = None

    @property
    def numeric(self) -> bool:
        """Whether it is modelled as a number, perhaps beside atoms."""
        return self.kind != "category"

    @property
    def levels(self) -> int:
        """How many levels its category has: with "any other number" beside the atoms, and 0 where there are none."""
        return len(self.values) + (self.numeric and len(self.values) > 0)

    def code(self, cells: FloatArray) -> FloatArray:
        """The level of each cell (n,); NaN for a missing one, and the last level for numbers beside atoms.

        Raises:
            InputError: a cell is none of the levels of a category.
        """
        codes = np.full(len(cells), np.nan)
        for level, value in enumerate(self.values):
            codes[cells == value] = level
        present = ~np.isnan(cells)
        if self.numeric:
            codes[present & np.isnan(codes)] = len(self.values)
        elif (present & np.isnan(codes)).any():
            row = int((present & np.isnan(codes)).argmax())
            raise InputError(
                f'Row {row + 1} has {cells[row]:g} in the column "{self.name}", which is not one of its '
                f"{len(self.values):,} levels: correct it, or leave it empty."
            )
        return codes

    def described(self) -> dict[str, Any]:
        """The column as plain data."""
        found: dict[str, Any] = {"name": self.name, "kind": self.kind}
        if self.texts:
            found["texts"] = list(self.texts)
        elif self.values:
            found["values"] = list(self.values)
        if self.map is not None:
            found |= {"places": self.places, "x": list(self.map.x), "z": list(self.map.z)}
        return found

    @classmethod
    def restored(cls, found: dict[str, Any]) -> "Column":
        """The inverse of :meth:`described`. Raises KeyError or ValueError for data that describe no column."""
        texts = tuple(str(text) for text in found.get("texts", ()))
        values = tuple(float(v) for v in range(len(texts))) or tuple(float(v) for v in found.get("values", ()))
        if found["kind"] not in KINDS or (found["kind"] == "category") != ("x" not in found):
            raise ValueError(f'the column "{found["name"]}" has no kind that is known')
        if found["kind"] == "category":
            return cls(found["name"], "category", texts, values)
        x, z = (tuple(float(v) for v in found[key]) for key in ("x", "z"))
        knots = np.array([x, z])
        if knots.shape[1] < 2 or not np.isfinite(knots).all() or not (np.diff(knots) > 0).all():
            raise ValueError(f'the map of the column "{found["name"]}" does not increase')
        return cls(found["name"], found["kind"], (), values, found["places"], Map(x, z))


def find_columns(
    rows: FloatArray,
    names: Sequence[str],
    levels: Sequence[tuple[str, ...]],
    weights: FloatArray | None = None,
    beside: FloatArray | None = None,
    real: Collection[str] = (),
) -> tuple[Column, ...]:
    """What each column of training rows (n, C) is.

    Args:
        levels: the texts of columns of text, () for others.
        weights: what each row counts, (n,).
        beside: other rows (m, C), from which only the levels of categories are taken.
        real: names of columns that are real numbers, neither whole ones nor categories, whatever their values.

    Raises:
        InputError: a column has one value in all rows, or none.
    """
    others = np.empty((0, rows.shape[1])) if beside is None else beside
    columns = zip(rows.T, others.T, names, levels, strict=True)
    return tuple(_found(cells, more, name, texts, weights, name in real) for cells, more, name, texts in columns)


def _found(
    cells: FloatArray,
    more: FloatArray,
    name: str,
    texts: tuple[str, ...],
    weights: FloatArray | None,
    is_real: bool,
) -> Column:
    present = ~np.isnan(cells)
    found, own = cells[present], None if weights is None else weights[present]
    distinct, counts = np.unique(found, return_counts=True)
    if len(distinct) < 2:
        one = "" if not len(distinct) else texts[int(distinct[0])] if texts else f"{distinct[0]:g}"
        raise InputError(
            f'Column "{name}" has {f"one value, {one}," if one else "no value"} in all training rows: leave it out.'
        )
    if texts:
        return Column(name, "category", texts, tuple(float(i) for i in range(len(texts))))
    places = decimals(found[:, None])[0]
    whole = places == 0 and np.abs(found).max() < _LARGEST_WHOLE and not is_real
    few = len(distinct) <= FEW_VALUES and len(found) >= ROWS_OF_A_LEVEL * len(distinct)
    if not is_real and (len(distinct) == 2 or (whole and few)):
        known = np.union1d(distinct, more[~np.isnan(more)])
        if len(known) <= len(distinct) + ROWS_OF_A_LEVEL:
            return Column(name, "category", (), tuple(known.tolist()))
    atoms: tuple[float, ...] = ()
    if len(distinct) > VALUES_BESIDE:
        common = np.argsort(-counts, kind="stable")[:MOST_ATOMS]
        atoms = tuple(sorted(distinct[common[counts[common] >= max(ATOM * len(found), 2)]].tolist()))
    beside = ~np.isin(found, atoms)
    if len(np.unique(found[beside])) <= VALUES_BESIDE and atoms:
        atoms, beside = (), np.ones(len(found), dtype=bool)
    numbers, own = found[beside], None if own is None else own[beside]
    map_ = choose_map(numbers, own, extra=1 / 12 if whole else 0.0)  # the variance within the interval
    return Column(name, "whole number" if whole else "number", (), atoms, places, map_)
