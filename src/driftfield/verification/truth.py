r"""Check against the exact score, where the distribution of the data is known.

In the network's units the distribution is a sum of Gaussians (see :mod:`driftfield.datasets.nodes`), so that at each
noise level kappa the exact score S*, and with it eps* = -kappa S*, is in closed form. By Girsanov's theorem the error
of the network costs

    KL( data || model ) <= 1/2 int E |eps_hat - eps*|^2 dgamma = int E |eps_hat - eps*|^2 d ln kappa     nats,

the difference between the continuous bound and its best value (Song et al. 2021 (likelihood), theorem 1;
Kingma et al. 2021, eq. 17). So the errors of all noise levels add up to one number, in the unit of log-densities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.integrate import trapezoid

from driftfield.codecs import FloatArray
from driftfield.datasets.nodes import Nodes
from driftfield.diffusion import BaseDenoiser, exact_denoiser
from driftfield.errors import InputError
from driftfield.verification.check import DoesNotApply, Finding
from driftfield.verification.subject import Subject

FINEST, COARSEST = 0.02, 10.0  # standard deviations; most data have no structure below the finest
LEVELS = 12
ROWS = 1_000
MOST_PAIRS = 40_000_000  # of rows and nodes at one noise level, a second or two
# In the plane, over seeds and distributions: 0.004 to 0.07 nats after 600 to 1,500 steps of the default recipe; 0.095
# to 0.54 after noise of 30 % on its weights (0.02 where the distribution is one Gaussian, which the head knows without
# a network).
SLACK = 0.04  # nats per dimension
EXACT_SCALES = (
    0.02,
    0.05,
)  # standard deviations: the exact denoiser may ignore structure below the first one that is feasible
EXACT_PAIRS = 60_000_000  # of rows and nodes in a whole sampling, some seconds
EXACT_ROWS = 500  # the fewest for which a distance is worth computing
MAP_NOISE = 0.2
MAP_CELLS = 60
MAP_MARGIN = 0.3  # of the range of the rows: noise of 0.2 standard deviations goes beyond them


@dataclass(frozen=True)
class ErrorMap:
    """On a grid in the user's units, x (G,) and y (G,): |eps_hat - eps*| and the noised log-density, both (G, G).

    Element [i, j] belongs to (x[j], y[i]); the noise level is ``noise``, in the network's units.
    """

    noise: float
    x: FloatArray
    y: FloatArray
    error: FloatArray
    log_density: FloatArray


def nodes_at(subject: Subject, noise: float) -> Nodes | None:
    """The distribution in the network's units, good for noise of at least ``noise``; None if it is not known."""
    distribution, scaler = subject.distribution, subject.scaler
    if distribution is None:
        return None
    matrix = scaler.rotation / scaler.scale[:, None]  # z = (x - mean) @ matrix
    try:
        found = distribution.nodes(noise / float(np.linalg.norm(matrix, 2)))
    except InputError:
        return None
    return found.transformed(scaler.mean, matrix)


def exact_score(subject: Subject) -> Finding:
    """The cost of the network's error in nats; ``details`` contain its curve over noise levels.

    "relative" is the relative error of the score, and "cost" is E |eps_hat - eps*|^2 in nats per unit of ln kappa.
    """
    if subject.is_kernel:
        raise DoesNotApply("a learned kernel has no score of its own")
    levels, relative, costs = _errors(subject)
    if len(levels) < 2:
        raise DoesNotApply("the distribution of the data is not known as a sum of Gaussians")
    table = np.stack(costs, 1)  # (n, K)
    cost: FloatArray = trapezoid(table, np.log(levels), axis=1)  # (n,)
    error = float(cost.std(ddof=1) / math.sqrt(len(cost)))
    worst = int(np.argmax(table.mean(0)))
    note = (
        f"cost of the network's error between noise {levels[0]:.2g} and {levels[-1]:.2g}, most of it near "
        f"{levels[worst]:.2g}; relative error of the score {min(relative):.2g} to {max(relative):.2g}"
    )
    details = {"noise": levels, "relative": relative, "cost": table.mean(0).tolist()}
    high = SLACK * subject.model.dimensions + 2 * error
    return Finding(float(cost.mean()), high=high, error=error, floor=0.0, note=note, details=details)


def _errors(subject: Subject) -> tuple[list[float], list[float], list[FloatArray]]:
    """Noise levels, relative errors of the score there, and |eps_hat - eps*|^2 of each row (n,)."""
    levels, relative, costs = [], [], []
    n = min(ROWS, len(subject.z))
    for noise in subject.levels(tuple(np.geomspace(FINEST, COARSEST, LEVELS))):
        nodes = nodes_at(subject, noise)
        if nodes is None or n * len(nodes.points) > MOST_PAIRS:
            continue
        y, _ = subject.noisy(noise, "exact score")
        y = y[:n]
        exact = -noise * nodes.score(y, noise)  # (n, D)
        cost = ((subject.eps_hat(y, noise) - exact) ** 2).sum(1)  # (n,)
        levels.append(noise)
        costs.append(cost)
        relative.append(float(math.sqrt(cost.mean() / (exact**2).sum(1).mean())))
    return levels, relative, costs


def error_map(subject: Subject) -> ErrorMap | None:
    """The error in the plane at one noise level; None if the distribution is not known, or not of two dimensions."""
    if subject.is_kernel or subject.model.dimensions != 2:
        return None
    noise = subject.level(MAP_NOISE)
    nodes = nodes_at(subject, noise)
    if nodes is None or MAP_CELLS**2 * len(nodes.points) > MOST_PAIRS:
        return None
    scaler = subject.scaler
    low, high = np.quantile(subject.real, [0.001, 0.999], axis=0)
    margin = MAP_MARGIN * (high - low)
    x, y = (np.linspace(low[d] - margin[d], high[d] + margin[d], MAP_CELLS) for d in (0, 1))
    points = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    z = scaler.forward(points).astype(np.float64)
    error = np.linalg.norm(subject.eps_hat(z, noise) + noise * nodes.score(z, noise), axis=1)
    log_density = nodes.log_prob(z, noise) + scaler.log_det
    shape = (MAP_CELLS, MAP_CELLS)
    return ErrorMap(noise, x, y, error.reshape(shape), log_density.reshape(shape))


def denoiser_of_distribution(subject: Subject, evaluations: int) -> tuple[BaseDenoiser, int] | None:
    """The exact denoiser for the model's schedule and units, and for how many rows it can be evaluated this often.

    None if the distribution is not known, or is divided into too many nodes.
    """
    for scale in EXACT_SCALES:
        nodes = nodes_at(subject, scale)
        if nodes is None:
            continue
        rows = EXACT_PAIRS // (len(nodes.points) * evaluations)
        if rows >= EXACT_ROWS:
            parts = (torch.as_tensor(part) for part in (nodes.points, nodes.log_weights, nodes.covariance))
            denoiser = exact_denoiser(subject.model.denoiser.schedule, *parts).to(subject.model.device)
            return denoiser, min(rows, len(subject.z))
    return None
