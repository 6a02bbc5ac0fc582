"""Objectives: what training minimises. A loss is evaluated at random times, with some of the class labels hidden.

An objective is a function (denoiser, **options) -> loss, and a loss is a function (rows, generator, labels) -> (B,),
one value for each row. "denoising" is defined here, the others beside their losses; the table ``OBJECTIVES`` of
:mod:`driftfield.diffusion` lists all of them.

With labels hidden for some rows the network also learns the unconditional model (Ho, Salimans 2022, algorithm 1), which
guidance needs.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from driftfield.diffusion.basics.denoisers import BaseDenoiser, Denoiser
from driftfield.diffusion.basics.denoising import METRICS, WEIGHTS, Metric, Weight, denoising_loss, simple, squared
from driftfield.diffusion.basics.times import TIMES, log_normal
from driftfield.options import FROM_DATA, Fraction, OneOf

Loss = Callable[..., Tensor]  # (rows (B, *D), generator, labels (B,) if there are any) -> (B,)
LABEL_DROPOUT = 0.1

WeightOption = Annotated[Weight, OneOf("weight", WEIGHTS)]
MetricOption = Annotated[Metric, OneOf("metric", METRICS)]
TimesOption = Annotated[Callable[..., Tensor], OneOf("distribution of times", TIMES)]
LabelDropout = Annotated[Fraction, Field(description="fraction of rows whose class label is hidden"), FROM_DATA]


def denoising(
    denoiser: Denoiser,
    *,
    weight: WeightOption = simple,
    metric: MetricOption = squared,
    times: TimesOption = log_normal,
    label_dropout: LabelDropout = LABEL_DROPOUT,
) -> Loss:
    """The objective "denoising": :func:`denoising_loss` at random times."""
    return at_times(denoiser, partial(denoising_loss, weight=weight, metric=metric), times, label_dropout)


def at_times(
    denoiser: BaseDenoiser,
    draw: Callable[..., Tensor],
    times: Callable[..., Tensor],
    label_dropout: float,
    **noise: Callable[[Tensor, torch.Generator], Tensor],
) -> Loss:
    """The loss ``draw(denoiser, x, t, eps, cond=.., **noise)`` at random times drawn by ``times``."""

    def loss(rows: Tensor, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
        t = times(denoiser.schedule, len(rows), generator)
        eps = torch.randn(rows.shape, generator=generator, dtype=rows.dtype, device=rows.device)
        cond = None if labels is None else _partly_hidden(labels, label_dropout, generator)
        drawn = {name: make(rows, generator) for name, make in noise.items()}
        return draw(denoiser, rows, t, eps, cond=cond, **drawn)

    return loss


def _partly_hidden(labels: Tensor, dropout: float, generator: torch.Generator) -> Tensor:
    """The labels (B,), with a random fraction of them replaced by -1, which stands for no label."""
    chances = torch.rand(len(labels), generator=generator, dtype=torch.float32, device=labels.device)
    return torch.where(chances < dropout, -1, labels)
