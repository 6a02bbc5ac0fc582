r"""Row weights: what each row counts, w_i >= 0. A row of weight 2 counts as two rows, and one of weight 0 as none.

Only ratios matter. The shrinkage of the covariance alone goes by how many rows of one weight would tell as much, the
effective number

    n_eff = (sum w)^2 / sum w^2      (Kish's effective sample size).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftfield.datasets.distribution import FloatArray
from driftfield.datasets.frames import count_from_zero
from driftfield.datasets.raw_table import RawTable, numbers
from driftfield.errors import InputError

FEWEST_DRAWN = 20  # rows to judge by, at least, where one weight exceeds most others


def checked_weights(weights: Any, rows: int, name: str, locate: Callable[[int], str] = count_from_zero) -> FloatArray:
    """Weights (n,) in float64; ``name`` is what a message calls them, and ``locate`` says where a row stands.

    Raises:
        InputError: not one number for each row, or one that is negative or not finite, or all are zero.
    """
    try:
        array: FloatArray = np.asarray(weights.detach().cpu() if hasattr(weights, "detach") else weights, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} are not numbers: give one number for each row, not negative.") from None
    if array.shape != (rows,):
        count = f"{len(array):,}" if array.ndim == 1 else f"an array of shape {array.shape}"
        raise InputError(f"{name} are {count} for {rows:,} rows: give one number for each row.")
    for bad, what in ((~np.isfinite(array), "not a finite number"), (array < 0, "negative")):
        if bad.any():
            row = int(bad.argmax())
            raise InputError(
                f"{name} hold {array[row]:g}, which is {what}, in {locate(row)}: "
                "give zero or a positive number for each row."
            )
    if not (array > 0).any():
        raise InputError(f"{name} are all zero: give at least two rows a positive one.")
    return array


def effective_rows(weights: FloatArray) -> float:
    """n_eff of weights (n,)."""
    share = weights / weights.max()
    return float(share.sum() ** 2 / np.square(share).sum())


def representative(rows: int, weights: FloatArray | None, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of rows in random order that stand for all ``rows`` with their weights; all of them without weights.

    No row occurs twice, since metrics need independent rows. There are sum w / max w of them, by systematic sampling,
    in which row i occurs with the probability w_i / max w (where that leaves fewer than 20, somewhat less often).
    """
    order = rng.permutation(rows)
    if weights is None:
        return order
    ends = np.cumsum(weights[order] / weights.max())
    count = max(int(ends[-1]), min(rows, FEWEST_DRAWN))
    places = np.searchsorted(ends, (np.arange(count) + rng.uniform()) * (ends[-1] / count))
    return rng.permutation(order[np.unique(places.clip(max=rows - 1))])


def column_weights(raw: RawTable, column: str, label: str | None) -> FloatArray:
    """The weights in a column of a raw table.

    Raises:
        InputError: the column holds the labels, or what :func:`checked_weights` refuses.
    """
    if column == label:
        raise InputError(f'The column "{column}" cannot be both the label and the weight: name two columns.')
    values, _ = numbers(raw, [column])
    return checked_weights(values[:, 0], len(values), f'The weights in column "{column}" of {raw.name}', raw.locate)
