import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import EVERY, Says, by_property, f64, inside, normal, schedule_names, seeds, shares, some_times

from driftfield.diffusion import HEADS, Denoiser, Schedule
from driftfield.diffusion.basics.heads import Head

head_names = st.sampled_from(sorted(HEADS))


def target(schedule: Schedule, head: Head, x: torch.Tensor, eps: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    a, b = head(schedule, t)
    return a * x + b * eps


def condition(schedule: Schedule, t: torch.Tensor) -> float:
    """How far a rounding of x_t or of the output can be magnified in x_hat or eps_hat."""
    alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
    return (1 + sigma) / min(alpha, sigma, 1)


@given(name=schedule_names, head=head_names, share=shares, seed=seeds)
@by_property
def test_a_head_gives_back_the_data_and_the_noise_that_made_its_target(
    name: str, head: str, share: float, seed: int
) -> None:
    schedule = EVERY[name]
    t = inside(schedule, share)
    x, eps = normal(3, 2, seed=seed), normal(3, 2, seed=seed + 1)
    network = Says(target(schedule, HEADS[head], x, eps, t))
    estimate = Denoiser(network, schedule, head)(schedule.perturb(x, t, eps), t)
    tolerance = 1e-14 * condition(schedule, t)
    torch.testing.assert_close(estimate.x0, x, rtol=0, atol=tolerance)
    torch.testing.assert_close(estimate.eps, eps, rtol=0, atol=tolerance)


@given(name=schedule_names, head=head_names, share=shares, seed=seeds)
@by_property
def test_errors_of_the_output_convert_to_errors_of_the_data(name: str, head: str, share: float, seed: int) -> None:
    schedule = EVERY[name]
    t = inside(schedule, share)
    x, eps, error = normal(3, 2, seed=seed), normal(3, 2, seed=seed + 1), normal(3, 2, seed=seed + 2)
    a, b = HEADS[head](schedule, t)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    scale = (a * sigma - b * alpha) ** 2 / sigma**2
    true = target(schedule, HEADS[head], x, eps, t)
    out = true + scale.sqrt() * error  # so that x_hat errs by the size of error
    x_hat = Denoiser(Says(out), schedule, head)(schedule.perturb(x, t, eps), t).x0
    torch.testing.assert_close(
        (out - true).square().sum(1),
        scale * (x_hat - x).square().sum(1),
        rtol=1e-12 * condition(schedule, t),
        atol=0,
    )


@pytest.mark.parametrize("name", EVERY)
def test_the_edm_head_is_the_preconditioning_of_karras(name: str) -> None:
    schedule = EVERY[name]
    t = some_times(schedule)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    c_skip, c_out = alpha / (alpha**2 + sigma**2), sigma / (alpha**2 + sigma**2).sqrt()
    a, b = HEADS["edm"](schedule, t)
    torch.testing.assert_close(b, -c_skip * sigma / c_out)
    # 1 - c_skip alpha cancels to 1e-16 where sigma^2 / alpha^2 is small, 4e-6 of VE and 1e-12 of sub-VP.
    torch.testing.assert_close(a, (1 - c_skip * alpha) / c_out, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(a**2 + b**2, torch.ones_like(t))  # a target of unit variance


@pytest.mark.parametrize("name", EVERY)
def test_the_edm_head_that_says_zero_is_the_best_linear_denoiser(name: str) -> None:
    schedule = EVERY[name]
    x_t, t = normal(9, 2), some_times(schedule)
    estimate = Denoiser(Says(torch.zeros(())), schedule, "edm")(x_t, t)
    alpha, sigma = schedule.alpha(t)[:, None], schedule.sigma(t)[:, None]
    torch.testing.assert_close(estimate.x0, alpha / (alpha**2 + sigma**2) * x_t)
    torch.testing.assert_close(estimate.eps, sigma / (alpha**2 + sigma**2) * x_t)


@pytest.mark.parametrize("name", ["vp", "cosine", "linear"])
def test_the_edm_head_of_a_variance_preserving_schedule_is_minus_v(name: str) -> None:
    t = some_times(EVERY[name])
    for edm, v in zip(HEADS["edm"](EVERY[name], t), HEADS["v"](EVERY[name], t), strict=True):
        torch.testing.assert_close(edm, -v)


@pytest.mark.parametrize("name", EVERY)
def test_the_flow_head_is_the_speed_of_x_t_along_its_path(name: str) -> None:
    schedule, h = EVERY[name], 1e-6
    x, eps, t = normal(5, 2), normal(5, 2, seed=1), f64([0.0731, 0.2317, 0.518, 0.7789, 0.9413])
    a, b = HEADS["flow"](schedule, t)
    speed = a[:, None] * x + b[:, None] * eps
    central = (schedule.perturb(x, t + h, eps) - schedule.perturb(x, t - h, eps)) / (2 * h)
    scale = float(central.abs().max()) + float(schedule.sigma(t).max())  # rounding: 1e-16 / h of it
    torch.testing.assert_close(speed, central, rtol=1e-7, atol=1e-8 * scale)


def test_the_flow_of_rectified_flow_is_noise_minus_data() -> None:
    t = f64([1e-5, 0.3, 0.999])
    a, b = HEADS["flow"](EVERY["rectified-flow"], t)
    torch.testing.assert_close(a, -torch.ones(3).double())
    torch.testing.assert_close(b, torch.ones(3).double())


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_v_is_the_derivative_by_the_angle(name: str) -> None:
    # Salimans, Ho 2022, appendix D: v = d x_t / d phi with phi = arctan(sigma / alpha).
    schedule = EVERY[name]
    x, eps, t = normal(7, 2), normal(7, 2, seed=1), f64([0.05, 0.2, 0.33, 0.5, 0.71, 0.9, 0.99])
    phi = torch.atan2(schedule.sigma(t), schedule.alpha(t))[:, None]
    a, b = HEADS["v"](schedule, t)
    torch.testing.assert_close(a[:, None] * x + b[:, None] * eps, -phi.sin() * x + phi.cos() * eps)


@pytest.mark.parametrize("name", EVERY)
def test_the_score_head_is_the_gradient_of_the_transition_from_the_data(name: str) -> None:
    schedule = EVERY[name]
    t = f64(0.4)
    x, eps = normal(3, 2), normal(3, 2, seed=1)
    x_t = schedule.perturb(x, t, eps).requires_grad_()
    distribution = torch.distributions.Normal(schedule.alpha(t) * x, schedule.sigma(t))
    (gradient,) = torch.autograd.grad(distribution.log_prob(x_t).sum(), x_t)
    # x_t - alpha x cancels, at worst by 80 / 0.05.
    torch.testing.assert_close(target(schedule, HEADS["score"], x, eps, t), gradient, rtol=1e-9, atol=1e-9)


def test_the_heads_of_rectified_flow_are_the_numbers_of_their_papers() -> None:
    t = f64(0.25)
    schedule = EVERY["rectified-flow"]
    assert [float(c) for c in HEADS["eps"](schedule, t)] == [0, 1]
    assert [float(c) for c in HEADS["x0"](schedule, t)] == [1, 0]
    assert [float(c) for c in HEADS["score"](schedule, t)] == [0, -4]
    assert [float(c) for c in HEADS["v"](schedule, t)] == [-0.25, 0.75]
    assert [float(c) for c in HEADS["flow"](schedule, t)] == pytest.approx([-1, 1])
    assert [float(c) for c in HEADS["edm"](schedule, t)] == pytest.approx([1 / math.sqrt(10), -3 / math.sqrt(10)])
