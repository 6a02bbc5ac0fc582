"""How accurate samplers are: against scipy and numpy on a mixture, in the moments of Gaussians, and in distribution."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from oracles import (
    CONTINUOUS,
    EVERY,
    RING,
    RING_STD,
    ExactGaussian,
    close,
    f64,
    no_noise_allowed,
    normal,
    ring_distribution,
    ring_end,
    ring_noise,
    steps_of,
)
from sampler_table import DETERMINISTIC, EVERY_STEP, ORDERS, last_of, linear_map, moments_at_the_end, noisy_moments
from scipy import stats

from driftfield.diffusion import GRIDS, SAMPLERS, SCHEDULES, MixtureDenoiser, Schedule, sample
from driftfield.diffusion.basics.loop import Memory
from driftfield.diffusion.basics.stochastic import ddim

Points = NDArray[np.float64]
# Median distances of 256 end points at sigma = 0.002 from those of the ODE after so many steps of VE from sigma = 80 on
# the karras grid, for the ring of the oracles. Particles, solution and methods are those of numpy and scipy in this
# file, with np.random.default_rng(0).
TABLE = {
    "euler": {16: 5.4e-2, 64: 1.3e-2, 256: 3.1e-3},
    "ddim": {16: 5.4e-2, 64: 1.3e-2, 256: 3.1e-3},
    "heun": {16: 2.6e-2, 64: 1.1e-3, 256: 6.2e-5},
    "midpoint": {16: 1.6e-2, 64: 7.0e-4, 256: 4.1e-5},
    "dpmpp-2m": {16: 4.6e-2, 64: 1.5e-3, 256: 8.2e-5},
    "lms-2": {16: 2.2e-2, 64: 2.0e-3, 256: 1.3e-4},
}
# The same methods in numpy, for alpha = 1: from all states, sigmas and eps_hat so far, and the next sigma.
Method = Callable[[list[Points], list[float], float, list[Points]], Points]


def euler(states: list[Points], sigmas: list[float], after: float, noises: list[Points]) -> Points:
    return states[-1] + (after - sigmas[-1]) * noises[-1]


def heun(states: list[Points], sigmas: list[float], after: float, noises: list[Points]) -> Points:
    """Karras et al. 2022, algorithm 1."""
    ahead = ring_noise(euler(states, sigmas, after, noises), after)
    return states[-1] + (after - sigmas[-1]) * (noises[-1] + ahead) / 2


def midpoint(states: list[Points], sigmas: list[float], after: float, noises: list[Points]) -> Points:
    """Lu et al. 2022 (DPM-Solver), algorithm 1: the slope at the geometric mean of both sigmas."""
    middle = math.sqrt(sigmas[-1] * after)
    return states[-1] + (after - sigmas[-1]) * ring_noise(euler(states, sigmas, middle, noises), middle)


def dpmpp_2m(states: list[Points], sigmas: list[float], after: float, noises: list[Points]) -> Points:
    """Lu et al. 2022 (DPM-Solver++), algorithm 2: the estimate of the data, x - sigma eps_hat, from two times."""
    data, h = states[-1] - sigmas[-1] * noises[-1], math.log(sigmas[-1] / after)
    if len(sigmas) > 1:
        r = math.log(sigmas[-2] / sigmas[-1]) / h
        data = data + (data - (states[-2] - sigmas[-2] * noises[-2])) / (2 * r)
    return after / sigmas[-1] * states[-1] - math.expm1(-h) * data


def lms_2(states: list[Points], sigmas: list[float], after: float, noises: list[Points]) -> Points:
    """Adams-Bashforth of second order with variable steps (Hairer et al. 1993, III.1 and III.5)."""
    h = after - sigmas[-1]
    if len(sigmas) == 1:
        return euler(states, sigmas, after, noises)
    return states[-1] + h * noises[-1] + h**2 / 2 * (noises[-1] - noises[-2]) / (sigmas[-1] - sigmas[-2])


IN_NUMPY: dict[str, Method] = {
    "euler": euler,
    "ddim": euler,
    "heun": heun,
    "midpoint": midpoint,
    "dpmpp-2m": dpmpp_2m,
    "lms-2": lms_2,
}


def end_in_numpy(method: Method, x: Points, sigmas: list[float]) -> Points:
    states, noises = [x], list[Points]()
    for i, after in enumerate(sigmas[1:], 1):
        noises.append(ring_noise(states[-1], sigmas[i - 1]))
        states.append(method(states, sigmas[:i], after, noises))
    return states[-1]


PARTICLES = 256


def median_error(x: torch.Tensor, truth: np.ndarray) -> float:
    return float(np.median(np.linalg.norm(x.numpy() - truth, axis=1)))


def end_error(schedule: Schedule, truth: np.ndarray, x: torch.Tensor, grid: str, sampler: str, n: int) -> float:
    """Median error of the state at t_low after n steps."""
    times = GRIDS[grid](schedule, n + 1)[:-1]
    *_, last = sample(ring_distribution(schedule), x, times, SAMPLERS[sampler], no_noise_allowed)
    return median_error(last.x / schedule.alpha(last.t), truth)


@pytest.fixture(scope="module")
def yardstick() -> tuple[Schedule, torch.Tensor, np.ndarray]:
    """The schedule of the yardstick, particles at its start, and where they end."""
    schedule = SCHEDULES["ve"](sigma_min=0.002, sigma_max=80.0)
    x = 80 * normal(PARTICLES, 2, seed=3)
    return schedule, x, ring_end(schedule, x)


@pytest.mark.parametrize("sampler", TABLE)
def test_a_solver_ends_where_the_same_method_in_numpy_does_with_the_errors_of_the_table(
    sampler: str, yardstick: tuple[Schedule, torch.Tensor, np.ndarray]
) -> None:
    schedule, x, truth = yardstick
    errors = {}
    for n in TABLE[sampler]:
        times = GRIDS["karras"](schedule, n + 1)[:-1]
        *_, last = sample(ring_distribution(schedule), x, times, SAMPLERS[sampler], no_noise_allowed)
        in_numpy = end_in_numpy(IN_NUMPY[sampler], x.numpy(), schedule.sigma(times).tolist())
        # Rounding alone, which the flow magnifies where it parts neighbours.
        np.testing.assert_allclose(last.x.numpy(), in_numpy, rtol=0, atol=1e-9, err_msg=str(n))
        errors[n] = median_error(last.x, truth)
    # Other particles than in the table: a median of 256 errors moves by about 10 %.
    assert errors == pytest.approx(TABLE[sampler], rel=0.2)


@pytest.mark.parametrize("sampler", ORDERS)
def test_the_order_of_convergence_is_the_stated_one(
    sampler: str, yardstick: tuple[Schedule, torch.Tensor, np.ndarray]
) -> None:
    schedule, x, truth = yardstick
    finest = 1024 if ORDERS[sampler] == 3 else 256  # where the terms of the next order are small
    errors = [end_error(schedule, truth, x, "karras", sampler, n) for n in (finest // 4, finest)]
    assert math.log(errors[0] / errors[1], 4) == pytest.approx(ORDERS[sampler], abs=0.15)


SECOND_ORDER = [name for name, order in ORDERS.items() if order == 2]
ON_EVERY = [*CONTINUOUS, "linear-200", "cosine-chain-50"]


@pytest.mark.parametrize("name", ON_EVERY)
def test_the_order_of_convergence_is_the_same_on_every_schedule(name: str) -> None:
    """Of Euler's method, and of those of second order by turns: all are the same function of noise levels."""
    chains = {"linear-200": SCHEDULES["linear"](T=200), "cosine-chain-50": SCHEDULES["cosine-chain"](T=50)}
    schedule = chains.get(name) or EVERY[name]
    x = schedule.prior_std * normal(PARTICLES // 2, 2, seed=1)
    truth = ring_end(schedule, x)
    low, high = schedule.gamma_ends().tolist()
    coarse = math.ceil(2 * (high - low))  # steps of 1/2 in gamma, then of 1/8: the same errors on every schedule
    for sampler in ("euler", SECOND_ORDER[ON_EVERY.index(name) % len(SECOND_ORDER)]):
        errors = [end_error(schedule, truth, x, "log-snr", sampler, n) for n in (coarse, 4 * coarse)]
        # At such steps the terms of the next order are still a tenth or so.
        assert math.log(errors[0] / errors[1], 4) == pytest.approx(ORDERS[sampler], abs=0.12), sampler
        # Polynomials in sigma / alpha are the worst of those of second order.
        assert errors[1] < (6e-3 if ORDERS[sampler] == 1 else 4e-4 if sampler == "lms-2" else 2e-4), sampler


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp-2m"])
@pytest.mark.parametrize("name", ["cosine", "cosine-chain"])
def test_solvers_converge_through_the_steep_end_of_cosine_even_on_a_uniform_grid(name: str, sampler: str) -> None:
    schedule = SCHEDULES["cosine-chain"](T=1000) if name == "cosine-chain" else EVERY[name]
    distribution, x = ring_distribution(schedule), normal(PARTICLES, 2, seed=1)
    truth = ring_end(schedule, x)
    errors = []
    for n in (25, 200):
        *_, last = sample(distribution, x, GRIDS["uniform"](schedule, n), SAMPLERS[sampler], no_noise_allowed)
        assert torch.isfinite(last.x).all()
        errors.append(median_error(last.x, truth))
    # The last step starts at t = 1 / n, and what it blurs mixes with the error of the others: no order to expect here.
    assert errors[1] < errors[0] / 4
    assert errors[1] < 0.02


VARIANCES = f64([0.25, 4.0])  # of one column each


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_many_steps_of_ddim_reach_the_variance_of_gaussian_data(eta: float) -> None:
    for name in ("ve", "vp", "rectified-flow", "linear"):
        data, errors = ExactGaussian(EVERY[name], 0.7, VARIANCES), []
        true_mean, true_variance = noisy_moments(data, f64(data.schedule.t_low))
        for n in (50, 100, 200):
            times = GRIDS["log-snr"](data.schedule, n)[:-1]
            mean, variance = moments_at_the_end(data, partial(ddim, eta=eta), times, 2)
            close(mean, true_mean.expand(2), (name, n), rtol=0, atol=0.02)
            errors.append((variance / true_variance - 1).abs())
        # First order in the step: halved each time, up to terms of second order.
        assert (errors[2] < 0.15).all(), name
        close(errors[1], errors[0] / 2, name, rtol=0.15, atol=1e-9)
        close(errors[2], errors[1] / 2, name, rtol=0.1, atol=1e-9)


@pytest.mark.parametrize("sampler", EVERY_STEP)
def test_short_chains_draw_every_component_of_a_mixture_in_its_share(sampler: str) -> None:
    for T, beta_end in ((7, 0.95), (50, 0.35)):
        schedule, n = SCHEDULES["quadratic"](T=T, beta_start=0.004, beta_end=beta_end), 4000
        assert schedule.prior_kl().warning is None
        times = GRIDS["trailing"](schedule, T)
        rows = last_of(ring_distribution(schedule), normal(n, 2, seed=T), times, EVERY_STEP[sampler])
        nearest = torch.cdist(rows, f64(RING)).argmin(1)
        share = torch.bincount(nearest, minlength=8) / n
        # Five standard errors of a share of 1/8.
        assert (share - 1 / 8).abs().max() < 5 * math.sqrt(1 / 8 * 7 / 8 / n), T
        # The median distance of a Gaussian row is 1.18 of its standard deviation; seven steps leave some in between.
        assert float((rows - f64(RING)[nearest]).norm(dim=1).median()) < 2.5 * RING_STD, T


def two_components(schedule: Schedule) -> MixtureDenoiser:
    return MixtureDenoiser(schedule, f64([1.0, 3.0]), f64([[-1.0], [0.5]]), f64([[[0.09]], [[0.25]]]))


def distance_from_two_components(rows: torch.Tensor) -> float:
    """The Kolmogorov statistic of rows (n, 1)."""

    def cdf(x: np.ndarray) -> np.ndarray:
        return 0.25 * stats.norm.cdf(x, -1.0, 0.3) + 0.75 * stats.norm.cdf(x, 0.5, 0.5)

    return float(stats.kstest(rows.squeeze(1).numpy(), cdf).statistic)


@pytest.mark.parametrize("sampler", EVERY_STEP)
def test_a_long_chain_draws_the_distribution_itself(sampler: str) -> None:
    schedule = SCHEDULES["cosine-chain"](T=200)
    times = GRIDS["trailing"](schedule, 200)
    if sampler in DETERMINISTIC:  # quantiles of the noise become quantiles of the data
        start = f64(stats.norm.ppf((np.arange(500) + 0.5) / 500))[:, None]
        bound = 0.001 + 0.01  # half a quantile, and the discretisation
    else:
        start = normal(5000, 1)
        # The 99.9 % point of the Kolmogorov statistic is 1.95 / sqrt(n) = 0.028; the discretisation adds under 0.01.
        bound = 0.038
    assert distance_from_two_components(last_of(two_components(schedule), start, times, EVERY_STEP[sampler])) < bound


@pytest.mark.parametrize("name", EVERY)
def test_euler_maruyama_reaches_the_moments_of_gaussian_data_at_first_order(name: str) -> None:
    schedule = EVERY[name]
    data, errors = ExactGaussian(schedule, 0.7, VARIANCES), []
    true_mean, true_variance = noisy_moments(data, f64(schedule.t_low))
    for n in (100, 400):
        times = GRIDS["log-snr"](schedule, n)[:-1]
        times[0] = schedule.t_high
        mean, variance = moments_at_the_end(data, SAMPLERS["euler-maruyama"], times, 2)
        errors.append(torch.maximum((mean - true_mean).abs(), (variance / true_variance - 1).abs()))
    # A quarter, up to terms of second order; the rates of a chain jump, which is of first order too but uneven.
    assert (errors[1] < 0.02).all()
    assert (errors[0] / errors[1] > 3).all()
    if schedule.T is None and name != "ve":  # in VE what is left is of second order
        close(errors[0] / errors[1], torch.full_like(errors[0], 4.0), name, rtol=0.2, atol=0)


def test_a_step_of_euler_maruyama_is_that_of_the_reverse_sde() -> None:
    """Song et al. 2021 (SDE), algorithm of appendix G, for VP: f = -beta / 2 and g^2 = beta."""
    schedule, x, z = SCHEDULES["vp"](0.1, 20.0), normal(5, 2), normal(5, 2, seed=1)
    t, s = f64(0.6), f64(0.59)
    beta, distribution = 0.1 + 19.9 * 0.6, ring_distribution(schedule)
    expected = x + (beta / 2 * x + beta * distribution(x, t).score) * 0.01 + math.sqrt(beta * 0.01) * z
    step = SAMPLERS["euler-maruyama"]
    torch.testing.assert_close(step(distribution, x, t, s, Memory(lambda: z)), expected, rtol=1e-9, atol=1e-9)
    loud, silent = (step(distribution, x, t, f64(0.0), Memory(lambda scale=scale: scale * z)) for scale in (1e6, 0.0))
    assert torch.equal(loud, silent)


def test_euler_maruyama_draws_the_distribution_of_a_mixture() -> None:
    schedule = SCHEDULES["vp"]()
    times = GRIDS["uniform"](schedule, 400)
    rows = last_of(two_components(schedule), normal(5000, 1), times, SAMPLERS["euler-maruyama"])
    # The 99.9 % point of the Kolmogorov statistic is 1.95 / sqrt(n) = 0.028; 400 steps of order 1 add under 0.01.
    assert distance_from_two_components(rows) < 0.038


def test_the_marginal_variance_leaves_too_much_noise() -> None:
    """The measure of the mistake: the spread at the step before the last, for data N(0, 1), which should be 1."""
    schedule = SCHEDULES["linear"](T=50, beta_start=1e-3, beta_end=0.25)
    times, spread = GRIDS["trailing"](schedule, 50)[:-1], {"ancestral": 1.0, "ancestral-marginal": 1.0}
    for name in spread:
        for t, s in steps_of(times):
            _, slope, noise = linear_map(ExactGaussian(schedule), SAMPLERS[name], t, s)
            assert name == "ancestral" or float(noise) == pytest.approx(float(schedule.sigma(s)), rel=1e-8)
            spread[name] = slope**2 * spread[name] + noise**2
    assert float(spread["ancestral"]) == pytest.approx(1, abs=0.15)  # the small variance is right for a point
    assert spread["ancestral-marginal"] > 1.5
