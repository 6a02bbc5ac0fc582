"""Nothing is lost: interrupted trainings resume, to the same bits."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command import COMMAND, TERMINAL, Run, run_here
from safetensors.numpy import load_file

LONG = ["--set", "data.rows=500", "--set", "network.width=16", "--set", "train.batch=64", "--steps", "2000"]


def start(folder: Path, *more: str) -> "subprocess.Popen[str]":
    """Begin a training in a process of its own, which can be interrupted."""
    return subprocess.Popen(
        [COMMAND, "fit", "moons", "-o", str(folder), *LONG, *more],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **TERMINAL},
    )


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    for _ in range(1200):
        if path.exists() or process.poll() is not None:
            return
        time.sleep(0.05)


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The weights of a training that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    done = run_here("fit", "moons", "-o", "run", *LONG, cwd=folder)
    assert done.returncode == 0, done.stderr
    return dict(load_file(folder / "run" / "model.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_resumed_weights_equal_those_of_an_uninterrupted_training(
    driftfield: Run, tmp_path: Path, number: signal.Signals, uninterrupted: dict[str, object]
) -> None:
    run = tmp_path / "run"
    process = start(run)
    wait_for(run / "checkpoint" / "setup.json", process)
    time.sleep(0.5)  # into the training; if it were over already, the exit code below would say so
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert f"driftfield fit --resume -o {run}" in errors
    refused = driftfield("sample", str(run), "-n", "3")
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    resumed = driftfield("fit", "--resume", "-o", str(run))
    assert resumed.returncode == 0, resumed.stderr
    for name, weights in load_file(run / "model.safetensors").items():
        assert (weights == uninterrupted[name]).all(), name


@pytest.mark.slow
def test_a_kill_loses_no_readable_run_and_training_resumes(driftfield: Run, tiny_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    before = (run / "model.safetensors").read_bytes()
    process = start(run, "--force", "--seed", "5")
    wait_for(run / "checkpoint" / "setup.json", process)
    time.sleep(0.3)
    process.kill()
    process.communicate()
    assert (run / "model.safetensors").read_bytes() == before
    assert driftfield("sample", str(run), "-n", "3").returncode == 0
    resumed = driftfield("fit", "--resume", "-o", str(run))
    assert resumed.returncode == 0, resumed.stderr
    assert (run / "model.safetensors").read_bytes() != before
    assert not (run / "checkpoint").exists()


@pytest.mark.slow
def test_a_loss_that_is_not_finite_says_where_and_what_to_try(driftfield: Run) -> None:
    wild = ["--set", "train.lr=1e30", "--set", "train.warmup=0"]
    done = driftfield("fit", "moons", "-o", "wild", "--steps", "200", *wild)
    assert done.returncode == 1
    assert "at step" in done.stderr
    assert "train.lr=" in done.stderr
