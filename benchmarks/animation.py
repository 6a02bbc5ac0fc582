"""The report's animations beside what Matplotlib's own writers make of the same frames: size, time, fidelity."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.animation import AbstractMovieWriter, HTMLWriter, PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from driftfield.datasets import DISTRIBUTIONS
from driftfield.model.sampling import Trajectory
from driftfield.report import Process, animate
from driftfield.report.animation import Pixels, Shot, drawn_frames, timeline
from driftfield.report.player import stage
from driftfield.report.style import LIGHT

ROWS, FRAMES, FPS = 1_200, 60, 15.0


def two_moons() -> Process:
    """Two moons under the VE schedule, drawn in the data's spread; the reverse process is exact."""
    t = np.linspace(0, 1, FRAMES)
    noise = 0.002 * 40_000.0**t
    scale = 1 / np.sqrt(1 + noise**2)
    films = []
    for seed, order in ((0, slice(None)), (1, slice(None, None, -1))):
        x = DISTRIBUTIONS["moons"].sample(ROWS, seed)
        eps = np.random.default_rng(seed).standard_normal(x.shape)
        states = scale[:, None, None] * (x + noise[:, None, None] * eps)
        films.append(Trajectory(t[order], states[order], noise[order], scale[order]))
    return Process(("x", "y"), *films)


def writers() -> Iterator[list[str]]:
    """A GIF and a page of both processes side by side, by the report's writers and by Matplotlib's."""
    yield ["file", "writer", "MB", "s", "error of a pixel, of 255"]
    process = two_moons()
    shown = stage(process, frames=FRAMES)
    shots = timeline(shown, "both")
    began = time.process_time()
    frames = list(drawn_frames(shown, shots, LIGHT))
    drawing = time.process_time() - began
    with tempfile.TemporaryDirectory() as folder:
        for kind, writer in (("gif", PillowWriter(fps=FPS)), ("html", HTMLWriter(fps=FPS, embed_frames=True))):
            ours, theirs = (Path(folder) / f"{name}.{kind}" for name in ("ours", "theirs"))
            began = time.process_time()
            animate(process, ours, fps=FPS, frames=FRAMES)
            yield [kind, "the report's", *_measured(ours, time.process_time() - began, frames)]
            began = time.process_time() - drawing
            _write(writer, frames, shots, theirs)
            yield [kind, type(writer).__name__, *_measured(theirs, time.process_time() - began, frames)]


def _write(writer: AbstractMovieWriter, frames: Sequence[Pixels], shots: Sequence[Shot], path: Path) -> None:
    """Frames as an image that fills a figure; one that rests is written as often as it takes."""
    height, width = frames[0].shape[:2]
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    FigureCanvasAgg(figure)
    image = figure.figimage(frames[0])
    with matplotlib.rc_context({"animation.embed_limit": 500}), writer.saving(figure, str(path), dpi=100):
        for pixels, shot in zip(frames, shots, strict=True):
            image.set_data(pixels)
            for _ in range(1 + round(shot.rest * FPS)):
                writer.grab_frame()


def _measured(path: Path, seconds: float, frames: Sequence[Pixels]) -> list[str]:
    """Size, time, and for a GIF the root mean square error of its first frame."""
    error = "–"
    if path.suffix == ".gif":
        with Image.open(path) as gif:
            error = f"{np.sqrt(np.square(np.asarray(gif.convert('RGB'), dtype=float) - frames[0]).mean()):.2f}"
    return [f"{path.stat().st_size / 1e6:.2f}", f"{seconds:.1f}", error]
