r"""Conversions after training: a denoiser under another schedule, or with another head.

All schedules mix data and noise; they differ only in the scale of x_t and in how noise levels are assigned to times. At
equal gamma, x_t / sqrt(alpha^2 + sigma^2) has the same distribution under all of them, so that a denoiser for one
schedule is a denoiser for every other (Karras et al. 2022, sec. 2 and appendix C; Kingma et al. 2021, sec. 5.1),

    x_hat(x_t, t) = x_hat'(x_t scale' / scale, t'),    gamma'(t') = gamma(t),    scale = sqrt(alpha^2 + sigma^2),

and eps_hat likewise. Densities do not change, nor do samples at the same values of gamma.

The output of any head, a x_hat + b eps_hat, can be computed from an estimate.
"""

from copy import deepcopy
from dataclasses import replace

from torch import Tensor

from driftfield.diffusion.basics.denoisers import BaseDenoiser, Denoiser, Estimate, extend_estimate
from driftfield.diffusion.basics.heads import Head
from driftfield.diffusion.basics.schedules import Schedule, match


def narrow(schedule: Schedule, gammas: Tensor) -> None:
    """Move t_low and t_high, the times between which a network is evaluated, into a range of gamma; (2,) increasing."""
    low, high = schedule.time(gammas.to(schedule.device)).tolist()
    schedule.t_low, schedule.t_high = max(schedule.t_low, low), min(schedule.t_high, high)


class RescheduledDenoiser(BaseDenoiser):
    """A denoiser under another schedule.

    Its schedule is a copy of the one given, with t_low and t_high moved within the noise levels at which the denoiser
    may be evaluated. A schedule with a narrower range than the original leaves out the finest or coarsest noise levels.

    Args:
        denoiser: of any schedule; it keeps its own.
        schedule: the new one.
    """

    def __init__(self, denoiser: BaseDenoiser, schedule: Schedule) -> None:
        schedule = deepcopy(schedule)
        narrow(schedule, denoiser.schedule.gamma_ends())
        super().__init__(schedule)
        self.denoiser = denoiser

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        """The estimate at x_t (B, *D), t () or (B,), of the new schedule."""
        x, u = self.schedule.clamp_state(x_t, t)
        own = self.denoiser.schedule
        own_t = own.time(self.schedule.gamma(u))
        factor = own.scale(own_t) / self.schedule.scale(u)
        estimate = replace(self.denoiser(match(factor, x) * x, own_t, cond), t=u, schedule=self.schedule)
        return extend_estimate(estimate, x_t, t)


def output(estimate: Estimate, head: Head) -> Tensor:
    """What a network with this head would have returned for an estimate: a x_hat + b eps_hat; (B, *D)."""
    a, b = head(estimate.schedule, estimate.t)
    return match(a, estimate.x0) * estimate.x0 + match(b, estimate.eps) * estimate.eps


class ReparametrisedDenoiser(Denoiser):
    """The same denoiser with another head: estimates do not change, ``output`` is what the new head would return.

    Args:
        denoiser: any.
        head: a name in HEADS, or a function (schedule, t) -> (a, b), of the shape of t.

    Raises:
        InputError: the head is unknown.
    """

    def __init__(self, denoiser: BaseDenoiser, head: str | Head) -> None:
        super().__init__(denoiser, denoiser.schedule, head, label="t", scale_input=False)
        self.learned_variance = denoiser.learned_variance

    def output(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """a x_hat + b eps_hat; (B, *D)."""
        return output(self.network(x_t, t, cond), self.head)

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        """The estimate of the original denoiser at x_t (B, *D), t () or (B,)."""
        estimate: Estimate = self.network(x_t, t, cond)
        return estimate


def unconverted(denoiser: BaseDenoiser) -> BaseDenoiser:
    """The denoiser that was trained, without the conversions of this module."""
    if isinstance(denoiser, RescheduledDenoiser):
        return unconverted(denoiser.denoiser)
    if isinstance(denoiser, ReparametrisedDenoiser):
        original = denoiser.network
        assert isinstance(original, BaseDenoiser)
        return unconverted(original)
    return denoiser
