"""Names of rows: a first field of each record that the header leaves out, as R's write.table writes it.

In a file separated by commas, one field more than there are names may also come from decimal commas.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from driftfield.datasets.dialect import is_number
from driftfield.errors import InputError

ENOUGH = 10  # rows, of which whole numbers do not increase by chance
Record = Sequence[str]


def check_row_names(names: Record, others: Sequence[Record], separator: str, quoted: bool, name: str) -> list[str]:
    """What is doubtful, a sentence each, about records with a field more than there are names in the header.

    Args:
        others: records, of which those with one field more count.
        quoted: whether the first field of each is in quotes.
        name: of the file.

    Raises:
        InputError: the first fields are no names of rows, or may not be.
    """
    rows = [[field.strip() for field in record] for record in others if len(record) == len(names) + 1]
    first = [row[0] for row in rows]
    commas = separator == "," and _may_have_decimal_commas(rows)
    repeated = next((field for i, field in enumerate(first) if field in first[:i]), None)
    if not commas:
        if repeated is not None:
            raise InputError(
                f"{name} has {len(names)} names in its header for {len(names) + 1} columns, and the first column does "
                f'not name the rows, as "{repeated}" occurs twice: give each column a name.'
            )
        return []
    if repeated is None and (quoted or _count(first)):
        return []
    if repeated is None and not any(map(is_number, first)):
        return [
            f'The first fields of {name}, for example "{first[0]}", are taken for names of rows: export it with '
            "semicolons between the columns if it has decimal commas."
        ]
    raise InputError(
        f"{name} has {len(names)} names in its header but {len(names) + 1} fields in each row, as with names of rows "
        "or with decimal commas: give the first column a name, or export it with semicolons between the columns."
    )


def _may_have_decimal_commas(rows: Sequence[Record]) -> bool:
    """Whether two neighbouring fields could be one number with a decimal comma, and no number has a decimal point."""
    if any(re.fullmatch(r"[+-]?\d*\.\d+([eE].+)?", field) for row in rows for field in row):
        return False
    pairs = range(len(rows[0]) - 1) if rows else range(0)
    return any(
        all(re.fullmatch(r"[+\-−]?\d*", row[j]) and re.fullmatch(r"\d+([eE][+-]?\d+)?|", row[j + 1]) for row in rows)
        for j in pairs
    )


def _count(first: Sequence[str]) -> bool:
    """Whether fields are 0, 1, 2, .. or 1, 2, 3, .., or many that increase."""
    if not all(field.isdecimal() and len(field) < 16 for field in first):
        return False
    numbers = [int(field) for field in first]
    steps = {b - a for a, b in pairwise(numbers)}
    return (steps <= {1} and numbers[0] in (0, 1)) or (len(numbers) >= ENOUGH and min(steps) > 0)
