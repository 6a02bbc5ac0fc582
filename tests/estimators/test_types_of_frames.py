"""Frames keep the types of their columns, and columns without any value, in what estimators return."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from tests.estimators.quick import QUICK

from driftfield.estimators import DiffusionDensity, DiffusionImputer

N = 60
X = np.random.default_rng(0).normal(size=(N, 2)).round(2)
QUICKEST: dict[str, Any] = QUICK | {"steps": 3, "random_state": 0}


def columns(text: bool) -> dict[str, Any]:
    found = {"count": np.arange(N) * 7 % 50, "x": X[:, 0], "four": np.full(N, 4)}
    return found | ({"odd": np.arange(N) % 2 == 1, "kind": ["cat", "dog", "cow"] * 20} if text else {})


PANDAS = {"count": "int32", "x": "float64", "four": "int64", "odd": "bool", "kind": "category"}
POLARS = {
    "count": pl.Int32,
    "x": pl.Float64,
    "four": pl.UInt8,
    "odd": pl.Boolean,
    "kind": pl.Enum(["cow", "cat", "dog"]),
}


@pytest.mark.parametrize("text", [True, False])
def test_rows_that_are_drawn_have_the_types_of_the_training_frame(text: bool) -> None:
    cells = columns(text)
    for frame in (
        pd.DataFrame(cells).astype({name: PANDAS[name] for name in cells}),
        pl.DataFrame(cells).cast({name: POLARS[name] for name in cells}),
    ):
        drawn = DiffusionDensity(**QUICKEST).fit(frame).sample(20, random_state=0)
        assert type(drawn) is type(frame)
        assert list(drawn.dtypes) == list(frame.dtypes)
        assert list(drawn.columns) == list(frame.columns)
        assert set(drawn["four"]) == {4}


def test_rows_of_an_array_are_an_array() -> None:
    assert isinstance(DiffusionDensity(**QUICKEST).fit(X).sample(3), np.ndarray)


def test_types_that_cannot_hold_what_is_drawn_are_replaced() -> None:
    frame = pd.DataFrame({"n": pd.array([i % 40 if i % 4 else None for i in range(N)], dtype="Int64"), "x": X[:, 0]})
    holes = QUICKEST["recipe"] | {"columns": {"n": {"missing": "model"}}}
    drawn = DiffusionDensity(**QUICKEST | {"recipe": holes}).fit(frame).sample(100, random_state=0)
    assert drawn.dtypes["n"] == "Int64"
    assert drawn["n"].isna().any()
    real = QUICKEST["recipe"] | {"sample": {"round": False, "steps": 4}, "columns": {"n": {"kind": "number"}}}
    whole = pd.DataFrame({"n": np.arange(N) % 40, "k": ["u", "v"] * 30})
    drawn = DiffusionDensity(**QUICKEST | {"recipe": real}).fit(whole).sample(20)
    assert drawn.dtypes["n"] == "float64"


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("empty", [np.nan, None])
def test_a_column_without_any_value_stays_empty(text: bool, empty: float | None) -> None:
    cells: dict[str, Any] = {"x": np.where(np.arange(N) % 5 == 0, np.nan, X[:, 0]), "none": [empty] * N, "y": X[:, 1]}
    cells |= {"kind": ["cat", "dog", None] * 20} if text else {}
    for frame in (pd.DataFrame(cells), pl.DataFrame(cells)):
        imputer = DiffusionImputer(**QUICKEST).fit(frame)
        full = imputer.transform(frame)
        assert list(full.dtypes) == list(frame.dtypes)
        assert pd.isna(full["none"].to_list()).all()
        others = [name for name in cells if name != "none"]
        assert not any(pd.isna(full[name].to_list()).any() for name in others)
        assert list(imputer.get_feature_names_out()) == list(cells)
