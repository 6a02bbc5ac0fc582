"""Each command does its work through the real entry point."""

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command import TINY, Run

from driftfield.diffusion import SAMPLERS


def test_a_run_holds_what_the_design_names(tiny_run: Path) -> None:
    names = {item.name for item in tiny_run.iterdir()}
    expected = {
        "recipe.toml",
        "model.safetensors",
        "metrics.jsonl",
        "environment.json",
        "train.parquet",
        "held_out.parquet",
    }
    assert expected <= names
    assert "checkpoint" not in names
    history = [json.loads(line) for line in (tiny_run / "metrics.jsonl").read_text().splitlines()]
    assert history[-1]["step"] == 60
    assert math.isfinite(history[-1]["loss"])
    assert math.isfinite(history[-1]["validation"])


def test_samples_come_under_the_training_columns_and_do_not_depend_on_how_many_are_asked(
    driftfield: Run, tiny_run: Path
) -> None:
    few = list(csv.reader(io.StringIO(driftfield("sample", str(tiny_run), "-n", "3").stdout)))
    many = list(csv.reader(io.StringIO(driftfield("sample", str(tiny_run), "-n", "40").stdout)))
    assert few[0] == ["x", "y"]
    np.testing.assert_allclose(
        np.array(few[1:], dtype=float), np.array(many[1:4], dtype=float), atol=1e-4
    )  # the promise of the design: the same rows to 1e-4


@pytest.mark.parametrize("ending", ["csv", "parquet", "npy"])
def test_samples_go_to_every_kind_of_file(driftfield: Run, tiny_run: Path, tmp_path: Path, ending: str) -> None:
    done = driftfield("sample", str(tiny_run), "-n", "7", "-o", f"new.{ending}")
    assert done.stdout.strip() == f"new.{ending}"
    path = tmp_path / f"new.{ending}"
    rows = np.load(path) if ending == "npy" else getattr(pl, f"read_{ending}")(path).to_numpy()
    assert rows.shape == (7, 2)
    assert np.isfinite(rows).all()


@pytest.mark.parametrize("sampler", ["ancestral", "ancestral-large", "ddim", "euler", "heun", "dpmpp-2m"])
def test_every_sampler_can_be_named(driftfield: Run, tiny_run: Path, sampler: str) -> None:
    done = driftfield("sample", str(tiny_run), "-n", "4", "--sampler", sampler, "--steps", "5", "--grid", "log-snr")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5
    assert ("5 steps are too few" in done.stderr) == ((SAMPLERS[sampler].fewest_steps or 0) > 5)


def test_score_writes_log_density_and_error_and_finds_columns_by_name(
    driftfield: Run, tiny_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("x,y\n0.1,0.9\n1.2,-0.4\n50,50\n")
    (tmp_path / "turned.csv").write_text("y,name,x\n0.9,a,0.1\n-0.4,b,1.2\n50,c,50\n")
    done = driftfield("score", str(tiny_run), "rows.csv", "-o", "scores.csv")
    assert done.returncode == 0, done.stderr
    scores = pl.read_csv(tmp_path / "scores.csv")
    assert scores.columns == ["log_density", "error"]
    assert scores["log_density"][2] < scores["log_density"][0] - 100  # far away, next to impossible
    turned = driftfield("score", str(tiny_run), "turned.csv")
    np.testing.assert_array_equal(pl.read_csv(io.StringIO(turned.stdout)).to_numpy(), scores.to_numpy())


def test_one_row_can_be_scored_from_stdin(driftfield: Run, tiny_run: Path) -> None:
    done = driftfield("score", str(tiny_run), "-", "--json", stdin="x,y\n0.5,0.5\n")
    summary = json.loads(done.stdout)
    assert summary["rows"] == 1
    assert summary["log_density"] == [summary["mean_log_density"]]


def test_evaluate_gives_every_metric_its_floor(driftfield: Run, tiny_run: Path) -> None:
    done = driftfield("evaluate", str(tiny_run), "--rows", "300", "--json")
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)["metrics"]
    for name in ("c2st_knn", "c2st_boosting", "nll"):
        assert metrics[name]["floor"] is not None
        assert metrics[name]["error"] > 0
    assert all(metric["floor"] is not None for metric in metrics.values())
    table = driftfield("evaluate", str(tiny_run), "--rows", "300").stdout
    assert "floor" in table


def test_report_and_animation_are_written_and_named(driftfield: Run, tiny_run: Path, tmp_path: Path) -> None:
    done = driftfield("report", str(tiny_run), "--rows", "300")
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip())
    assert path.read_text().startswith("<!doctype html>")
    assert list((tiny_run / "figures").glob("*.png"))
    moving = driftfield("animate", str(tiny_run), "-o", "p.html", "--view", "reverse")
    assert moving.stdout.strip() == "p.html"
    assert (tmp_path / "p.html").exists()


def test_recipes_and_data_are_listed_and_printed(driftfield: Run, tmp_path: Path) -> None:
    assert "default" in driftfield("recipes").stdout.split()
    assert '[schedule]\nkind = "ve"' in driftfield("recipes", "default").stdout
    assert "train" in json.loads(driftfield("recipes", "--json").stdout)["schema"]["properties"]
    assert "sklearn:wine" in driftfield("data").stdout
    assert json.loads(driftfield("data", "moons", "-n", "50", "--json").stdout)["rows"] == 50
    assert driftfield("data", "moons", "-n", "50", "-o", "m.csv").stdout.strip() == "m.csv"
    assert len((tmp_path / "m.csv").read_text().splitlines()) == 51


def test_a_table_of_one_column_and_one_of_huge_and_tiny_scales_go_all_the_way(driftfield: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pl.DataFrame({"only": rng.normal(3, 2, 200)}).write_csv(tmp_path / "one.csv")
    wide = {"huge": rng.normal(1, 0.1, 200) * 1e30, "tiny": rng.normal(0, 1, 200) * 1e-20}
    pl.DataFrame(wide).write_csv(tmp_path / "scales.csv")
    for name in ("one", "scales"):
        fitted = driftfield("fit", f"{name}.csv", "-o", name, *TINY)
        assert fitted.returncode == 0, fitted.stderr
        assert driftfield("report", name, "--theme", "light").returncode == 0
        rows = pl.read_csv(io.StringIO(driftfield("sample", name, "-n", "500").stdout))
        truth = pl.read_csv(tmp_path / f"{name}.csv")
        for column in truth.columns:  # a fifth of a standard deviation: a tiny training, and 500 rows
            assert abs(rows[column].mean() - truth[column].mean()) < 0.3 * truth[column].std()


def test_columns_of_a_file_are_picked_and_csv_is_read_from_stdin(driftfield: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frame = pl.DataFrame({"a": rng.normal(size=60), "name": ["text"] * 60, "b": rng.normal(size=60)})
    frame.write_csv(tmp_path / "t.csv")
    picked = driftfield("fit", "t.csv:b,a", "-o", "picked", *TINY)
    assert picked.returncode == 0, picked.stderr
    assert driftfield("sample", "picked", "-n", "1").stdout.splitlines()[0] == "b,a"
    piped = driftfield("fit", "-", "-o", "piped", *TINY, stdin=frame.select("a", "b").write_csv())
    assert piped.returncode == 0, piped.stderr


def test_time_bounds_training_in_place_of_steps(driftfield: Run, tmp_path: Path) -> None:
    done = driftfield("fit", "moons", "-o", "timed", "--time", "1s", "--set", "network.width=16")
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "timed" / "environment.json").read_text())
    assert facts["training seconds"] < 2  # one second, and one step more


def test_sampled_rows_carry_their_class(driftfield: Run, tmp_path: Path) -> None:
    rows = "".join(f"{i % 2 * 5 + i % 7},{'ab'[i % 2]}\n" for i in range(60))
    (tmp_path / "kinds.csv").write_text("x,kind\n" + rows)
    fitted = driftfield("fit", "kinds.csv", "-o", "kinds", "--set", "data.label=kind", *TINY)
    assert fitted.returncode == 0, fitted.stderr
    drawn = pl.read_csv(io.StringIO(driftfield("sample", "kinds", "-n", "40").stdout))
    assert drawn.columns == ["x", "kind"]
    assert set(drawn["kind"]) == {"a", "b"}
    driftfield("sample", "kinds", "-n", "3", "--class", "b", "-o", "b.parquet")
    assert pl.read_parquet(tmp_path / "b.parquet")["kind"].to_list() == ["b"] * 3
    assert driftfield("sample", "kinds", "-n", "1", "--no-class").stdout.startswith("x\n")
    assert driftfield("sample", "kinds", "-n", "1", "--with-class", "-o", "b.npy").returncode == 2
