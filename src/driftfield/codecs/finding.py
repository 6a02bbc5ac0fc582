"""Finding: what each column of a table is, from its cells and from what is said of it.

A value of a column of numbers that occurs far more often than its neighbours is an *atom*, a point mass beside the
density: a zero where nothing was gained, a cap, round numbers where people guess. The outermost one is a bound too,
if no value lies beyond.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from driftfield.codecs.angles import angle_map
from driftfield.codecs.columns import ALL, Column, ColumnOptions, Kind
from driftfield.codecs.decimals import decimals
from driftfield.codecs.maps import BEND, GAIN, GAIN_AT_AN_EDGE, Map, bent, bent_within, choose_map
from driftfield.datasets.dates import Dates
from driftfield.datasets.distribution import FloatArray
from driftfield.datasets.mixed import MOST_LEVELS, AllDates
from driftfield.errors import InputError, unknown_name
from driftfield.seeds import stream

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
LARGEST_SCALE = 1e90  # of numbers, and one over that of their spread: cubes of slopes are computed
_LARGEST_WHOLE = 2.0**31


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
    if said.kind == "angle" or said.period is not None:
        return _angle(name, found, own, said, places, dates)
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
    _check_scale(name, numbers)
    kind: Kind = "whole number" if whole else "number"
    ends = _before_atoms(np.concatenate([numbers, more[~np.isnan(more) & ~np.isin(more, atoms)]]), atoms, whole)
    low, high = _said_bounds(name, numbers, said, _inner(bounds(numbers, whole, dates), ends))
    edge = said.low is not None or said.high is not None or (dates is not None and dates.ends[0] is not None)
    gain = GAIN_AT_AN_EDGE if edge else GAIN
    if whole:  # at random places in their intervals, as they are modelled
        numbers = numbers + stream(0, "places of whole numbers").uniform(-0.5, 0.5, len(numbers))
    map_ = choose_map(numbers, own, not whole and (low, high) != (None, None), gain)
    map_ = bent_within(map_, low, high) if whole else bent(_bent_before(map_, low, high, atoms), low, high)
    return Column(name, kind, (), atoms, places, map_, low, high)


def _check_scale(name: str, values: FloatArray) -> None:
    """Raises InputError for numbers that are too large, or too close together, to compute with."""
    low, high = float(values.min()), float(values.max())
    spread = high / 2 - low / 2  # which does not overflow
    if spread < 1 / LARGEST_SCALE or max(abs(low), abs(high)) > LARGEST_SCALE:
        factor = f"1e{-int(np.floor(np.log10(spread)))}" if spread > 0 else "a constant"
        raise InputError(
            f'Column "{name}" has numbers from {low:g} to {high:g}, whose squares cannot be computed: multiply it by '
            f"{factor}, or leave it out."
        )


def _angle(
    name: str,
    found: FloatArray,
    weights: FloatArray | None,
    said: ColumnOptions,
    places: int | None,
    dates: Dates | None,
) -> Column:
    """A column of angles (n,)."""
    period, low = said.period or (dates.ends[1] if dates is not None else None), said.low or 0.0
    if said.kind != "angle" or said.high is not None or said.atoms:
        raise InputError(f"Only an angle has a period, and no high or atoms: correct what is said of columns.{name}.")
    if period is None:
        raise InputError(f'Column "{name}" is said to be an angle: say columns.{name}.period too, such as 360 or 2pi.')
    if found.min() < low or found.max() > low + period:
        raise InputError(
            f'Column "{name}" has angles from {found.min():.10g} to {found.max():.10g}, beyond the period from '
            f"{low:.10g} to {low + period:.10g}: say where it begins, such as columns.{name}.low={-period / 2:.10g}."
        )
    return Column(name, "angle", (), (), places, angle_map(found, period, weights), low, period=period)


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
    that side, half as many as if they were spread evenly. The bound is 5/n of the way to the median beyond the
    outermost one, which one in e^5 new values of an even distribution would exceed; of few numbers nothing is
    concluded. Whole numbers that lie close have it half a unit beyond. Times of day are in any case within the day.
    """
    middle = float(np.median(values))
    found: list[float | None] = []
    for end, side in ((values.min(), values[values < middle]), (values.max(), values[values > middle])):
        reach = abs(middle - float(end))
        room = ROOM * reach / len(values)
        close = whole and room <= 0.5
        enough = len(side) >= (FEWEST_TO_PILE if close else FEWEST_TO_BOUND)
        piled = enough and (np.abs(side - end) <= reach / 10).mean() >= PILED
        room = math.floor(room) + 0.5 if whole else room
        found.append(float(end) + (room if end > middle else -room) if piled else None)
    ends = dates.ends if dates is not None else (None, None)
    shift = 0.5 if whole else 0.0
    low, high = (own if own is not None or end is None else end - shift for own, end in zip(found, ends, strict=True))
    return low, high


def _before_atoms(values: FloatArray, atoms: Sequence[float], whole: bool) -> tuple[float | None, float | None]:
    """(low, high) of values (n,) beside atoms: the outermost atoms, where no value lies beyond; None where one does.

    The last whole number before an atom ends half a unit before it.
    """
    if not atoms:
        return None, None
    first, last, step = min(atoms), max(atoms), 0.5 if whole else 0.0
    return first + step if values.min() > first else None, last - step if values.max() < last else None


def _bent_before(map_: Map, low: float | None, high: float | None, atoms: Sequence[float]) -> Map:
    """A map whose outermost knots are a fifth of the way from a bound that is an atom to the middle.

    The last number may be so near to the atom that, bent beyond it, all that the model draws there would be one number.
    """
    middle = float(map_.back(np.zeros(1))[0])
    first = low + BEND * (middle - low) if low is not None and low in atoms else map_.x[0]
    last = high - BEND * (high - middle) if high is not None and high in atoms else map_.x[-1]
    if (first, last) == (map_.x[0], map_.x[-1]) or not first < last:
        return map_
    x = np.array(sorted({first, last, *(knot for knot in map_.x if first < knot < last)}))
    return Map(tuple(x.tolist()), tuple(map_.forward(x).tolist()))


def _inner(
    one: tuple[float | None, float | None], other: tuple[float | None, float | None]
) -> tuple[float | None, float | None]:
    """Of each two bounds the one further inside."""
    low, high = ([end for end in pair if end is not None] for pair in zip(one, other, strict=True))
    return max(low, default=None), min(high, default=None)


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
