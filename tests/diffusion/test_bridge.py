import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import CHAINS, EVERY, by_property, f64, normal, schedule_names, seeds, shares, steps_of
from torch.distributions import Normal

from driftfield.diffusion import SCHEDULES, Schedule, bridge, transition
from driftfield.diffusion.basics.bridge import bridge_log_variance

three_times = st.lists(st.integers(1, 1000), min_size=3, max_size=3, unique=True).map(sorted)


def cut(schedule: Schedule, thousandths: list[int]) -> list[torch.Tensor]:
    """Increasing times between t_low and t_high."""
    return [f64(schedule.t_low + (schedule.t_high - schedule.t_low) * i / 1000) for i in thousandths]


@given(name=schedule_names, places=three_times)
@by_property
def test_two_transitions_compose_to_one(name: str, places: list[int]) -> None:
    schedule = EVERY[name]
    s, u, t = cut(schedule, places)
    gain_us, var_us = transition(schedule, u, s)
    gain_tu, var_tu = transition(schedule, t, u)
    gain_ts, var_ts = transition(schedule, t, s)
    torch.testing.assert_close(gain_tu * gain_us, gain_ts, rtol=1e-10, atol=0)
    # gamma loses 1e-15 absolutely, so 1 - exp(gamma_s - gamma_t) loses 1e-15 / (gamma_t - gamma_s) relatively.
    torch.testing.assert_close(gain_tu**2 * var_us.exp() + var_tu.exp(), var_ts.exp(), rtol=1e-9, atol=0)


@given(name=schedule_names, places=three_times)
@by_property
def test_a_transition_carries_the_marginal_at_s_to_the_marginal_at_t(name: str, places: list[int]) -> None:
    schedule = EVERY[name]
    s, _, t = cut(schedule, places)
    gain, log_var = transition(schedule, t, s)
    torch.testing.assert_close(gain * schedule.alpha(s), schedule.alpha(t), rtol=1e-10, atol=0)
    variance = gain**2 * schedule.sigma(s) ** 2 + log_var.exp()
    torch.testing.assert_close(variance, schedule.sigma(t) ** 2, rtol=1e-10, atol=0)


@pytest.mark.parametrize("T", [7, 50])
@pytest.mark.parametrize("name", CHAINS)
def test_one_step_of_a_chain_adds_the_square_root_of_beta_times_normal_noise(name: str, T: int) -> None:
    schedule = SCHEDULES[name](T=T)
    t = f64(np.arange(T + 1) / T)
    alpha2 = schedule.alpha(t) ** 2
    for i in range(1, T + 1):
        beta = 1 - alpha2[i] / alpha2[i - 1]
        gain, log_var = transition(schedule, t[i], t[i - 1])
        torch.testing.assert_close(gain, (1 - beta).sqrt(), rtol=1e-10, atol=0)
        torch.testing.assert_close(log_var.exp(), beta, rtol=1e-9, atol=1e-15)


@given(name=schedule_names, places=three_times, seed=seeds)
@by_property
def test_the_bridge_is_bayes_rule(name: str, places: list[int], seed: int) -> None:
    schedule = EVERY[name]
    s, _, t = cut(schedule, places)
    x, x_s = normal(4, 1, seed=seed), normal(4, 1, seed=seed + 1)
    x_s = schedule.alpha(s) * x + schedule.sigma(s) * x_s
    gain, log_var = transition(schedule, t, s)
    step = torch.exp(log_var / 2)
    x_t = gain * x_s + step * normal(4, 1, seed=seed + 2)
    joint = Normal(gain * x_s, step).log_prob(x_t) + Normal(schedule.alpha(s) * x, schedule.sigma(s)).log_prob(x_s)
    evidence = Normal(schedule.alpha(t) * x, schedule.sigma(t)).log_prob(x_t)
    # Residuals cancel: 1e-16 of x, magnified by the smallest standard deviation, 1e-6 of sub-VP near t_low.
    posterior = bridge(schedule, x_t, x, t, s).log_prob(x_s)
    smallest = float(torch.minimum(step, schedule.sigma(s)))
    torch.testing.assert_close(posterior, (joint - evidence).squeeze(1), rtol=1e-8, atol=1e-8 + 1e-13 / smallest)


@given(name=schedule_names, places=three_times, seed=seeds)
@by_property
def test_a_strided_step_is_the_marginal_of_the_steps_between(name: str, places: list[int], seed: int) -> None:
    schedule = EVERY[name]
    s, u, t = cut(schedule, places)
    x, x_t = normal(3, 2, seed=seed), schedule.sigma(t) * normal(3, 2, seed=seed + 1)
    first = bridge(schedule, x_t, x, t, u)
    at_mean, at_shift = (bridge(schedule, first.mean + shift, x, u, s) for shift in (0.0, 1.0))
    slope = at_shift.mean - at_mean.mean  # the mean of the second step is linear in x_u
    direct = bridge(schedule, x_t, x, t, s)
    torch.testing.assert_close(at_mean.mean, direct.mean, rtol=1e-9, atol=1e-9)
    variance = at_mean.log_var.exp() + slope**2 * first.log_var.exp()
    # The slope is a difference of numbers of the size of x_t, hence the absolute part.
    torch.testing.assert_close(variance, direct.log_var.exp().expand(3, 2), rtol=1e-7, atol=1e-11)


@given(name=schedule_names, places=three_times)
@by_property
def test_the_bridge_leaves_the_distribution_of_x_s_as_it_is(name: str, places: list[int]) -> None:
    schedule = EVERY[name]
    s, _, t = cut(schedule, places)
    x = f64([[1.5]])
    at_mean = bridge(schedule, schedule.alpha(t) * x, x, t, s)
    slope = bridge(schedule, schedule.alpha(t) * x + schedule.sigma(t), x, t, s).mean - at_mean.mean
    torch.testing.assert_close(at_mean.mean, schedule.alpha(s) * x, rtol=1e-10, atol=0)
    torch.testing.assert_close(
        slope**2 + at_mean.log_var.exp(), (schedule.sigma(s) ** 2)[None, None], rtol=1e-8, atol=1e-15
    )


@given(places=st.lists(st.integers(1, 49), min_size=1, max_size=12, unique=True), name=st.sampled_from(CHAINS))
@by_property
def test_any_composition_of_strides_keeps_the_marginals_of_a_chain(places: list[int], name: str) -> None:
    schedule = SCHEDULES[name](T=50)
    times = f64([50, *sorted(places, reverse=True)]) / 50
    x = f64([[0.7]])
    mean, variance = schedule.alpha(times[0]) * x, schedule.sigma(times[0]) ** 2
    for t, s in steps_of(times):
        here = bridge(schedule, mean, x, t, s)
        slope = bridge(schedule, mean + 1, x, t, s).mean - here.mean
        mean, variance = here.mean, here.log_var.exp() + slope**2 * variance
        torch.testing.assert_close(mean, schedule.alpha(s) * x, rtol=1e-9, atol=0)
        torch.testing.assert_close(variance.squeeze(), schedule.sigma(s) ** 2, rtol=1e-8, atol=0)


@pytest.mark.parametrize("name", CHAINS)
def test_neighbouring_steps_have_the_posterior_of_ho(name: str) -> None:
    schedule = SCHEDULES[name](T=50)
    t = f64(np.arange(51) / 50)
    a_bar = schedule.alpha(t) ** 2
    x, x_t = f64([[0.4]]), f64([[-1.3]])
    for i in range(2, 51):
        beta = 1 - a_bar[i] / a_bar[i - 1]
        variance = (1 - a_bar[i - 1]) / (1 - a_bar[i]) * beta
        mean = (a_bar[i - 1].sqrt() * beta * x + (1 - beta).sqrt() * (1 - a_bar[i - 1]) * x_t) / (1 - a_bar[i])
        posterior = bridge(schedule, x_t, x, t[i], t[i - 1])
        torch.testing.assert_close(posterior.mean, mean, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(posterior.log_var.exp(), variance, rtol=1e-8, atol=0)


@pytest.mark.parametrize("t", [1.0, 0.4])
@pytest.mark.parametrize("name", EVERY)
def test_a_bridge_to_time_zero_is_the_data_without_noise(name: str, t: float) -> None:
    schedule = EVERY[name]
    x, x_t = normal(5, 3), normal(5, 3, seed=1)
    last = bridge(schedule, x_t, x, f64(t), f64(0.0))
    torch.testing.assert_close(last.mean, x)
    assert torch.equal(last.sample(torch.ones_like(x)), last.mean)
    assert float(bridge_log_variance(schedule, f64(t), f64(0.0))) == -np.inf


@given(share=shares, name=st.sampled_from(["cosine", "rectified-flow"]))
@by_property
def test_a_bridge_from_pure_noise_forgets_the_noise(share: float, name: str) -> None:
    schedule = EVERY[name]
    s = f64(0.01 + 0.98 * share)
    x = normal(5, 2)
    first = bridge(schedule, 1e3 * normal(5, 2, seed=1), x, f64(1.0), s)
    torch.testing.assert_close(first.mean, schedule.alpha(s) * x)
    torch.testing.assert_close(first.log_var, 2 * schedule.log_sigma(s))


def test_each_row_of_a_bridge_has_its_own_times() -> None:
    schedule = EVERY["vp"]
    x, x_t, t, s = normal(3, 2), normal(3, 2, seed=1), f64([0.9, 0.5, 0.3]), f64([0.2, 0.4, 0.0])
    together = bridge(schedule, x_t, x, t, s)
    for i in range(3):
        alone = bridge(schedule, x_t[i : i + 1], x[i : i + 1], t[i], s[i])
        torch.testing.assert_close(together.mean[i : i + 1], alone.mean)
        torch.testing.assert_close(together.log_var[i, 0], alone.log_var)
