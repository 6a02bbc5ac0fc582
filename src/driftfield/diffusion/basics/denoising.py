r"""The denoising objective: predict the data from x_t, with an explicit weight for each noise level.

    loss(x) = sum_d rho( sqrt(w(t)) (x_hat - x)_d ),        rho(r) = r^2  or Huber's

With rho(r) = r^2 its minimum is the posterior mean for every weight w, which is a factor of |x_hat - x|^2 under every
head. The residual is computed for the output of the network, where it is of order one, and converted by  x_hat - x =
(sigma / D) (out - target),  so that no digits are lost at small sigma. One loss per row, summed over dimensions.

    "simple"    D^2 / sigma^2           the squared error of the output; for the head eps, Ho et al. 2020, eq. 14
    "snr"       alpha^2 / sigma^2       the squared error of eps_hat
    "min-snr"   min(SNR, 5)             Hang et al. 2023
    "vlb"       1/2 (SNR_s - SNR_t) T   with uniform times, the variational bound in nats (Kingma et al. 2021, eq. 14;
                                        in continuous time 1/2 SNR dgamma/dt, eq. 17). On a chain the step from t =
                                        1 / T, where SNR_s is infinite, belongs to the decoder and has weight 0
    "half-snr"  1/2 (SNR_s - SNR_t)     the same on chains, without the factor T; the step from t = 1 / T has the weight
                                        of the next one
    "edm"       (alpha^2 + sigma^2) / sigma^2   1 / c_out^2 for data of unit variance (Karras et al. 2022, table 1)

SNR = alpha^2 / sigma^2 is the signal-to-noise ratio.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from driftfield.diffusion.basics.denoisers import Denoiser
from driftfield.diffusion.basics.schedules import Schedule, match
from driftfield.errors import InputError

Weight = Callable[[Schedule, Tensor, Tensor], Tensor]  # (schedule, t, D^2 / sigma^2) -> weight, of the shape of t
Metric = Callable[[Tensor], Tensor]


def simple(schedule: Schedule, t: Tensor, own: Tensor) -> Tensor:
    """D^2 / sigma^2, which depends on the head and is passed as ``own``."""
    return own


def snr(schedule: Schedule, t: Tensor, own: Tensor) -> Tensor:
    """SNR = alpha^2 / sigma^2."""
    return torch.exp(-schedule.gamma(t))


def min_snr(schedule: Schedule, t: Tensor, own: Tensor) -> Tensor:
    """min(SNR, 5)."""
    return torch.exp(-schedule.gamma(t)).clamp(max=5.0)


def vlb(schedule: Schedule, t: Tensor, own: Tensor) -> Tensor:
    """1/2 (SNR_s - SNR_t) T with s = t - 1/T on a chain, 1/2 SNR dgamma/dt in continuous time."""
    if schedule.T is None:
        return 0.5 * schedule.gamma_rate(t) * torch.exp(-schedule.gamma(t))
    s = t - 1 / schedule.T
    first = s < 0.5 / schedule.T
    s = torch.where(first, t, s)
    return 0.5 * schedule.T * (torch.exp(-schedule.gamma(s)) - torch.exp(-schedule.gamma(t)))


def half_snr(schedule: Schedule, t: Tensor, own: Tensor) -> Tensor:
    """1/2 (SNR_s - SNR_t) with s = t - 1/T: the weight of one term of the bound of a chain.

    At t = 1/T, where SNR_s is infinite, it is that of t = 2/T; on a chain of a single step it is 1/2.

    Raises:
        InputError: the schedule is not a chain.
    """
    if schedule.T is None:
        raise InputError('The weight "half-snr" needs the steps of a chain: choose such a schedule, or "vlb".')
    if schedule.T == 1:
        return torch.full_like(t, 0.5)
    t = t.clamp(min=2 / schedule.T)
    return 0.5 * (torch.exp(-schedule.gamma(t - 1 / schedule.T)) - torch.exp(-schedule.gamma(t)))


def edm(schedule: Schedule, t: Tensor, own: Tensor) -> Tensor:
    """(sigma^2 + alpha^2) / sigma^2 = 1 + SNR."""
    return 1 + torch.exp(-schedule.gamma(t))


WEIGHTS: dict[str, Weight] = {
    "simple": simple,
    "snr": snr,
    "min-snr": min_snr,
    "vlb": vlb,
    "half-snr": half_snr,
    "edm": edm,
}


def squared(residual: Tensor) -> Tensor:
    """r^2."""
    return residual**2


def huber(residual: Tensor) -> Tensor:
    """r^2 / 2 for |r| < 1, else |r| - 1/2 (Huber 1964)."""
    size = residual.abs()
    return torch.where(size < 1, 0.5 * residual**2, size - 0.5)


METRICS: dict[str, Metric] = {"squared": squared, "huber": huber}


def denoising_loss(
    denoiser: Denoiser,
    x: Tensor,
    t: Tensor,
    eps: Tensor,
    weight: Weight = simple,
    metric: Metric = squared,
    cond: Tensor | None = None,
    output: Tensor | None = None,
) -> Tensor:
    """The weighted denoising loss of each row.

    Args:
        x, eps: (B, *D) data and standard normal noise.
        t: () or (B,) times.
        weight: the factor of |x_hat - x|^2, a function in WEIGHTS.
        metric: rho, applied to each weighted residual.
        output: the output of the network (B, *D) at x_t and t, if it is already known.

    Returns:
        (B,) losses, summed over dimensions; in nats for the weight "vlb" with the squared metric.
    """
    schedule = denoiser.schedule
    t = schedule.clamp(t)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    a, b = denoiser.head(schedule, t)
    x_t = match(alpha, x) * x + match(sigma, x) * eps
    out = denoiser.output(x_t, t, cond) if output is None else output
    residual = out - (match(a, x) * x + match(b, x) * eps)
    if weight is not simple:
        own = ((a * sigma - b * alpha) / sigma) ** 2
        residual = match((weight(schedule, t, own) / own).sqrt(), x) * residual
    return metric(residual).flatten(1).sum(1)  # (B,)
