"""The picture of samplers on a distribution whose denoiser is exact: error over evaluations."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import Transform

from driftfield.report.curves import spread
from driftfield.report.panels import Panel, figure
from driftfield.report.style import LIGHT, Theme
from driftfield.wording import number, power_of_ten

if TYPE_CHECKING:
    from driftfield.verification.convergence import Convergence

Named = tuple[str, Sequence[tuple[float, float]]]  # a curve of (evaluations, error) and its name
_SIZE, _WIDE = (6.2, 4.4), (12.4, 4.4)
_MARKS = ("o", "s", "^", "D", "v", "P")
_SAME = {"ddim"}  # Euler's curve under another name
_TICKS = (10, 20, 50, 100, 200)
_APART = 0.052  # of the height: a line of names
NEAR = 1.1  # times the floor: as good as real rows
_MOST = 30.0  # times the floor, which the picture of distances shows


def convergence_panels(found: Sequence[Convergence], floor: float) -> tuple[Panel, Panel, Panel]:
    """Solvers by the error of their end points, random samplers by their distance from it, all with ten calls."""
    solvers = [(one.name, one.curve) for one in found if one.curve and one.name not in _SAME]
    random = [(one.name, one.distances) for one in found if one.distances]
    return (
        _panel("solvers", "Solvers", solvers, "median end-point error", None),
        _panel("random", "Random samplers", random, "Wasserstein-2", floor),
        _at_ten([(one.name, one.at_ten[0] / floor) for one in found if one.at_ten and one.name not in _SAME]),
    )


def convergence_png(found: Sequence[Convergence], floor: float, theme: Theme = LIGHT) -> bytes:
    """All panels, as a PNG."""
    buffer = io.BytesIO()
    figure(convergence_panels(found, floor), theme, 2).savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def _at_ten(ratios: Sequence[tuple[str, float]]) -> Panel:
    """Wasserstein-2 with ten evaluations over its floor, the best sampler on top."""
    ordered = sorted(ratios, key=lambda each: each[1])

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_xscale("log")
        for row, (_, ratio) in enumerate(ordered):
            colour = theme.generated if ratio <= NEAR else theme.data
            axes.plot([1, min(ratio, _MOST)], [row, row], color=theme.rule, linewidth=1.0, zorder=1)
            axes.plot(min(ratio, _MOST), row, "o" if ratio <= _MOST else ">", color=colour, markersize=5)
            axes.text(1.3 * _MOST, row, number(ratio, 3), color=theme.muted, fontsize=8.5, va="center")
        for place in (1.0, NEAR):
            axes.axvline(place, color=theme.muted, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        axes.set_yticks(range(len(ordered)), [name for name, _ in ordered])
        axes.set_ylim(len(ordered) - 0.5, -0.5)
        axes.set_xlim(0.7, 1.2 * _MOST)
        axes.xaxis.set_major_locator(FixedLocator((1, 2, 5, 10, 20)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel(f"Wasserstein-2 / floor (dashed: 1 and {NEAR})")

    words = "; ".join(f"{name} {number(ratio, 3)}" for name, ratio in ordered)
    alt = f"Wasserstein-2 over its floor with ten evaluations: {words}."
    return Panel("at-ten", "Ten evaluations", alt, draw, _WIDE, wide=True)


def _panel(name: str, title: str, curves: Sequence[Named], y_label: str, floor: float | None) -> Panel:
    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_xscale("log")
        axes.set_yscale("log")
        for place, (_, points) in enumerate(curves):
            x, y = zip(*points, strict=True)
            mark = _MARKS[(place // len(theme.cycle)) % len(_MARKS)]
            dashes = "-" if place < len(theme.cycle) else (0, (4, 2))
            axes.plot(x, y, color=theme.colour(None, place), marker=mark, markersize=4, linestyle=dashes)
        if floor is not None:
            axes.axhline(floor, color=theme.muted, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
            axes.text(0.02, floor / 1.02, "floor", color=theme.muted, fontsize=8.5, va="top", transform=across(axes))
            axes.set_ylim(floor / 2, _MOST * floor)  # what is worse leaves the picture at its top
        axes.xaxis.set_major_locator(FixedLocator(_TICKS))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
        axes.set_xlabel("evaluations of the denoiser")
        axes.set_ylabel(y_label)
        _names(axes, curves, theme)

    words = "; ".join(f"{label} {number(points[-1][1], 2)} at {points[-1][0]:.0f}" for label, points in curves)
    return Panel(name, title, f"{title}, {y_label} over evaluations: {words}.", draw, _SIZE)


def across(axes: Axes) -> Transform:
    """x as a share of the axes, y in the units of the data."""
    transform: Transform = axes.get_yaxis_transform()
    return transform


def _names(axes: Axes, curves: Sequence[Named], theme: Theme) -> None:
    """The name of each curve at its right end, moved apart where they would overlap."""
    axes.figure.canvas.draw()
    to_axes = axes.transAxes.inverted()
    ends = [to_axes.transform(axes.transData.transform(points[-1])) for _, points in curves]
    places = spread([end[1] for end in ends], _APART)
    inside = max(0.0, _APART / 2 - min(places))  # none below the axes, where their labels are
    for place, ((name, _), end, y) in enumerate(zip(curves, ends, places, strict=True)):
        colour = theme.colour(None, place)
        axes.annotate(
            name,
            tuple(end),
            xytext=(1.04, y + inside),
            xycoords="axes fraction",
            fontsize=8.5,
            va="center",
            color=colour,
            arrowprops={
                "arrowstyle": "-",
                "color": theme.rule,
                "linewidth": 0.8,
                "shrinkA": 1,
                "shrinkB": 2,
                "relpos": (0, 0.5),
            },
        )
