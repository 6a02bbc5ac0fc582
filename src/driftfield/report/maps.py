"""Pictures of the plane as colours: densities, the error of a score, histograms of two columns; and contours."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes

from driftfield.codecs import FloatArray
from driftfield.report.axes import plane
from driftfield.report.contents import Grid
from driftfield.report.panels import Panel
from driftfield.report.style import Theme, density_colours
from driftfield.report.view import View, fitted_view, interval, plane_size, robust_view
from driftfield.wording import number, shorten

_CELLS = 80  # of a two-dimensional histogram, along each axis
_HEIGHTS = (0.05, 0.2, 0.4, 0.6, 0.8)  # of contours, as fractions of a density's peak
_SHOWN_NATS = 9.0  # how far below its peak a log-density keeps a colour of its own
_NEAR_NATS = 7.0  # further below, hardly any row is there, and the error of a score says nothing
_CONTOURS = (-5.0, -3.0, -1.0)  # nats


def colour_map(
    name: str,
    title: str,
    alt: str,
    values: FloatArray,
    view: View,
    columns: Sequence[str],
    extent: tuple[float, float, float, float] | None = None,
    bar: str = "",
    extend: Literal["min", "max"] = "max",
    contours: tuple[FloatArray, FloatArray, FloatArray, Sequence[float]] | None = None,
    **options: Any,
) -> Panel:
    """Values (G, G), of which `values[i, j]` belongs to (x[j], y[i]), as colours that fill `extent` or the view.

    Named by a colour bar where they have a unit; with contours (x, y, heights, levels), and options of Matplotlib's
    `imshow`.
    """
    filled = extent or (view.low[0], view.high[0], view.low[1], view.high[1])

    def draw(axes: Axes, theme: Theme) -> None:
        plane(axes, columns)
        look = {"cmap": density_colours(theme), "interpolation": "nearest", **options}
        image = axes.imshow(values, extent=filled, origin="lower", aspect="auto", **look)
        if contours is not None and len(contours[3]):
            x, y, heights, levels = contours
            axes.contour(x, y, heights, levels=levels, colors=theme.data, linewidths=0.9, linestyles="solid")
        view.frame(axes)
        if bar:
            figure = image.get_figure(root=True)
            assert figure is not None
            side = axes.inset_axes((1.04, 0.0, 0.035, 1.0))
            figure.colorbar(image, cax=side, extend=extend).set_label(bar, color=theme.muted)

    return Panel(name, title, f"{title}: {alt}.", draw, plane_size(view), colours=128 if bar else 48)


def density(grid: Grid, columns: Sequence[str], aspect: float) -> Panel:
    """The log-density in nats as colours."""
    extent = (*interval(grid.x), *interval(grid.y))
    finite = grid.log_density[np.isfinite(grid.log_density)]
    peak = float(finite.max()) if finite.size else 0.0
    lost = peak - 2 * _SHOWN_NATS
    return colour_map(
        "density",
        "Log-density of the model",
        f"a colour map; the peak is {number(peak)} nats",
        np.nan_to_num(grid.log_density, nan=lost, neginf=lost),
        fitted_view(extent[:2], extent[2:], aspect),
        columns,
        extent,
        bar="log-density (nats)",
        extend="min",
        interpolation="bilinear",
        vmin=peak - _SHOWN_NATS,
        vmax=peak,
    )


def error_map(found: Mapping[str, Any], columns: Sequence[str]) -> Panel:
    """|eps_hat - eps*| as colours where there are rows, and contours of the exact noised density; of `verify.json`."""
    x, y, error, log_density = (np.array(found[key], dtype=float) for key in ("x", "y", "error", "log_density"))
    extent = (*interval(x), *interval(y))
    depth = log_density - log_density.max()
    shown = np.where(depth > -_NEAR_NATS, error, np.nan)
    high = _round_up(float(np.nanquantile(shown, 0.98)))
    return colour_map(
        "score-error-map",
        f"Where the score is wrong, at noise {number(found['noise'], 2)}",
        f"the error of the estimated noise, mostly below {number(high, 2)}, and contours of the exact density",
        shown,
        fitted_view(extent[:2], extent[2:]),
        columns,
        extent,
        bar="error of the estimated noise",
        contours=(x, y, depth, _CONTOURS),
        vmin=0,
        vmax=high,
    )


def histogram_2d(
    name: str, title: str, points: FloatArray, columns: Sequence[str], view: View | None = None, log: bool = False
) -> Panel:
    """How many points of (n, 2) fall in each cell of the plane; with `log`, by the logarithm of one more than that."""
    window = view or robust_view([points])
    counts = _counts(points, window)
    x, y = (shorten(column) for column in columns[:2])
    alt = f"histogram of {len(points):,} points, {x} across and {y} up"
    return colour_map(name, title, alt, np.log1p(counts) if log else counts, window, columns, vmin=0.0)


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
    levels = [height * peak for height in _HEIGHTS] if peak > 0 else []
    alt = f"histogram of {len(points):,} particles under the contours of the density"
    contours = (x, y, density, levels)
    return colour_map(name, title, alt, _counts(points, window), window, columns, contours=contours, vmin=0.0)


def _counts(points: FloatArray, view: View) -> FloatArray:
    """How many points lie in each cell of a view, rows of cells from below."""
    edges = [np.linspace(view.low[i], view.high[i], _CELLS + 1) for i in (0, 1)]
    inside = points[np.isfinite(points).all(axis=1)]
    counts: FloatArray = np.histogram2d(inside[:, 0], inside[:, 1], bins=edges)[0].T
    return counts


def _round_up(value: float) -> float:
    """To one significant digit, so that a scale ends at a round number; 1 for nothing."""
    if not value > 0:
        return 1.0
    unit = 10.0 ** np.floor(np.log10(value))
    return float(np.ceil(value / unit) * unit)
