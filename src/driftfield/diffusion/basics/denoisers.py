r"""Denoisers: from a noisy x_t to estimates of the data and of the noise in it.

A denoiser maps (x_t, t) to (x_hat, eps_hat) with  x_t = alpha x_hat + sigma eps_hat.  The best one in mean squared
error is the posterior mean x_hat = E[x | x_t], and it determines the distribution of x_t (Robbins 1956; Efron 2011):

    score     grad log p(x_t) = -eps_hat / sigma
    velocity  dx_t / dt = alpha' x_hat + sigma' eps_hat,  along which noise flows to data: the probability-flow ODE
              (Song et al. 2021 (SDE), eq. 13)

:class:`Denoiser` makes one from any network, a schedule and a head (see :mod:`driftfield.diffusion.basics.heads`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from driftfield.diffusion.basics.heads import HEADS, Head
from driftfield.diffusion.basics.schedules import Schedule, match
from driftfield.errors import unknown_name


@dataclass(frozen=True)
class Estimate:
    """What a denoiser returns for x_t (B, *D) at time t: ``x0`` (x_hat), ``eps`` (eps_hat), and what follows from them.

    A denoiser with a learned variance also returns ``variance_fraction`` (B, *D): where the log variance of a reverse
    step lies between the small one (0) and the large one (1) of :mod:`driftfield.diffusion.basics.kernels`.
    """

    x0: Tensor
    eps: Tensor
    t: Tensor
    schedule: Schedule
    variance_fraction: Tensor | None = None

    @property
    def score(self) -> Tensor:
        """grad log p(x_t) = -eps / sigma; (B, *D)."""
        return -self.eps / match(self.schedule.sigma(self.t), self.eps)

    @property
    def velocity(self) -> Tensor:
        """dx_t / dt = alpha' x0 + sigma' eps of the probability-flow ODE; (B, *D)."""
        d_alpha, d_sigma = self.schedule.derivatives(self.schedule.clamp(self.t))
        return match(d_alpha, self.x0) * self.x0 + match(d_sigma, self.eps) * self.eps


def extend_estimate(estimate: Estimate, x_t: Tensor, t: Tensor) -> Estimate:
    """The estimate at (x_t, t) from the one at the nearest time at which a network may be evaluated.

    Beyond t_high x_hat is kept, as x_t says almost nothing more about x, and eps_hat = (x_t - alpha x_hat) / sigma,
    because every sampler relies on  x_t = alpha x_hat + sigma eps_hat.  x_t (B, *D), t () or (B,).
    """
    schedule = estimate.schedule
    late = t.double() > schedule.t_high
    if not late.any():
        return estimate
    alpha, sigma = schedule.alpha(t.double()), schedule.sigma(t.double())
    eps = (x_t - match(alpha, x_t) * estimate.x0) / match(sigma, x_t)
    beyond = match(late.double(), x_t) > 0
    return replace(estimate, eps=torch.where(beyond, eps, estimate.eps), t=torch.where(late, t.double(), estimate.t))


class BaseDenoiser(nn.Module):
    """A module with a ``schedule`` and ``forward(x_t, t, cond=None) -> Estimate``, for x_t (B, *D) and t () or (B,).

    ``cond`` is passed on to the network: a condition such as a class, or None.

    ``learned_variance`` says whether its estimates have a ``variance_fraction``.
    """

    schedule: Schedule
    learned_variance: bool = False
    __call__: Callable[..., Estimate]

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule


def log_sigma_label(schedule: Schedule, t: Tensor) -> Tensor:
    """log(sigma / alpha): the noise level in units of the data."""
    return schedule.gamma(t) / 2


def time_label(schedule: Schedule, t: Tensor) -> Tensor:
    """t itself, in [0, 1]."""
    return t


LABELS: dict[str, Callable[[Schedule, Tensor], Tensor]] = {"log-sigma": log_sigma_label, "t": time_label}


class Denoiser(BaseDenoiser):
    """A denoiser from a network.

    Args:
        network: any module (x (B, *D), label () or (B,), cond) -> (B, *D).
        schedule: the noise schedule; the denoiser owns it.
        head: a name in HEADS, or a function (schedule, t) -> (a, b).
        label: what the network gets as its time: "log-sigma" for log(sigma / alpha), or "t".
        scale_input: whether the network sees x_t / sqrt(alpha^2 + sigma^2), of unit variance for standardised data
            (Karras et al. 2022, c_in), in place of x_t.
        scale_output: whether the output of the network is multiplied by sqrt(a^2 + b^2), the root mean square of the
            head's target for such data. A score is -eps / sigma, of 1,000 at sigma = 0.001: no network reaches that.

    Raises:
        InputError: the head or the label is unknown.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        head: str | Head = "edm",
        label: str = "log-sigma",
        scale_input: bool = True,
        scale_output: bool = False,
    ) -> None:
        super().__init__(schedule)
        self.network = network
        if isinstance(head, str):
            if head not in HEADS:
                raise unknown_name("head", head, HEADS)
            head = HEADS[head]
        if label not in LABELS:
            raise unknown_name("label", label, LABELS)
        self.head = head
        self.label = LABELS[label]
        self.scale_input = scale_input
        self.scale_output = scale_output

    def output(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """The estimate of the head's target (B, *D) for x_t (B, *D) at t, () or (B,), in [t_low, t_high]."""
        return self.scaled(self.network_output(x_t, t, cond), t)

    def scaled(self, out: Tensor, t: Tensor) -> Tensor:
        """The output of the network in units of the head's target; (B, *D)."""
        return match(torch.hypot(*self.head(self.schedule, t)), out) * out if self.scale_output else out

    def network_output(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """What the network returns for x_t (B, *D) at t, () or (B,), in [t_low, t_high]; with that of its mixture."""
        label = self.label(self.schedule, t).to(x_t.dtype)
        x = x_t / match(self.schedule.scale(t), x_t) if self.scale_input else x_t
        result: Tensor = self.network(x, label, cond)
        return result if self.mixture is None else result + self._of_mixture(self.mixture, x_t, t, cond)

    @property
    def mixture(self) -> nn.Module | None:
        """A classical model (x_t, alpha, sigma, cond) -> eps_hat, to which the network adds; its own ``mixture``."""
        mixture = getattr(self.network, "mixture", None)
        return mixture if hasattr(mixture, "eps_hat") else None  # a network of the user's own may mean another thing

    def _of_mixture(self, mixture: nn.Module, x_t: Tensor, t: Tensor, cond: Tensor | None) -> Tensor:
        """What a network would return that estimates as the mixture does; (B, D)."""
        alpha, sigma = (part(t).reshape(-1, 1) for part in (self.schedule.alpha, self.schedule.sigma))
        eps: Tensor = mixture(x_t, alpha, sigma, cond)
        a, b = (part.reshape(-1, 1) for part in self.head(self.schedule, t))
        out = a * (x_t.double() - sigma * eps) / alpha + b * eps
        return (out / torch.hypot(a, b) if self.scale_output else out).to(x_t)

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        """The estimate at x_t (B, *D), t () or (B,)."""
        x, clamped = self.schedule.clamp_state(x_t, t)
        return extend_estimate(self.read(x, clamped, self.output(x, clamped, cond)), x_t, t)

    def read(self, x_t: Tensor, t: Tensor, out: Tensor) -> Estimate:
        """x_hat = (sigma out - b x_t) / D, eps_hat = (a x_t - alpha out) / D; x_t and out (B, *D), t () or (B,)."""
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        a, b = self.head(self.schedule, t)
        D = a * sigma - b * alpha
        x_hat = match(sigma / D, x_t) * out - match(b / D, x_t) * x_t
        eps_hat = match(a / D, x_t) * x_t - match(alpha / D, x_t) * out
        return Estimate(x_hat, eps_hat, t, self.schedule)
