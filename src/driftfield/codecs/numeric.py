"""The codec of a table of numbers: an affine map of the columns, and the decimals that the data have."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from driftfield.codecs.codec import FloatArray
from driftfield.codecs.decimals import decimals, rounded
from driftfield.codecs.rows import array_of, named
from driftfield.codecs.scaling import Scaler
from driftfield.datasets import load_like
from driftfield.datasets.writing import rows_frame
from driftfield.errors import DriftfieldError, InputError

if TYPE_CHECKING:
    import polars as pl

PARTS = ("mean", "scale", "rotation", "inverse")  # of the scaler, as a model file keeps them


@dataclass(frozen=True)
class NumericCodec:
    """Rows (n, D) of finite numbers, scaled by an affine map (:class:`~driftfield.codecs.scaling.Scaler`).

    Attributes:
        columns: names of the D columns.
        scaler: the affine map.
        places: decimals of each column, None where it holds real numbers; empty where they are not known.
    """

    columns: tuple[str, ...]
    scaler: Scaler
    places: tuple[int | None, ...] = ()

    @classmethod
    def fit(
        cls,
        rows: FloatArray,
        columns: tuple[str, ...],
        scaling: str,
        weights: FloatArray | None = None,
        shrink: bool = True,
    ) -> "NumericCodec":
        """The codec of training rows (n, D); arguments as in :meth:`Scaler.fit`."""
        return cls(columns, Scaler.fit(rows, scaling, weights, shrink), decimals(rows))

    @property
    def shape(self) -> tuple[int, ...]:
        """(D,)."""
        return (len(self.columns),)

    @property
    def directions(self) -> FloatArray:
        """The user's columns in the network's units, up to their scale; (D, D), a column each."""
        return self.scaler.inverse

    def read(self, x: ArrayLike | Tensor) -> FloatArray:
        """Rows (n, D) as float64: a frame or file by its column names, arrays and tensors by their shape.

        Raises:
            InputError: no numbers, another number of columns, or a value that is not finite.
        """
        frame = named(x, self.columns)
        rows = array_of(x) if frame is None else load_like(frame, self.columns).values
        D = len(self.columns)
        if rows.ndim == 1:
            rows = rows.reshape(-1, D) if D == 1 or rows.size == D else rows
        if rows.ndim != 2 or rows.shape[1] != D:
            names = ", ".join(self.columns[:6]) + (", .." if D > 6 else "")
            raise InputError(f"The rows have shape {tuple(rows.shape)}, but the model has {D} columns: {names}.")
        if not np.isfinite(rows).all():
            row, column = np.argwhere(~np.isfinite(rows))[0]
            raise InputError(
                f"Row {row + 1}, column {self.columns[column]} is not a finite number: correct or drop the row."
            )
        return rows

    def encode(self, rows: FloatArray) -> NDArray[np.float32]:
        """z (n, D) in float32 from rows (n, D)."""
        return self.scaler.forward(rows)

    def decode(self, z: NDArray[np.floating]) -> FloatArray:
        """Rows (.., D) from z (.., D)."""
        return self.scaler.back(z)

    def finish(self, rows: FloatArray) -> FloatArray:
        """Rows (n, D) with the decimals of the data."""
        return rounded(rows, self.places)

    def log_det(self, rows: FloatArray) -> FloatArray:
        """log |det dz/dx|, the same at all rows (n, D); nats, (n,)."""
        return np.full(len(rows), self.scaler.log_det)

    def decode_score(self, score: NDArray[np.floating]) -> FloatArray:
        """The score in the user's units (n, D) from that in the network's (n, D)."""
        return self.scaler.score_back(score)

    @property
    def features(self) -> tuple[str, ...]:
        """The columns themselves."""
        return self.columns

    def numeric(self, rows: FloatArray) -> FloatArray:
        """The rows (n, D) as they are."""
        return rows

    def frame(self, rows: FloatArray) -> "pl.DataFrame":
        """Rows (n, D) as a polars frame; whole numbers are integers."""
        return rows_frame(rows, self.columns, self.places)

    def tensors(self) -> dict[str, NDArray[np.float64]]:
        """The arrays of the scaler, by name."""
        return {name: np.ascontiguousarray(getattr(self.scaler, name)) for name in PARTS}

    def description(self) -> dict[str, Any]:
        """The columns and their decimals."""
        return {"kind": "numeric", "columns": list(self.columns), "places": list(self.places)}

    @classmethod
    def restored(cls, description: dict[str, Any], tensors: dict[str, NDArray[np.float64]]) -> "NumericCodec":
        """The codec of a model file, from :meth:`description` and :meth:`tensors`.

        Raises:
            KeyError: an array is missing.
            DriftfieldError: an array has the wrong shape or values that are not finite, or a scale is not positive.
        """
        scaler, D = Scaler(*(tensors[name] for name in PARTS)), len(description["columns"])
        shapes = [tensors[name].shape for name in PARTS]
        if shapes != [(D,), (D,), (D, D), (D, D)] or not all(np.isfinite(tensors[name]).all() for name in PARTS):
            raise DriftfieldError("its scaler has arrays of the wrong shape, or values that are not finite")
        if not (scaler.scale > 0).all():
            raise DriftfieldError("it holds a scale that is not positive")
        return cls(tuple(description["columns"]), scaler, tuple(description["places"]))
