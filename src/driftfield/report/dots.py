"""Dots on rows: values with their errors, one below the other, on one scale or each on its own beside its floor."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes

from driftfield.evaluation.metric import Metric
from driftfield.report.axes import Axis, name_axes
from driftfield.report.panels import Panel
from driftfield.report.style import Role, Theme
from driftfield.wording import number, plus_minus, shorten

_FLOOR_END = 0.69  # where the column of floors ends, as a fraction of the width
_DASHES = (0, (4, 3))


@dataclass(frozen=True)
class Level:
    """One row: a value and its standard error, and what it is; with a floor, (value, error), on a scale of its own."""

    label: str
    value: float
    error: float | None = None
    role: Role = "ink"
    floor: tuple[float | None, float | None] = (None, None)
    ends: tuple[float, float] | None = None  # of its own scale

    def place(self, value: float) -> float:
        """Where a value lies in the picture."""
        return value if self.ends is None else (value - self.ends[0]) / (self.ends[1] - self.ends[0])


def dots_on_rows(
    name: str, title: str, levels: Sequence[Level], label: str | None = None, unit: str = "", gaps: bool = False
) -> Panel:
    """One row for each level on a common axis of that label, with `gaps` from each to the next one as numbers.

    Without a label every level is on a scale of its own, beside its floor.
    """
    height = 0.73 if gaps else 0.54  # inches of a row

    def draw(axes: Axes, theme: Theme) -> None:
        for row, level in enumerate(levels):
            _draw_row(axes, row, level, theme)
        for row, (lower, upper) in enumerate(pairwise(levels) if gaps else ()):
            _draw_gap(axes, row, lower, upper, theme)
        axes.set_ylim(len(levels) - 0.5, -0.7 if label else -1.0)
        axes.margins(x=0.12 if gaps else 0.06)
        if label is None:
            axes.set_axis_off()
            axes.set_xlim(0, 1)
            for place, word, role in ((_FLOOR_END, "floor", theme.data), (1, "model", theme.generated)):
                axes.text(place, -0.72, word, color=role, fontsize=8.5, ha="right", va="center")
            return
        name_axes(axes, Axis(label, unit), Axis(""))
        axes.yaxis.set_visible(False)
        axes.spines["left"].set_visible(False)

    words = "; ".join(_in_words(level) for level in levels)
    return Panel(name, title, f"{title}: {words}.", draw, (4.8, (0.55 if label else 0.3) + height * len(levels)))


def ladder(name: str, title: str, levels: Sequence[Level]) -> Panel:
    """Levels in nats, one row each on a common axis, with the gap from each to the next as a number."""
    return dots_on_rows(name, title, levels, "nats", gaps=True)


def metrics(measured: Sequence[Metric]) -> Panel:
    """Every metric beside its floor, one row each, on its own scale from the best possible value on."""
    levels = [
        Level(m.label, m.value, m.error, "generated", (m.floor, m.floor_error), metric_range(m)) for m in measured
    ]
    return dots_on_rows("metrics", "Metrics beside their floors", levels)


def metric_range(metric: Metric) -> tuple[float, float]:
    """The ends of a metric's scale, chosen so that a small gap looks small.

    An accuracy covers 0.45 to 0.75 at least; a value in nats half a nat at least; anything else, a distance or a
    fraction, reaches from zero to at least twice its floor.
    """
    pairs = ((metric.value, metric.error), (metric.floor, metric.floor_error))
    ends = [
        value + sign * _finite(error) for value, error in pairs if value is not None and math.isfinite(value)
        for sign in (-1, 1)
    ]  # fmt: skip
    if not ends:
        return 0.0, 1.0
    low, high = min(ends), max(ends)
    if metric.unit == "accuracy":
        low, high = min(low, 0.45), max(high, 0.75)
    elif metric.unit == "nats":
        middle = (low + high) / 2
        low, high = min(low, middle - 0.25), max(high, middle + 0.25)
    else:
        low, high = min(low, 0.0), max(high, 2 * _finite(metric.floor))
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def lollipops(
    name: str, title: str, levels: Sequence[Level], label: str, references: tuple[float, ...], ends: tuple[float, float]
) -> Panel:
    """Many levels on a common logarithmic axis, their names to the left; an arrow where a value is beyond the end."""

    def draw(axes: Axes, theme: Theme) -> None:
        for row, level in enumerate(levels):
            value, mark = min(level.value, ends[1]), "o" if level.value <= ends[1] else ">"
            axes.plot([references[0], value], [row, row], color=theme.rule, linewidth=1.0, zorder=1)
            axes.plot(value, row, mark, color=theme.colour(level.role), markersize=5, clip_on=False)
            right = axes.get_yaxis_transform()
            axes.text(1.02, row, number(level.value), color=theme.muted, fontsize=8.5, va="center", transform=right)
        for place in references:
            axes.axvline(place, color=theme.muted, linewidth=0.8, linestyle=_DASHES, zorder=1)
        name_axes(axes, Axis(label, log=True, ends=ends, ticks=(1, 2, 5, 10, 20)), Axis(""))
        axes.set_yticks(range(len(levels)), [level.label for level in levels])
        axes.set_ylim(len(levels) - 0.5, -0.5)

    words = "; ".join(f"{level.label} {number(level.value)}" for level in levels)
    return Panel(name, title, f"{title}, {label}: {words}.", draw, (12.4, 0.6 + 0.22 * len(levels)), wide=True)


def _draw_row(axes: Axes, row: int, level: Level, theme: Theme) -> None:
    """A line with its dot and the band of its floor; its name and its numbers above it."""
    beside, colour = axes.get_yaxis_transform(), theme.colour(level.role)
    texts = [(0.0, shorten(level.label, 29 if level.ends else 48), theme.ink), (1.0, _value(level), colour)]
    if level.ends:
        texts.append((_FLOOR_END, plus_minus(*level.floor), theme.data))
    for place, text, ink in texts:
        side = "right" if place else "left"
        axes.text(place, row - 0.36, text, transform=beside, color=ink, fontsize=8.5, va="center", ha=side)
    axes.axhline(row, color=theme.rule, linewidth=0.8, zorder=1)
    floor, floor_error = level.floor
    if floor is not None and math.isfinite(floor):
        middle, half = level.place(floor), max(abs(level.place(_finite(floor_error)) - level.place(0.0)), 0.004)
        axes.fill_between([middle - half, middle + half], row - 0.15, row + 0.15, color=theme.data, lw=0, alpha=0.55)
    if math.isfinite(level.value):
        place, error = level.place(level.value), abs(level.place(_finite(level.error)) - level.place(0.0))
        axes.errorbar(place, row, xerr=error, fmt="o", color=colour, markersize=6.5, mec=theme.paper, zorder=3)


def _draw_gap(axes: Axes, row: int, lower: Level, upper: Level, theme: Theme) -> None:
    """A bar below a level that reaches to the next one, and how long it is."""
    gap = upper.value - lower.value
    if not math.isfinite(gap):
        return
    axes.plot([lower.value, upper.value], [row + 0.3] * 2, color=theme.muted, linewidth=2.2, solid_capstyle="butt")
    axes.annotate(
        ("+" if gap >= 0 else "") + number(gap, 2),
        (max(lower.value, upper.value), row + 0.3),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        color=theme.muted,
    )


def _value(level: Level) -> str:
    return plus_minus(level.value, level.error)


def _in_words(level: Level) -> str:
    return f"{level.label} {_value(level)}" + (f", floor {plus_minus(*level.floor)}" if level.ends else "")


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else 0.0
