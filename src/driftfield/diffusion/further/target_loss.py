r"""The objective of one column of a table given the others, as a regressor or a classifier asks for it.

The column is hidden in every row. Of the others, all are given in half of the rows, and each at a rate uniform on
[0, 1] in the other half, so that they may be missing later. What the objective "table" spreads over all conditionals
goes into one: with ten columns given, it would see this one in a row of three thousand.

A column with atoms has a category, which atom or any other number, and then a number given that it is none.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from driftfield.diffusion.basics.denoising import denoising_loss
from driftfield.diffusion.basics.times import log_normal
from driftfield.diffusion.further.cells import ABSENT, GENERATED, GIVEN, UNKNOWN, Cells
from driftfield.diffusion.further.table_denoiser import TableDenoiser

ALL_GIVEN = 0.5  # of the rows


@dataclass(frozen=True)
class TargetLoss:
    """The denoising loss of a number and the cross-entropy of a category, given the other cells.

    Args:
        number: which of the D numbers is asked for, or None.
        category: which of the K categories is asked for, or None.
    """

    number: int | None
    category: int | None

    def __call__(
        self,
        denoiser: TableDenoiser,
        z: Tensor,
        generator: torch.Generator,
        width: Tensor,
        present: Tensor,
        codes: Tensor,
        tail: Tensor | None = None,
    ) -> Tensor:
        """The loss of rows z (B, D) with their ``present`` (B, D) and ``codes`` (B, K), one draw of each; (B,)."""
        cells = self._given(z, present, codes, generator)
        total = z.new_zeros(len(z))
        if self.category is not None:
            true = codes[:, self.category]
            each = cross_entropy(denoiser.logits(cells)[self.category], true.clamp(min=0), reduction="none")
            total = total + torch.where(true == UNKNOWN, 0.0, each)
        if self.number is not None:
            state, known = cells.state.clone(), cells.codes.clone()
            state[:, self.number] = torch.where(present[:, self.number], GENERATED, ABSENT)
            if self.category is not None:
                known[:, self.category] = codes[:, self.category]
            t = log_normal(denoiser.schedule, len(z), generator)
            eps = torch.randn(z.shape, generator=generator, dtype=z.dtype, device=z.device)
            asked = Cells(state, z, known)
            total = total + denoising_loss(
                denoiser, z, t, eps, metric=lambda r: torch.where(asked.free, r, 0.0) ** 2, cond=asked.packed
            )
        return total

    def _given(self, z: Tensor, present: Tensor, codes: Tensor, generator: torch.Generator) -> Cells:
        """The cells that are given, and none of the column that is asked for."""
        some, rate = torch.rand((2, len(z), 1), generator=generator, dtype=torch.float32, device=z.device)
        rate = torch.where(some < ALL_GIVEN, 1.0, rate)  # (B, 1)
        numbers, categories = (
            torch.rand(each.shape, generator=generator, dtype=torch.float32, device=z.device) < rate
            for each in (z, codes)
        )
        if self.number is not None:
            numbers[:, self.number] = False
        if self.category is not None:
            categories[:, self.category] = False
        return Cells(torch.where(present & numbers, GIVEN, ABSENT), z, torch.where(categories, codes, UNKNOWN))
