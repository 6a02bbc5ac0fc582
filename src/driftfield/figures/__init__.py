"""Plots, animations and the HTML report, all from plain arrays in the user's units.

`Contents` says what there is to show; `write_report` shows it on one page, `write_pictures` in a folder, and `animate`
plays the forward and the reverse process.
"""

from driftfield.figures.animation import animate, check_animation
from driftfield.figures.contents import (
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
from driftfield.figures.report import render, write_pictures, write_report

__all__ = [
    "Baseline",
    "Command",
    "Contents",
    "Film",
    "Grid",
    "Metric",
    "Neighbours",
    "Process",
    "ScheduleCurves",
    "ScoreField",
    "animate",
    "check_animation",
    "render",
    "write_pictures",
    "write_report",
]
