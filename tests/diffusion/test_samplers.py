"""Every sampler of the table on every schedule and through every head: ends, noise, trajectories, DDIM's formulas."""

import math
from functools import cache, partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import (
    CHAINS,
    EVERY,
    ExactGaussian,
    Says,
    by_property,
    close,
    f64,
    head_of_each_row,
    knowing,
    no_noise_allowed,
    normal,
    quiet,
    ring_distribution,
    schedule_names,
    steps_of,
)
from sampler_table import ANY_DENOISER, DETERMINISTIC, EVERY_STEP, last_of, linear_map, noisy_moments

from driftfield.diffusion import (
    GRIDS,
    HEADS,
    SAMPLERS,
    SCHEDULES,
    BaseDenoiser,
    Chain,
    Denoiser,
    Gaussian,
    Schedule,
    sample,
)
from driftfield.diffusion.basics.loop import Memory
from driftfield.diffusion.basics.stochastic import ddim
from driftfield.diffusion.further.row_noise import SAMPLES, BlockNoise
from driftfield.errors import InputError

walks = st.lists(st.integers(1, 999), min_size=1, max_size=12, unique=True)


def walk(schedule: Schedule, places: list[int]) -> torch.Tensor:
    """From t_high through the given thousandths to t_low."""
    span = schedule.t_high - schedule.t_low
    inner = [schedule.t_low + span * i / 1000 for i in sorted(places, reverse=True)]
    return f64([schedule.t_high, *inner, schedule.t_low])


@cache
def grid(kind: str, name: str, n: int) -> torch.Tensor:
    return GRIDS[kind](EVERY[name], n)


@pytest.mark.parametrize("sampler", EVERY_STEP)
def test_one_two_or_three_steps_find_a_point_exactly_for_every_schedule_and_head(sampler: str) -> None:
    for name, schedule in EVERY.items():
        x = schedule.prior_std * normal(4, 2).repeat(len(HEADS), 1)
        denoiser = knowing(ExactGaussian(schedule, mean=0.7, variance=0.0), head_of_each_row(4))
        for kind, n in (("uniform", 1), ("uniform", 2), ("karras", 3)):
            last = last_of(denoiser, x, grid(kind, name, n), EVERY_STEP[sampler])
            # A rounding of the network's output is magnified by at most 1 / alpha or 1 / sigma at the ends, 1e6.
            close(last, torch.full_like(last, 0.7), (name, kind, n), rtol=0, atol=1e-9)


@pytest.mark.parametrize("sampler", ANY_DENOISER)
def test_one_two_or_three_steps_in_single_precision_end_where_they_do_in_double(sampler: str) -> None:
    for name, schedule in EVERY.items():
        x = (schedule.prior_std * normal(4, 2)).float().repeat(len(HEADS), 1)
        denoiser = Denoiser(Says(torch.tensor(0.25)), schedule, head_of_each_row(4))
        for n in (1, 2, 3):
            single, double = (
                last_of(denoiser, start, grid("log-snr", name, n), ANY_DENOISER[sampler]) for start in (x, x.double())
            )
            assert single.dtype == torch.float32
            for head, found, expected in zip(HEADS, single.double().split(4), double.split(4), strict=True):
                size = max(1.0, float(expected.abs().max()))
                # Rounding is 6e-8, and some steps pass through values some hundred times as large as their end.
                close(found / size, expected / size, (name, head, n), rtol=0, atol=1e-4)


@pytest.mark.parametrize("sampler", EVERY_STEP)
def test_a_chain_of_a_single_step_works(sampler: str) -> None:
    schedule, x = Chain(f64([0.9])), normal(4, 2)
    estimate = ring_distribution(schedule)(x, f64(1.0)).x0
    for kind in GRIDS:
        for n in (1,) if kind == "trailing" else (1, 2, 3, 28):
            last = last_of(ring_distribution(schedule), x, GRIDS[kind](schedule, n), EVERY_STEP[sampler])
            assert torch.isfinite(last).all(), (kind, n)
            if n == 1:
                close(last, estimate, kind, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("sampler", EVERY_STEP)
def test_the_last_step_returns_the_estimate_and_adds_no_noise(sampler: str) -> None:
    step = EVERY_STEP[sampler]
    for name, schedule in EVERY.items():
        distribution, x = ring_distribution(schedule), schedule.prior_std * normal(5, 2)
        *_, before, last = sample(distribution, x, grid("log-snr", name, 6), step, lambda: 0.1 * torch.ones(5, 2))
        close(last.x, distribution(before.x, before.t).x0, name, rtol=1e-7, atol=1e-7)
        loud = step(distribution, x, f64(0.5), f64(0.0), Memory(lambda: torch.full((5, 2), 1e6)))
        close(loud, distribution(x, f64(0.5)).x0, name, rtol=1e-7, atol=1e-7)


@given(name=schedule_names, places=walks, eta=st.sampled_from([0.0, 0.5, 1.0]))
@by_property
def test_ddim_of_any_eta_keeps_the_distribution_of_a_point_over_any_steps(
    name: str, places: list[int], eta: float
) -> None:
    schedule, times = EVERY[name], walk(EVERY[name], places)
    point = ExactGaussian(schedule, mean=0.7, variance=0.0)
    mean, spread = noisy_moments(point, times[0])
    for t, s in steps_of(times):
        offset, slope, noise = linear_map(point, partial(ddim, eta=eta), t, s)
        mean, spread = offset + slope * mean, slope**2 * spread + noise**2
        # Slopes are differences of numbers near 1, good to 1e-16, while sigma^2 is 1e-12 for sub-VP at t_low.
        true_mean, true_spread = noisy_moments(point, s)
        assert float(mean) == pytest.approx(float(true_mean), rel=1e-9)
        assert float(spread) == pytest.approx(float(true_spread), rel=1e-6, abs=1e-14)


@given(name=st.sampled_from([*CHAINS, "vp", "cosine", "learned"]), places=walks)
@by_property
def test_ancestral_steps_of_large_variance_keep_a_standard_normal_over_any_steps(name: str, places: list[int]) -> None:
    schedule, times, spread = EVERY[name], walk(EVERY[name], places), torch.ones(1).double()
    for t, s in steps_of(times):
        offset, slope, noise = linear_map(ExactGaussian(schedule), SAMPLERS["ancestral-large"], t, s)
        spread = slope**2 * spread + noise**2
        assert float(offset) == pytest.approx(0, abs=1e-12)
        assert float(spread) == pytest.approx(1, rel=1e-9)


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


def reaching(high: float, low: float) -> dict[str, Schedule]:
    """The schedules whose networks are evaluated at all noise levels sigma / alpha from ``low`` to ``high``."""
    return {
        name: schedule
        for name, schedule in EVERY.items()
        if float(schedule.kappa(f64(schedule.t_low))) <= low and float(schedule.kappa(f64(schedule.t_high))) >= high
    }


@pytest.mark.parametrize("n", [1, 3, 20])
def test_heun_is_the_trapezoidal_predictor_corrector_of_dy_dkappa(n: int) -> None:
    sigma, variance = np.linspace(3.0, 0.2, n + 1), np.array([0.3, 1.0, 4.0])
    y = np.full(3, 1.3)
    for now, then in pairwise(sigma):  # Karras et al. 2022, algorithm 1, for N(0, v)
        slope = now * y / (variance + now**2)
        guess = y + (then - now) * slope
        y = y + (then - now) * 0.5 * (slope + then * guess / (variance + then**2))
    for name, schedule in reaching(3.0, 0.2).items():
        times = schedule.time(2 * torch.log(f64(sigma)))
        x = torch.full((1, 3), 1.3, dtype=torch.float64) * schedule.alpha(times[0])
        last = last_of(ExactGaussian(schedule, variance=f64(variance)), x, times, SAMPLERS["heun"])
        close(last / schedule.alpha(times[-1]), f64(y)[None], name, rtol=1e-9, atol=0)


@pytest.mark.parametrize("sampler", sorted(set(EVERY_STEP) - {"ancestral-large"}))
def test_samplers_do_not_depend_on_the_schedule_but_on_its_noise_levels(sampler: str) -> None:
    """In y = x / alpha and kappa = sigma / alpha all schedules are one; the large variance alone knows alpha."""
    levels = f64([20.0, 7.0, 3.0, 1.0, 0.4, 0.25])
    start, noises, ends = 20 * normal(16, 2), normal(10, 16, 2, seed=1), {}
    # Churn goes up to sqrt 2 times the first level.
    long_chain = SCHEDULES["quadratic"](T=200)
    for name, schedule in {**reaching(29.0, 0.25), "long chain": long_chain}.items():
        times, draws = schedule.time(2 * torch.log(levels)), iter(noises)
        *_, last = sample(
            ring_distribution(schedule),
            start * schedule.alpha(times[0]),
            times,
            EVERY_STEP[sampler],
            partial(next, draws),
        )
        ends[name] = last.x / schedule.alpha(times[-1])
    assert len(ends) >= 6
    for name, end in ends.items():
        close(end, ends["ve"], name, rtol=1e-7, atol=1e-7)


def test_ddim_with_eta_one_is_ancestral_with_the_small_variance() -> None:
    for name, schedule in EVERY.items():
        distribution, x = ring_distribution(schedule), schedule.prior_std * normal(8, 2)
        times = f64([schedule.t_high, 0.6, 0.3, schedule.t_low, 0.0])
        ends = [last_of(distribution, x, times, step) for step in (partial(ddim, eta=1.0), SAMPLERS["ancestral"])]
        close(ends[0], ends[1], name, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("eta", [0.2, 0.5, 1.0])
def test_ddim_adds_the_noise_of_the_paper(eta: float) -> None:
    schedule = SCHEDULES["linear"](T=50)
    a_bar = schedule.alpha(f64(np.arange(51) / 50)) ** 2
    for i, j in ((50, 49), (50, 10), (7, 3), (2, 1)):
        # Song et al. 2021 (DDIM), eq. 16, between steps j < i.
        sigma = eta * ((1 - a_bar[j]) / (1 - a_bar[i])).sqrt() * (1 - a_bar[i] / a_bar[j]).sqrt()
        noise = linear_map(ExactGaussian(schedule), partial(ddim, eta=eta), f64(i / 50), f64(j / 50))[2]
        assert float(noise) == pytest.approx(float(sigma), rel=1e-8)


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
    apart = {name for name, each in SAMPLERS.items() if each.needs or each.chooses_steps}  # with tests of their own
    assert set(ANY_DENOISER) >= set(SAMPLERS) - apart
    denoiser = Denoiser(Conditional(torch.nn.Parameter(torch.ones(()))), schedule, "x0")
    for name, step in EVERY_STEP.items():
        *_, last = sample(denoiser, normal(3, 2), GRIDS["uniform"](schedule, 3), step, quiet, cond=f64([2.0, 5.0]))
        assert not last.x.requires_grad, name
        close(last.x, f64([2.0, 5.0]).expand(3, 2), name, rtol=1e-7, atol=1e-7)


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
