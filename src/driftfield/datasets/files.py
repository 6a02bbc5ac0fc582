"""Text, Parquet and NPY files as raw tables; the syntax is `PATH[:column,…]`, with `-` for text from standard input."""

import csv
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from driftfield.datasets.dialect import Dialect
from driftfield.datasets.npy import npy_table
from driftfield.datasets.parquet import parquet_table
from driftfield.datasets.raw_table import RawTable
from driftfield.datasets.text_files import text_table
from driftfield.errors import InputError, listed, nearest

SUFFIXES = (".csv", ".parquet", ".npy")  # of files that are written
TEXT = (".csv", ".tsv", ".tab", ".txt", ".dat", ".data")  # each also with .gz after it
MOST_PIPED = 1 << 31  # bytes of standard input
_WITH_PICKS = re.compile(
    rf"(.+?(?:{'|'.join(map(re.escape, TEXT))})(?:\.gz)?|.+?\.(?:parquet|npy)):(.*)", re.IGNORECASE | re.DOTALL
)


def read_file(
    data: str, names: Iterable[str] = (), dialect: Dialect | None = None
) -> tuple[RawTable, list[str] | None]:
    """The raw table that `data` (PATH[:column,…]) names, and the columns that it picks, None for all.

    `names` are the built-in names, of which the path may be a misspelling; `dialect` is that of a text file. Raises
    InputError for a missing file, a folder, an unknown extension, and a file whose content does not match its
    extension.
    """
    if data == "-" or data.startswith("-:"):
        raw = text_table(_standard_input(), "standard input", "-", dialect)
        return raw, parse_picks(data, data[2:]) if data[1:] else None
    if "\n" in data and not os.path.exists(data):
        raise InputError(
            "The data are a text of several lines, not a name: pass io.StringIO(text), or save it in a file."
        )
    path, columns = path_and_columns(data)
    if not os.path.exists(path):
        raise _missing(path, names)
    if os.path.isdir(path):
        raise InputError(f"{path} is a folder: name a file in it that ends in {listed(SUFFIXES)}.")
    if not os.path.isfile(path):
        raise InputError(f"{path} is a pipe or a device, not a file: save the rows in a file, or send them to -.")
    file = Path(path)
    suffix = Path(file.stem if file.suffix.lower() == ".gz" else file.name).suffix.lower()
    if suffix not in TEXT and (suffix not in _READERS or file.suffix.lower() == ".gz"):
        raise InputError(
            f"{path} does not end in {listed((*TEXT, *SUFFIXES[1:]))}: convert it to one of these formats, or rename "
            "it."
        )
    try:
        raw = text_table(file, path, path, dialect) if suffix in TEXT else _READERS[suffix](file)
        return raw, None if columns is None else parse_picks(data, columns)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): check its permissions.") from error


def _standard_input() -> bytes:
    """All of standard input, which may not be endless."""
    if sys.stdin is None:
        raise InputError("Standard input is closed: name a file in place of -.")
    content = sys.stdin.buffer.read(MOST_PIPED + 1)
    if len(content) > MOST_PIPED:
        raise InputError(f"Standard input goes on after {MOST_PIPED:,} bytes: save it in a file first.")
    return content


def path_and_columns(data: str) -> tuple[str, str | None]:
    """PATH and the columns after it; of several ways to split, the longest path that exists is taken."""
    if os.path.exists(data):
        return data, None
    for colon in reversed([i for i, character in enumerate(data) if character == ":"]):
        if os.path.isfile(data[:colon]):
            return data[:colon], data[colon + 1 :]
    match = _WITH_PICKS.fullmatch(data)
    return (match[1], match[2]) if match else (data, None)


def parse_picks(data: str, columns: str) -> list[str]:
    """The names in `columns`, "a,b"; a name that contains a comma is put in double quotes.

    Raises InputError, which quotes `data`, if there is no name.
    """
    names = next(csv.reader([columns]), [])
    if not any(name.strip() for name in names):
        raise InputError(f'"{data}" names no column after the colon: write names with commas between them.')
    return names


def _stem(name: str) -> str:
    """The name of a file without its endings, which make any two look alike."""
    return name[:1] + name[1:].partition(".")[0]


def _missing(path: str, names: Iterable[str]) -> InputError:
    folder = Path(path).parent
    if not os.path.isdir(folder):  # a name may be too long for pathlib
        return InputError(f"There is no file {path}: the folder {folder} does not exist.")
    files = [entry.name for entry in folder.iterdir() if entry.suffix.lower() in (*SUFFIXES, *TEXT, ".gz")]
    bare = Path(path).name == path
    known = {_stem(name): name for name in [*(names if bare else ()), *files]}
    close = nearest(_stem(Path(path).name), known)
    if close is not None:
        near = known[close] if bare else str(folder / known[close])
        return InputError(f'There is no file or built-in data "{path}": did you mean "{near}"?')
    if bare and not Path(path).suffix:
        return InputError(f'There is no built-in data "{path}": choose one of {", ".join(names)}, or name a file.')
    return InputError(f"There is no file {path}: check the path (looked in {folder.resolve()}).")


_READERS = {".parquet": parquet_table, ".npy": npy_table}
