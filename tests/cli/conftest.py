"""Fixtures that run the command."""

import subprocess
from pathlib import Path

import pytest
from command import COMMAND, TINY, Run, environment


@pytest.fixture
def driftfield(tmp_path: Path) -> Run:
    """Run the command in an empty folder; ``driftfield("fit", "moons", stdin="..")``."""

    def run(*arguments: str, stdin: str | None = None, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [COMMAND, *arguments],
            cwd=cwd or tmp_path,
            input=stdin,
            capture_output=True,
            text=True,
            env=environment(),
            timeout=300,
        )

    return run


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two moons, trained for a moment."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    command = [COMMAND, "fit", "moons", "-o", str(folder), "--set", "data.rows=1000", *TINY]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=300)
    assert done.returncode == 0, done.stderr
    return folder
