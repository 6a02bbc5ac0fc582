"""Plots, animations and the HTML report, all from plain arrays in the user's units.

`gather` reads from a model what there is to show, as `Contents`; `write_report` shows it on one page, `write_pictures`
in a folder, and `animate` plays the forward and the reverse process. `figures.FIGURES` is the table of the report's
figures. A chapter of a tutorial is a `Section` whose panels come from the same modules: `clouds`, `maps`, `histograms`,
`curves` and `dots`.
"""

from driftfield.report.animation import animate, check_animation, gif_bytes
from driftfield.report.contents import Contents, Grid, Process, ScoreField
from driftfield.report.curves import Curve
from driftfield.report.dots import Level
from driftfield.report.panels import Panel
from driftfield.report.report import render, render_verification, write_pictures, write_report
from driftfield.report.section import Cell, Details, Link, Section, Table

__all__ = [
    "Cell", "Contents", "Curve", "Details", "Grid", "Level", "Link", "Panel", "Process", "ScoreField", "Section",
    "Table", "animate", "check_animation", "gif_bytes", "render", "render_verification", "write_pictures",
    "write_report",
]  # fmt: skip
