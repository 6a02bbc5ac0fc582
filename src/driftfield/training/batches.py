"""Batches: the rows of each training step, as functions (step, generator) -> (rows (B, *D), labels (B,) if any).

drawn      rows drawn with replacement by the trainer's generator
shuffled   epochs: all rows, in a new random order each time; the last batch of an epoch holds the remainder
fresh      new rows of a distribution at every step

The last two depend only on the seed and the step, so a resumed training sees the same rows.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from driftfield.recipes.defaults import steps_of_a_pass
from driftfield.seeds import derive

Batch = tuple[Tensor, ...]
Batches = Callable[[int, torch.Generator], Batch]


def drawn(table: Batch, size: int) -> Batches:
    """``size`` rows with replacement of a table (rows (n, *D), labels (n,) if any)."""

    def batch(step: int, generator: torch.Generator) -> Batch:
        chosen = torch.randint(len(table[0]), (size,), generator=generator, device=generator.device)
        return tuple(column[chosen] for column in table)

    return batch


def shuffled(table: Batch, size: int, seed: int) -> Batches:
    """Batches of shuffled epochs of a table."""
    n, device = len(table[0]), table[0].device
    known: dict[int, Tensor] = {}

    def batch(step: int, generator: torch.Generator) -> Batch:
        number, place = divmod(step, steps_of_a_pass(n, size))
        if number not in known:
            known.clear()
            order = torch.Generator().manual_seed(derive(seed, "order of a pass", number))
            known[number] = torch.randperm(n, generator=order).to(device)
        chosen = known[number][place * size : (place + 1) * size]
        return tuple(column[chosen] for column in table)

    return batch


def fresh(draw: Callable[[int, int], Batch], size: int) -> Batches:
    """``size`` new rows at each step, by ``draw(size, step)``."""
    return lambda step, generator: draw(size, step)
