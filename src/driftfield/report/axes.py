"""What runs along the sides of a picture: its name and unit, its scale, its ticks; and the names beside its curves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis as Side
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from driftfield.datasets.dates import DAY, Dates
from driftfield.report.style import Theme
from driftfield.wording import number, power_of_ten, shorten

_ROUND = (1, 2, 2.5, 5, 10)  # the first digits of the distance between two ticks
_NARROW = 6.0  # the ratio of the ends of a logarithmic axis below which its ticks are equally far apart
_LETTER = 0.075  # inches across


@dataclass(frozen=True)
class Axis:
    """One side of a picture; ends and ticks where the values do not choose them."""

    label: str
    unit: str = ""
    log: bool = False
    whole: bool = False  # only whole numbers have ticks
    ends: tuple[float, float] | None = None
    ticks: Sequence[float] | None = None
    dates: Dates | None = None  # what the values are written as


def name_axes(axes: Axes, x: Axis, y: Axis) -> None:
    """Scale, ticks and names of both sides of a picture, after everything is drawn."""
    for name, side, axis in (("x", axes.xaxis, x), ("y", axes.yaxis, y)):
        side.set_label_text(f"{axis.label} ({axis.unit})" if axis.unit else axis.label)
        if axis.log:
            getattr(axes, f"set_{name}scale")("log")
        if axis.ends is not None:
            getattr(axes, f"set_{name}lim")(axis.ends)
        _place_ticks(side, axis)


def _place_ticks(side: Side, axis: Axis) -> None:
    low, high = side.get_view_interval()
    if axis.dates is not None:
        side.set_ticks(*_date_ticks(low, high, axis.dates))
    elif axis.ticks is not None:
        side.set_major_locator(FixedLocator(axis.ticks))
        side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    elif axis.log and high >= _NARROW * low:  # else a round number of each decade would be one tick or none
        side.set_major_locator(LogLocator(numticks=6, subs=(1.0,) if high > 100 * low else (1.0, 2.0, 5.0)))
        powers = high > 1e4 * low
        side.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value) if powers else number(value, 1)))
    else:
        side.set_major_locator(MaxNLocator(5, steps=_ROUND, integer=axis.whole))
        if axis.log or axis.whole:
            side.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}" if axis.whole else number(v, 2)))
    side.set_minor_locator(NullLocator())


def _date_ticks(low: float, high: float, dates: Dates) -> tuple[list[float], list[str]]:
    """Places of round dates or times between two numbers, and their names."""
    from matplotlib import dates as untyped

    calendar: Any = untyped
    scale = dates.unit / DAY
    locator = calendar.AutoDateLocator(minticks=3, maxticks=5)
    ticks = locator.tick_values(calendar.num2date(low * scale), calendar.num2date(high * scale))
    days = [float(day) for day in ticks if low <= day / scale <= high]
    names = calendar.ConciseDateFormatter(locator).format_ticks(days)
    if dates.ends[1] is not None:
        names = [Dates("%H:%M", DAY).written(day) for day in days]
    return [day / scale for day in days], names


def plane(axes: Axes, columns: Sequence[str]) -> None:
    """Name the sides of a picture after its two columns."""
    name_axes(axes, Axis(shorten(columns[0])), Axis(shorten(columns[1])))


def legend_above(axes: Axes, theme: Theme, width: float = 4.8) -> None:
    """The legend in lines above the axes, where nothing is drawn, in a picture so many inches wide."""
    labels = axes.get_legend_handles_labels()[1]
    if not labels:
        return
    fitting = int((width - 0.5) / (0.35 + _LETTER * max(map(len, labels))))
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=max(1, min(len(labels), fitting)),
        frameon=False,
        fontsize=8.5,
        labelcolor=theme.muted,
        handlelength=1.3,
        handleheight=0.7,
        columnspacing=1.4,
        borderpad=0.2,
    )


def name_at_right(
    axes: Axes, names: Sequence[tuple[str, float | None, float, str]], apart: float, theme: Theme
) -> None:
    """Names (label, x or None for the right edge, y, colour) right of the axes, moved apart where they would overlap.

    A line leads from each name to its place in the picture; `apart` is the least distance in heights of the axes.
    """
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    to_axes = axes.transScale + axes.transLimits
    right = axes.get_xlim()[1]
    points = [to_axes.transform((right if x is None else x, y)) for _, x, y, _ in names]
    places = spread([float(point[1]) for point in points], apart)
    inside = max(0.0, apart / 2 - min(places, default=apart))  # none below the axes, where their labels are
    for (label, _, _, colour), point, place in zip(names, points, places, strict=True):
        if not all(map(math.isfinite, point)):
            continue
        axes.annotate(
            shorten(label, 40),
            (float(point[0]), float(point[1])),
            xytext=(1.04, place + inside),
            xycoords="axes fraction",
            va="center",
            fontsize=8.5,
            color=colour,
            arrowprops={
                "arrowstyle": "-",
                "color": theme.rule,
                "linewidth": 0.8,
                "shrinkA": 1,
                "shrinkB": 2,
                "relpos": (0, 0.5),
            },
        )


def spread(places: Sequence[float], apart: float) -> list[float]:
    """The places moved as little as keeps their order and so much distance, each group around its own middle."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    groups: list[tuple[float, int]] = []  # the middle and the number of places that touch
    for i in order:
        groups.append((places[i], 1))
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < apart * (groups[-1][1] + groups[-2][1]) / 2:
            (first, m), (second, n) = groups[-2:]
            groups[-2:] = [((m * first + n * second) / (m + n), m + n)]
    apart_places = [middle + apart * (k - (n - 1) / 2) for middle, n in groups for k in range(n)]
    return [apart_places[order.index(i)] for i in range(len(places))]
