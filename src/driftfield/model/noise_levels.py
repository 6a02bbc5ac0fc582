"""Noise levels: a time, or a level sigma / alpha in standard deviations of the data, as a time of the schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from driftfield.errors import InputError

if TYPE_CHECKING:
    from driftfield.model.model import Model

ROUNDING = 1e-3  # relative, of a noise level at an end of the model's range


def find_time(model: Model, t: float | None, noise: float | None) -> Tensor | None:
    """The nearest time () at which the network may be evaluated, of a time or a noise level; None for neither.

    Raises:
        InputError: both are given, or one that is out of range.
    """
    schedule = model.denoiser.schedule
    if t is not None and noise is not None:
        raise InputError("Give a time t or a noise level, not both.")
    if noise is not None:
        if not noise > 0:
            raise InputError(f"The noise level must be positive, got {noise:g}.")
        return schedule.clamp(schedule.time(2 * torch.log(_scalar(model, noise))))
    if t is None:
        return None
    if not 0 <= t <= 1:
        raise InputError(f"The time must lie between 0 and 1, got {t:g}.")
    return schedule.clamp(_scalar(model, t))


def check_in_range(model: Model, noise: float | None) -> None:
    """Refuse a noise level beyond those of the schedule, whose density would be that of another level."""
    schedule = model.denoiser.schedule
    low, high = (float(schedule.kappa(_scalar(model, end))) for end in (schedule.t_low, schedule.t_high))
    if noise is not None and not low * (1 - ROUNDING) <= noise <= high * (1 + ROUNDING):
        raise InputError(
            f"The model covers noise levels from {low:.3g} to {high:.3g} standard deviations of the data, got "
            f"{noise:g}: choose one in this range."
        )


def _scalar(model: Model, value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64, device=model.device)
