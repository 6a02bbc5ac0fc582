"""Pictures of numbers along an axis: curves with their errors, the loss of a training, the schedule."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from driftfield.codecs import FloatArray
from driftfield.report.axes import Axis, legend_above, name_at_right, name_axes
from driftfield.report.panels import Panel
from driftfield.report.style import Role, Theme
from driftfield.wording import number, shorten

_BARS = 15  # a curve of at most so many points has bars for its errors, a longer one a band
_MANY = 200  # values of a loss that are drawn thin, because they rise and fall with every step
_LINE = 0.17  # inches that a line of small text needs
_DASHES = (0, (4, 2))
_MARKS = ("o", "s", "^", "D", "v", "P")
_SIZE = (4.8, 2.9)


@dataclass(frozen=True)
class Curve:
    """Values over the picture's x or its own, with standard errors; without a role, in a colour of the cycle.

    `style` is "line", "thin" for values that rise and fall with every step, or "circles" for single values.
    """

    label: str
    y: FloatArray  # (n,)
    error: FloatArray | None = None  # (n,)
    role: Role | None = None
    dashed: bool = False
    x: FloatArray | None = None  # (n,)
    style: str = "line"
    joined: bool = False  # no gap where a value cannot be shown


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
    size: tuple[float, float] = _SIZE,
    y_ends: tuple[float, float] | None = None,
    named: bool = False,
) -> Panel:
    """Curves over one x, and dashed levels to compare them with, named at their right end; so are curves with `named`.

    A value that a logarithmic axis cannot show leaves a gap.
    """
    places = [x if curve.x is None else curve.x for curve in curves]
    shown = [np.where(np.isfinite(curve.y) & ((curve.y > 0) | (not log_y)), curve.y, np.nan) for curve in curves]
    left_out = sum(int(np.isnan(y).sum()) for y in shown)
    for i, curve in enumerate(curves):
        kept = np.isfinite(shown[i]) | (not curve.joined)
        places[i], shown[i] = places[i][kept], shown[i][kept]
    whole = not log_x and all(np.array_equal(each, np.round(each)) for each in places)

    def draw(axes: Axes, theme: Theme) -> None:
        names = [(label, None, value, theme.muted) for label, value in references]
        for place, (curve, across, y) in enumerate(zip(curves, places, shown, strict=True)):
            _draw_curve(axes, across, y, curve, place, markers, log_y, theme)
        for _, value in references:
            axes.axhline(value, color=theme.muted, linewidth=0.6 * theme.line_width, linestyle=(0, (4, 3)), zorder=1)
        name_axes(axes, Axis(x_label, log=log_x, whole=whole), Axis(y_label, log=log_y, ends=y_ends))
        ends: list[tuple[str, float | None, float, str]] = [
            (curve.label, float(across[-1]), float(y[-1]), theme.colour(curve.role, place))
            for place, (curve, across, y) in enumerate(zip(curves, places, shown, strict=True))
            if named
        ]
        name_at_right(axes, [*names, *ends], _LINE / (size[1] - 0.8), theme)
        if not named:
            legend_above(axes, theme, size[0])

    words = [f"{curve.label} ends at {number(_last(y))}" for curve, y in zip(curves, shown, strict=True) if curve.label]
    words += [f"{label}: {number(value)}" for label, value in references]
    words += [f"{left_out:,} values that cannot be shown are left out"] if left_out else []
    return Panel(name, title, f"{title}: {'; '.join(words)}.", draw, size)


def _draw_curve(
    axes: Axes, x: FloatArray, y: FloatArray, curve: Curve, place: int, markers: bool, log_y: bool, theme: Theme
) -> None:
    colour, turn = theme.colour(curve.role, place), place // len(theme.cycle) if curve.role is None else 0
    label = curve.label or None
    if curve.style == "circles":
        axes.plot(x, y, "o", mfc=theme.paper, mec=colour, mew=1.2, markersize=5, zorder=4, label=label)
        return
    axes.plot(
        x,
        y,
        color=colour,
        linestyle=_DASHES if curve.dashed or turn else "-",
        label=label,
        marker=_MARKS[turn % len(_MARKS)] if markers else None,
        markersize=4.0,
        alpha=None if label else 0.4,  # a curve without a name is the background of another
        linewidth=theme.line_width * (0.6 if curve.style == "thin" else 1.0),
    )
    if curve.error is None:
        return
    if len(x) <= _BARS:
        axes.errorbar(x, y, yerr=curve.error, fmt="none", ecolor=colour, elinewidth=0.6 * theme.line_width)
        return
    low, high = y - curve.error, y + curve.error
    if log_y:
        low = np.maximum(low, 0.01 * y)  # a band that reaches zero would reach for ever
    axes.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0)


def training_loss(
    name: str,
    title: str,
    epochs: FloatArray,
    losses: FloatArray,
    printed: Mapping[int, float] | None = None,
    x_label: str = "epoch",
) -> Panel:
    """A loss on a logarithmic axis, and the numbers that the tutorial printed as hollow circles.

    One that is mostly below zero, as the losses of some objectives are, is on a linear axis.
    """
    style = "thin" if len(epochs) > _MANY else "line"
    curves = [Curve("this run", losses, role="generated", style=style, joined=True)]
    if printed:
        values, at = np.array([*printed.values()], dtype=float), np.array([*printed], dtype=float)
        curves.append(Curve("printed by the tutorial", values, role="ink", x=at, style="circles", joined=True))
    logarithmic = not len(losses) or bool((losses > 0).mean() > 0.5)
    return lines(name, title, epochs, curves, x_label, "loss", log_y=logarithmic)


def loss(history: Sequence[Mapping[str, float | None]]) -> Panel:
    """The training loss over the steps, with its running median, and the held-out loss."""
    steps, losses = _recorded(history, "loss")
    held_out_steps, held_out = _recorded(history, "validation")
    half = max(len(losses) // 60, 1)
    median = np.array([np.median(losses[max(i - half, 0) : i + half + 1]) for i in range(len(losses))])
    curves = [
        Curve("", losses, role="muted", style="thin"),
        Curve("training, running median", median, role="muted"),
        Curve("held out", held_out, role="generated", x=held_out_steps),
    ]
    values = np.concatenate([losses, held_out])
    wide = bool(values.size) and bool((values > 0).all()) and values.max() > 20 * values.min()
    return lines("loss", "Loss", steps, curves if held_out.size else curves[:2], "step", "denoising loss", log_y=wide)


def _recorded(history: Sequence[Mapping[str, float | None]], key: str) -> tuple[FloatArray, FloatArray]:
    """The steps and the finite values of one key."""
    records = [(record["step"], record.get(key)) for record in history]
    finite = [(step, value) for step, value in records if value is not None and math.isfinite(value)]
    steps, values = zip(*finite, strict=True) if finite else ((), ())
    return np.array(steps, dtype=float), np.array(values, dtype=float)


def schedule(name: str, t: FloatArray, alpha: FloatArray, sigma: FloatArray, log_snr: FloatArray) -> list[Panel]:
    """Signal and noise over t; and the log signal-to-noise ratio over t; each (n,)."""
    levels = [Curve("signal α", alpha, role="data"), Curve("noise σ", sigma, role="muted")]
    wide = float(np.nanmax(np.maximum(alpha, sigma))) > 5  # as those of variance-exploding schedules
    time, size = "t (0: data, 1: noise)", (4.4, 2.9)
    snr = [Curve("log-SNR", log_snr, role="ink")]
    return [
        lines("schedule", f"Schedule: {shorten(name)}", t, levels, time, "factor", log_y=wide, size=size),
        lines("log-snr", "Log signal-to-noise ratio", t, snr, time, "2 ln(α/σ)", size=size),
    ]


def _last(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if finite.size else math.nan
