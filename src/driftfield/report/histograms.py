"""Pictures of how many points lie where: histograms of one column and of two, beside exact densities."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from driftfield.report.clouds import robust_view
from driftfield.report.contents import FloatArray
from driftfield.report.panels import Panel
from driftfield.report.plots import legend_above, name_axes, plane_size, two_histograms
from driftfield.report.style import Theme, density_colours
from driftfield.report.view import View, common_interval, fitted_view, interval
from driftfield.wording import shorten

_CELLS = 80  # of a two-dimensional histogram, along each axis
_CONTOURS = (0.05, 0.2, 0.4, 0.6, 0.8)  # of the density's peak


def histogram_2d(
    name: str,
    title: str,
    points: FloatArray,
    columns: Sequence[str],
    view: View | None = None,
    log: bool = False,
) -> Panel:
    """How many points of (n, 2) fall in each cell of the plane; with `log`, by the logarithm of one more than that."""
    window = view or robust_view([points])

    def draw(axes: Axes, theme: Theme) -> None:
        name_axes(axes, columns)
        _heat(axes, points, window, theme, log)
        window.frame(axes)

    x, y = (shorten(column) for column in columns[:2])
    alt = f"{title}: histogram of {len(points):,} points, {x} across and {y} up."
    return Panel(name, title, alt, draw, plane_size(window))


def density_over_histogram(
    name: str,
    title: str,
    centres: FloatArray | tuple[FloatArray, FloatArray],
    density: FloatArray,
    points: FloatArray,
    columns: Sequence[str],
) -> Panel:
    """A histogram of points (n, 2) with the contours of a density (G, G) over it.

    `density[i, j]` belongs to (x[j], y[i]), where x and y are the centres of the grid: one array for both axes, or two.
    """
    x, y = centres if isinstance(centres, tuple) else (centres, centres)
    window = fitted_view(interval(x), interval(y))
    peak = float(np.nanmax(density, initial=0.0))

    def draw(axes: Axes, theme: Theme) -> None:
        name_axes(axes, columns)
        _heat(axes, points, window, theme)
        if peak > 0:
            levels = [share * peak for share in _CONTOURS]
            axes.contour(x, y, density, levels=levels, colors=theme.data, linewidths=0.9)
        window.frame(axes)

    alt = f"{title}: histogram of {len(points):,} particles under the contours of the density."
    return Panel(name, title, alt, draw, plane_size(window), colours=48)


def histogram(
    name: str,
    title: str,
    real: FloatArray,
    generated: FloatArray,
    bins: int | FloatArray,
    label: str,
    exact: tuple[FloatArray, FloatArray] | None = None,
) -> Panel:
    """Real values as an area and generated ones as a line, in so many bins or between these edges.

    `exact` is a density as places and values; it is drawn as the share that a bin of mean width would hold.
    """
    edges = np.linspace(*common_interval(real, generated, pad=0.02), bins + 1) if isinstance(bins, int) else bins

    def draw(axes: Axes, theme: Theme) -> None:
        two_histograms(axes, (real, "data"), (generated, "samples"), edges, theme)
        if exact is not None:
            share = 100 * exact[1] * float(np.diff(edges).mean())
            axes.plot(exact[0], share, color=theme.ink, linewidth=0.9, zorder=3, label="exact")
            top = float(np.nanmax(share[np.isfinite(share)], initial=0.0))
            axes.set_ylim(0, max(axes.get_ylim()[1], 1.05 * top))
            legend_above(axes, theme)
        axes.set_xlim(float(edges[0]), float(edges[-1]))
        axes.set_xlabel(shorten(label))

    alt = f"{title}: histograms of {shorten(label)}, of the data and of the samples."
    return Panel(name, title, alt, draw, (4.4, 2.9))


def _heat(axes: Axes, points: FloatArray, view: View, theme: Theme, log: bool = False) -> None:
    """A histogram of points as an image that fills the view."""
    edges = [np.linspace(view.low[i], view.high[i], _CELLS + 1) for i in (0, 1)]
    inside = points[np.isfinite(points).all(axis=1)]
    counts = np.histogram2d(inside[:, 0], inside[:, 1], bins=edges)[0].T
    axes.imshow(
        np.log1p(counts) if log else counts,
        extent=(view.low[0], view.high[0], view.low[1], view.high[1]),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=density_colours(theme),
        vmin=0.0,
    )
