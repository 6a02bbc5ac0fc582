"""Pictures of clouds: one, a row of them along a process, a row of them with coloured classes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from driftfield.report.contents import FloatArray
from driftfield.report.panels import Panel
from driftfield.report.plots import count_outside, dots, name_axes, plane_size, thinned
from driftfield.report.style import Theme
from driftfield.report.view import View, fitted_view, interval
from driftfield.wording import number, shorten

_STRIP_POINTS, _FIELD_POINTS = 800, 1500
_STRIP_WIDTH = 13.0  # inches
_CELL_WIDTH = 3.0  # inches, of one of the larger plots in a row
_GAP = 0.07  # between two plots of a row, in widths of one

Cloud = tuple[str, FloatArray]
ClassedCloud = tuple[str, FloatArray, NDArray[np.integer]]


def cloud(
    name: str,
    title: str,
    points: FloatArray,
    columns: Sequence[str],
    real: bool = True,
    view: View | None = None,
) -> Panel:
    """Points (n, 2) in the plane of two named columns, in the colour of real or of generated data."""
    shown = thinned(points)
    window = view or robust_view([points])

    def draw(axes: Axes, theme: Theme) -> None:
        name_axes(axes, columns)
        window.frame(axes)
        dots(axes, shown, theme.data if real else theme.generated, theme)
        count_outside(axes, window, shown, theme)

    x, y = (shorten(column) for column in columns[:2])
    alt = f"{title}: {len(shown):,} points, {x} across and {y} up."
    return Panel(name, title, alt, draw, plane_size(window))


def strip(
    name: str,
    title: str,
    clouds: Sequence[Cloud],
    columns: Sequence[str],
    real: bool = True,
    view: View | None = None,
) -> Panel:
    """Labelled clouds in one row of small plots, all in one view: a process, time by time.

    Only the first plot has ticks, at the ends of the view. Points of a cloud that lie outside the view are not drawn.
    """
    window = view or robust_view([points for _, points in clouds])
    width = min(_STRIP_WIDTH, 1.7 * len(clouds) + 0.6)

    def draw(axes: Axes, theme: Theme) -> None:
        cells = _row(axes, len(clouds), window)
        for cell, (label, points) in zip(cells, clouds, strict=True):
            inside = _inside(thinned(points, _STRIP_POINTS), window)
            dots(cell, inside, theme.data if real else theme.generated, theme, alpha=0.6, size=1.7)
            cell.set_title(shorten(label, 16), loc="center", pad=4, fontsize=11, weight="normal", color=theme.ink)
            _thin_frame(cell)
        _ticks_at_ends(cells[0], window, columns)

    alt = f"{title}: {len(clouds)} scatter plots in a row, {', '.join(label for label, _ in clouds)}."
    cell_width = (width - 0.75) / len(clouds) / (1 + _GAP)
    return Panel(name, title, alt, draw, (width, cell_width * window.aspect + 0.75), wide=True)


def field_of_clouds(name: str, title: str, clouds: Sequence[ClassedCloud], columns: Sequence[str]) -> Panel:
    """Labelled clouds side by side in one view, each point in the colour of its class; a class below zero is grey."""
    window = robust_view([points for _, points, _ in clouds])
    classes = sorted({int(index) for _, _, labels in clouds for index in np.unique(labels)})

    def draw(axes: Axes, theme: Theme) -> None:
        cells = _row(axes, len(clouds), window)
        for cell, (label, points, labels) in zip(cells, clouds, strict=True):
            shown = thinned(np.column_stack([points, labels]), _FIELD_POINTS)
            for index in classes:
                colour = theme.colour("muted" if index < 0 else index)
                dots(cell, _inside(shown[shown[:, 2] == index, :2], window), colour, theme, alpha=0.7, size=2.2)
            cell.set_title(shorten(label, 30), loc="center", pad=5, fontsize=11, weight="normal", color=theme.ink)
            _thin_frame(cell)
        _ticks_at_ends(cells[0], window, columns)

    alt = (
        f"{title}: {len(clouds)} scatter plots side by side, {', '.join(label for label, _, _ in clouds)}; "
        f"{len(classes)} classes in as many colours."
    )
    size = _CELL_WIDTH * (1 + _GAP) * len(clouds) + 0.75, _CELL_WIDTH * window.aspect + 0.8
    return Panel(name, title, alt, draw, size, colours=64, wide=True)


def robust_view(clouds: Sequence[FloatArray]) -> View:
    """The window on several clouds (n, 2) that leaves out at most a two-hundredth at either end of each axis."""
    pooled = np.concatenate([points[:, :2] for points in clouds])
    pooled = pooled[np.isfinite(pooled).all(axis=1)]
    ranges = []
    for values in pooled.T:
        low, high = interval(np.quantile(values, [0.005, 0.995]) if values.size else values)
        ranges.append((low - 0.08 * (high - low), high + 0.08 * (high - low)))
    return fitted_view(ranges[0], ranges[1])


def _row(axes: Axes, count: int, view: View) -> list[Axes]:
    """So many plots of one view in a row, below a line for their labels."""
    axes.set_axis_off()
    width = 1 / (count + _GAP * (count - 1))
    cells = [axes.inset_axes((place * width * (1 + _GAP), 0.0, width, 0.88)) for place in range(count)]
    for cell in cells:
        view.frame(cell)
        cell.set_anchor("SW")
        cell.set_xticks([])
        cell.set_yticks([])
    return cells


def _thin_frame(axes: Axes) -> None:
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_linewidth(0.6)


def _ticks_at_ends(axes: Axes, view: View, columns: Sequence[str]) -> None:
    """A tick at either end of either axis, with the columns' names between them."""
    for axis, low, high, column in zip((axes.xaxis, axes.yaxis), view.low, view.high, columns, strict=False):
        axis.set_ticks([low, high], [number(low, 2), number(high, 2)], fontsize=9.5)
        axis.set_label_text(shorten(column, 12), fontsize=10)
        axis.labelpad = -10
    left, right = axes.get_xticklabels()
    left.set_horizontalalignment("left")
    right.set_horizontalalignment("right")
    bottom, top = axes.get_yticklabels()
    bottom.set_verticalalignment("bottom")
    top.set_verticalalignment("top")


def _inside(points: FloatArray, view: View) -> FloatArray:
    """The points within a view: a cloud that has left it costs nothing to draw."""
    return points[(points >= view.low).all(axis=1) & (points <= view.high).all(axis=1)]
