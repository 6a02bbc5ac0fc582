r"""The bridge: the distribution of x_s given x_t and the data x, for any two times s < t.

The forward process is Markov with transitions

    q(x_t | x_s) = N(alpha_ts x_s, var_ts I),  alpha_ts = alpha_t / alpha_s,  var_ts = sigma_t^2 - alpha_ts^2 sigma_s^2,

so that by Bayes' rule (Ho et al. 2020, eq. 6 and 7; Kingma et al. 2021, appendix A.2)

    q(x_s | x_t, x) = N( alpha_ts sigma_s^2 / sigma_t^2 x_t + alpha_s var_ts / sigma_t^2 x,
                         var_ts sigma_s^2 / sigma_t^2 I ).

A longer stride is just another s: no beta is read, so none can belong to the wrong step. In terms of
r = exp(gamma_s - gamma_t),  var_ts = sigma_t^2 (1 - r)  and the variance of the bridge is  sigma_s^2 (1 - r),  so that
neither alpha_t = 0 nor sigma_s = 0 is a special case.
"""

import torch
from torch import Tensor

from driftfield.diffusion.basics.gaussian import Gaussian
from driftfield.diffusion.basics.schedules import Schedule, match


def log_added_fraction(schedule: Schedule, t: Tensor, s: Tensor) -> Tensor:
    """log(1 - exp(gamma_s - gamma_t)), the log of the fraction of sigma_t^2 that is added after s; float64, s < t."""
    return torch.log(-torch.expm1(schedule.gamma(s.double()) - schedule.gamma(t.double())))


def transition(schedule: Schedule, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """(alpha_ts, log var_ts) of q(x_t | x_s) for s < t; each float64, of the shape of t and s, () or (B,)."""
    t, s = t.double(), s.double()
    log_alpha_ts = schedule.log_alpha(t) - schedule.log_alpha(s)
    return log_alpha_ts.exp(), 2 * schedule.log_sigma(t) + log_added_fraction(schedule, t, s)


def bridge_log_variance(schedule: Schedule, t: Tensor, s: Tensor) -> Tensor:
    """Log of the variance of q(x_s | x_t, x), sigma_s^2 (1 - r); -inf at s = 0."""
    return 2 * schedule.log_sigma(s.double()) + log_added_fraction(schedule, t, s)


def bridge_mean(schedule: Schedule, x_t: Tensor, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """Mean of q(x_s | x_t, x), (B, *D), for x_t, x (B, *D) and s < t, () or (B,)."""
    t, s = t.double(), s.double()
    alpha_ts = (schedule.log_alpha(t) - schedule.log_alpha(s)).exp()
    ratio = (2 * (schedule.log_sigma(s) - schedule.log_sigma(t))).exp()
    keep = schedule.alpha(s) * log_added_fraction(schedule, t, s).exp()
    return match(alpha_ts * ratio, x) * x_t + match(keep, x) * x


def bridge(schedule: Schedule, x_t: Tensor, x: Tensor, t: Tensor, s: Tensor) -> Gaussian:
    """q(x_s | x_t, x) for x_t, x (B, *D) and s < t, () or (B,)."""
    return Gaussian(bridge_mean(schedule, x_t, x, t, s), match(bridge_log_variance(schedule, t, s), x))
