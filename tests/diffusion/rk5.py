"""A sampler of fifth order, which the package does not have: Butcher's method of six stages."""

from torch import Tensor

from driftfield.diffusion import BaseDenoiser, Memory
from driftfield.diffusion.basics.schedules import match
from driftfield.diffusion.basics.single_step import angle, angular_velocity, euler

# Hairer et al. 1993, II.5, table 5.2 (Kutta and Nystroem in Butcher's corrected form): nodes, rows and weights.
NODES = (0, 1 / 4, 1 / 4, 1 / 2, 3 / 4, 1)
ROWS = (
    (),
    (1 / 4,),
    (1 / 8, 1 / 8),
    (0, -1 / 2, 1),
    (3 / 16, 0, 0, 9 / 16),
    (-3 / 7, 2 / 7, 12 / 7, -12 / 7, 8 / 7),
)
WEIGHTS = (7 / 90, 0, 32 / 90, 12 / 90, 32 / 90, 7 / 90)


def rk5(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
    """As rk4, dz / dphi in the angle phi = atan(sigma / alpha); at s = 0 the estimate."""
    schedule = denoiser.schedule
    if s <= 0:
        return euler(denoiser, x_t, t, s, memory)
    z, phi = x_t / match(schedule.scale(t), x_t), angle(schedule, t)
    h = angle(schedule, s) - phi
    slopes: list[Tensor] = []
    for node, row in zip(NODES, ROWS, strict=True):
        at = z + match(h, z) * sum(weight * slope for weight, slope in zip(row, slopes, strict=True))
        slopes.append(angular_velocity(denoiser, at, phi + node * h, memory.cond))
    end = z + match(h, z) * sum(weight * slope for weight, slope in zip(WEIGHTS, slopes, strict=True))
    return match(schedule.scale(s), z) * end
