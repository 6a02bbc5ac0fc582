r"""Places: numbers of a table that stand for more than one point of the line, and where each draw puts them.

A whole number stands for an interval of width w > 0, and is put at a uniform place in it. The outermost one before a
bound stands for all that lies between it and the bound, which is infinitely far on the line: with u uniform on (0, 1),
it is put at z + s log(2 u), where s > 0 is the ``tail`` at a lower bound, and -s at an upper one. So the density on the
line has no edge there that a network would smooth, and nothing is drawn beyond.

An angle stands for all z + k L, where L is a whole turn on the line of z and |z| <= L / 2. It is put at z with the
probability cos^2(pi z / 2L), and otherwise at z - L or z + L, on the other side of 0, which has the rest of the
probability: cos^2(pi z / 2L) + cos^2(pi (z - L) / 2L) = 1. So an angle with the density p has on the line, between -L
and L, the density

    q(z) = p(z) cos^2(pi z / 2L),        p(z) = sum_k q(z + k L),

which is as smooth as p and vanishes at both ends, so that no angle is an end of anything. Samples are taken modulo L.
All places of an angle say the same of the other numbers, as q(z, y) = p(z, y) cos^2(pi z / 2L). So one that is given
may be put at any of them, and is at z, the likelier one. ``width`` is -L for an angle.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

SMALLEST = 2.0**-24  # of the numbers that decide a place in a tail
MOST_EXACT = 2  # angles up to which the place on the other side of a sample's own is counted, where a network leaks


def placed(z: Tensor, width: Tensor, u: Tensor, tail: Tensor | None = None) -> Tensor:
    """z (B, D) at the places that u, uniform on [0, 1), decides; with ``width`` and ``tail`` 0 they stay."""
    if tail is not None:
        z = z + tail * (2 * u.clamp(min=SMALLEST)).log()
    turn = torch.where(width < 0, -width, 1.0)
    stays = u < torch.cos(0.5 * math.pi * z / turn) ** 2
    of_angle = torch.where(stays, z, z - torch.sign(z) * turn)
    return torch.where(width < 0, of_angle, z + width * (u - 0.5))


def turns(z: Tensor, width: Tensor, asked: Tensor, angles: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
    """What is added to z (B, D) for each combination of places of some columns, which are angles; and where it counts.

    These are all places between -L and L, and of few angles those between -3L / 2 and 3L / 2. Where an angle is not
    ``asked`` for, (B, D), only z itself counts; (B, D) and (B,).
    """
    for signs in itertools.product(_ways(len(angles)), repeat=len(angles)):
        shift, counts = torch.zeros_like(z), torch.ones_like(asked[:, :1].any(1))
        for d, sign in zip(angles, signs, strict=True):
            side = torch.where(z[:, d] < 0, -1.0, 1.0)
            shift[:, d] = -width[:, d] * sign * side
            counts = counts & (asked[:, d] | (sign == 0))
        yield shift, counts


def count_turns(angles: int) -> int:
    """How many combinations :func:`turns` yields for so many angles."""
    return int(len(_ways(angles)) ** angles)


def _ways(angles: int) -> tuple[int, ...]:
    return (0, -1, 1) if angles <= MOST_EXACT else (0, -1)
