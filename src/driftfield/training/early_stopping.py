"""Early stopping: which weights of a training are returned, and when it may end before its last step.

The average of the weights is judged on rows never trained on by the bound on their negative log-likelihood over the
noise levels that are trained, with times and noise drawn once and kept, so that two values differ by the weights alone.
The weights returned are the last whose bound is within 2e-3 nats per dimension of the lowest: near-ties go to the later
weights, which were trained with a smaller learning rate.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from driftfield.seeds import derive
from driftfield.training.batches import Batch
from driftfield.training.checkpoint import Progress

Loss = Callable[..., Tensor]  # (rows (B, *D), generator, labels (B,) if there are any) -> (B,)
VALIDATION_DRAWS = 8_192  # pairs of time and noise, whatever the number of validation rows
TIE = 2e-3  # nats per dimension: bounds closer than this count as equal
EARLY = 0.1  # fraction of the steps: weights from further before the last step, and better by a TIE, are reported


def mean_losses(losses: list[Loss], validation: Batch, weights: Tensor | None = None) -> list[float]:
    """The mean of each loss over the validation rows, by their weights, always with the same times and noise."""
    device = validation[0].device
    repeats = math.ceil(VALIDATION_DRAWS / len(validation[0]))
    rows, *labels = (column.repeat(repeats, *[1] * (column.ndim - 1)) for column in validation)
    seed = derive(0, "times and noise of validation")
    with torch.no_grad():
        found = [loss(rows, torch.Generator(device).manual_seed(seed), *labels) for loss in losses]
    if weights is not None:
        share = weights.double().repeat(repeats) / (weights.double().sum() * repeats)
        return [(each.double() @ share).item() for each in found]
    return [found[0].mean().item(), *(each.double().mean().item() for each in found[1:])]


def note_bound(progress: Progress, bound: float) -> bool:
    """Note the bound of the present weights; whether they are the ones to return if none better come."""
    progress.lowest, progress.last = min(progress.lowest, bound), bound
    better = bound <= progress.lowest + TIE
    if better:
        progress.best_step, progress.best = progress.step, bound
    return better


def out_of_patience(progress: Progress, patience: float) -> bool:
    """Whether the best weights are more than ``patience`` steps old; never, for no patience at all."""
    return bool(patience and progress.best_step) and progress.step - progress.best_step > patience


def early_weights(progress: Progress) -> str | None:
    """One sentence when the weights returned are from well before the last step, and clearly better; else None."""
    late = progress.step - progress.best_step <= EARLY * progress.step
    if late or not progress.last > progress.best + TIE:  # without validation rows both are infinite
        return None
    return (
        f"The model has the weights of step {progress.best_step:,} of {progress.step:,}: later weights were worse on "
        f"the validation rows, by {progress.last - progress.best:.2g} at the last step; --set train.validation=0 keeps "
        "the last weights."
    )
