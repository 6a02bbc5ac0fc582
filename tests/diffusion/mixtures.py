"""Random mixtures of five Gaussians with full covariances, whitened, and what the truth about them is."""

import math

import torch
from oracles import f64
from torch import Tensor

from driftfield.diffusion import Gaussian, MixtureDenoiser, Schedule, matched_prior

COMPONENTS = 5


def mixture(schedule: Schedule, D: int, seed: int = 0, narrowest: float = 0.22) -> MixtureDenoiser:
    """Means of spread 2 and standard deviations from ``narrowest`` to 1 along random axes, before the whitening."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    weights = 0.2 + torch.rand(COMPONENTS, generator=generator, dtype=torch.float64)
    weights = weights / weights.sum()
    means, axes = 2 * normal(COMPONENTS, D), torch.linalg.qr(normal(COMPONENTS, D, D))[0]
    stds = torch.exp(math.log(narrowest) * torch.rand(COMPONENTS, D, generator=generator, dtype=torch.float64))
    covariances = axes @ torch.diag_embed(stds**2) @ axes.mT
    means = means - weights @ means
    total = torch.einsum("k,kij->ij", weights, covariances + means[:, :, None] * means[:, None])
    values, vectors = torch.linalg.eigh(total)
    A = vectors @ torch.diag(values**-0.5) @ vectors.T
    return MixtureDenoiser(schedule, weights, means @ A, A @ covariances @ A)


def rows_of(distribution: MixtureDenoiser, n: int, seed: int = 1) -> Tensor:
    """n rows of the data, (n, D)."""
    return distribution.sample(n, torch.Generator().manual_seed(seed))


def unit_prior(distribution: MixtureDenoiser) -> Gaussian:
    """The prior of white data."""
    D = distribution.means.shape[1]
    return matched_prior(distribution.schedule, torch.zeros(D).double(), torch.ones(D).double())


def true_log_prob(distribution: MixtureDenoiser, x: Tensor) -> Tensor:
    """log p of x_t / alpha_t at t_low, (B,)."""
    t = f64(distribution.schedule.t_low)
    return distribution.log_prob(distribution.schedule.alpha(t) * x, t) + x.shape[1] * distribution.schedule.log_alpha(
        t
    )
