"""The picture of samplers on a distribution whose denoiser is exact: error over evaluations."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from driftfield.report.curves import Curve, lines
from driftfield.report.dots import Level, lollipops
from driftfield.report.panels import Panel, figure
from driftfield.report.style import LIGHT, Theme

if TYPE_CHECKING:
    from driftfield.verification.convergence import Convergence

_SAME = {"ddim"}  # Euler's curve under another name
NEAR = 1.1  # times the floor: as good as real rows
_MOST = 30.0  # times the floor, which the picture of distances shows


def convergence_panels(found: Sequence[Convergence], floor: float) -> tuple[Panel, Panel, Panel]:
    """Solvers by the error of their end points, random samplers by their distance from it, all with ten calls."""
    solvers = {one.name: one.curve for one in found if one.curve and one.name not in _SAME}
    random = {one.name: one.distances for one in found if one.distances}
    ratios = {one.name: one.at_ten[0] / floor for one in found if one.at_ten and one.name not in _SAME}
    levels = [
        Level(name, ratio, role="ink" if ratio <= NEAR else "muted")
        for name, ratio in sorted(ratios.items(), key=lambda each: each[1])
    ]
    label = f"Wasserstein-2 / floor (dashed: 1 and {NEAR})"
    return (
        _over_evaluations("solvers", "Solvers", solvers, "median end-point error"),
        _over_evaluations("random", "Random samplers", random, "Wasserstein-2", floor),
        lollipops("at-ten", "Ten evaluations", levels, label, (1.0, NEAR), (0.7, _MOST)),
    )


def _over_evaluations(
    name: str, title: str, named: Mapping[str, Sequence[tuple[float, float]]], y_label: str, floor: float | None = None
) -> Panel:
    """One curve of (evaluations, error) for each sampler; what is far above the floor leaves the picture at its top."""
    curves = [
        Curve(sampler, np.array([error for _, error in points]), x=np.array([n for n, _ in points], dtype=float))
        for sampler, points in named.items()
    ]
    return lines(
        name,
        title,
        np.array([]),
        curves,
        "evaluations of the denoiser",
        y_label,
        log_x=True,
        log_y=True,
        references=[] if floor is None else [("floor", floor)],
        markers=True,
        size=(6.2, 4.4),
        y_ends=None if floor is None else (floor / 2, _MOST * floor),
        named=True,
    )


def convergence_png(found: Sequence[Convergence], floor: float, theme: Theme = LIGHT) -> bytes:
    """All panels, as a PNG."""
    buffer = io.BytesIO()
    figure(convergence_panels(found, floor), theme, 2).savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
