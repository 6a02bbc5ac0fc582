"""Rows for an evaluation: arrays (n, D), checked, subsampled and standardised."""

import numpy as np
from numpy.typing import ArrayLike

from driftfield.codecs import FloatArray, Scaler
from driftfield.datasets.weights import representative
from driftfield.errors import InputError

FEWEST_ROWS = 3  # three folds need one row each, and a standard error needs two


def checked(rows: ArrayLike, what: str, columns: int | None = None, fewest: int = FEWEST_ROWS) -> FloatArray:
    """Rows as a float64 array (n, D).

    Raises:
        InputError: not two-dimensional, another number of columns than ``columns``, too few rows, NaN or infinity.
    """
    array: FloatArray = np.asarray(rows, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise InputError(f"The {what} rows have shape {array.shape}: give an array of n rows and D columns.")
    if columns is not None and array.shape[1] != columns:
        raise InputError(
            f"The {what} rows have {array.shape[1]} columns, but {columns} are expected: give the same columns."
        )
    if len(array) < fewest:
        raise InputError(f"There are {len(array)} {what} rows: give at least {fewest}.")
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        count, first = int(bad.sum()), int(bad.argmax())
        raise InputError(f"NaN or infinity in {count} of the {what} rows, first in row {first}: remove them.")
    return array


def choose(rows: FloatArray, n: int, rng: np.random.Generator, weights: FloatArray | None = None) -> FloatArray:
    """``n`` of the rows, drawn without replacement; all of them, in order, if there are at most ``n``.

    With weights, at most ``n`` rows that occur as often as they weigh.
    """
    if weights is not None:
        return rows[representative(len(rows), weights, rng)[:n]]
    return rows if len(rows) <= n else rows[rng.choice(len(rows), n, replace=False)]


def standardised(scaler: Scaler, rows: FloatArray) -> FloatArray:
    """(x - mean) / std of each column, (n, D), in float64: distances are then in standard deviations."""
    result: FloatArray = (rows - scaler.mean) / scaler.scale
    return result
