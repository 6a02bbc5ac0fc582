from itertools import pairwise

import pytest
import torch
from oracles import CHAINS, EVERY, f64, normal

from driftfield.diffusion.basics.forward import chain_times, walk
from driftfield.errors import InputError

ROWS = 40_000


def draws(x: torch.Tensor, seed: int) -> object:
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(x.shape, generator=generator, dtype=x.dtype)


@pytest.mark.parametrize("name", EVERY)
def test_a_walk_has_the_moments_of_the_marginal_at_every_time(name: str) -> None:
    schedule, x = EVERY[name], f64([[0.7]]).expand(ROWS, 1)
    for t, x_t in walk(schedule, x, draws(x, 1), f64([0.0, 0.1, 0.35, 0.6, 1.0])):
        sigma = float(schedule.sigma(t))
        # Five standard errors: sigma / sqrt(n) of a mean, sigma^2 sqrt(2 / n) of a variance.
        assert float(x_t.mean()) == pytest.approx(0.7 * float(schedule.alpha(t)), abs=5 * sigma / ROWS**0.5 + 1e-12)
        assert float(x_t.var()) == pytest.approx(sigma**2, rel=5 * (2 / ROWS) ** 0.5, abs=1e-12)


@pytest.mark.parametrize("name", CHAINS)
def test_two_times_of_a_walk_have_the_covariance_of_a_markov_chain(name: str) -> None:
    schedule, x = EVERY[name], torch.zeros(ROWS, 1, dtype=torch.float64)
    states = list(walk(schedule, x, draws(x, 2), chain_times(schedule)))
    (s, x_s), (t, x_t) = states[5], states[9]
    sigma_s, sigma_t = float(schedule.sigma(s)), float(schedule.sigma(t))
    expected = float(schedule.alpha(t) / schedule.alpha(s)) * sigma_s**2
    # The standard error of a covariance is at most sqrt(2) sigma_s sigma_t / sqrt(n); five of them.
    assert float((x_s * x_t).mean()) == pytest.approx(expected, abs=5 * 2**0.5 * sigma_s * sigma_t / ROWS**0.5)


@pytest.mark.parametrize("name", CHAINS)
def test_a_walk_without_noise_shrinks_the_data_by_alpha(name: str) -> None:
    schedule, x = EVERY[name], normal(3, 2)
    for t, x_t in walk(schedule, x, lambda: torch.zeros(3, 2), chain_times(schedule)):
        torch.testing.assert_close(x_t, schedule.alpha(t) * x)  # float64 products of 20 factors


def test_the_times_of_a_chain_go_from_zero_to_one_in_equal_steps() -> None:
    times = chain_times(EVERY["linear"])
    assert len(times) == 21
    assert float(times[0]) == 0
    assert float(times[-1]) == 1
    assert all(float(t - s) == pytest.approx(1 / 20, rel=1e-12) for s, t in pairwise(times))


def test_continuous_time_has_no_times_of_a_chain() -> None:
    with pytest.raises(InputError, match="needs a discrete chain"):
        chain_times(EVERY["vp"])
