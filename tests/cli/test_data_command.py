"""`driftfield data FILE` says what is understood, and `fit` says what it decided, warns once, and takes the flags."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from command import TINY, Run
from rich.console import Console

GERMAN = "Größe;Menge\n" + "".join(f"{i % 17},{i % 10};{(i * 7) % 23}\n" for i in range(120))


def test_a_file_is_described_column_by_column(driftfield: Run, tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text(GERMAN + ";5\n", encoding="utf-8")
    found = json.loads(driftfield("data", "g.csv", "--json").stdout)
    assert found["dialect"] == {
        "encoding": "utf-8",
        "separator": "semicolons",
        "decimal mark": "comma",
        "header": "yes",
    }
    assert found["notes"] == ["separated by semicolons", "with decimal commas"]
    assert found["rows"] == 121
    size, count = found["columns"]
    assert (size["name"], size["kind"], size["decimals"], size["missing"]) == ("Größe", "number", 1, 1)
    assert (count["kind"], count["min"], count["max"], count["examples"]) == ("whole number", 0, 22, ["0", "7", "14"])
    assert found["refused"] is None  # missing cells are learned
    assert driftfield("fit", "g.csv", *TINY, "-q").returncode == 0
    (tmp_path / "g.csv").write_text(GERMAN + "9,9;zwölf\n", encoding="utf-8")
    shown = driftfield("data", "g.csv").stdout
    assert "decimal mark: comma" in shown
    assert "Cannot be fitted as it is." in shown


def test_text_and_picked_columns_are_described_too(driftfield: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("city,x,n\n" + "Bern,1.5,007\nRom,2.5,120\n" * 9)
    city, n = json.loads(driftfield("data", "t.csv:city,n", "--json").stdout)["columns"]
    assert (city["kind"], city["distinct"], city["examples"]) == ("category", 2, ["Bern", "Rom"])
    assert (n["kind"], n["examples"]) == ("category", ["007", "120"])
    piped = json.loads(driftfield("data", "-", "--json", stdin="x,y\n1,2\n3,4\n").stdout)
    assert [column["name"] for column in piped["columns"]] == ["x", "y"]


def test_a_narrow_terminal_shows_whole_numbers() -> None:
    from driftfield.cli import describing

    column = {"name": "speed", "kind": "numbers", "missing": 0, "distinct": 861, "decimals": 3, "examples": ["1.687"]}
    column |= {"mean": -0.1159, "std": 10.49, "min": -55.81, "max": 92.4}
    for width, wanted in ((60, {"−55.81", "92.40", "861"}), (120, {"−55.81", "92.40", "861", "−0.1159", "1.687"})):
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(describing._table([column], width))
        shown = console.export_text()
        assert wanted <= set(shown.split())
        assert "…" not in shown


def test_fit_says_what_it_decided_and_warns_once(driftfield: Run, tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text(GERMAN.replace("3,3;", "9999,0;", 1), encoding="utf-8")
    done = driftfield("fit", "g.csv", "-o", "run", *TINY)
    assert done.returncode == 0
    assert done.stderr.count("Read g.csv separated by semicolons, with decimal commas; --header") == 1
    assert done.stderr.count('1 value of "Größe" lies') == 1
    (tmp_path / "p.csv").write_text("x,y\n" + "".join(f"{i % 7}.5,{i % 11}.25\n" for i in range(60)))
    assert "Read" not in driftfield("fit", "p.csv", "-o", "plain", *TINY).stderr


def test_flags_and_recipe_override_what_is_found_out(driftfield: Run, tmp_path: Path) -> None:
    rows = "".join(f"{i % 7},{(i * 3) % 11}\n" for i in range(60))
    (tmp_path / "n.csv").write_text("3,9\n" + rows)
    for flags in (["--header", "yes"], ["--set", "data.header=true"]):
        assert driftfield("fit", "n.csv", "-o", "run", "--force", *TINY, *flags).returncode == 0
        assert driftfield("sample", "run", "-n", "2").stdout.startswith("3,9\n")
        assert "header = true" in (tmp_path / "run" / "recipe.toml").read_text()
    done = driftfield("score", "run", "n.csv", "--json")
    assert json.loads(done.stdout)["rows"] == 60
    assert np.isfinite(json.loads(done.stdout)["log_density"]).all()
    assert driftfield("fit", "n.csv", "--header", "maybe").returncode == 2
    assert driftfield("fit", "n.csv", "--separator", "x").returncode == 2


def test_the_moments_of_large_numbers_do_not_overflow(driftfield: Run, tmp_path: Path) -> None:
    large = np.array([1.0, -1.0, 1.5, 0.5])
    for size in (1e39, 1e200, 1e308):
        np.save(tmp_path / "t.npy", np.stack([large * size, large], axis=1))
        done = driftfield("data", "t.npy", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        found = json.loads(done.stdout)["columns"][0]
        assert found["mean"] / size == pytest.approx(large.mean())
        assert found["std"] / size == pytest.approx(large.std())


def test_numbers_whose_differences_overflow_are_not_fitted(driftfield: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{i % 7}.{i},{(-1) ** i * 1.5}e308\n" for i in range(60)))
    described, fitted = driftfield("data", "t.csv"), driftfield("fit", "t.csv", "-o", "run", *TINY)
    sentence = 'Column "b" of t.csv holds numbers beyond 1e+300, such as 1.5e+308, whose differences overflow: '
    sentence += "divide it by a constant, or remove such rows.\n"
    assert (described.returncode, described.stderr) == (0, "")
    assert described.stdout.endswith(f"Cannot be fitted as it is. {sentence}")
    assert (fitted.returncode, fitted.stderr) == (2, f"Error: {sentence}")
    assert not (tmp_path / "run").exists()


def test_data_says_what_fit_would_do_with_text_and_missing_cells(driftfield: Run, tmp_path: Path) -> None:
    rows = "".join(f"{i * i % 17},{'red' if i % 3 else 'blue'}\n" for i in range(40))
    (tmp_path / "t.csv").write_text(f"x,colour\n,red\n{rows}")
    done = driftfield("data", "t.csv", "--missing", "-999")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Cannot be fitted" not in done.stdout
    assert 'Warning: No cell of t.csv is "-999", which --missing names' in done.stdout
