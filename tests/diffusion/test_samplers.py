import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import (
    ANGLES,
    CHAINS,
    EVERY,
    RING,
    RING_STD,
    ExactGaussian,
    Says,
    by_property,
    f64,
    knowing,
    no_noise_allowed,
    normal,
    quiet,
    ring_distribution,
    ring_end,
    schedule_names,
    steps_of,
)
from scipy import stats

from driftfield.diffusion import (
    GRIDS,
    HEADS,
    SAMPLERS,
    SCHEDULES,
    BaseDenoiser,
    Chain,
    Denoiser,
    Gaussian,
    MixtureDenoiser,
    Schedule,
    sample,
)
from driftfield.diffusion.basics.loop import Memory, Step
from driftfield.diffusion.basics.stochastic import ddim
from driftfield.diffusion.further.row_noise import SAMPLES, BlockNoise
from driftfield.errors import InputError

DETERMINISTIC = tuple(name for name, sampler in SAMPLERS.items() if not sampler.random and sampler.evaluations)
RANDOM = ("ancestral", "ancestral-large", "sde-dpmpp-2m", "churn", "predictor-corrector")
# These end at the estimate and draw the right distribution. Of the others "rk45" has tests of its own, "kernel" and
# "ancestral-learned" need a model that learned a variance, "euler-maruyama" has an error of its own in every step, and
# "ancestral-marginal" is a mistake.
EVERY_STEP: dict[str, Step] = {
    **{name: SAMPLERS[name] for name in (*DETERMINISTIC, *RANDOM)},
    "ddim, eta 0.5": partial(ddim, eta=0.5),
    "ddim, eta 1": partial(ddim, eta=1.0),
}
ANY_DENOISER: dict[str, Step] = {
    **EVERY_STEP,
    **{name: SAMPLERS[name] for name in ("euler-maruyama", "ancestral-marginal")},
}
walks = st.lists(st.integers(1, 999), min_size=1, max_size=12, unique=True)


def last_of(denoiser: BaseDenoiser, x: torch.Tensor, times: torch.Tensor, step: Step) -> torch.Tensor:
    source = BlockNoise(1, SAMPLES, 0, len(x), tuple(x.shape[1:]), torch.device("cpu"))
    *_, last = sample(denoiser, x, times, step, source)
    return last.x


def linear_map(denoiser: BaseDenoiser, step: Step, t: torch.Tensor, s: torch.Tensor) -> tuple[float, float, float]:
    """(offset, slope, noise) of a step on Gaussian data in one dimension: x_s = offset + slope x_t + noise z."""
    x, z = f64([[0.0], [1.0], [0.0]]), f64([[0.0], [0.0], [1.0]])
    neither, with_x, with_z = step(denoiser, x, t, s, Memory(lambda: z)).squeeze(1).tolist()
    return neither, with_x - neither, with_z - neither


def walk(schedule: Schedule, places: list[int]) -> torch.Tensor:
    """From t_high through the given thousandths to t_low."""
    span = schedule.t_high - schedule.t_low
    inner = [schedule.t_low + span * i / 1000 for i in sorted(places, reverse=True)]
    return f64([schedule.t_high, *inner, schedule.t_low])


@pytest.mark.parametrize("sampler", EVERY_STEP)
@pytest.mark.parametrize("name", EVERY)
def test_one_two_or_three_steps_find_a_point_exactly_for_every_head(name: str, sampler: str) -> None:
    schedule = EVERY[name]
    x = schedule.prior_std * normal(4, 2)
    # A rounding of the network's output is magnified by at most 1 / alpha or 1 / sigma at the ends, 1e6.
    for head in HEADS:
        denoiser = knowing(ExactGaussian(schedule, mean=0.7, variance=0.0), head)
        for grid, n in (("uniform", 1), ("uniform", 2), ("karras", 3)):
            last = last_of(denoiser, x, GRIDS[grid](schedule, n), EVERY_STEP[sampler])
            torch.testing.assert_close(last, torch.full_like(last, 0.7), rtol=0, atol=1e-9)


@pytest.mark.parametrize("sampler", ANY_DENOISER)
@pytest.mark.parametrize("name", EVERY)
def test_one_two_or_three_steps_are_finite_in_single_precision_for_every_head(name: str, sampler: str) -> None:
    schedule = EVERY[name]
    x = (schedule.prior_std * normal(4, 2)).float()
    for head in HEADS:
        denoiser = Denoiser(Says(torch.tensor(0.3)), schedule, head)
        for n in (1, 2, 3):
            assert torch.isfinite(last_of(denoiser, x, GRIDS["log-snr"](schedule, n), ANY_DENOISER[sampler])).all()


@pytest.mark.parametrize("sampler", EVERY_STEP)
@pytest.mark.parametrize("grid", GRIDS)
def test_a_chain_of_a_single_step_works(grid: str, sampler: str) -> None:
    schedule = Chain(f64([0.9]))
    for n in (1,) if grid == "trailing" else (1, 2, 3, 28):
        last = last_of(ring_distribution(schedule), normal(4, 2), GRIDS[grid](schedule, n), EVERY_STEP[sampler])
        assert torch.isfinite(last).all()
        if n == 1:
            torch.testing.assert_close(last, ring_distribution(schedule)(normal(4, 2), f64(1.0)).x0)


@pytest.mark.parametrize("sampler", EVERY_STEP)
@pytest.mark.parametrize("name", EVERY)
def test_the_last_step_returns_the_estimate_and_adds_no_noise(name: str, sampler: str) -> None:
    schedule, step = EVERY[name], EVERY_STEP[sampler]
    distribution, x = ring_distribution(schedule), schedule.prior_std * normal(5, 2)
    *_, before, last = sample(distribution, x, GRIDS["log-snr"](schedule, 6), step, lambda: 0.1 * torch.ones(5, 2))
    torch.testing.assert_close(last.x, distribution(before.x, before.t).x0)
    loud = step(distribution, x, f64(0.5), f64(0.0), Memory(lambda: torch.full((5, 2), 1e6)))
    torch.testing.assert_close(loud, distribution(x, f64(0.5)).x0)


@given(name=schedule_names, places=walks, eta=st.sampled_from([0.0, 0.5, 1.0]), variance=st.just(0.0))
@by_property
def test_ddim_of_any_eta_keeps_the_distribution_of_a_point_over_any_steps(
    name: str, places: list[int], eta: float, variance: float
) -> None:
    schedule, times = EVERY[name], walk(EVERY[name], places)
    distribution = ExactGaussian(schedule, mean=0.7, variance=variance)
    mean, spread = 0.7 * float(schedule.alpha(times[0])), float(schedule.sigma(times[0])) ** 2
    for t, s in steps_of(times):
        offset, slope, noise = linear_map(distribution, partial(ddim, eta=eta), t, s)
        mean, spread = offset + slope * mean, slope**2 * spread + noise**2
        # Slopes are differences of numbers near 1, good to 1e-16, while sigma^2 is 1e-12 for sub-VP at t_low.
        assert mean == pytest.approx(0.7 * float(schedule.alpha(s)), rel=1e-9)
        assert spread == pytest.approx(float(schedule.sigma(s)) ** 2, rel=1e-6, abs=1e-14)


@given(name=st.sampled_from([*CHAINS, "vp", "cosine"]), places=walks)
@by_property
def test_ancestral_steps_of_large_variance_keep_a_standard_normal_over_any_steps(name: str, places: list[int]) -> None:
    schedule, times, spread = EVERY[name], walk(EVERY[name], places), 1.0
    for t, s in steps_of(times):
        offset, slope, noise = linear_map(ExactGaussian(schedule), SAMPLERS["ancestral-large"], t, s)
        spread = slope**2 * spread + noise**2
        assert offset == pytest.approx(0, abs=1e-12)
        assert spread == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("variance", [0.25, 4.0])
@pytest.mark.parametrize("name", ["ve", "vp", "rectified-flow", "linear"])
def test_many_steps_of_ddim_reach_the_variance_of_gaussian_data(name: str, variance: float, eta: float) -> None:
    schedule = EVERY[name]
    distribution = ExactGaussian(schedule, mean=0.7, variance=variance)
    errors = []
    for n in (50, 100, 200):
        times = GRIDS["log-snr"](schedule, n)[:-1]
        start = times[0]
        mean = 0.7 * float(schedule.alpha(start))
        spread = float(schedule.alpha(start)) ** 2 * variance + float(schedule.sigma(start)) ** 2
        for t, s in steps_of(times):
            offset, slope, noise = linear_map(distribution, partial(ddim, eta=eta), t, s)
            mean, spread = offset + slope * mean, slope**2 * spread + noise**2
        low = f64(schedule.t_low)
        truth = float(schedule.alpha(low)) ** 2 * variance + float(schedule.sigma(low)) ** 2
        assert mean == pytest.approx(0.7 * float(schedule.alpha(low)), abs=0.02)
        errors.append(abs(spread / truth - 1))
    # First order in the step: halved each time, up to terms of second order.
    assert errors[2] < 0.15
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.15, abs=1e-9)
    assert errors[2] == pytest.approx(errors[1] / 2, rel=0.1, abs=1e-9)


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_ddim_turns_a_standard_normal_by_the_cosine_of_each_step(n: int) -> None:
    # For N(0, 1) and alpha = cos phi, sigma = sin phi: x_hat = cos phi x_t and eps_hat = sin phi x_t, so that
    # x_s = cos(phi_t - phi_s) x_t.
    schedule = SCHEDULES["cosine"]()
    times = torch.linspace(0.9, 0, n + 1, dtype=torch.float64)
    x = normal(6, 1)
    last = last_of(ExactGaussian(schedule), x, times, SAMPLERS["ddim"])
    last_turn = math.cos(math.pi / 2 * 0.9 / n)
    torch.testing.assert_close(last, last_turn**n * x, rtol=1e-12, atol=0)


@pytest.mark.parametrize("n", [1, 3, 20])
@pytest.mark.parametrize("variance", [0.3, 1.0, 4.0])
def test_heun_is_the_trapezoidal_predictor_corrector_of_dy_dkappa(variance: float, n: int) -> None:
    sigma = np.linspace(3.0, 0.2, n + 1)
    y = 1.3
    for now, then in pairwise(sigma):  # Karras et al. 2022, algorithm 1, for N(0, v)
        slope = now * y / (variance + now**2)
        guess = y + (then - now) * slope
        y += (then - now) * 0.5 * (slope + then * guess / (variance + then**2))
    for name in EVERY:
        schedule = EVERY[name]
        low, high = (float(schedule.kappa(f64(t))) for t in (schedule.t_low, schedule.t_high))
        if low > 0.2 or high < 3:
            continue
        times = schedule.time(2 * torch.log(f64(sigma)))
        x = f64([[1.3]]) * schedule.alpha(times[0])
        last = last_of(ExactGaussian(schedule, variance=variance), x, times, SAMPLERS["heun"])
        torch.testing.assert_close(last / schedule.alpha(times[-1]), f64([[y]]), rtol=1e-9, atol=0, msg=name)


@pytest.mark.parametrize("sampler", sorted(set(EVERY_STEP) - {"ancestral-large"}))
def test_samplers_do_not_depend_on_the_schedule_but_on_its_noise_levels(sampler: str) -> None:
    """In y = x / alpha and kappa = sigma / alpha all schedules are one; the large variance alone knows alpha."""
    levels = f64([20.0, 7.0, 3.0, 1.0, 0.4, 0.25])
    start, noises, ends = 20 * normal(16, 2), normal(10, 16, 2, seed=1), {}
    for name in ("ve", "vp", "sub-vp", "cosine", "rectified-flow", "quadratic-long"):
        schedule = EVERY[name] if name in EVERY else SCHEDULES["quadratic"](T=200)
        times, draws = schedule.time(2 * torch.log(levels)), iter(noises)
        *_, last = sample(
            ring_distribution(schedule),
            start * schedule.alpha(times[0]),
            times,
            EVERY_STEP[sampler],
            partial(next, draws),
        )
        ends[name] = last.x / schedule.alpha(times[-1])
    for name, end in ends.items():
        torch.testing.assert_close(end, ends["ve"], rtol=1e-7, atol=1e-7, msg=name)


def test_ddim_with_eta_one_is_ancestral_with_the_small_variance() -> None:
    for name, schedule in EVERY.items():
        distribution, x = ring_distribution(schedule), schedule.prior_std * normal(8, 2)
        times = f64([schedule.t_high, 0.6, 0.3, schedule.t_low, 0.0])
        ends = [last_of(distribution, x, times, step) for step in (partial(ddim, eta=1.0), SAMPLERS["ancestral"])]
        torch.testing.assert_close(ends[0], ends[1], rtol=1e-7, atol=1e-7, msg=name)


@pytest.mark.parametrize("eta", [0.2, 0.5, 1.0])
def test_ddim_adds_the_noise_of_the_paper(eta: float) -> None:
    schedule = SCHEDULES["linear"](T=50)
    a_bar = schedule.alpha(f64(np.arange(51) / 50)) ** 2
    for i, j in ((50, 49), (50, 10), (7, 3), (2, 1)):
        # Song et al. 2021 (DDIM), eq. 16, between steps j < i.
        sigma = eta * ((1 - a_bar[j]) / (1 - a_bar[i])).sqrt() * (1 - a_bar[i] / a_bar[j]).sqrt()
        noise = linear_map(ExactGaussian(schedule), partial(ddim, eta=eta), f64(i / 50), f64(j / 50))[2]
        assert noise == pytest.approx(float(sigma), rel=1e-8)


def test_ddim_with_eta_zero_is_euler() -> None:
    schedule = EVERY["vp"]
    x, times = normal(8, 2), GRIDS["log-snr"](schedule, 9)
    assert torch.equal(*(last_of(ring_distribution(schedule), x, times, SAMPLERS[name]) for name in ("ddim", "euler")))


def test_the_first_step_of_dpmpp_2m_is_that_of_euler_and_the_second_is_not() -> None:
    schedule = EVERY["vp"]
    x, times = normal(8, 2), GRIDS["log-snr"](schedule, 9)
    euler, multistep = (
        list(sample(ring_distribution(schedule), x, times, SAMPLERS[n], no_noise_allowed))
        for n in ("euler", "dpmpp-2m")
    )
    torch.testing.assert_close(euler[1].x, multistep[1].x)
    assert (euler[2].x - multistep[2].x).abs().max() > 1e-3


@pytest.mark.parametrize("sampler", DETERMINISTIC)
def test_deterministic_samplers_draw_no_noise(sampler: str) -> None:
    schedule = EVERY["rectified-flow"]
    list(
        sample(
            ring_distribution(schedule),
            normal(3, 2),
            GRIDS["uniform"](schedule, 5),
            SAMPLERS[sampler],
            no_noise_allowed,
        )
    )


@pytest.mark.parametrize("sampler", ANY_DENOISER)
def test_a_trajectory_holds_every_time_and_starts_with_the_noise(sampler: str) -> None:
    schedule = EVERY["ve"]
    x, times = 80 * normal(3, 2), GRIDS["karras"](schedule, 7)
    states = list(sample(ring_distribution(schedule), x, times, ANY_DENOISER[sampler], lambda: normal(3, 2)))
    assert torch.equal(torch.stack([state.t for state in states]), times)
    assert torch.equal(states[0].x, x)
    *_, again = sample(ring_distribution(schedule), x, times, ANY_DENOISER[sampler], lambda: normal(3, 2))
    assert torch.equal(again.x, states[-1].x)


def test_a_sampler_keeps_no_graph_and_passes_the_condition_on() -> None:
    class Conditional(Says):
        def forward(self, x: torch.Tensor, label: torch.Tensor, cond: torch.Tensor | None = None) -> torch.Tensor:
            assert cond is not None
            return self.answer * cond.expand_as(x)

    schedule = EVERY["vp"]
    assert set(ANY_DENOISER) >= set(SAMPLERS) - {"kernel", "ancestral-learned", "rk45"}
    denoiser = Denoiser(Conditional(torch.nn.Parameter(torch.ones(()))), schedule, "x0")
    for step in EVERY_STEP.values():
        *_, last = sample(denoiser, normal(3, 2), GRIDS["uniform"](schedule, 3), step, quiet, cond=f64([2.0, 5.0]))
        assert not last.x.requires_grad
        torch.testing.assert_close(last.x, f64([2.0, 5.0]).expand(3, 2))


TABLE = {  # yardsticks.md: median error of the end point on the ring
    "euler": {16: 5.4e-2, 64: 1.3e-2, 256: 3.1e-3},
    "ddim": {16: 5.4e-2, 64: 1.3e-2, 256: 3.1e-3},
    "heun": {16: 2.6e-2, 64: 1.1e-3, 256: 6.2e-5},
    "midpoint": {16: 1.6e-2, 64: 7.0e-4, 256: 4.1e-5},
    "dpmpp-2m": {16: 4.6e-2, 64: 1.5e-3, 256: 8.2e-5},
    "lms-2": {16: 2.2e-2, 64: 2.0e-3, 256: 1.3e-4},
}
ORDERS = {name: sampler.order for name, sampler in SAMPLERS.items() if not sampler.random and sampler.order}
FINEST = {1: 256, 2: 256, 3: 1024, 4: 256}  # steps, by order: where the terms of the next order are small
PARTICLES = 256


def end_error(schedule: Schedule, truth: np.ndarray, x: torch.Tensor, grid: str, sampler: str, n: int) -> float:
    """Median error of the state at t_low after n steps."""
    times = GRIDS[grid](schedule, n + 1)[:-1]
    *_, last = sample(ring_distribution(schedule), x, times, SAMPLERS[sampler], no_noise_allowed)
    return float(np.median(np.linalg.norm((last.x / schedule.alpha(last.t)).numpy() - truth, axis=1)))


@pytest.fixture(scope="module")
def yardstick() -> tuple[Schedule, torch.Tensor, np.ndarray]:
    """The schedule of the yardstick, particles at its start, and where they end."""
    schedule = SCHEDULES["ve"](sigma_min=0.002, sigma_max=80.0)
    x = 80 * normal(PARTICLES, 2, seed=3)
    return schedule, x, ring_end(schedule, x)


@pytest.mark.parametrize("sampler", TABLE)
def test_the_errors_are_those_of_the_yardstick(
    sampler: str, yardstick: tuple[Schedule, torch.Tensor, np.ndarray]
) -> None:
    schedule, x, truth = yardstick
    errors = {n: end_error(schedule, truth, x, "karras", sampler, n) for n in TABLE[sampler]}
    # Other particles than in the table: a median of 256 errors moves by about 10 %.
    assert errors == pytest.approx(TABLE[sampler], rel=0.2)


@pytest.mark.parametrize("sampler", ORDERS)
def test_the_order_of_convergence_is_the_stated_one(
    sampler: str, yardstick: tuple[Schedule, torch.Tensor, np.ndarray]
) -> None:
    schedule, x, truth = yardstick
    finest = FINEST[ORDERS[sampler]]
    errors = [end_error(schedule, truth, x, "karras", sampler, n) for n in (finest // 4, finest)]
    assert math.log(errors[0] / errors[1], 4) == pytest.approx(ORDERS[sampler], abs=0.15)


@pytest.mark.parametrize("sampler", ["euler", "heun", "midpoint", "lms-2", "ab-2", "dpmpp-2m"])
@pytest.mark.parametrize("name", ["vp", "sub-vp", "cosine", "rectified-flow", "linear-200", "cosine-chain-50"])
def test_the_order_of_convergence_is_the_same_on_every_schedule(name: str, sampler: str) -> None:
    chains = {"linear-200": SCHEDULES["linear"](T=200), "cosine-chain-50": SCHEDULES["cosine-chain"](T=50)}
    schedule = chains.get(name) or EVERY[name]
    x = normal(PARTICLES // 2, 2, seed=1)
    truth = ring_end(schedule, x)
    errors = [end_error(schedule, truth, x, "log-snr", sampler, n) for n in (75, 300)]
    # Noise levels span up to nine decades here, so the terms of the next order are still a tenth or so.
    assert math.log(errors[0] / errors[1], 4) == pytest.approx(ORDERS[sampler], abs=0.2)
    # Polynomials in sigma / alpha, over so many decades, are the worst of those of second order.
    assert errors[1] < {"euler": 6e-3, "lms-2": 4e-4}.get(sampler, 2e-4)


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp-2m"])
@pytest.mark.parametrize("name", ["cosine", "cosine-chain"])
def test_solvers_converge_through_the_steep_end_of_cosine_even_on_a_uniform_grid(name: str, sampler: str) -> None:
    schedule = SCHEDULES["cosine-chain"](T=1000) if name == "cosine-chain" else EVERY[name]
    distribution, x = ring_distribution(schedule), normal(PARTICLES, 2, seed=1)
    truth = ring_end(schedule, x)
    errors = []
    for n in (25, 50, 100, 200):
        *_, last = sample(distribution, x, GRIDS["uniform"](schedule, n), SAMPLERS[sampler], no_noise_allowed)
        assert torch.isfinite(last.x).all()
        errors.append(float(np.median(np.linalg.norm(last.x.numpy() - truth, axis=1))))
    # The last step starts at t = 1 / n, and what it blurs mixes with the error of the others: no order to expect here.
    assert errors[-1] < errors[0] / 4
    assert errors[-1] < 0.02


@pytest.mark.parametrize("sampler", EVERY_STEP)
@pytest.mark.parametrize("T", [7, 50])
def test_short_chains_draw_every_component_of_a_mixture_in_its_share(T: int, sampler: str) -> None:
    schedule = SCHEDULES["quadratic"](T=T, beta_start=0.004, beta_end={7: 0.95, 50: 0.35}[T])
    assert schedule.prior_kl().warning is None
    n = 4000
    rows = last_of(
        ring_distribution(schedule), normal(n, 2, seed=T), GRIDS["trailing"](schedule, T), EVERY_STEP[sampler]
    )
    nearest = torch.cdist(rows, f64(RING)).argmin(1)
    share = torch.bincount(nearest, minlength=8) / n
    # Five standard errors of a share of 1/8.
    assert (share - 1 / 8).abs().max() < 5 * math.sqrt(1 / 8 * 7 / 8 / n)
    # The median distance of a Gaussian row is 1.18 of its standard deviation; seven steps leave some rows in between.
    assert float((rows - f64(RING)[nearest]).norm(dim=1).median()) < 2.5 * RING_STD


@pytest.mark.parametrize("sampler", EVERY_STEP)
def test_a_long_chain_draws_the_distribution_itself(sampler: str) -> None:
    schedule = SCHEDULES["cosine-chain"](T=200)
    distribution = MixtureDenoiser(schedule, f64([1.0, 3.0]), f64([[-1.0], [0.5]]), f64([[[0.09]], [[0.25]]]))
    n = 5000
    rows = last_of(distribution, normal(n, 1), GRIDS["trailing"](schedule, 200), EVERY_STEP[sampler]).squeeze(1).numpy()

    def cdf(x: np.ndarray) -> np.ndarray:
        return 0.25 * stats.norm.cdf(x, -1.0, 0.3) + 0.75 * stats.norm.cdf(x, 0.5, 0.5)

    # The 99.9 % point of the Kolmogorov statistic is 1.95 / sqrt(n) = 0.028; the discretisation adds under 0.01.
    assert stats.kstest(rows, cdf).statistic < 0.038


@pytest.mark.parametrize("variance", [0.25, 4.0])
@pytest.mark.parametrize("name", EVERY)
def test_euler_maruyama_reaches_the_moments_of_gaussian_data_at_first_order(name: str, variance: float) -> None:
    schedule = EVERY[name]
    distribution = ExactGaussian(schedule, mean=0.7, variance=variance)
    errors = []
    for n in (100, 200, 400):
        times = GRIDS["log-snr"](schedule, n)[:-1]
        times[0] = schedule.t_high
        mean = 0.7 * float(schedule.alpha(times[0]))
        spread = float(schedule.alpha(times[0])) ** 2 * variance + float(schedule.sigma(times[0])) ** 2
        for t, s in steps_of(times):
            offset, slope, noise = linear_map(distribution, SAMPLERS["euler-maruyama"], t, s)
            mean, spread = offset + slope * mean, slope**2 * spread + noise**2
        low = f64(schedule.t_low)
        truth = float(schedule.alpha(low)) ** 2 * variance + float(schedule.sigma(low)) ** 2
        errors.append(max(abs(mean - 0.7 * float(schedule.alpha(low))), abs(spread / truth - 1)))
    # Halved each time, up to terms of second order; the rates of a chain jump, which is of first order too but uneven.
    assert errors[2] < 0.02
    assert errors[0] / errors[2] > 3
    if schedule.T is None and name != "ve":  # in VE what is left is of second order
        assert errors[0] / errors[2] == pytest.approx(4, rel=0.2)


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
    distribution = MixtureDenoiser(schedule, f64([1.0, 3.0]), f64([[-1.0], [0.5]]), f64([[[0.09]], [[0.25]]]))
    n = 5000
    rows = (
        last_of(distribution, normal(n, 1), GRIDS["uniform"](schedule, 400), SAMPLERS["euler-maruyama"])
        .squeeze(1)
        .numpy()
    )

    def cdf(x: np.ndarray) -> np.ndarray:
        return 0.25 * stats.norm.cdf(x, -1.0, 0.3) + 0.75 * stats.norm.cdf(x, 0.5, 0.5)

    # The 99.9 % point of the Kolmogorov statistic is 1.95 / sqrt(n) = 0.028; 400 steps of order 1 add under 0.01.
    assert stats.kstest(rows, cdf).statistic < 0.038


def test_the_marginal_variance_leaves_too_much_noise() -> None:
    """The measure of the mistake: the spread at the step before the last, for data N(0, 1), which should be 1."""
    schedule = SCHEDULES["linear"](T=50, beta_start=1e-3, beta_end=0.25)
    times, spread = GRIDS["trailing"](schedule, 50)[:-1], {"ancestral": 1.0, "ancestral-marginal": 1.0}
    for name in spread:
        for t, s in steps_of(times):
            _, slope, noise = linear_map(ExactGaussian(schedule), SAMPLERS[name], t, s)
            assert name == "ancestral" or noise == pytest.approx(float(schedule.sigma(s)), rel=1e-8)
            spread[name] = slope**2 * spread[name] + noise**2
    assert spread["ancestral"] == pytest.approx(1, abs=0.15)  # the small variance is right for a point
    assert spread["ancestral-marginal"] > 1.5


def test_the_samplers_of_learned_models_ask_for_one_in_a_sentence() -> None:
    distribution, x = ring_distribution(EVERY["linear"]), normal(3, 2)
    for name, message in (("kernel", 'choose "ancestral"'), ("ancestral-learned", "learned")):
        with pytest.raises(InputError, match=message):
            SAMPLERS[name](distribution, x, f64(0.5), f64(0.45), Memory(quiet))


def test_the_sampler_kernel_draws_from_the_models_own_step() -> None:
    class Own(BaseDenoiser):
        def step(
            self, x_t: torch.Tensor, t: torch.Tensor, s: torch.Tensor, cond: torch.Tensor | None = None
        ) -> Gaussian:
            assert cond is not None
            return Gaussian(x_t * float(s / t) + cond, 2 * torch.log(t - s))

    x, z = normal(3, 2), normal(3, 2, seed=1)
    x_s = SAMPLERS["kernel"](Own(EVERY["linear"]), x, f64(0.5), f64(0.25), Memory(lambda: z, cond=f64([3.0])))
    torch.testing.assert_close(x_s, 0.5 * x + 3 + 0.25 * z)


def test_samples_are_the_same_rows_in_one_chunk_or_in_parts() -> None:
    schedule = EVERY["vp"]
    distribution, times = ring_distribution(schedule), GRIDS["log-snr"](schedule, 8)

    def draw(start: int, n: int) -> torch.Tensor:
        source = BlockNoise(3, SAMPLES, start, n, (2,), torch.device("cpu"))
        *_, last = sample(distribution, source().double(), times, SAMPLERS["ancestral"], source)
        return last.x

    whole = draw(0, 5000)
    torch.testing.assert_close(torch.cat([draw(0, 1234), draw(1234, 3766)]), whole, rtol=1e-9, atol=1e-9)


def test_the_ring_of_the_tests_is_that_of_the_yardstick() -> None:
    np.testing.assert_allclose(RING[[0, 2, 5]], [[1, 0], [0, 1], [-math.sqrt(0.5)] * 2], atol=1e-15)
    assert len(ANGLES) == 8
