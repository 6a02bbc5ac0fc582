import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import CHAINS, CONTINUOUS, EVERY, by_property, f64, schedule_names

from driftfield.diffusion import GRIDS, SCHEDULES
from driftfield.errors import InputError

SMOOTH = sorted(set(GRIDS) - {"trailing"})


@given(grid=st.sampled_from(SMOOTH), name=schedule_names, n=st.integers(1, 300))
@by_property
def test_a_grid_of_n_steps_falls_from_one_to_zero(grid: str, name: str, n: int) -> None:
    times = GRIDS[grid](EVERY[name], n)
    assert times.dtype == torch.float64
    assert times.shape == (n + 1,)
    assert float(times[0]) == 1
    assert float(times[-1]) == 0
    assert (times.diff() < 0).all()


@given(T=st.integers(1, 200), share=st.floats(0, 1), name=st.sampled_from(CHAINS))
@by_property
def test_the_trailing_grid_visits_distinct_steps_of_the_chain_from_the_last(T: int, share: float, name: str) -> None:
    schedule, n = SCHEDULES[name](T=T), 1 + int(share * (T - 1))
    times = GRIDS["trailing"](schedule, n)
    steps = times * T
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-9)
    assert (steps.round().diff() <= -1).all()
    # Lin et al. 2024, table 2, counts from 1 to T: round(T - i T / n). Halves may go either way.
    expected = f64(T - np.arange(n + 1) * T / n)
    assert (steps - expected).abs().max() <= 0.5 + 1e-9


def test_the_trailing_grid_of_all_steps_is_the_chain_itself() -> None:
    for T in (1, 7, 49, 50, 1000):
        times = GRIDS["trailing"](SCHEDULES["linear"](T=T), T)
        torch.testing.assert_close(times, torch.arange(T, -1, -1).double() / T, rtol=0, atol=0)


def test_the_trailing_grid_refuses_more_steps_than_the_chain_has() -> None:
    with pytest.raises(InputError, match="8 steps on a chain of 7"):
        GRIDS["trailing"](SCHEDULES["linear"](T=7), 8)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_trailing_grid_is_uniform_in_continuous_time(name: str) -> None:
    torch.testing.assert_close(GRIDS["trailing"](EVERY[name], 9), torch.linspace(1, 0, 10).double())


def test_the_quadratic_grid_is_the_square_of_the_uniform_one() -> None:
    torch.testing.assert_close(GRIDS["quadratic"](EVERY["vp"], 4), f64([1, 9 / 16, 4 / 16, 1 / 16, 0]))


@pytest.mark.parametrize("name", EVERY)
def test_the_log_snr_grid_has_equal_steps_of_gamma(name: str) -> None:
    schedule = EVERY[name]
    times = schedule.clamp(GRIDS["log-snr"](schedule, 12))[:-1]  # t = 1 stands for t_high, the last is t = 0
    expected = torch.linspace(*(float(schedule.gamma(f64(t))) for t in (schedule.t_high, schedule.t_low)), 12)
    # gamma reaches 28 and torch.linspace above is in float32.
    torch.testing.assert_close(schedule.gamma(times), expected.double(), rtol=1e-5, atol=1e-5)


def test_the_karras_grid_is_that_of_the_paper() -> None:
    schedule = SCHEDULES["ve"](sigma_min=0.002, sigma_max=80.0)
    n, rho = 18, 7.0
    i = np.arange(n)
    sigma = (80 ** (1 / rho) + i / (n - 1) * (0.002 ** (1 / rho) - 80 ** (1 / rho))) ** rho  # eq. 5
    # t_low is a millionth after 0, where sigma is already 0.002 (1 + 1e-5).
    np.testing.assert_allclose(schedule.sigma(GRIDS["karras"](schedule, n)[:-1]).numpy(), sigma, rtol=2e-5)


@pytest.mark.parametrize("name", EVERY)
def test_the_karras_grid_has_equal_steps_of_a_root_of_the_noise_level(name: str) -> None:
    schedule = EVERY[name]
    times = schedule.clamp(GRIDS["karras"](schedule, 12))[:-1]
    steps = (schedule.kappa(times) ** (1 / 7)).diff()
    torch.testing.assert_close(steps, steps.mean().expand(11), rtol=1e-7, atol=0)


@pytest.mark.parametrize("n", [0, -3])
@pytest.mark.parametrize("grid", GRIDS)
def test_a_grid_without_steps_is_refused(grid: str, n: int) -> None:
    for name in ("ve", "linear"):
        with pytest.raises(InputError, match="at least 1 step"):
            GRIDS[grid](EVERY[name], n)


@pytest.mark.parametrize("T", [7, 50])
def test_grids_of_short_chains_stay_on_them(T: int) -> None:
    for name in CHAINS:
        schedule = SCHEDULES[name](T=T)
        for grid in ("log-snr", "karras"):
            times = GRIDS[grid](schedule, 5)
            assert float(times[-2]) == pytest.approx(1 / T, rel=1e-9)


@pytest.mark.parametrize("grid", GRIDS)
def test_a_grid_can_be_made_from_a_table_on_another_device(grid: str) -> None:
    """On the meta device nothing is computed, but operations that mix devices fail as they do on a GPU."""
    schedule = SCHEDULES["linear"](T=20).to("meta")
    assert GRIDS[grid](schedule, 5).shape == (6,)
