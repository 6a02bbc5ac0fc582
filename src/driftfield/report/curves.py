"""Pictures of numbers along an axis: curves with errors, a training loss, levels on one scale."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from driftfield.report.contents import FloatArray
from driftfield.report.panels import Panel
from driftfield.report.plots import legend_above
from driftfield.report.style import Role, Theme
from driftfield.wording import number, plus_minus, shorten

_BARS = 15  # a curve of at most so many points has bars for its errors, a longer one a band
_LINE = 0.17  # inches that a line of small text needs
_LETTER = 0.075  # inches across
_ROW_HEIGHT = 0.73  # inches
_ROUND = (1, 2, 2.5, 5, 10)  # the first digits of the distance between two ticks
_NARROW = 6.0  # the ratio of the ends of a logarithmic axis below which its ticks are equally far apart
_MANY = 200  # values of a loss that are drawn thin, because they rise and fall with every step


@dataclass(frozen=True)
class Curve:
    """Values along the x of a picture, with standard errors; without a role, in its own colour of the cycle."""

    label: str
    y: FloatArray  # (n,)
    error: FloatArray | None = None  # (n,)
    role: Role | None = None
    dashed: bool = False


@dataclass(frozen=True)
class Level:
    """One value on a common scale, with its standard error."""

    label: str
    value: float
    error: float | None = None
    role: Role = "ink"


def lines(
    name: str,
    title: str,
    x: FloatArray,
    curves: Sequence[Curve],
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = False,
    references: Sequence[tuple[str, float]] = (),
    markers: bool = False,
    size: tuple[float, float] = (4.8, 2.9),
) -> Panel:
    """Curves over one x, and dashed levels to compare them with, named at their right end.

    A value that a logarithmic axis cannot show leaves a gap.
    """

    def draw(axes: Axes, theme: Theme) -> None:
        for place, curve in enumerate(curves):
            _draw_curve(axes, x, curve, theme.colour(curve.role, place), log_y, markers, theme)
        for _, value in references:
            axes.axhline(value, color=theme.muted, linewidth=0.6 * theme.line_width, linestyle=(0, (4, 3)), zorder=1)
        _scales(axes, log_x, log_y)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        _name_references(axes, references, log_y, size[1], theme)
        if len(curves) > 1 or any(curve.label for curve in curves):
            legend_above(axes, theme, _legend_columns(curves, size[0]))

    return Panel(name, title, _curves_in_words(title, curves, references), draw, size)


def training_loss(
    name: str,
    title: str,
    epochs: FloatArray,
    losses: FloatArray,
    printed: Mapping[int, float] | None = None,
    x_label: str = "epoch",
) -> Panel:
    """A loss on a logarithmic axis, and the numbers that the tutorial printed as hollow circles.

    One that is mostly below zero, as some objectives' losses are, is on a linear axis.
    """
    logarithmic = bool((losses > 0).mean() > 0.5) if len(losses) else True
    positive = np.isfinite(losses) & ((losses > 0) | (not logarithmic))
    marks = {epoch: loss for epoch, loss in (printed or {}).items() if loss > 0}

    def draw(axes: Axes, theme: Theme) -> None:
        width = theme.line_width * (0.6 if len(epochs) > _MANY else 1.0)
        axes.plot(epochs[positive], losses[positive], color=theme.generated, linewidth=width, label="this run")
        if marks:
            axes.plot(
                list(marks),
                list(marks.values()),
                "o",
                markerfacecolor=theme.paper,
                markeredgecolor=theme.ink,
                markeredgewidth=1.2,
                markersize=5,
                zorder=4,
                label="printed by the tutorial",
            )
        _scales(axes, log_x=False, log_y=logarithmic)
        axes.set_xlabel(x_label)
        axes.set_ylabel("loss")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=_ROUND))
        legend_above(axes, theme)

    last = losses[positive][-1:]
    left_out = int((~positive).sum()) + len(printed or {}) - len(marks)
    alt = f"{title}: the loss over {len(epochs):,} values of {x_label}" + "".join(
        [
            f", the last {number(float(last[0]))}" if last.size else "",
            f"; {len(marks)} values printed by the tutorial" if marks else "",
            f"; {left_out:,} that are not above zero are left out" if left_out else "",
        ]
    )
    return Panel(name, title, alt + ".", draw, (4.8, 2.9))


def ladder(name: str, title: str, levels: Sequence[Level]) -> Panel:
    """Levels in nats, one row each on a common axis, with the gap from each to the next as a number."""
    finite = [level for level in levels if math.isfinite(level.value)]

    def draw(axes: Axes, theme: Theme) -> None:
        beside = axes.get_yaxis_transform()
        for row, level in enumerate(levels):
            colour = theme.colour(level.role)
            axes.text(0, row - 0.36, shorten(level.label, 48), transform=beside, color=theme.ink, va="center")
            value = plus_minus(level.value, level.error)
            axes.text(1, row - 0.36, value, transform=beside, color=theme.ink, fontsize=8.5, va="center", ha="right")
            axes.axhline(row, color=theme.rule, linewidth=0.8, zorder=1)
            if math.isfinite(level.value):
                axes.errorbar(level.value, row, xerr=level.error, fmt="o", color=colour, markersize=6.5, zorder=3)
        for row, (lower, upper) in enumerate(pairwise(levels)):
            _gap(axes, row, lower, upper, theme)
        axes.yaxis.set_visible(False)
        axes.spines["left"].set_visible(False)
        axes.set_ylim(len(levels) - 0.5, -0.7)
        axes.margins(x=0.12)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=_ROUND))
        axes.set_xlabel("nats")

    alt = title + ": " + "; ".join(f"{level.label} {plus_minus(level.value, level.error)}" for level in finite)
    return Panel(name, title, alt + " nats.", draw, (4.8, 0.55 + _ROW_HEIGHT * len(levels)))


def _gap(axes: Axes, row: int, lower: Level, upper: Level, theme: Theme) -> None:
    """A bar below a level that reaches to the next one, and how long it is."""
    gap = upper.value - lower.value
    if not math.isfinite(gap):
        return
    axes.plot([lower.value, upper.value], [row + 0.3] * 2, color=theme.muted, linewidth=2.2, solid_capstyle="butt")
    text = ("+" if gap >= 0 else "") + number(gap, 2)
    axes.annotate(
        text,
        (max(lower.value, upper.value), row + 0.3),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        color=theme.muted,
    )


def _draw_curve(axes: Axes, x: FloatArray, curve: Curve, colour: str, log_y: bool, markers: bool, theme: Theme) -> None:
    y = np.where(np.isfinite(curve.y) & ((curve.y > 0) | (not log_y)), curve.y, np.nan)
    style, marker = (0, (4, 2)) if curve.dashed else "-", "o" if markers else None
    axes.plot(x, y, color=colour, linestyle=style, label=curve.label, marker=marker, markersize=4.0)
    if curve.error is None:
        return
    if len(x) <= _BARS:
        axes.errorbar(x, y, yerr=curve.error, fmt="none", ecolor=colour, elinewidth=0.6 * theme.line_width)
        return
    low, high = y - curve.error, y + curve.error
    if log_y:
        low = np.maximum(low, 0.01 * y)  # a band that reaches zero would reach for ever
    axes.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0)


def _scales(axes: Axes, log_x: bool, log_y: bool) -> None:
    for axis, log in ((axes.xaxis, log_x), (axes.yaxis, log_y)):
        if not log:
            axis.set_major_locator(MaxNLocator(5, steps=_ROUND))
            continue
        if axis is axes.xaxis:
            axes.set_xscale("log")
        else:
            axes.set_yscale("log")
        low, high = axis.get_view_interval()
        narrow = high < _NARROW * low
        if narrow:  # a round number of each decade would be one tick or none
            axis.set_major_locator(MaxNLocator(5, steps=_ROUND))
        else:
            axis.set_major_locator(LogLocator(numticks=6, subs=(1.0,) if high > 100 * low else (1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())
        digits = 2 if narrow else 1
        axis.set_major_formatter(FuncFormatter(lambda value, _, digits=digits: number(value, digits)))


def _name_references(
    axes: Axes, references: Sequence[tuple[str, float]], log_y: bool, height: float, theme: Theme
) -> None:
    """The names of levels right of the axes, moved apart where they would overlap."""
    if not references:
        return
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    scale = np.log10 if log_y else np.asarray
    places = [float((scale(value) - scale(low)) / (scale(high) - scale(low))) for _, value in references]
    moved = spread(places, _LINE / (height - 0.8))
    for (label, _), place, at in zip(references, places, moved, strict=True):
        axes.annotate(
            shorten(label, 40),
            (1.0, place),
            xytext=(1.035, at),
            xycoords="axes fraction",
            va="center",
            fontsize=8.5,
            color=theme.muted,
            arrowprops={"arrowstyle": "-", "color": theme.rule, "linewidth": 0.8, "shrinkA": 1, "shrinkB": 0},
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


def _legend_columns(curves: Sequence[Curve], width: float) -> int:
    """How many entries fit in a line of a picture so many inches wide."""
    longest = max(len(curve.label) for curve in curves)
    return max(1, min(len(curves), int((width - 0.5) / (0.35 + _LETTER * longest))))


def _curves_in_words(title: str, curves: Sequence[Curve], references: Sequence[tuple[str, float]]) -> str:
    ends = [f"{curve.label or 'the curve'} ends at {number(_last(curve.y))}" for curve in curves]
    levels = [f"{label}: {number(value)}" for label, value in references]
    return f"{title}: " + "; ".join(ends + levels) + "."


def _last(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if finite.size else math.nan
