"""Cells of a table: what a network is told of each number and each category of a row.

A number is *generated*, *given* with its value, or *absent*: neither known nor wanted, as a missing cell is in
training. A category has a code, or -1 where it is unknown. All of it is the condition of a denoiser, packed in one
tensor.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

GENERATED, GIVEN, ABSENT = 0.0, 1.0, -1.0
UNKNOWN = -1


@dataclass(frozen=True)
class Cells:
    """B rows of D numbers and K categories.

    Attributes:
        state: GENERATED, GIVEN or ABSENT, of each number; (B, D).
        values: of the numbers, in the network's units; only those of given ones count; (B, D).
        codes: of the categories, or UNKNOWN; (B, K) int64.
    """

    state: Tensor
    values: Tensor
    codes: Tensor

    @classmethod
    def generated(cls, n: int, D: int, K: int, device: torch.device | None = None) -> "Cells":
        """n rows of which nothing is known: all numbers are generated, all categories unknown."""
        zeros = torch.zeros(n, D, dtype=torch.float32, device=device)
        return cls(zeros, zeros, torch.full((n, K), UNKNOWN, dtype=torch.int64, device=device))

    @property
    def packed(self) -> Tensor:
        """One float32 tensor (B, 2 D + K), the condition of a denoiser."""
        return torch.cat([self.state, torch.where(self.given, self.values, 0.0), self.codes.to(self.state)], 1)

    @classmethod
    def unpacked(cls, cond: Tensor, D: int) -> "Cells":
        """The cells of a condition (B, 2 D + K)."""
        return cls(cond[:, :D], cond[:, D : 2 * D], cond[:, 2 * D :].long())

    @property
    def free(self) -> Tensor:
        """Which numbers are generated; (B, D) bool."""
        return self.state == GENERATED

    @property
    def given(self) -> Tensor:
        """Which numbers are given; (B, D) bool."""
        return self.state == GIVEN
