"""The installed command in a process of its own: streams, exit codes, and the same answers as inside this one."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from command import TINY, Run

import driftfield as package


def test_help_names_every_command_and_loads_neither_torch_nor_matplotlib(process: Run) -> None:
    shown = process("--help")
    assert shown.returncode == 0
    for command in ("demo", "fit", "sample", "score", "evaluate", "report", "animate", "recipes", "data"):
        assert command in shown.stdout
    check = "import sys, driftfield.cli; print(sorted({'torch', 'matplotlib', 'sklearn', 'polars'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_version_is_that_of_the_package(process: Run) -> None:
    shown = process("--version")
    assert (shown.returncode, shown.stdout.strip(), shown.stderr) == (0, package.__version__, "")


def test_errors_leave_the_process_with_exit_code_2_and_one_sentence_on_stderr(process: Run, tmp_path: Path) -> None:
    done = process("fit", "nowhere.csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert process("fitt", "moons").returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_run_is_exit_code_2_and_shows_its_trace_only_with_debug(
    process: Run, tiny_run: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(tiny_run, tmp_path / "broken"))
    (broken / "model.safetensors").write_bytes(b"nothing")
    plain = process("sample", str(broken), "-n", "3")
    assert plain.returncode == 2
    assert "model.safetensors" in plain.stderr
    assert "Traceback" not in plain.stderr
    assert "Traceback" in process("sample", str(broken), "-n", "3", "--debug").stderr


@pytest.mark.slow
def test_rows_go_through_pipes_and_come_out_as_they_do_inside_this_process(driftfield: Run, process: Run) -> None:
    rows = "a,b\n" + "".join(f"{i % 17},{i * i % 23}\n" for i in range(80))
    for run, command in (("piped", process), ("here", driftfield)):
        fitted = command("fit", "-", "-o", run, *TINY, stdin=rows)
        assert fitted.returncode == 0, fitted.stderr
        assert fitted.stdout == f"{run}\n"
    piped = process("sample", "piped", "-n", "5", "--quiet")
    assert (piped.returncode, piped.stderr) == (0, "")
    assert piped.stdout == driftfield("sample", "here", "-n", "5", "--quiet").stdout
    assert pl.read_csv(io.StringIO(piped.stdout)).shape == (5, 2)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_results_are_utf_8_in_every_locale(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "names.csv").write_text("größe,λ₁ [m]\n" + "".join(f"{i % 7},{i}\n" for i in range(30)), "utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    shown = subprocess.run(
        [sys.executable, "-m", "driftfield", "data", "names.csv"], cwd=tmp_path, env=environment, capture_output=True
    )
    assert shown.returncode == 0, shown.stderr
    assert "größe" in shown.stdout.decode("utf-8")
    assert "λ₁ [m]" in shown.stdout.decode("utf-8")


def test_brackets_and_colons_in_names_are_printed_as_they_are(driftfield: Run, tmp_path: Path) -> None:
    names = ["temp [c]", "speed [m/s]", "[/s]", "[bold]", ":warning:"]
    rows = "".join(",".join(str((i + 1) * (k + 2) % 11) for k in range(5)) + "\n" for i in range(30))
    (tmp_path / "units.csv").write_text(",".join(names) + "\n" + rows)
    shown = driftfield("data", "units.csv")
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in names)
