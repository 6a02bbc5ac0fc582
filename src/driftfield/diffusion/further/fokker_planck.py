r"""The Fokker-Planck equation: the density of the forward process on a grid, without drawing a single row.

The forward process dx = f x dt + g dw moves a density by (Smoluchowski 1916; Song et al. 2021 (SDE), appendix D.1)

    dp/dt = - div(f x p) + 1/2 g^2 laplace p.

Drift and noise treat every axis alike and by itself, so the operators of the axes commute: if K solves the equation in
one dimension, dK/dt = L(t) K with K = 1 at the start, the density in two is  p_t = K p_0 K^T.

In space: cells of width h, and between neighbours i and i + 1 the flux of second order

    F = f x_{i+1/2} (p_i + p_{i+1}) / 2 - 1/2 g^2 (p_{i+1} - p_i) / h,      (L p)_i = (F_{i-1/2} - F_{i+1/2}) / h,

with no flux through the outer edges, so that the mass is kept to round-off. In time: with L taken at the middle of the
step and S = (1 - c dt L)^{-1}, c = 1 - 1 / sqrt(2), the step of second order that damps all that is too fast to
follow (SDIRK of order 2, L-stable: Alexander 1977; written by partial fractions)

    K <- (1 + sqrt(2)) S S K - sqrt(2) S K.

The exact answer is an integral, p_t(x) = int p_0(x_0) N(x; alpha x_0, sigma^2) dx_0; :func:`convolved` takes it on the
same grid. That the two agree is the statement that rates and coefficients of a schedule belong together.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor

from driftfield.diffusion.basics.schedules import Schedule
from driftfield.errors import InputError


def evolve(schedule: Schedule, density: Tensor, centres: Tensor, times: Tensor, substeps: int = 1) -> Tensor:
    """The density at each of the times, by the Fokker-Planck equation from the first of them.

    Args:
        density: (G,), (G, G) or of any number of axes: p at the cell centres, at times[0].
        centres: (G,) equally spaced cell centres, the same for every axis; they should hold all the mass at all times.
        times: (K,) increasing, in [0, 1].
        substeps: steps between one time and the next.

    Returns:
        (K, *density.shape) float64; the first is the density itself. With h the width of a cell and dt a step the error
        is O(h^2 + dt^2), and sum(p) h^D is constant.

    Raises:
        InputError: cells that are not equally spaced, times that do not increase, or no step.
    """
    density, centres, times = density.double(), centres.double(), times.double()
    width = _width(density, centres)
    if not (times.diff() > 0).all() or substeps < 1:
        raise InputError("The Fokker-Planck equation needs increasing times and at least one step between two of them.")
    drift, noise = _operators(centres, width)
    c, identity = 1 - math.sqrt(0.5), torch.eye(len(centres), dtype=torch.float64, device=centres.device)
    propagator, densities = identity, [density]
    for begin, end in pairwise(times):
        dt = (end - begin) / substeps
        for i in range(substeps):
            f, g2 = schedule.rates(schedule.clamp(begin + (i + 0.5) * dt))
            factors = torch.linalg.lu_factor(identity - c * dt * (f * drift + 0.5 * g2 * noise))
            once = torch.linalg.lu_solve(*factors, propagator)
            propagator = (1 + math.sqrt(2)) * torch.linalg.lu_solve(*factors, once) - math.sqrt(2) * once
        densities.append(_on_every_axis(propagator, density))
    return torch.stack(densities)  # (K, G, ..)


def convolved(schedule: Schedule, density: Tensor, centres: Tensor, times: Tensor) -> Tensor:
    """The same from the closed form: p_0 at t = 0, multiplied by the kernel N(x; alpha x_0, sigma^2) and summed.

    Takes the midpoint rule, whose error for a kernel of std s in x_0 is 2 exp(-2 pi^2 s^2 / h^2); where the kernel is
    narrower than a cell, sigma < alpha h, its exact integral over each cell, with p_0 constant in the cell.

    Args:
        density: (G,), (G, G) or of any number of axes: p_0 at the cell centres.
        centres: (G,) equally spaced cell centres, the same for every axis.
        times: (K,) in [0, 1].

    Returns:
        (K, *density.shape) float64.

    Raises:
        InputError: cells that are not equally spaced.
    """
    density, centres = density.double(), centres.double()
    width = _width(density, centres)
    densities = []
    for t in times.double():
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        if sigma >= alpha * width:
            z = (centres[:, None] - alpha * centres) / sigma  # (G, G): from column to row
            kernel = torch.exp(-0.5 * z**2) * (width / (sigma * math.sqrt(2 * math.pi)))
        else:
            edges = torch.cat([centres - width / 2, centres[-1:] + width / 2])
            below = torch.special.ndtr((centres[:, None] - alpha * edges) / sigma)  # (G, G + 1)
            kernel = -below.diff(dim=1) / alpha
        densities.append(_on_every_axis(kernel, density))
    return torch.stack(densities)  # (K, G, ..)


def _width(density: Tensor, centres: Tensor) -> Tensor:
    gaps = centres.diff()
    if len(centres) < 3 or not (gaps > 0).all() or not torch.allclose(gaps, gaps[:1], rtol=1e-4):
        raise InputError("The grid of a density must be at least 3 increasing, equally spaced cell centres.")
    if density.ndim < 1 or set(density.shape) != {len(centres)}:
        raise InputError(
            f"The density must have {len(centres)} values along each axis, one a cell, but its shape is "
            f"{tuple(density.shape)}."
        )
    return (centres[-1] - centres[0]) / (len(centres) - 1)


def _operators(centres: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """(drift, noise): matrices (G, G) with L = f drift + 1/2 g^2 noise."""
    cells = torch.eye(len(centres), dtype=torch.float64, device=centres.device)
    left, right = cells[:-1], cells[1:]  # (G - 1, G): the cells on both sides of each inner edge
    inner = (centres[:-1] + centres[1:]) / 2
    gain = (right - left).T / width  # (G, G - 1): what flows through an edge leaves one cell for the next
    return gain @ (inner[:, None] * (left + right) / 2), gain @ ((left - right) / width)


def _on_every_axis(matrix: Tensor, density: Tensor) -> Tensor:
    for _ in range(density.ndim):
        density = torch.tensordot(density, matrix, ([0], [1]))  # takes the first axis and puts it last
    return density
