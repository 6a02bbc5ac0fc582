r"""The objective of a table: the denoising loss of hidden numbers, and the cross-entropy of hidden categories.

What is known of a row differs from draw to draw, so that one network learns all conditionals. A missing cell is absent
in every draw: it has no loss and is never filled in. The other numbers are

    all generated, given all categories        in half of the rows (the joint distribution)
    generated, given or absent at random       in the others; the rate at which they are not generated is uniform
                                               on [0, 1], and so is the rate at which such numbers are given

and categories are hidden at a uniform rate, from which the numbers that are generated learn their marginals too. The
cross-entropy of a hidden category counts whatever is known in another draw: no number in half of the rows, in the
others each at a uniform rate.

A whole number x stands for the interval from x - 1/2 to x + 1/2, and an angle for many places on the line: each draw
puts them at one of these (:mod:`~driftfield.diffusion.further.places`).
"""

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from driftfield.diffusion.basics.denoising import Weight, denoising_loss, simple, snr
from driftfield.diffusion.basics.times import log_normal, stratified_draws
from driftfield.diffusion.further.cells import ABSENT, GENERATED, GIVEN, UNKNOWN, Cells
from driftfield.diffusion.further.objectives import Loss, TimesOption, WeightOption
from driftfield.diffusion.further.places import placed
from driftfield.diffusion.further.table_denoiser import TableDenoiser

JOINT = 0.5  # of the rows


def table(denoiser: TableDenoiser, *, weight: WeightOption = simple, times: TimesOption = log_normal) -> Loss:
    """The objective "table", of rows z (B, D) with their ``width`` (B, D), ``present`` (B, D) and ``codes`` (B, K)."""

    def loss(
        z: Tensor, generator: torch.Generator, width: Tensor, present: Tensor, codes: Tensor, tail: Tensor | None = None
    ) -> Tensor:
        z = _placed(z, width, generator, tail)
        t = times(denoiser.schedule, len(z), generator)
        numbers = _numbers_loss(denoiser, z, t, weight, _for_numbers(z, present, codes, generator), generator)
        return numbers + _categories_loss(denoiser, _for_categories(z, present, codes, generator), codes)

    return loss


def table_bound(
    denoiser: TableDenoiser,
    z: Tensor,
    generator: torch.Generator,
    width: Tensor,
    present: Tensor,
    codes: Tensor,
    tail: Tensor | None = None,
    gammas: tuple[float, float] | None = None,
) -> Tensor:
    """One draw of the bound on -log p of the hidden cells of each row, up to a constant, in nats; (B,).

    As :func:`~driftfield.diffusion.further.continuous_bound.diffusion_bound`, given what is known of each row.
    """
    schedule = denoiser.schedule
    low, high = gammas or schedule.gamma_ends().tolist()
    t = schedule.time(low + (high - low) * stratified_draws(len(z), generator, shuffled=True))
    z = _placed(z, width, generator, tail)
    numbers = _numbers_loss(denoiser, z, t, snr, _for_numbers(z, present, codes, generator), generator)
    categories = _categories_loss(denoiser, _for_categories(z, present, codes, generator), codes)
    return 0.5 * (high - low) * numbers + categories


def _placed(z: Tensor, width: Tensor, generator: torch.Generator, tail: Tensor | None) -> Tensor:
    """z with whole numbers and angles at random places."""
    return placed(z, width, _uniform(z.shape, generator, z), tail)


def _numbers_loss(
    denoiser: TableDenoiser, z: Tensor, t: Tensor, weight: Weight, cells: Cells, generator: torch.Generator
) -> Tensor:
    if z.shape[1] == 0:
        return z.new_zeros(len(z))
    eps = torch.randn(z.shape, generator=generator, dtype=z.dtype, device=z.device)
    squared = partial(_squared_where, cells.free)
    return denoising_loss(denoiser, z, t, eps, weight=weight, metric=squared, cond=cells.packed)


def _squared_where(counts: Tensor, residual: Tensor) -> Tensor:
    return torch.where(counts, residual, 0.0) ** 2


def _categories_loss(denoiser: TableDenoiser, cells: Cells, codes: Tensor) -> Tensor:
    """The cross-entropy of hidden categories; (B,)."""
    total = cells.values.new_zeros(len(codes))
    if codes.shape[1] == 0:
        return total
    hidden = (cells.codes == UNKNOWN) & (codes != UNKNOWN)
    for k, logits in enumerate(denoiser.logits(cells)):
        each = cross_entropy(logits, codes[:, k].clamp(min=0), reduction="none")
        total = total + torch.where(hidden[:, k], each, 0.0)
    return total


def _for_numbers(z: Tensor, present: Tensor, codes: Tensor, generator: torch.Generator) -> Cells:
    joint, idle_rate, given_rate = _uniform((3, len(z), 1), generator, z)
    idle = (joint > JOINT) & (_uniform(z.shape, generator, z) < idle_rate)
    state = torch.where(idle, torch.where(_uniform(z.shape, generator, z) < given_rate, GIVEN, ABSENT), GENERATED)
    some, rate = _uniform((2, len(z), 1), generator, z)
    hidden = (joint > JOINT) & (some < 0.5) & (_uniform(codes.shape, generator, z) < rate)
    return Cells(torch.where(present, state, ABSENT), z, torch.where(hidden, UNKNOWN, codes))


def _for_categories(z: Tensor, present: Tensor, codes: Tensor, generator: torch.Generator) -> Cells:
    alone, given_rate, hidden_rate = _uniform((3, len(z), 1), generator, z)
    given = present & (alone > JOINT) & (_uniform(z.shape, generator, z) < given_rate)
    hidden = _uniform(codes.shape, generator, z) < hidden_rate
    return Cells(torch.where(given, GIVEN, ABSENT), z, torch.where(hidden, UNKNOWN, codes))


def _uniform(shape: torch.Size | tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float32, device=like.device)
