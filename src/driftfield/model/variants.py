"""Variants: the same model under another schedule or head, or with the weights of an earlier step."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

from driftfield.diffusion import SCHEDULES, LearnedKernel, ReparametrisedDenoiser, RescheduledDenoiser, Schedule
from driftfield.diffusion.basics.heads import Head
from driftfield.errors import InputError, unknown_name

if TYPE_CHECKING:
    from driftfield.model.model import Model


def converted(model: Model, schedule: str | Schedule | None, head: str | Head | None) -> Model:
    """The same model under another schedule, or head; see :meth:`Model.converted`."""
    if isinstance(model.denoiser, LearnedKernel):
        raise InputError(
            "A learned kernel is defined only on the steps of its own chain, so it cannot be converted: use a model "
            "with a denoiser."
        )
    denoiser = model.denoiser
    if isinstance(schedule, str):
        if schedule not in SCHEDULES:
            raise unknown_name("schedule", schedule, SCHEDULES)
        schedule = SCHEDULES[schedule]()
    if schedule is not None:
        denoiser = RescheduledDenoiser(denoiser, schedule.to(model.device))
    if head is not None:
        denoiser = ReparametrisedDenoiser(denoiser, head)
    return replace(model, denoiser=denoiser, snapshots={})


def at(model: Model, step: int) -> Model:
    """The model as it was after a training step; see :meth:`Model.at`."""
    if step not in model.snapshots:
        known = ", ".join(str(kept) for kept in sorted(model.snapshots)) or "none"
        raise InputError(
            f"The weights of step {step} were not kept (kept: {known}): name the steps to keep in train.snapshots."
        )
    denoiser = deepcopy(model.denoiser)
    denoiser.load_state_dict(model.snapshots[step], strict=False)  # buffers are not learned, so not kept
    return replace(model, denoiser=denoiser, snapshots={})
