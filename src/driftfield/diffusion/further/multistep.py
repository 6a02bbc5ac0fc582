r"""Multistep solvers of the probability-flow ODE: one evaluation in each step, and the estimates of earlier steps.

With lambda = log(alpha / sigma) = -gamma / 2 the ODE has the exact solutions (Lu et al. 2022 (DPM-Solver), prop.
3.1; for the second, Lu et al. 2022 (DPM-Solver++), prop. 4.1), for a step from t to s with h = lambda_s - lambda_t,

    x_s = alpha_s / alpha_t x_t - alpha_s ∫ e^-lambda eps_hat dlambda         in terms of the noise
    x_s = sigma_s / sigma_t x_t + sigma_s ∫ e^lambda x_hat dlambda            in terms of the data

An exponential multistep method replaces the estimate in the integral by the polynomial through the last k estimates and
integrates that exactly, which has order k (Hochbruck, Ostermann 2010, sec. 2.5). The weights of the estimates follow
from

    ∫_0^h e^-u u^m du = m! P(m + 1, h),      P the regularised incomplete gamma function,

in which nothing cancels, however small h is. With u counted forward from the start of the step these are the moments of
the first integral; counted backward from its end, those of the second. A linear multistep method does the same for
dy / dkappa = eps_hat with y = x_t / alpha, where the moments are h^(m+1) / (m + 1).

Steps with alpha_t = 0 or s = 0 are Euler's. Estimates at alpha = 0, where lambda is infinite, are not used.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from driftfield.diffusion.basics.bridge import bridge_log_variance, bridge_mean
from driftfield.diffusion.basics.denoisers import BaseDenoiser, Estimate
from driftfield.diffusion.basics.loop import Memory, Past
from driftfield.diffusion.basics.schedules import Schedule, match
from driftfield.diffusion.basics.single_step import ddim_step, euler_only

Moments = Callable[[int, Tensor], Tensor]  # (k, h) -> (k,)


def exponential_moments(k: int, h: Tensor) -> Tensor:
    """∫_0^h e^-u u^m du for m < k; (k,)."""
    orders = torch.arange(k, dtype=torch.float64, device=h.device)
    factorials = torch.exp(torch.lgamma(orders + 1))
    regularised: Tensor = torch.special.gammainc(orders + 1, h.expand(k))
    return factorials * regularised


def power_moments(k: int, h: Tensor) -> Tensor:
    """∫_0^h u^m du for m < k; (k,)."""
    orders = torch.arange(1, k + 1, dtype=torch.float64, device=h.device)
    moments: Tensor = h**orders / orders
    return moments


def weights(nodes: Tensor, h: Tensor, moments: Moments) -> Tensor:
    """w (k,) with  sum_j w_j p(nodes_j) = ∫_0^h rho(u) p(u) du  for every polynomial p of degree below k.

    ``moments`` returns the moments of rho. The equations are solved in units of h, so that nodes may be of any size.
    """
    k = len(nodes)
    orders = torch.arange(k, dtype=torch.float64, device=h.device)
    powers = (nodes / h) ** orders[:, None]  # (m, j)
    solution: Tensor = torch.linalg.solve(powers, moments(k, h) / h**orders)
    return solution


def usable(schedule: Schedule, past: list[Past], t: Tensor) -> list[Past]:
    """Earlier steps, the latest first, up to one with alpha = 0 or a time no larger than that of the step after it."""
    chosen: list[Past] = []
    last = t
    for step in past:
        if not (step.t > last and schedule.alpha(step.t) > 0):
            break
        chosen.append(step)
        last = step.t
    return chosen


def combine(weight: Tensor, values: list[Tensor]) -> Tensor:
    """sum_j weight_j values_j; (B, *D)."""
    result = match(weight[0], values[0]) * values[0]
    for w, value in zip(weight[1:], values[1:], strict=True):
        result = result + match(w, value) * value
    return result


def adams_bashforth(
    denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory, order: int = 2
) -> Tensor:
    """Exponential Adams-Bashforth in log-SNR: DEIS (Zhang, Chen 2023, sec. 3.3, with polynomials in lambda).

    x_s = alpha_s x_hat + sigma_s eps_hat - alpha_s kappa_t sum_j w_j (eps_j - eps_hat), from exponential moments.
    """
    schedule = denoiser.schedule
    x_s, changes, times = _first_order(denoiser, x_t, t, s, memory, order)
    if not changes:
        return x_s
    nodes = (schedule.gamma(t) - schedule.gamma(times)) / 2  # lambda_j - lambda_t; (k,)
    w = weights(nodes, (schedule.gamma(t) - schedule.gamma(s)) / 2, exponential_moments)
    return x_s - match(schedule.alpha(s) * schedule.kappa(t), x_t) * combine(w[1:], changes)


def linear_multistep(
    denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory, order: int = 2
) -> Tensor:
    """Adams-Bashforth in kappa = sigma / alpha, known as "linear multistep" or LMS (Hairer et al. 1993, III.1).

    x_s = alpha_s x_hat + sigma_s eps_hat + alpha_s sum_j w_j (eps_j - eps_hat), from moments of powers.
    """
    schedule = denoiser.schedule
    x_s, changes, times = _first_order(denoiser, x_t, t, s, memory, order)
    if not changes:
        return x_s
    kappa = schedule.kappa(t)
    w = weights(schedule.kappa(times) - kappa, schedule.kappa(s) - kappa, power_moments)
    return x_s + match(schedule.alpha(s), x_t) * combine(w[1:], changes)


def _first_order(
    denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory, order: int
) -> tuple[Tensor, list[Tensor], Tensor]:
    """Euler's x_s (B, *D), the changes eps_j - eps_hat of earlier steps (none if Euler's step is final), times (k,)."""
    schedule = denoiser.schedule
    estimate = denoiser(x_t, t, memory.cond)
    past = [] if euler_only(schedule, t, s) else usable(schedule, memory.past, t)
    memory.remember(t, x_t, estimate, order - 1)
    times = torch.stack([t, *(step.t for step in past)])
    return ddim_step(schedule, estimate, s), [step.estimate.eps - estimate.eps for step in past], times


def dpmpp_2m(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
    """DPM-Solver++(2M), second order with one evaluation in each step (Lu et al. 2022 (DPM-Solver++), algorithm 2).

    x_s = (sigma_s / sigma_t) x_t + (alpha_s - alpha_t sigma_s / sigma_t) D,  with D extrapolated from two estimates.
    """
    estimate = denoiser(x_t, t, memory.cond)
    D = extrapolated(denoiser.schedule, estimate, t, s, memory)
    memory.remember(t, x_t, estimate, 1)
    return exponential_euler(denoiser.schedule, x_t, D, t, s)


def extrapolated(schedule: Schedule, estimate: Estimate, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
    """D = x_hat + (h / (2 h_last)) (x_hat - x_hat_last); x_hat in the first step and at s = 0; (B, *D)."""
    past = memory.past[:1]
    if not past or past[0].t <= t or s <= 0:
        return estimate.x0
    h = schedule.gamma(t) - schedule.gamma(s)
    h_last = schedule.gamma(past[0].t) - schedule.gamma(t)  # infinite from alpha = 0: no extrapolation
    return estimate.x0 + match(h / (2 * h_last), estimate.x0) * (estimate.x0 - past[0].estimate.x0)


def exponential_euler(schedule: Schedule, x_t: Tensor, D: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """(sigma_s / sigma_t) x_t + (alpha_s - alpha_t sigma_s / sigma_t) D; (B, *D)."""
    ratio = schedule.sigma(s) / schedule.sigma(t)
    return match(ratio, x_t) * x_t + match(schedule.alpha(s) - ratio * schedule.alpha(t), x_t) * D


def sde_dpmpp_2m(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
    """SDE-DPM-Solver++(2M) (Lu et al. 2022 (DPM-Solver++), sec. 5): a draw from the bridge q(x_s | x_t, D).

    D is extrapolated as in DPM-Solver++(2M); with x_hat in its place this is ancestral sampling, small variance.
    """
    schedule = denoiser.schedule
    estimate = denoiser(x_t, t, memory.cond)
    D = extrapolated(schedule, estimate, t, s, memory)
    memory.remember(t, x_t, estimate, 1)
    std = match((bridge_log_variance(schedule, t, s) / 2).exp(), x_t)
    return bridge_mean(schedule, x_t, D, t, s) + std * memory.noise()


def dpmpp_3m(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
    """DPM-Solver++(3M), third order: the polynomial through three estimates of the data, integrated exactly.

    The published formula (Lu et al. 2022 (DPM-Solver++), "multistep DPM-Solver-3", and its copies) has phi_3 D_2 as the
    second-order term of the Taylor series where 2 phi_3 D_2 belongs, D_2 being a divided difference and not a
    derivative; on the exact mixture of the tests it converges at order 1.8.
    """
    schedule = denoiser.schedule
    estimate = denoiser(x_t, t, memory.cond)
    past = usable(schedule, memory.past, t)
    memory.remember(t, x_t, estimate, 2)
    if euler_only(schedule, t, s) or not past:
        return ddim_step(schedule, estimate, s)
    return _data_step(schedule, x_t, t, s, [(t, estimate.x0), *((step.t, step.estimate.x0) for step in past)])


def unipc(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
    """UniPC-2 with data prediction (Zhao et al. 2023, algorithms 1 and 2, B(h) = e^h - 1), third order.

    The predictor is DPM-Solver++(2M). The estimate at the predicted x_t is used twice: to correct x_t, with the
    polynomial through the estimates at t and the two times before it (with the mean of two estimates if there is only
    one time before), and in the next predictor. So each step takes one evaluation. The states that are returned, the
    last one included, are predictions that have not been corrected.
    """
    schedule = denoiser.schedule
    estimate = denoiser(x_t, t, memory.cond)
    past = usable(schedule, memory.past, t)
    if len(past) == 2:
        values = [(t, estimate.x0), *((step.t, step.estimate.x0) for step in past)]
        x_t = _data_step(schedule, past[0].x, past[0].t, t, values)
    elif past:
        x_t = exponential_euler(schedule, past[0].x, (estimate.x0 + past[0].estimate.x0) / 2, past[0].t, t)
    D = extrapolated(schedule, estimate, t, s, memory)
    memory.remember(t, x_t, estimate, 2)
    return exponential_euler(schedule, x_t, D, t, s)


def _data_step(schedule: Schedule, x_t: Tensor, t: Tensor, s: Tensor, values: list[tuple[Tensor, Tensor]]) -> Tensor:
    """(sigma_s / sigma_t) x_t + alpha_s sum_j w_j x_hat_j for estimates x_hat_j (B, *D) at times t_j."""
    gamma_s = schedule.gamma(s)
    h = (schedule.gamma(t) - gamma_s) / 2
    nodes = torch.stack([(schedule.gamma(time) - gamma_s) / 2 for time, _ in values])  # backward from s; (k,)
    w = weights(nodes, h, exponential_moments)
    ratio = match(schedule.sigma(s) / schedule.sigma(t), x_t)
    return ratio * x_t + match(schedule.alpha(s), x_t) * combine(w, [value for _, value in values])
