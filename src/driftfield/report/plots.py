"""Pictures of points: data beside samples, columns and pairs of columns, the score field, the density."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from driftfield.report.contents import Contents, FloatArray, Grid, Neighbours, ScoreField
from driftfield.report.panels import Panel
from driftfield.report.style import Theme, density_colours
from driftfield.report.view import View, common_interval, fitted_view, interval, shared_view
from driftfield.wording import noise_level, number, shorten

SHOWN_COLUMNS = 6
_SHOWN_POINTS = 3000
_SHOWN_NATS = 9.0  # how far below its peak a log-density keeps a colour of its own


def data_beside_samples(contents: Contents) -> list[Panel]:
    """Two scatter plots of as many points, on identical axes. For two columns."""
    data, samples = thinned(contents.train), thinned(contents.samples)
    count = min(len(data), len(samples))
    view = shared_view(contents.train, contents.samples)

    def panel(name: str, title: str, points: FloatArray, real: bool) -> Panel:
        def draw(axes: Axes, theme: Theme) -> None:
            name_axes(axes, contents.columns)
            view.frame(axes)
            dots(axes, points, theme.data if real else theme.generated, theme)
            count_outside(axes, view, points, theme)

        x, y = (shorten(name) for name in contents.columns)
        alt = f"{title}: {count:,} points, {x} across and {y} up."
        return Panel(name, title, alt, draw, plane_size(view))

    return [
        panel("data", "The data", data[:count], real=True),
        panel("samples", "Samples from the model", samples[:count], real=False),
    ]


def marginals(contents: Contents) -> list[Panel]:
    """One histogram for each of the first six columns, data and samples on the same bins."""
    return [_marginal(contents, index) for index in range(min(len(contents.columns), SHOWN_COLUMNS))]


def _marginal(contents: Contents, index: int) -> Panel:
    name = shorten(contents.columns[index], 26)
    real, generated = contents.train[:, index], contents.samples[:, index]
    low, high = common_interval(real, generated, pad=0.02)
    bins = np.linspace(low, high, int(np.clip(np.sqrt(len(real)), 10, 40)) + 1)

    def draw(axes: Axes, theme: Theme) -> None:
        two_histograms(axes, (real, "data"), (generated, "samples"), bins, theme)
        axes.set_xlim(low, high)
        axes.set_xlabel(name)

    alt = f"Histograms of {name}, of the data and of the samples."
    size = (5.6, 3.2) if len(contents.columns) == 1 else (3.3, 2.5)
    return Panel(f"marginal-{index + 1}", "", alt, draw, size)


def pairs(contents: Contents) -> Panel:
    """Every pair of the first six columns: data below the diagonal, samples above it, mirrored."""
    shown = min(len(contents.columns), SHOWN_COLUMNS)
    names = [shorten(name, 16) for name in contents.columns[:shown]]
    ranges = [common_interval(contents.train[:, i], contents.samples[:, i]) for i in range(shown)]
    low, high = (np.array(ends) for ends in zip(*ranges, strict=True))
    data, samples = (
        (thinned(rows, 500)[:, :shown] - low) / (high - low) for rows in (contents.train, contents.samples)
    )

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_axis_off()
        axes.set_xlim(-0.02, shown + 0.02)
        axes.set_ylim(shown + 0.02, -0.02)
        axes.set_aspect("equal")
        size = _dot_size(len(data)) * 0.6
        for row in range(shown):
            for column in range(shown):
                _cell_frame(axes, row, column, theme)
                if row != column:
                    points, colour = (data, theme.data) if row > column else (samples, theme.generated)
                    cell = np.clip(points[:, [column, row]], -1, 2)
                    inside = ((cell >= 0) & (cell <= 1)).all(axis=1)
                    across, up = column + 0.04 + 0.92 * cell[inside, 0], row + 0.96 - 0.92 * cell[inside, 1]
                    axes.plot(across, up, "o", markersize=size, markeredgewidth=0, color=colour, alpha=0.6)
            _cell_name(axes, row, names[row], contents.train[:, row], theme)

    title = "Every pair of columns" if shown == len(contents.columns) else f"Every pair of the first {shown} columns"
    alt = f"{title}: {', '.join(names)}. Data below the diagonal, samples above it."
    return Panel("pairs", title, alt, draw, (9.2, 9.2), wide=True)


def _cell_frame(axes: Axes, row: int, column: int, theme: Theme) -> None:
    x, y = (column + 0.02, column + 0.98), (row + 0.02, row + 0.98)
    axes.fill([x[0], x[1], x[1], x[0]], [y[0], y[0], y[1], y[1]], facecolor="none", edgecolor=theme.rule, linewidth=0.8)


def _cell_name(axes: Axes, row: int, name: str, values: FloatArray, theme: Theme) -> None:
    extent = f"{number(float(values.min()), 2)} to {number(float(values.max()), 2)}"
    axes.text(row + 0.5, row + 0.44, name, ha="center", va="center", color=theme.ink, fontsize=8.5, weight="bold")
    axes.text(row + 0.5, row + 0.62, extent, ha="center", va="center", color=theme.muted, fontsize=7)


def score_fields(contents: Contents) -> list[Panel]:
    """The score at each noise level, as arrows over faint data. For two columns."""
    return [_score_field(contents, field, place) for place, field in enumerate(contents.scores, start=1)]


def _score_field(contents: Contents, field: ScoreField, place: int) -> Panel:
    view = fitted_view(interval(field.positions[:, 0]), interval(field.positions[:, 1]), _aspect(contents))
    arrows = _arrows(field, view)
    shares = np.ptp(field.positions, axis=0) / np.subtract(view.high, view.low)
    spacing = float(np.sqrt(shares[0] * shares[1] * view.aspect / len(field.positions)))  # in widths of the box

    def draw(axes: Axes, theme: Theme) -> None:
        name_axes(axes, contents.columns)
        view.frame(axes)
        dots(axes, thinned(contents.train, 1500), theme.data, theme, alpha=0.28)
        x, y = field.positions.T
        axes.quiver(
            *(x, y, *arrows.T),
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
    alt = f"{title}: arrows that point where the density of the noised data grows."
    return Panel(f"score-{place}", title, alt, draw, plane_size(view))


def _arrows(field: ScoreField, view: View) -> FloatArray:
    """The gradient in the picture's own lengths, compressed to |g| / (|g| + median |g|)."""
    box = np.array([1.0, view.aspect])
    gradient = field.vectors * (np.subtract(view.high, view.low) / box)
    length = np.linalg.norm(gradient, axis=1, keepdims=True)
    positive = length[length > 0]
    typical = float(np.median(positive)) if positive.size else 1.0
    shrunk: FloatArray = gradient / (length + typical)
    return shrunk


def density(contents: Contents, grid: Grid) -> Panel:
    """The log-density in nats as a heat map with its colour bar."""
    view = fitted_view(interval(grid.x), interval(grid.y), _aspect(contents))
    finite = grid.log_density[np.isfinite(grid.log_density)]
    peak = float(finite.max()) if finite.size else 0.0
    shown = np.nan_to_num(grid.log_density, nan=peak - 2 * _SHOWN_NATS, neginf=peak - 2 * _SHOWN_NATS)

    def draw(axes: Axes, theme: Theme) -> None:
        name_axes(axes, contents.columns)
        image = axes.imshow(
            shown,
            extent=(*interval(grid.x), *interval(grid.y)),
            origin="lower",
            aspect="auto",
            interpolation="bilinear",
            cmap=density_colours(theme),
            vmin=peak - _SHOWN_NATS,
            vmax=peak,
        )
        view.frame(axes)
        bar = axes.inset_axes((1.04, 0.0, 0.035, 1.0))
        figure = image.get_figure(root=True)
        assert figure is not None
        figure.colorbar(image, cax=bar, extend="min").set_label("log-density (nats)", color=theme.muted)

    alt = f"Heat map of the model's log-density; its peak is {number(peak)} nats."
    return Panel("density", "Log-density of the model", alt, draw, plane_size(view), colours=128)


def _aspect(contents: Contents) -> float:
    return shared_view(contents.train, contents.samples).aspect


def plane_size(view: View) -> tuple[float, float]:
    """The size of a panel whose box, within its labels, has the view's shape."""
    return 4.4, 3.75 * view.aspect + 0.6


def nearest_neighbours(neighbours: Neighbours) -> Panel:
    """How far generated and held-out rows lie from the nearest training row."""
    pooled = np.concatenate([neighbours.generated, neighbours.held_out])
    finite = pooled[np.isfinite(pooled)]
    high = (float(np.quantile(finite, 0.995)) if finite.size else 0.0) or 1.0
    beyond = float((~(pooled <= high)).mean())
    bins = np.linspace(0.0, high, 46)

    def draw(axes: Axes, theme: Theme) -> None:
        held_out, generated = (neighbours.held_out, "held-out rows"), (neighbours.generated, "generated rows")
        two_histograms(axes, held_out, generated, bins, theme)
        axes.set_xlim(0, high)
        tail = f"; {beyond:.1%} beyond" if beyond else ""
        axes.set_xlabel(f"nearest training row ({neighbours.unit}{tail})")

    alt = "Histograms of the distance to the nearest training row, for generated and for held-out rows."
    return Panel("memorisation", "Distance to the nearest training row", alt, draw, (4.8, 2.9))


def two_histograms(
    axes: Axes, real: tuple[FloatArray, str], generated: tuple[FloatArray, str], bins: FloatArray, theme: Theme
) -> None:
    """Real values as a filled area and generated ones as a line, in per cent of the rows of each."""
    for (values, name), colour, filled in ((real, theme.data, True), (generated, theme.generated, False)):
        share = 100 * np.histogram(values[np.isfinite(values)], bins)[0] / max(len(values), 1)
        if filled:
            axes.stairs(share, bins, fill=True, color=colour, alpha=0.38, linewidth=0, label=name)
        else:
            axes.stairs(share, bins, color=colour, linewidth=1.5, label=name)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("% of rows")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    legend_above(axes, theme)


def legend_above(axes: Axes, theme: Theme, columns: int = 4) -> None:
    """The legend in lines of so many entries above the axes, where nothing is drawn."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=8.5,
        labelcolor=theme.muted,
        handlelength=1.3,
        handleheight=0.7,
        columnspacing=1.4,
        borderpad=0.2,
    )


def thinned(rows: FloatArray, limit: int = _SHOWN_POINTS) -> FloatArray:
    """At most so many rows, evenly spaced, so that rows that come in an order are all represented."""
    return rows if len(rows) <= limit else rows[np.linspace(0, len(rows) - 1, limit).astype(int)]


def dots(
    axes: Axes, points: FloatArray, colour: str, theme: Theme, alpha: float = 0.6, size: float | None = None
) -> Line2D:
    """Points of (n, 2) as dots, smaller where there are many; larger and with a rim where the theme has one."""
    size = _dot_size(len(points)) if size is None else size
    width = 0.0
    if theme.edge:
        size, width, alpha = 1.35 * size, 0.12 * size, max(alpha, 0.9) if alpha > 0.5 else alpha
    (line,) = axes.plot(
        points[:, 0],
        points[:, 1],
        "o",
        markersize=size,
        markeredgewidth=width,
        markeredgecolor=theme.edge or "none",
        color=colour,
        alpha=alpha,
    )
    return line


def _dot_size(count: int) -> float:
    return float(np.clip(60 / np.sqrt(max(count, 1)), 1.7, 5.0))


def name_axes(axes: Axes, columns: Sequence[str]) -> None:
    """The columns' names along the axes, with a few round ticks."""
    axes.set_xlabel(shorten(columns[0]))
    axes.set_ylabel(shorten(columns[1]))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_locator(MaxNLocator(6))


def count_outside(axes: Axes, view: View, points: FloatArray, theme: Theme) -> None:
    """Say in the corner how many points the view leaves out, if any."""
    if outside := view.outside(points):
        text = f"{outside:,} of {len(points):,} outside"
        axes.text(0.99, 0.985, text, transform=axes.transAxes, ha="right", va="top", fontsize=8, color=theme.muted)
