"""Targets: the column that a regressor or a classifier adds to the columns of X."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from driftfield.codecs import FloatArray
from driftfield.datasets import Table


def read_target(estimator: BaseEstimator, X: Any, y: Any, dtype: Any = None) -> NDArray[Any]:
    """The targets y (n,) of the rows X (n, C). Raises ValueError where they are missing, not finite or too few."""
    if y is None:
        name = type(estimator).__name__
        raise ValueError(f"{name} requires y to be passed, but the target y is None: pass the targets.")
    found: NDArray[Any] = check_array(column_or_1d(y, warn=True), ensure_2d=False, dtype=dtype, input_name="y")
    check_consistent_length(X, found)
    return found


def with_target(table: Table, target: FloatArray, texts: tuple[str, ...] = ()) -> Table:
    """The table with a last column: a real number, or a category with these texts; (n, C + 1)."""
    name = "y"
    while name in table.columns:
        name += "_"
    count = len(table.columns)
    return replace(
        table,
        values=np.column_stack([table.values, target]),
        columns=(*table.columns, name),
        levels=(*(table.levels or ((),) * count), texts),
        real=table.real if texts else table.real | {name},
    )
