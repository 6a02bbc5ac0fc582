"""Rows that a model is given: by the names of their columns where they have some, by position where they have not."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftfield.codecs.codec import FloatArray
from driftfield.datasets.frames import numbered_names
from driftfield.datasets.tables import tensor_array
from driftfield.errors import InputError, reason

_ADVICE = "pass an array of numbers of shape (rows, columns), a tensor or a data frame"


def named(x: Any, columns: Sequence[str]) -> Any:
    """Rows that name their columns, as a frame or a path; None where ``x`` is read by position.

    A series of pandas is one row where its labels are columns.

    Raises:
        InputError: a series has labels of other columns.
    """
    if hasattr(x, "columns") or isinstance(x, str | os.PathLike):
        return x
    if not (hasattr(x, "to_frame") and hasattr(x, "index")):
        return None
    labels = [str(label) for label in x.index]
    if set(labels) & set(columns):
        return x.to_frame().T.infer_objects()
    if len(columns) > 1 and numbered_names(len(columns)) != tuple(columns) and any(isinstance(k, str) for k in x.index):
        raise InputError(
            f"The series has the labels {', '.join(labels[:6])}, none of which is a column of the model: it needs "
            f"{', '.join(columns[:6])}{', ..' * (len(columns) > 6)}."
        )
    return None


def array_of(x: Any) -> FloatArray:
    """An array, a tensor or nested lists as float64; NaN for None and for what is masked.

    Raises:
        InputError: it does not hold real numbers, or rows of different lengths.
    """
    if isinstance(x, dict | set):
        raise InputError(f"Rows of type {type(x).__name__} cannot be read: {_ADVICE}.")
    try:
        array: NDArray[Any] = tensor_array(x) if hasattr(x, "detach") else np.ma.asanyarray(x)
        if array.dtype.kind == "O":
            array = array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"The rows cannot be read as numbers ({reason(error)}): {_ADVICE}.") from None
    if array.dtype.kind not in "biuf":
        kind = {"U": "text", "S": "text", "c": "complex numbers", "M": "dates", "m": "times"}.get(array.dtype.kind)
        raise InputError(f"The rows hold {kind or f'values of type {array.dtype}'}: {_ADVICE}.")
    with np.errstate(over="ignore", invalid="ignore"):
        found: FloatArray = np.ma.filled(np.ma.asarray(array, dtype=np.float64), np.nan)
    return found
