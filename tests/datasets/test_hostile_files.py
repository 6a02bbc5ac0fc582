"""Damaged NPY and Parquet files, and those that claim more than they hold, are refused cheaply; names are names."""

import contextlib
import io
import os
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from driftfield.datasets import load, parquet
from driftfield.errors import InputError


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def npy(header: str, content: bytes = b"", version: tuple[int, int] = (1, 0)) -> None:
    text = header.encode("latin-1").ljust(117) + b"\n"
    length = len(text).to_bytes(2 if version == (1, 0) else 4, "little")
    Path("t.npy").write_bytes(b"\x93NUMPY" + bytes(version) + length + text + content)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 1000000000), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 0), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-2, -4), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (8, 2), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }",
        "{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4, 'a'), }",
        "{'descr': ('<f8', 3, 4, 5), 'fortran_order': False, 'shape': (4, 2), }",
        "{'descr': [('a',)], 'fortran_order': False, 'shape': (4, 2), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4, 2), ",
        "{'descr': '<f8', 'fortran_order': 3, 'shape': (4, 2), }",
        "{'descr': '<f8', b'fortran_order': False, 'shape': (4, 2), }",
        "{'descr': '<f8', 'fortran_order': False, 'sh\x00pe': (4, 2), }",
        "(" * 110,
        "'''",
        "{[]: 1}",
    ],
)
def test_an_npy_whose_header_is_wrong_is_refused_in_one_sentence(header: str) -> None:
    for version in ((1, 0), (2, 0)):
        npy(header, bytes(64), version)
        if header.startswith(("{'descr': '<f8', 'fortran_order': False, 'shape': (0", "{'descr': '|u1'")):
            npy(header, b"", version)
        with pytest.raises(InputError, match=r"t\.npy (is damaged|has|holds)") as raised:
            load("t.npy")
        assert "\n" not in str(raised.value)


def test_every_single_flipped_bit_of_an_npy_is_read_or_refused() -> None:
    np.save("t.npy", np.arange(8.0).reshape(4, 2))
    content = Path("t.npy").read_bytes()
    for place in range(128):
        for bit in (0, 3, 6):
            Path("t.npy").write_bytes(content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :])
            with contextlib.suppress(InputError):
                assert load("t.npy").values.nbytes == 64


def test_a_signalling_nan_is_a_missing_cell_without_a_warning() -> None:
    bits = np.array([[1, 2], [3, 0x7C01], [5, 6]], dtype=np.uint16)
    np.save("t.npy", bits.view(np.float16))
    with np.errstate(all="raise"), pytest.raises(InputError, match=r"1 missing cell, the first in column .x2., row 2"):
        load("t.npy")


def test_numbers_after_the_array_are_not_dropped_silently() -> None:
    with Path("t.npy").open("wb") as file:
        np.save(file, np.eye(3))
        np.save(file, np.eye(3))
    with pytest.raises(InputError, match="promises 72 bytes of numbers, but 272 follow"):
        load("t.npy")


@pytest.mark.parametrize("name", ["d[1].parquet", "d*.parquet", "d?.parquet", "a=1.parquet", "~.parquet"])
def test_a_parquet_path_is_a_name_and_not_a_pattern(name: str) -> None:
    for other in ("d1.parquet", "d2.parquet"):
        pl.DataFrame({"b": [7.0, 8.0]}).write_parquet(other)
    frame = pl.DataFrame({"a": [1.0, 2.0, 4.0]})
    with Path(name).open("wb") as file:
        frame.write_parquet(file)
    assert np.array_equal(load(name).values, frame.to_numpy())
    assert load(f"{name}:a").columns == ("a",)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited on Linux alone")
def test_a_parquet_that_takes_too_much_memory_is_refused_and_this_process_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parquet, "AT_LEAST", 200_000_000)
    monkeypatch.setattr(parquet, "MOST_TIMES_ITS_SIZE", 10)
    pl.DataFrame({"a": np.zeros(30_000_000)}).write_parquet("t.parquet")
    with pytest.raises(InputError, match=r"t\.parquet is damaged or not a valid Parquet file \(.+bytes of memory\)"):
        load("t.parquet")


def test_the_panic_of_a_damaged_parquet_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    buffer = io.BytesIO()
    pl.DataFrame({"a": np.arange(50.0), "b": ["x", "y"] * 25}).write_parquet(buffer)
    content, refused = buffer.getvalue(), 0
    for place in range(len(content) - 60, len(content) - 4, 20):
        Path("t.parquet").write_bytes(content[:place] + b"\xff" + content[place + 1 :])
        try:
            load("t.parquet:a")
        except InputError:
            refused += 1
    assert refused
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["t.csv", "t.npy", "t.parquet"])
def test_a_pipe_is_refused_at_once(name: str) -> None:
    os.mkfifo(name)
    started = time.monotonic()
    with pytest.raises(InputError, match="is a pipe or a device, not a file"):
        load(name)
    assert time.monotonic() - started < 5  # it would block for ever
