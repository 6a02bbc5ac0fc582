r"""Embeddings: a number as features.

sine       (sin w_j u, cos w_j u) with w_j spaced geometrically (Vaswani et al. 2017, sec. 3.5), for u = log sigma
sine-time  the same for u = t, with frequencies up to 100
concat     u = t itself
position   (sin k_j x_d, cos k_j x_d) for each coordinate (Tancik et al. 2020), damped where noise hides them: a
network can follow edges and thin curves that a smooth one blurs
"""

import math

import torch
from torch import Tensor, nn


class Sine(nn.Module):
    """(sin w_j u, cos w_j u), j = 1 .. size / 2, w_j from ``lowest`` to ``highest``; () or (B,) -> (.., size)."""

    label = "log-sigma"
    frequencies: Tensor

    def __init__(self, size: int = 16, lowest: float = 0.25, highest: float = 4.0) -> None:
        super().__init__()
        self.size = 2 * (size // 2)
        self.register_buffer("frequencies", torch.exp(torch.linspace(math.log(lowest), math.log(highest), size // 2)))

    def forward(self, u: Tensor) -> Tensor:
        """Features of u; (..., size)."""
        phase = u[..., None] * self.frequencies
        return torch.cat([phase.sin(), phase.cos()], -1)


class SineTime(Sine):
    """Features of the time t in [0, 1], as of the steps of a chain; () or (B,) -> (.., size)."""

    label = "t"

    def __init__(self, size: int = 16) -> None:
        super().__init__(size, lowest=1.0, highest=100.0)


class Concat(nn.Module):
    """u itself, as one feature; () or (B,) -> (.., 1)."""

    size = 1
    label = "t"

    def forward(self, u: Tensor) -> Tensor:
        """(..., 1)."""
        return u[..., None]


class Position(nn.Module):
    r"""Integrated positional features of the data behind x_t (Barron et al. 2021, mip-NeRF, eq. 14).

    Seen from x_t, the data lie around y = x_t / alpha with standard deviation lambda = sigma / alpha, and

        E[ sin(k x) ] = sin(k y) exp(-k^2 lambda^2 / 2)    for x ~ N(y, lambda^2),

    so a frequency fades out where the noise hides it. The same holds along any unit direction: with ``directions``
    (D, M), of unit columns, the features are those of y @ directions. (B, D) -> (B, 2 M K), for frequencies k_1 .. k_K.
    """

    frequencies: Tensor
    directions: Tensor

    def __init__(self, frequencies: tuple[float, ...], directions: Tensor) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.tensor(frequencies, dtype=torch.float32))
        self.register_buffer("directions", directions.float())

    def forward(self, x: Tensor, log_ratio: Tensor) -> Tensor:
        """Features of the scaled input x = y / sqrt(1 + lambda^2) (B, D), given log lambda (B,) or (1,)."""
        ratio = log_ratio.exp()[:, None]  # (B, 1)
        y = (x * torch.hypot(ratio, torch.ones_like(ratio))) @ self.directions  # (B, M)
        phase = (y[:, :, None] * self.frequencies).flatten(1)  # (B, M K)
        envelope = torch.exp(-0.5 * (self.frequencies * ratio) ** 2).repeat(1, y.shape[1])  # (B, M K)
        return torch.cat([phase.sin() * envelope, phase.cos() * envelope], 1)
