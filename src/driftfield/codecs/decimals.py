"""Decimals: the grid that a column of numbers was written on, so that new rows can be written on the same."""

import numpy as np

from driftfield.datasets.distribution import FloatArray

MOST_DECIMALS = 6


def decimals(values: FloatArray) -> tuple[int | None, ...]:
    """For each column of values (n, D), the fewest decimals, 0 to 6, that all its numbers have; None for more.

    A column of whole numbers has 0: ages, counts, codes. A column has k if x 10^k is whole to within the precision of
    float64, relative to its largest number; of float32, if float32 holds all of them.
    """
    return tuple(_decimals_of(column) for column in values.T)


def _decimals_of(column: FloatArray) -> int | None:
    with np.errstate(over="ignore"):
        single = bool((column.astype(np.float32) == column).all())
    precision = 4 * np.finfo(np.float32 if single else np.float64).eps
    for k in range(MOST_DECIMALS + 1):
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = column * 10.0**k
            rest = np.abs(scaled - np.round(scaled)).max()  # NaN where numbers overflow, and no grid is found
        if rest <= min(precision * np.abs(scaled).max(), 0.01):
            return k
    return None


def rounded(values: FloatArray, places: tuple[int | None, ...]) -> FloatArray:
    """values (n, D) with each column rounded to its number of decimals; columns of None stay as they are."""
    result = values.copy()
    for i, k in enumerate(places):
        if k is not None:
            result[:, i] = np.round(values[:, i], k)
    return result
