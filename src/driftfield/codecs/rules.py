"""Rules: what holds in every row of a table by construction, as a reversible map of the rows ahead of their columns.

    start <= end         the right column is modelled as its distance from the left one, which is at least 0; also <
    end >= start         the same, with start = end - distance; also >
    total = net + tax    the left column is computed from the others, and so is one of these that is missing; also -
    one of: a, b, c      exactly one of the columns is 1, and the others are 0: one category says which

The map has the Jacobian 1, so that the densities of what rows are mapped to are those of the rows. A column that is
known where those that it is computed from are not says nothing that the map could use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from driftfield.codecs.columns import Column, ColumnOptions
from driftfield.codecs.finding import find_columns
from driftfield.datasets.distribution import FloatArray
from driftfield.datasets.mixed import AllDates
from driftfield.errors import InputError

Mask = NDArray[np.bool_]
SLACK = 1e-3  # of the smallest distance, one unit of the last decimal, which float64 does not hold exactly
NEAR = 1e-9  # relative to the largest of some real numbers, within which a sum holds


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule on some columns, which the subclasses compute with; rows are (n, C).

    Attributes:
        text: as the user writes it.
        determined: the columns that it computes.
        sources: the columns that it computes them from.
        slot: the column in whose place stands what is modelled beside the sources, if any.
    """

    text: str
    determined: tuple[int, ...]
    sources: tuple[int, ...] = ()
    slot: int | None = None

    def complete(self, rows: FloatArray) -> None:
        """Fill in, in place, missing cells that follow from others."""

    def broken(self, rows: FloatArray) -> Mask:
        """Which rows break it; (n,)."""
        raise NotImplementedError

    def lost(self, rows: FloatArray) -> Mask:
        """Which rows know a column that it determines without what it is computed from; (n,)."""
        raise NotImplementedError

    def modelled(self, rows: FloatArray) -> FloatArray:
        """What stands in the slot; (n,)."""
        raise NotImplementedError

    def compute(self, rows: FloatArray, rounded: bool) -> None:
        """Compute, in place, the columns that it determines, from its sources and its slot."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Order(Rule):
    """other = base + sign * distance, where 1 in base is ``ratio`` in other, and the distance is at least ``least``.

    ``places`` are the decimals of the distance, ``written`` those of other; None for real numbers.
    """

    sign: int
    ratio: float
    places: int | None
    written: int | None
    least: float

    def broken(self, rows: FloatArray) -> Mask:
        found: Mask = self.modelled(rows) < (1 - SLACK) * self.least
        return found

    def lost(self, rows: FloatArray) -> Mask:
        found: Mask = ~np.isnan(rows[:, self.determined[0]]) & np.isnan(rows[:, self.sources[0]])
        return found

    def modelled(self, rows: FloatArray) -> FloatArray:
        distance: FloatArray = self.sign * (rows[:, self.determined[0]] - self.ratio * rows[:, self.sources[0]])
        return distance if self.places is None else np.round(distance, self.places)

    def compute(self, rows: FloatArray, rounded: bool) -> None:
        base, other = self.ratio * rows[:, self.sources[0]], self.determined[0]
        found = base + self.sign * np.maximum(rows[:, other], self.least)
        if rounded and self.written is not None:  # a base that was given may have more decimals
            near = np.round(found, self.written)
            found = np.where(self.sign * (near - base) >= (1 - SLACK) * self.least, near, found)
        rows[:, other] = found

    def options(self, distances: FloatArray) -> ColumnOptions:
        """What is known of the distances (n,) as a column: the bound, and 0 as a value of real numbers."""
        low = self.least - (0.0 if self.places is None else 0.5 * 10.0**-self.places)
        if self.places is None and (distances == 0).any():
            return ColumnOptions(low=low, atoms=(0.0,), missing=None)
        return ColumnOptions(low=low, missing=None)


@dataclass(frozen=True, kw_only=True)
class Total(Rule):
    """determined = sum of sign * source, at ``places`` decimals of each of these columns; None for real numbers."""

    signs: tuple[int, ...]
    places: tuple[int | None, ...]

    def _sum(self, rows: FloatArray) -> FloatArray:
        found: FloatArray = rows[:, self.sources] @ np.array(self.signs, dtype=np.float64)
        return found

    def complete(self, rows: FloatArray) -> None:
        columns = (*self.determined, *self.sources)
        one = np.isnan(rows[:, columns]).sum(1) == 1
        signs = (-1, *self.signs)
        for column, sign, places in zip(columns, signs, self.places, strict=True):
            missing = one & np.isnan(rows[:, column])
            others = np.nansum(rows[:, columns] * np.array(signs, dtype=np.float64), 1) * -sign
            rows[missing, column] = (others if places is None else np.round(others, places))[missing]

    def broken(self, rows: FloatArray) -> Mask:
        columns = (*self.determined, *self.sources)
        room = NEAR * np.abs(rows[:, columns]).sum(1)
        if self.places[0] is not None:
            room += 0.5 * 10.0 ** -self.places[0]
        found: Mask = np.abs(rows[:, self.determined[0]] - self._sum(rows)) > room
        return found

    def lost(self, rows: FloatArray) -> Mask:
        found: Mask = ~np.isnan(rows[:, self.determined[0]]) & np.isnan(rows[:, self.sources]).any(1)
        return found

    def compute(self, rows: FloatArray, rounded: bool) -> None:
        found = self._sum(rows)
        rows[:, self.determined[0]] = (
            np.round(found, self.places[0]) if rounded and self.places[0] is not None else found
        )


@dataclass(frozen=True, kw_only=True)
class OneOf(Rule):
    """Of the columns that it determines exactly one is 1, and the others are 0; the slot says which."""

    def complete(self, rows: FloatArray) -> None:
        cells: FloatArray = rows[:, self.determined]
        missing = np.isnan(cells)
        known = (cells == 1).sum(1) > 0
        cells[missing & known[:, None]] = 0.0
        last = (missing.sum(1) == 1) & ~known
        cells[missing & last[:, None]] = 1.0
        rows[:, self.determined] = cells

    def broken(self, rows: FloatArray) -> Mask:
        cells: FloatArray = rows[:, self.determined]
        whole = ~np.isnan(cells).any(1)
        strange = ~np.isin(cells, (0.0, 1.0)) & ~np.isnan(cells)
        ones = (cells == 1).sum(1)
        found: Mask = (ones > 1) | (whole & (ones == 0)) | strange.any(1)
        return found

    def lost(self, rows: FloatArray) -> Mask:
        count = np.isnan(rows[:, self.determined]).sum(1)
        found: Mask = (count > 0) & (count < len(self.determined))
        return found

    def modelled(self, rows: FloatArray) -> FloatArray:
        cells: FloatArray = rows[:, self.determined]
        return np.where(np.isnan(cells).any(1), np.nan, (cells == 1).argmax(1).astype(np.float64))

    def compute(self, rows: FloatArray, rounded: bool) -> None:
        which = rows[:, [self.determined[0]]]
        rows[:, self.determined] = np.where(np.isnan(which), np.nan, which == np.arange(len(self.determined)))


@dataclass(frozen=True)
class Rules:
    """Rules on C columns, in an order in which they can be computed.

    ``dates`` says how the dates of each column are written, None for others; () where there are none.
    """

    columns: tuple[str, ...]
    rules: tuple[Rule, ...]
    dates: AllDates = ()

    @cached_property
    def kept(self) -> tuple[int, ...]:
        """The columns in whose place something is modelled; (C',)."""
        idle = {j for rule in self.rules for j in rule.determined if j != rule.slot}
        return tuple(j for j in range(len(self.columns)) if j not in idle)

    def find_columns(
        self,
        rows: FloatArray,
        levels: Sequence[tuple[str, ...]],
        weights: FloatArray | None,
        beside: FloatArray | None,
        declared: Mapping[str, ColumnOptions],
    ) -> tuple[Column, ...]:
        """What each column is that is modelled; arguments as of :func:`~driftfield.codecs.finding.find_columns`."""
        texts, dates, said = list(levels), list(self.dates or (None,) * len(self.columns)), dict(declared)
        inner = self.inward(rows, lenient=True)
        for name in self.used:
            if name in said and said[name].missing is not None:
                raise InputError(
                    f'The holes of "{name}" are not modelled beside a rule: leave out columns.{name}.missing.'
                )
            said[name] = ColumnOptions(**(said.get(name, ColumnOptions()).model_dump() | {"missing": None}))
        for rule in self.rules:
            for name in {self.columns[j] for j in rule.determined} & set(declared):
                raise InputError(f'The rule "{rule.text}" says what "{name}" is: leave out that, or columns.{name}.')
            if isinstance(rule, Order) and rule.slot is not None:
                distances = inner[:, self.kept.index(rule.slot)]
                dates[rule.slot], said[self.columns[rule.slot]] = None, rule.options(distances)
            elif rule.slot is not None:
                texts[rule.slot] = tuple(self.columns[j] for j in rule.determined)
        names = [self.columns[j] for j in self.kept]
        return find_columns(
            inner,
            names,
            [texts[j] for j in self.kept],
            weights,
            None if beside is None else self.inward(beside, lenient=True),
            {name: options for name, options in said.items() if name not in self.columns or name in names},
            tuple(dates[j] for j in self.kept),
        )

    @property
    def used(self) -> tuple[str, ...]:
        """The columns in rules."""
        found = {j for rule in self.rules for j in (*rule.determined, *rule.sources)}
        return tuple(self.columns[j] for j in sorted(found))

    @property
    def texts(self) -> tuple[str, ...]:
        """The rules as they are written."""
        return tuple(rule.text for rule in self.rules)

    def inward(self, rows: FloatArray, lenient: bool = False) -> FloatArray:
        """What is modelled of rows (n, C) with NaN for what is missing; (n, C').

        Args:
            lenient: cells that cannot be used are left out.

        Raises:
            InputError: a row breaks a rule, or has a cell that cannot be used without others.
        """
        whole = self.completed(rows)
        self.check(whole)
        if not lenient:
            self._check_used(whole)
        found = whole.copy()
        for rule in self.rules:
            if rule.slot is not None:
                found[:, rule.slot] = rule.modelled(whole)
        return found[:, self.kept]

    def outward(self, inner: FloatArray, rounded: bool = True) -> FloatArray:
        """Rows (n, C) from what is modelled of them (n, C'), ``rounded`` to the decimals of their columns."""
        rows = np.full((len(inner), len(self.columns)), np.nan)
        rows[:, self.kept] = inner
        for rule in self.rules:
            rule.compute(rows, rounded)
        return rows

    def completed(self, rows: FloatArray) -> FloatArray:
        """Rows (n, C) with what follows from their other cells."""
        found = rows.copy()
        for _ in self.rules:
            for rule in self.rules:
                rule.complete(found)
        return found

    def check(self, rows: FloatArray, where: str = "") -> None:
        """Raises InputError where a row (n, C) breaks a rule."""
        for rule in self.rules:
            broken = rule.broken(rows)
            if broken.any():
                row = int(broken.argmax())
                more = f" (and {broken.sum() - 1:,} more)" if broken.sum() > 1 else ""
                cells = ", ".join(self._shown(j, rows[row, j]) for j in (*rule.sources, *rule.determined))
                raise InputError(
                    f'Row {row + 1}{where}{more} breaks the rule "{rule.text}", with {cells}: correct it, or leave out '
                    "the rule."
                )

    def _shown(self, j: int, cell: float) -> str:
        dates = self.dates[j] if self.dates else None
        return f"{self.columns[j]} = {f'{cell:.10g}' if dates is None else dates.written(cell)}"

    def _check_used(self, rows: FloatArray) -> None:
        for rule in self.rules:
            lost = rule.lost(rows)
            if lost.any():
                row = int(lost.argmax())
                name = next(self.columns[j] for j in rule.determined if not np.isnan(rows[row, j]))
                more = f" (and {lost.sum() - 1:,} more)" if lost.sum() > 1 else ""
                raise InputError(
                    f'Row {row + 1}{more} has "{name}", of which the rule "{rule.text}" makes nothing without its '
                    "other columns: give these too, or leave it out."
                )

    def lost(self, rows: FloatArray) -> Mask:
        """Which cells of rows (n, C) cannot be used without others; (n, C)."""
        whole, found = self.completed(rows), np.zeros(rows.shape, dtype=bool)
        for rule in self.rules:
            found[np.ix_(rule.lost(whole), np.array(rule.determined))] = True
        result: Mask = found & ~np.isnan(rows)
        return result
