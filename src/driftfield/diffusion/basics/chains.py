r"""Chains: discrete forward processes, given by a table of betas.

A chain of T steps adds noise by  q(x_i | x_{i-1}) = N(sqrt(1 - beta_i) x_{i-1}, beta_i I)  (Ho et al. 2020, eq. 2).
Here it is a schedule like any other, with t = i / T: the betas determine log alpha at these times, exactly and in
float64, and gamma is interpolated between them. Afterwards no beta is read again. The alpha_bar of the papers is
alpha^2 here.

References: Ho et al. 2020, https://arxiv.org/abs/2006.11239; Nichol, Dhariwal 2021, https://arxiv.org/abs/2102.09672.
"""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from driftfield.diffusion.basics.schedules import Schedule
from driftfield.errors import InputError
from driftfield.options import Positive, PositiveFloat

Steps = Annotated[Positive, Field(description="number of steps")]
First = Annotated[PositiveFloat, Field(description="beta of the first step")]
Last = Annotated[PositiveFloat, Field(description="beta of the last step")]


class Chain(Schedule):
    """A discrete variance-preserving chain from a table of T betas (Ho et al. 2020, eq. 4).

    alpha(i / T)^2 = prod_{j <= i} (1 - beta_j) and sigma^2 = 1 - alpha^2. Between these times gamma is interpolated
    linearly; before the first, sigma^2 grows linearly from 0, as under a constant beta.

    Args:
        betas: (T,) values in (0, 1).

    Raises:
        InputError: no betas, or one outside (0, 1).
    """

    gammas: Tensor

    def __init__(self, betas: Tensor) -> None:
        super().__init__()
        betas = torch.as_tensor(betas, dtype=torch.float64)
        if betas.ndim != 1 or len(betas) < 1:
            raise InputError(f"A chain needs a list of at least one beta, got the shape {tuple(betas.shape)}.")
        bad = ~((betas > 0) & (betas < 1))
        if bad.any():
            i = int(bad.nonzero()[0])
            raise InputError(
                f"Every beta must lie strictly between 0 and 1, but beta at step {i + 1} of {len(betas)} is "
                f"{float(betas[i]):g}: change beta_start and beta_end, or T."
            )
        log_alpha_2 = torch.log1p(-betas).cumsum(0)  # (T,)
        self.register_buffer("gammas", torch.log(-torch.expm1(log_alpha_2)) - log_alpha_2)  # (T,)
        self.T = len(betas)
        self.t_low = 1 / self.T

    def gamma(self, t: Tensor) -> Tensor:
        steps = len(self.gammas)
        position = t.double() * steps
        cell = (position.ceil() - 1).clamp(1, steps - 1)  # the step to its left, counted from 1; 0 in a chain of one
        left, right = torch.take(self.gammas, cell.long() - 1), torch.take(self.gammas, cell.long())
        between = left + (right - left) * (position - cell)
        first = torch.logit(torch.sigmoid(self.gammas[0]) * position.clamp(max=1))
        return torch.where(position > 1, between, first)

    def log_alpha(self, t: Tensor) -> Tensor:
        return 0.5 * nn.functional.logsigmoid(-self.gamma(t))

    def log_sigma(self, t: Tensor) -> Tensor:
        return 0.5 * nn.functional.logsigmoid(self.gamma(t))

    def time(self, gamma: Tensor) -> Tensor:
        """As for any schedule, the same shape as gamma; by inverting the line of its cell, in the first sigma^2 ~ t."""
        gamma, steps = gamma.double(), len(self.gammas)
        cell = torch.searchsorted(self.gammas, gamma).clamp(1, max(steps - 1, 1))  # the step to its left
        left, right = self.gammas[cell - 1], self.gammas[cell.clamp(max=steps - 1)]
        between = cell + (gamma - left) / (right - left)
        first = torch.sigmoid(gamma) / torch.sigmoid(self.gammas[0])
        position = torch.where(gamma <= self.gammas[0], first, between)
        return (position / steps).clamp(self.t_low, self.t_high)


def _steps(T: int) -> int:
    if T < 1:
        raise InputError(f"A chain needs at least 1 step, but T is {T}.")
    return T


def constant(T: Steps = 50, beta: Annotated[PositiveFloat, Field(description="beta of every step")] = 0.117) -> Chain:
    """beta_i = beta. With the defaults the prior mismatch is 1e-3 nats per dimension."""
    return Chain(torch.full((_steps(T),), beta, dtype=torch.float64))


def linear(T: Steps = 200, beta_start: First = 1e-4, beta_end: Last = 0.1) -> Chain:
    """beta_i equally spaced from beta_start to beta_end (Ho et al. 2020)."""
    return Chain(torch.linspace(beta_start, beta_end, _steps(T), dtype=torch.float64))


def quadratic(T: Steps = 200, beta_start: First = 1e-4, beta_end: Last = 0.1) -> Chain:
    """sqrt(beta_i) equally spaced from sqrt(beta_start) to sqrt(beta_end)."""
    if min(beta_start, beta_end) < 0:
        raise InputError(f"The betas must be positive, got beta_start = {beta_start:g} and beta_end = {beta_end:g}.")
    return Chain(torch.linspace(beta_start**0.5, beta_end**0.5, _steps(T), dtype=torch.float64) ** 2)


def sigmoid(T: Steps = 200, beta_start: First = 1e-4, beta_end: Last = 0.1) -> Chain:
    """beta_i = beta_start + (beta_end - beta_start) sigmoid(u_i), with u_i equally spaced from -6 to 6."""
    u = torch.linspace(-6, 6, _steps(T), dtype=torch.float64)
    return Chain(beta_start + (beta_end - beta_start) * torch.sigmoid(u))


def cosine_chain(
    T: Steps = 200,
    s: Annotated[PositiveFloat, Field(description="offset, which keeps the first betas from being tiny")] = 0.008,
    beta_min: Annotated[float, Field(ge=0, description="betas are clipped from below")] = 0.0,
    beta_max: Annotated[PositiveFloat, Field(description="betas are clipped from above")] = 0.999,
) -> Chain:
    """Cosine chain (Nichol, Dhariwal 2021, eq. 17): alpha_bar(u) = cos^2((u + offset) / (1 + offset) pi / 2).

    beta_i = 1 - alpha_bar(i / T) / alpha_bar((i - 1) / T), clipped to [beta_min, beta_max] as in the paper.
    """
    u = torch.arange(_steps(T) + 1, dtype=torch.float64) / T
    alpha_bar = torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2  # (T + 1,)
    return Chain((1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(beta_min, beta_max))
