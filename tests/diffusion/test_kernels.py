import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import CHAINS, EVERY, ExactGaussian, by_property, f64, normal, ring_distribution, steps_of

from driftfield.diffusion import SCHEDULES, DenoiserKernel, Schedule, bridge
from driftfield.diffusion.basics.denoisers import Estimate
from driftfield.diffusion.basics.kernels import VARIANCES
from driftfield.errors import InputError

PRESERVING = [*CHAINS, "vp", "cosine"]
walks = st.lists(st.integers(1, 999), min_size=1, max_size=12, unique=True)


def moments(kernel: DenoiserKernel, times: torch.Tensor, mean: float, variance: float) -> list[tuple[float, float]]:
    """Mean and variance of x at each time, in closed form: the kernel of Gaussian data is linear."""
    path = []
    for t, s in steps_of(times):
        at_zero, at_one = (kernel.step(f64([[value]]), t, s) for value in (0.0, 1.0))
        slope = float(at_one.mean - at_zero.mean)
        mean = float(at_zero.mean) + slope * mean
        variance = slope**2 * variance + float(at_zero.log_var.exp())
        path.append((mean, variance))
    return path


def truth(schedule: Schedule, t: torch.Tensor, mean: float, variance: float) -> tuple[float, float]:
    alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
    return alpha * mean, alpha**2 * variance + sigma**2


def walk(schedule: Schedule, places: list[int]) -> torch.Tensor:
    """From t_high through the given thousandths to t_low."""
    span = schedule.t_high - schedule.t_low
    inner = [schedule.t_low + span * i / 1000 for i in sorted(places, reverse=True)]
    return f64([schedule.t_high, *inner, schedule.t_low])


@given(name=st.sampled_from(sorted(EVERY)), places=walks)
@by_property
def test_the_small_variance_keeps_the_distribution_of_a_point_over_any_steps(name: str, places: list[int]) -> None:
    schedule = EVERY[name]
    times = walk(schedule, places)
    kernel = DenoiserKernel(ExactGaussian(schedule, mean=0.7, variance=0.0), "small")
    path = moments(kernel, times, *truth(schedule, times[0], 0.7, 0.0))
    for t, (mean, variance) in zip(times[1:], path, strict=True):
        # Slopes are differences of numbers near 1, good to 1e-16, while sigma^2 is 1e-12 for sub-VP at t_low.
        assert mean == pytest.approx(truth(schedule, t, 0.7, 0.0)[0], rel=1e-9)
        assert variance == pytest.approx(truth(schedule, t, 0.7, 0.0)[1], rel=1e-6, abs=1e-14)


@given(name=st.sampled_from(PRESERVING), places=walks)
@by_property
def test_the_large_variance_keeps_the_distribution_of_a_standard_normal_over_any_steps(
    name: str, places: list[int]
) -> None:
    schedule = EVERY[name]
    times = walk(schedule, places)
    kernel = DenoiserKernel(ExactGaussian(schedule), "large")
    for mean, variance in moments(kernel, times, 0.0, 1.0):
        assert mean == pytest.approx(0, abs=1e-12)
        assert variance == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("name", CHAINS)
def test_between_neighbours_the_variances_are_the_two_of_ho(name: str) -> None:
    schedule = SCHEDULES[name](T=50)
    t = f64(np.arange(51) / 50)
    a_bar = schedule.alpha(t) ** 2
    for i in range(2, 51):
        estimate = Estimate(f64(0.0), f64(0.0), t[i], schedule)
        beta = 1 - a_bar[i] / a_bar[i - 1]
        small = (1 - a_bar[i - 1]) / (1 - a_bar[i]) * beta
        torch.testing.assert_close(VARIANCES["small"](estimate, t[i], t[i - 1]).exp(), small, rtol=1e-8, atol=0)
        torch.testing.assert_close(VARIANCES["large"](estimate, t[i], t[i - 1]).exp(), beta, rtol=1e-8, atol=0)


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("name", EVERY)
def test_the_last_step_returns_the_estimate_and_adds_no_noise(name: str, variance: str) -> None:
    schedule = EVERY[name]
    distribution, x_t = ring_distribution(schedule), normal(5, 2)
    for t in (1.0, 0.5, schedule.t_low):
        last = DenoiserKernel(distribution, variance).step(x_t, f64(t), f64(0.0))
        x_hat = distribution(x_t, f64(t)).x0
        torch.testing.assert_close(last.mean, x_hat)
        assert torch.equal(last.sample(1e6 * torch.ones_like(x_t)), last.mean)


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("name", EVERY)
def test_a_kernel_is_the_bridge_with_the_estimate_for_the_data(name: str, variance: str) -> None:
    schedule = EVERY[name]
    distribution, x_t, t, s = ring_distribution(schedule), normal(5, 2), f64(0.7), f64(0.4)
    gaussian = DenoiserKernel(distribution, variance).step(x_t, t, s)
    expected = bridge(schedule, x_t, distribution(x_t, t).x0, t, s)
    torch.testing.assert_close(gaussian.mean, expected.mean)
    assert (gaussian.log_var >= expected.log_var - 1e-12).all()
    if variance == "small":
        torch.testing.assert_close(gaussian.log_var, expected.log_var)


def test_rows_of_a_kernel_may_end_at_zero_while_others_do_not() -> None:
    distribution, x_t = ring_distribution(EVERY["vp"]), normal(2, 2)
    for variance in VARIANCES:
        gaussian = DenoiserKernel(distribution, variance).step(x_t, f64([0.5, 0.5]), f64([0.0, 0.3]))
        assert float(gaussian.log_var[0]) == -np.inf
        assert np.isfinite(float(gaussian.log_var[1]))


def test_an_unknown_variance_is_refused() -> None:
    with pytest.raises(InputError, match='Unknown variance "larg": did you mean "large"'):
        DenoiserKernel(ring_distribution(EVERY["vp"]), "larg")
