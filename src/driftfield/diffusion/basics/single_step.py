r"""Single-step solvers of the probability-flow ODE: functions (denoiser, x_t, t, s, memory) -> x_s for s < t.

The probability-flow ODE is deterministic, and its solutions have the same distribution at every t as the noisy data:
solving it from t = 1 to t = 0 turns noise into samples. All samplers are written in terms of the estimate (x_hat,
eps_hat) at x_t and never divide by alpha_t, so that alpha = 0 at the start (flow matching, zero terminal SNR) and
sigma = 0 at the end need no special treatment. The first-order step mixes the two estimates again,

    x_s = alpha_s x_hat + sigma_s eps_hat,

which is both DDIM (Song et al. 2021 (DDIM), eq. 12 with eta = 0) and Euler's method for the probability-flow ODE in
kappa = sigma / alpha: y = x_t / alpha obeys  dy / dkappa = eps_hat  (eq. 14 there; Karras et al. 2022, eq. 4). A better
slope eps' in place of eps_hat changes x_s by (sigma_s - alpha_s kappa_t) (eps' - eps_hat).

The last step, to s = 0, is Euler's for all of them: it returns x_hat.
"""

import torch
from torch import Tensor

from driftfield.diffusion.basics.denoisers import BaseDenoiser, Estimate
from driftfield.diffusion.basics.loop import Memory
from driftfield.diffusion.basics.schedules import Schedule, match


def ddim_step(schedule: Schedule, estimate: Estimate, s: Tensor) -> Tensor:
    """alpha_s x_hat + sigma_s eps_hat; (B, *D)."""
    return match(schedule.alpha(s), estimate.x0) * estimate.x0 + match(schedule.sigma(s), estimate.eps) * estimate.eps


def slope_weight(schedule: Schedule, t: Tensor, s: Tensor, like: Tensor) -> Tensor:
    """sigma_s - alpha_s kappa_t, by which a change of the slope is multiplied, as a factor for ``like`` (B, *D)."""
    return match(schedule.sigma(s) - schedule.alpha(s) * schedule.kappa(t), like)


def euler_only(schedule: Schedule, t: Tensor, s: Tensor) -> bool:
    """Whether only Euler's step is possible: at s = 0 there is no second slope, at alpha_t = 0 kappa is infinite."""
    return bool((s <= 0) | (schedule.alpha(t) == 0))


def euler(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
    """First order: x_s = alpha_s x_hat + sigma_s eps_hat."""
    return ddim_step(denoiser.schedule, denoiser(x_t, t, memory.cond), s)


def heun(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
    """Second order (Karras et al. 2022, algorithm 1), for any alpha: the mean of the slopes at both ends."""
    schedule = denoiser.schedule
    estimate = denoiser(x_t, t, memory.cond)
    x_s = ddim_step(schedule, estimate, s)
    if euler_only(schedule, t, s):
        return x_s
    change = (denoiser(x_s, s, memory.cond).eps - estimate.eps) / 2
    return x_s + slope_weight(schedule, t, s, x_t) * change


def midpoint(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
    """Second order, with the slope half way in log-SNR: DPM-Solver-2 (Lu et al. 2022 (DPM-Solver), algorithm 1)."""
    schedule = denoiser.schedule
    estimate = denoiser(x_t, t, memory.cond)
    if euler_only(schedule, t, s):
        return ddim_step(schedule, estimate, s)
    middle = schedule.time((schedule.gamma(t) + schedule.gamma(s)) / 2)
    half_way = denoiser(ddim_step(schedule, estimate, middle), middle, memory.cond)
    return ddim_step(schedule, estimate, s) + slope_weight(schedule, t, s, x_t) * (half_way.eps - estimate.eps)


def rk4(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
    """Fourth order: the classical Runge-Kutta method in the angle phi = atan(sigma / alpha).

    z = x_t / sqrt(alpha^2 + sigma^2) obeys  dz / dphi = cos(phi) eps_hat - sin(phi) x_hat  (Salimans, Ho 2022, appendix
    D), which is regular at both ends, alpha = 0 and sigma = 0, under any schedule.
    """
    schedule = denoiser.schedule
    if s <= 0:
        return euler(denoiser, x_t, t, s, memory)
    z, phi, end = x_t / match(schedule.scale(t), x_t), angle(schedule, t), angle(schedule, s)
    h = end - phi
    step = match(h, z)
    k1 = angular_velocity(denoiser, z, phi, memory.cond)
    k2 = angular_velocity(denoiser, z + step / 2 * k1, phi + h / 2, memory.cond)
    k3 = angular_velocity(denoiser, z + step / 2 * k2, phi + h / 2, memory.cond)
    k4 = angular_velocity(denoiser, z + step * k3, end, memory.cond)
    return match(schedule.scale(s), z) * (z + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4))


def angle(schedule: Schedule, t: Tensor) -> Tensor:
    """phi = atan2(sigma, alpha), from 0 (data) to at most pi / 2 (pure noise); same shape as t."""
    return torch.atan2(schedule.sigma(t), schedule.alpha(t))


def angular_velocity(denoiser: BaseDenoiser, z: Tensor, phi: Tensor, cond: Tensor | None = None) -> Tensor:
    """dz / dphi = cos(phi) eps_hat - sin(phi) x_hat at z (B, *D), phi () or (B,).

    Beyond the times at which a network may be evaluated, it is evaluated at the nearest one, at the same z.
    """
    schedule = denoiser.schedule
    t = schedule.time(2 * torch.log(torch.tan(phi)))
    estimate = denoiser(match(schedule.scale(t), z) * z, t, cond)
    return match(torch.cos(phi), z) * estimate.eps - match(torch.sin(phi), z) * estimate.x0
