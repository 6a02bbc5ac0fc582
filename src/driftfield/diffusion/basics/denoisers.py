r"""Denoisers: from a noisy x_t to an estimate of the data and of the noise in it.

A denoiser is a map (x_t, t) -> (x_hat, eps_hat) with  x_t = alpha x_hat + sigma eps_hat.  The best one is the
posterior mean x_hat = E[x | x_t], and it knows everything about the distribution of x_t (Robbins 1956, Efron 2011):

    score     grad log p(x_t) = -eps_hat / sigma
    velocity  of the probability-flow ODE (Song et al. 2021, eq. 13):  dx/dt = alpha' x_hat + sigma' eps_hat

:class:`Denoiser` makes one from any network, a schedule and a head (see :mod:`driftfield.diffusion.basics.heads`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from driftfield.diffusion.basics.heads import HEADS, Head
from driftfield.diffusion.basics.schedules import Schedule, match
from driftfield.errors import InputError, unknown_name


@dataclass(frozen=True)
class Estimate:
    """What a denoiser says of x_t (B, *D) at time t: ``x0`` and ``eps`` (B, *D), and what follows from them.

    ``variance_fraction`` (B, *D), of a denoiser with a learned variance, says where the log variance of a reverse step
    lies between its two bounds: 0 is the small one, 1 the large one (:mod:`driftfield.diffusion.basics.kernels`).
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
        """dx/dt = alpha' x0 + sigma' eps of the probability-flow ODE; (B, *D)."""
        d_alpha, d_sigma = self.schedule.derivatives(self.schedule.clamp(self.t))
        return match(d_alpha, self.x0) * self.x0 + match(d_sigma, self.eps) * self.eps


def extend_estimate(estimate: Estimate, x_t: Tensor, t: Tensor) -> Estimate:
    """An estimate of (x_t, t) from one that was made at the nearest time at which a network may be asked.

    Beyond t_high x_hat is held, as x_t says hardly more of x, and eps_hat = (x_t - alpha x_hat) / sigma is what is left
    of x_t itself, (B, *D) at t () or (B,): every sampler rests on  x_t = alpha x_hat + sigma eps_hat.
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
    """Anything with a ``schedule`` and ``forward(x_t, t, cond=None) -> Estimate``; t is () or (B,)."""

    schedule: Schedule
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

    With a learned variance the network returns (B, 2 D, ..), twice the size of x along dim 1: its second half v says
    where the log variance lies between its bounds, variance_fraction = (v + 1) / 2 (Nichol, Dhariwal 2021, eq. 15). As
    there, v is not constrained: in theory the variance may leave the interval of its bounds.

    Args:
        network: any module (x (B, *D), label () or (B,), cond) -> (B, *D), or (B, 2 D, ..) with a learned variance.
        schedule: the noise schedule; the denoiser owns it.
        head: a name in HEADS, or a function (schedule, t) -> (a, b).
        label: what the network is told of the time: "log-sigma", log(sigma / alpha), or "t".
        scale_input: give the network x_t / sqrt(alpha^2 + sigma^2), of unit variance for standardised data
            (Karras et al. 2022, c_in), in place of x_t.
        learned_variance: the network has a second half.

    Raises:
        InputError: the head or the label is unknown; when called, a network lacks the second half.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        head: str | Head = "edm",
        label: str = "log-sigma",
        scale_input: bool = True,
        learned_variance: bool = False,
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
        self.learned_variance = learned_variance

    def output(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """The network's raw output (B, *D) for x_t (B, *D) at t, already clamped, () or (B,)."""
        return self.outputs(x_t, t, cond)[0]

    def outputs(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The same and the second half v (B, *D) of a learned variance, which is None without one."""
        label = self.label(self.schedule, t).to(x_t.dtype)
        if self.scale_input:
            x_t = x_t / match(self.schedule.scale(t), x_t)
        result: Tensor = self.network(x_t, label, cond)
        if not self.learned_variance:
            return result, None
        if result.shape[1] != 2 * x_t.shape[1]:
            raise InputError(
                f"A learned variance needs a network of twice the columns of its data, {2 * x_t.shape[1]}, but it "
                f"returns {result.shape[1]}: build the network with twice the outputs."
            )
        first, second = result.chunk(2, dim=1)  # (B, *D) each
        return first, second

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        """The estimate at x_t (B, *D), t () or (B,)."""
        x, asked = self.schedule.clamp_state(x_t, t)
        return extend_estimate(self.read(x, asked, *self.outputs(x, asked, cond)), x_t, t)

    def read(self, x_t: Tensor, t: Tensor, out: Tensor, second: Tensor | None = None) -> Estimate:
        """The estimate from outputs at hand: x_hat = (sigma out - b x_t) / D, eps_hat = (a x_t - alpha out) / D."""
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        a, b = self.head(self.schedule, t)
        D = a * sigma - b * alpha
        x_hat = match(sigma / D, x_t) * out - match(b / D, x_t) * x_t
        eps_hat = match(a / D, x_t) * x_t - match(alpha / D, x_t) * out
        return Estimate(x_hat, eps_hat, t, self.schedule, None if second is None else (second + 1) / 2)
