"""Pictures of numbers: the loss, the schedule, metrics beside floors, baselines."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from driftfield.report.contents import Baseline, FloatArray, Metric, ScheduleCurves
from driftfield.report.panels import Panel
from driftfield.report.plots import legend_above
from driftfield.report.style import Theme
from driftfield.wording import number, plus_minus, shorten

_ROW_HEIGHT = 0.54  # inches
_FLOOR_END = 0.69  # where the column of floors ends, as a share of the width


def loss(history: Sequence[Mapping[str, float | None]]) -> Panel:
    """The training loss over the steps, with its running median, and the held-out loss."""
    steps, losses = _curve(history, "loss")
    held_out_steps, held_out = _curve(history, "validation")
    smooth = _running_median(losses)

    def draw(axes: Axes, theme: Theme) -> None:
        axes.plot(steps, losses, color=theme.muted, alpha=0.3, linewidth=0.8)
        axes.plot(steps, smooth, color=theme.muted, label="training")
        if held_out.size:
            axes.plot(held_out_steps, held_out, color=theme.generated, marker="o", markersize=3, label="held out")
        axes.yaxis.set_major_locator(MaxNLocator(5))
        _log_if_wide(axes, np.concatenate([losses, held_out]))
        axes.set_xlabel("step")
        axes.set_ylabel("denoising loss")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
        legend_above(axes, theme)

    last = f"; the last is {number(float(smooth[-1]))}" if smooth.size else ""
    return Panel("loss", "Loss", f"The denoising loss over {len(steps):,} records{last}.", draw, (4.8, 2.9))


def schedule(curves: ScheduleCurves) -> list[Panel]:
    """Signal and noise over t; and the log signal-to-noise ratio over t."""

    def levels(axes: Axes, theme: Theme) -> None:
        axes.plot(curves.t, curves.alpha, color=theme.data, label="signal α")
        axes.plot(curves.t, curves.sigma, color=theme.muted, label="noise σ")
        _log_if_wide(axes, np.concatenate([curves.alpha, curves.sigma]), from_peak=5.0)
        _time_axis(axes)
        axes.set_ylabel("factor")
        legend_above(axes, theme)

    def ratio(axes: Axes, theme: Theme) -> None:
        axes.plot(curves.t, np.where(np.isfinite(curves.log_snr), curves.log_snr, np.nan), color=theme.ink)
        axes.axhline(0, color=theme.rule, linewidth=0.8, zorder=0)
        _time_axis(axes)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_ylabel("log-SNR, 2 ln(α/σ)")

    name = shorten(curves.name)
    ends = f"The log signal-to-noise ratio goes from {number(curves.log_snr[0])} to {number(curves.log_snr[-1])}."
    return [
        Panel("schedule", f"Schedule: {name}", f"Signal and noise over t, schedule {name}.", levels, (4.4, 2.9)),
        Panel("log-snr", "Log signal-to-noise ratio", ends, ratio, (4.4, 2.9)),
    ]


def metrics(measured: Sequence[Metric]) -> Panel:
    """Every metric beside its floor, one row each, on its own scale from the best possible value on."""

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_axis_off()
        axes.set_xlim(0, 1)
        axes.set_ylim(len(measured) - 0.55, -1.0)
        axes.text(_FLOOR_END, -0.72, "floor", color=theme.data, fontsize=8.5, ha="right", va="center")
        axes.text(1, -0.72, "model", color=theme.generated, fontsize=8.5, ha="right", va="center")
        for row, metric in enumerate(measured):
            _metric_row(axes, row, metric, theme)

    alt = "; ".join(
        f"{metric.label} {plus_minus(metric.value, metric.error)}, floor {plus_minus(metric.floor, metric.floor_error)}"
        for metric in measured
    )
    return Panel("metrics", "Metrics beside their floors", alt, draw, (4.8, 0.3 + _ROW_HEIGHT * len(measured)))


def _metric_row(axes: Axes, row: int, metric: Metric, theme: Theme) -> None:
    line = row + 0.2
    axes.text(0, row - 0.16, shorten(metric.label, 29), color=theme.ink, fontsize=9, va="center")
    floor, value = plus_minus(metric.floor, metric.floor_error), plus_minus(metric.value, metric.error)
    axes.text(_FLOOR_END, row - 0.16, floor, color=theme.data, fontsize=8.5, va="center", ha="right")
    axes.text(1, row - 0.16, value, color=theme.generated, fontsize=8.5, va="center", ha="right")
    axes.plot([0, 1], [line, line], color=theme.rule, linewidth=0.8, solid_capstyle="butt", zorder=1)
    low, high = metric_range(metric)
    if metric.floor is not None and math.isfinite(metric.floor):
        middle, half = (metric.floor - low) / (high - low), _finite(metric.floor_error) / (high - low)
        half = max(half, 0.004)
        axes.fill_between([middle - half, middle + half], line - 0.15, line + 0.15, color=theme.data, lw=0, alpha=0.55)
    if math.isfinite(metric.value):
        place, error = (metric.value - low) / (high - low), _finite(metric.error) / (high - low)
        axes.plot([place - error, place + error], [line, line], color=theme.generated, linewidth=2, zorder=3)
        axes.plot(place, line, "o", color=theme.generated, markersize=6.5, zorder=4, markeredgecolor=theme.paper)


def metric_range(metric: Metric) -> tuple[float, float]:
    """The ends of a metric's scale, chosen so that a small gap looks small.

    An accuracy covers 0.45 to 0.75 at least; a value in nats half a nat at least; anything else, a distance or a share,
    reaches from zero to at least twice its floor.
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


def baselines(models: Sequence[Baseline]) -> Panel:
    """The mean held-out log-density of this model and of simpler ones, best first."""
    ranked = sorted(models, key=lambda model: -model.log_density if math.isfinite(model.log_density) else math.inf)

    def draw(axes: Axes, theme: Theme) -> None:
        beside = axes.get_yaxis_transform()
        for row, model in enumerate(ranked):
            ink, dot = (theme.generated, theme.generated) if model.ours else (theme.ink, theme.muted)
            axes.text(0, row - 0.36, shorten(model.label, 40), transform=beside, color=ink, va="center")
            value = plus_minus(model.log_density, model.error)
            axes.text(1, row - 0.36, value, transform=beside, color=ink, fontsize=8.5, va="center", ha="right")
            axes.axhline(row, color=theme.rule, linewidth=0.8, zorder=1)
            if math.isfinite(model.log_density):
                error = _finite(model.error)
                axes.errorbar(model.log_density, row, xerr=error, fmt="o", color=dot, markersize=6.5, zorder=3)
        axes.yaxis.set_visible(False)
        axes.spines["left"].set_visible(False)
        axes.set_ylim(len(ranked) - 0.5, -0.7)
        axes.margins(x=0.06)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("mean log-density (nats)")

    alt = "; ".join(f"{model.label}: {plus_minus(model.log_density, model.error)} nats" for model in ranked)
    return Panel(
        "baselines", "Held-out log-density beside simpler models", alt, draw, (4.8, 0.55 + _ROW_HEIGHT * len(ranked))
    )


def _curve(history: Sequence[Mapping[str, float | None]], key: str) -> tuple[FloatArray, FloatArray]:
    """The steps and the finite values of one key."""
    records = [(record["step"], record.get(key)) for record in history]
    finite = [(step, value) for step, value in records if value is not None and math.isfinite(value)]
    steps, values = zip(*finite, strict=True) if finite else ((), ())
    return np.array(steps, dtype=float), np.array(values, dtype=float)


def _running_median(values: FloatArray) -> FloatArray:
    """The median over a window of a thirtieth of the curve."""
    half = max(len(values) // 60, 1)
    return np.array([np.median(values[max(i - half, 0) : i + half + 1]) for i in range(len(values))])


def _log_if_wide(axes: Axes, values: FloatArray, from_peak: float = 0.0) -> None:
    """A log axis for positive values that span more than a factor of 20 (and reach the given peak)."""
    positive = values[np.isfinite(values) & (values > 0)]
    wide = positive.size and positive.max() > max(20 * positive.min(), from_peak)
    if not wide or (from_peak == 0.0 and positive.size < np.isfinite(values).sum()):
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 1)))


def _time_axis(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_xlabel("t (0: data, 1: noise)")


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else 0.0
