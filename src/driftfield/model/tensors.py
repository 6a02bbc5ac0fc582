"""A model whose results are torch tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from driftfield.codecs import FloatArray

if TYPE_CHECKING:
    from driftfield.model.model import Model


@dataclass(frozen=True)
class Tensors:
    """The numbers of a model as float64 tensors on its device; take it from :meth:`Model.as_torch`."""

    model: Model

    def sample(self, n: int, seed: int = 0, **options: Any) -> Tensor:
        """As :meth:`Model.sample`; (n, D)."""
        return self._tensor(self.model.sample(n, seed, **options))

    def log_prob(self, x: ArrayLike | Tensor, t: float | None = None, **options: Any) -> tuple[Tensor, Tensor]:
        """As :meth:`Model.log_prob`; two of (n,)."""
        value, error = (self._tensor(found) for found in self.model.log_prob(x, t, **options))
        return value, error

    def score(self, x: ArrayLike | Tensor, t: float | None = None, **options: Any) -> Tensor:
        """As :meth:`Model.score`; (n, D)."""
        return self._tensor(self.model.score(x, t, **options))

    def latent(self, x: ArrayLike | Tensor, **options: Any) -> Tensor:
        """As :meth:`Model.latent`; (n, D)."""
        return self._tensor(self.model.latent(x, **options))

    def decode(self, z: ArrayLike | Tensor, **options: Any) -> Tensor:
        """As :meth:`Model.decode`; (n, D)."""
        return self._tensor(self.model.decode(z, **options))

    def _tensor(self, found: FloatArray) -> Tensor:
        return torch.from_numpy(found).to(self.model.device)
