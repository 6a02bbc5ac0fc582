"""Tutorials, classes and epochs on the command line."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import COMMAND, TINY, Run, environment

from driftfield.recipe import load_recipe

CLASSED = ["--set", "data.label=kind", "--set", "network.width=16", "--set", "train.batch=64"]


def animals() -> str:
    """Two kinds, apart along x alone, as CSV."""
    rng = np.random.default_rng(0)
    kinds = rng.choice(["cat", "dog"], 200)
    rows = [f"{(3 if kind == 'dog' else -3) + rng.normal():.3f},{kind},{rng.normal():.3f}" for kind in kinds]
    return "\n".join(["x,kind,y", *rows, ""])


@pytest.fixture(scope="module")
def classed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows two kinds, trained for 300 steps of a wider learning rate."""
    import subprocess

    folder = tmp_path_factory.mktemp("classed")
    (folder / "animals.csv").write_text(animals())
    command = [COMMAND, "fit", "animals.csv", "-o", "run", "--epochs", "100", "--set", "train.lr=1e-2", *CLASSED]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment(), timeout=300)
    assert done.returncode == 0, done.stderr
    assert "300 steps" in done.stderr  # 144 rows to train on make three batches of 64
    return folder / "run"


def rows_of(text: str) -> np.ndarray:
    header, *rows = csv.reader(io.StringIO(text))
    assert header == ["x", "y"]
    return np.array(rows, dtype=float)


def test_the_tutorials_are_listed_with_what_they_follow(driftfield: Run) -> None:
    shown = driftfield("tutorial")
    assert shown.returncode == 0
    names = [line.split()[0] for line in shown.stdout.splitlines() if line.startswith("  ")]
    assert len(names) == 10
    assert sum(line.startswith("00") for line in shown.stdout.splitlines()) == 6  # five documents, one in two parts
    entries = json.loads(driftfield("tutorial", "--json").stdout)
    assert [entry["name"] for entry in entries] == names
    assert all(load_recipe(name) for name in names)


def test_an_unknown_tutorial_and_two_lengths_are_refused_and_nothing_is_written(
    driftfield: Run, tmp_path: Path
) -> None:
    for arguments, word in (
        (["nonsense"], "choose one of ddpm-vlb"),
        (["moons-dpm"], 'did you mean "moons-ddpm"?'),
        (["moons-ddpm", "--epochs", "3", "--time", "5s"], "not both"),
        (["moons-ddpm", "--time", "soon"], "30s"),
        (["moons-ddpm", "--set", "train.lrr=1"], "lrr"),
    ):
        done = driftfield("tutorial", *arguments)
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        assert word in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_label_column_is_learned_and_its_classes_can_be_drawn(driftfield: Run, classed_run: Path) -> None:
    assert json.loads((classed_run / "environment.json").read_text())["steps"] == 300
    for kind, side in (("cat", -1), ("dog", 1)):
        for options in ([], ["--guidance", "2"]):
            done = driftfield("sample", str(classed_run), "-n", "50", "--class", kind, *options)
            assert done.returncode == 0, done.stderr
            rows = rows_of(done.stdout)
            assert rows.shape == (50, 2)
            # Three standard deviations from the middle; one row in ten is allowed to a training of 300 steps.
            assert np.mean(np.sign(rows[:, 0]) == side) >= 0.9


def test_guidance_zero_is_no_class_on_the_command_line_too(driftfield: Run, classed_run: Path) -> None:
    free = driftfield("sample", str(classed_run), "-n", "9").stdout
    assert driftfield("sample", str(classed_run), "-n", "9", "--class", "cat", "--guidance", "0").stdout == free


def test_a_class_that_cannot_be_drawn_is_refused(driftfield: Run, classed_run: Path, tiny_run: Path) -> None:
    for arguments, word in (
        ([str(classed_run), "--class", "cta"], 'did you mean "cat"?'),
        ([str(classed_run), "--guidance", "2"], "--class"),
        ([str(tiny_run), "--class", "cat"], "knows no classes"),
    ):
        done = driftfield("sample", *arguments, "-n", "3")
        assert done.returncode == 2
        assert done.stdout == ""
        assert word in done.stderr
        assert "\n" not in done.stderr.strip()


def test_rows_are_scored_given_their_class(driftfield: Run, classed_run: Path) -> None:
    scores = {}
    for kind in ("cat", "dog"):
        done = driftfield("score", str(classed_run), "-", "--class", kind, "--json", stdin="x,y\n-3,0\n3,0\n")
        scores[kind] = json.loads(done.stdout)["log_density"]
    assert scores["cat"][0] > scores["cat"][1] + 1
    assert scores["dog"][1] > scores["dog"][0] + 1


def test_a_report_is_written_in_the_theme_that_is_asked_for(
    driftfield: Run, tiny_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    wrong = driftfield("report", "run", "--theme", "blackbord")
    assert wrong.returncode == 2
    assert 'did you mean "blackboard"?' in wrong.stderr
    done = driftfield("report", "run", "--theme", "blackboard", "--rows", "20")
    assert done.returncode == 0, done.stderr
    dark = (tmp_path / "run" / "report.html").read_text()
    from driftfield.figures.style import BLACKBOARD, LIGHT

    assert BLACKBOARD.paper in dark
    assert LIGHT.paper not in dark


def test_epochs_are_passes_through_the_rows(driftfield: Run, tmp_path: Path) -> None:
    few = ["--set", "data.rows=300", "--set", "network.width=8", "--set", "train.batch=128", "-q"]
    done = driftfield("fit", "moons", "-o", "passes", "--epochs", "4", "--set", "train.snapshots=[1, 3]", *few)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "passes" / "environment.json").read_text())["steps"] == 12
    assert "snapshots = [3, 9]" in (tmp_path / "passes" / "recipe.toml").read_text()
    both = driftfield("fit", "moons", "--epochs", "4", "--steps", "3", "-o", "both")
    assert both.returncode == 2
    assert "train.epochs and train.steps" in both.stderr


def test_steps_take_the_place_of_a_recipes_epochs_and_of_the_snapshots_that_count_them(
    driftfield: Run, tmp_path: Path
) -> None:
    done = driftfield("fit", "-r", "moons-ddpm", "--steps", "5", "--set", "data.rows=100", "-o", "a", "-q")
    assert done.returncode == 0, done.stderr
    assert "snapshots = []" in (tmp_path / "a" / "recipe.toml").read_text()
    done = driftfield("fit", "moons", "-o", "b", "--set", "train.snapshots=[10, 20]", "-q", *TINY)
    assert done.returncode == 0, done.stderr
    assert "snapshots = [10, 20]" in (tmp_path / "b" / "recipe.toml").read_text()
    assert (tmp_path / "b" / "snapshots.safetensors").exists()


def test_the_laws_of_the_tutorials_are_in_the_catalogue(driftfield: Run) -> None:
    names = driftfield("data").stdout.split()
    assert {"swiss-roll-fine", "ring", "parabola", "moons-circles"} <= set(names)
