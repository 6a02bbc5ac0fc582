"""The README's commands and code blocks, executed as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(len(blocks("python"))))
def test_python_blocks_run(block: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", blocks("python")[block]], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def masked(text: str) -> str:
    """Words without their numbers, which differ from machine to machine in their last digits."""
    return re.sub(r"[-−]?\d[\d,.]*(e[-+]?\d+)?", "#", text)


@pytest.mark.slow
def test_commands_run_in_their_order_and_print_what_is_shown(tmp_path: Path) -> None:
    entries = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", "".join(blocks("console")), re.MULTILINE)
    driftfield = [(command, printed) for command, printed in entries if not command.startswith("make")]
    assert len(driftfield) >= 4
    for command, printed in driftfield:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=ENVIRONMENT, text=True, **streams)
        assert done.returncode == 0, f"{command}: {done.stdout}"
        assert masked(done.stdout) == masked(printed), command


def test_it_is_short() -> None:
    assert len(TEXT.splitlines()) <= 120


def test_its_figures_are_those_of_the_measurements() -> None:
    measured = (ROOT / "docs" / "measurements.md").read_text(encoding="utf-8")
    figures = re.findall(r"-?\d+\.\d+", "".join(line for line in TEXT.splitlines() if line.startswith("|")))
    assert len(figures) > 10
    for figure in figures:
        assert re.search(rf"(?<![\d.-]){re.escape(figure)}(?!\d)", measured), figure


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"`make (\w+)`|^\$ make (\w+)", TEXT, re.MULTILINE))
    for target in {one or other for one, other in named}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_picture_and_link_in_the_repository_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
