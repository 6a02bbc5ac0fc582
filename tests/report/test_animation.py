"""An animation has the frames it should have, in the format that was asked for, or there is an error."""

import builtins
import html
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from synthetic import film, moons, synthetic_table

from driftfield.errors import DriftfieldError, InputError
from driftfield.model.sampling import Trajectory
from driftfield.report import Process, animate, check_animation, gif_bytes
from driftfield.report.player import frame_at, frames_at
from driftfield.report.style import THEMES


@pytest.fixture
def process() -> Process:
    return Process(("x", "$y$"), film(moons(80, 0.1, 0), 1, 6), film(moons(80, 0.1, 2), 2, 6, reverse=True))


@pytest.mark.parametrize(("view", "frames", "width"), [("forward", 6, 448), ("reverse", 6, 448), ("both", 11, 880)])
def test_a_gif_has_every_frame_and_loops(process: Process, tmp_path, view: str, frames: int, width: int) -> None:
    animate(process, tmp_path / "a.gif", view=view, fps=10)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == frames
        assert gif.width == width
        assert gif.info["loop"] == 0
        gif.seek(1)
        assert gif.info["duration"] == 100
        gif.seek(frames - 1)
        assert gif.info["duration"] > 700


@pytest.mark.parametrize("frames", [3, 6, 10])  # fewer than the films have, as many, and more
def test_a_loop_plays_forward_then_reverse_in_one_plot_and_starts_again(process: Process, frames: int) -> None:
    with Image.open(io.BytesIO(gif_bytes(process, "loop", frames=frames, fps=25))) as gif:
        assert gif.n_frames == 2 * frames
        assert gif.width == 448
        assert gif.info["loop"] == 0
        pictures, pauses = [], []
        for place in (0, frames - 1, frames, 2 * frames - 1):
            gif.seek(place)
            pictures.append(np.asarray(gif.convert("RGB"), dtype=int))
            pauses.append(gif.info["duration"])
    assert pauses == [40, 740, 40, 1640]
    redder = [(shown[..., 0] - shown[..., 2])[np.ptp(shown, axis=2) > 60] for shown in pictures]
    assert all(len(dots) > 100 for dots in redder)
    assert [(dots > 0).mean() > 0.98 for dots in redder] == [False, False, True, True]  # the colour of generated data
    assert [(dots < 0).mean() > 0.98 for dots in redder] == [True, True, False, False]  # the colour of real data


def test_both_films_side_by_side_have_the_frames_asked_for(process: Process, tmp_path) -> None:
    animate(process, tmp_path / "a.gif", frames=20)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 39  # where all is noise, both films are at the same time


def test_a_gif_as_bytes_is_the_gif_that_is_written(process: Process, tmp_path) -> None:
    animate(process, tmp_path / "a.gif", view="loop", theme="dark", fps=20, frames=4)
    assert (tmp_path / "a.gif").read_bytes() == gif_bytes(process, "loop", "dark", frames=4, fps=20)


@pytest.mark.parametrize("theme", THEMES)
def test_the_paper_of_a_gif_is_the_paper_of_its_theme(process: Process, theme: str) -> None:
    with Image.open(io.BytesIO(gif_bytes(process, "loop", theme, frames=3))) as gif:
        assert "#{:02x}{:02x}{:02x}".format(*gif.convert("RGB").getpixel((0, 0))) == THEMES[theme].paper


def test_a_film_of_a_thousand_points_and_two_hundred_frames_is_small() -> None:
    rows = moons(1000, 0.1, 0)
    shown = Process(("x", "y"), film(rows, 1, 100), film(rows, 2, 100, reverse=True))
    assert len(gif_bytes(shown, "loop", "blackboard", frames=100, fps=25)) < 2.5e6


def test_a_page_of_a_loop_has_one_screen_for_both_films(process: Process, tmp_path) -> None:
    animate(process, tmp_path / "a.html", view="loop", frames=8)
    text = (tmp_path / "a.html").read_text("utf-8")
    films = json.loads(re.search(r'id="films">(.*?)</script>', text, re.DOTALL)[1])
    assert [(shown["name"], len(shown["times"])) for shown in films["films"]] == [("forward", 8), ("reverse", 8)]
    assert films["one_screen"]
    assert text.count("<canvas") == 1


def test_resampling_keeps_the_ends_and_lies_on_the_lines_between(process: Process) -> None:
    old = process.reverse
    for frames in (2, 6, 11):
        new = frames_at(old, np.linspace(0, 5, frames))
        assert new.states.shape == (frames, *old.states.shape[1:])
        np.testing.assert_allclose(new.states[[0, -1]], old.states[[0, -1]])
        for t, states in zip(new.times, new.states, strict=True):
            np.testing.assert_allclose(states, frame_at(old, float(t)).states[0], atol=1e-12)
    np.testing.assert_array_equal(frames_at(old, np.arange(6.0)).noise, old.noise)


def test_a_gif_shows_noise_in_the_middle_and_data_at_its_ends(process: Process, tmp_path) -> None:
    animate(process, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        pictures = []
        for place in (0, 5, 10):
            gif.seek(place)
            pictures.append(np.asarray(gif.convert("RGB"), dtype=int))
    first, middle, last = pictures
    assert np.array_equal(first, last)
    assert not np.array_equal(first, middle)


def test_a_dark_gif_is_dark(process: Process, tmp_path) -> None:
    animate(process, tmp_path / "a.gif", view="reverse", theme="dark")
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.convert("L").resize((1, 1)).getpixel((0, 0)) < 60


def test_a_page_stands_alone_and_holds_the_films_asked_for(process: Process, tmp_path) -> None:
    animate(process, tmp_path / "a.html", view="reverse", fps=20)
    text = (tmp_path / "a.html").read_text("utf-8")
    assert "default-src 'none'" in html.unescape(text)
    assert not re.search(r'(src|href)="(?!data:)', text)
    films = json.loads(re.search(r'id="films">(.*?)</script>', text, re.DOTALL)[1])
    assert [shown["name"] for shown in films["films"]] == ["reverse"]
    assert films["frames_a_second"] == 20
    assert text.count("<canvas") == 1
    assert "prefers-color-scheme: dark) { :root" in text


def test_a_page_with_a_theme_keeps_to_it(process: Process, tmp_path) -> None:
    animate(process, tmp_path / "a.html", theme="dark")
    text = (tmp_path / "a.html").read_text("utf-8")
    assert "color-scheme: dark;" in text
    assert "@media (prefers-color-scheme" not in text


def test_a_video_is_written_with_the_extra(process: Process, tmp_path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    animate(process, tmp_path / "a.mp4", fps=10)
    frames, seconds = ffmpeg.count_frames_and_secs(str(tmp_path / "a.mp4"))
    assert frames == 11 + 7 + 16  # eleven frames, and the rests at noise (0.7 s) and at data (1.6 s)
    assert seconds == pytest.approx(3.4, abs=0.11)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_video_without_the_extra_is_an_error_and_writes_nothing(process: Process, tmp_path, monkeypatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name == "imageio_ffmpeg":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r'MP4 needs the video extra: pip install "driftfield\[video\]"'):
        animate(process, tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("a.webm", {}, "end its name in .gif, .mp4 or .html"),
        ("a", {}, "end its name in .gif, .mp4 or .html"),
        ("a.gif", {"view": "foreward"}, 'did you mean "forward"'),
        ("a.gif", {"theme": "lite"}, 'did you mean "light"'),
        ("a.gif", {"fps": 0}, "between 1 and 50"),
        ("a.gif", {"frames": 1}, "between 2 and 1,000 frames"),
        ("missing/a.gif", {}, "create it first"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(tmp_path, name: str, more: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_animation(tmp_path / name, **more)


def test_a_failure_leaves_the_old_file(process: Process, tmp_path, monkeypatch) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(b"old")
    monkeypatch.setattr(Image.Image, "save", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(DriftfieldError, match="disk full"):
        animate(process, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_tables_of_one_and_of_many_columns_move(tmp_path) -> None:
    for columns in (("a",), tuple("abcde")):
        shown = synthetic_table(columns, rows=20).process
        animate(shown, tmp_path / "a.html")
        text = (tmp_path / "a.html").read_text("utf-8")
        assert ("first two of 5 columns are shown" in text) == (len(columns) == 5)


def test_points_between_frames_lie_on_the_line_between_them() -> None:
    states = np.array([[[2.0, 0.0]], [[1.0, 4.0]], [[0.0, 4.0]]])
    drawn = Trajectory(np.array([1.0, 0.5, 0.0]), states, np.array([np.inf, 1.0, 0.0]), np.ones(3))
    for t, expected in ((1.0, (2.0, 0.0)), (0.75, (1.5, 2.0)), (0.5, (1.0, 4.0)), (0.1, (0.2, 4.0)), (0.0, (0.0, 4.0))):
        assert frame_at(drawn, t).states[0, 0] == pytest.approx(expected)
    assert frame_at(drawn, 0.9).noise == np.inf
    assert frame_at(drawn, 0.6).noise == 1.0


def test_points_that_are_lost_on_the_way_are_not_drawn(tmp_path) -> None:
    broken = film(moons(10, 0.1, 0), 1, 4)
    broken.states[2, 3] = np.nan
    animate(Process(("x", "y"), broken, broken), tmp_path / "a.html", view="forward")
    text = (tmp_path / "a.html").read_text("utf-8")
    assert json.loads(re.search(r'id="films">(.*?)</script>', text, re.DOTALL)[1])["films"][0]["points"] == 9
