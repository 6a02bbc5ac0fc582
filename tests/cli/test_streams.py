"""Closed, full and broken streams; and messages that quote what would harm a terminal."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import TINY, Run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="streams of a shell")

FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")


def shell(line: str, cwd: Path, unbuffered: bool = False) -> "subprocess.CompletedProcess[str]":
    """A line of bash, where `$df` is the command; its exit code is that of the command that fails, also in a pipe."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    environment |= {"df": f"{sys.executable} -m driftfield"} | ({"PYTHONUNBUFFERED": "1"} if unbuffered else {})
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("line", "shown", "unbuffered"),
    [
        ("$df recipes --json | head -c 2", '{"', False),
        ("$df recipes --json | head -c 2", '{"', True),
        ("$df --help | true", "", False),
    ],
)
def test_a_reader_that_has_seen_enough_ends_the_command_quietly(
    tmp_path: Path, line: str, shown: str, unbuffered: bool
) -> None:
    done = shell(line, tmp_path, unbuffered)
    assert (done.returncode, done.stdout, done.stderr) == (0, shown, "")


@pytest.mark.parametrize(
    ("to", "why", "unbuffered"),
    [
        (">&-", "Bad file descriptor", False),
        pytest.param(">/dev/full", "No space left on device", False, marks=FULL),
        pytest.param(">/dev/full", "No space left on device", True, marks=FULL),
    ],
)
def test_results_that_are_lost_are_a_failure(tmp_path: Path, to: str, why: str, unbuffered: bool) -> None:
    done = shell(f"$df recipes {to}", tmp_path, unbuffered)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {why} (standard output).\n")


@pytest.mark.parametrize("to", ["2>&-", pytest.param("2>/dev/full", marks=FULL)])
def test_messages_that_are_lost_change_nothing_else(driftfield: Run, tmp_path: Path, tiny_run: Path, to: str) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    rows = driftfield("sample", "run", "-n", "3", "--steps", "1")
    assert rows.stdout.count("\n") == 4
    assert "Warning" in rows.stderr
    done = shell(f"$df sample run -n 3 --steps 1 {to}", tmp_path)  # it warns
    assert (done.returncode, done.stdout) == (0, rows.stdout)
    lost = shell(f"$df sample none -n 3 {to}", tmp_path)
    assert (lost.returncode, lost.stdout) == (2, "")


def test_files_do_not_take_the_places_of_closed_streams(driftfield: Run, tmp_path: Path) -> None:
    """Else a message would end in a file that is being written."""
    fit = "fit moons --steps 20 --set network.width=8 --set data.rows=500 --quiet -o"
    assert shell(f"$df {fit} closed <&- >&- 2>&-", tmp_path).returncode == 1
    assert driftfield(*fit.split(), "open").returncode == 0
    for name in ("model.safetensors", "train.parquet", "recipe.toml"):
        assert (tmp_path / "closed" / name).read_bytes() == (tmp_path / "open" / name).read_bytes()


def test_rows_from_a_closed_stdin_are_refused(tmp_path: Path) -> None:
    done = shell("$df fit - <&-", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: Standard input is closed: name a file in place of -.\n"


def test_an_endless_stdin_is_refused(tmp_path: Path, driftfield: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driftfield.datasets.files.MOST_PIPED", 1_000)
    done = driftfield("fit", "-", stdin="1,2\n" * 251)
    assert (done.returncode, done.stdout) == (2, "")
    assert "goes on after 1,000 bytes" in done.stderr
    assert list(tmp_path.iterdir()) == []


HOSTILE = "a\x1b[31m\n\r\x07\u202eb"


@pytest.mark.parametrize(
    "arguments",
    [
        ("fit", HOSTILE),
        ("fit", f"{HOSTILE}.csv"),
        ("fit", "moons", "-r", f"{HOSTILE}.toml"),
        ("fit", "moons", "--device", HOSTILE),
        ("fit", "moons", "--time", HOSTILE),
        ("fit", "moons", "--set", f"train.{HOSTILE}=1"),
        ("fit", "moons", "--set", f"train.decay={HOSTILE}"),
        ("fit", "moons", "-o", f"none\0{HOSTILE}"),
        ("fit", "moons", "--seed", HOSTILE),
        ("fit", f"--{HOSTILE}"),
        ("sample", HOSTILE, "-n", "3"),
        (HOSTILE,),
    ],
)
def test_what_a_message_quotes_is_short_and_harmless(
    driftfield: Run, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    for lengthened in (arguments, tuple(each.replace("b", "b" * 100_000) for each in arguments)):
        done = driftfield(*lengthened)
        assert (done.returncode, done.stdout) == (2, "")
        assert all(line.isprintable() and len(line) <= 1_500 for line in done.stderr.splitlines())
        assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert list(tmp_path.iterdir()) == []


def test_progress_and_tables_quote_names_without_control_characters(driftfield: Run, tmp_path: Path) -> None:
    name = "a\x1b[31m.csv"
    rows = "".join(f"{i % 7},{i * i % 11}\n" for i in range(40))
    (tmp_path / name).write_text("x\x1b[2J\x07,y\u202e\n" + rows)
    fitted = driftfield("fit", name, "-o", "run", *TINY)
    assert fitted.returncode == 0, fitted.stderr
    assert "a\\x1b[31m.csv" in fitted.stderr
    shown = driftfield("data", name)
    for text in (fitted.stderr, shown.stdout, driftfield("evaluate", "run").stdout):
        assert all(line.isprintable() for line in text.splitlines())
    assert "x\\x1b[2J\\x07" in shown.stdout


@pytest.mark.parametrize("device", ["meta", "mps:7", "tpu", "", "cpu:-1", "cpu:9999", "vulkan", "privateuseone"])
def test_an_odd_device_is_the_cpu_or_refused(driftfield: Run, tiny_run: Path, device: str) -> None:
    done = driftfield("sample", str(tiny_run), "-n", "1", "--quiet", "--device", device)
    if done.returncode == 0:
        assert done.stdout == driftfield("sample", str(tiny_run), "-n", "1", "--quiet", "--device", "cpu").stdout
    else:
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f'Error: There is no device "{device}" here')
        assert done.stderr.count("\n") == 1
