"""Batches: which rows a training step sees, as functions (step, generator) -> (rows (B, *D), labels (B,) if any).

drawn      rows drawn with replacement, from the training's own generator
shuffled   passes through all rows in an order drawn anew for each, the last batch of a pass with what is left
fresh      rows of a distribution that nobody has seen before

The last two depend on the seed and the step alone, so that a resumed training meets the same rows.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from driftfield.seeds import derive

Batch = tuple[Tensor, ...]
Batches = Callable[[int, torch.Generator], Batch]


def drawn(table: Batch, size: int) -> Batches:
    """``size`` rows with replacement of a table (rows (n, *D), labels (n,) if any)."""

    def batch(step: int, generator: torch.Generator) -> Batch:
        chosen = torch.randint(len(table[0]), (size,), generator=generator, device=generator.device)
        return tuple(column[chosen] for column in table)

    return batch


def steps_of_a_pass(n: int, size: int) -> int:
    """Batches of ``size`` that n rows make, the last one perhaps smaller."""
    return math.ceil(n / size)


def shuffled(table: Batch, size: int, seed: int) -> Batches:
    """Batch ``step`` of shuffled passes through a table."""
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
    """``size`` rows by ``draw(size, step)``, which returns what a step of that number sees."""
    return lambda step, generator: draw(size, step)
