r"""The times at which to train: functions (schedule, n, generator) -> t (n,), in float64.

Uniform times are uniform on [t_low, t_high]; on a chain they are i / T with i uniform in 1 .. T. Each stratified
(low-discrepancy) or antithetic time has the same distribution, but the estimate of the loss has a smaller variance
(Kingma et al. 2021, appendix I.1). Log-normal times draw log(sigma / alpha) ~ N(mean, std^2) (Karras et al. 2022, table
1), which spends the effort where there is something to learn; draws beyond the ends of the schedule are moved to them.
"""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from driftfield.diffusion.basics.schedules import Schedule
from driftfield.options import FROM_DATA, PositiveFloat


def uniform_draws(n: int, generator: torch.Generator) -> Tensor:
    """n independent numbers, uniform on [0, 1); (n,) float64."""
    return torch.rand(n, dtype=torch.float64, generator=generator, device=generator.device)


def stratified_draws(n: int, generator: torch.Generator, shuffled: bool = False) -> Tensor:
    """One number in each of n equal parts of [0, 1), in increasing order or shuffled; (n,) float64."""
    device = generator.device
    strata = torch.randperm(n, generator=generator, device=device) if shuffled else torch.arange(n, device=device)
    return (strata + uniform_draws(n, generator)) / n


def on_schedule(schedule: Schedule, u: Tensor) -> Tensor:
    """u in [0, 1) as times: ceil(u T) / T on a chain of T steps, else spread over [t_low, t_high]."""
    if schedule.T is not None:
        return torch.floor(u * schedule.T + 1).clamp(max=schedule.T) / schedule.T
    return schedule.t_low + (schedule.t_high - schedule.t_low) * u


def uniform(schedule: Schedule, n: int, generator: torch.Generator) -> Tensor:
    """Independent uniform times."""
    return on_schedule(schedule, uniform_draws(n, generator))


def stratified(schedule: Schedule, n: int, generator: torch.Generator) -> Tensor:
    """One uniform time in each of n equal strata."""
    return on_schedule(schedule, stratified_draws(n, generator))


def antithetic(schedule: Schedule, n: int, generator: torch.Generator) -> Tensor:
    """Pairs u and 1 - u: on a chain the steps i and T + 1 - i."""
    u = uniform_draws((n + 1) // 2, generator)
    return on_schedule(schedule, torch.cat([u, (1 - u).clamp(max=1 - 2**-53)])[:n])


def log_normal(
    schedule: Schedule,
    n: int,
    generator: torch.Generator,
    *,
    mean: Annotated[float, Field(description="of log(sigma / alpha)"), FROM_DATA] = -1.2,
    std: Annotated[PositiveFloat, Field(description="of log(sigma / alpha)"), FROM_DATA] = 1.8,
) -> Tensor:
    """Times at which log(sigma / alpha) ~ N(mean, std^2), stratified."""
    u = stratified_draws(n, generator).clamp(1e-9, 1 - 1e-9)
    t = schedule.time(2 * (mean + std * torch.special.ndtri(u)))
    return t if schedule.T is None else (t * schedule.T).round().clamp(1, schedule.T) / schedule.T


TIMES: dict[str, Callable[..., Tensor]] = {
    "uniform": uniform,
    "stratified": stratified,
    "antithetic": antithetic,
    "log-normal": log_normal,
}
