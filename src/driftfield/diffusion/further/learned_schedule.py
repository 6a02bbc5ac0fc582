r"""A learned schedule: gamma(t) is a monotone network, trained together with the denoiser.

The bound in continuous time depends on a schedule only through the ends of gamma; the path between them changes only
the variance of its estimate (Kingma et al. 2021, sec. 5.1). So the ends are fixed, and what is learned is the path
(appendix H there):

    gamma(t) = gamma_min + (gamma_max - gamma_min) (g(t) - g(t_0)) / (g(1) - g(t_0)),    t_0 = 1e-6,
    g(t)     = l_1(t) + l_3( sigmoid( l_2( l_1(t) ) ) ),

with linear layers l_1, l_2, l_3 of positive weights, so that g increases for all parameters. The schedule is variance
preserving: alpha^2 = sigmoid(-gamma), sigma^2 = sigmoid(gamma). Its objective is
:func:`driftfield.diffusion.further.continuous_bound.continuous_bound`.
"""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from driftfield.diffusion.basics.schedules import Schedule
from driftfield.errors import InputError
from driftfield.options import Positive

_START = 1e-6  # where gamma is gamma_min, also under a conversion, which may move t_low


class Learned(Schedule):
    """gamma(t) by a monotone network, exactly gamma_min at t = 1e-6 and gamma_max at t = 1 for all parameters.

    The free parameters, all float64, are the weights, before a softplus, and the biases of l_2; those of l_1 and l_3
    would have no effect. At first gamma is a straight line, to 0.1 % of its range, with the sigmoids spread evenly over
    time. As under other schedules, t = 0 is the data itself, sigma(0) = 0.

    Args:
        gamma_min, gamma_max: the ends; the defaults are sigma = 0.0025 at t = 1e-6, and at t = 1 a prior mismatch of
            1.2e-3 nats per dimension.
        hidden: units of l_2.

    Raises:
        InputError: the ends are not finite or not in order, or there are no hidden units.
    """

    t_low = _START

    def __init__(
        self,
        gamma_min: Annotated[float, Field(description="gamma at the data")] = -12.0,
        gamma_max: Annotated[float, Field(description="gamma at t = 1")] = 6.0,
        hidden: Annotated[Positive, Field(description="units of the hidden layer")] = 64,
    ) -> None:
        super().__init__()
        if not (math.isfinite(gamma_min) and math.isfinite(gamma_max) and gamma_min < gamma_max):
            raise InputError(
                f"A learned schedule needs finite gamma_min < gamma_max, got {gamma_min:g} and {gamma_max:g}."
            )
        if hidden < 1:
            raise InputError(f"A learned schedule needs at least 1 hidden unit, got {hidden}.")
        self.gamma_min, self.gamma_max = gamma_min, gamma_max
        centres = -_BEYOND + (1 + 2 * _BEYOND) * (torch.arange(hidden, dtype=torch.float64) + 0.5) / hidden  # (hidden,)
        self.slope = nn.Parameter(_inverse_softplus(torch.ones((), dtype=torch.float64)))
        self.steepness = nn.Parameter(_inverse_softplus(torch.full_like(centres, _STEEPNESS)))
        self.shift = nn.Parameter(-_STEEPNESS * centres)
        self.height = nn.Parameter(_inverse_softplus(torch.full_like(centres, _HEIGHT / hidden)))

    def gamma(self, t: Tensor) -> Tensor:
        t = t.double()
        rises = self._rise(torch.cat([t.new_tensor([_START, 1.0]), t.flatten()]))
        first, last = rises[0], rises[1]
        fraction = (rises[2:].view_as(t) - first) / (last - first)
        line = self.gamma_min * (1 - fraction) + self.gamma_max * fraction
        return torch.where(t > 0, line, -math.inf)

    def log_alpha(self, t: Tensor) -> Tensor:
        return 0.5 * logsigmoid(-self.gamma(t))

    def log_sigma(self, t: Tensor) -> Tensor:
        return 0.5 * logsigmoid(self.gamma(t))

    def time(self, gamma: Tensor) -> Tensor:
        """As for any schedule, the same shape as gamma; without gradients for the parameters."""
        with torch.no_grad():
            return super().time(gamma)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.slope.device

    def _rise(self, t: Tensor) -> Tensor:
        """g(t), without the biases, which cancel; same shape as t."""
        line = (softplus(self.slope) + _LEAST_SLOPE) * t
        hidden = torch.sigmoid(softplus(self.steepness) * line[..., None] + self.shift)  # (*t, hidden)
        return line + (softplus(self.height) * hidden).sum(-1)


_LEAST_SLOPE = 1e-3  # of l_1, so that g(1) > g(t_0) in floating point too for all parameters
_STEEPNESS = 20.0  # of each sigmoid at first: it rises within a tenth of the time
_BEYOND = 0.4  # the outermost sigmoids lie so far outside [0, 1] that the sum of all is straight inside
_HEIGHT = 8.0  # of all sigmoids together at first, against 1 for the line, so that training changes mostly them


def _inverse_softplus(y: Tensor) -> Tensor:
    return y + torch.log(-torch.expm1(-y))
