"""The data of the player: two films on one time axis, small enough to be part of a page.

Each coordinate is stored as an unsigned 16-bit number q (little-endian, base64): value = low + q/65535 · (high − low).
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from numpy.typing import NDArray

from driftfield.codecs import FloatArray
from driftfield.model.sampling import Trajectory
from driftfield.report.contents import Process
from driftfield.report.view import View, fitted_view, interval
from driftfield.wording import noise_level, number, shorten

LEVELS = 65535
_GOLDEN = (np.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Stage:
    """Two films by name as they are drawn in the plane, in one window: what every kind of animation needs."""

    columns: tuple[str, str]
    films: dict[str, Trajectory]
    view: View
    ticks: tuple[list[tuple[float, str]], list[tuple[float, str]]]
    note: str
    rescaled: bool


def stage(process: Process, points: int = 1200, frames: int = 45, exactly: bool = False) -> Stage:
    """Put a process in the plane: at most so many points, the first two columns, one window.

    Each film has at most so many frames, chosen among its own; or `exactly` so many, linear between its own.
    """
    films = {}
    for name, film in (("forward", process.forward), ("reverse", process.reverse)):
        places = np.linspace(0, len(film.times) - 1, frames if exactly else min(frames, len(film.times)))
        films[name] = frames_at(_planar(film, points), places if exactly else np.unique(places.round()))
    x, y = (_range([film.states[..., i] for film in films.values()]) for i in (0, 1))
    names = [shorten(name) for name in process.columns]
    if len(names) == 1:
        view = View((x[0], y[0]), (x[1], y[1]), 1.0)
        note = "The one column runs across; the height of a point only separates it from the others."
        return Stage((names[0], ""), films, view, (_ticks(*x), []), note, process.rescaled)
    view = fitted_view(x, y, aspect=1.0)
    ticks = _ticks(view.low[0], view.high[0]), _ticks(view.low[1], view.high[1])
    note = f"The first two of {len(names)} columns are shown." if len(names) > 2 else ""
    return Stage((names[0], names[1]), films, view, ticks, note, process.rescaled)


def payload(
    shown: Stage, names: Sequence[str] = ("forward", "reverse"), frames_a_second: float = 12.0, one_screen: bool = False
) -> dict[str, Any]:
    """What `player.js` reads: the films named, in one window; side by side, or one after the other on one screen."""
    return {
        "columns": list(shown.columns),
        "frames_a_second": frames_a_second,
        "one_screen": one_screen,
        "window": {"low": list(shown.view.low), "high": list(shown.view.high)},
        "ticks": [[[place, text] for place, text in axis] for axis in shown.ticks],
        "films": [_packed(name, shown.films[name], shown.rescaled) for name in names],
    }


def frames_at(film: Trajectory, places: FloatArray) -> Trajectory:
    """The frames at some places 0 .. K - 1, linear between two frames; the noise level is that of the nearest one."""
    before = np.minimum(places.astype(int), max(len(film.times) - 2, 0))
    after = np.minimum(before + 1, len(film.times) - 1)

    def between(values: FloatArray) -> FloatArray:
        weight = (places - before).reshape(-1, *[1] * (values.ndim - 1))
        mixed: FloatArray = (1 - weight) * values[before] + weight * values[after]
        return mixed

    nearest = places.round().astype(int)
    return Trajectory(between(film.times), between(film.states), film.noise[nearest], between(film.scale))


def frame_at(film: Trajectory, t: float) -> Trajectory:
    """The one frame at time t."""
    order = np.argsort(film.times)
    return frames_at(film, np.interp([t], film.times[order], order.astype(float)))


def _packed(name: str, film: Trajectory, rescaled: bool) -> dict[str, Any]:
    levels, low, high = quantise(film.states)
    return {
        "name": name,
        "times": [round(float(t), 6) for t in film.times],
        "noise": [noise_level(float(level)) for level in film.noise],
        "scale": [number(float(scale)) for scale in film.scale] if rescaled else None,
        "points": film.states.shape[1],
        "low": low.tolist(),
        "high": high.tolist(),
        "states": b64encode(levels.astype("<u2").tobytes()).decode("ascii"),
    }


def quantise(states: FloatArray) -> tuple[NDArray[np.uint16], FloatArray, FloatArray]:
    """States (K, n, 2) as 16-bit numbers between the lowest and the highest value of each column."""
    low, high = (np.array(ends) for ends in zip(*(interval(states[..., i]) for i in (0, 1)), strict=True))
    return np.rint((states - low) / (high - low) * LEVELS).astype(np.uint16), low, high


def _planar(film: Trajectory, points: int) -> Trajectory:
    """The first two columns of points that are finite throughout; a single column gets heights by the golden ratio."""
    states = film.states[:, np.isfinite(film.states).all(axis=(0, 2)), :2][:, :points].astype(np.float64)
    if states.shape[2] == 1:
        heights = (np.arange(states.shape[1]) * _GOLDEN) % 1.0
        states = np.concatenate([states, np.broadcast_to(heights[None, :, None], states.shape)], axis=2)
    return Trajectory(film.times, states, film.noise, film.scale)


def _range(columns: list[FloatArray]) -> tuple[float, float]:
    """The range of one column over both films, without the outermost thousandth at either end."""
    pooled = np.concatenate([column.ravel() for column in columns])
    low, high = interval(np.quantile(pooled, [0.001, 0.999]) if pooled.size else pooled)
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """A few round numbers inside a range, with their text, and not so near its ends that the text is cut."""
    edge = 0.04 * (high - low)
    places = [float(place) for place in MaxNLocator(4).tick_values(low, high) if low + edge < place < high - edge]
    formatter = ScalarFormatter(useOffset=False, useMathText=False)
    formatter.set_scientific(False)
    formatter.create_dummy_axis()
    if 1e-4 < max(abs(low), abs(high)) < 1e6:
        return list(zip(places, formatter.format_ticks(places), strict=True))
    return [(place, number(place, 2)) for place in places]
