"""Rows of a table drawn by its model, from noise that is the same for different samplers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from driftfield.codecs import FloatArray
from driftfield.model.model import Model
from driftfield.model.sampling import How
from driftfield.model.tables import filled_by, table_codec
from driftfield.seeds import derive


def drawn(
    model: Model, rows: FloatArray, cells: NDArray[np.bool_], how: How, seed: int, purpose: str = "steps"
) -> FloatArray:
    """Rows (n, C) with some cells drawn (n, C) given the others, not rounded; purposes differ in the noise of steps."""
    codec, n = table_codec(model), len(rows)
    generator = torch.Generator().manual_seed(derive(seed, "verify start of rows"))
    later = torch.Generator().manual_seed(derive(seed, f"verify noise of {purpose}"))
    u = torch.rand(n, len(codec.levels), generator=generator, dtype=torch.float64)
    first: list[Tensor] = [torch.randn(n, *codec.shape, generator=generator)]

    def noise() -> Tensor:
        found = first.pop() if first else torch.randn(n, *codec.shape, generator=later)
        return found.to(model.device)

    return filled_by(model, rows, cells, u.to(model.device), noise, how)


def new_rows(model: Model, n: int, how: How, seed: int, purpose: str = "steps") -> FloatArray:
    """n new rows (n, C), not rounded."""
    shape = (n, len(model.columns))
    return drawn(model, np.full(shape, np.nan), np.ones(shape, dtype=bool), how, seed, purpose)
