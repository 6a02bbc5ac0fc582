"""Tables from distributions, files, memory and scikit-learn; held-out parts; the catalogue."""

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes, load_digits, load_wine

from driftfield.datasets import DISTRIBUTIONS, Table, catalogue, load, load_like, split
from driftfield.datasets.bundled import SETS
from driftfield.errors import InputError

CSV = "a,b,c\n1,2.5,-3\n4,5e-1,6\n7,8,1e30\n"
ROWS = [[1, 2.5, -3], [4, 0.5, 6], [7, 8, 1e30]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def csv(folder: Path, text: str | bytes, name: str = "t.csv") -> str:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


def test_a_distribution_gives_its_rows_and_itself() -> None:
    table = load("moons", rows=500, seed=3)
    np.testing.assert_array_equal(table.values, DISTRIBUTIONS["moons"].sample(500, 3))
    assert (table.columns, table.source, table.distribution) == (("x", "y"), "moons", DISTRIBUTIONS["moons"])
    assert load("ring").values.shape == (10_000, 2)


def test_a_csv_is_read_with_its_names(folder: Path) -> None:
    table = load(csv(folder, CSV))
    np.testing.assert_array_equal(table.values, ROWS)
    assert table.values.dtype == np.float64
    assert (table.columns, table.source, table.distribution) == (("a", "b", "c"), "t.csv", None)


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("1,2\n3,4\n", ("x1", "x2"), [[1, 2], [3, 4]]),  # no header
        ("\n\n1,2\n3,4\n", ("x1", "x2"), [[1, 2], [3, 4]]),
        ("\n\na,b\n1,2\n3,4\n", ("a", "b"), [[1, 2], [3, 4]]),
        ("a,b\r\n1,2\r\n3,4\r\n\r\n\r\n", ("a", "b"), [[1, 2], [3, 4]]),
        ("a\n1\n2\n\n", ("a",), [[1], [2]]),
        ("a, b \n 1, 2\n3 ,4", ("a", "b"), [[1, 2], [3, 4]]),
        (",b\n0,5\n1,6\n", ("x1", "b"), [[0, 5], [1, 6]]),  # an index that pandas wrote
        ("a,b\nTrue,1\nfalse,2\n", ("a", "b"), [[1, 1], [0, 2]]),
        ('"a,1","b ""q"""\n"1","2"\n"3","4"\n', ("a,1", 'b "q"'), [[1, 2], [3, 4]]),
        (b"\xef\xbb\xbfa,b\n1,2\n3,4\n", ("a", "b"), [[1, 2], [3, 4]]),  # a byte-order mark
        ("größe,b\n1,2\n3,4\n", ("größe", "b"), [[1, 2], [3, 4]]),
        ("a,b\n1,9007199254740993\n2,10000000000000000000000000000000\n", ("a", "b"), [[1, 2**53], [2, 1e31]]),
    ],
)
def test_csv_as_found_in_the_wild_is_read(
    folder: Path, text: str | bytes, columns: tuple[str, ...], rows: list[list[float]]
) -> None:
    table = load(csv(folder, text))
    assert table.columns == columns
    np.testing.assert_array_equal(table.values, rows)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy", ".CSV"])
def test_columns_are_picked_by_name_and_in_the_order_asked(folder: Path, suffix: str) -> None:
    name = f"t{suffix}"
    frame = pl.DataFrame(ROWS, schema=["x1", "x2", "x3"], orient="row")
    if suffix == ".npy":
        np.save(name, frame.to_numpy())
    elif suffix == ".parquet":
        frame.write_parquet(name)
    else:
        frame.write_csv(name)
    table = load(f"{name}:x3, x1")
    assert table.columns == ("x3", "x1")
    assert table.source == f"{name}:x3, x1"
    np.testing.assert_array_equal(table.values, np.array(ROWS)[:, [2, 0]])


def test_a_text_column_does_no_harm_when_others_are_picked(folder: Path) -> None:
    name = csv(folder, 'id,x,"y,z"\nred,1,2\nblue,3,4\n')
    np.testing.assert_array_equal(load(f'{name}:"y,z",x').values, [[2, 1], [4, 3]])


def test_an_existing_path_with_a_colon_wins_over_picked_columns(folder: Path) -> None:
    csv(folder, "a,b\n1,2\n3,4\n", "d.csv")
    csv(folder, "q,a\n5,6\n7,8\n", "d.csv:a")
    csv(folder, "a,b\n9,10\n11,12\n", "c:e.csv")
    assert load("d.csv:b").columns == ("b",)
    assert load("d.csv:b").values[0, 0] == 2
    (folder / "d.csv:a").rename(folder / "x:d.csv")
    assert load(folder / "x:d.csv").columns == ("q", "a")
    assert load("c:e.csv:b").values[0, 0] == 10


def test_standard_input_is_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    for data, columns in [("-", ("a", "b", "c")), ("-:c,a", ("c", "a"))]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(CSV.encode())))
        table = load(data)
        assert (table.columns, table.source) == (columns, data)


def test_parquet_types_become_float64(folder: Path) -> None:
    frame = pl.DataFrame({"i": [1, 2], "u": [2**63, 2**64 - 1], "f": [0.5, 1.5], "b": [True, False], "t": ["x", "y"]})
    frame = frame.with_columns(h=pl.col("f").cast(pl.Float32), d=pl.col("f").cast(pl.Decimal(10, 3)))
    frame.write_parquet("t.parquet")
    table = load("t.parquet:i,u,f,b,h,d")
    np.testing.assert_array_equal(table.values, [[1, 2.0**63, 0.5, 1, 0.5, 0.5], [2, 2.0**64, 1.5, 0, 1.5, 1.5]])


@pytest.mark.parametrize(
    "make", [np.asarray, torch.tensor, lambda x: torch.tensor(x, requires_grad=True), np.asfortranarray]
)
def test_arrays_and_tensors_are_read_and_copied(make) -> None:  # type: ignore[no-untyped-def]
    source = make([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])
    table = load(source)
    assert table.columns == ("x1", "x2")
    np.testing.assert_array_equal(table.values, [[1, 2], [3, 4], [5, 7]])
    table.values[0, 0] = 99
    assert source[0, 0] == 1


def test_arrays_of_one_dimension_and_of_other_types_are_read() -> None:
    np.testing.assert_array_equal(load(np.arange(3)).values, [[0], [1], [2]])
    np.testing.assert_array_equal(load(np.array([True, False])).values, [[1], [0]])
    np.testing.assert_array_equal(load(torch.tensor([1.5, 2.0]).bfloat16()).values, [[1.5], [2]])
    assert load(np.arange(3)).source == "array"
    assert load(torch.arange(3)).source == "tensor"


@pytest.mark.parametrize(
    ("frame", "columns"),
    [
        (pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}, index=[7, 7]), ("a", "b")),
        (pd.DataFrame({"a": pd.array([1, 2], dtype="Int64"), "b": [0.5, 1.5]}), ("a", "b")),
        (pd.DataFrame([[1, 0.5], [2, 1.5]]), ("x1", "x2")),
        (pl.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}), ("a", "b")),
        (pl.LazyFrame({"a": [1, 2], "b": [0.5, 1.5]}), ("a", "b")),
    ],
)
def test_frames_are_read_with_their_names(frame: object, columns: tuple[str, ...]) -> None:
    table = load(frame)
    assert (table.columns, table.source) == (columns, "frame")
    np.testing.assert_array_equal(table.values, [[1, 0.5], [2, 1.5]])


def test_a_series_is_one_column() -> None:
    assert load(pd.Series([1, 2, 3], name="q")).columns == ("q",)
    np.testing.assert_array_equal(load(pl.Series("q", [1, 2])).values, [[1], [2]])


def test_a_table_is_taken_as_it_is() -> None:
    table = load("moons", rows=50)
    assert load(table) is table
    part = load(table, rows=10)
    assert (part.values[:, None] == table.values).all(axis=2).any(axis=1).all()
    assert part.distribution is table.distribution


def test_rows_takes_a_random_subset_by_seed(folder: Path) -> None:
    np.save("t.npy", np.arange(100.0))
    first, again, other = (load("t.npy", rows=30, seed=seed).values[:, 0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first)) == 30
    assert set(first) != set(other)
    assert not np.array_equal(first, np.sort(first))
    np.testing.assert_array_equal(load("t.npy", rows=1000).values[:, 0], np.arange(100))


@pytest.mark.parametrize("data", ["t.csv", "t.csv:a,c", "t.csv:c,a", "t.csv: c, a"])
def test_rows_for_a_model_are_found_by_the_names_of_its_columns(folder: Path, data: str) -> None:
    csv(folder, CSV)
    table = load_like(data, ("c", "a"))
    assert table.columns == ("c", "a")
    np.testing.assert_array_equal(table.values, np.array(ROWS)[:, [2, 0]])


def test_rows_for_a_model_may_be_nameless_single_and_constant() -> None:
    table = load_like(np.array([[1.0, 2.0]]), ("c", "a"))
    assert table.columns == ("c", "a")
    np.testing.assert_array_equal(table.values, [[1, 2]])
    assert load_like("moons", ("u", "v")).columns == ("u", "v")


@pytest.mark.parametrize("data", ["moons", np.zeros((5, 2))])
def test_rows_for_a_model_of_other_columns_are_refused(data: object) -> None:
    with pytest.raises(InputError, match="has 2 columns, but the model has 3: pick a, b, c"):
        load_like(data, ("a", "b", "c"))


@pytest.mark.parametrize("name", SETS)
def test_bundled_sets_have_the_size_that_the_catalogue_says(name: str) -> None:
    table = load(f"sklearn:{name}")
    assert table.values.shape == (SETS[name].rows, SETS[name].columns) == (len(table.values), len(table.columns))
    assert table.source == f"sklearn:{name}"


def test_bundled_sets_are_scikit_learns_in_their_own_units() -> None:
    np.testing.assert_array_equal(load("sklearn:wine").values, load_wine().data)
    np.testing.assert_array_equal(load("sklearn:diabetes").values, load_diabetes(scaled=False).data)
    assert load("sklearn:diabetes").values[:, 0].max() > 70  # years of age, not a standardised number
    assert load("sklearn:wine:hue,ash").columns == ("hue", "ash")
    digits = load_digits()
    kept = [list(digits.feature_names).index(name) for name in load("sklearn:digits").columns]
    np.testing.assert_array_equal(load("sklearn:digits").values, digits.data[:, kept])
    assert ((digits.data != 0).sum(axis=0)[np.setdiff1d(np.arange(64), kept)] < 10).all()


def test_the_catalogue_names_everything_that_loads() -> None:
    entries = catalogue()
    assert [name for name, _, _ in entries] == [*DISTRIBUTIONS, *(f"sklearn:{name}" for name in SETS)]
    assert ("sklearn:wine", "178 rows, 13 columns", "chemical analyses of wines") in entries
    assert all(name and size and summary for name, size, summary in entries)


def test_columns_of_very_different_scales_are_kept_exactly() -> None:
    values = np.array([[1e30, 1e-30, 1.0], [2e30, 3e-30, 2.0]])
    np.testing.assert_array_equal(load(values).values, values)


@given(n=st.integers(2, 300), fraction=st.floats(0.01, 0.99), most=st.integers(1, 100), seed=st.integers(0, 2**32))
def test_the_two_parts_of_a_split_are_disjoint_and_complete(n: int, fraction: float, most: int, seed: int) -> None:
    table = Table(np.arange(n, dtype=np.float64)[:, None], ("i",), "array")
    train, held = split(table, fraction, most, seed)
    rows = np.concatenate([train.values, held.values])[:, 0]
    np.testing.assert_array_equal(np.sort(rows), np.arange(n))
    assert len(held.values) == min(most, n - 1, max(1, round(n * fraction)))
    assert len(train.values) >= 1


def test_a_fifth_is_held_out_at_most_ten_thousand_and_by_seed() -> None:
    table = load("moons", rows=1000)
    train, held = split(table)
    assert (len(train.values), len(held.values)) == (800, 200)
    assert (held.distribution, held.source, held.columns) == (table.distribution, table.source, table.columns)
    np.testing.assert_array_equal(split(table)[1].values, held.values)
    assert not np.array_equal(split(table, seed=1)[1].values, held.values)
    large = Table(np.arange(60_000.0)[:, None], ("i",), "array")
    assert [len(part.values) for part in split(large)] == [50_000, 10_000]


def test_an_ordered_table_is_split_without_regard_to_the_order() -> None:
    held = split(Table(np.arange(5000.0)[:, None], ("i",), "array"), seed=0)[1].values[:, 0]
    assert held.mean() == pytest.approx(2499.5, abs=4 * 5000 / np.sqrt(12 * 1000))
    assert abs(np.corrcoef(np.arange(1000), held)[0, 1]) < 4 / np.sqrt(1000)


def test_one_seed_for_subset_and_split_does_not_choose_the_same_rows() -> None:
    table = Table(np.arange(1000.0)[:, None], ("i",), "array")
    subset = load(table, rows=200, seed=0).values[:, 0]
    held = split(table, seed=0)[1].values[:, 0]
    assert 10 < len(np.intersect1d(subset, held)) < 75  # 40 expected, a standard deviation of 5


def test_a_split_that_cannot_be_learned_from_is_refused() -> None:
    table = load("moons", rows=10)
    with pytest.raises(InputError, match="held-out fraction is 1: it must lie between 0 and 1"):
        split(table, 1.0)
    with pytest.raises(InputError, match="at most 0 of 10 rows of moons"):
        split(table, most=0)


def test_a_value_that_only_one_part_would_hold_moves_to_the_training_part() -> None:
    rare = np.stack([np.arange(20.0), np.arange(20) == 3, np.arange(20) == 7], axis=1)
    for seed in range(40):
        train, held = split(Table(rare, ("i", "flag", "other"), "flags.csv"), seed=seed)
        assert np.ptp(train.values, axis=0).min() > 0
        np.testing.assert_array_equal(np.sort(np.concatenate([train.values, held.values])[:, 0]), np.arange(20))


def test_a_million_rows_of_parquet_load_in_little_more_than_their_own_size(folder: Path) -> None:
    rng = np.random.default_rng(0)
    pl.DataFrame({f"c{i}": rng.standard_normal(1_000_000) for i in range(10)}).write_parquet("big.parquet")
    code = (
        "import polars, narwhals, driftfield.datasets as d;"
        "peak = lambda: int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1]) / 1024;"
        "before = peak(); x = d.load('big.parquet').values; print(peak() - before - x.nbytes / 2**20)"
    )
    if not os.path.exists("/proc/self/status"):
        pytest.skip("peak memory is read from /proc")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(found.stdout) < 250


@given(st.lists(st.tuples(*[st.floats(-1e300, 1e300)] * 2), min_size=2, max_size=20))
@settings(deadline=None, derandomize=True, database=None)
def test_any_two_columns_of_floats_are_read_back_from_csv(rows) -> None:  # type: ignore[no-untyped-def]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_text("a,b\n" + "".join(f"{a!r},{b!r}\n" for a, b in rows))
        if any(len({row[i] for row in rows}) == 1 for i in (0, 1)):
            return
        np.testing.assert_array_equal(load(path).values, rows)
