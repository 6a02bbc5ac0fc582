"""Tutorials, classes and epochs on the command line."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import Run, run_here

from driftfield.cli import commands
from driftfield.cli.commands import Request
from driftfield.recipes.schema import load_recipe

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
    folder = tmp_path_factory.mktemp("classed")
    (folder / "animals.csv").write_text(animals())
    more = ["--epochs", "100", "--set", "train.lr=1e-2", "--set", "train.snapshots=[1, 50]"]
    done = run_here("fit", "animals.csv", "-o", "run", *more, *CLASSED, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "300 steps" in done.stderr  # 144 rows to train on make three batches of 64
    return folder / "run"


def rows_of(text: str) -> tuple[np.ndarray, list[str]]:
    """The numbers (n, 2) and the class of each row."""
    header, *rows = csv.reader(io.StringIO(text))
    assert header == ["x", "y", "kind"]
    return np.array([row[:2] for row in rows], dtype=float), [row[2] for row in rows]


def test_the_tutorials_are_listed_with_what_they_follow(driftfield: Run) -> None:
    shown = driftfield("tutorial")
    assert shown.returncode == 0
    names = [line.split()[0] for line in shown.stdout.splitlines() if line.startswith("  ")]
    assert len(names) == 10
    assert sum(line.startswith("00") for line in shown.stdout.splitlines()) == 6  # five documents, one in two parts
    assert all(load_recipe(name) for name in names)


def test_an_unknown_tutorial_and_two_lengths_are_refused_and_nothing_is_written(
    driftfield: Run, tmp_path: Path
) -> None:
    for arguments, word in (
        (["nonsense"], "choose one of ddpm-vlb"),
        (["moons-dpm"], 'did you mean "moons-ddpm"?'),
        (["moons-ddpm", "--epochs", "3", "--time", "5s"], "not both"),
    ):
        done = driftfield("tutorial", *arguments)
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        assert word in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_label_column_is_learned_and_its_classes_can_be_drawn(driftfield: Run, classed_run: Path) -> None:
    assert json.loads((classed_run / "environment.json").read_text())["steps"] == 300
    for side, options in ((-1, ["--class", "cat"]), (1, ["--class", "dog", "--guidance", "2"])):
        done = driftfield("sample", str(classed_run), "-n", "50", *options)
        assert done.returncode == 0, done.stderr
        rows, kinds = rows_of(done.stdout)
        assert rows.shape == (50, 2)
        assert set(kinds) == {options[1]}
        # Three standard deviations from the middle; one row in ten is allowed to a training of 300 steps.
        assert np.mean(np.sign(rows[:, 0]) == side) >= 0.9


def test_a_class_that_cannot_be_drawn_is_refused(driftfield: Run, classed_run: Path) -> None:
    for arguments, word in (
        ([str(classed_run), "--class", "cta"], 'did you mean "cat"?'),
        ([str(classed_run), "--no-class", "--guidance", "2"], "--class"),
    ):
        done = driftfield("sample", *arguments, "-n", "3")
        assert done.returncode == 2
        assert done.stdout == ""
        assert word in done.stderr
        assert "\n" not in done.stderr.strip()


def test_rows_are_scored_given_their_class(driftfield: Run, classed_run: Path) -> None:
    done = driftfield("score", str(classed_run), "-", "--class", "cat", "--json", stdin="x,y\n-3,0\n3,0\n")
    cat, dog = json.loads(done.stdout)["log_density"]
    assert cat > dog + 1


def test_a_report_is_written_in_the_theme_that_is_asked_for(driftfield: Run, tiny_run: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    done = driftfield("report", "run", "--theme", "blackboard", "--rows", "20")
    assert done.returncode == 0, done.stderr
    dark = (tmp_path / "run" / "report.html").read_text()
    from driftfield.report.style import BLACKBOARD, LIGHT

    assert BLACKBOARD.paper in dark
    assert LIGHT.paper not in dark


def test_epochs_are_passes_through_the_rows_and_snapshots_count_them(classed_run: Path) -> None:
    recipe = load_recipe(classed_run / "recipe.toml")
    assert recipe.train.steps == 300  # 144 rows to train on make three batches of 64
    assert recipe.train.snapshots == (3, 150)
    assert (classed_run / "snapshots.safetensors").exists()


def test_steps_take_the_place_of_a_recipes_epochs_and_of_the_snapshots_that_count_them() -> None:
    for recipe, settings, snapshots in (
        ("moons-ddpm", [], ()),
        ("moons-ddpm", ["train.snapshots=[2]"], (2,)),
        (None, ["train.snapshots=[2]"], (2,)),
    ):
        train = commands.requested_recipe(Request("moons", recipe=recipe, steps=5, settings=settings)).train
        assert (train.steps, train.epochs, train.snapshots) == (5, None, snapshots)


def test_the_distributions_of_the_tutorials_are_in_the_catalogue(driftfield: Run) -> None:
    names = driftfield("data").stdout.split()
    assert {"swiss-roll-fine", "ring", "parabola", "moons-circles"} <= set(names)
