"""Fixtures that run the command."""

import shutil
from functools import partial
from pathlib import Path

import pytest
from command import TINY, Run, run_here, run_process

from driftfield.evaluation import classifiers


@pytest.fixture(autouse=True)
def weak_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rounds of boosting: how well classifiers judge is tested in tests/evaluation."""
    monkeypatch.setattr(classifiers, "ITERATIONS", 20)


@pytest.fixture
def driftfield(tmp_path: Path) -> Run:
    """Run the command in an empty folder; ``driftfield("fit", "moons", stdin="..")``."""
    return partial(run_here, cwd=tmp_path)


@pytest.fixture
def process(tmp_path: Path) -> Run:
    """The same in a process of its own, where that is what matters: signals, streams, exit codes, the installation."""
    return partial(run_process, cwd=tmp_path)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two moons, trained for a moment."""
    folder = tmp_path_factory.mktemp("runs")
    done = run_here("fit", "moons", "-o", "tiny", "--set", "data.rows=1000", *TINY, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "tiny"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run of the module's fixture `trained`, beside its files in the folder of the test."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"
