r"""Checks of the denoiser on noised held-out rows, where the noise is known: no distribution and no ODE is needed.

Calibration. A posterior mean eps_hat = E[eps | x_t] satisfies E <eps, eps_hat> = E |eps_hat|^2 (the tower rule), so the
regression of the true noise on the estimated one has the slope

    b = E <eps, eps_hat> / E |eps_hat|^2 = 1                                      at every noise level.

A score with the wrong sign has a negative slope, a network that learned other rows by heart one below 1.

Clock. The squared error of the estimate at noise level k is least when the network is told k itself, if k is what it
was trained to be told; a network whose schedule was swapped sees better at another time u. What is compared is the
error of the network's own output against its target a(t) x + b(t) eps, so that only what the network is *told*
changes, not how its answer is read.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from driftfield.diffusion import Denoiser
from driftfield.diffusion.basics.denoisers import LABELS
from driftfield.diffusion.basics.schedules import match
from driftfield.verification.check import DoesNotApply, Finding
from driftfield.verification.subject import Subject

LEVELS = (0.1, 0.2, 0.5, 1.0, 2.0)  # standard deviations
SLOPE_SLACK = 0.1  # 0.94 to 1.01 on default models of the plane; 0.6 with memorised rows, -1 with a wrong sign
MOST_DOUBT = 0.35  # that four standard errors may add: tables of few rows have 0.8 +- 0.08
TOLD = tuple(math.exp(x) for x in np.linspace(-1.8, 1.8, 19))  # factors on the noise level: 1 is among them
CLOCK_SLACK = 0.04  # a share of the error: 0 to 0.011 measured on trained models, 0.08 under a swapped schedule


def calibration(subject: Subject) -> Finding:
    """The slope of the true noise on the estimated noise; the level where it is farthest from 1."""
    if subject.is_kernel:
        raise DoesNotApply("a learned kernel has no denoiser of its own")
    found = {level: _slope(subject, level) for level in subject.levels(LEVELS)}
    worst = max(found, key=lambda level: abs(found[level][0] - 1) - 4 * found[level][1])
    slope, error = found[worst]
    slack = SLOPE_SLACK + min(4 * error, MOST_DOUBT)
    note = f"slope of true on estimated noise, at the worst of {len(found)} noise levels, {worst:.2g}"
    details = {"by_noise": {f"{level:.3g}": value for level, (value, _) in found.items()}}
    return Finding(slope, 1 - slack, 1 + slack, error, 1.0, note=note, details=details)


def _slope(subject: Subject, noise: float) -> tuple[float, float]:
    """b, and its standard error over rows."""
    y, eps = subject.noisy(noise, "calibration")
    found = subject.eps_hat(y, noise)
    top, bottom = (eps * found).sum(1), (found**2).sum(1)  # (n,)
    slope = float(top.sum() / bottom.sum())
    error = float(np.sqrt(np.sum((top - slope * bottom) ** 2)) / bottom.sum())
    return slope, error


def clock(subject: Subject) -> Finding:
    """How much better the network would see, were it told another noise level."""
    denoiser = subject.model.denoiser
    if not isinstance(denoiser, Denoiser):
        raise DoesNotApply("there is no network that is told a noise level")
    found = {level: _best_told(subject, denoiser, level) for level in subject.levels(LEVELS)}
    worst = max(found, key=lambda level: found[level][1])
    told, gain, _ = found[worst]
    note = f"gain in squared error at noise {worst:.2g}, the largest of {len(found)} levels, by telling it {told:.2g}"
    if gain == 0:
        note = f"at all {len(found)} noise levels the network sees best when it is told the level that it meets"
    details = {
        "told": next(name for name, label in LABELS.items() if label == denoiser.label),
        "best_told": {f"{level:.3g}": best for level, (best, _, _) in found.items()},
        "gain": {f"{level:.3g}": share for level, (_, share, _) in found.items()},
        "beside_linear": {f"{level:.3g}": ratio for level, (_, _, ratio) in found.items()},
    }
    return Finding(gain, high=CLOCK_SLACK, floor=0.0, note=note, details=details)


def _best_told(subject: Subject, denoiser: Denoiser, noise: float) -> tuple[float, float, float]:
    """The noise level that the network had best be told at ``noise``, by which share that lowers its error, and how
    large its error is then beside that of the best multiple of x_t: above 1, it has learned nothing at any level.
    """
    schedule, device = denoiser.schedule, subject.model.device
    y, eps = subject.noisy(noise, "clock")
    t = subject.time(noise)
    x_t, x, e = (torch.as_tensor(v, dtype=torch.float32, device=device) for v in (y, y - noise * eps, eps))
    x_t = match(schedule.alpha(t), x_t) * x_t
    a, b = denoiser.head(schedule, t)
    target = match(a, x) * x + match(b, e) * e
    told = sorted({round(subject.level(noise * factor), 12) for factor in TOLD} | {noise})
    errors = [_squared_error(denoiser, x_t, t, subject.time(level), target) for level in told]
    best = int(np.argmin(errors))
    own = errors[told.index(noise)]
    factor = float((target * x_t).sum() / x_t.square().sum())
    linear = float((target - factor * x_t).double().square().mean())
    gain = 1 - errors[best] / own if own > 0 else 0.0
    return told[best], gain, errors[best] / linear if linear > 0 else math.inf


def _squared_error(denoiser: Denoiser, x_t: Tensor, t: Tensor, u: Tensor, target: Tensor) -> float:
    """Of the network's output at x_t, if it is told u in place of t; its input stays as it is, scaled for t."""
    times = torch.stack([t, u])
    scale = denoiser.schedule.scale(times) if denoiser.scale_input else torch.ones_like(times)
    with torch.no_grad():
        output = denoiser.output(match(scale[1] / scale[0], x_t) * x_t, u)
        return float((output - target).double().square().mean())
