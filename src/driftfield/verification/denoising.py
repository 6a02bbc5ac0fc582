r"""Checks of the denoiser on noised held-out rows, whose noise is known; they need no known distribution and no ODE.

Calibration. A posterior mean eps_hat = E[eps | x_t] satisfies E <eps, eps_hat> = E |eps_hat|^2 (the tower rule), so the
regression of the true noise on the estimated one has the slope

    b = E <eps, eps_hat> / E |eps_hat|^2 = 1                                      at every noise level.

A score with the wrong sign has a negative slope, a network that has memorised other rows has one below 1.

Clock. The squared error at noise level kappa is smallest if the network gets kappa itself as its input, as in training;
a network whose schedule was swapped does better with the input of another time u. The errors compared are those of the
raw output against its target a(t) x + b(t) eps, so that only the time given to the network changes, not how its output
is interpreted.
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
MOST_DOUBT = 0.35  # the most that four standard errors may add: tables of few rows have 0.8 +- 0.08
FACTORS = tuple(math.exp(x) for x in np.linspace(-1.8, 1.8, 19))  # on the noise level; 1 is among them
CLOCK_SLACK = 0.04  # relative to the error: 0 to 0.011 measured on trained models, 0.08 under a swapped schedule


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
    """How much smaller the error would be if the network got another noise level as its input."""
    denoiser = subject.model.denoiser
    if not isinstance(denoiser, Denoiser):
        raise DoesNotApply("there is no network with a noise level as an input")
    found = {level: _best_input(subject, denoiser, level) for level in subject.levels(LEVELS)}
    worst = max(found, key=lambda level: found[level][1])
    best, gain, _ = found[worst]
    note = (
        f"reduction of the squared error at noise {worst:.2g}, the largest of {len(found)} levels, by input {best:.2g}"
    )
    if gain == 0:
        note = f"at all {len(found)} noise levels the error is smallest if the network gets the true level as its input"
    details = {
        "input": next(name for name, label in LABELS.items() if label == denoiser.label),
        "best_input": {f"{level:.3g}": best for level, (best, _, _) in found.items()},
        "gain": {f"{level:.3g}": gain for level, (_, gain, _) in found.items()},
        "beside_linear": {f"{level:.3g}": ratio for level, (_, _, ratio) in found.items()},
    }
    return Finding(gain, high=CLOCK_SLACK, floor=0.0, note=note, details=details)


def _best_input(subject: Subject, denoiser: Denoiser, noise: float) -> tuple[float, float, float]:
    """The best level to give to the network at ``noise``, by which fraction it lowers the error, and what is left.

    The last is relative to the error of the best multiple of x_t: above 1 the network has learned nothing.
    """
    schedule, device = denoiser.schedule, subject.model.device
    y, eps = subject.noisy(noise, "clock")
    t = subject.time(noise)
    x_t, x, e = (torch.as_tensor(v, dtype=torch.float32, device=device) for v in (y, y - noise * eps, eps))
    x_t = match(schedule.alpha(t), x_t) * x_t
    a, b = denoiser.head(schedule, t)
    target = match(a, x) * x + match(b, e) * e
    inputs = sorted({round(subject.level(noise * factor), 12) for factor in FACTORS} | {noise})
    errors = [_squared_error(denoiser, x_t, t, subject.time(level), target) for level in inputs]
    best = int(np.argmin(errors))
    own = errors[inputs.index(noise)]
    factor = float((target * x_t).sum() / x_t.square().sum())
    linear = float((target - factor * x_t).double().square().mean())
    gain = 1 - errors[best] / own if own > 0 else 0.0
    return inputs[best], gain, errors[best] / linear if linear > 0 else math.inf


def _squared_error(denoiser: Denoiser, x_t: Tensor, t: Tensor, u: Tensor, target: Tensor) -> float:
    """The mean squared error of the output at x_t, with the label of time u in place of t; x_t is scaled for t."""
    times = torch.stack([t, u])
    scale = denoiser.schedule.scale(times) if denoiser.scale_input else torch.ones_like(times)
    with torch.no_grad():
        output = denoiser.output(match(scale[1] / scale[0], x_t) * x_t, u)
        one = torch.ones_like(output[:1])
        output = output * (denoiser.scaled(one, t) / denoiser.scaled(one, u))  # also the output is scaled for t
        return float((output - target).double().square().mean())
