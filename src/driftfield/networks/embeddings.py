r"""Embeddings: features of the time and of the coordinates.

sine       (sin w_j u, cos w_j u), w_j spaced geometrically (Vaswani et al. 2017, sec. 3.5), u = log(sigma / alpha)
sine-time  the same for u = t, with frequencies up to 100
concat     u = t itself
position   (sin k_j x_d, cos k_j x_d) for each coordinate (Tancik et al. 2020), damped where the noise hides them;
           with these a network resolves edges and thin curves that it would blur otherwise

References:
    Vaswani et al. 2017, Attention is all you need, https://arxiv.org/abs/1706.03762
    Tancik et al. 2020, Fourier features let networks learn high frequency functions, https://arxiv.org/abs/2006.10739
    Barron et al. 2021, Mip-NeRF, https://arxiv.org/abs/2103.13415
"""

import math

import torch
from torch import Tensor, nn


class Sine(nn.Module):
    """(sin w_j u, cos w_j u), j = 1 .. size / 2, w_j from ``lowest`` to ``highest``; () or (B,) -> (.., size).

    ``label`` is what u should be, a name in LABELS of :mod:`driftfield.diffusion.basics.denoisers`.
    """

    frequencies: Tensor

    def __init__(self, size: int = 16, lowest: float = 0.25, highest: float = 4.0, label: str = "log-sigma") -> None:
        super().__init__()
        self.size, self.label = 2 * (size // 2), label
        powers = torch.linspace(math.log(lowest), math.log(highest), size // 2, dtype=torch.float32)
        self.register_buffer("frequencies", powers.exp())

    def forward(self, u: Tensor) -> Tensor:
        """Features of u; (..., size)."""
        phase = u[..., None] * self.frequencies
        return torch.cat([phase.sin(), phase.cos()], -1)


def sine_time(size: int = 16) -> Sine:
    """Features of the time t in [0, 1], such as that of the steps of a chain."""
    return Sine(size, lowest=1.0, highest=100.0, label="t")


class Concat(nn.Module):
    """u itself, as one feature; () or (B,) -> (.., 1)."""

    size = 1
    label = "t"

    def forward(self, u: Tensor) -> Tensor:
        """(..., 1)."""
        return u[..., None]


class Position(nn.Module):
    r"""Integrated positional features of the data given x_t (Barron et al. 2021, eq. 14).

    Given x_t and a flat prior, the data are distributed around y = x_t / alpha with standard deviation kappa = sigma /
    alpha, and

        E[ sin(k x) ] = sin(k y) exp(-k^2 kappa^2 / 2)    for x ~ N(y, kappa^2),

    so a frequency vanishes where the noise hides it. The same holds along any unit direction: with ``directions``
    (D, M), whose columns have unit length, the features are those of y @ directions. (B, D) -> (B, 2 M K), for
    frequencies k_1 .. k_K.
    """

    frequencies: Tensor
    directions: Tensor

    def __init__(self, frequencies: tuple[float, ...], directions: Tensor) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.tensor(frequencies, dtype=torch.float32))
        self.register_buffer("directions", directions.float())

    def forward(self, x: Tensor, log_kappa: Tensor) -> Tensor:
        """Features of the scaled input x = y / sqrt(1 + kappa^2) (B, D), given log kappa (B,) or (1,)."""
        kappa = log_kappa.exp()[:, None]  # (B, 1)
        y = (x * torch.hypot(kappa, torch.ones_like(kappa))) @ self.directions  # (B, M)
        phase = (y[:, :, None] * self.frequencies).flatten(1)  # (B, M K)
        envelope = torch.exp(-0.5 * (self.frequencies * kappa) ** 2).repeat(1, y.shape[1])  # (B, M K)
        return torch.cat([phase.sin() * envelope, phase.cos() * envelope], 1)
