"""The layout of a text file: where its records begin, how they are separated, and what the columns are called."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from driftfield.datasets.dialect import (
    COMMENT,
    SEPARATORS,
    Dialect,
    fields,
    find_separator,
    is_comment,
    is_error,
    is_number,
)
from driftfield.datasets.encodings import utf8
from driftfield.datasets.header import judge_header, names_above_numbers
from driftfield.datasets.not_tables import check_is_table, check_separated, is_ruled, made_for_reading
from driftfield.datasets.row_names import check_row_names
from driftfield.errors import InputError

_SAMPLE, _LINES = 1 << 17, 50  # bytes and lines, at least, that decide on separator and header
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t| ])"?', re.IGNORECASE)  # as Excel reads it
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
        doubts: what may have been misread, a sentence each.
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
    doubts: tuple[str, ...]

    def is_skipped(self, record: Record, quoted: bool = False) -> bool:
        """Whether a record is a blank line or a comment, whose first field is not ``quoted``."""
        if not record or (self.width > 1 and len(record) == 1 and not record[0].strip()):
            return True
        if quoted or not record[0].startswith(COMMENT) or (len(record) == self.width and is_error(record[0].strip())):
            return False
        return self.comments or len(record) != self.width or self.width == 1

    def records(self) -> Iterator[tuple[int, Record]]:
        """(line, fields) of each record after the header, without blank lines and comments.

        Raises:
            InputError: a quote that is never closed; another number of fields than the others have.
        """
        lines = io.TextIOWrapper(io.BytesIO(self.text), encoding="utf-8", newline="\n")
        lines.seek(self.start)
        row, before = 0, 0
        begun: list[str] = []  # lines of the record
        reader = fields(_noted(lines, begun), self.separator)
        try:
            for after, record in reader:
                line, before = self.line + before, after
                quoted = begun[0].lstrip().startswith('"')
                begun.clear()
                if self.is_skipped(record, quoted):
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

    def blank_lines(self) -> int:
        """How many blank lines there are between the records of a single column, where each may be a missing cell."""
        return len(re.findall(rb"\n[ \t]*(?=\n)", b"\n" + self.text[self.start :].rstrip())) if self.width == 1 else 0

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
    sample = _sample(text, preamble, dialect, name)
    first, others, width, separator = sample.first, sample.others, sample.width, sample.separator
    commented = _commented_header(preamble.comments, width, separator)
    header, row_names = _header(first, others, width, dialect, separator, name)
    judged = judge_header(first, others, dialect.marks)
    header, doubtful = (judged.header, judged.doubtful) if header is None else (header, False)
    doubts = check_row_names(first, others, separator, sample.quoted, name) if row_names else []
    shown = ", ".join(filter(None, first[:4])) + ", .." * (len(first) > 4)
    if commented and not (header and names_above_numbers(first, others, dialect.marks)):
        names, header, end = commented, True, 0
        odd = any(" " in name or is_number(name) for name in names)
        notes += [f"with names from the comment {preamble.comments[-1][:40]}"] * odd
    else:
        names, end = (first, sample.end) if header else ([], 0)
        doubts += [_doubt(name, preamble.line, shown, header)] * doubtful
    if names is first:
        numeric = all(is_number(field.strip()) or field.strip() in dialect.marks for field in first)
        if len(first) not in (width, width - 1):
            raise _other_width(first, width, preamble.line, separator, name)
        notes += [f"with a header of numbers ({shown})"] * numeric
    if separator != "," and width > 1:
        notes.append(f"separated by {SEPARATORS[separator]}")
    notes += ["without a header"] * (not header) + ["without its row names"] * row_names
    count = len(preamble.comments) - (names is commented)
    notes += [f"without {count} comment line{'s' * (count > 1)} above the table"] * (count > 0)
    columns = [" ".join(name.split()) or f"x{i}" for i, name in enumerate(names[: width - row_names], start=1)]
    columns += [f"x{i}" for i in range(len(columns) + 1, width - row_names + 1)]
    start, line = _after(text, preamble.start, end), preamble.line + end
    return Layout(
        text, name, separator, start, line, tuple(columns), width, row_names,
        bool(preamble.comments), header, encoding, tuple(notes), tuple(doubts),
    )  # fmt: skip


class _Sample(NamedTuple):
    """The first records of a text: the first, the line that it ends in, others, and their usual number of fields."""

    separator: str
    first: Record
    end: int
    others: list[Record]
    width: int
    quoted: bool  # whether most of the others begin with a quote


def _sample(text: bytes, preamble: "_Preamble", dialect: Dialect, name: str) -> _Sample:
    stop = max(preamble.start + _SAMPLE, _after(text, preamble.start, _LINES))
    whole, sample = stop >= len(text), text[preamble.start : stop].decode(errors="ignore")
    check_is_table(sample, name)
    lines = sample.splitlines(keepends=True)
    plain = "".join(line for line in lines if not is_comment(line)).removeprefix("% ") or sample
    separator = dialect.separator or preamble.separator or find_separator(plain, whole)
    found = [(end, record) for end, record in _sampled(sample, separator, name) if any(map(str.strip, record))]
    if not found:
        raise InputError(f"{name} is empty: give it a header line and rows of numbers.")
    found = found if whole or len(found) < 3 else found[:-1]
    end, first = found[0]
    width = _usual_width([record for _, record in found[1:]] or [first], len(first))
    others = [record for _, record in found[1:] if not record[0].startswith(COMMENT) or len(record) == width]
    under = others[0] if others and separator == " " else []  # by columns of one letter there is a line of one dash
    if any(is_ruled(record) for record in (first, *others[:2])) or (under and all(set(c) == {"-"} for c in under)):
        raise made_for_reading(name)
    if width == 1 and dialect.separator is None:
        check_separated(plain, [record for _, record in found], name)
    quoted = sum(line.startswith('"') for line in lines[1:]) > len(lines[1:]) / 2
    return _Sample(separator, _without_percent(first, width), end, others, width, quoted)


def _without_percent(first: Record, width: int) -> Record:
    """A header without the % and the space that numpy.savetxt puts before it, with comments="% "."""
    if len(first) == width + 1 and first[0] == "%":
        return first[1:]
    return [first[0].removeprefix("% "), *first[1:]]


def _noted(lines: Iterable[str], noted: list[str]) -> Iterator[str]:
    """The lines, each noted as it is taken."""
    for line in lines:
        noted.append(line)
        yield line


def _doubt(name: str, line: int, shown: str, header: bool) -> str:
    taken, advice = ("its header", "no if it is a row of data") if header else ("a row of data", "yes if it is names")
    return f"Line {line} of {name} ({shown}) is taken for {taken}: say --header {advice}."


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
            elif is_comment(line):
                self.comments.append(line)
            elif line.strip():
                break
            self.start, self.line = end, self.line + 1


def _usual_width(records: Sequence[Record], first: int) -> int:
    """The most frequent number of fields; of equally frequent ones that of the ``first`` record, or the largest."""
    counts = Counter(map(len, records))
    return max(counts, key=lambda width: (counts[width], width == first, width))


def _other_width(first: Record, width: int, line: int, separator: str, name: str) -> InputError:
    advice = "correct the header, or remove the lines above it"
    if separator == "," and width == 2 * len(first):
        advice = "where commas are decimal marks, export it with semicolons between the columns"
    elif separator == "," and len(first) < width < 2 * len(first):
        advice += "; where commas are decimal marks, export it with semicolons between the columns"
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
