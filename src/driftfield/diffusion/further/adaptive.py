"""An adaptive solver of the probability-flow ODE: each row takes the steps that it needs for a tolerance.

The variable is the angle phi = atan(sigma / alpha), in which z = x_t / sqrt(alpha^2 + sigma^2) has a velocity that is
bounded at both ends (see :func:`driftfield.diffusion.basics.single_step.rk4`); the method is that of Dormand and Prince
with error control for each row (:mod:`driftfield.diffusion.further.ode`). No row depends on the others of its batch.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from driftfield.diffusion.basics.denoisers import BaseDenoiser
from driftfield.diffusion.basics.loop import Memory
from driftfield.diffusion.basics.schedules import match
from driftfield.diffusion.basics.single_step import angle, angular_velocity, euler
from driftfield.diffusion.further.ode import integrate


def rk45(
    denoiser: BaseDenoiser,
    x_t: Tensor,
    t: Tensor,
    s: Tensor,
    memory: Memory,
    *,
    tolerance: Annotated[float, Field(gt=0, lt=1, description="allowed error of a step")] = 1e-4,
) -> Tensor:
    """From t to s with an error of about ``tolerance`` in each step; s = 0 is reached from t_low by Euler's step.

    The tolerance is both absolute and relative, and applies to z, which is of order one for data of unit variance.
    """
    schedule = denoiser.schedule
    low = s.clamp(min=schedule.t_low)
    if t > low:

        def slope(z: Tensor, phi: Tensor, rows: Tensor) -> Tensor:
            cond = memory.cond
            own = cond[rows] if cond is not None and len(cond) == len(x_t) else cond
            return angular_velocity(denoiser, z, phi, own)

        z = x_t / match(schedule.scale(t), x_t)
        z = integrate(slope, z, angle(schedule, t), angle(schedule, low), tolerance, tolerance).y
        x_t = match(schedule.scale(low), z) * z
    return euler(denoiser, x_t, torch.minimum(t, low), s, memory) if s < low else x_t
