"""Parquet files as raw tables, read in a process of their own (:mod:`driftfield.datasets.parquet_process`)."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from driftfield.datasets import parquet_process
from driftfield.datasets.cells import LEADING_ZERO, PLAIN, as_numbers, cleaned
from driftfield.datasets.dialect import MISSING
from driftfield.datasets.distribution import FloatArray
from driftfield.datasets.frames import count_from_one, frame_columns, frame_text, nested_columns
from driftfield.datasets.raw_table import NotNumeric, RawTable, Whole
from driftfield.datasets.text_files import comma_separated
from driftfield.errors import InputError, reason

if TYPE_CHECKING:
    import polars as pl

# The most memory that reading a file may take: so many times its size, and at least so many bytes.
MOST_TIMES_ITS_SIZE, AT_LEAST = 1_000, 1 << 30
LONGEST, SLOWEST = 60, 1 << 20  # seconds that reading may take, and bytes for each second more: readers can hang
SMALL = 1 << 24  # bytes of a file that is read whole at once, though some of its columns might not be needed


def parquet_table(path: Path, safe: bool = False) -> RawTable:
    """The raw table of a Parquet file.

    A ``safe`` file, known to be as this program wrote it, is read in this process, which is faster.

    Raises:
        InputError: the file is damaged.
    """
    import narwhals as nw
    import polars as pl

    if safe:
        try:
            with path.open("rb") as file:  # polars expands patterns in a path
                whole = pl.read_parquet(file)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise _damaged(path, reason(error)) from None
    else:
        whole = _read(path, "all" if path.stat().st_size <= SMALL else "names")
    small = safe or path.stat().st_size <= SMALL
    of_text = [] if safe else [i for i, dtype in enumerate(whole.dtypes) if dtype == pl.String]
    texts = whole[:, of_text] if small or not of_text else _read(path, *map(str, of_text))
    numeric = {name for name in texts.columns if _as_numbers(texts[name]) is not None}

    def read(indices: Sequence[int]) -> Iterator[FloatArray | NotNumeric]:
        found = whole[:, indices] if small else _read(path, *map(str, indices))
        found = found.with_columns(_as_numbers(cells) for cells in found if cells.name in numeric)
        return frame_columns(nw.from_native(found), range(len(indices)))

    def text(index: int) -> list[str | None]:
        frame = whole if small else _read(path, str(index))
        return frame_text(nw.from_native(frame)[:, index if small else 0])

    def everything() -> Whole:
        frame = whole if small else _read(path, "all")
        return Whole(frame, tuple(frame.columns))

    return RawTable(
        str(path),
        tuple(whole.columns),
        read,
        count_from_one,
        lambda names: f"{path}:{comma_separated(names)}",
        text,
        whole=everything,
        nested=nested_columns(nw.from_native(whole), whole.columns),
        from_text=frozenset(numeric),
    )


def _as_numbers(texts: "pl.Series") -> "pl.Series | None":
    """A column of text as numbers, null for missing cells; None where it holds something else, or codes such as 007."""
    cells = cleaned(texts, MISSING)
    present = cells.drop_nulls()
    if (
        not len(present)
        or not bool(present.str.contains(PLAIN).all())
        or bool(present.str.contains(LEADING_ZERO).any())
    ):
        return None
    return as_numbers(cells, ".").alias(texts.name)


def _read(path: Path, *what: str) -> "pl.DataFrame":
    """What parquet_process reads of a file: "all", "names", or indices of columns."""
    import polars as pl

    size = path.stat().st_size
    most, seconds = max(MOST_TIMES_ITS_SIZE * size, AT_LEAST), LONGEST + size // SLOWEST
    command = [sys.executable, "-P", parquet_process.__file__, str(most), str(path.absolute()), *what]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise _damaged(path, f"reading it did not end in {seconds} seconds") from None
    if done.returncode == 0:
        return pl.read_ipc(done.stdout)
    if done.returncode == 1:
        raise _damaged(path, (done.stderr.decode(errors="replace").splitlines() or ["no reason given"])[-1])
    raise _damaged(path, f"reading it was aborted, as when it claims more than {most:,} bytes of memory")


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"{path} is damaged or not a valid Parquet file ({why}): write it again.")
