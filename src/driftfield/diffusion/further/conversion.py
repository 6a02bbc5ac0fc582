r"""Conversions after training: a denoiser under another schedule, or through another head.

All schedules mix data and noise; they differ in the size of x_t and in the clock. At equal gamma, x_t / hypot(alpha,
sigma) has one distribution under all of them, so that the denoiser of one is the denoiser of any other (Karras et al.
2022, sec. 2 and appendix C; Kingma et al. 2021, sec. 5.1),

    x_hat(x_t, t) = x_hat'(x_t size' / size, t'),    gamma'(t') = gamma(t),    size = hypot(alpha, sigma),

and eps_hat likewise. Samples along the same gammas and densities stay the same.

A head is a linear map of (x_hat, eps_hat), a x_hat + b eps_hat, so that an estimate speaks through any of them.
"""

from copy import deepcopy
from dataclasses import replace

from torch import Tensor

from driftfield.diffusion.basics.denoisers import BaseDenoiser, Denoiser, Estimate, extend_estimate
from driftfield.diffusion.basics.heads import Head
from driftfield.diffusion.basics.schedules import Schedule, match


class RescheduledDenoiser(BaseDenoiser):
    """A denoiser under another schedule.

    Its schedule is a copy of the one given, whose t_low and t_high lie within the noise levels at which the denoiser
    may be asked. A schedule that is narrower than the denoiser's own leaves the finest or coarsest noise levels out.

    Args:
        denoiser: of any schedule; it keeps its own.
        schedule: the new one.
    """

    def __init__(self, denoiser: BaseDenoiser, schedule: Schedule) -> None:
        schedule = deepcopy(schedule)
        own = denoiser.schedule
        low, high = schedule.time(own.gamma_ends().to(schedule.device)).tolist()
        schedule.t_low, schedule.t_high = max(schedule.t_low, low), min(schedule.t_high, high)
        super().__init__(schedule)
        self.denoiser = denoiser

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        """The estimate at x_t (B, *D), t () or (B,), of the new schedule."""
        x, u = self.schedule.clamp_state(x_t, t)
        own = self.denoiser.schedule
        asked = own.time(self.schedule.gamma(u))
        factor = own.scale(asked) / self.schedule.scale(u)
        estimate = replace(self.denoiser(match(factor, x) * x, asked, cond), t=u, schedule=self.schedule)
        return extend_estimate(estimate, x_t, t)


def output(estimate: Estimate, head: Head) -> Tensor:
    """What a network with this head would return for the estimate: a x_hat + b eps_hat; (B, *D)."""
    a, b = head(estimate.schedule, estimate.t)
    return match(a, estimate.x0) * estimate.x0 + match(b, estimate.eps) * estimate.eps


class ReparametrisedDenoiser(Denoiser):
    """The same denoiser through another head: ``output`` is the new head's, estimates do not change.

    Args:
        denoiser: any.
        head: a name in HEADS, or a function (schedule, t) -> (a, b).

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
        """The denoiser's own estimate at x_t (B, *D), t () or (B,)."""
        estimate: Estimate = self.network(x_t, t, cond)
        return estimate
