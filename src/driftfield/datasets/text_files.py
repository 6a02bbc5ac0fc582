"""Tables from text files: CSV and its relatives, with any separator, decimal mark and encoding.

polars parses what holds no quotes, Python's csv module the rest, strictly; what the file is like is decided in
:mod:`~driftfield.datasets.layout` and :mod:`~driftfield.datasets.cells`, and noted where it is not plain CSV.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from driftfield.datasets.cells import as_numbers, cleaned, decimal_mark, equal_numbers, may_be_thousands
from driftfield.datasets.dialect import COMMENT, MISSING, SEPARATORS, Dialect
from driftfield.datasets.distribution import FloatArray
from driftfield.datasets.layout import Layout, find_layout
from driftfield.datasets.raw_table import NotNumeric, RawTable, Whole, capital, unique_names
from driftfield.errors import InputError

if TYPE_CHECKING:
    import polars as pl

_CHUNK = 50_000  # records that are held as Python strings at once
_COMPRESSED = (b"x^", b"x\x01")  # texts that polars takes for compressed data
_TOTALS = re.compile(
    r"(grand |sub)?(total|sum|mean|average|summe|gesamt|mittelwert|somme|suma|totale)s?:?", re.IGNORECASE
)


def text_table(source: Path | bytes, name: str, data: str, dialect: Dialect | None = None) -> RawTable:
    """The raw table of a text file, or of its content in bytes; `data` is what the user writes before ":column,…".

    Raises:
        InputError: the file is empty or not text, has rows of different lengths or unbalanced quotes, or can be read in
            two ways.
    """
    content = source if isinstance(source, bytes) else source.read_bytes()
    table = _TextTable(find_layout(content, capital(name), dialect or Dialect()), dialect or Dialect())
    return RawTable(
        name=name,
        columns=tuple(table.layout.names[i] for i in table.columns),
        read=table.read,
        locate=table.locate,
        pick=lambda names: f"{data}:{comma_separated(names)}",
        text=table.cells,
        notes=table.notes,
        warnings=table.warnings,
        dialect=table.described(),
        whole=table.whole,
        kept=(table.rows, table.height),
        empty=tuple(name for i, name in enumerate(table.layout.names) if i not in table.columns),
    )


def comma_separated(names: Sequence[str]) -> str:
    """Names joined by commas, quoted where a name holds a comma or a quotation mark."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return line.getvalue()


class _TextTable:
    """The cells of a text file, without its empty rows and columns."""

    def __init__(self, layout: Layout, dialect: Dialect) -> None:
        import polars as pl

        self.layout, self.marks, self.named = layout, dialect.marks, dialect.missing or ()
        frame = _frame(layout)
        frame = frame[:, 1:] if layout.row_names else frame
        self.rows, self.height = np.arange(frame.height), frame.height  # of the file
        if all(column.null_count() for column in frame):
            kept = frame.select(~pl.all_horizontal(pl.all().is_null())).to_series()
            self.rows, frame = np.flatnonzero(kept.to_numpy()), frame.filter(kept)
        self.columns = [i for i, column in enumerate(frame) if column.null_count() < max(frame.height, 1)]
        self.frame = frame
        self.decimal: str | None = dialect.decimal  # None while it is found out
        self.decided: list[str] = []
        self.doubts: list[str] = []
        commas = layout.separator == "," and layout.width > 1
        if dialect.missing or (not commas and not self.decimal and all(map(may_be_thousands, frame))):
            self.frame = self._text(range(frame.width))
        if dialect.decimal is None and self._is_text():
            texts = {layout.names[i]: self.cells(k) for k, i in enumerate(self.columns)}
            self.decimal, self.decided, self.doubts = decimal_mark(texts, commas, layout.name)

    @property
    def mark(self) -> str:
        """The decimal mark."""
        return self.decimal or "."

    def _is_text(self) -> bool:
        import polars as pl

        return bool(self.columns) and self.frame.dtypes[0] == pl.String

    @cached_property
    def notes(self) -> tuple[str, ...]:
        found = [*self.layout.notes, *self.decided]
        comments = self.layout.comments_below()
        found += [f"without {comments:,} comment line{'s' * (comments > 1)} in the table"] * bool(comments)
        blank = self.layout.blank_lines()
        found += [f"without {blank:,} blank line{'s' * (blank > 1)}"] * bool(blank)
        rows = self.frame.height and int(self.rows[-1]) + 1 - len(self.rows)
        names = [name for i, name in enumerate(self.layout.names) if i not in self.columns]
        found += [f"without {rows:,} empty row{'s' * (rows > 1)}"] * bool(rows)
        found += [f"without {len(names)} empty column{'s' * (len(names) > 1)}"] * bool(names)
        return tuple(found)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful in how the file was read, a sentence each."""
        found = [*self.layout.doubts, *self.doubts]
        columns = [cleaned(column, self.marks[: -len(self.named)]) for column in self.frame] if self.named else []
        for mark in self.named:
            cells = (column for column in columns if len(column))
            if mark in MISSING or any(
                bool(((column == mark) | equal_numbers(column, [mark], self.mark)).any()) for column in cells
            ):
                continue
            found.append(
                f'No cell of {self.layout.name} is "{mark}", which --missing names: correct it or leave it out.'
            )
        return tuple(found)

    def described(self) -> dict[str, str]:
        layout = self.layout
        return {
            "encoding": layout.encoding,
            "separator": SEPARATORS[layout.separator] if layout.width > 1 else "none",
            "decimal mark": {".": "point", ",": "comma"}[self.mark],
            "header": "yes" if layout.header else "no",
        }

    def cells(self, column: int) -> "pl.Series":
        """The cells of a column as text, null for a missing one."""
        import polars as pl

        i = self.columns[column]
        series = self.frame[:, i]
        series = series if series.dtype == pl.String else self._text([i]).to_series()
        cells = cleaned(series, self.marks)
        if self.named and len(cells):
            cells = cells.set(equal_numbers(cells, self.named, self.decimal), None)
        return cells

    def whole(self) -> Whole:
        """All cells as they are written, names of rows first, in a column called name."""
        own = unique_names(["name"], self.layout.names) if self.layout.row_names else []
        names = (*own, *self.layout.names)
        return Whole(_frame(self.layout, range(len(names))), names, self.mark)

    def _text(self, columns: Sequence[int]) -> "pl.DataFrame":
        """Columns (indices without row names) as they are written."""
        return _frame(self.layout, [i + self.layout.row_names for i in columns])[self.rows]

    def read(self, indices: Sequence[int]) -> Iterator[FloatArray | NotNumeric]:
        import polars as pl

        for index in indices:
            series = self.frame[:, self.columns[index]]
            if series.dtype == pl.String or self.decimal == ",":  # which --decimal may say of plain numbers
                cells = self.cells(index)
                series = as_numbers(cells, self.mark)
                failed = series.is_null() & cells.is_not_null()
                if failed.any():
                    yield self._not_numeric(index, cells, failed)
                    continue
            yield series.to_numpy().astype(np.float64, copy=False)

    def locate(self, row: int) -> str:
        wanted = int(self.rows[row])
        line = next(line for index, (line, _) in enumerate(self.layout.records()) if index == wanted)
        return f"row {wanted + 1} (line {line})"

    def _not_numeric(self, index: int, cells: "pl.Series", failed: "pl.Series") -> NotNumeric:
        row, last, count = int(failed.arg_max() or 0), len(cells) - 1, int(failed.sum())
        name, hint = self.layout.names[self.columns[index]], ""
        repeated = (cells == name) & failed
        if repeated.any():
            row, hint = int(repeated.arg_max() or 0), "the header is repeated there, so remove that line"
        elif '"' in cells[row] and 2 * count < len(cells) - cells.null_count():
            hint = "a quote is left over there, so correct the quotes"
        elif row == 0 and count == 1 and last > 2:
            hint = "only the first row is text there, so make one header of its lines"
        elif row == last and ((count == 1 and row > 3) or _TOTALS.fullmatch(cells[row])):
            hint = "it stands in the last row alone, so remove that row if it is a total or a note"
        return NotNumeric("text", cells[row], row, hint)


def _frame(layout: Layout, columns: Sequence[int] | None = None) -> "pl.DataFrame":
    """The fields of all records: float64 if those of the whole file are numbers or empty, else text; null if empty."""
    text, start = layout.text, layout.start
    if text.find(b'"', start) >= 0 or start == len(text) or text.startswith(_COMPRESSED):
        return _with_quotes(layout, columns)
    if layout.separator != " " and text.find(COMMENT.encode(), start) < 0:
        found = _parsed(layout, text, layout.line - 1, columns)
        # polars fills a record that is too short, or a blank line, with nulls, and refuses one that is too long.
        if found is not None and not any(column.null_count() for column in found):
            return found
    body = _tidied(text[start:], layout)
    found = _parsed(layout, body, 0, columns) if body else _with_quotes(layout, columns)
    if found is None:
        for _ in layout.records():  # raises the error that names the line
            pass
        raise InputError(f"{layout.name} cannot be read as CSV: export it again.")
    return found


def _parsed(layout: Layout, text: bytes, skipped: int, columns: Sequence[int] | None) -> "pl.DataFrame | None":
    """What polars reads below the first lines of a text without quotes; None where records are too long."""
    import polars as pl
    from polars.exceptions import PolarsError

    kinds = [pl.String] if columns is not None else [pl.Float64, pl.String]
    for kind in kinds:
        schema = {str(i): kind for i in range(layout.width)}
        try:
            return pl.read_csv(
                text,
                has_header=False,
                separator=layout.separator,
                quote_char=None,
                schema=schema,
                skip_lines=skipped,
                columns=None if columns is None else list(columns),
            )
        except PolarsError:
            continue
    return None


def _tidied(body: bytes, layout: Layout) -> bytes:
    """The records without blank lines and comments, one separator between fields; InputError for ragged ones."""
    separator = layout.separator.encode()
    if layout.separator == " ":
        body = re.sub(rb" ?\r?\n ?", b"\n", re.sub(rb"[ \t]+", b" ", body)).strip(b" ")
    if re.match(rb"[\r\n#]", body) or any(mark in body for mark in (b"\n\n", b"\n\r\n", b"\n#")):
        body = _without_skipped(body, layout)
    if not _is_regular(body, separator, layout.width):
        body = _without_skipped(body, layout)
        if not _is_regular(body, separator, layout.width):
            for _ in layout.records():  # raises the error that names the line
                pass
    return body


def _without_skipped(body: bytes, layout: Layout) -> bytes:
    separator, comment = layout.separator.encode(), COMMENT.encode()
    lines = []
    for line in body.split(b"\n"):
        blank = not line.strip() and (layout.width == 1 or separator not in line)
        if not blank and not (line.startswith(comment) and layout.is_skipped(line.decode().split(layout.separator))):
            lines.append(line)
    return b"\n".join(lines)


def _is_regular(body: bytes, separator: bytes, width: int) -> bool:
    """Whether the separators are as many as records of ``width`` fields have; polars refuses longer records itself."""
    lines = body.count(b"\n") + bool(body and not body.endswith(b"\n"))
    return body.count(separator) == (width - 1) * lines


def _with_quotes(layout: Layout, columns: Sequence[int] | None) -> "pl.DataFrame":
    import polars as pl

    kept = range(layout.width) if columns is None else columns
    records, parts = layout.records(), []
    schema = {str(i): pl.String for i in kept}
    while chunk := [record for _, record in islice(records, _CHUNK)]:
        fields = list(zip(*chunk, strict=True))
        parts.append(pl.DataFrame({str(i): pl.Series(fields[i], dtype=pl.String) for i in kept}, schema=schema))
    frame = pl.concat(parts) if parts else pl.DataFrame(schema=schema)
    return frame.with_columns(pl.when(pl.all().str.strip_chars() != "").then(pl.all()))
