r"""Noise schedules: how fast the signal fades and the noise grows.

Every forward process here is one formula (Kingma et al. 2021, eq. 1),

    x_t = alpha(t) x + sigma(t) eps,      eps ~ N(0, I),      t in [0, 1],

with data at t = 0, where sigma = 0, and noise at t = 1. A schedule is the two functions log alpha and log sigma;
everything else is derived from them once, in :class:`Schedule`:

    gamma(t) = 2 (log sigma - log alpha)              minus the log signal-to-noise ratio
    f(t)     = d log alpha / dt                        drift of the equivalent SDE  dx = f x dt + g dw
    g(t)^2   = sigma^2 d gamma / dt                    its diffusion (VP, VE and sub-VP alike)

A discrete DDPM chain (Ho et al. 2020) is a table of betas: see :mod:`driftfield.diffusion.basics.chains`.

All coefficients are float64. The end points are handled here and nowhere else: ``t_low`` and ``t_high`` bound the
times at which a network is asked, so that its conditioning stays finite where sigma = 0 or alpha = 0.

References (docs/references.md has them all):
    Song et al. 2021 (SDE), https://arxiv.org/abs/2011.13456 (VP, VE, sub-VP: eq. 9 to 12 and appendices B, C)
    Kingma et al. 2021, https://arxiv.org/abs/2107.00630 (gamma)
    Nichol, Dhariwal 2021, https://arxiv.org/abs/2102.09672 (cosine)
    Liu et al. 2023, https://arxiv.org/abs/2209.03003 (rectified flow)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from driftfield.errors import InputError
from driftfield.options import FROM_DATA, PositiveFloat

PRIOR_TOLERANCE = 0.01  # nats per dimension: beyond it the chain visibly does not end in its prior


@dataclass(frozen=True)
class PriorMismatch:
    """How far x_1 is from the prior that sampling starts with, in nats per dimension.

    ``bound`` is the variational bound's term L_T = E_x KL(q(x_1 | x) || prior). ``marginal`` is the mismatch of the
    marginal itself, KL(q(x_1) || prior), for a Gaussian marginal of the same second moment. ``signal`` is alpha(1)^2.
    """

    bound: float
    marginal: float
    signal: float

    @property
    def warning(self) -> str | None:
        """One sentence when L_T exceeds 0.01 nats per dimension, else None."""
        if self.bound <= PRIOR_TOLERANCE:
            return None
        return (
            f"The forward process does not reach its prior: {self.bound:.3g} nats per dimension are left (a signal "
            f"variance of {self.signal:.2g}), which no network can repair; use more steps or larger betas."
        )


class Schedule(nn.Module):
    """A noise schedule; subclasses give ``log_alpha(t)`` and ``log_sigma(t)`` for t of any shape, in float64.

    Attributes:
        t_low, t_high: the first and last time at which a network is evaluated.
        prior_std: standard deviation of the standard prior N(0, prior_std^2 I) that stands for x_1.
        T: number of steps of a discrete chain, or None in continuous time.
    """

    t_low: float = 0.0
    t_high: float = 1.0
    prior_std: float = 1.0
    T: int | None = None

    def log_alpha(self, t: Tensor) -> Tensor:
        """log alpha(t); same shape as t."""
        raise NotImplementedError

    def log_sigma(self, t: Tensor) -> Tensor:
        """log sigma(t); same shape as t; -inf at t = 0."""
        raise NotImplementedError

    def alpha(self, t: Tensor) -> Tensor:
        """alpha(t) = exp(log alpha)."""
        return self.log_alpha(t).exp()

    def sigma(self, t: Tensor) -> Tensor:
        """sigma(t) = exp(log sigma)."""
        return self.log_sigma(t).exp()

    def gamma(self, t: Tensor) -> Tensor:
        """gamma(t) = 2 (log sigma - log alpha), minus the log signal-to-noise ratio; increasing in t."""
        return 2 * (self.log_sigma(t) - self.log_alpha(t))

    def kappa(self, t: Tensor) -> Tensor:
        """sigma(t) / alpha(t): the noise level in units of the data."""
        return (self.gamma(t) / 2).exp()

    def scale(self, t: Tensor, std: float = 1.0) -> Tensor:
        """sqrt(std^2 alpha^2 + sigma^2): the standard deviation of x_t for data of standard deviation std; as t."""
        return torch.hypot(std * self.alpha(t), self.sigma(t))

    def clamp(self, t: Tensor) -> Tensor:
        """The nearest time at which a network may be asked: t cut to [t_low, t_high], in float64."""
        return t.double().clamp(self.t_low, self.t_high)

    def clamp_state(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, t) at the nearest time at which a network may be asked; x_t (B, *D), t () or (B,).

        Beyond t_high x_t is all but noise, so it goes back with the noise, as x_t sigma(t_high) / sigma(t): a network
        asked at t_high expects noise of that size.
        """
        asked = self.clamp(t)
        if self.t_high < 1:
            shrink = torch.where(t.double() > self.t_high, self.sigma(asked) / self.sigma(t.double()), 1.0)
            x_t = match(shrink, x_t) * x_t
        return x_t, asked

    def derivatives(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(d alpha / dt, d sigma / dt) for t in [t_low, t_high], by automatic differentiation."""
        return self._derivative(self.alpha, t), self._derivative(self.sigma, t)

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(f, g^2) with f = d log alpha / dt and g^2 = sigma^2 d gamma / dt, for t in [t_low, t_high].

        Source: Kingma et al. 2021, eq. 12.
        """
        return self._derivative(self.log_alpha, t), self.sigma(t) ** 2 * self.gamma_rate(t)

    def gamma_rate(self, t: Tensor) -> Tensor:
        """d gamma / dt for t in [t_low, t_high]; same shape as t."""
        return self._derivative(self.gamma, t)

    @torch.no_grad()
    def gamma_ends(self) -> Tensor:
        """(gamma(t_low), gamma(t_high)); (2,) float64."""
        return self.gamma(torch.tensor([self.t_low, self.t_high], dtype=torch.float64, device=self.device))

    def time(self, gamma: Tensor) -> Tensor:
        """The t in [t_low, t_high] with gamma(t) = gamma, by bisection to float64 precision; ends are clamped."""
        gamma = gamma.double()
        low = torch.full_like(gamma, self.t_low)
        high = torch.full_like(gamma, self.t_high)
        for _ in range(60):
            middle = (low + high) / 2
            below = self.gamma(middle) < gamma
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2

    def perturb(self, x: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """x_t = alpha(t) x + sigma(t) eps; x and eps (B, *D), t () or (B,)."""
        t = t.double()
        return match(self.alpha(t), x) * x + match(self.sigma(t), x) * eps

    @torch.no_grad()
    def prior_kl(self, m2: float = 1.0, prior_variance: float | None = None) -> PriorMismatch:
        """Prior mismatch for data of second moment m2 per dimension (of variance m2 about a matched prior's mean).

        With p^2 the prior's variance (prior_std^2 unless given) and v = alpha^2 m2 + sigma^2 at t = 1:
        L_T = 1/2 (v / p^2 - 1 - ln(sigma^2 / p^2)),  marginal = 1/2 (v / p^2 - 1 - ln(v / p^2)).
        """
        one = torch.ones((), dtype=torch.float64, device=self.device)
        signal, noise = float(self.alpha(one)) ** 2, float(self.sigma(one)) ** 2
        p2 = self.prior_std**2 if prior_variance is None else prior_variance
        v = signal * m2 + noise
        bound = 0.5 * (v / p2 - 1 - math.log(noise / p2))
        return PriorMismatch(max(bound, 0.0), max(0.5 * (v / p2 - 1 - math.log(v / p2)), 0.0), signal)

    def _derivative(self, function: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
        """d function / dt, with a graph where the schedule has parameters to train.

        By a backward pass: on the few numbers of t it takes a tenth of the time of a forward-mode tangent.
        """
        learning = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in self.parameters())
        with torch.enable_grad():
            t = t.detach().double().requires_grad_()
            value = function(t) + 0 * t  # which depends on t even for alpha = 1
            # Times do not meet, so the gradient of a sum holds the derivative at each.
            (derivative,) = torch.autograd.grad(value.sum(), t, create_graph=learning)
        return derivative

    @property
    def device(self) -> torch.device:
        """Where the tables are, or the CPU for a schedule that has none."""
        return next(iter(self.buffers()), torch.empty(0)).device


def match(coefficient: Tensor, x: Tensor) -> Tensor:
    """A coefficient of shape () or (B,) as a factor for x (B, *D), in x's dtype: the one place that broadcasts."""
    coefficient = coefficient.to(x)
    return coefficient if coefficient.ndim == 0 else coefficient.reshape(-1, *[1] * (x.ndim - 1))  # (B, 1, ..)


def _interval(name: str, low: float, high: float, equal: bool = True) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and 0 < low <= high and (equal or low < high)):
        bounds = f"0 < low {'<=' if equal else '<'} high"
        raise InputError(f"The {name} must satisfy {bounds}, but they are {low:g} and {high:g}: change the schedule.")


class VP(Schedule):
    """Variance-preserving SDE with linear beta(t) (Song et al. 2021 (SDE), eq. 11 and appendix C).

    log alpha = -1/2 (beta_min t + (beta_max - beta_min) t^2 / 2),   sigma^2 = 1 - alpha^2.
    """

    t_low = 1e-5

    def __init__(
        self,
        beta_min: Annotated[PositiveFloat, Field(description="beta(0)")] = 0.1,
        beta_max: Annotated[PositiveFloat, Field(description="beta(1)")] = 20.0,
    ) -> None:
        super().__init__()
        _interval("betas of the VP schedule", beta_min, beta_max)
        self.beta_min, self.beta_max = beta_min, beta_max

    def log_alpha(self, t: Tensor) -> Tensor:
        return -0.5 * (self.beta_min * t + 0.5 * (self.beta_max - self.beta_min) * t**2)

    def log_sigma(self, t: Tensor) -> Tensor:
        return 0.5 * torch.log(-torch.expm1(2 * self.log_alpha(t)))

    def time(self, gamma: Tensor) -> Tensor:
        """With B = -2 log alpha, the integral of beta: B = ln(1 + e^gamma)."""
        return self._time_of_integral(-nn.functional.logsigmoid(-gamma.double()))

    def _time_of_integral(self, B: Tensor) -> Tensor:
        """The root t of (beta_max - beta_min) t^2 / 2 + beta_min t = B, without cancellation at small B."""
        rise = self.beta_max - self.beta_min
        B = B.clamp(max=self.beta_min + rise)  # beyond t = 1 at any rate, and finite
        t = 2 * B / (self.beta_min + torch.sqrt(self.beta_min**2 + 2 * rise * B))
        return t.clamp(self.t_low, self.t_high)


class SubVP(VP):
    """Sub-VP SDE (Song et al. 2021 (SDE), eq. 12): alpha as in VP, sigma = 1 - alpha^2.

    Mind that 1 - alpha^2 is the standard deviation here, not the variance.
    """

    def log_sigma(self, t: Tensor) -> Tensor:
        return torch.log(-torch.expm1(2 * self.log_alpha(t)))

    def time(self, gamma: Tensor) -> Tensor:
        """With B = -2 log alpha: sigma / alpha = 2 sinh(B / 2)."""
        return self._time_of_integral(2 * torch.asinh(torch.exp(gamma.double() / 2) / 2))


class VE(Schedule):
    """Variance-exploding SDE (Song et al. 2021 (SDE), eq. 9).

    alpha = 1, and log sigma is linear in t from sigma_min to sigma_max. sigma(0) = 0: t = 0 is the data itself, so
    sampling ends at the denoised point and leaves no noise behind.
    """

    t_low = 1e-6

    def __init__(
        self,
        sigma_min: Annotated[PositiveFloat, Field(description="the smallest noise level"), FROM_DATA] = 0.002,
        sigma_max: Annotated[PositiveFloat, Field(description="the largest noise level"), FROM_DATA] = 80.0,
    ) -> None:
        super().__init__()
        _interval("sigmas of the VE schedule", sigma_min, sigma_max, equal=False)
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        self.prior_std = sigma_max

    def log_alpha(self, t: Tensor) -> Tensor:
        return torch.zeros_like(t)

    def log_sigma(self, t: Tensor) -> Tensor:
        line = math.log(self.sigma_min) + math.log(self.sigma_max / self.sigma_min) * t
        return torch.where(t > 0, line, -math.inf)

    def time(self, gamma: Tensor) -> Tensor:
        t = (gamma.double() / 2 - math.log(self.sigma_min)) / math.log(self.sigma_max / self.sigma_min)
        return t.clamp(self.t_low, self.t_high)


class Cosine(Schedule):
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2) (Nichol, Dhariwal 2021, without offset; Salimans, Ho 2022)."""

    t_low = 1e-5
    t_high = 1 - 6e-4  # alpha = 1e-3: beyond, eps says nothing about x

    def log_alpha(self, t: Tensor) -> Tensor:
        return torch.where(t < 1, torch.log(torch.sin(math.pi / 2 * (1 - t))), -math.inf)

    def log_sigma(self, t: Tensor) -> Tensor:
        return torch.log(torch.sin(math.pi / 2 * t))

    def time(self, gamma: Tensor) -> Tensor:
        return (2 / math.pi * torch.atan(torch.exp(gamma.double() / 2))).clamp(self.t_low, self.t_high)


class RectifiedFlow(Schedule):
    """The straight path alpha = 1 - t, sigma = t (Liu et al. 2023; Lipman et al. 2023)."""

    t_low = 1e-5
    t_high = 1 - 1e-3

    def log_alpha(self, t: Tensor) -> Tensor:
        return torch.log1p(-t)

    def log_sigma(self, t: Tensor) -> Tensor:
        return torch.log(t)

    def time(self, gamma: Tensor) -> Tensor:
        return torch.sigmoid(gamma.double() / 2).clamp(self.t_low, self.t_high)
