"""A codec: the map between the user's rows and the tensors that a network sees."""

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

if TYPE_CHECKING:
    import polars as pl

FloatArray = NDArray[np.float64]


class Codec(Protocol):
    """Rows of the user to tensors of the network and back, with what densities and scores need on the way.

    With z = encode(x), densities and scores change units by the Jacobian of the map,

        log p(x) = log p(z) + log |det dz/dx|,        grad_x log p(x) = grad_z log p(z) dz/dx.

    Attributes:
        columns: names of the user's columns.
        shape: of one encoded row, (D,) for a table.
        places: decimals of each column, None where it holds real numbers; empty where they are not known.
    """

    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def places(self) -> tuple[int | None, ...]: ...

    def read(self, x: ArrayLike | Tensor) -> FloatArray:
        """What the user gave as rows (n, ..); raises InputError for rows that do not fit."""

    def encode(self, rows: FloatArray) -> NDArray[np.float32]:
        """z (n, *shape) in float32 from rows (n, ..)."""

    def decode(self, z: NDArray[np.floating]) -> FloatArray:
        """Rows (.., D) from z (.., *shape)."""

    def finish(self, rows: FloatArray) -> FloatArray:
        """Decoded rows (n, ..) as the user writes them, for example with the decimals of the data; the same shape."""

    def log_det(self, rows: FloatArray) -> FloatArray:
        """log |det dz/dx| at rows (n, ..), what log-densities gain on the way back to the user's units; nats, (n,)."""

    def decode_score(self, score: NDArray[np.floating]) -> FloatArray:
        """The score in the user's units from the score (n, *shape) in the network's."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns of :meth:`numeric`; (F,)."""

    def numeric(self, rows: FloatArray) -> FloatArray:
        """Rows as numbers alone (n, F), for distances and classifiers."""

    def frame(self, rows: FloatArray) -> "pl.DataFrame":
        """Rows (n, ..) as a polars frame, as the user writes them."""

    def tensors(self) -> dict[str, NDArray[np.float64]]:
        """The arrays that a model file keeps, by name, of any shape."""

    def description(self) -> dict[str, Any]:
        """The rest that a model file keeps, as plain data."""
