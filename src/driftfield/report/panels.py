"""A panel is one picture on one pair of axes; a figure is some panels side by side.

The report shows each panel as an image of its own, which a narrow screen can stack; a file shows them together.
"""

import io
import math
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from numpy.typing import NDArray
from PIL import Image

from driftfield.report.style import DARK, LIGHT, Theme, themed

_DPI = 100  # one inch of a figure is 100 CSS pixels
_SHARPNESS = 2  # device pixels to a CSS pixel


@dataclass(frozen=True)
class Panel:
    """One picture: its name and title, its words for those who cannot see it, how to draw it, its size in inches."""

    name: str
    title: str
    alt: str
    draw: Callable[[Axes, Theme], None]
    size: tuple[float, float] = (4.4, 4.0)
    colours: int = 48  # enough for dots and lines on a plain ground
    wide: bool = False  # as wide as the page, and scrolled sideways on a narrow screen


@dataclass(frozen=True)
class Picture:
    """A rendered panel: a data URI and its size in CSS pixels."""

    uri: str
    width: int
    height: int


def figure(panels: Sequence[Panel], theme: Theme, columns: int | None = None, titled: bool = True) -> Figure:
    """Some panels side by side (in so many columns) as one Matplotlib figure, ready to be saved."""
    columns = columns or min(len(panels), 3)
    rows = _rows(panels, columns)
    width = max(panel.size[0] * (1 if panel.wide else columns) for panel in panels)
    heights = [max(panel.size[1] for panel in row) + 0.25 * titled for row in rows]
    with themed(theme), quiet_fonts():
        drawn = Figure(figsize=(width, sum(heights)), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(drawn)
        grid = GridSpec(len(rows), columns, figure=drawn, height_ratios=heights)
        for row, beside in enumerate(rows):
            for column, panel in enumerate(beside):
                axes = drawn.add_subplot(grid[row, :] if panel.wide else grid[row, column])
                panel.draw(axes, theme)
                if titled:
                    axes.set_title(panel.title, pad=_title_pad(axes))
        drawn.draw_without_rendering()  # ticks take their style when they are made, so make them here
    return drawn


def _rows(panels: Sequence[Panel], columns: int) -> list[list[Panel]]:
    """The panels in reading order: a wide one in a row of its own, the others so many in a row."""
    rows: list[list[Panel]] = []
    for panel in panels:
        if panel.wide or not rows or rows[-1][0].wide or len(rows[-1]) == columns:
            rows.append([])
        rows[-1].append(panel)
    return rows


def _title_pad(axes: Axes) -> float | None:
    """Where the title goes: above the legend, if there is one."""
    legend = axes.get_legend()
    if legend is None:
        return None
    lines = math.ceil(len(legend.get_texts()) / int(legend._ncols))  # type: ignore[attr-defined]
    return 24.0 + 14.0 * (lines - 1)


def picture(panel: Panel, theme: Theme) -> Picture:
    """A panel as a PNG of few colours, which a flat picture does not miss and a small page needs."""
    with themed(theme), quiet_fonts():
        drawn = Figure(figsize=panel.size, dpi=_DPI * _SHARPNESS, layout="constrained")
        canvas = FigureCanvasAgg(drawn)
        panel.draw(drawn.add_subplot(), theme)
        canvas.draw()  # type: ignore[no-untyped-call]
    pixels = Image.fromarray(opaque(canvas))
    flat = pixels.quantize(panel.colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    flat.save(buffer, "PNG", optimize=True)
    return Picture(data_uri("image/png", buffer.getvalue()), pixels.width // _SHARPNESS, pixels.height // _SHARPNESS)


def painted(panel: Panel, theme: Theme | None) -> tuple[Picture, Picture | None]:
    """A panel in its theme; without one, in the light theme and in the dark one."""
    return (picture(panel, LIGHT), picture(panel, DARK)) if theme is None else (picture(panel, theme), None)


def data_uri(kind: str, content: bytes) -> str:
    """A file as an address that holds it."""
    return f"data:{kind};base64," + b64encode(content).decode("ascii")


def opaque(canvas: FigureCanvasAgg) -> NDArray[np.uint8]:
    """What a canvas shows now, (height, width, 3)."""
    return np.array(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]


@contextmanager
def quiet_fonts() -> Iterator[None]:
    """A name in a script that no font here has is drawn as boxes; that needs no warning on the command line."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
