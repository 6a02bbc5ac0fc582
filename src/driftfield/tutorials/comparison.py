"""A comparison of variants: a table with a row for each, and pictures with a curve for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from driftfield.codecs import FloatArray
from driftfield.report.curves import Curve, lines
from driftfield.report.panels import Panel
from driftfield.report.section import Section, Table


@dataclass(frozen=True)
class Variant:
    """One of the things compared: its name, its other cells in the table, and its curve in each picture."""

    name: str
    cells: Sequence[str]
    curves: Sequence[FloatArray] = ()
    dashed: bool = False  # and drawn over the others, which it may equal


def comparison(
    anchor: str,
    title: str,
    prose: tuple[str, ...],
    header: tuple[str, ...],
    variants: Sequence[Variant],
    *plots: Callable[[list[Curve]], Panel],
) -> Section:
    """A section that compares variants; each plot makes a panel from one curve of every variant that has some."""
    drawn = sorted((variant for variant in variants if variant.curves), key=lambda variant: variant.dashed)
    panels = tuple(
        plot([Curve(each.name, each.curves[i], dashed=each.dashed) for each in drawn]) for i, plot in enumerate(plots)
    )
    beside = len(panels) == 1 and not panels[0].wide
    table = Table(header, tuple((variant.name, *variant.cells) for variant in variants))
    return Section(anchor, title, prose, panels, across=len(panels), beside=beside, table=table)


def terms_of_bound(name: str, T: int, curves: list[Curve], y_label: str) -> Panel:
    """The terms L_1 .. L_{T-1} of the bound of a chain, over its steps 2 .. T."""
    steps = np.arange(2, T + 1, dtype=float)
    return lines(name, "Terms of the bound", steps, curves, "step t", y_label, log_x=True, log_y=True)
