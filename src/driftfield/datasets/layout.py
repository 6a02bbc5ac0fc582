"""The layout of a text file: where its records begin, how they are separated, and what the columns are called."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from driftfield.datasets.dialect import SEPARATORS, Dialect, fields, find_separator, is_number
from driftfield.datasets.encodings import utf8
from driftfield.datasets.header import is_header, names_above_numbers
from driftfield.errors import InputError

_SAMPLE, _LINES = 1 << 17, 50  # bytes and lines, at least, that decide on separator and header
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t| ])"?', re.IGNORECASE)  # as Excel reads it
COMMENT = "#"
Record = list[str]


@dataclass(frozen=True)
class Layout:
    """How a text is laid out.

    Attributes:
        text: the text in UTF-8, with lines that end in LF or CR LF.
        name: of the file, for messages.
        separator: between two fields.
        start, line: byte and line where the first record after the header begins.
        names: of the columns, of a record's ``width`` fields.
        row_names: whether the first field of each record is a name of the row, which the header leaves out.
        comments: whether each line that begins with # is a comment, however many fields it has.
        header: whether the file names its columns.
        encoding: its name.
        notes: what is not as in plain CSV, a phrase each.
    """

    text: bytes
    name: str
    separator: str
    start: int
    line: int
    names: tuple[str, ...]
    width: int
    row_names: bool
    comments: bool
    header: bool
    encoding: str
    notes: tuple[str, ...]

    def is_skipped(self, record: Record) -> bool:
        """Whether a record is a blank line or a comment."""
        if not record or (self.width > 1 and len(record) == 1 and not record[0].strip()):
            return True
        return record[0].startswith(COMMENT) and (self.comments or len(record) != self.width or self.width == 1)

    def records(self) -> Iterator[tuple[int, Record]]:
        """(line, fields) of each record after the header, without blank lines and comments.

        Raises:
            InputError: a quote that is never closed; another number of fields than the others have.
        """
        lines = io.TextIOWrapper(io.BytesIO(self.text), encoding="utf-8", newline="\n")
        lines.seek(self.start)
        row, before = 0, 0
        reader = fields(lines, self.separator)
        try:
            for after, record in reader:
                line, before = self.line + before, after
                if self.is_skipped(record):
                    continue
                row += 1
                if len(record) != self.width:
                    raise self._ragged(row, line, len(record), last=next(reader, None) is None)
                yield line, record
        except csv.Error as error:
            line = self.line + before
            why = "a quote that is never closed" if "end of data" in str(error) else "a quote inside a field"
            raise InputError(f"{self.name} has {why} in line {line} or after it: correct the quotes.") from None

    def comments_below(self) -> int:
        """How many comments there are below the header."""
        if self.text.find(COMMENT.encode(), self.start) < 0:
            return 0
        body = self.text[self.start :]
        lines = (line.decode() for line in body.split(b"\n") if line.startswith(COMMENT.encode()))
        return sum(self.is_skipped(line.split(self.separator)) for line in lines)

    def _ragged(self, row: int, line: int, count: int, last: bool) -> InputError:
        found, wanted = f"{count} field{'s' * (count != 1)}", f"not {self.width} as in most lines"
        advice = "correct it"
        if self.separator == "," and count == 2 * self.width:
            advice = "where commas are decimal marks, export it with semicolons between the columns"
        elif last and row > 1 and count < self.width:
            advice = "correct it, or remove the last line if it is a note"
        elif count < self.width and row < 4:
            advice = "correct it, or remove the lines above the table"
        return InputError(f"{self.name} has {found} in row {row} (line {line}), {wanted}: {advice}.")


def find_layout(content: bytes, name: str, dialect: Dialect) -> Layout:
    """The layout of the bytes of a file: as the dialect says, and found out where it says nothing.

    Raises:
        InputError: the file is empty or not text, or can be read in two ways.
    """
    text, encoding = utf8(content, name, dialect.encoding)
    notes = [] if encoding in ("utf-8", "ascii") else [f"in {encoding}"]
    if b"\r" in text and text.count(b"\r") != text.count(b"\r\n"):
        notes += [] if b"\n" in text else ["with lines that end in CR"]
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    preamble = _Preamble(text)
    stop = max(preamble.start + _SAMPLE, _after(text, preamble.start, _LINES))
    whole, sample = stop >= len(text), text[preamble.start : stop].decode(errors="ignore")
    lines = sample.splitlines(keepends=True)
    plain = "".join(line for line in lines if not line.startswith(COMMENT)) or sample
    separator = dialect.separator or preamble.separator or find_separator(plain, whole)
    found = [(end, record) for end, record in _sampled(sample, separator, name) if any(map(str.strip, record))]
    if not found:
        raise InputError(f"{name} is empty: give it a header line and rows of numbers.")
    found = found if whole or len(found) < 3 else found[:-1]
    end, first = found[0]
    width = _usual_width([record for _, record in found[1:]] or [first], len(first))
    others = [record for _, record in found[1:] if not record[0].startswith(COMMENT) or len(record) == width]
    if any(_is_ruled(record) for record in (first, *others[:2])):
        raise InputError(
            f"{name} is a table with ruled lines, made for reading: export it as CSV (psql --csv, mysql --batch)."
        )
    commented = _commented_header(preamble.comments, width, separator)
    header, row_names = _header(first, others, width, dialect, separator, name)
    header = is_header(first, others, dialect.marks) if header is None else header
    if commented and not (header and names_above_numbers(first, others, dialect.marks)):
        names, header, end = commented, True, 0
    elif not header:
        names, end = [], 0
    else:
        shown = ", ".join(filter(None, first[:4])) + ", .." * (len(first) > 4)
        numeric = all(is_number(field.strip()) or field.strip() in dialect.marks for field in first)
        if len(first) not in (width, width - 1):
            raise _other_width(first, width, preamble.line, separator, name)
        notes += [f"with a header of numbers ({shown})"] * numeric
        names, header = first, True
    if separator != "," and width > 1:
        notes.append(f"separated by {SEPARATORS[separator]}")
    notes += ["without a header"] * (not header) + ["without its row names"] * row_names
    count = len(preamble.comments) - (names is commented)
    notes += [f"without {count} comment line{'s' * (count > 1)} above the table"] * (count > 0)
    named = names[: width - row_names]
    columns = [" ".join(name.split()) or f"x{i}" for i, name in enumerate(named, start=1)]
    columns += [f"x{i}" for i in range(len(columns) + 1, width - row_names + 1)]
    start, line = _after(text, preamble.start, end), preamble.line + end
    return Layout(
        text, name, separator, start, line, tuple(columns), width, row_names,
        bool(preamble.comments), header, encoding, tuple(notes),
    )  # fmt: skip


class _Preamble:
    """What comes before the first record: blank lines, a line `sep=;`, comments."""

    def __init__(self, text: bytes) -> None:
        self.separator: str | None = None
        self.comments: list[str] = []
        self.start, self.line = 0, 1
        while self.start < len(text):
            end = text.find(b"\n", self.start) + 1 or len(text)
            line = text[self.start : end].decode().strip("\r\n\f\v")
            if found := _SEPARATOR_LINE.fullmatch(line):
                self.separator = found[1]
            elif line.startswith(COMMENT):
                self.comments.append(line)
            elif line.strip():
                break
            self.start, self.line = end, self.line + 1


def _usual_width(records: Sequence[Record], first: int) -> int:
    """The most frequent number of fields; of equally frequent ones that of the ``first`` record, or the largest."""
    counts = Counter(map(len, records))
    return max(counts, key=lambda width: (counts[width], width == first, width))


def _is_ruled(record: Record) -> bool:
    """Whether a record is a line under a header, as SQL clients and Markdown draw it."""
    return any("---" in cell for cell in record) and all(set(cell.strip()) <= set("-+=:|") for cell in record)


def _other_width(first: Record, width: int, line: int, separator: str, name: str) -> InputError:
    advice = "correct the header, or remove the lines above it"
    if separator == "," and width == 2 * len(first):
        advice = "where commas are decimal marks, export it with semicolons between the columns"
    fields_ = f"{len(first)} field{'s' * (len(first) != 1)}"
    return InputError(f"{name} has {fields_} in its first line (line {line}), but {width} in most others: {advice}.")


def _sampled(sample: str, separator: str, name: str) -> list[tuple[int, Record]]:
    try:
        return list(fields(iter(io.StringIO(sample, newline="\n")), separator, strict=False))
    except csv.Error as error:
        raise InputError(f"{name} cannot be read as CSV ({error}): export it again.") from None


def _header(
    first: Record, others: Sequence[Record], width: int, dialect: Dialect, separator: str, name: str
) -> tuple[bool | None, bool]:
    """(whether the first record is a header, None for not known; whether it leaves out the names of the rows)."""
    if len(first) != width - 1 or dialect.header is False:
        return dialect.header, False
    if all(not record[-1].strip() for record in others if len(record) == width):
        return True, False  # each row ends in a separator
    if separator == "," and width == 2 and dialect.separator is None:
        raise InputError(
            f"{name} has 1 field in its first line and 2 in most others: remove lines above the table, or say "
            "--separator semicolon if commas are decimal marks."
        )
    return True, True


def _commented_header(comments: Sequence[str], width: int, separator: str) -> Record:
    """The names in the last comment, as numpy.savetxt writes them, if they are as many as columns; empty otherwise."""
    if not comments:
        return []
    for line in (comments[-1].removeprefix(COMMENT).strip(), comments[-1]):
        (names,) = (record for _, record in fields(iter([line]), separator, strict=False)) if line else ([],)
        if len(names) == width and not (width == 1 and " " in line):
            return [name.strip() for name in names]
    return []


def _after(text: bytes, start: int, lines: int) -> int:
    for _ in range(lines):
        start = text.find(b"\n", start) + 1 or len(text)
    return start
