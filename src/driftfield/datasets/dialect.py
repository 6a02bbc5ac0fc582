"""The dialect of a text file: encoding, separator, decimal mark, header and marks of missing cells.

What the user does not say is found out: :mod:`~driftfield.datasets.encodings` decides on the encoding, this module on
the separator, :mod:`~driftfield.datasets.header` on the header, :mod:`~driftfield.datasets.cells` on the decimal mark.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from driftfield.errors import InputError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
_SPELLED = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "bar": "|", "pipe": "|", "space": " "}
DECIMALS = {".": ".", ",": ",", "point": ".", "dot": ".", "comma": ","}

MISSING = (
    "", "NA", "N/A", "n/a", "na", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "Null", "None", "none", "?", "-", "--",
    ".", "#N/A", "#NA", "<NA>", "#N/A N/A", "NaT", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "\\N",
)  # fmt: skip

COMMENT = "#"
_ERRORS = re.compile(r"#(N/A|N/A N/A|NA|NV|N/D|[A-ZÀ-Þ_]+(/0)?[!?]|GETTING_DATA|#+)", re.IGNORECASE)  # of spreadsheets
Record = Sequence[str]

_THOUSANDS = r"\d{1,3}([.,' \u00a0\u202f’]\d{3})+([.,]\d+)?"
_NUMBER = re.compile(rf"[+\-−]?((\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?|{_THOUSANDS}|nan|inf(inity)?)", re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """How a text file is written; None for what is to be found out.

    Attributes:
        header: whether the first line names the columns.
        separator: what is between two fields: a comma, semicolon, tab, bar, or a space for runs of spaces and tabs.
        decimal: the decimal mark, a point or a comma.
        missing: marks of missing cells, beside the usual ones.
        encoding: the name of the encoding, as Python knows it.
    """

    header: bool | None = None
    separator: str | None = None
    decimal: str | None = None
    missing: tuple[str, ...] | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        separator = _SPELLED.get(self.separator or "", self.separator)
        if separator is not None and separator not in SEPARATORS:
            raise InputError(f'Unknown separator "{separator}": choose a comma, semicolon, tab, bar or space.')
        if self.decimal is not None and self.decimal not in DECIMALS:
            raise InputError(f'Unknown decimal mark "{self.decimal}": choose . or a comma.')
        object.__setattr__(self, "separator", separator)
        object.__setattr__(self, "decimal", DECIMALS[self.decimal] if self.decimal else None)
        if self.missing is not None:
            object.__setattr__(self, "missing", tuple(mark.strip() for mark in self.missing))

    @property
    def marks(self) -> tuple[str, ...]:
        """The marks of missing cells: the usual ones, and those that were named."""
        return (*MISSING, *(self.missing or ()))


def is_number(text: str) -> bool:
    """Whether a field is a number in any notation, with a decimal point or comma, and thousands marks."""
    return bool(_NUMBER.fullmatch(text))


def is_error(field: str) -> bool:
    """Whether a field is what a spreadsheet shows for a cell without a value, as #REF! or ####."""
    return bool(_ERRORS.fullmatch(field))


def is_comment(line: str) -> bool:
    """Whether a line begins with # and not with the error of a spreadsheet's cell."""
    if not line.startswith(COMMENT):
        return False
    first = re.split(r"[,;\t|]", line, maxsplit=1)[0]
    words = line.split()
    alone = len(first) == len(line)
    if alone and (not words[0].strip(COMMENT) or not all(is_number(word) or is_error(word) for word in words)):
        return True
    return not is_error(words[0] if alone else first.strip())


def fields(lines: Iterator[str], separator: str, strict: bool = True) -> Iterator[tuple[int, list[str]]]:
    """(number of its last line, fields) of each record of a text.

    Raises:
        csv.Error: a quote that is never closed, or text after a closing quote.
    """
    if separator == " ":
        lines = (line.replace("\t", " ").strip(" \r\n") + "\n" * line.endswith("\n") for line in lines)
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=strict)
    for record in reader:
        yield reader.line_num, record


def find_separator(sample: str, whole: bool) -> str:
    """The separator that gives most records of a sample the same number of fields, two or more, and most numbers.

    A single column has the separator ",". The last record of a sample that is not the ``whole`` file is left out.
    """
    best, found = (0.0, 0.0), ","
    for separator in ("\t", ";", "|", ","):
        own = score(sample, separator, whole)
        if own > best:
            best, found = own, separator
    spaces = score(sample, " ", whole)
    return " " if spaces[0] >= 0.9 and (best[0] < 0.5 or (spaces[0] > best[0] and spaces[1] > best[1])) else found


def score(sample: str, separator: str, whole: bool) -> tuple[float, float]:
    """(fraction of records of the most frequent width, fraction of cells that are numbers); 0 for one column."""
    try:
        records = [record for _, record in fields(iter(io.StringIO(sample, newline="")), separator, strict=False)]
    except csv.Error:
        return 0.0, 0.0
    records = [record for record in (records if whole else records[:-1]) if any(cell.strip() for cell in record)]
    if not records:
        return 0.0, 0.0
    width, count = Counter(map(len, records)).most_common(1)[0]
    if width < 2:
        return 0.0, 0.0
    if separator == " " and len(records) > 2 and len(records[0]) == width - 1:
        count += 1  # a header that leaves out the names of rows, as R writes it
    body: Sequence[list[str]] = [record for record in records[1:] if len(record) == width] or records
    cells = [cell.strip() for record in body for cell in record]
    numbers = sum(is_number(cell) or cell in MISSING for cell in cells) / len(cells)
    # Text that is no table has a few separators in some lines: most records must have one width.
    return (count / len(records) if count > 1 or len(records) == 1 else 0.0), numbers
