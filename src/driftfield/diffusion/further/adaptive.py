"""The probability-flow ODE to a tolerance: each row takes the steps that it needs.

In the angle phi = atan(sigma / alpha), in which z = x_t / sqrt(alpha^2 + sigma^2) has a velocity that is bounded at
both ends (see :func:`driftfield.diffusion.basics.single_step.rk4`), by Dormand and Prince's method with the error of
every row under control of its own (:mod:`driftfield.diffusion.further.ode`). A row's result does not depend on the
rows beside it.
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
    tolerance: Annotated[float, Field(gt=0, lt=1, description="error of a step that is allowed")] = 1e-4,
) -> Tensor:
    """From t to s with an error of about ``tolerance`` of each step; to s = 0 by way of t_low and Euler's step.

    The tolerance is absolute and relative, of z, whose size is that of data of unit variance.
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
