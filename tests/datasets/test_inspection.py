"""Warnings on a table: each names what it is about, and clean tables have none."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.random import default_rng

from driftfield.datasets import load

N = 200


def clean() -> dict[str, object]:
    rng = default_rng(0)
    return {"x": rng.normal(50, 5, N).round(2), "y": rng.exponential(3.0, N), "k": rng.integers(0, 9, N)}


def warnings(**columns: object) -> tuple[str, ...]:
    return load(pd.DataFrame(clean() | columns)).warnings


def test_a_table_of_usual_columns_has_no_warning() -> None:
    assert warnings() == ()
    assert warnings(price=default_rng(1).lognormal(0, 3, N), t=default_rng(2).standard_t(2, N)) == ()
    zeros = np.where(default_rng(3).random(N) < 0.6, 0.0, default_rng(4).exponential(1000, N).round(2))
    assert load(pd.DataFrame({"debt": zeros, "age": default_rng(5).integers(18, 85, N)})).warnings == ()
    assert load(default_rng(6).standard_normal((1000, 10))).warnings == ()


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        ({"id": np.arange(N)}, 'Column "id" looks like an index'),
        ({"id": np.cumsum(default_rng(1).integers(1, 9, N))}, 'Column "id" looks like an index'),
        ({"z": clean()["k"] * 3.0 + 1}, 'Column "z" is a linear function of column "k"'),
        ({"s": clean()["x"] + clean()["y"]}, 'Column "s" is a linear function of columns "x", "y"'),
        ({"e": np.exp(clean()["y"])}, 'Column "e" is a function of column "y"'),
        ({"g": np.isin(clean()["k"], [1, 5]) * 1}, 'Column "g" is a function of column "k"'),
        ({"w": np.where(np.arange(N) == 9, 99999, clean()["x"])}, '1 value of "w" lies'),
        ({"w": np.where(np.arange(N) % 20 == 9, -999.0, clean()["x"])}, '10 values of "w" lie'),
        ({"n": 2**53 + default_rng(2).integers(0, 2000, N) * 4}, 'Column "n" has whole numbers beyond 2^53'),
        ({"f": (np.arange(N) == 7) * 1}, 'Column "f" has one value in 199 of 200 rows'),
    ],
)  # fmt: skip
def test_a_warning_names_the_column_and_what_is_wrong(columns: dict[str, object], wanted: str) -> None:
    (found,) = warnings(**columns)
    assert "--missing" not in found  # which is for text files
    assert found.startswith(wanted)
    assert found.endswith(".")


def test_leading_zeros_are_seen_in_text(tmp_path: Path) -> None:
    codes = default_rng(0).choice(["02116", "90210", "00501"], N)
    frame = pd.DataFrame({"postcode": codes, "x": default_rng(1).normal(size=N)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    (found,) = load(tmp_path / "t.csv").warnings
    assert found.startswith('Column "postcode" has leading zeros, as in "0')


def test_repeated_rows_and_totals_are_named() -> None:
    table = pd.DataFrame({"x": default_rng(0).normal(size=N), "y": default_rng(1).normal(size=N)})
    (found,) = load(pd.concat([table, table[:60]])).warnings
    assert found.startswith("60 of 260 rows repeat others")
    positive = table.abs()
    (found,) = load(pd.concat([positive, positive.sum().to_frame().T])).warnings[-1:]
    assert found.startswith("The last row, row 200 (counting from 0), is the sum of the others")


def test_a_factor_is_not_written_with_hundreds_of_digits() -> None:
    (found,) = warnings(w=np.where(np.arange(N) == 9, 1e299, clean()["x"]))
    assert found.startswith('1 value of "w" lies more than 1,000,000,000 times as far out as the rest, namely 1e+299: ')


def test_numbers_near_the_largest_are_inspected_without_a_warning_of_numpy() -> None:
    rng = default_rng(0)
    signs = np.where(rng.random(N) < 0.5, -1, 1)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        load(pd.DataFrame(clean() | {"a": signs * 1.7e308, "b": rng.random(N) * 1.7e308, "c": signs * 1e-320}))


def test_the_numbers_of_a_table_with_text_and_missing_cells_are_inspected_too(tmp_path: Path) -> None:
    rng = default_rng(7)
    holes = np.where(rng.random(N) < 0.1, np.nan, rng.normal(50, 5, N))
    holes[3] = 99999
    frame = pd.DataFrame(clean() | {"w": holes, "colour": rng.choice(["red", "blue"], N), "id": np.arange(N)})
    frame.loc[::20, "x"] = -999.0
    frame.to_csv(tmp_path / "t.csv", index=False)
    found = load(tmp_path / "t.csv", as_mixed=True).warnings
    assert [re.match(r'\w+ (\w+ )?(of )?"(\w+)"', sentence)[3] for sentence in found] == ["id", "x", "w"]
    frame = pd.DataFrame({"a": [1.0, 2.0] * 40, "b": [1.0, 2.0] * 40, "colour": rng.choice(list("rgb"), 80)})
    assert not any("repeat" in sentence for sentence in load(frame, as_mixed=True).warnings)
    assert load(pd.DataFrame(clean() | {"colour": rng.choice(list("rgb"), N)}), as_mixed=True).warnings == ()
