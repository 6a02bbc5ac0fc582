"""Callbacks: what a training reports to its caller, and how the caller stops it."""

import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from driftfield.training.checkpoint import Progress


@dataclass(frozen=True)
class Report:
    """What ``observe`` receives a few times a second."""

    step: int
    steps: int
    loss: float
    validation: float | None
    rows_per_second: float
    seconds_left: float


def _warn(text: str) -> None:
    """A Python warning at the line outside of this package that led to it."""
    frame, level = sys._getframe(), 1
    own = (f"{__name__.split('.')[0]}.", "torch.utils._contextlib")  # the latter is a decorator of functions here
    while frame.f_back is not None and frame.f_globals["__name__"].startswith(own):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, stacklevel=level)


@dataclass(frozen=True, kw_only=True)
class Callbacks:
    """Functions of the caller; all optional.

    Args:
        observe: called a few times a second with a :class:`Report`.
        interrupted: called after each step; True means save and stop.
        message: called with warnings, one sentence each; by default they are Python warnings.
    """

    observe: Callable[[Report], None] | None = None
    interrupted: Callable[[], bool] = lambda: False
    message: Callable[[str], None] = _warn


def report(progress: Progress, loss: float | None, steps: int, batch: int, seconds: float | None) -> Report:
    """The report on a training of at most ``steps`` steps of ``batch`` rows, or of so many seconds.

    ``loss`` is that of the last step, None where it was recorded already.
    """
    per_step = progress.seconds / max(progress.step, 1)
    left = per_step * (steps - progress.step)
    if seconds is not None:
        left = min(left, seconds - progress.seconds)
    recent = progress.history[-1] if progress.history else {}
    return Report(
        step=progress.step,
        steps=min(steps, progress.step + round(left / max(per_step, 1e-9))),
        loss=recent.get("loss", math.nan) if loss is None else loss,
        validation=next((r["validation"] for r in reversed(progress.history) if "validation" in r), None),
        rows_per_second=batch / max(per_step, 1e-9),
        seconds_left=left,
    )
