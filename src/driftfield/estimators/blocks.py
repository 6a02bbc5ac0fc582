"""Blocks of rows that are evaluated together, each of the same size.

A product of matrices may be summed in another order for another number of rows, so that the last digits of a result
would depend on the rows beside it. In blocks of one size, the last one filled up, they do not. One thread is enough for
a block.
"""

from collections.abc import Callable

import numpy as np

from driftfield.codecs import FloatArray
from driftfield.modes import threads

SIZE = 256  # rows that a network sees at once: one row takes half the time of so many


def in_blocks(rows: FloatArray, evaluate: Callable[[FloatArray], FloatArray], size: int = SIZE) -> FloatArray:
    """What ``evaluate`` returns for rows (n, C), which it is given in blocks (size, C); (n, ..)."""
    found = []
    with threads(1):
        for first in range(0, len(rows), size):
            block = rows[first : first + size]
            padding = np.repeat(block[:1], size - len(block), axis=0)
            found.append(evaluate(np.concatenate([block, padding]))[: len(block)])
    return np.concatenate(found)
