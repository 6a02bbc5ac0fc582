"""The forward and the reverse process as a file that moves: GIF, MP4, or a page with the report's own player."""

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from PIL import Image

from driftfield.errors import DriftfieldError, InputError, unknown_name
from driftfield.figures.contents import Process
from driftfield.figures.labels import noise_level, number
from driftfield.figures.page import page
from driftfield.figures.panels import opaque, quiet_fonts
from driftfield.figures.player import Stage, at_time, payload, stage
from driftfield.figures.style import LIGHT, Theme, find_theme, themed
from driftfield.files import replacing

VIEWS = {"forward": ("forward",), "reverse": ("reverse",), "both": ("forward", "reverse")}
_TITLES = {"forward": "Forward: noise is added", "reverse": "Reverse: the model removes it"}
_HOLD_NOISE, _HOLD_DATA = 0.7, 1.6  # seconds that the picture rests at either end
_FRAMES = 60
_GIF_COLOURS = 32

Pixels = NDArray[np.uint8]


def animate(
    process: Process, path: Path | str, view: str = "both", theme: str | None = None, fps: float = 15.0
) -> None:
    """Write an animation to a .gif, .mp4 or .html file, whole or not at all.

    The view `both` shows the two processes side by side on one time axis: to noise, and back to data. Without a theme,
    pictures are light and a page follows its reader's setting.

    Raises:
        InputError: an extension, a view, a theme or a speed that does not exist; MP4 without the extra `video`.
    """
    path = Path(path)
    check_animation(path, view, theme, fps)
    shown = stage(process, frames=_FRAMES)
    with replacing(path) as temporary:
        _WRITERS[path.suffix.lower()](shown, temporary, VIEWS[view], find_theme(theme) if theme else None, fps)


def check_animation(path: Path | str, view: str = "both", theme: str | None = None, fps: float = 15.0) -> None:
    """Raise what `animate` would raise for these arguments, before the work of filling a process is done."""
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise InputError(f'Cannot tell the format of "{path}" by its ending: choose .gif, .mp4 or .html.')
    if view not in VIEWS:
        raise unknown_name("view", view, VIEWS)
    if theme is not None:
        find_theme(theme)
    if not 1 <= fps <= 50:
        raise InputError(f"The speed of an animation is between 1 and 50 frames a second, not {fps:g}.")
    if not path.absolute().parent.is_dir():
        raise InputError(f'Cannot write "{path}": its folder does not exist; create it first.')
    if path.suffix.lower() == ".mp4":
        _video_writer()


def _write_gif(shown: Stage, path: Path, names: Sequence[str], theme: Theme | None, fps: float) -> None:
    """A GIF that loops for ever, all frames on one small palette."""
    times = timeline(shown, names)
    frames = [Image.fromarray(pixels) for pixels in _drawn(shown, names, times, theme or LIGHT)]
    palette = _palette([frames[0], frames[len(frames) // 2], frames[-1]])
    flat = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    pause = max(round(100 / fps), 2) * 10  # GIF counts in hundredths of a second, and players distrust a single one
    pauses = [pause + round(1000 * rest) for rest in _rests(times)]
    flat[0].save(path, "GIF", save_all=True, append_images=flat[1:], duration=pauses, loop=0, optimize=False)


def _write_mp4(shown: Stage, path: Path, names: Sequence[str], theme: Theme | None, fps: float) -> None:
    """An H.264 video that any browser plays."""
    times = timeline(shown, names)
    writer = None
    try:
        for pixels, rest in zip(_drawn(shown, names, times, theme or LIGHT), _rests(times), strict=True):
            if writer is None:
                size = pixels.shape[1], pixels.shape[0]
                writer = _video_writer()(str(path), size, fps=fps, codec="libx264", macro_block_size=2)
                writer.send(None)
            for _ in range(1 + round(rest * fps)):
                writer.send(np.ascontiguousarray(pixels))
        if writer is not None:
            writer.close()
    except (OSError, RuntimeError) as error:
        raise DriftfieldError(f"ffmpeg could not write the video ({error}); choose .gif or .html.") from error


def _write_html(shown: Stage, path: Path, names: Sequence[str], theme: Theme | None, fps: float) -> None:
    """A page of its own with the player of the report; it asks nothing of the network."""
    films = payload(shown, names, frames_a_second=fps)
    path.write_text(page("animation.html.j2", theme, films=films, note=shown.note), "utf-8")


_WRITERS: dict[str, Callable[[Stage, Path, Sequence[str], Theme | None, float], None]] = {
    ".gif": _write_gif,
    ".mp4": _write_mp4,
    ".html": _write_html,
}


def timeline(shown: Stage, names: Sequence[str]) -> list[float]:
    """The times of the frames: those of the forward film, then those of the reverse one, none twice in a row."""
    films = {"forward": shown.forward, "reverse": shown.reverse}
    times = [float(t) for name in names for t in films[name].times]
    return [t for place, t in enumerate(times) if place == 0 or t != times[place - 1]]


def _rests(times: Sequence[float]) -> list[float]:
    """Seconds to rest on each frame: a little where all is noise, longer where all is data."""
    rests = [_HOLD_NOISE if t == max(times) else 0.0 for t in times]
    rests[-1] = _HOLD_DATA if times[-1] == min(times) else _HOLD_NOISE
    return rests


def _drawn(shown: Stage, names: Sequence[str], times: Sequence[float], theme: Theme) -> Iterator[Pixels]:
    """One picture (height, width, 3) for each time; the axes are drawn once, the points every time."""
    with themed(theme), quiet_fonts():
        figure = Figure(
            figsize=(0.16 + 4.32 * len(names), 4.72), dpi=100, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.12)
        )
        canvas = FigureCanvasAgg(figure)
        axes = [_film_axes(figure, shown, names, place, theme) for place in range(len(names))]
        caption = figure.supxlabel(" ", fontsize=9, color=theme.muted)
        size = 2.6 if shown.forward.states.shape[1] > 600 else 4.0
        colours = {"forward": theme.data, "reverse": theme.generated}
        dots = [
            axis.plot([], [], "o", markersize=size, markeredgewidth=0, alpha=0.7, color=colours[name], animated=True)[0]
            for axis, name in zip(axes, names, strict=True)
        ]
        moving: list[Artist] = [*dots, caption]
        canvas.draw()  # type: ignore[no-untyped-call]
        still = canvas.copy_from_bbox(figure.bbox)  # type: ignore[no-untyped-call]
        for t in times:
            canvas.restore_region(still)  # type: ignore[no-untyped-call]
            for line, name in zip(dots, names, strict=True):
                points, noise, scale = at_time(shown.forward if name == "forward" else shown.reverse, t)
                line.set_data(points[:, 0], points[:, 1])
            drawn_at = f"   ·   drawn at × {number(scale)}" if shown.forward.scale is not None else ""
            caption.set_text(f"t = {t:.2f}   ·   noise level σ/α = {noise_level(noise)}{drawn_at}")
            for artist in moving:
                figure.draw_artist(artist)
            yield opaque(canvas)


def _film_axes(figure: Figure, shown: Stage, names: Sequence[str], place: int, theme: Theme) -> Axes:
    axes = figure.add_subplot(1, len(names), place + 1)
    shown.view.frame(axes)
    axes.set_title(_TITLES[names[place]], color=theme.ink)
    for axis, ticks, name in zip((axes.xaxis, axes.yaxis), shown.ticks, shown.columns, strict=True):
        axis.set_ticks([value for value, _ in ticks], [text for _, text in ticks])
        axis.set_label_text(name)
    return axes


def _palette(frames: Sequence[Image.Image]) -> Image.Image:
    """A few colours that serve all of these frames."""
    width, height = frames[0].size
    together = Image.new("RGB", (width, height * len(frames)))
    for place, frame in enumerate(frames):
        together.paste(frame, (0, place * height))
    return together.quantize(_GIF_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def _video_writer() -> Callable[..., Generator[None, Pixels | None, None]]:
    """imageio-ffmpeg's writer; InputError where the extra is not installed."""
    try:
        from imageio_ffmpeg import write_frames
    except ImportError:
        raise InputError(
            'MP4 needs the video extra: pip install "driftfield[video]", or choose .gif or .html.'
        ) from None
    writer: Callable[..., Generator[None, Pixels | None, None]] = write_frames
    return writer
