"""Columns: what each column of a table is, found out from its cells.

    number          a density
    whole number    a mass on each integer: the density integrated over the interval from x - 1/2 to x + 1/2
    category        a probability for each level; text, truth values, and few distinct whole numbers

A value of a column of numbers that occurs far more often than its neighbours is an *atom*, a point mass beside the
density: a zero where nothing was gained, a cap, round numbers where people guess.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from driftfield.codecs.decimals import decimals
from driftfield.codecs.maps import GAIN, GAIN_AT_AN_EDGE, Map, bent, choose_map
from driftfield.datasets.dates import Dates
from driftfield.datasets.distribution import FloatArray
from driftfield.datasets.mixed import MOST_LEVELS, AllDates
from driftfield.errors import InputError, unknown_name
from driftfield.options import Section

Kind = Literal["number", "whole number", "category"]
KINDS = get_args(Kind)
FEW_VALUES = 30  # distinct whole numbers that are levels of a category,
ROWS_OF_A_LEVEL = 20  # where each has so many rows in the mean
ATOM_SHARE, ATOM_ROWS = 0.005, 20  # of the cells of a column that an atom holds at least
ATOM_STANDS_OUT = 3.0  # times as often as the median of its neighbours
NEIGHBOURS = 10  # distinct values on either side
MOST_ATOMS = 40
FEWEST_TO_PILE, FEWEST_TO_BOUND = 20, 250  # whole and other numbers on a side of the median, to find a bound there
PILED = 0.05  # the part of them that piles up at a bound
ROOM = 5.0  # times the distance to it that the next value may be expected at
VALUES_BESIDE = 10  # distinct values that a column has beside its atoms
_LARGEST_WHOLE = 2.0**31
ALL = "*"  # in place of a name: every column


class ColumnOptions(Section):
    """What is said of a column, in place of what would be found out: the keys of ``[columns.NAME]`` of a recipe."""

    kind: Kind | None = Field(None, description="number, whole number or category")
    low: float | None = Field(None, description="smallest value that it can have")
    high: float | None = Field(None, description="largest value that it can have")
    atoms: tuple[float, ...] | None = Field(None, description="values that are point masses; [] for none")
    missing: Literal["model"] | None = Field(None, description='"model": whether a cell is empty is modelled')


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        kind: "number", "whole number" or "category".
        texts: of the levels of a category that is written as text; rows hold their numbers 0, 1, ..
        values: what rows hold for each level of a category; of other columns, their atoms.
        places: decimals of a number; None for a real one.
        map: of a number.
        low, high: bounds that its values pile up against, beyond which there are none; None where there is no bound.
        dates: how its numbers are written, if they are dates or times.
        holes: whether an empty cell is a level of its own, after those of ``values``.
    """

    name: str
    kind: Kind
    texts: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    places: int | None = None
    map: Map | None = None
    low: float | None = None
    high: float | None = None
    holes: bool = False
    dates: Dates | None = None

    @property
    def numeric(self) -> bool:
        """Whether it is modelled as a number, perhaps beside atoms."""
        return self.kind != "category"

    @property
    def levels(self) -> int:
        """How many levels its category has; 0 where there is none.

        Those of ``values``, "empty" where holes are modelled, and "any other number" beside these for a number.
        """
        own = len(self.values) + self.holes
        return own + (self.numeric and own > 0)

    @property
    def outcomes(self) -> tuple[float, ...]:
        """What has a probability of its own: levels or atoms, and NaN, an empty cell, where holes are modelled."""
        return self.values + (float("nan"),) * self.holes

    @property
    def level_names(self) -> tuple[str, ...]:
        """The levels of its category as text."""
        names = tuple(self.written(value) for value in self.values)
        other = "other" if self.values else "a number"
        return names + ("empty",) * self.holes + (other,) * (self.numeric and self.levels > 0)

    @property
    def widest(self) -> float:
        """The widest interval of a whole number between the knots of its map, on the line of z; 0 for other columns."""
        if self.kind != "whole number" or self.map is None:
            return 0.0
        x = np.linspace(self.map.x[0], self.map.x[-1], 101)
        return float((self.map.forward(x + 0.5) - self.map.forward(x - 0.5)).max())

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """The smallest and the largest value with the column's decimals within its bounds."""
        if self.places is None:
            return self.low, self.high
        step = 10.0**-self.places
        low = None if self.low is None else float(np.ceil(self.low / step) * step)
        return low, None if self.high is None else float(np.floor(self.high / step) * step)

    @property
    def shown(self) -> str:
        """What it is, in a word or two."""
        kind = self.dates.kind if self.dates and self.numeric else self.kind
        return kind + " with atoms" * (self.numeric and len(self.values) > 0) + " or empty" * self.holes

    def written(self, value: float) -> str:
        """A cell as text."""
        if self.texts:
            return self.texts[int(value)]
        return self.dates.written(value) if self.dates else f"{value:.10g}"

    def cell(self, value: Any) -> float:
        """What rows hold for a cell as the user writes it.

        Raises:
            InputError: the column cannot hold it.
        """
        if self.texts:
            if str(value) not in self.texts:
                raise unknown_name(f"value of {self.name}", str(value), self.texts)
            return float(self.texts.index(str(value)))
        try:
            cell = float(self.dates.read([str(value)])[0] if self.dates else value)
        except (TypeError, ValueError):
            cell = np.nan
        if not np.isfinite(cell):
            wanted = f"{self.dates.kind} like {self.dates.example}" if self.dates else "finite number"
            raise InputError(f'The given value of "{self.name}" must be a {wanted}, got {value}.')
        self.code(np.array([cell]))
        return cell

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
            codes[present & np.isnan(codes)] = self.levels - 1
        elif (present & np.isnan(codes)).any():
            row = int((present & np.isnan(codes)).argmax())
            raise InputError(
                f'Row {row + 1} has {self.written(cells[row])} in the column "{self.name}", which is not one of its '
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
        if self.holes:
            found["missing"] = "model"
        if self.dates is not None:
            found["dates"] = asdict(self.dates)
        if self.map is not None:
            found |= {"places": self.places, "x": list(self.map.x), "z": list(self.map.z)}
            found |= {name: bound for name, bound in (("low", self.low), ("high", self.high)) if bound is not None}
        return found

    @classmethod
    def restored(cls, found: dict[str, Any]) -> "Column":
        """The inverse of :meth:`described`. Raises KeyError or ValueError for data that describe no column."""
        texts = tuple(str(text) for text in found.get("texts", ()))
        values = tuple(float(v) for v in range(len(texts))) or tuple(float(v) for v in found.get("values", ()))
        holes = found.get("missing") == "model"
        dates = Dates(**found["dates"]) if "dates" in found else None
        if found["kind"] not in KINDS or (found["kind"] == "category") != ("x" not in found):
            raise ValueError(f'the column "{found["name"]}" has no kind that is known')
        if found["kind"] == "category":
            return cls(found["name"], "category", texts, values, holes=holes, dates=dates)
        x, z = (tuple(float(v) for v in found[key]) for key in ("x", "z"))
        knots = np.array([x, z])
        if knots.shape[1] < 2 or not np.isfinite(knots).all() or not (np.diff(knots) > 0).all():
            raise ValueError(f'the map of the column "{found["name"]}" does not increase')
        low, high = (None if found.get(key) is None else float(found[key]) for key in ("low", "high"))
        return cls(
            found["name"],
            found["kind"],
            (),
            values,
            found["places"],
            Map(x, z) if found["kind"] == "whole number" else bent(Map(x, z), low, high),
            low,
            high,
            holes,
            dates,
        )


def find_columns(
    rows: FloatArray,
    names: Sequence[str],
    levels: Sequence[tuple[str, ...]],
    weights: FloatArray | None = None,
    beside: FloatArray | None = None,
    declared: Mapping[str, ColumnOptions] | None = None,
    dates: AllDates = (),
) -> tuple[Column, ...]:
    """What each column of training rows (n, C) is.

    Args:
        levels: the texts of columns of text, () for others.
        weights: what each row counts, (n,).
        beside: other rows (m, C), from which only the levels of categories are taken.
        declared: what is said of some columns, by their names; under "*", of all.
        dates: how the dates of each column are written, None for one without; () where there are none.

    Raises:
        InputError: a column has one value in all rows, or none, or is not what it is said to be.
    """
    declared = declared or {}
    for name in declared:
        if name not in names and name != ALL:
            raise unknown_name("column", name, names)
    others = np.empty((0, rows.shape[1])) if beside is None else beside
    columns = []
    all_dates = dates or (None,) * len(names)
    for cells, more, name, texts, own in zip(rows.T, others.T, names, levels, all_dates, strict=True):
        said = _said(declared, name)
        holes = said.missing == "model" and bool(np.isnan(cells).any())
        columns.append(replace(_found(cells, more, name, texts, weights, said, own), holes=holes, dates=own))
    return tuple(columns)


def _said(declared: Mapping[str, ColumnOptions], name: str) -> ColumnOptions:
    """What is said of a column: of all, and beyond that of this one."""
    given = [declared[key].model_dump(exclude_unset=True) for key in (ALL, name) if key in declared]
    return ColumnOptions(**{key: value for each in given for key, value in each.items()})


def _found(
    cells: FloatArray,
    more: FloatArray,
    name: str,
    texts: tuple[str, ...],
    weights: FloatArray | None,
    said: ColumnOptions,
    dates: Dates | None,
) -> Column:
    present = ~np.isnan(cells)
    found, own = cells[present], None if weights is None else weights[present]
    distinct, counts = np.unique(found, return_counts=True)
    if len(distinct) < 2:
        one = Column(name, "number", texts, dates=dates).written(distinct[0]) if len(distinct) else ""
        raise InputError(
            f'Column "{name}" has {f"one value, {one}," if one else "no value"} in all training rows: leave it out.'
        )
    if texts:
        if said.kind not in (None, "category"):
            raise InputError(
                f'Column "{name}" holds text, so that it is no {said.kind}: leave out columns.{name}.kind.'
            )
        return Column(name, "category", texts, tuple(float(i) for i in range(len(texts))))
    places = decimals(found[:, None])[0]
    whole = places == 0 and np.abs(found).max() < _LARGEST_WHOLE and said.kind != "number"
    if said.kind == "whole number" and not whole:
        raise InputError(f'Column "{name}" holds numbers that are not whole: leave out columns.{name}.kind.')
    few = len(distinct) <= FEW_VALUES and len(found) >= ROWS_OF_A_LEVEL * len(distinct)
    if said.kind == "category" or (said.kind is None and (len(distinct) == 2 or (whole and few))):
        known = np.union1d(distinct, more[~np.isnan(more)])
        if said.kind is None and len(known) > len(distinct) + ROWS_OF_A_LEVEL:
            pass  # the other rows say that these are not all
        elif len(known) > MOST_LEVELS:
            raise InputError(f'Column "{name}" has {len(known):,} values, more than the {MOST_LEVELS:,} of a category.')
        else:
            return Column(name, "category", (), tuple(known.tolist()))
    atoms = _atoms(distinct, counts) if said.atoms is None else tuple(sorted(said.atoms))
    beside = ~np.isin(found, atoms)
    if len(np.unique(found[beside])) <= (VALUES_BESIDE if said.atoms is None else 1) and atoms:
        atoms, beside = (), np.ones(len(found), dtype=bool)
    numbers, own = found[beside], None if own is None else own[beside]
    kind: Kind = "whole number" if whole else "number"
    low, high = _said_bounds(name, numbers, said, bounds(numbers, whole, dates))
    extra = 1 / 12 if whole else 0.0  # the variance within an interval
    edge = said.low is not None or said.high is not None or (dates is not None and dates.ends[0] is not None)
    gain = GAIN_AT_AN_EDGE if edge else GAIN
    map_ = choose_map(numbers, own, extra, not whole and (low, high) != (None, None), gain)
    return Column(name, kind, (), atoms, places, map_ if whole else bent(map_, low, high), low, high)


def _said_bounds(
    name: str, values: FloatArray, said: ColumnOptions, found: tuple[float | None, float | None]
) -> tuple[float | None, float | None]:
    """The bounds that are said, or else those that were found."""
    low, high = (own if own is not None else other for own, other in zip((said.low, said.high), found, strict=True))
    outside = int((values < (-np.inf if said.low is None else said.low)).sum())
    outside += int((values > (np.inf if said.high is None else said.high)).sum())
    if outside:
        raise InputError(
            f'{outside:,} values of "{name}" lie beyond the bounds of columns.{name}: correct one of both.'
        )
    return low, high


def bounds(values: FloatArray, whole: bool = False, dates: Dates | None = None) -> tuple[float | None, float | None]:
    """(low, high) of values (n,) that pile up at an end of their range, None for an end where they thin out.

    They pile up where the outermost tenth of the way from the end to the median holds a twentieth of the values on
    that side, half as many as if they were spread evenly. The bound of whole numbers is half a unit beyond the
    outermost one. Of other numbers it is 5/n of the way to the median beyond, which one in e^5 new values of an even
    distribution would exceed; of few numbers nothing is concluded. Times of day are in any case within the day.
    """
    middle = float(np.median(values))
    found: list[float | None] = []
    for end, side in ((values.min(), values[values < middle]), (values.max(), values[values > middle])):
        reach = abs(middle - float(end))
        enough = len(side) >= (FEWEST_TO_PILE if whole else FEWEST_TO_BOUND)
        piled = enough and (np.abs(side - end) <= reach / 10).mean() >= PILED
        room = 0.5 if whole else ROOM * reach / len(values)
        found.append(float(end) + (room if end > middle else -room) if piled else None)
    ends = dates.ends if dates is not None else (None, None)
    shift = 0.5 if whole else 0.0
    low, high = (own if own is not None or end is None else end - shift for own, end in zip(found, ends, strict=True))
    return low, high


def _atoms(distinct: FloatArray, counts: NDArray[np.int64]) -> tuple[float, ...]:
    """The distinct values, in order, that occur far more often than those around them; their counts are (m,)."""
    if len(distinct) <= VALUES_BESIDE:
        return ()
    found = []
    for i in np.flatnonzero(counts >= max(ATOM_SHARE * counts.sum(), ATOM_ROWS)).tolist():
        around = np.concatenate([counts[max(i - NEIGHBOURS, 0) : i], counts[i + 1 : i + NEIGHBOURS + 1]])
        if counts[i] >= ATOM_STANDS_OUT * np.median(around):  # others of them may be atoms too
            found.append(i)
    common = sorted(found, key=lambda i: -counts[i])[:MOST_ATOMS]
    return tuple(sorted(distinct[common].tolist()))
