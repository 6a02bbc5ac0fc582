r"""Denoising: regress the data from its noisy version, with a declared weight.

    loss(x) = sum_d rho( sqrt(w(t)) (x_hat - x)_d ),        rho(r) = r^2  or Huber's

The weight w is declared once, as a factor of |x_hat - x|^2, whatever the head. The residual is computed in the
network's own space, where it is of order one, and converted by  x_hat - x = (sigma / D) (out - target),  so no digits
are lost at small sigma. Sums over dimensions; one loss per row.

    "simple"    D^2 / sigma^2           plain squared error of the network's output; for eps, Ho et al. 2020, eq. 14
    "snr"       alpha^2 / sigma^2       squared error of eps, whatever the head
    "min-snr"   min(SNR, 5)             Hang et al. 2023
    "vlb"       1/2 (SNR_s - SNR_t) T   the variational bound in nats (Kingma et al. 2021, eq. 14; in continuous time
                                        1/2 SNR dgamma/dt, eq. 17) for uniform times; on a chain the step t = 1 / T,
                                        where SNR_s is infinite, is the decoder's term and is left out (weight 0)
    "half-snr"  1/2 (SNR_s - SNR_t)     the same without the factor T, on a chain alone; the first step is trained too,
                                        with the weight of the second
    "edm"       (sigma^2 + alpha^2) / sigma^2   Karras et al. 2022, table 1, with unit data variance: 1 / c_out^2
"""

from collections.abc import Callable

import torch
from torch import Tensor

from driftfield.diffusion.basics.denoisers import Denoiser
from driftfield.diffusion.basics.schedules import Schedule, match
from driftfield.errors import InputError

Weight = Callable[[Schedule, Tensor, Tensor], Tensor]


def simple(schedule: Schedule, t: Tensor, own: Tensor) -> Tensor:
    """D^2 / sigma^2, the head's own scale, given as ``own``."""
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

    At the first step, where SNR_s is infinite, it is the weight of the second step; on a chain of a single step, 1/2.

    Raises:
        InputError: the schedule is no chain.
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


METRICS: dict[str, Callable[[Tensor], Tensor]] = {"squared": squared, "huber": huber}


def denoising_loss(
    denoiser: Denoiser,
    x: Tensor,
    t: Tensor,
    eps: Tensor,
    weight: Weight = simple,
    metric: Callable[[Tensor], Tensor] = squared,
    cond: Tensor | None = None,
    output: Tensor | None = None,
) -> Tensor:
    """The weighted denoising loss of each row.

    Args:
        x, eps: (B, *D) data and standard normal noise.
        t: () or (B,) times.
        weight: (schedule, t, D^2 / sigma^2) -> factor of |x_hat - x|^2.
        metric: rho, applied to each weighted residual.
        output: the network's output (B, *D) at x_t and t, where it is at hand already.

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
