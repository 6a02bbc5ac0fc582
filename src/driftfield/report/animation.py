"""The forward and the reverse process as a file that moves: GIF, MP4, or a page with the report's own player.

The writers are our own, as Matplotlib's make larger files of the same frames: docs/measurements.md has the figures.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from PIL import Image

from driftfield.errors import DriftfieldError, InputError, unknown_name
from driftfield.files import check_writable, replacing
from driftfield.report.clouds import dots
from driftfield.report.contents import Process
from driftfield.report.page import page
from driftfield.report.panels import opaque, quiet_fonts
from driftfield.report.player import Stage, frame_at, payload, stage
from driftfield.report.style import LIGHT, Theme, find_theme, themed
from driftfield.wording import noise_level, number

VIEWS = {
    "forward": ("forward",),
    "reverse": ("reverse",),
    "both": ("forward", "reverse"),
    "loop": ("forward", "reverse"),
}
_TITLES = {"forward": "Forward: noise is added", "reverse": "Reverse: the model removes noise"}
_HOLD_NOISE, _HOLD_DATA = 0.7, 1.6  # seconds that the picture rests at either end
_FRAMES = 60
_GIF_COLOURS = 32

Pixels = NDArray[np.uint8]


class Shot(NamedTuple):
    """One frame: the film on each of its axes, the time, and for how many seconds more than others it stays."""

    films: tuple[str, ...]
    t: float
    rest: float


def animate(
    process: Process,
    path: Path | str,
    view: str = "both",
    theme: str | None = None,
    fps: float = 15.0,
    frames: int | None = None,
) -> None:
    """Write an animation to a .gif, .mp4 or .html file, whole or not at all.

    The view `both` shows the two processes side by side on one time axis: to noise, and back to data. The view `loop`
    shows them one after the other in one plot. Each film has so many frames; without a number, those that it has, and
    60 at most. Without a theme, pictures are light and a page follows its reader's setting.

    Raises:
        InputError: an extension, a view, a theme, a speed or a number of frames that does not exist; MP4 without the
            extra `video`.
    """
    path = Path(path)
    check_animation(path, view, theme, fps, frames)
    with replacing(path) as temporary:
        chosen = None if theme is None else find_theme(theme)
        _WRITERS[path.suffix.lower()](_staged(process, frames), temporary, view, chosen, fps)


def gif_bytes(
    process: Process, view: str = "both", theme: str | None = None, frames: int | None = None, fps: float = 15.0
) -> bytes:
    """The GIF that `animate` would write, to be part of a page.

    Raises:
        InputError: a view, a theme, a speed or a number of frames that does not exist.
    """
    _check_film(view, theme, fps, frames)
    buffer = io.BytesIO()
    _write_gif(_staged(process, frames), buffer, view, find_theme(theme) if theme else None, fps)
    return buffer.getvalue()


def check_animation(
    path: Path | str, view: str = "both", theme: str | None = None, fps: float = 15.0, frames: int | None = None
) -> None:
    """Raise what `animate` would raise for these arguments, before the work of filling a process is done."""
    path = Path(path)
    check_writable(path, tuple(_WRITERS))
    _check_film(view, theme, fps, frames)
    if path.suffix.lower() == ".mp4":
        _ffmpeg()


def _check_film(view: str, theme: str | None, fps: float, frames: int | None) -> None:
    if view not in VIEWS:
        raise unknown_name("view", view, VIEWS)
    if theme is not None:
        find_theme(theme)
    if not 1 <= fps <= 50:
        raise InputError(f"The speed must be between 1 and 50 frames per second, got {fps:g}.")
    if frames is not None and not 2 <= frames <= 1000:
        raise InputError(f"Each film must have between 2 and 1,000 frames, got {frames:,}.")


def _staged(process: Process, frames: int | None) -> Stage:
    return stage(process, frames=frames or _FRAMES, exactly=frames is not None)


def _write_gif(shown: Stage, path: Path | IO[bytes], view: str, theme: Theme | None, fps: float) -> None:
    """A GIF that loops for ever, all frames on one small palette."""
    shots = timeline(shown, view)
    frames = [Image.fromarray(pixels) for pixels in drawn_frames(shown, shots, theme or LIGHT)]
    palette = _palette([frames[0], frames[len(frames) // 2], frames[-1]])
    flat = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    pause = max(round(100 / fps), 2) * 10  # GIF counts in hundredths of a second, and players distrust a single one
    pauses = [pause + round(1000 * shot.rest) for shot in shots]
    flat[0].save(path, "GIF", save_all=True, append_images=flat[1:], duration=pauses, loop=0, optimize=False)


def _write_mp4(shown: Stage, path: Path, view: str, theme: Theme | None, fps: float) -> None:
    """An H.264 video that any browser plays."""
    shots = timeline(shown, view)
    drawn = zip(drawn_frames(shown, shots, theme or LIGHT), shots, strict=True)
    frames = [pixels for pixels, shot in drawn for _ in range(1 + round(shot.rest * fps))]
    height, width = frames[0].shape[:2]
    look = {"codec": "libx264", "quality": None, "macro_block_size": 2, "output_params": ["-crf", "25"]}
    writer = _ffmpeg().write_frames(str(path), (width, height), fps=fps, **look)
    try:
        writer.send(None)
        for pixels in frames:
            writer.send(np.ascontiguousarray(pixels))
        writer.close()
    except OSError as error:
        raise DriftfieldError(f"ffmpeg could not write the video ({error}); choose .gif or .html.") from error


def _ffmpeg() -> Any:
    """The module that writes videos; InputError where the extra that brings it is not installed."""
    try:
        import imageio_ffmpeg
    except ImportError:
        raise InputError(
            'MP4 needs the video extra: pip install "driftfield[video]", or choose .gif or .html.'
        ) from None
    return imageio_ffmpeg


def _write_html(shown: Stage, path: Path, view: str, theme: Theme | None, fps: float) -> None:
    """A page of its own with the player of the report; it loads nothing from the network."""
    films = payload(shown, VIEWS[view], frames_a_second=fps, one_screen=view == "loop")
    path.write_text(page("animation.html.j2", theme, films=films, note=shown.note), "utf-8")


_WRITERS: dict[str, Callable[[Stage, Path, str, Theme | None, float], None]] = {
    ".gif": _write_gif,
    ".mp4": _write_mp4,
    ".html": _write_html,
}


def timeline(shown: Stage, view: str) -> list[Shot]:
    """The frames of a view: those of the forward film, then those of the reverse one.

    Side by side, both films are shown at each time, and none twice in a row. A frame where all is noise rests a
    little, the last one longer if all is data.
    """
    alone = view == "loop"
    frames = [((name,) if alone else VIEWS[view], float(t)) for name in VIEWS[view] for t in shown.films[name].times]
    kept = [frames[i] for i in range(len(frames)) if i == 0 or alone or frames[i][1] != frames[i - 1][1]]
    times = [t for _, t in kept]
    rests = [_HOLD_NOISE if t == max(times) and times[i - 1] != t else 0.0 for i, t in enumerate(times)]
    rests[-1] = _HOLD_DATA if times[-1] == min(times) else _HOLD_NOISE
    return [Shot(films, t, rest) for (films, t), rest in zip(kept, rests, strict=True)]


def drawn_frames(shown: Stage, shots: Sequence[Shot], theme: Theme) -> Iterator[Pixels]:
    """One picture (height, width, 3) for each shot; the axes are drawn once, the points every time."""
    plots = len(shots[0].films)
    with themed(theme), quiet_fonts():
        layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.12)
        figure = Figure(figsize=(0.16 + 4.32 * plots, 4.72), dpi=100, layout=layout)
        canvas = FigureCanvasAgg(figure)
        axes = [_film_axes(figure.add_subplot(1, plots, place + 1), shown, theme) for place in range(plots)]
        caption = figure.supxlabel(" ", fontsize=9, color=theme.muted)
        size = 2.6 if shown.films["forward"].states.shape[1] > 600 else 4.0
        clouds = [dots(axis, np.empty((0, 2)), theme.data, theme, alpha=0.7, size=size) for axis in axes]
        for cloud in clouds:
            cloud.set_animated(True)
        canvas.draw()  # type: ignore[no-untyped-call]
        still = canvas.copy_from_bbox(figure.bbox)  # type: ignore[no-untyped-call]
        for shot in shots:
            canvas.restore_region(still)  # type: ignore[no-untyped-call]
            for axis, cloud, name in zip(axes, clouds, shot.films, strict=True):
                film = frame_at(shown.films[name], shot.t)
                cloud.set_data(*film.states[0].T)
                cloud.set_markerfacecolor(theme.data if name == "forward" else theme.generated)
                figure.draw_artist(cloud)
                figure.draw_artist(axis.set_title(_TITLES[name]))
            drawn_at = f"   ·   drawn at × {number(float(film.scale[0]))}" if shown.rescaled else ""
            caption.set_text(f"t = {shot.t:.2f}   ·   noise level σ/α = {noise_level(float(film.noise[0]))}{drawn_at}")
            figure.draw_artist(caption)
            yield opaque(canvas)


def _film_axes(axes: Axes, shown: Stage, theme: Theme) -> Axes:
    shown.view.frame(axes)
    axes.set_title(" ", color=theme.ink)
    for axis, ticks, name in zip((axes.xaxis, axes.yaxis), shown.ticks, shown.columns, strict=True):
        axis.set_ticks([value for value, _ in ticks], [text for _, text in ticks])
        axis.set_label_text(name)
    return axes


def _palette(frames: Sequence[Image.Image]) -> Image.Image:
    """A few colours that serve all of these frames; that of their corner, the paper, as it is."""
    together = Image.fromarray(np.concatenate([np.asarray(frame) for frame in frames]))
    few = together.quantize(_GIF_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    paper = frames[0].crop((0, 0, 1, 1)).quantize(palette=few, dither=Image.Dither.NONE).getpixel((0, 0))
    assert isinstance(paper, int)
    colours = few.getpalette() or []
    colours[3 * paper : 3 * paper + 3] = np.asarray(frames[0])[0, 0].tolist()
    few.putpalette(colours)
    return few
