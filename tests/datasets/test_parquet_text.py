"""Numbers that a Parquet file stores as text: they are numbers, with a word, and stay text in the file."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from driftfield.datasets import load, parquet
from driftfield.datasets.filled import whole_of
from driftfield.datasets.tables import load_mixed, raw_table

FRAME = pl.DataFrame(
    {
        "price": ["1.50", " 2", None, "−4e1", "NA", "7"] * 10,
        "code": ["007", "042", "011"] * 20,
        "mixed": ["1", "2", "x"] * 20,
        "flag": ["true", "false"] * 30,
        "none": [None, "NA"] * 30,
        "x": [i * 7 % 31 / 4 for i in range(60)],
    },
    schema_overrides={"none": pl.String},
)


@pytest.fixture(params=["small", "large"])
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "large":
        monkeypatch.setattr(parquet, "SMALL", 0)
    FRAME.write_parquet(tmp_path / "t.parquet")
    return str(tmp_path / "t.parquet")


def test_columns_of_numbers_as_text_are_numbers_and_others_stay_text(path: str) -> None:
    table = load(path, as_mixed=True)
    levels = dict(zip(table.columns, table.levels, strict=True))
    assert levels == {
        "price": (),
        "code": ("007", "011", "042"),
        "mixed": ("1", "2", "x"),
        "flag": ("false", "true"),
        "x": (),
    }
    expected = [1.5, 2, np.nan, -40, np.nan, 7] * 10
    assert np.array_equal(table.values[:, 0], expected, equal_nan=True)
    (said,) = (text for text in table.warnings if "numbers as text" in text)
    assert '"price"' in said
    assert "columns.price.kind=category" in said
    assert not any("numbers as text" in text for text in load(f"{path}:code,x", as_mixed=True).warnings)


def test_the_file_is_filled_as_it_was(path: str) -> None:
    raw, _, _ = raw_table(path)
    assert whole_of(raw).frame.equals(FRAME)
    assert next(iter(raw.text(0))) == "1.50"


def test_a_model_that_took_them_for_text_still_reads_them(path: str) -> None:
    rows = load_mixed(f"{path}:price", ["price"], (("1.50", " 2", "−4e1", "NA", "7"),), (None,)).values
    assert np.array_equal(rows[:6, 0], [0, 1, np.nan, 2, 3, 4], equal_nan=True)


def test_a_file_of_such_columns_alone_needs_no_categories(tmp_path: Path) -> None:
    pl.DataFrame({"a": [str(i * 7 % 31 / 4) for i in range(40)], "b": range(40)}).write_parquet(tmp_path / "n.parquet")
    table = load(str(tmp_path / "n.parquet"))
    assert table.values[1, 0] == 1.75
    assert "numbers as text" in table.warnings[0]
