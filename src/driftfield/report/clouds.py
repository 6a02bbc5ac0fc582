"""Pictures of points: one cloud, a row of clouds, every pair of columns, arrows of the score over the data."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from driftfield.codecs import FloatArray
from driftfield.report.axes import plane
from driftfield.report.contents import ScoreField
from driftfield.report.panels import Panel
from driftfield.report.style import Role, Theme
from driftfield.report.view import View, common_interval, fitted_view, interval, plane_size, robust_view, shared_view
from driftfield.wording import noise_level, number, shorten

SHOWN_COLUMNS = 6
_SHOWN_POINTS = 3000
_STRIP_POINTS, _FIELD_POINTS = 800, 1500
_STRIP_WIDTH, _CELL_WIDTH = 13.0, 3.0  # inches, of a strip and of one of the larger plots in a row
_GAP = 0.07  # between two plots of a row, in widths of one

Cloud = tuple[str, FloatArray]
ClassedCloud = tuple[str, FloatArray, NDArray[np.integer]]


def cloud(
    name: str, title: str, points: FloatArray, columns: Sequence[str], real: bool = True, view: View | None = None
) -> Panel:
    """Points (n, 2) in the plane of two named columns, in the colour of real or of generated data."""
    shown = thinned(points)
    window = view or robust_view([points])
    outside = int((~window.holds(shown)).sum())

    def draw(axes: Axes, theme: Theme) -> None:
        plane(axes, columns)
        window.frame(axes)
        dots(axes, shown, theme.data if real else theme.generated, theme)
        if outside:
            text = f"{outside:,} of {len(shown):,} outside"
            axes.text(0.99, 0.985, text, transform=axes.transAxes, ha="right", va="top", fontsize=8, color=theme.muted)

    x, y = (shorten(column) for column in columns[:2])
    alt = f"{title}: {len(shown):,} points, {x} across and {y} up."
    return Panel(name, title, alt, draw, plane_size(window))


def data_beside_samples(train: FloatArray, samples: FloatArray, columns: Sequence[str]) -> list[Panel]:
    """As many points of either, on identical axes. For two columns."""
    view, count = shared_view(train, samples), min(len(train), len(samples), _SHOWN_POINTS)
    return [
        cloud("data", "The data", thinned(train, count), columns, view=view),
        cloud("samples", "Samples from the model", thinned(samples, count), columns, real=False, view=view),
    ]


def strip(
    name: str, title: str, clouds: Sequence[Cloud], columns: Sequence[str], real: bool = True, view: View | None = None
) -> Panel:
    """Labelled clouds in one row of small plots, all in one view: a process, time by time.

    Only the first plot has ticks, at the ends of the view. Points of a cloud that lie outside the view are not drawn.
    """
    window = view or robust_view([points for _, points in clouds])
    role: Role = "data" if real else "generated"
    cells = [(label, [(thinned(points, _STRIP_POINTS), role)]) for label, points in clouds]
    width = min(_STRIP_WIDTH, 1.7 * len(clouds) + 0.6)
    alt = f"{title}: {len(clouds)} scatter plots in a row, {', '.join(label for label, _ in clouds)}."
    size = width, (width - 0.75) / len(clouds) / (1 + _GAP) * window.aspect + 0.75
    return _row(name, title, alt, cells, columns, window, size, dot_size=1.7)


def field_of_clouds(name: str, title: str, clouds: Sequence[ClassedCloud], columns: Sequence[str]) -> Panel:
    """Labelled clouds side by side in one view, each point in the colour of its class; a class below zero is grey."""
    window = robust_view([points for _, points, _ in clouds])
    classes = sorted({int(index) for _, _, labels in clouds for index in np.unique(labels)})
    cells: list[tuple[str, list[tuple[FloatArray, Role]]]] = []
    for label, points, labels in clouds:
        shown = thinned(np.column_stack([points, labels]), _FIELD_POINTS)
        cells.append((label, [(shown[shown[:, 2] == i, :2], "muted" if i < 0 else i) for i in classes]))
    alt = (
        f"{title}: {len(clouds)} scatter plots side by side, {', '.join(label for label, _, _ in clouds)}; "
        f"{len(classes)} classes in as many colours."
    )
    size = _CELL_WIDTH * (1 + _GAP) * len(clouds) + 0.75, _CELL_WIDTH * window.aspect + 0.8
    return _row(name, title, alt, cells, columns, window, size, dot_size=2.2)


def _row(
    name: str,
    title: str,
    alt: str,
    cells: Sequence[tuple[str, Sequence[tuple[FloatArray, Role]]]],
    columns: Sequence[str],
    window: View,
    size: tuple[float, float],
    dot_size: float,
) -> Panel:
    """Plots of one view in a row, each under its label, of points in the colours of their roles."""
    width = 1 / (len(cells) + _GAP * (len(cells) - 1))

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_axis_off()
        for place, (label, parts) in enumerate(cells):
            cell = axes.inset_axes((place * width * (1 + _GAP), 0.0, width, 0.88))
            window.frame(cell)
            cell.set_anchor("SW")
            cell.set_xticks([])
            cell.set_yticks([])
            for points, role in parts:
                inside = points[window.holds(points)]  # a cloud that has left the view costs nothing to draw
                dots(cell, inside, theme.colour(role), theme, size=dot_size)
            limit = int(size[0] / len(cells) * 13)  # letters that fit
            cell.set_title(shorten(label, limit), loc="center", pad=4, fontsize=11, weight="normal", color=theme.ink)
            cell.spines[:].set(visible=True, linewidth=0.6)
            if place == 0:
                _ticks_at_ends(cell, window, columns)

    return Panel(name, title, alt, draw, size, wide=True)


def _ticks_at_ends(axes: Axes, view: View, columns: Sequence[str]) -> None:
    """A tick at either end of either axis, with the columns' names between them."""
    for axis, low, high, column in zip((axes.xaxis, axes.yaxis), view.low, view.high, columns, strict=False):
        axis.set_ticks([low, high], [number(low, 2), number(high, 2)], fontsize=9.5)
        axis.set_label_text(shorten(column, 12), fontsize=10)
        axis.labelpad = -10
    (left, right), (bottom, top) = axes.get_xticklabels(), axes.get_yticklabels()
    left.set(horizontalalignment="left")
    right.set(horizontalalignment="right")
    bottom.set(verticalalignment="bottom")
    top.set(verticalalignment="top")


def pairs(
    train: FloatArray, samples: FloatArray, columns: Sequence[str], extents: Sequence[str | None] | None = None
) -> Panel:
    """Every pair of the first six columns: data below the diagonal, samples above it, mirrored.

    Under the name of a column stands its range, or what ``extents`` say in its place.
    """
    shown = min(len(columns), SHOWN_COLUMNS)
    names = [shorten(name, 16) for name in columns[:shown]]
    low, high = np.transpose([common_interval(train[:, i], samples[:, i]) for i in range(shown)])
    data, made = ((thinned(rows, 500)[:, :shown] - low) / (high - low) for rows in (train, samples))

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_axis_off()
        axes.set(xlim=(-0.02, shown + 0.02), ylim=(shown + 0.02, -0.02), aspect="equal")
        for row, column in np.ndindex(shown, shown):
            left, top = column + 0.02, row + 0.02
            axes.add_patch(Rectangle((left, top), 0.96, 0.96, fill=False, edgecolor=theme.rule, linewidth=0.8))
            if row != column:
                points, colour = (data, theme.data) if row > column else (made, theme.generated)
                cell = points[:, [column, row]]
                cell = cell[((cell >= 0) & (cell <= 1)).all(axis=1)]
                placed = np.column_stack([column + 0.04 + 0.92 * cell[:, 0], row + 0.96 - 0.92 * cell[:, 1]])
                dots(axes, placed, colour, theme, size=0.6 * _dot_size(len(data)))
        for row, name in enumerate(names):
            low_end, high_end = np.nanmin(train[:, row]), np.nanmax(train[:, row])
            given = extents[row] if extents is not None else None
            extent = given or f"{number(float(low_end), 2)} to {number(float(high_end), 2)}"
            centred: dict[str, Any] = {"ha": "center", "va": "center"}
            axes.text(row + 0.5, row + 0.44, name, color=theme.ink, fontsize=8.5, weight="bold", **centred)
            axes.text(row + 0.5, row + 0.62, extent, color=theme.muted, fontsize=7, **centred)

    title = "Every pair of columns" if shown == len(columns) else f"Every pair of the first {shown} columns"
    alt = f"{title}: {', '.join(names)}. Data below the diagonal, samples above it."
    return Panel("pairs", title, alt, draw, (9.2, 9.2), wide=True)


def score_field(name: str, field: ScoreField, train: FloatArray, columns: Sequence[str], aspect: float) -> Panel:
    """The score at one noise level, as arrows over faint data. For two columns."""
    view = fitted_view(interval(field.positions[:, 0]), interval(field.positions[:, 1]), aspect)
    arrows = _arrows(field, view)
    covered = np.ptp(field.positions, axis=0) / np.subtract(view.high, view.low)
    spacing = float(np.sqrt(covered[0] * covered[1] * view.aspect / len(field.positions)))  # in widths of the box

    def draw(axes: Axes, theme: Theme) -> None:
        plane(axes, columns)
        view.frame(axes)
        dots(axes, thinned(train, 1500), theme.data, theme, alpha=0.28)
        axes.quiver(
            *(*field.positions.T, *arrows.T),
            color=theme.generated,
            units="width",
            scale=0.7 / spacing,
            width=0.0038,
            headwidth=4,
            headlength=4,
            headaxislength=3.6,
            clip_on=False,
            in_layout=False,
        )

    title = f"Score at noise level {noise_level(field.noise)}"
    alt = f"{title}: arrows that point to where the density of the noised data grows."
    return Panel(name, title, alt, draw, plane_size(view))


def _arrows(field: ScoreField, view: View) -> FloatArray:
    """The gradient in the picture's own lengths, compressed to |g| / (|g| + median |g|)."""
    gradient = field.vectors * (np.subtract(view.high, view.low) / np.array([1.0, view.aspect]))
    length = np.linalg.norm(gradient, axis=1, keepdims=True)
    positive = length[length > 0]
    shrunk: FloatArray = gradient / (length + (float(np.median(positive)) if positive.size else 1.0))
    return shrunk


def thinned(rows: FloatArray, limit: int = _SHOWN_POINTS) -> FloatArray:
    """At most so many rows, evenly spaced, so that rows that come in an order are all represented."""
    return rows if len(rows) <= limit else rows[np.linspace(0, len(rows) - 1, limit).astype(int)]


def dots(
    axes: Axes, points: FloatArray, colour: str, theme: Theme, alpha: float = 0.6, size: float | None = None
) -> Line2D:
    """Points of (n, 2) as dots, smaller where there are many; larger and with a rim where the theme has one."""
    size = _dot_size(len(points)) if size is None else size
    rim: dict[str, Any] = {"markeredgewidth": 0.0}
    if theme.edge:
        rim, size = {"markeredgewidth": 0.16 * size, "markeredgecolor": theme.edge}, 1.35 * size
        alpha = max(alpha, 0.9) if alpha > 0.5 else alpha
    (line,) = axes.plot(points[:, 0], points[:, 1], "o", markersize=size, color=colour, alpha=alpha, **rim)
    return line


def _dot_size(count: int) -> float:
    return float(np.clip(60 / np.sqrt(max(count, 1)), 1.7, 5.0))
