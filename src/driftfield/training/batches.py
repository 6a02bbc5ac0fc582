"""Batches: the rows of each training step, as functions (step, generator) -> (rows (B, *D), labels (B,) if any).

drawn      rows drawn with replacement by the trainer's generator
shuffled   epochs: all rows, in a new random order each time; the last batch of an epoch holds the remainder
fresh      new rows of a distribution at every step

The last two depend only on the seed and the step, so a resumed training sees the same rows.

Rows with weights are drawn as often as they weigh, and their losses are averaged as they are. Equal chances and losses
times weights have the same mean, but a gradient that varies sum w^2 n / (sum w)^2 times as much, since most of the rows
that are drawn hardly count. One number of [0, 1) in each of B equal parts chooses the rows of a batch, so that a row
occurs as often as it should to within one or two, not just in the mean.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from driftfield.diffusion.basics.times import stratified_draws
from driftfield.recipes.defaults import steps_of_a_pass
from driftfield.seeds import derive

Batch = tuple[Tensor, ...]
Batches = Callable[[int, torch.Generator], Batch]


def drawn(table: Batch, size: int, weights: Tensor | None = None) -> Batches:
    """``size`` rows with replacement of a table (rows (n, *D), labels (n,) if any), as often as their weights (n,)."""
    ends = None if weights is None else weights.double().cumsum(0)

    def batch(step: int, generator: torch.Generator) -> Batch:
        if ends is None:
            chosen = torch.randint(len(table[0]), (size,), generator=generator, device=generator.device)
        else:
            chosen = _weighted(ends, stratified_draws(size, generator, shuffled=True))
        return tuple(column[chosen] for column in table)

    return batch


def _weighted(ends: Tensor, u: Tensor) -> Tensor:
    """The rows (m,) that numbers u of [0, 1) choose, from the cumulative weights (n,) of all rows."""
    return torch.searchsorted(ends, u * ends[-1]).clamp(max=len(ends) - 1)


def shuffled(table: Batch, size: int, seed: int, weights: Tensor | None = None) -> Batches:
    """Batches of shuffled epochs of a table; with weights, an epoch has as many rows, each as often as it weighs."""
    ends = None if weights is None else weights.double().cumsum(0).cpu()
    n, device = len(table[0]), table[0].device
    known: dict[int, Tensor] = {}

    def batch(step: int, generator: torch.Generator) -> Batch:
        number, place = divmod(step, steps_of_a_pass(n, size))
        if number not in known:
            known.clear()
            order = torch.Generator().manual_seed(derive(seed, "order of a pass", number))
            if ends is None:
                known[number] = torch.randperm(n, generator=order).to(device)
            else:
                known[number] = _weighted(ends, stratified_draws(n, order, shuffled=True)).to(device)
        chosen = known[number][place * size : (place + 1) * size]
        return tuple(column[chosen] for column in table)

    return batch


def fresh(draw: Callable[[int, int], Batch], size: int) -> Batches:
    """``size`` new rows at each step, by ``draw(size, step)``."""
    return lambda step, generator: draw(size, step)
