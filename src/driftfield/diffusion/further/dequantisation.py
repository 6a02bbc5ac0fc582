r"""Uniform dequantisation: the probability of integers from a density.

Integers have no density, and a model trained on them directly can assign an arbitrarily large one to single points. Let
u be independent noise, uniform on [0, 1) in each dimension. A density p of x + u gives the integers x the probability
P(x) = integral of p over the cube x + [0, 1)^D, and by Jensen's inequality (Theis et al. 2016, eq. 3 to 5)

    log P(x) >= E_u log p(x + u).

The right side can therefore be compared with any model of integers, usually in bits per dimension, as -log2 / D. It is
tight if p is constant on the cubes. The model has to be trained on dequantised rows x + u.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from driftfield.errors import InputError


@dataclass(frozen=True)
class DiscreteBound:
    """``value``: the bound on log P(x) in nats (B,); ``error``: its standard error over the draws of u (B,)."""

    value: Tensor
    error: Tensor

    def bits(self, dimensions: int) -> tuple[Tensor, Tensor]:
        """The bound and its error in bits per dimension; (B,) each. For uniform integers it is log2(levels)."""
        scale = 1 / (dimensions * math.log(2))
        return -scale * self.value, scale * self.error


def dequantised_log_prob(
    log_prob: Callable[[Tensor], Tensor], x: Tensor, levels: int, uniform: Callable[[], Tensor], draws: int = 4
) -> DiscreteBound:
    """E_u log p(x + u) for each row of x (B, *D), estimated from draws of u.

    Args:
        log_prob: (B, *D) -> (B,), the log-density of x + u in nats, in units of one level.
        x: integers in 0 .. levels - 1.
        uniform: returns fresh numbers in [0, 1) of the shape of x at each call.
        draws: of u for each row.

    Raises:
        InputError: x has a number that is not an integer in that range, or there are fewer than 2 draws.
    """
    if draws < 2:
        raise InputError(f"The bound by dequantisation needs at least 2 draws for its error, got {draws}.")
    check_levels(x, levels)
    values = torch.stack([log_prob(x + uniform().to(x)).double() for _ in range(draws)])  # (draws, B)
    error = values.std(0) / math.sqrt(draws) if len(x) else values[0]
    return DiscreteBound(values.mean(0), error)


def check_levels(x: Tensor, levels: int) -> None:
    """Raises InputError unless all numbers are integers in 0 .. levels - 1."""
    if levels < 2:
        raise InputError(f"Integer data need at least 2 levels, got {levels}.")
    bad = (x != x.round()) | (x < 0) | (x > levels - 1)
    if bad.any():
        raise InputError(
            f"Bits per dimension need integers from 0 to {levels - 1}, but one of the numbers is "
            f"{float(x[bad][0]):g}: give the rows in units of one level, and the right number of levels."
        )
