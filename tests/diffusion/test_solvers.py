"""Solvers against truth and against others: weights, published schedulers, tolerances, and the noise they put back."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import (
    EVERY,
    ExactGaussian,
    by_property,
    f64,
    no_noise_allowed,
    normal,
    ring_distribution,
    ring_end,
    schedule_names,
)
from sampler_table import RANDOM
from scipy.integrate import quad

from driftfield.diffusion import (
    GRIDS,
    SAMPLERS,
    SCHEDULES,
    BaseDenoiser,
    Estimate,
    Memory,
    RescheduledDenoiser,
    Schedule,
    Step,
    sample,
)
from driftfield.diffusion.basics.stochastic import churn
from driftfield.diffusion.further.adaptive import rk45
from driftfield.diffusion.further.langevin import predictor_corrector
from driftfield.diffusion.further.multistep import exponential_moments, power_moments, weights


@given(
    h=st.floats(1e-6, 8),
    gaps=st.lists(st.floats(0.2, 3), min_size=0, max_size=2),
    coefficients=st.lists(st.floats(-2, 2), min_size=3, max_size=3),
)
@by_property
def test_weights_integrate_every_polynomial_through_their_nodes(
    h: float, gaps: list[float], coefficients: list[float]
) -> None:
    nodes = -h * np.concatenate([[0.0], np.cumsum(gaps)])
    polynomial = np.polynomial.Polynomial([c / h**m for m, c in enumerate(coefficients[: len(nodes)])])
    for moments, density in ((exponential_moments, lambda u: math.exp(-u)), (power_moments, lambda u: 1.0)):
        w = weights(f64(nodes), f64(h), moments).numpy()
        exact = quad(lambda u, density=density: density(u) * polynomial(u), 0, h, epsrel=1e-12, epsabs=0)[0]
        # The sums hold terms of up to 10^3 h, of which rounding leaves 1e-12 h.
        assert float(w @ polynomial(nodes)) == pytest.approx(exact, rel=1e-9, abs=1e-11 * h)


def end_errors(step: Step, counts: tuple[int, ...]) -> list[float]:
    """Median end-point errors on the ring, in VE from 80 to 0.002."""
    schedule = SCHEDULES["ve"](sigma_min=0.002, sigma_max=80.0)
    x = 80 * normal(128, 2, seed=3)
    truth = ring_end(schedule, x)
    found = []
    for n in counts:
        times = GRIDS["karras"](schedule, n + 1)[:-1]
        *_, last = sample(ring_distribution(schedule), x, times, step, no_noise_allowed)
        found.append(float(np.median(np.linalg.norm(last.x.numpy() - truth, axis=1))))
    return found


def published_3m(
    denoiser: BaseDenoiser, x_t: torch.Tensor, t: torch.Tensor, s: torch.Tensor, memory: Memory
) -> torch.Tensor:
    """The multistep DPM-Solver-3 as it is widely copied, in VE: with phi_3 D_2 where 2 phi_3 D_2 belongs."""
    schedule, estimate = denoiser.schedule, denoiser(x_t, t)
    points = [(-float(schedule.gamma(time)) / 2, value) for time, value in
              [(t, estimate.x0), *((p.t, p.estimate.x0) for p in memory.past)]]  # fmt: skip
    memory.remember(t, x_t, estimate, 2)
    h = -float(schedule.gamma(s)) / 2 - points[0][0]
    x_s = math.exp(-h) * x_t - math.expm1(-h) * estimate.x0
    phi_2 = math.expm1(-h) / h + 1
    if len(points) == 2:
        x_s = x_s + phi_2 * (points[0][1] - points[1][1]) * h / (points[0][0] - points[1][0])
    if len(points) == 3:
        r0, r1 = ((points[i][0] - points[i + 1][0]) / h for i in (0, 1))
        d0, d1 = (points[0][1] - points[1][1]) / r0, (points[1][1] - points[2][1]) / r1
        x_s = x_s + phi_2 * (d0 + (d0 - d1) * r0 / (r0 + r1)) - (phi_2 / h - 0.5) * (d0 - d1) / (r0 + r1)
    return x_s


def test_the_published_third_order_formula_is_of_second_order_and_ours_is_not() -> None:
    published, ours = (end_errors(step, (128, 512)) for step in (published_3m, SAMPLERS["dpmpp-3m"]))
    assert math.log(published[0] / published[1], 4) < 2.1
    assert math.log(ours[0] / ours[1], 4) > 2.85
    assert ours[1] < published[1] / 2


class TwoPoints(BaseDenoiser):
    """x_hat = tanh(x_t / (0.3 + t)): any smooth denoiser does where two implementations are compared."""

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, cond: torch.Tensor | None = None) -> Estimate:
        x0 = torch.tanh(x_t / (0.3 + t))
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        return Estimate(x0, (x_t - alpha * x0) / sigma, t, self.schedule)


T = 50


def test_dpmpp_2m_and_unipc_take_the_steps_of_the_published_schedulers() -> None:
    from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler

    schedule = SCHEDULES["linear"](T=T, beta_start=1e-3, beta_end=0.2)
    denoiser, x = TwoPoints(schedule), normal(16, 2)
    common = {"num_train_timesteps": T, "beta_start": 1e-3, "beta_end": 0.2, "solver_order": 2,
              "final_sigmas_type": "sigma_min", "timestep_spacing": "trailing"}  # fmt: skip
    schedulers = {
        "dpmpp-2m": DPMSolverMultistepScheduler(**common, lower_order_final=False),
        "unipc": UniPCMultistepScheduler(**common, lower_order_final=False, solver_type="bh2"),
    }
    for name, scheduler in schedulers.items():
        scheduler.set_timesteps(10)
        times = (f64(scheduler.timesteps) + 1) / T
        theirs = [x]
        for i in scheduler.timesteps:
            eps = denoiser(theirs[-1], f64((int(i) + 1) / T)).eps
            theirs.append(scheduler.step(eps, i, theirs[-1]).prev_sample)
        ours = [state.x for state in sample(denoiser, x, times, SAMPLERS[name], no_noise_allowed)]
        for mine, other in zip(ours, theirs, strict=False):  # they go on to a noise level of their own
            torch.testing.assert_close(mine, other, rtol=2e-5, atol=2e-5)  # their tables are in single precision


@pytest.mark.parametrize("stride", [1, 5])
def test_ddim_and_ancestral_take_the_steps_of_the_published_schedulers(stride: int) -> None:
    from diffusers import DDIMScheduler, DDPMScheduler

    schedule = SCHEDULES["linear"](T=T, beta_start=1e-3, beta_end=0.2)
    denoiser, x, z = TwoPoints(schedule), normal(16, 2), normal(16, 2, seed=1)
    common = {"num_train_timesteps": T, "beta_start": 1e-3, "beta_end": 0.2, "clip_sample": False,
              "timestep_spacing": "trailing"}  # fmt: skip
    ddim = DDIMScheduler(**common, set_alpha_to_one=True)
    ddim.set_timesteps(T // stride)
    ddpm = DDPMScheduler(**common, variance_type="fixed_small")
    for i in (49, 24, 9):
        t, s = f64((i + 1) / T), f64((i + 1 - stride) / T)
        eps = denoiser(x, t).eps
        for eta in (0.0, 0.7, 1.0):
            theirs = ddim.step(eps, i, x, eta=eta, variance_noise=z).prev_sample
            ours = partial(SAMPLERS["ddim"].step, eta=eta)(denoiser, x, t, s, Memory(lambda: z))
            torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-5)  # single precision, as above
    if stride == 1:
        for i in (49, 24, 9):
            t, s = f64((i + 1) / T), f64(i / T)
            generator = torch.Generator().manual_seed(4)
            theirs = ddpm.step(denoiser(x, t).eps, i, x, generator=generator).prev_sample
            drawn = torch.randn(x.shape, generator=torch.Generator().manual_seed(4), dtype=x.dtype)
            ours = SAMPLERS["ancestral"](denoiser, x, t, s, Memory(lambda drawn=drawn: drawn))
            torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", ["ve", "vp", "cosine", "rectified-flow", "linear"])
def test_rk45_meets_its_tolerance_on_every_schedule(name: str) -> None:
    schedule = EVERY[name] if name != "linear" else SCHEDULES["linear"](T=200)
    x = schedule.prior_std * normal(32, 2)
    truth, errors = ring_end(schedule, x), []
    for tolerance in (1e-3, 1e-5, 1e-7):
        x_low = rk45(
            ring_distribution(schedule), x, f64(1.0), f64(schedule.t_low), Memory(no_noise_allowed), tolerance=tolerance
        )
        difference = (x_low / schedule.alpha(f64(schedule.t_low))).numpy() - truth
        errors.append(float(np.median(np.linalg.norm(difference, axis=1))))
        assert errors[-1] < 30 * tolerance  # the flow pulls neighbours apart before it gathers them
    if name != "linear":  # whose rates jump at its knots
        assert errors[2] < errors[0] / 100


def test_a_row_of_rk45_does_not_depend_on_its_company() -> None:
    schedule = EVERY["vp"]
    x, order = normal(20, 2), torch.randperm(20, generator=torch.Generator().manual_seed(0))

    def solve(rows: torch.Tensor) -> torch.Tensor:
        return rk45(ring_distribution(schedule), rows, f64(1.0), f64(0.0), Memory(no_noise_allowed))

    together = solve(x)
    torch.testing.assert_close(solve(x[order]), together[order], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.cat([solve(x[i : i + 1]) for i in range(5)]), together[:5], rtol=1e-12, atol=1e-12)


def test_rk45_gives_each_row_its_own_condition() -> None:
    class Point(BaseDenoiser):
        def forward(self, x_t: torch.Tensor, t: torch.Tensor, cond: torch.Tensor | None = None) -> Estimate:
            assert cond is not None
            x0 = cond.double()[:, None].expand_as(x_t)
            alpha, sigma = (f(t).reshape(-1, 1) for f in (self.schedule.alpha, self.schedule.sigma))
            return Estimate(x0, (x_t - alpha * x0) / sigma, t, self.schedule)

    x, cond = normal(4, 2), torch.tensor([3, 1, 4, 1])
    last = rk45(Point(EVERY["vp"]), x, f64(1.0), f64(0.0), Memory(no_noise_allowed, cond))
    torch.testing.assert_close(last, cond.double()[:, None].expand(4, 2), rtol=0, atol=1e-3)


@given(name=schedule_names, n=st.integers(1, 6), seed=st.integers(0, 1000))
@by_property
def test_rk45_lands_on_every_grid_and_ends_at_the_same_place(name: str, n: int, seed: int) -> None:
    schedule = EVERY[name]
    distribution = ExactGaussian(schedule, mean=0.3, variance=0.5)
    x = schedule.prior_std * normal(3, 2, seed=seed)
    ends = [
        [*sample(distribution, x, GRIDS["uniform"](schedule, steps), SAMPLERS["rk45"], no_noise_allowed)][-1].x
        for steps in (1, n)
    ]
    torch.testing.assert_close(*ends, rtol=0, atol=2e-3)  # some tens of steps, each wrong by 1e-4 at most


def spread(schedule: Schedule, step: Step, n: int, variance: float) -> float:
    """Variance of x_0 over that of the data N(0, variance), exactly: each noise has a row of its own."""
    distribution = ExactGaussian(schedule, variance=variance)
    times = GRIDS["log-snr"](schedule, n)
    times[0] = schedule.t_high
    rows, calls = 2 * n + 3, iter(range(1, 2 * n + 3))

    def noise() -> torch.Tensor:
        unit = torch.zeros(rows, 1, dtype=torch.float64)
        unit[next(calls)] = 1
        return unit

    start = torch.zeros(rows, 1, dtype=torch.float64)
    start[0] = float(torch.sqrt(schedule.alpha(times[0]) ** 2 * variance + schedule.sigma(times[0]) ** 2))
    *_, last = sample(distribution, start, times, step, noise)
    return float(last.x.square().sum()) / variance


@pytest.mark.parametrize("sampler", RANDOM)
def test_random_samplers_converge_to_the_variance_of_gaussian_data(sampler: str) -> None:
    for name in ("vp", "ve", "rectified-flow", "cosine"):
        errors = [abs(spread(EVERY[name], SAMPLERS[sampler], n, 0.5) - 1) for n in (60, 240)]
        assert errors[1] < 0.08, name  # of the first order, over up to nine decades of noise levels
        assert errors[1] < errors[0] / 2.5, name  # first order is a quarter


@pytest.mark.parametrize("name", ["vp", "ve"])
def test_the_second_order_of_sde_dpmpp_2m_shows_beside_ancestral(name: str) -> None:
    errors = {
        sampler: abs(spread(EVERY[name], SAMPLERS[sampler], 100, 0.5) - 1) for sampler in ("ancestral", "sde-dpmpp-2m")
    }
    assert errors["sde-dpmpp-2m"] < errors["ancestral"] / 5


@given(
    name=schedule_names, share=st.floats(0.1, 0.9), variance=st.sampled_from([0.0, 0.25, 4.0]), r=st.floats(0.01, 0.3)
)
@by_property
def test_the_corrector_keeps_the_variance_of_a_gaussian_to_the_fourth_power_of_its_step(
    name: str, share: float, variance: float, r: float
) -> None:
    """var' - V = -sigma^2 (1 - c)^2 (1 - sigma^2 / V), c = cos(theta): 1 - c is theta^2 / 2."""
    schedule = EVERY[name]
    s = f64(schedule.t_low + share * (schedule.t_high - schedule.t_low))
    sigma2 = float(schedule.sigma(s)) ** 2
    V = float(schedule.alpha(s)) ** 2 * variance + sigma2
    distribution = ExactGaussian(schedule, variance=variance)
    # The predictor's draw is taken out: two noises, the first of which places x_s at sqrt(V).
    t = s + 0.5 * (schedule.t_high - s)
    base = SAMPLERS["ancestral"](distribution, f64([[0.0]]), t, s, Memory(lambda: f64([[0.0]])))
    unit = SAMPLERS["ancestral"](distribution, f64([[0.0]]), t, s, Memory(lambda: f64([[1.0]]))) - base

    def run(first: float, second: float) -> float:
        draws = iter([f64([[first]]), f64([[second]])])
        return float(predictor_corrector(distribution, f64([[0.0]]), t, s, Memory(lambda: next(draws)), langevin=r))

    slope = (run(1.0, 0.0) - run(0.0, 0.0)) / float(unit)
    noise = run(0.0, 1.0) - run(0.0, 0.0)
    c = math.cos(math.asin(2 * r))
    expected = V - sigma2 * (1 - c) ** 2 * (1 - sigma2 / V)
    assert slope**2 * V + noise**2 == pytest.approx(expected, rel=1e-6)


def test_churn_goes_back_to_the_noise_level_of_the_paper() -> None:
    schedule, evaluated = SCHEDULES["ve"](sigma_min=0.002, sigma_max=80.0), []

    class Asked(BaseDenoiser):
        def forward(self, x_t: torch.Tensor, t: torch.Tensor, cond: torch.Tensor | None = None) -> Estimate:
            evaluated.append(float(self.schedule.sigma(t)))
            return Estimate(torch.zeros_like(x_t), x_t / self.schedule.sigma(t), t, self.schedule)

    t, s = schedule.time(2 * torch.log(f64([2.0, 1.0])))
    x, z = f64([[5.0]]), f64([[1.0]])
    x_s = churn(Asked(schedule), x, t, s, Memory(lambda: z, steps=100), churn=20.0)
    # Karras et al. 2022, algorithm 2, with S_noise = 1: sigma rises to 1.2 sigma; Heun's line leads to data 0.
    assert evaluated == pytest.approx([2.4, 1.0], rel=1e-9)
    assert float(x_s) == pytest.approx((5.0 + math.sqrt(2.4**2 - 2.0**2)) / 2.4, rel=1e-9)
    evaluated.clear()
    churn(Asked(schedule), x, t, s, Memory(lambda: z, steps=10), churn=20.0)
    assert evaluated[0] == pytest.approx(2 * math.sqrt(2), rel=1e-9)  # and by sqrt 2 at most


WITHOUT_NOISE = [name for name, each in SAMPLERS.items() if not each.random]


@pytest.mark.parametrize("sampler", WITHOUT_NOISE)
def test_data_far_from_the_origin_are_found_from_times_at_which_no_network_is_evaluated(sampler: str) -> None:
    """Of N(5, 1) the ODE keeps (x_t - alpha 5) / sd(t); the first step starts at t = 1, beyond t_high."""
    x, n = normal(16, 1), 20 if SAMPLERS[sampler].chooses_steps else 400
    narrow = ExactGaussian(SCHEDULES["ve"](0.002, 20.0), 5.0)
    cases: list[tuple[str, BaseDenoiser]] = [
        ("log-snr", ExactGaussian(EVERY[("cosine", "rectified-flow")[WITHOUT_NOISE.index(sampler) % 2]], 5.0)),
        ("uniform", RescheduledDenoiser(narrow, EVERY["vp"])),  # known up to sigma = 20 alone, a t_high of 0.77
    ]
    for grid, distribution in cases:
        schedule = distribution.schedule
        (first_mean, first_sd), (mean, sd) = (
            (5 * schedule.alpha(t), schedule.scale(t)) for t in f64([1, schedule.t_low])
        )
        times = GRIDS[grid](schedule, n + 1)[:-1]
        times[-1] = schedule.t_low
        *_, last = sample(distribution, first_mean + first_sd * x, times, SAMPLERS[sampler], no_noise_allowed)
        error = float((last.x - mean - sd * x).abs().max() / sd)
        # Only the discretisation is left: of order 1 in 400 steps over up to nine decades of noise levels. Beyond
        # t_high x_hat is held, of which the converted denoiser, which knows only up to sigma = 20, is wrong by 5 / 400.
        bound = 0.1 if SAMPLERS[sampler].order == 1 else 0.02 if grid == "uniform" else 2e-3
        assert error < bound, (grid, schedule)
