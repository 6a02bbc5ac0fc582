"""Whether the first line of a text file names its columns.

Text above numbers is a header. A first line of numbers is one if it follows a pattern that the other lines do not:
0 to n - 1 (a frame without names), whole numbers above numbers with decimals, equal steps (years, wavelengths).
"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from driftfield.datasets.dialect import is_number

FEWEST = 5  # lines that a first line of numbers is compared with
RARE = 0.01  # at most this fraction of the other lines may follow the pattern of a header
Record = Sequence[str]


def is_header(first: Record, others: Sequence[Record], marks: Sequence[str]) -> bool:
    """Whether the fields of the ``first`` record are names, given some of the others and the marks of missing cells."""
    first = [field.strip() for field in first]
    others = [[field.strip() for field in record] for record in others if len(record) == len(first)]
    numeric = [is_number(field) or field in marks for field in first]
    if not all(numeric):
        return not _text_is_data(first, others, numeric, marks)
    shown = [_number(field) for field in first if field not in marks and is_number(field)]
    if not any(value is not None and abs(value) < float("inf") for value in shown):
        return _rare(lambda record: not any(_finite(field) for field in record), others) and bool(others)
    return len(others) >= FEWEST and any(pattern(first) and _rare(pattern, others) for pattern in _PATTERNS)


def _text_is_data(first: Record, others: Sequence[Record], numeric: Sequence[bool], marks: Sequence[str]) -> bool:
    """Whether a first line that holds text is a row of data: no name above numbers, but values that recur."""
    seen_number, recurring, texts = False, 0, 0
    for i, field in enumerate(first):
        numbers = _is_numeric(i, others, marks)
        if numeric[i]:
            if numbers and re.search(r"\d[.,]\d", field):
                return True  # no name has decimals
            seen_number = seen_number or (numbers and field not in marks)
        elif numbers:
            return False  # a name above numbers
        else:
            texts += 1
            recurring += any(record[i] == field for record in others)
    return len(others) >= FEWEST and recurring > 0.5 * texts and (seen_number or recurring == texts > 1)


def names_above_numbers(first: Record, others: Sequence[Record], marks: Sequence[str]) -> bool:
    """Whether a field of the first record is text above a column of numbers."""
    return any(
        not is_number(field.strip()) and field.strip() not in marks and _is_numeric(i, others, marks)
        for i, field in enumerate(first)
    )


def _is_numeric(i: int, others: Sequence[Record], marks: Sequence[str]) -> bool:
    """Whether nine in ten cells of a column are numbers."""
    column = [record[i].strip() for record in others if i < len(record) and record[i].strip() not in marks]
    return bool(column) and sum(map(is_number, column)) > 0.9 * len(column)


def _rare(pattern: Callable[[Record], bool], others: Sequence[Record]) -> bool:
    return sum(map(pattern, others)) <= RARE * len(others)


def _counts(record: Record) -> bool:
    """0 to n - 1 or 1 to n, n >= 3, after at most one empty field."""
    named = [field for field in record if field]
    start = named[0] if named else ""
    wanted = [str(i + int(start)) for i in range(len(named))] if start in ("0", "1") else []
    return len(named) >= len(record) - 1 and len(named) >= 3 and list(named) == wanted


def _whole(record: Record) -> bool:
    """Distinct whole numbers, two or more, after at most one empty field."""
    named = [field for field in record if field]
    return len(named) >= max(2, len(record) - 1) and all(map(str.isdecimal, named)) and len(set(named)) == len(named)


def _steps(record: Record) -> bool:
    """Three numbers or more with equal, positive steps, after at most one empty field."""
    values = [_number(field) for field in record if field]
    if len(values) < max(3, len(record) - 1) or any(value is None for value in values):
        return False
    found = [value for value in values if value is not None]
    steps = [b - a for a, b in pairwise(found)]
    return min(steps) > 0 and max(steps) - min(steps) <= 1e-6 * max(map(abs, found))


def _above_an_index(record: Record) -> bool:
    """An empty field above an index, then distinct whole numbers."""
    return len(record) > 1 and not record[0] and all(map(str.isdecimal, record[1:])) and len(set(record)) == len(record)


_PATTERNS = (_counts, _whole, _steps, _above_an_index)


def _number(field: str) -> float | None:
    try:
        return float(field.replace(",", "."))
    except ValueError:
        return None


def _finite(field: str) -> bool:
    value = _number(field)
    return value is not None and abs(value) < float("inf")
