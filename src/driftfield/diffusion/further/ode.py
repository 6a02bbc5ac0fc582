r"""Adaptive integration of ordinary differential equations, with error control for each row.

The method is the pair of orders 5 and 4 of Dormand and Prince (Dormand, Prince 1980, table 2; Hairer et al. 1993, table
II.5.2), with seven slopes k_i at u + c_i h:

    y'  = y + h sum_j b_j k_j,           of order 5; k_7 is the slope at y', the first one of the next step
    err =     h sum_j (b_j - b*_j) k_j,  the difference from a solution of order 4

A step is accepted if the norm of err (Hairer et al. 1993, eq. II.4.11)

    e = sqrt( mean_d ( err_d / (atol + rtol max(|y_d|, |y'_d|)) )^2 )

is at most 1; the next step is h 0.9 e^(-1/5), but at least h / 5 and at most 10 h.

Each row of a batch is a separate problem with its own position, step and error, and leaves the batch when it is done.
So the result for a row does not depend on the other rows.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from driftfield.diffusion.basics.schedules import match
from driftfield.errors import DriftfieldError

MOST_STEPS = 10_000  # tried for one row; a smooth field takes tens
SAFETY, LEAST, MOST = 0.9, 0.2, 10.0  # for the factor between one step and the next

Slope = Callable[[Tensor, Tensor, Tensor], Tensor]

NODES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)  # c
STAGES: tuple[tuple[float, ...], ...] = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),  # b
)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)  # b - b*


@dataclass(frozen=True)
class Solution:
    """``y`` (B, *K) at the end, and ``evaluations`` (B,) int64 of the slope for each row."""

    y: Tensor
    evaluations: Tensor


def integrate(slope: Slope, y: Tensor, begin: Tensor, end: Tensor, rtol: float, atol: float) -> Solution:
    """Solve dy / du = slope from u = begin to u = end, in either direction, for each row of y (B, *K).

    Args:
        slope: (y (b, *K), u (b,), rows (b,)) -> (b, *K), where ``rows`` are the numbers of the unfinished rows.
        begin, end: () each; u is float64, y keeps its dtype.
        rtol, atol: tolerances of a step, relative to y and absolute.

    Raises:
        DriftfieldError: a row does not reach its end within 10,000 steps, or its slope is not finite.
    """
    result, evaluations = y.clone(), torch.zeros(len(y), dtype=torch.int64, device=y.device)
    begin, end = begin.double().to(y.device), end.double().to(y.device)
    if len(y) == 0 or begin == end:
        return Solution(result, evaluations)
    rows = torch.arange(len(y), device=y.device)
    u = begin.expand(len(y))
    k = slope(y, u, rows)
    h = _first_step(slope, y, k, u, end, rows, rtol, atol)
    spent = 2  # evaluations for each unfinished row
    for _ in range(MOST_STEPS):
        last = (end - u).abs() <= h.abs() * (1 + 1e-9)  # leaves no tiny rest for one more step
        h = torch.where(last, end - u, h)
        new, k_new, error = step(slope, y, k, u, h, rows)
        spent += 6
        size = _norm(error, rtol, atol, y, new)
        taken = size <= 1  # false for nan
        u = torch.where(taken, torch.where(last, end, u + h), u)
        y, k = (torch.where(_column(taken, y), after, before) for after, before in ((new, y), (k_new, k)))
        h = h * _change(size)
        over = taken & last
        if over.any():
            result[rows[over]], evaluations[rows[over]] = y[over], spent
            y, k, u, h, rows = (part[~over] for part in (y, k, u, h, rows))
            if len(rows) == 0:
                return Solution(result, evaluations)
        if (u + h == u).any() or not h.isfinite().all():
            raise DriftfieldError(
                "The ODE cannot be solved to this tolerance, as its slope jumps or is not finite: choose a looser "
                "tolerance or a fixed number of steps."
            )
    raise DriftfieldError(
        f"The ODE was not solved to this tolerance within {MOST_STEPS:,} steps: choose a looser tolerance or a fixed "
        "number of steps."
    )


def step(slope: Slope, y: Tensor, k: Tensor, u: Tensor, h: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One step from y (B, *K) with slope k (B, *K) at u (B,), of length h (B,): (y', its slope, err), (B, *K) each."""
    slopes = [k]
    for c, weights in zip(NODES[1:], STAGES[1:], strict=True):
        new = y + match(h, y) * _sum(weights, slopes)
        slopes.append(slope(new, u + c * h, rows))
    return new, slopes[-1], match(h, y) * _sum(ERROR, slopes)


def _first_step(
    slope: Slope, y: Tensor, k: Tensor, u: Tensor, end: Tensor, rows: Tensor, rtol: float, atol: float
) -> Tensor:
    """The first step (B,), from the sizes of y, its slope and its second derivative (Hairer et al. 1993, sec. II.4)."""
    d0, d1 = _norm(y, rtol, atol, y), _norm(k, rtol, atol, y)
    length, sign = (end - u).abs(), torch.sign(end - u)
    h0 = torch.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / d1).minimum(length)
    k1 = slope(y + match(sign * h0, y) * k, u + sign * h0, rows)
    steepest = torch.maximum(d1, _norm(k1 - k, rtol, atol, y) / h0)
    h1 = torch.where(steepest <= 1e-15, (h0 * 1e-3).clamp(min=1e-6), (0.01 / steepest) ** (1 / 5))
    return sign * torch.minimum(100 * h0, h1).minimum(length)


def _norm(error: Tensor, rtol: float, atol: float, *sizes: Tensor) -> Tensor:
    """The norm e of the error, (B,) float64, relative to the largest of ``sizes``."""
    size = torch.stack([y.abs() for y in sizes]).amax(0)
    relative = (error / (atol + rtol * size)).double().flatten(1)
    return relative.square().sum(1).sqrt() / math.sqrt(relative.shape[1])


def _change(size: Tensor) -> Tensor:
    """The factor (B,) between one step and the next; the smallest one where the error is nan."""
    return torch.nan_to_num(SAFETY * size ** (-1 / 5), nan=LEAST, posinf=MOST).clamp(LEAST, MOST)


def _sum(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    total = torch.zeros_like(slopes[0])
    for weight, k in zip(weights, slopes, strict=True):
        if weight:
            total = total.add(k, alpha=weight)
    return total


def _column(mask: Tensor, y: Tensor) -> Tensor:
    return mask.reshape(-1, *[1] * (y.ndim - 1))  # (B, 1, ..)
