"""Plots, animations and the HTML report, all from plain arrays in the user's units.

`Contents` says what there is to show; `write_report` shows it on one page, `write_pictures` in a folder, and `animate`
plays the forward and the reverse process. Chapters of a report are sections whose panels come from `clouds`, `curves`
and `histograms`.
"""

from driftfield.report.animation import animate, check_animation, gif_bytes
from driftfield.report.contents import (
    Baseline,
    Command,
    Contents,
    Film,
    Grid,
    Metric,
    Neighbours,
    Process,
    ScheduleCurves,
    ScoreField,
)
from driftfield.report.curves import Curve, Level
from driftfield.report.panels import Panel
from driftfield.report.report import render, write_pictures, write_report
from driftfield.report.section import Cell, Details, Link, Section, Table

__all__ = [
    "Baseline",
    "Cell",
    "Command",
    "Contents",
    "Curve",
    "Details",
    "Film",
    "Grid",
    "Level",
    "Link",
    "Metric",
    "Neighbours",
    "Panel",
    "Process",
    "ScheduleCurves",
    "ScoreField",
    "Section",
    "Table",
    "animate",
    "check_animation",
    "gif_bytes",
    "render",
    "write_pictures",
    "write_report",
]
