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
from numpy.typing import NDArray
from PIL import Image

from driftfield.figures.style import Theme, themed

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


@dataclass(frozen=True)
class Picture:
    """A rendered panel: a data URI and its size in CSS pixels."""

    uri: str
    width: int
    height: int


def figure(panels: Sequence[Panel], theme: Theme, columns: int | None = None, titled: bool = True) -> Figure:
    """Some panels side by side (in so many columns) as one Matplotlib figure, ready to be saved."""
    columns = columns or min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    width, height = (max(panel.size[i] for panel in panels) for i in (0, 1))
    with themed(theme), quiet_fonts():
        drawn = Figure(figsize=(width * columns, (height + 0.25 * titled) * rows), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(drawn)
        for place, panel in enumerate(panels, start=1):
            axes = drawn.add_subplot(rows, columns, place)
            panel.draw(axes, theme)
            if titled:
                axes.set_title(panel.title, pad=None if axes.get_legend() is None else 24)
        drawn.draw_without_rendering()  # ticks take their style when they are made, so make them here
    return drawn


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
    uri = "data:image/png;base64," + b64encode(buffer.getvalue()).decode("ascii")
    return Picture(uri, pixels.width // _SHARPNESS, pixels.height // _SHARPNESS)


def opaque(canvas: FigureCanvasAgg) -> NDArray[np.uint8]:
    """What a canvas shows now, (height, width, 3)."""
    return np.array(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]


@contextmanager
def quiet_fonts() -> Iterator[None]:
    """A name in a script that no font here has is drawn as boxes; that needs no warning on the command line."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
