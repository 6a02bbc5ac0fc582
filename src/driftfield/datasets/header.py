"""Whether the first line of a text file names its columns.

Text above numbers is a header. A first line of numbers is one if it follows a pattern that the other lines do not:
0 to n - 1 (a frame without names), whole numbers above numbers with decimals, equal steps (years, wavelengths). As a
row of data may follow it by chance, each number must also be unlike the column below it, and where that leaves a doubt,
the user is told.
"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod
from operator import or_
from typing import NamedTuple

from driftfield.datasets.dialect import is_number

FEWEST = 5  # lines that a first line of numbers is compared with
RARE = 0.01  # at most this fraction of the other lines may follow the pattern of a header
APART = 0.5  # of the range of a column, by which a number is beyond it
SMALL = 2e-4  # probability that a row of data holds these numbers by chance, below which it may be a header
MANY = 6  # fields, from which a pattern is more than chance
Record = Sequence[str]


class Judgement(NamedTuple):
    """Whether a first record is a header, and whether that is in doubt."""

    header: bool
    doubtful: bool = False


def judge_header(first: Record, others: Sequence[Record], marks: Sequence[str]) -> Judgement:
    """Whether the fields of the ``first`` record are names, given some of the others and the marks of missing cells."""
    first = [field.strip() for field in first]
    others = [[field.strip() for field in record] for record in others if len(record) == len(first)]
    numeric = [is_number(field) or field in marks for field in first]
    if not all(numeric):
        return Judgement(not _text_is_data(first, others, numeric, marks))
    shown = [_number(field) for field in first if field not in marks and is_number(field)]
    if not any(value is not None and abs(value) < float("inf") for value in shown):
        return Judgement(_rare(lambda record: not any(_finite(field) for field in record), others) and bool(others))
    return _judge_numbers(first, others) if len(others) >= FEWEST else Judgement(False)


def _judge_numbers(first: Record, others: Sequence[Record]) -> Judgement:
    """The same for a first record of numbers: the rarer its pattern and the more unlike the columns, the surer."""
    found = {pattern for pattern in _PATTERNS if pattern(first) and _rare(pattern, others)}
    if not found:
        return Judgement(False)
    if not first[0]:
        return Judgement(True)  # a frame with its index
    columns = [[record[i] for record in others] for i in range(len(first))]
    beyond = [_is_beyond(field, column) for field, column in zip(first, columns, strict=True)]
    other_kind = [_is_whole_above_decimals(field, column) for field, column in zip(first, columns, strict=True)]
    unlike = all(map(or_, beyond, other_kind))
    sure = unlike and len(first) >= 3 and bool(found & {_counts, _steps})
    if sure or (found & {_counts, _steps} and len(first) >= MANY):
        return Judgement(True)
    chance = prod((column.count(field) + 1) / (len(column) + 2) for field, column in zip(first, columns, strict=True))
    header = (_counts in found and chance < SMALL) or (unlike and (len(first) >= 3 or all(beyond)))
    return Judgement(header, header or any(beyond + other_kind) or all(map(str.isdecimal, first)))


def _is_beyond(field: str, column: Sequence[str]) -> bool:
    """Whether a number lies beyond the range of a column by half of it."""
    value, found = _number(field), [x for x in map(_number, column) if x is not None]
    if value is None or not found:
        return False
    low, high = min(found), max(found)
    return not low - APART * (high - low) <= value <= high + APART * (high - low)


def _is_whole_above_decimals(field: str, column: Sequence[str]) -> bool:
    """Whether a field is a whole number, as the cells of a column are not."""
    return field.isdecimal() and _rare_in(str.isdecimal, [cell for cell in column if cell])


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


def _rare_in(kind: Callable[[str], bool], cells: Sequence[str]) -> bool:
    return sum(map(kind, cells)) <= RARE * len(cells)


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


def _ordered(record: Record) -> bool:
    """Four numbers or more in increasing order."""
    values = [_number(field) for field in record]
    return len(values) >= 4 and all(a is not None and b is not None and a < b for a, b in pairwise(values))


def _above_an_index(record: Record) -> bool:
    """An empty field above an index, then distinct whole numbers."""
    return len(record) > 1 and not record[0] and all(map(str.isdecimal, record[1:])) and len(set(record)) == len(record)


_PATTERNS = (_counts, _whole, _steps, _ordered, _above_an_index)


def _number(field: str) -> float | None:
    try:
        return float(field.replace(",", "."))
    except ValueError:
        return None


def _finite(field: str) -> bool:
    value = _number(field)
    return value is not None and abs(value) < float("inf")
