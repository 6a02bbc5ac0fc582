import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import CHAINS, CONTINUOUS, EVERY, by_property, f64, inside, normal, schedule_names, shares, some_times
from torch.distributions import Normal, kl_divergence

from driftfield.diffusion import SCHEDULES, Chain, Schedule
from driftfield.errors import InputError

LENGTHS = (10, 50, 100, 1000)
BETAS = {
    "constant": lambda T: np.full(T, 0.117),
    "linear": lambda T: np.linspace(1e-4, 0.1, T),
    "quadratic": lambda T: np.linspace(1e-2, math.sqrt(0.1), T) ** 2,
    "sigmoid": lambda T: 1e-4 + (0.1 - 1e-4) / (1 + np.exp(-np.linspace(-6, 6, T))),
    "cosine-chain": lambda T: np.array([cosine_beta(i, T) for i in range(1, T + 1)]),
}
TUTORIALS = {
    "tutorial 0: constant 0.05^2, 50 steps": (SCHEDULES["constant"](T=50, beta=0.05**2), 0.88),
    "tutorial 2: sigmoid, 100 steps": (SCHEDULES["sigmoid"](T=100, beta_start=1e-5, beta_end=5e-3), 0.78),
    "tutorial 3: linear, 200 steps": (SCHEDULES["linear"](T=200, beta_start=1e-4, beta_end=0.02), 0.13),
}


def betas_of(name: str, T: int) -> np.ndarray:
    """The betas of a built-in chain, written out apart from the package."""
    if name not in BETAS:
        pytest.fail(f'The chain "{name}" is not in BETAS of {__file__}: write its betas there with its defaults.')
    return BETAS[name](T)


def cosine_beta(i: int, T: int) -> float:
    def alpha_bar(u: float) -> float:
        return math.cos((u / T + 0.008) / 1.008 * math.pi / 2) ** 2

    return min(1 - alpha_bar(i) / alpha_bar(i - 1), 0.999)


def signal_of(betas: np.ndarray) -> np.ndarray:
    """prod (1 - beta), in extended precision."""
    return np.cumprod(1 - betas.astype(np.longdouble))


@pytest.mark.parametrize("T", [1, 7, 50, 1000])
@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_is_the_running_product_of_its_betas_on_the_grid(name: str, T: int) -> None:
    schedule = SCHEDULES[name](T=T)
    t = f64(np.arange(1, T + 1) / T)
    signal = signal_of(betas_of(name, T))
    # A sum of T float64 logarithms is good to about T * 1e-16; cosine betas near 1 lose some digits in 1 - beta.
    np.testing.assert_allclose(schedule.alpha(t) ** 2, signal.astype(float), rtol=1e-11)
    np.testing.assert_allclose(schedule.sigma(t) ** 2, (1 - signal).astype(float), rtol=1e-11)


@given(betas=st.lists(st.floats(1e-6, 0.999), min_size=1, max_size=30), u=st.lists(shares, min_size=2, max_size=2))
@by_property
def test_a_chain_of_any_betas_rises_between_its_grid_points(betas: list[float], u: list[float]) -> None:
    schedule = Chain(f64(betas))
    early, late = sorted(u)
    gamma = schedule.gamma(f64([early, late]))
    assert gamma[0] <= gamma[1]
    signal = signal_of(np.array(betas))
    cell = min(int(late * len(betas)), len(betas) - 1)
    before = 1.0 if cell == 0 else float(signal[cell - 1])
    assert float(signal[cell]) - 1e-12 <= float(schedule.alpha(f64(late)) ** 2) <= before + 1e-12


def test_the_first_cell_of_a_chain_grows_from_no_noise_at_all() -> None:
    schedule = SCHEDULES["linear"](T=7)
    t = torch.linspace(0, 1 / 7, 5, dtype=torch.float64)
    torch.testing.assert_close(schedule.sigma(t) ** 2, 1e-4 * torch.linspace(0, 1, 5).double())


@pytest.mark.parametrize("name", [*CHAINS, "vp", "cosine"])
def test_a_variance_preserving_schedule_keeps_the_sum_of_squares_at_one(name: str) -> None:
    t = torch.linspace(0, 1, 41, dtype=torch.float64)
    torch.testing.assert_close(EVERY[name].alpha(t) ** 2 + EVERY[name].sigma(t) ** 2, torch.ones_like(t))


@pytest.mark.parametrize("name", EVERY)
def test_time_zero_is_the_data_itself(name: str) -> None:
    zero = f64(0.0)
    assert float(EVERY[name].alpha(zero)) == 1
    assert float(EVERY[name].sigma(zero)) == 0
    assert float(EVERY[name].gamma(zero)) == -math.inf


@pytest.mark.parametrize("name", ["cosine", "rectified-flow"])
def test_the_end_of_a_zero_terminal_schedule_holds_no_signal(name: str) -> None:
    one = f64(1.0)
    assert float(EVERY[name].alpha(one)) == 0
    assert float(EVERY[name].sigma(one)) == 1


@given(name=schedule_names, u=st.lists(shares, min_size=2, max_size=2))
@by_property
def test_gamma_rises_with_time(name: str, u: list[float]) -> None:
    early, late = sorted(u)
    gamma = EVERY[name].gamma(f64([early, late]))
    assert gamma[0] <= gamma[1]


def test_vp_has_drift_minus_half_beta_and_diffusion_beta() -> None:
    schedule = SCHEDULES["vp"](beta_min=0.3, beta_max=12.0)
    t = some_times(schedule)
    beta = 0.3 + (12.0 - 0.3) * t
    f, g2 = schedule.rates(t)
    torch.testing.assert_close(f, -beta / 2)
    # dgamma/dt is beta / sigma^2: at t_low sigma^2 = 3e-6 is 1 - alpha^2 to ten digits.
    torch.testing.assert_close(g2, beta, rtol=1e-9, atol=0)


def test_sub_vp_has_the_diffusion_and_the_standard_deviation_of_song() -> None:
    schedule = SCHEDULES["sub-vp"](beta_min=0.3, beta_max=12.0)
    t = some_times(schedule)
    beta, integral = 0.3 + 11.7 * t, 0.3 * t + 11.7 * t**2 / 2
    f, g2 = schedule.rates(t)
    torch.testing.assert_close(schedule.sigma(t), 1 - torch.exp(-integral), rtol=1e-9, atol=0)
    torch.testing.assert_close(schedule.alpha(t), torch.exp(-integral / 2))
    torch.testing.assert_close(f, -beta / 2)
    torch.testing.assert_close(g2, beta * (1 - torch.exp(-2 * integral)), rtol=1e-9, atol=0)


def test_ve_has_no_drift_and_the_growth_of_its_variance_for_diffusion() -> None:
    schedule = SCHEDULES["ve"](sigma_min=0.01, sigma_max=50.0)
    t = some_times(schedule)
    sigma = 0.01 * (50 / 0.01) ** t
    f, g2 = schedule.rates(t)
    torch.testing.assert_close(schedule.sigma(t), sigma)
    torch.testing.assert_close(f, torch.zeros_like(t))
    torch.testing.assert_close(g2, 2 * sigma**2 * math.log(5000))


def test_cosine_and_rectified_flow_have_their_textbook_rates() -> None:
    t = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)
    f, g2 = SCHEDULES["cosine"]().rates(t)
    torch.testing.assert_close(f, -math.pi / 2 * torch.tan(math.pi / 2 * t))
    torch.testing.assert_close(g2, math.pi * torch.tan(math.pi / 2 * t))
    f, g2 = SCHEDULES["rectified-flow"]().rates(t)
    torch.testing.assert_close(f, -1 / (1 - t))
    torch.testing.assert_close(g2, 2 * t / (1 - t))


@pytest.mark.parametrize("name", EVERY)
def test_derivatives_agree_with_finite_differences(name: str) -> None:
    schedule, h = EVERY[name], 1e-6
    t = f64([0.0731, 0.2317, 0.518, 0.7789, 0.9413])  # no knot of the chain of 20 lies within h
    for function, derivative in zip((schedule.alpha, schedule.sigma), schedule.derivatives(t), strict=True):
        central = (function(t + h) - function(t - h)) / (2 * h)
        # Rounding leaves 1e-16 / h relative to the function, the third derivative h^2.
        scale = float(function(t).abs().max()) + float(central.abs().max())
        torch.testing.assert_close(derivative, central, rtol=1e-7, atol=1e-8 * scale)


@pytest.mark.parametrize("name", EVERY)
def test_the_diffusion_is_the_growth_of_the_variance_beyond_the_drift(name: str) -> None:
    schedule, h = EVERY[name], 1e-6
    t = f64([0.0731, 0.2317, 0.518, 0.7789, 0.9413])
    f, g2 = schedule.rates(t)
    growth = (schedule.sigma(t + h) ** 2 - schedule.sigma(t - h) ** 2) / (2 * h)
    scale = float(schedule.sigma(t).max()) ** 2  # rounding leaves 1e-16 sigma^2 / h
    torch.testing.assert_close(g2, growth - 2 * f * schedule.sigma(t) ** 2, rtol=1e-6, atol=1e-8 * scale)


@given(name=schedule_names, share=shares)
@by_property
def test_time_undoes_gamma(name: str, share: float) -> None:
    schedule = EVERY[name]
    t = inside(schedule, share)
    back = schedule.time(schedule.gamma(t))
    # Where gamma is flat (t near 0 for cosine, 1 for VE) a rounding of gamma, 1e-16 * 30, is a larger step in t.
    torch.testing.assert_close(back, t, rtol=1e-9, atol=1e-12)


@given(name=schedule_names, gamma=st.floats(-60, 60))
@by_property
def test_the_closed_form_of_time_is_the_bisection_of_the_base_class(name: str, gamma: float) -> None:
    schedule = EVERY[name]
    # Where gamma is flat a rounding of it is a larger step in t, and bisection meets the rounding of sigma^2 near 0.
    torch.testing.assert_close(schedule.time(f64(gamma)), Schedule.time(schedule, f64(gamma)), rtol=1e-8, atol=1e-12)


@given(betas=st.lists(st.floats(1e-4, 0.999), min_size=1, max_size=30), share=shares)
@by_property
def test_time_of_a_chain_of_any_betas_is_that_of_bisection(betas: list[float], share: float) -> None:
    schedule = Chain(f64(betas))
    gamma = schedule.gamma(inside(schedule, share))
    torch.testing.assert_close(schedule.time(gamma), Schedule.time(schedule, gamma), rtol=1e-9, atol=1e-9)
    schedule.t_low = 1e-3 / len(betas)  # and within the first cell
    gamma = schedule.gamma(inside(schedule, share / len(betas)))
    torch.testing.assert_close(schedule.time(gamma), Schedule.time(schedule, gamma), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["vp", "sub-vp"])
def test_time_of_a_constant_beta_needs_no_square_root(name: str) -> None:
    schedule = SCHEDULES[name](beta_min=5.0, beta_max=5.0)
    t = some_times(schedule)
    torch.testing.assert_close(schedule.time(schedule.gamma(t)), t, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", EVERY)
def test_time_is_defined_for_infinite_gamma_and_any_shape(name: str) -> None:
    schedule = EVERY[name]
    times = schedule.time(f64([[-math.inf, 0.0], [0.0, math.inf]]))
    assert times.dtype == torch.float64
    assert (float(times[0, 0]), float(times[1, 1])) == pytest.approx((schedule.t_low, schedule.t_high), rel=1e-12)
    assert times[0, 1] == times[1, 0]


@pytest.mark.parametrize("name", EVERY)
def test_time_is_cut_at_the_ends_of_the_schedule(name: str) -> None:
    schedule = EVERY[name]
    ends = schedule.time(f64([-1e6, 1e6]))
    torch.testing.assert_close(ends, f64([schedule.t_low, schedule.t_high]), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", EVERY)
def test_a_network_may_be_asked_at_every_clamped_time(name: str) -> None:
    schedule = EVERY[name]
    t = schedule.clamp(torch.tensor([0.0, 1.0]))
    assert t.dtype == torch.float64
    assert torch.isfinite(schedule.gamma(t)).all()
    assert (schedule.alpha(t) > 0).all()


@pytest.mark.parametrize("name", EVERY)
def test_perturbing_a_row_uses_the_time_of_that_row(name: str) -> None:
    schedule = EVERY[name]
    x, eps, t = normal(3, 2, 4, seed=1), normal(3, 2, 4, seed=2), f64([0.0, 0.4, 1.0])
    x_t = schedule.perturb(x, t, eps)
    for i in range(3):
        expected = float(schedule.alpha(t[i])) * x[i] + float(schedule.sigma(t[i])) * eps[i]
        torch.testing.assert_close(x_t[i], expected)
        torch.testing.assert_close(schedule.perturb(x, t[i], eps)[i], expected)


@pytest.mark.parametrize("T", LENGTHS)
@pytest.mark.parametrize("name", EVERY)
def test_the_prior_mismatch_is_the_mean_divergence_from_the_prior(name: str, T: int) -> None:
    schedule = SCHEDULES[name](T=T) if name in CHAINS else EVERY[name]
    m2 = 1.7
    x = f64([-math.sqrt(m2), math.sqrt(m2)])  # the distribution on two points with this second moment
    alpha, sigma = schedule.alpha(f64(1.0)), schedule.sigma(f64(1.0))
    prior = Normal(f64(0.0), f64(schedule.prior_std))
    mismatch = schedule.prior_kl(m2)
    bound = float(kl_divergence(Normal(alpha * x, sigma.expand(2)), prior).mean())
    marginal = float(kl_divergence(Normal(f64(0.0), (alpha**2 * m2 + sigma**2).sqrt()), prior))
    # torch subtracts numbers near 1, so below 1e-14 both are rounding.
    assert mismatch.bound == pytest.approx(bound, rel=1e-9, abs=1e-14)
    assert mismatch.marginal == pytest.approx(marginal, rel=1e-9, abs=1e-14)
    assert mismatch.marginal <= mismatch.bound + 1e-14
    assert (mismatch.warning is not None) == (bound > 0.01)


@pytest.mark.parametrize("T", LENGTHS)
@pytest.mark.parametrize("name", CHAINS)
def test_the_prior_mismatch_of_a_chain_follows_from_its_betas_alone(name: str, T: int) -> None:
    signal = float(signal_of(betas_of(name, T))[-1])
    mismatch = SCHEDULES[name](T=T).prior_kl()
    # For m2 = 1 and a variance-preserving chain, L_T = -1/2 ln(1 - signal) and the marginal is N(0, 1).
    assert mismatch.bound == pytest.approx(-0.5 * math.log1p(-signal), rel=1e-8, abs=1e-15)
    assert mismatch.marginal == pytest.approx(0, abs=1e-14)
    assert mismatch.signal == pytest.approx(signal, rel=1e-9)


def test_the_warning_fires_for_chains_that_are_too_short_and_for_no_others() -> None:
    warned = {(name, T) for name in CHAINS for T in LENGTHS if SCHEDULES[name](T=T).prior_kl().warning}
    assert warned == {
        ("constant", 10),
        *(("linear", T) for T in (10, 50)),
        *(("quadratic", T) for T in (10, 50, 100)),
        *(("sigmoid", T) for T in (10, 50)),
    }
    assert not [name for name in CONTINUOUS if EVERY[name].prior_kl().warning]


@pytest.mark.parametrize("name", TUTORIALS)
def test_the_chains_of_the_tutorials_fail_and_say_so(name: str) -> None:
    schedule, signal = TUTORIALS[name]
    mismatch = schedule.prior_kl()
    assert round(mismatch.signal, 2) == signal
    assert mismatch.warning is not None
    assert f"signal variance of {signal}" in mismatch.warning


@pytest.mark.parametrize(("beta", "nats"), [(0.117, 1e-3), (0.157, 1e-4)])
def test_fifty_constant_betas_leave_a_mismatch_of_half_their_product(beta: float, nats: float) -> None:
    # For data of unit variance L_T = -1/2 ln(1 - (1 - beta)^50), about (1 - beta)^50 / 2. Three digits of beta are
    # given, and L_T changes by 50 dbeta / (1 - beta), 6 % for half a digit.
    assert 0.5 * (1 - beta) ** 50 == pytest.approx(nats, rel=0.06)
    assert SCHEDULES["constant"](T=50, beta=beta).prior_kl().bound == pytest.approx(nats, rel=0.06)


def test_a_matched_prior_measures_the_mismatch_about_its_own_moments() -> None:
    schedule, _ = TUTORIALS["tutorial 0: constant 0.05^2, 50 steps"]
    alpha2 = float(schedule.alpha(f64(1.0))) ** 2
    v = alpha2 * 2.5 + 1 - alpha2
    assert schedule.prior_kl(2.5, prior_variance=v).marginal == 0
    assert schedule.prior_kl(2.5, prior_variance=v).bound == pytest.approx(0.5 * math.log(v / (1 - alpha2)))


@pytest.mark.parametrize("T", [1, *LENGTHS])
@pytest.mark.parametrize("name", CHAINS)
def test_every_beta_of_a_built_in_chain_lies_between_zero_and_one(name: str, T: int) -> None:
    alpha2 = SCHEDULES[name](T=T).alpha(f64(np.arange(T + 1) / T)) ** 2
    betas = 1 - alpha2[1:] / alpha2[:-1]
    assert (betas > 0).all()
    assert (betas < 1).all()


@pytest.mark.parametrize("beta", [0.0, 1.0, -0.1, 2.0, math.nan, math.inf])
def test_a_beta_outside_zero_and_one_is_refused_by_its_step(beta: float) -> None:
    with pytest.raises(InputError, match="beta at step 3 of 4"):
        Chain(f64([0.1, 0.1, beta, 0.1]))


def test_betas_scaled_by_a_thousand_over_few_steps_are_refused() -> None:
    with pytest.raises(InputError, match="strictly between 0 and 1"):
        SCHEDULES["linear"](T=10, beta_start=1e-4 * 1000 / 10, beta_end=0.02 * 1000 / 10)


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_without_steps_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="at least 1 step, but T is 0"):
        SCHEDULES[name](T=0)


def test_betas_that_are_no_list_are_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        Chain(torch.full((2, 2), 0.1))
    with pytest.raises(InputError, match="shape"):
        Chain(torch.empty(0))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vp", {"beta_min": -1.0}),
        ("vp", {"beta_min": 3.0, "beta_max": 2.0}),
        ("sub-vp", {"beta_max": math.nan}),
        ("ve", {"sigma_min": 0.0}),
        ("ve", {"sigma_min": 90.0}),
        ("ve", {"sigma_max": math.inf}),
        ("ve", {"sigma_min": 2.0, "sigma_max": 2.0}),
        ("quadratic", {"beta_start": -1e-4}),
        ("cosine-chain", {"beta_max": 1.0}),
    ],
)
def test_arguments_that_make_no_schedule_are_refused(name: str, options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        SCHEDULES[name](**options)


@pytest.mark.parametrize("T", [7, 50])
def test_nothing_of_a_chain_depends_on_a_thousand_steps(T: int) -> None:
    schedule = SCHEDULES["constant"](T=T, beta=0.03)
    assert schedule.T == T
    assert schedule.t_low == 1 / T
    t = f64(np.arange(1, T + 1) / T)
    torch.testing.assert_close(schedule.alpha(t) ** 2, 0.97 ** torch.arange(1, T + 1).double())


def test_a_schedule_of_ones_own_needs_two_functions() -> None:
    class Line(Schedule):
        t_low, t_high = 1e-4, 1 - 1e-3

        def log_alpha(self, t: torch.Tensor) -> torch.Tensor:
            return torch.log1p(-t)

        def log_sigma(self, t: torch.Tensor) -> torch.Tensor:
            return torch.log(t)

    own, built_in, t = Line(), SCHEDULES["rectified-flow"](), f64([0.2, 0.9])
    torch.testing.assert_close(own.time(own.gamma(t)), t)
    torch.testing.assert_close(own.rates(t), built_in.rates(t))
