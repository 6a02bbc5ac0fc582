r"""The objectives of conditionals: of one column of a table given the others, and of some cells given the rest.

The objective "table" spreads over all conditionals, with columns left out too. Who asks for fewer of them learns these
better: with ten numbers given, it sees an eleventh in one row of three thousand. Both objectives here are functions
(denoiser, z, generator, width, present, codes) of rows as in :mod:`driftfield.diffusion.further.table_loss`.
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
    """One column of a table given the others, as a regressor or a classifier asks for it.

    The column is hidden in every row. Of the others, all are given in half of the rows, and each at a rate uniform on
    [0, 1] in the other half, so that they may be missing later. A column with atoms has a category, which atom or any
    other number, and then a number given that it is none.

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
    ) -> Tensor:
        """One draw of the loss of rows z (B, D) with ``width``, ``present`` (B, D) and ``codes`` (B, K); (B,)."""
        z = _placed(z, width, generator)
        some, rate = _uniform((2, len(z), 1), z, generator)
        rate = torch.where(some < ALL_GIVEN, 1.0, rate)  # (B, 1)
        numbers, categories = (_uniform(each.shape, z, generator) < rate for each in (z, codes))
        if self.number is not None:
            numbers[:, self.number] = False
        if self.category is not None:
            categories[:, self.category] = False
        state = torch.where(present & numbers, GIVEN, ABSENT)
        known = torch.where(categories, codes, UNKNOWN)
        total = z.new_zeros(len(z))
        if self.category is not None:
            asked = torch.zeros_like(categories)
            asked[:, self.category] = True
            total = total + _categories_loss(denoiser, Cells(state, z, known), codes, asked)
        if self.number is not None:
            state, known = state.clone(), known.clone()
            state[:, self.number] = torch.where(present[:, self.number], GENERATED, ABSENT)
            if self.category is not None:
                known[:, self.category] = codes[:, self.category]
            total = total + _numbers_loss(denoiser, Cells(state, z, known), generator)
        return total


def filling_loss(
    denoiser: TableDenoiser, z: Tensor, generator: torch.Generator, width: Tensor, present: Tensor, codes: Tensor
) -> Tensor:
    """Cells of a table given the rest of their row, as an imputer asks for them; per cell, (B,).

    Numbers and categories are each hidden at a rate uniform on [0, 1]. Hidden categories are asked for where hidden
    numbers are absent, and hidden numbers where all categories are known.

    Args:
        z: numbers (B, D), with their ``width`` and whether they are ``present``, (B, D).
        codes: categories (B, K).
    """
    z = _placed(z, width, generator)
    rates = _uniform((2, len(z), 1), z, generator)
    given, hidden = (_uniform(each.shape, z, generator) < rate for each, rate in zip((z, codes), rates, strict=True))
    for_categories = Cells(torch.where(present & given, GIVEN, ABSENT), z, torch.where(hidden, UNKNOWN, codes))
    for_numbers = Cells(torch.where(present, torch.where(given, GIVEN, GENERATED), ABSENT), z, codes)
    total = _categories_loss(denoiser, for_categories, codes, hidden) + _numbers_loss(denoiser, for_numbers, generator)
    return total / max(z.shape[1] + codes.shape[1], 1)


def _categories_loss(denoiser: TableDenoiser, cells: Cells, codes: Tensor, asked: Tensor) -> Tensor:
    """The cross-entropy of the known codes (B, K) of the categories that are asked for, (B, K) bool; (B,)."""
    total = cells.values.new_zeros(len(codes))
    if not codes.shape[1]:
        return total
    asked = asked & (codes != UNKNOWN)
    for k, logits in enumerate(denoiser.logits(cells)):
        each = cross_entropy(logits, codes[:, k].clamp(min=0), reduction="none")
        total = total + torch.where(asked[:, k], each, 0.0)
    return total


def _numbers_loss(denoiser: TableDenoiser, cells: Cells, generator: torch.Generator) -> Tensor:
    """The denoising loss of the numbers that are generated; (B,)."""
    z = cells.values
    if not z.shape[1]:
        return z.new_zeros(len(z))
    t = log_normal(denoiser.schedule, len(z), generator)
    eps = torch.randn(z.shape, generator=generator, dtype=z.dtype, device=z.device)
    return denoising_loss(denoiser, z, t, eps, metric=lambda r: torch.where(cells.free, r, 0.0) ** 2, cond=cells.packed)


def _placed(z: Tensor, width: Tensor, generator: torch.Generator) -> Tensor:
    """z with whole numbers at uniform places of their intervals."""
    return z + width * (_uniform(z.shape, z, generator) - 0.5)


def _uniform(shape: torch.Size | tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float32, device=like.device)
