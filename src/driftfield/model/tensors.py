"""A model whose results are torch tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.autograd.function import once_differentiable

from driftfield.codecs import FloatArray
from driftfield.model.densities import log_prob_gradient

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
        """As :meth:`Model.log_prob`; two of (n,).

        Where x is a tensor that requires gradients, the value has them: grad_x log p(x), once differentiable.
        """
        value, error = (self._tensor(found) for found in self.model.log_prob(x, t, **options))
        if isinstance(x, Tensor) and x.requires_grad:
            gradient = partial(log_prob_gradient, self.model, t=t, **options)
            value = _WithGradient.apply(x, value, gradient)  # type: ignore[no-untyped-call]
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


class _WithGradient(torch.autograd.Function):
    """Values (n,) of rows (n, D), with a gradient (n, D) that is computed when it is asked for."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, gradient: Callable[[Tensor], FloatArray]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.gradient = gradient
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        found = torch.from_numpy(ctx.gradient(x)).to(above)
        return (above[:, None] * found).reshape(x.shape).to(x), None, None
