"""Rows that a model is given: read by name or by position, or refused in one sentence."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from driftfield.codecs import NumericCodec, TableCodec
from driftfield.errors import InputError

ROWS = np.random.default_rng(0).normal(size=(30, 2)) * [1, 50]
NUMERIC = NumericCodec.fit(ROWS, ("a", "b"), "standard")
TABLE = TableCodec.fit(
    np.concatenate([ROWS, np.arange(30)[:, None] % 2.0], 1), ("a", "b", "colour"), ((), (), ("blue", "red"))
)

REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a sparse tensor": (lambda: torch.eye(2).to_sparse(), "The tensor has the layout torch.sparse_coo on cpu"),
    "a quantized tensor": (
        lambda: torch.quantize_per_tensor(torch.eye(2), 0.1, 0, torch.quint8),
        "The tensor is quantized",
    ),
    "complex numbers": (lambda: ROWS + 1j, "The rows hold complex numbers: pass an array of numbers"),
    "a complex tensor": (lambda: torch.ones(3, 2, dtype=torch.complex64), "The rows hold complex numbers"),
    "text": (lambda: [["a", "b"]], "The rows hold text: pass an array of numbers"),
    "text among numbers": (lambda: [[1.0, "b"]], "The rows hold text"),
    "text among objects": (lambda: np.array([[1.0, "b"]], dtype=object), "The rows cannot be read as numbers (could"),
    "rows of different lengths": (lambda: [[1, 2], [3]], "The rows cannot be read as numbers (setting an array"),
    "a dict": (lambda: {"a": [1], "b": [2]}, "Rows of type dict cannot be read: pass"),
    "dates": (lambda: np.array([["2020-01-01", "2020-01-02"]], dtype="M8[D]"), "The rows hold dates"),
    "a missing file": (lambda: "rows.csv", "There is no file rows.csv"),
    "a function": (lambda: len, "The rows cannot be read as numbers"),
    "labels of others": (lambda: pd.Series({"c": 0.0, "d": 1.0}), "The series has the labels c, d, none of which is"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("codec", [NUMERIC, TABLE], ids=["numbers", "table"])
@pytest.mark.filterwarnings("ignore")  # of torch, about quantized tensors
def test_what_is_no_row_of_numbers_is_refused_in_one_sentence(
    codec: NumericCodec | TableCodec, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, message = REFUSED[what]
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        codec.read(make())  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_series_is_one_row_read_by_its_labels() -> None:
    series = pd.Series({"b": 100.0, "a": 0.0})
    np.testing.assert_array_equal(NUMERIC.read(series), [[0, 100]])
    np.testing.assert_array_equal(NUMERIC.read(pd.Series([0.0, 100.0])), [[0, 100]])
    row = pd.Series({"colour": "red", "b": 100.0, "other": 1})
    np.testing.assert_array_equal(TABLE.read(row), [[np.nan, 100, 1]])
    single = NumericCodec.fit(ROWS[:, :1], ("a",), "standard")
    np.testing.assert_array_equal(single.read(pd.Series([1.0, 2.0], index=["u", "v"])), [[1], [2]])
    with pytest.raises(InputError, match="column"):
        NUMERIC.read(pd.Series({"b": 100.0, "c": 0.0}))


def test_arrays_tensors_lists_and_files_are_read(tmp_path: Path) -> None:
    pl.DataFrame(ROWS, schema=["a", "b"]).write_csv(tmp_path / "t.csv")
    several = [ROWS, ROWS.tolist(), torch.from_numpy(ROWS), torch.from_numpy(ROWS).requires_grad_(), tmp_path / "t.csv"]
    several += [pl.DataFrame(ROWS[:, ::-1], schema=["b", "a"]), list(torch.from_numpy(ROWS)), ROWS.astype(object)]
    for rows in (*several, str(tmp_path / "t.csv")):
        np.testing.assert_array_equal(NUMERIC.read(rows), ROWS)


def test_what_is_masked_or_none_is_missing() -> None:
    masked = np.ma.masked_array([[1.0, 2.0, 0.0]], mask=[[0, 1, 0]])
    for row in (masked, [[1.0, None, 0.0]]):
        np.testing.assert_array_equal(TABLE.read(row), [[1, np.nan, 0]])
    with pytest.raises(InputError, match="Row 1, column b is not a finite number"):
        NUMERIC.read(masked[:, :2])
