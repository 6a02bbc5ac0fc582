r"""Noise schedules: how fast the signal fades and the noise grows.

A diffusion model learns to undo noise. The forward process adds it to a row of data x, by one formula for every model
in this package (Kingma et al. 2021, eq. 1),

    x_t = alpha(t) x + sigma(t) eps,      eps ~ N(0, I),      t in [0, 1],

from data at t = 0, where sigma = 0, to noise at t = 1. A schedule is the two functions log alpha and log sigma; the
rest is derived from them once, in :class:`Schedule`:

    kappa(t) = sigma / alpha                     the noise level in units of the data
    gamma(t) = 2 log kappa                       minus the log signal-to-noise ratio
    f(t)     = d log alpha / dt                  drift of the same process as an SDE,  dx_t = f x_t dt + g dw,
    g(t)^2   = sigma^2 d gamma / dt              and its diffusion; w is a Brownian motion

Variance-preserving (VP) schedules have alpha^2 + sigma^2 = 1, variance-exploding (VE) ones alpha = 1. All coefficients
are float64. The end points are handled here and nowhere else: a network is evaluated only at times from ``t_low`` to
``t_high``, so that its inputs stay finite where sigma = 0 or alpha = 0.

Annotations of arguments, such as ``Annotated[PositiveFloat, Field(..)]``, declare the options of recipes; to follow the
mathematics, read the plain type.

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

PRIOR_TOLERANCE = 0.01  # nats per dimension: above it samples visibly suffer from starting at the prior


@dataclass(frozen=True)
class PriorMismatch:
    """How far x_1 is from the prior, the Gaussian from which sampling starts, in nats per dimension.

    ``bound`` is L_T = E_x KL(q(x_1 | x) || prior), a term of the variational bound on the likelihood (Part II).
    ``marginal`` is KL(q(x_1) || prior) for a Gaussian q(x_1) of the same second moment. ``signal`` is alpha(1)^2. Here
    and everywhere q is a distribution of the forward process, and p one of the model.
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
            f"variance of {self.signal:.2g}), and no network can make up for it; use more steps or larger betas."
        )


class Schedule(nn.Module):
    """A noise schedule; subclasses give ``log_alpha(t)`` and ``log_sigma(t)`` for t of any shape, in float64.

    Attributes:
        t_low, t_high: the first and the last time at which a network is evaluated.
        prior_std: of the prior N(0, prior_std^2 I) from which sampling starts in place of x_1.
        T: the number of steps of a discrete chain; None in continuous time.
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
        """alpha(t) = exp(log alpha); same shape as t."""
        return self.log_alpha(t).exp()

    def sigma(self, t: Tensor) -> Tensor:
        """sigma(t) = exp(log sigma); same shape as t."""
        return self.log_sigma(t).exp()

    def gamma(self, t: Tensor) -> Tensor:
        """gamma(t) = 2 (log sigma - log alpha), minus the log SNR; it increases with t; same shape as t."""
        return 2 * (self.log_sigma(t) - self.log_alpha(t))

    def kappa(self, t: Tensor) -> Tensor:
        """sigma(t) / alpha(t): the noise level in units of the data; same shape as t."""
        return (self.gamma(t) / 2).exp()

    def scale(self, t: Tensor, std: float = 1.0) -> Tensor:
        """sqrt(std^2 alpha^2 + sigma^2), the standard deviation of x_t for data of this std; same shape as t."""
        return torch.hypot(std * self.alpha(t), self.sigma(t))

    def clamp(self, t: Tensor) -> Tensor:
        """The nearest time at which a network may be evaluated: t clamped to [t_low, t_high]; same shape, float64."""
        return t.double().clamp(self.t_low, self.t_high)

    def clamp_state(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, t) at the nearest time at which a network may be evaluated; x_t (B, *D), t () or (B,).

        Beyond t_high x_t is almost pure noise, and is scaled to the noise level at t_high, which is what the network
        expects there: x_t sigma(t_high) / sigma(t).
        """
        clamped = self.clamp(t)
        if self.t_high < 1:
            shrink = torch.where(t.double() > self.t_high, self.sigma(clamped) / self.sigma(t.double()), 1.0)
            x_t = match(shrink, x_t) * x_t
        return x_t, clamped

    def derivatives(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(d alpha / dt, d sigma / dt) for t in [t_low, t_high], each of the same shape as t."""
        return self._derivative(self.alpha, t), self._derivative(self.sigma, t)

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(f, g^2) with f = d log alpha / dt and g^2 = sigma^2 d gamma / dt, for t in [t_low, t_high]; same shape as t.

        Source: Kingma et al. 2021; as here in Lu et al. 2022 (DPM-Solver), sec. 2.1.
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
        """The t with gamma(t) = gamma, clamped to [t_low, t_high], by bisection; same shape as gamma, float64."""
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
        """Prior mismatch of data with second moment m2 per dimension, about the mean of a prior that has one.

        With p^2 the variance of the prior (prior_std^2 unless given) and v = alpha^2 m2 + sigma^2 at t = 1:
        L_T = 1/2 (v / p^2 - 1 - ln(sigma^2 / p^2)),  marginal = 1/2 (v / p^2 - 1 - ln(v / p^2)).
        """
        one = torch.ones((), dtype=torch.float64, device=self.device)
        signal, noise = float(self.alpha(one)) ** 2, float(self.sigma(one)) ** 2
        p2 = self.prior_std**2 if prior_variance is None else prior_variance
        v = signal * m2 + noise
        bound = 0.5 * (v / p2 - 1 - math.log(noise / p2))
        return PriorMismatch(max(bound, 0.0), max(0.5 * (v / p2 - 1 - math.log(v / p2)), 0.0), signal)

    def _derivative(self, function: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
        """d function / dt, differentiable in turn if the schedule has parameters to train.

        By a backward pass, which on the few numbers of t takes a tenth of the time of a forward-mode derivative.
        """
        learning = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in self.parameters())
        with torch.enable_grad():
            t = t.detach().double().requires_grad_()
            value = function(t) + 0 * t  # depends on t even where alpha = 1
            # Each value depends on its own time alone, so the gradient of the sum holds all derivatives.
            (derivative,) = torch.autograd.grad(value.sum(), t, create_graph=learning)
        return derivative

    @property
    def device(self) -> torch.device:
        """Where the schedule's tables are; the CPU if it has none."""
        return next(iter(self.buffers()), torch.empty(0)).device


def match(coefficient: Tensor, x: Tensor) -> Tensor:
    """A coefficient of shape () or (B,) as a factor for x (B, *D), in the dtype of x: the one place that broadcasts."""
    coefficient = coefficient.to(x)
    return coefficient if coefficient.ndim == 0 else coefficient.reshape(-1, *[1] * (x.ndim - 1))  # (B, 1, ..)


class LinearBeta(Schedule):
    """The SDEs with a linear beta(t): log alpha = -1/2 (beta_min t + (beta_max - beta_min) t^2 / 2).

    Raises:
        InputError: not 0 < beta_min <= beta_max.
    """

    t_low = 1e-5

    def __init__(
        self,
        beta_min: Annotated[PositiveFloat, Field(description="beta(0)")] = 0.1,
        beta_max: Annotated[PositiveFloat, Field(description="beta(1)")] = 20.0,
    ) -> None:
        super().__init__()
        if not 0 < beta_min <= beta_max < math.inf:
            raise InputError(f"The schedule needs 0 < beta_min <= beta_max, got {beta_min:g} and {beta_max:g}.")
        self.beta_min, self.beta_max = beta_min, beta_max

    def log_alpha(self, t: Tensor) -> Tensor:
        return -0.5 * (self.beta_min * t + 0.5 * (self.beta_max - self.beta_min) * t**2)

    def _time_of_integral(self, B: Tensor) -> Tensor:
        """The root t of (beta_max - beta_min) t^2 / 2 + beta_min t = B = -2 log alpha, also for very small B."""
        rise = self.beta_max - self.beta_min
        B = B.clamp(max=self.beta_min + rise)  # finite, and larger than B at t = 1
        t = 2 * B / (self.beta_min + torch.sqrt(self.beta_min**2 + 2 * rise * B))
        return t.clamp(self.t_low, self.t_high)


class VP(LinearBeta):
    """Variance-preserving SDE (Song et al. 2021 (SDE), eq. 11 and appendix C): sigma^2 = 1 - alpha^2."""

    def log_sigma(self, t: Tensor) -> Tensor:
        return 0.5 * torch.log(-torch.expm1(2 * self.log_alpha(t)))

    def time(self, gamma: Tensor) -> Tensor:
        """From -2 log alpha = ln(1 + e^gamma)."""
        return self._time_of_integral(-nn.functional.logsigmoid(-gamma.double()))


class SubVP(LinearBeta):
    """Sub-VP SDE (Song et al. 2021 (SDE), eq. 12): the standard deviation, not the variance, is sigma = 1 - alpha^2."""

    def log_sigma(self, t: Tensor) -> Tensor:
        return torch.log(-torch.expm1(2 * self.log_alpha(t)))

    def time(self, gamma: Tensor) -> Tensor:
        """From sigma / alpha = 2 sinh(B / 2) with B = -2 log alpha."""
        return self._time_of_integral(2 * torch.asinh(torch.exp(gamma.double() / 2) / 2))


class VE(Schedule):
    """Variance-exploding SDE (Song et al. 2021 (SDE), eq. 9).

    alpha = 1, and log sigma is linear in t from sigma_min to sigma_max. sigma(0) = 0: t = 0 is the data itself, so
    sampling ends at the denoised point and leaves no noise behind.

    Raises:
        InputError: not 0 < sigma_min < sigma_max.
    """

    t_low = 1e-6

    def __init__(
        self,
        sigma_min: Annotated[PositiveFloat, Field(description="the smallest noise level"), FROM_DATA] = 0.002,
        sigma_max: Annotated[PositiveFloat, Field(description="the largest noise level"), FROM_DATA] = 80.0,
    ) -> None:
        super().__init__()
        if not 0 < sigma_min < sigma_max < math.inf:
            raise InputError(f"The schedule needs 0 < sigma_min < sigma_max, got {sigma_min:g} and {sigma_max:g}.")
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        self.prior_std = sigma_max

    def log_alpha(self, t: Tensor) -> Tensor:
        return torch.zeros_like(t)

    def log_sigma(self, t: Tensor) -> Tensor:
        line = math.log(self.sigma_min) + math.log(self.sigma_max / self.sigma_min) * t
        return line.masked_fill(t <= 0, -math.inf)

    def time(self, gamma: Tensor) -> Tensor:
        t = (gamma.double() / 2 - math.log(self.sigma_min)) / math.log(self.sigma_max / self.sigma_min)
        return t.clamp(self.t_low, self.t_high)


class Cosine(Schedule):
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2) (Nichol, Dhariwal 2021, without offset; Salimans, Ho 2022)."""

    t_low = 1e-5
    t_high = 1 - 6e-4  # alpha = 1e-3: beyond, x_t says almost nothing about x

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
