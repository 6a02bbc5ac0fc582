"""Files that are filled, completed and ranked: what was given comes back as it was written."""

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from command import Run, run_here

HEAD = "id,ok,code,row,draw,x,empty,note"


def written(i: int) -> str:
    ok = "" if i % 11 == 3 else ("True" if i % 3 else "False")
    code = "" if i % 13 == 5 else ("007" if i % 2 else "042")
    x = "NA" if i % 17 == 4 else f"{(i * 7) % 31 / 4:.2f}"
    return f"n{i},{ok},{code},{i % 5},{i * 5 % 23}.5,{x},,same"


@pytest.fixture(scope="module")
def lines() -> list[str]:
    found = [written(i) for i in range(120)]
    return [*found[:60], "," * 7, *found[60:], "," * 7]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    (folder / "t.csv").write_text("\n".join([HEAD, *lines]) + "\n")
    small = ["--steps", "5", "--set", "network.width=16", "--set", "likelihood.steps=8"]
    done = run_here("fit", "t.csv", "-o", "run", *small, "-q", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_what_was_given_comes_back_as_it_was_written(driftfield: Run, run: Path, lines: list[str]) -> None:
    done = driftfield("impute", "run", "t.csv", "-q")
    assert done.returncode == 0, done.stderr
    head, *after = done.stdout.splitlines()
    assert head == HEAD
    assert len(after) == len(lines)
    for before, row in zip(lines, after, strict=True):
        for name, old, new in zip(HEAD.split(","), before.split(","), row.split(","), strict=True):
            if name in ("id", "empty", "note") or old not in ("", "NA"):
                assert new == old
            elif name in ("ok", "code"):
                assert new in ("True", "False", "007", "042")
            else:
                float(new)


def test_draws_and_a_parquet_file_keep_what_was_given_too(driftfield: Run, run: Path, tmp_path: Path) -> None:
    draws = pl.read_csv(driftfield("impute", "run", "t.csv", "--draws", "2", "-q").stdout.encode())
    assert draws.columns == ["draw_2", *HEAD.split(",")]
    assert draws["draw_2"].to_list() == [1] * 122 + [2] * 122
    done = driftfield("impute", "run", "t.csv", "-o", "out.parquet", "-q")
    assert done.returncode == 0, done.stderr
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert found.schema["ok"] == pl.Boolean
    assert found.schema["code"] == pl.String
    assert (found.schema["row"], found.schema["x"]) == (pl.Int64, pl.Float64)
    assert found["code"].unique().sort().to_list() == ["007", "042"]


def test_the_types_of_a_parquet_file_stay(driftfield: Run, tmp_path: Path) -> None:
    n = 120
    hole = {name: [i % step == 1 for i in range(n)] for name, step in (("a", 7), ("b", 11), ("c", 13), ("d", 17))}
    frame = pl.DataFrame(
        {
            "key": pl.Series(range(2**63, 2**63 + n), dtype=pl.UInt64),
            "a": pl.Series([None if h else i % 3 > 0 for i, h in enumerate(hole["a"])], dtype=pl.Boolean),
            "b": pl.Series([None if h else i * 7 % 50 for i, h in enumerate(hole["b"])], dtype=pl.Int8),
            "c": pl.Series([None if h else Decimal(i * 7 % 97) / 4 for i, h in enumerate(hole["c"])]).cast(
                pl.Decimal(10, 2)
            ),
            "d": pl.Series([None if h else "uv"[i % 2] for i, h in enumerate(hole["d"])], dtype=pl.Categorical),
            "e": pl.Series([i * 5 % 41 for i in range(n)], dtype=pl.UInt64),
        }
    )
    frame.write_parquet(tmp_path / "t.parquet")
    done = driftfield("impute", "t.parquet", "-o", "out.parquet", "--set", "train.steps=5", "-q")
    assert done.returncode == 0, done.stderr
    after = pl.read_parquet(tmp_path / "out.parquet")
    assert after.schema == frame.schema
    assert after.null_count().sum_horizontal().item() == 0
    for name in frame.columns:
        there = frame[name].is_not_null()
        assert after[name].filter(there).to_list() == frame[name].filter(there).to_list()


def test_decimal_commas_stay(driftfield: Run, tmp_path: Path) -> None:
    lines = [f"{i};{'' if i % 7 == 1 else f'{i * 7 % 31},5'};{'ab'[i % 2]}" for i in range(100)]
    (tmp_path / "t.csv").write_text("i;x;k\n" + "\n".join(lines) + "\n")
    done = driftfield("impute", "t.csv", "--set", "train.steps=5", "-q")
    assert done.returncode == 0, done.stderr
    after = done.stdout.splitlines()[1:]
    for old, new in zip(lines, after, strict=True):
        assert new == old or (";;" in old and "," in new and "." not in new)


def test_columns_called_row_and_draw_are_no_trouble(driftfield: Run, run: Path, tmp_path: Path) -> None:
    (tmp_path / "given.csv").write_text("row,code\n1,007\n,\n2,\n")
    done = driftfield("sample", "run", "-n", "2", "--given-file", "given.csv", "-q")
    assert done.returncode == 0, done.stderr
    rows = pl.read_csv(done.stdout.encode())
    assert rows["row_2"].to_list() == [1, 1, 2, 2, 3, 3]
    assert rows["row"][0] == 1
    done = driftfield("outliers", "run", "t.csv", "-n", "122", "-q")
    assert done.returncode == 0, done.stderr
    found = pl.read_csv(done.stdout.encode())
    assert found.columns[0] == "row_2"
    assert sorted(found["row_2"].to_list()) == list(range(1, 123))
    assert found.filter(pl.col("row_2").is_in([61, 122]))["cell"].to_list() in ([""] * 2, [None] * 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["score", "run", "some.csv", "--of", "x"], ['no column "x"', "asked for"]),
        (["score", "run", "some.csv", "--given", "x"], ['no column "x"', "given"]),
        (["score", "run", "some.csv:code,row", "--of", "ok"], ['no column "ok"']),
        (["sample", "run", "-n", "2", "--given", "code=7,code=42"], ['"code" twice']),
        (["sample", "run", "-n", "2", "--given", "code=7", "--given", "code=42"], ['"code" twice']),
        (["sample", "run", "-n", "2", "--given", "x=true"], ["finite number"]),
        (["impute", "moons"], ["moons", "name a file"]),
        (["impute", "-"], ["name a file"]),
    ],
)
def test_columns_that_are_not_there_or_given_twice_are_refused(
    driftfield: Run, run: Path, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    (tmp_path / "some.csv").write_text("row,code,ok\n1,007,True\n")
    done = driftfield(*arguments)
    assert done.returncode == 2, done.stdout
    for word in words:
        assert word in done.stderr


def test_truth_values_are_given_in_words(driftfield: Run, run: Path) -> None:
    for word, number in (("True", 1), ("false", 0), ("1", 1)):
        done = driftfield("sample", "run", "-n", "2", "--given", f"ok={word}", "-q")
        assert done.returncode == 0, done.stderr
        assert {line.split(",")[0] for line in done.stdout.splitlines()[1:]} == {("False", "True")[number]}


def test_levels_are_drawn_as_they_were_written(driftfield: Run, run: Path, tmp_path: Path) -> None:
    lines = driftfield("sample", "run", "-n", "50", "-q").stdout.splitlines()[1:]
    assert {line.split(",")[0] for line in lines} == {"True", "False"}
    assert {line.split(",")[1] for line in lines} == {"007", "042"}
    done = driftfield("sample", "run", "-n", "50", "-o", "s.parquet", "-q")
    assert done.returncode == 0, done.stderr
    found = pl.read_parquet(tmp_path / "s.parquet")
    assert found.schema["ok"] == pl.Boolean
    assert set(found["code"]) == {"007", "042"}
    for command in (["score", "run", "s.parquet"], ["evaluate", "run"]):
        done = driftfield(*command)
        assert done.returncode == 0, done.stderr


def test_a_complete_table_is_written_as_it_is_without_training(driftfield: Run, tmp_path: Path) -> None:
    text = "a,b\n" + "".join(f"{i * 7 % 31}.50,{i * i % 17}\n" for i in range(60))
    (tmp_path / "t.csv").write_text(text)
    done = driftfield("impute", "t.csv")
    assert (done.returncode, done.stdout) == (0, text)
    assert "No cell of t.csv is missing" in done.stderr
    assert "Fitting" not in done.stderr
    (tmp_path / "t.csv").write_text(text + ",\n")
    done = driftfield("impute", "t.csv", "--set", "train.steps=5", "-q")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(text)
    assert "" not in done.stdout[len(text) :].strip().split(",")


def test_names_of_rows_stay_under_a_name_of_their_own(driftfield: Run, tmp_path: Path) -> None:
    rows = [f'"r{i}",{i * 7 % 31},{"NA" if i % 9 == 1 else i * 3 % 17},"{"ab"[i % 2]}"' for i in range(80)]
    (tmp_path / "r.csv").write_text('"x","y","k"\n' + "\n".join(rows) + "\n")
    done = driftfield("impute", "r.csv", "--set", "train.steps=3", "-q")
    assert done.stdout.splitlines()[:2] == ["name,x,y,k", "r0,0,0,a"]
    (tmp_path / "r.csv").write_text('"x","y","name"\n' + "\n".join(rows) + "\n")
    done = driftfield("impute", "r.csv", "--set", "train.steps=3", "-q")
    assert done.stdout.splitlines()[:2] == ["name_2,x,y,name", "r0,0,0,a"]
