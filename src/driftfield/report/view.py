"""Which part of the plane a picture shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from driftfield.codecs import FloatArray

_COMPARABLE = 4.0  # ranges that differ by less are drawn to one scale
_REACH = 0.25  # how far beyond the data, in data ranges, stray samples may stretch a picture


@dataclass(frozen=True)
class View:
    """A window on the plane: two ranges, and the height of its box over its width."""

    low: tuple[float, float]
    high: tuple[float, float]
    aspect: float

    def frame(self, axes: Axes) -> None:
        """Give the axes this window and this shape."""
        axes.set_xlim(self.low[0], self.high[0])
        axes.set_ylim(self.low[1], self.high[1])
        axes.set_box_aspect(self.aspect)
        axes.set_anchor("NW")

    def holds(self, points: FloatArray) -> NDArray[np.bool_]:
        """Which points of (n, 2) lie inside; (n,)."""
        return np.asarray(((points >= self.low) & (points <= self.high)).all(axis=1))


def interval(values: FloatArray) -> tuple[float, float]:
    """The range of the finite values; of width one, around them, where they are constant or absent."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return -0.5, 0.5
    low, high = float(finite.min()), float(finite.max())
    if high - low > 1e-12 * max(abs(low), abs(high)):
        return low, high
    half = 0.5 * max(abs(low), 1.0) if low else 0.5
    return low - half, high + half


def common_interval(real: FloatArray, generated: FloatArray, pad: float = 0.05) -> tuple[float, float]:
    """A range that holds all real values, and the generated ones as far as they do not dwarf the real ones."""
    low, high = interval(real)
    span = high - low
    if generated.size:
        wide = interval(generated)
        low, high = min(low, max(wide[0], low - _REACH * span)), max(high, min(wide[1], high + _REACH * span))
    margin = pad * (high - low)
    return low - margin, high + margin


def shared_view(real: FloatArray, generated: FloatArray) -> View:
    """The window for real and generated points of (n, 2): one scale on both axes if their ranges are comparable."""
    x, y = (common_interval(real[:, i], generated[:, i]) for i in (0, 1))
    return fitted_view(x, y)


def fitted_view(x: Sequence[float], y: Sequence[float], aspect: float | None = None) -> View:
    """The window that holds two ranges, of the given shape or one near theirs.

    Comparable ranges are widened until both axes have one scale; others fill the box as they are.
    """
    width, height = x[1] - x[0], y[1] - y[0]
    ratio = height / width
    if not 1 / _COMPARABLE < ratio < _COMPARABLE:
        return View((x[0], y[0]), (x[1], y[1]), aspect or 1.0)
    aspect = aspect or float(np.clip(ratio, 0.7, 1.0))
    width, height = max(width, height / aspect), max(height, width * aspect)
    middle = (x[0] + x[1]) / 2, (y[0] + y[1]) / 2
    low = middle[0] - width / 2, middle[1] - height / 2
    return View(low, (low[0] + width, low[1] + height), aspect)


def robust_view(clouds: Sequence[FloatArray]) -> View:
    """The window on several clouds (n, 2) that leaves out at most a two-hundredth at either end of each axis."""
    pooled = np.concatenate([points[:, :2] for points in clouds])
    pooled = pooled[np.isfinite(pooled).all(axis=1)]
    ranges = []
    for values in pooled.T:
        low, high = interval(np.quantile(values, [0.005, 0.995]) if values.size else values)
        ranges.append((low - 0.08 * (high - low), high + 0.08 * (high - low)))
    return fitted_view(ranges[0], ranges[1])


def plane_size(view: View) -> tuple[float, float]:
    """The inches of a picture whose box, within its labels, has the view's shape."""
    return 4.4, 3.75 * view.aspect + 0.6
