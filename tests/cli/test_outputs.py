"""What -o names: never an input, refused before the work where it cannot be written, and the only file written."""

import hashlib
import os
import shutil
from pathlib import Path

import polars as pl
import pytest
from command import TINY, Run

ROWS = "x,y\n" + "".join(f"{i},{i * i % 7}\n" for i in range(30))


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def test_an_output_that_is_an_input_is_refused(driftfield: Run, run: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    (tmp_path / "soft.csv").symlink_to("rows.csv")
    os.link(tmp_path / "rows.csv", tmp_path / "hard.csv")
    before = contents(tmp_path)
    commands = [("score", "run", "rows.csv", "-o", out) for out in ("rows.csv", "./rows.csv", "soft.csv", "hard.csv")]
    commands += [("score", "run", "rows.csv:y,x", "-o", "rows.csv"), ("data", "rows.csv", "-o", "soft.csv")]
    commands += [
        (verb, "run", *more, "-o", "run/train.parquet") for verb, *more in (("sample", "-n", "3"), ("evaluate",))
    ]
    commands += [("fit", "run/held_out.parquet", "-o", "run", "--force", *TINY)]
    for command in commands:
        done = driftfield(*command)
        assert (done.returncode, done.stdout) == (2, ""), command
        assert "which is read" in done.stderr or "belong to the run" in done.stderr
    assert contents(tmp_path) == before


def test_the_file_that_a_run_was_trained_on_is_not_overwritten(driftfield: Run, tmp_path: Path) -> None:
    for name in ("rows.csv", "others.csv"):
        (tmp_path / name).write_text(ROWS)
    (tmp_path / "soft.csv").symlink_to("rows.csv")
    assert driftfield("fit", "rows.csv:x,y", "-o", "runs/one", *TINY).returncode == 0
    before = contents(tmp_path)
    commands = [("sample", "runs/one", "-n", "2", "-o", out) for out in ("rows.csv", "soft.csv")]
    commands += [("score", "runs/one", "others.csv", "-o", "rows.csv"), ("evaluate", "runs/one", "-o", "rows.csv")]
    for command in commands:
        done = driftfield(*command)
        assert (done.returncode, done.stdout) == (2, ""), command
        assert "rows.csv, which the run was trained on; choose another name." in done.stderr
    assert contents(tmp_path) == before
    assert driftfield("sample", "runs/one", "-n", "2", "-o", "new.csv").returncode == 0


@pytest.mark.parametrize(
    "command",
    [("report", "run"), ("verify", "run"), ("evaluate", "run"), ("animate", "run"), ("samplers", "--measure")],
)
def test_a_wrong_ending_is_refused_before_the_work(driftfield: Run, run: Path, command: tuple[str, ...]) -> None:
    done = driftfield(*command, "-o", "x.txt")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: Cannot write x.txt: end its name in .")
    assert done.stderr.count("\n") == 1


def make_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the folder of the run be read-only, as to anyone but root."""
    access = os.access

    def allowed(path: str, mode: int) -> bool:
        return access(path, mode) and not (mode & os.W_OK and Path(path).name == "run")

    monkeypatch.setattr(os, "access", allowed)


@pytest.mark.parametrize("verb", ["report", "verify", "evaluate"])
def test_a_run_that_cannot_be_written_is_refused_before_the_work(
    driftfield: Run, run: Path, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(run)
    make_read_only(monkeypatch)
    done = driftfield(verb, "run")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: The run run cannot be written: name the file to write with -o.\n"
    assert contents(run) == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="of Linux")
@pytest.mark.parametrize(
    ("command", "out"),
    [
        (("report", "run"), "/proc/x.html"),
        (("verify", "run"), "/proc/x.html"),
        (("evaluate", "run"), "/proc/x.csv"),
        (("animate", "run"), "/proc/x.gif"),
        (("sample", "run", "-n", "3"), "/proc/x.csv"),
        (("samplers", "--measure"), "/proc/x.png"),
        (("data", "moons"), "/proc/x.csv"),
    ],
)
def test_a_folder_that_takes_no_file_is_named_before_the_work_even_to_root(
    driftfield: Run, run: Path, command: tuple[str, ...], out: str
) -> None:
    done = driftfield(*command, "-o", out)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: Cannot write {out}")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_with_o_that_file_alone_is_written_even_for_a_run_that_is_read_only(
    driftfield: Run, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(run)
    make_read_only(monkeypatch)
    outs = {"report": "page.html", "verify": "check.html", "evaluate": "samples.csv", "animate": "film.html"}
    for verb, out in outs.items():
        less = ("--theme", "light") if verb in ("report", "animate") else ("--rows", "50")
        done = driftfield(verb, "run", "-o", out, *less)
        assert done.returncode in (0, 1), done.stderr  # a model of 60 steps may fail its verification
        assert (tmp_path / out).exists()
    assert contents(run) == before
    assert pl.read_csv(tmp_path / "samples.csv").shape == (50, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*outs.values(), "run"])


def test_a_file_in_the_place_of_the_figures_is_named_before_the_work(driftfield: Run, run: Path) -> None:
    shutil.rmtree(run / "figures", ignore_errors=True)
    (run / "figures").write_text("")
    done = driftfield("report", "run")
    assert (done.returncode, done.stdout) == (2, "")
    assert "a file run/figures where a folder of figures belongs" in done.stderr


def test_rows_are_written_under_names_that_are_long_or_no_text(driftfield: Run, run: Path, tmp_path: Path) -> None:
    for name in ("a" * 251 + ".csv", "b\udcff.csv"):
        done = driftfield("sample", "run", "-n", "3", "-o", name, "-q")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / name).read_text().count("\n") == 4


def test_the_name_of_a_run_must_be_text(driftfield: Run, tmp_path: Path) -> None:
    for name in ("r\udcff", "r" * 300):
        done = driftfield("fit", "moons", "-o", name, *TINY)
        assert done.returncode == 2
        assert done.stderr.startswith("Error: The output folder r")
        assert done.stderr.isascii()
    assert list(tmp_path.iterdir()) == []
