r"""Grids: the decreasing times 1 = t_0 > t_1 > .. > t_n = 0 that a sampler visits; functions (schedule, n) -> (n + 1,).

    "uniform"    t_i = 1 - i / n
    "trailing"   the same, rounded to the steps of a chain (Lin et al. 2024, table 2)
    "quadratic"  t_i = (1 - i / n)^2, denser near the data (Song et al. 2021 (DDIM), appendix D.2)
    "log-snr"    gamma equally spaced between its ends (Lu et al. 2022 (DPM-Solver)), then t = 0
    "karras"     (sigma / alpha)^(1 / rho) equally spaced, rho = 7 (Karras et al. 2022, eq. 5), then t = 0

All are float64 and end at t = 0, the data itself.
"""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from driftfield.diffusion.basics.schedules import Schedule
from driftfield.errors import InputError
from driftfield.options import PositiveFloat

Grid = Callable[[Schedule, int], Tensor]


def _count(n: int) -> int:
    if n < 1:
        raise InputError(f"A sampler needs at least 1 step, got {n}.")
    return n


def uniform(schedule: Schedule, n: int) -> Tensor:
    """t_i = 1 - i / n."""
    return torch.linspace(1, 0, _count(n) + 1, dtype=torch.float64)


def trailing(schedule: Schedule, n: int) -> Tensor:
    """t_i = round(T (1 - i / n)) / T on a chain of T steps; uniform in continuous time.

    Raises:
        InputError: more steps than the chain has.
    """
    times = uniform(schedule, n)
    if schedule.T is None:
        return times
    if n > schedule.T:
        raise InputError(f"The trailing grid cannot take {n} steps on a chain of {schedule.T}: choose fewer steps.")
    return (times * schedule.T).round() / schedule.T


def quadratic(schedule: Schedule, n: int) -> Tensor:
    """t_i = (1 - i / n)^2."""
    return uniform(schedule, n) ** 2


def _from_gammas(schedule: Schedule, gammas: Tensor) -> Tensor:
    times = schedule.time(gammas)
    times[0] = 1.0
    return torch.cat([times, times.new_zeros(1)])


def _ramp(schedule: Schedule, n: int) -> Tensor:
    return torch.linspace(0, 1, _count(n), dtype=torch.float64, device=schedule.device)


def log_snr(schedule: Schedule, n: int) -> Tensor:
    """n times with equally spaced gamma, from t = 1 to t_low, and t = 0."""
    low, high = schedule.gamma_ends()
    return _from_gammas(schedule, high + _ramp(schedule, n) * (low - high))


def karras(
    schedule: Schedule,
    n: int,
    *,
    rho: Annotated[PositiveFloat, Field(description="how dense the steps are at small noise")] = 7.0,
) -> Tensor:
    """n times with equally spaced (sigma / alpha)^(1 / rho), from t = 1 to t_low, and t = 0."""
    low, high = (schedule.gamma_ends() / (2 * rho)).exp()
    return _from_gammas(schedule, 2 * rho * torch.log(high + _ramp(schedule, n) * (low - high)))


GRIDS: dict[str, Grid] = {
    "uniform": uniform,
    "trailing": trailing,
    "quadratic": quadratic,
    "log-snr": log_snr,
    "karras": karras,
}
