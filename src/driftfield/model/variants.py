"""Variants: the same model under another schedule or head, with the weights of an earlier step, or without rules."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from driftfield.codecs import TableCodec
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


def without_rules(model: Model) -> Model:
    """The same model of what is modelled in place of rows that rules hold in; a model without rules as it is."""
    codec = model.codec
    if not isinstance(codec, TableCodec) or codec.rules is None:
        return model
    train, held_out = (
        codec.inward(rows, np.ones(rows.shape, dtype=bool), lenient=True)[0] for rows in (model.train, model.held_out)
    )
    return replace(model, codec=codec.core, train=train, held_out=held_out)


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
