"""CSV: comma-separated UTF-8 text with a header, read by polars.

If the first line consists of numbers, the file has no header, and the columns are called x1, x2, …; a column with an
empty header is named the same way. Cells hold numbers, true or false, with or without spaces around them. Blank lines
at the end are ignored.

polars reads the file. Python's csv module reads the header, and reads the whole file only to find the line of an error.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from driftfield.datasets.distribution import FloatArray
from driftfield.datasets.raw_table import NotNumeric, RawTable, capital, reason
from driftfield.errors import InputError

if TYPE_CHECKING:
    import polars as pl

Source = Path | bytes


@dataclass(frozen=True)
class Layout:
    """The layout of a file: fields per line, whether it has no header, and blank lines before the first record."""

    width: int
    headless: bool
    blank: int


def csv_table(source: Source, name: str, data: str) -> RawTable:
    """The raw table of a CSV file, or of its content in bytes; `data` is what the user writes before ":column,…".

    Raises InputError for an empty or binary file, another separator, and rows of different lengths.
    """
    title = capital(name)
    line, header = _header(source, title)
    headless = _is_numeric(header)
    layout = Layout(len(header), headless, line - 1)
    columns = tuple((not headless and " ".join(word.split())) or f"x{i}" for i, word in enumerate(header, start=1))

    def locate(row: int) -> str:
        records = _records(source, title)
        line = next((line for index, (line, _) in enumerate(records) if index == row + (not headless)), None)
        return f"row {row + 1} (line {line})"

    return RawTable(
        name=name,
        columns=columns,
        read=lambda indices: _read(source, title, layout, indices),
        locate=locate,
        pick=lambda names: f"{data}:{comma_separated(names)}",
    )


def _header(source: Source, name: str) -> tuple[int, list[str]]:
    """(line, fields) of the first line that is not blank."""
    with _opened(source) as file:
        if b"\0" in file.read(4096):
            raise _not_text(name)
    start = list(islice(_records(source, name), 2))
    if not start:
        raise InputError(f"{name} is empty: give it a header line and rows of numbers.")
    for mark, word in (";", "semicolons"), ("\t", "tabs"), ("|", "bars"):
        if all(len(record) == 1 and mark in record[0] for _, record in start):
            where = f"line {start[0][0]}"
            raise InputError(f"{name} is separated by {word} ({where}): save it with commas between the columns.")
    return start[0]


def _read(source: Source, name: str, layout: Layout, indices: Sequence[int]) -> Iterator[FloatArray | NotNumeric]:
    import polars as pl
    from polars.exceptions import PolarsError

    def frame(kind: type[pl.DataType]) -> pl.DataFrame:
        return pl.read_csv(
            source,
            has_header=not layout.headless,
            skip_rows=layout.blank if layout.headless else 0,  # polars itself skips blank lines before a header
            schema_overrides=[kind] * layout.width,
            columns=list(indices),
        )

    try:
        try:
            found = frame(pl.Float64)
        except PolarsError:  # some cells are not numbers: read them as text
            found = frame(pl.String)
    except PolarsError as error:
        _blank_lines_at_end(source, name, layout)  # raises the error that names the line, if there is one
        raise InputError(f"{name} cannot be read as CSV ({reason(error)}): export it again.") from error
    if any(column.null_count() for column in found):
        found = found.head(found.height - _blank_lines_at_end(source, name, layout))
    for column in found:
        yield column.to_numpy() if column.dtype == pl.Float64 else _parsed(column)


def _parsed(column: "pl.Series") -> FloatArray | NotNumeric:
    """The numbers in a column of text: true and false are 1 and 0; empty cells are NaN."""
    import polars as pl

    cells = column.str.strip_chars().replace({"": None})
    lower = cells.str.to_lowercase()
    if lower.is_in(["true", "false"]).all() and cells.null_count() < len(cells):
        return (lower == "true").cast(pl.Float64).to_numpy()
    values = cells.cast(pl.Float64, strict=False)
    failed = values.is_null() & cells.is_not_null()
    if failed.any():
        row = int(failed.arg_max() or 0)
        return NotNumeric("text", cells[row], row, tuple(cells))
    return values.to_numpy()


def _blank_lines_at_end(source: Source, name: str, layout: Layout) -> int:
    """The number of blank lines at the end; raises InputError for other blank lines and ragged rows."""
    blank = 0
    row = 1 if layout.headless else 0  # the header is row 0
    for line, record in _records(source, name):
        if not record:
            blank += 1
            continue
        if blank:
            raise InputError(f"{name} has a blank line before row {row} (line {line - 1}): remove it.")
        if len(record) != layout.width:
            fields = "1 field" if len(record) == 1 else f"{len(record)} fields"
            wanted = f"not {layout.width} as in its first line"
            raise InputError(f"{name} has {fields} in row {row} (line {line}), {wanted}: correct it.")
        row += 1
    return blank


def _records(source: Source, name: str) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, fields) of each record, without the blank lines before the first one."""
    with _opened(source) as file:
        reader = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
        line, begun = 1, False
        try:
            for record in reader:
                begun = begun or bool(record)
                if begun:
                    yield line, record
                line = reader.line_num + 1
        except UnicodeDecodeError as error:
            raise _not_text(name) from error
        except csv.Error as error:
            raise InputError(f"{name} cannot be read as CSV in line {line} ({error}): export it again.") from error


def _opened(source: Source) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _not_text(name: str) -> InputError:
    return InputError(f"{name} is not UTF-8 text: export it as CSV in UTF-8.")


def _is_numeric(record: Sequence[str]) -> bool:
    """Whether there are fields that are not empty, and all of these are numbers."""
    words = [word for word in record if word.strip()]
    try:
        return bool([float(word) for word in words])
    except ValueError:
        return False


def comma_separated(names: Sequence[str]) -> str:
    """Names joined by commas, quoted where a name holds a comma or a quotation mark."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return line.getvalue()
