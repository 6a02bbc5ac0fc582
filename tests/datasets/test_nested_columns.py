"""Columns that hold lists, records or bytes: they are left out with a word, and stay in a file that is filled."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from driftfield.cli.describing import data
from driftfield.cli.filling import impute
from driftfield.datasets import load
from driftfield.errors import InputError

N = 40
NESTED: dict[str, tuple[Any, str]] = {
    "tags": ([[1, 2], [], None, [4]] * 10, "lists"),
    "pair": (pl.Series([[1.0, 2.0]] * N, dtype=pl.Array(pl.Float64, 2)), "lists"),
    "who": ([{"name": "a b c d e f g h i j k", "born": 1990}] * N, "records"),
    "raw": ([b"ab"] * N, "bytes"),
}
FRAME = pl.DataFrame(
    {
        "height": [None if i % 9 == 1 else i * 7 % 31 / 4 for i in range(N)],
        "kind": ["cat", "dog"] * 20,
        **{name: cells for name, (cells, _) in NESTED.items()},
    }
)


@pytest.fixture
def path(tmp_path: Path) -> str:
    FRAME.write_parquet(tmp_path / "n.parquet")
    return str(tmp_path / "n.parquet")


def test_nested_columns_are_left_out_with_a_word(path: str) -> None:
    for source in (path, FRAME):
        table = load(source, as_mixed=True)
        assert table.columns == ("height", "kind")
        for name, (_, word) in NESTED.items():
            assert f'Column "{name}" holds {word}, which cannot be learned: it is left out.' in table.warnings
    with pytest.raises(InputError, match=r'"tags" of .* holds lists, for example'):
        load(f"{path}:height,tags", as_mixed=True)


def test_the_description_keeps_its_layout(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    data(path, None, None, 0, False, {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[2:8]] == [
        ["height", "number"],
        ["kind", "category"],
        *([name, "left"] for name in NESTED),
    ]
    assert max(map(len, lines[1:8])) <= 120


def test_they_are_there_in_a_file_that_is_filled(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["train.steps=2", "sample.steps=2", "network.width=16"]
    impute(path, None, tmp_path / "full.parquet", 1, False, 0, settings, True)
    full = pl.read_parquet(tmp_path / "full.parquet")
    assert full.drop("height").equals(FRAME.drop("height"))
    assert full["height"].null_count() == 0
    capsys.readouterr()
    impute(path, None, None, 1, False, 0, settings, True)
    again = pl.read_csv(capsys.readouterr().out.encode())
    assert again["tags"][:4].to_list() == ["[1, 2]", "[]", None, "[4]"]
    assert again["who"][0] == "{'name': 'a b c d e f g h i j k', 'born': 1990}"


def test_a_table_of_nested_columns_alone_is_refused() -> None:
    with pytest.raises(InputError, match=r"no column to learn from.*lists"):
        load(pl.DataFrame({"tags": [[1], [2]]}), as_mixed=True)
