"""Rows that are written come back bit for bit, or nothing is written at all."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from driftfield.datasets import csv_text, load, write_rows
from driftfield.errors import DriftfieldError, InputError

VALUES = np.array([[0.1, -1e-300, 1e30], [1 / 3, 5e-324, -1.7976931348623157e308], [2.0, -0.0, 123456789.123456789]])


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
@pytest.mark.parametrize("columns", [("a", "b", "c"), ("a, b", 'c "d"', "größe (cm)")])
def test_rows_come_back_bit_for_bit(tmp_path: Path, suffix: str, columns: tuple[str, ...]) -> None:
    path = tmp_path / f"rows{suffix}"
    write_rows(path, VALUES, columns)
    table = load(path)
    assert table.values.tobytes() == VALUES.tobytes()
    assert table.columns == (columns if suffix != ".npy" else ("x1", "x2", "x3"))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_file_that_is_there_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    for scale in (1.0, 2.0):
        write_rows(str(path), scale * VALUES[:, :1], ["a"])
        np.testing.assert_array_equal(load(path).values, scale * VALUES[:, :1])


def test_a_reader_of_the_old_file_never_sees_half_of_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_rows(path, VALUES, "abc")
    before = path.read_bytes()
    with path.open("rb") as reader:
        write_rows(path, VALUES[::-1], "abc")
        assert reader.read() == before
    assert path.read_bytes() != before


def test_a_new_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv", VALUES, "abc")
    (tmp_path / "other").touch()
    assert (tmp_path / "rows.csv").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rows.txt", "end its name in .csv, .parquet or .npy"),
        ("rows", "end its name in .csv, .parquet or .npy"),
        ("none/rows.csv", "there is no folder .*none, so create it first"),
        ("file/rows.csv", "file is a file, so choose another folder"),
        ("folder.csv", "is a folder, so name a file"),
    ],
)
def test_a_target_that_cannot_be_written_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=message):
        write_rows(tmp_path / name, VALUES, "abc")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder.csv"]


def test_a_folder_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # what the system says to anyone but root
    with pytest.raises(InputError, match="is not writable, so choose another folder"):
        write_rows(tmp_path / "rows.csv", VALUES, "abc")


def test_names_that_do_not_match_the_columns_are_refused(tmp_path: Path) -> None:
    for columns in (["a", "b"], ["a", "b", "a"]):
        with pytest.raises(InputError, match="cannot be written under the names"):
            write_rows(tmp_path / "rows.csv", VALUES, columns)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_old_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.csv"
    write_rows(path, VALUES, "abc")
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DriftfieldError, match=r"Cannot write .+ \(No space left on device\)"):
        write_rows(path, VALUES[::-1], "abc")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["rows.csv"]


def test_whole_numbers_beyond_2_to_the_53_are_written_as_integers() -> None:
    values = np.array([[2.0**53 + 4, 1.5], [1.7000008929700485e18, 2.5]])
    assert csv_text(values, ("id", "x"), (0, None)) == "id,x\n9007199254740996,1.5\n1700000892970048512,2.5\n"
