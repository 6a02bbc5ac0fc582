"""Histograms of one column: real values as an area, generated ones as a line, and the exact density where known."""

import numpy as np
from matplotlib.axes import Axes

from driftfield.codecs import FloatArray
from driftfield.datasets.dates import Dates
from driftfield.report.axes import Axis, legend_above, name_axes
from driftfield.report.panels import Panel
from driftfield.report.style import Theme
from driftfield.report.view import common_interval
from driftfield.wording import share, shorten


def histogram(
    name: str,
    title: str,
    real: FloatArray,
    generated: FloatArray,
    bins: int | FloatArray,
    label: str,
    exact: tuple[FloatArray, FloatArray] | None = None,
    legend: tuple[str, str] = ("data", "samples"),
    size: tuple[float, float] = (4.4, 2.9),
    dates: Dates | None = None,
) -> Panel:
    """Real values as an area and generated ones as a line, in so many bins or between these edges.

    `exact` is a density as places and values; it is drawn as what a bin of mean width would hold of it. `dates` says
    how the values are written, if they are dates or times.
    """
    edges = np.linspace(*common_interval(real, generated, pad=0.02), bins + 1) if isinstance(bins, int) else bins
    percent = [100 * np.histogram(v[np.isfinite(v)], edges)[0] / max(len(v), 1) for v in (real, generated)]
    line = None if exact is None else 100 * exact[1] * float(np.diff(edges).mean())
    shown = percent if line is None else [*percent, line]
    top = 1.05 * max(float(np.nanmax(each, initial=0.0, where=np.isfinite(each))) for each in shown)

    def draw(axes: Axes, theme: Theme) -> None:
        axes.stairs(percent[0], edges, fill=True, color=theme.data, alpha=0.38, linewidth=0, label=legend[0])
        axes.stairs(percent[1], edges, color=theme.generated, linewidth=1.5, label=legend[1])
        if exact is not None and line is not None:
            axes.plot(exact[0], line, color=theme.ink, linewidth=0.9, zorder=3, label="exact")
        ends = float(edges[0]), float(edges[-1])
        name_axes(axes, Axis(label, ends=ends, dates=dates), Axis("% of rows", ends=(0, top or 1.0)))
        legend_above(axes, theme, size[0])

    what = f"{title}: histograms" if title else "Histograms"
    alt = f"{what} of {label}, of the {legend[0]} and of the {legend[1]}."
    return Panel(name, title, alt, draw, size)


def marginals(train: FloatArray, samples: FloatArray, columns: tuple[str, ...]) -> list[Panel]:
    """One histogram for each of these columns, data and samples on the same bins."""
    size = (5.6, 3.2) if len(columns) == 1 else (3.3, 2.5)
    bins = int(np.clip(np.sqrt(len(train)), 10, 40))
    return [
        histogram(f"marginal-{i + 1}", "", train[:, i], samples[:, i], bins, shorten(column, 26), size=size)
        for i, column in enumerate(columns)
    ]


def nearest_neighbours(generated: FloatArray, held_out: FloatArray) -> Panel:
    """How far generated and held-out rows lie from the nearest training row, in standard deviations of the columns."""
    pooled = np.concatenate([generated, held_out])
    finite = pooled[np.isfinite(pooled)]
    high = (float(np.quantile(finite, 0.995)) if finite.size else 0.0) or 1.0
    beyond = float((~(pooled <= high)).mean())
    return histogram(
        "memorisation",
        "Distance to the nearest training row",
        held_out,
        generated,
        np.linspace(0.0, high, 46),
        f"distance (standard deviations{f'; {share(beyond, len(pooled))} beyond' if beyond else ''})",
        legend=("held-out rows", "generated rows"),
        size=(4.8, 2.9),
    )
