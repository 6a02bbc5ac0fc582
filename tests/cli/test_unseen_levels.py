"""Cells with a level that no training row has: they have probability 0, stay where holes are filled, and are named."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command import Run, run_here

HEAD = "kind,code,height\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of cats and dogs, and files with kinds and codes that it has not seen."""
    where = tmp_path_factory.mktemp("unseen")
    lines = [f"{'cat' if i % 2 else 'dog'},{('007', '042')[i // 2 % 2]},{i * 7 % 31 / 4}\n" for i in range(100)]
    (where / "t.csv").write_text(HEAD + "".join(lines) + ",007,\n")
    (where / "odd.csv").write_text(HEAD + "cat,042,1.5\ncow,007,\ndog,,3.5\ncat,9,2.0\n,many,\n")
    (where / "one.csv").write_text(HEAD + "cat,042,1.5\n,,\ncow,007,2.5\n")
    (where / "far.csv").write_text(HEAD + "cat,042,1.5\ncat,042,-7\ncow,042,-7\n")
    setting = [
        "--set",
        "columns.height.low=-1",
        "--set",
        "network.width=16",
        "--set",
        "sample.steps=4",
        "--set",
        "likelihood.steps=4",
    ]
    assert run_here("fit", "t.csv", "-o", "run", "--steps", "3", "-q", *setting, cwd=where).returncode == 0
    return where


@pytest.fixture
def command(folder: Path) -> Run:
    return partial(run_here, cwd=folder)


def test_a_row_with_an_unseen_level_has_probability_0_and_one_warning(command: Run) -> None:
    done = command("score", "run", "one.csv", "-q")
    assert done.returncode == 0, done.stderr
    first, empty, odd = done.stdout.splitlines()[1:]
    assert odd == "-inf,0.0"
    assert np.isfinite(float(first.split(",")[0]))
    assert float(empty.split(",")[0]) == pytest.approx(0, abs=1e-5)  # it has no cell; in float32
    (warning,) = done.stderr.splitlines()
    for word in ('"kind"', '"cow"', "row 3 (line 4)", "probability 0"):
        assert word in warning


def test_several_unseen_levels_are_counted_and_json_stays_valid(command: Run) -> None:
    done = command("score", "run", "odd.csv", "--json", "-q")
    assert done.returncode == 0, done.stderr

    def refuse(name: str) -> None:
        raise ValueError(name)

    found = json.loads(done.stdout, parse_constant=refuse)
    assert [value is None for value in found["log_density"]] == [False, True, False, True, True]
    assert found["mean_log_density"] is None
    assert found["rows_of_probability_0"] == 3
    known = [value for value in found["log_density"] if value is not None]
    assert found["mean_log_density_of_others"] == pytest.approx(np.mean(known))
    assert "row 2" in done.stderr
    assert "3 such cells" in done.stderr


def test_a_number_beyond_its_bounds_has_probability_0_and_another_warning(command: Run) -> None:
    done = command("score", "run", "far.csv", "-q")
    assert [line.split(",")[0] for line in done.stdout.splitlines()[2:]] == ["-inf", "-inf"]
    unseen, beyond = done.stderr.splitlines()
    assert '"cow"' in unseen
    assert "1 row has probability 0, the first in row 2 of the data: a number lies beyond" in beyond


def test_an_unseen_level_that_is_given_is_unknown(command: Run) -> None:
    done = command("score", "run", "one.csv", "--given", "kind", "--json", "-q")
    without = command("score", "run", "one.csv:code,height", "--json", "-q")
    assert json.loads(done.stdout)["log_density"][2] == pytest.approx(
        json.loads(without.stdout)["log_density"][2], abs=1e-5
    )
    assert "taken for unknown" in done.stderr


def test_rows_with_unseen_levels_are_the_first_outliers_with_that_cell(command: Run) -> None:
    done = command("outliers", "run", "odd.csv", "-n", "5", "-q")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "row,surprise,cell_surprise,kind,code,height,cell"
    assert [line.split(",")[:3] for line in lines[1:4]] == [[str(i), "inf", "inf"] for i in (2, 4, 5)]
    assert [line.split(",")[3:] for line in lines[1:4]] == [
        ["cow", "007", "", "kind"],
        ["cat", "9", "2.0", "code"],
        ["", "many", "", "code"],
    ]
    assert len(done.stderr.splitlines()) == 1
    assert command("outliers", "run", "odd.csv", "-n", "5", "-o", "odd.parquet", "-q").returncode == 0


@pytest.mark.parametrize("flags", [[], ["--point"], ["--draws", "2"]])
def test_an_unseen_level_stays_and_the_other_cells_are_filled(command: Run, flags: list[str]) -> None:
    done = command("impute", "run", "odd.csv", "-q", *flags)
    assert done.returncode == 0, done.stderr
    full = pl.read_csv(done.stdout.encode(), infer_schema=False)[:5]
    assert full.null_count().sum_horizontal().item() == 0
    assert full["kind"][:4].to_list() == ["cat", "cow", "dog", "cat"]
    assert full["code"].to_list()[:2] + full["code"].to_list()[3:] == ["042", "007", "9", "many"]
    (warning,) = done.stderr.splitlines()
    assert "stays" in warning


def test_an_unseen_level_cannot_be_given_to_draw_rows(command: Run) -> None:
    for flags in (["--given", "kind=cow"], ["--given-file", "one.csv:kind"], ["--given-file", "odd.csv:code"]):
        done = command("sample", "run", "-n", "2", *flags)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
