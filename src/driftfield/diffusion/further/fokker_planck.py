r"""The Fokker-Planck equation: the density of the forward process on a grid, without drawing a single row.

Under the forward process dx_t = f x_t dt + g dw a density p_t(x) changes by (Smoluchowski 1916; Song et al. 2021 (SDE),
appendix D.1)

    dp/dt = - div(f x p) + 1/2 g^2 laplace p.

Drift and noise are the same for every axis and do not couple them: if K solves the equation in one dimension,
dK/dt = L(t) K with K = 1 at the start, the density in two dimensions is  p_t = K p_0 K^T.

In space there are cells of width h, with the second-order flux between neighbours i and i + 1

    F = f x_{i+1/2} (p_i + p_{i+1}) / 2 - 1/2 g^2 (p_{i+1} - p_i) / h,      (L p)_i = (F_{i-1/2} - F_{i+1/2}) / h,

and no flux through the outer edges, so that mass is conserved up to rounding. In time, with L at the middle of the step
and S = (1 - c dt L)^{-1}, c = 1 - 1 / sqrt(2), each step is of second order and L-stable, i.e. damps what is too fast
to resolve (the SDIRK method of order 2, Alexander 1977, as partial fractions):

    K <- (1 + sqrt(2)) S S K - sqrt(2) S K.

The exact solution is an integral, p_t(x) = int p_0(x_0) N(x; alpha x_0, sigma^2) dx_0, which :func:`convolved` computes
on the same grid. That the two agree shows that the rates (f, g) and the coefficients (alpha, sigma) of a schedule
describe the same process.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor

from driftfield.diffusion.basics.schedules import Schedule
from driftfield.errors import InputError


def evolve(schedule: Schedule, density: Tensor, centres: Tensor, times: Tensor, substeps: int = 1) -> Tensor:
    """The density at each of the times, by the Fokker-Planck equation from the first one on.

    Args:
        density: p at the cell centres at times[0], with any number of axes: (G,), (G, G), ..
        centres: (G,) equally spaced cell centres, the same for every axis, which contain the mass at all times.
        times: (K,) increasing, in [0, 1].
        substeps: the number of steps between one time and the next.

    Returns:
        (K, *density.shape) float64; the first is the given density. With cells of width h and steps dt the error is
        O(h^2 + dt^2), and sum(p) h^D is constant.

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
    """The same densities from the closed form: the integral of p_0 times the kernel N(x; alpha x_0, sigma^2).

    By the midpoint rule, whose error for a kernel of standard deviation d in x_0 is 2 exp(-2 pi^2 d^2 / h^2); for
    kernels narrower than a cell, sigma < alpha h, by their exact integral over each cell, with p_0 constant within it.

    Args:
        density: p_0 at the cell centres, with any number of axes: (G,), (G, G), ..
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
            f"The density must have {len(centres)} values along each axis, one for each cell, got the shape "
            f"{tuple(density.shape)}."
        )
    return (centres[-1] - centres[0]) / (len(centres) - 1)


def _operators(centres: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """(drift, noise): matrices (G, G) with L = f drift + 1/2 g^2 noise."""
    cells = torch.eye(len(centres), dtype=torch.float64, device=centres.device)
    left, right = cells[:-1], cells[1:]  # (G - 1, G): the cells to the left and right of each inner edge
    inner = (centres[:-1] + centres[1:]) / 2
    gain = (right - left).T / width  # (G, G - 1): from the flux through each edge to the change in each cell
    return gain @ (inner[:, None] * (left + right) / 2), gain @ ((left - right) / width)


def _on_every_axis(matrix: Tensor, density: Tensor) -> Tensor:
    for _ in range(density.ndim):
        density = torch.tensordot(
            density, matrix, ([0], [1])
        )  # contracts the first axis and appends the result as the last one
    return density
