"""Texts that are no tables of separated fields, by how they begin: each is named, with what to do."""

import re
from collections.abc import Sequence

from driftfield.datasets.dialect import Record, is_number, score
from driftfield.errors import InputError

_KINDS = (
    (r'[\[{]\s*(["{}\]]|\[|$)', "JSON", "export it as CSV, or pass its rows from Python as a data frame"),
    (r"<(!doctype|html|table|\?xml|div|head|body)\b", "HTML or XML", "export it as CSV"),
    (r"(insert\s+into|create\s+table|begin\s*;|begin\s+transaction|drop\s+table|set\s+\w+\s*=)", "SQL",
     "load it into its database and export the table as CSV"),
    (r"@relation\b", "ARFF", "export it as CSV"),
)  # fmt: skip
_BOX = re.compile(r"shape: \(\d|[\u2500-\u257f]|-\[ RECORD")  # what polars, duckdb, psql and others draw
_UNREAD = {":": "colons", "^": '"^"', "~": '"~"', "!": '"!"', "&": '"&"', "\x01": "the character 1", "\x1f": "the "
    "character 31", "\x1e": "the character 30"}  # fmt: skip


def check_is_table(sample: str, name: str) -> None:
    """Raises InputError for JSON, HTML, SQL, and tables that are drawn with lines."""
    start = re.sub(r"\A(\s*--[^\n]*\n)+", "", sample).lstrip()  # comments of SQL
    for pattern, kind, advice in _KINDS:
        if re.match(pattern, start, re.IGNORECASE):
            raise InputError(f"{name} is {kind}, not a table of separated fields: {advice}.")
    if _BOX.match(start):
        raise made_for_reading(name)


def made_for_reading(name: str) -> InputError:
    return InputError(
        f"{name} is a table with ruled lines, made for reading: export it as CSV (psql --csv, mysql --batch)."
    )


def is_ruled(record: Record) -> bool:
    """Whether a record is a line under a header, as SQL clients and Markdown draw it."""
    drawn = any("---" in cell or "===" in cell for cell in record)
    return drawn and all(set(cell.strip()) <= set("-+=:|") for cell in record)


def check_separated(sample: str, records: Sequence[Record], name: str) -> None:
    """Raises InputError where records of one field are separated by something that is not read."""
    if not records or all(is_number(record[0].strip()) for record in records[1:]):
        return
    times = re.compile(r"\d+:\d\d(:\d\d([.,]\d+)?)?")
    if all(times.fullmatch(record[0].strip()) for record in records[1:]):
        return
    for separator, shown in _UNREAD.items():
        width, numbers = score(sample, separator, True)
        if separator in records[0][0] and width >= 0.9 and numbers >= 0.5:
            raise InputError(f"{name} seems to be separated by {shown}: export it with commas or semicolons.")
