import math

import numpy as np
import pytest
import torch
from oracles import CHAINS, EVERY, Says, f64, normal, ring_distribution
from torch import Tensor, nn

from driftfield.diffusion import BaseDenoiser, bridge
from driftfield.diffusion.basics.forward import chain_times
from driftfield.diffusion.further.learned_kernel import LearnedKernel, log_softplus
from driftfield.errors import InputError


class BridgeMean(nn.Module):
    """The mean of the bridge of one step of a chain, with the exact estimate of a distribution for the data."""

    def __init__(self, distribution: BaseDenoiser) -> None:
        super().__init__()
        self.distribution = distribution

    def forward(self, x: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        schedule = self.distribution.schedule
        assert schedule.T is not None
        return bridge(schedule, x, self.distribution(x, t).x0, t, t - 1 / schedule.T).mean


def softplus_inverse(std: float) -> float:
    return std + math.log(-math.expm1(-std))


@pytest.mark.parametrize("name", CHAINS)
def test_a_kernel_with_the_mean_of_the_bridge_implies_the_exact_estimate(name: str) -> None:
    schedule, distribution = EVERY[name], ring_distribution(EVERY[name])
    kernel = LearnedKernel(schedule, BridgeMean(distribution), Says(torch.zeros(())))
    t = torch.cat([chain_times(schedule)[1:], f64([0.051, 0.333, 0.777])])
    x_t = schedule.perturb(distribution.sample(len(t), torch.Generator().manual_seed(0)), t, normal(len(t), 2))
    estimate, truth = kernel(x_t, t), distribution(x_t, t)
    # The mean is rounded at 1e-16 and divided by c_x, which is 1e-6 at the end of "cosine-chain".
    torch.testing.assert_close(estimate.x0, truth.x0, rtol=0, atol=1e-8)
    torch.testing.assert_close(estimate.eps, truth.eps, rtol=0, atol=1e-8)
    alpha, sigma = schedule.alpha(t)[:, None], schedule.sigma(t)[:, None]
    torch.testing.assert_close(alpha * estimate.x0 + sigma * estimate.eps, x_t, rtol=0, atol=1e-12)


def test_below_the_first_step_the_estimate_is_that_of_the_first_step() -> None:
    kernel = LearnedKernel(EVERY["linear"], BridgeMean(ring_distribution(EVERY["linear"])), Says(torch.zeros(())))
    x_t = normal(3, 2)
    torch.testing.assert_close(kernel(x_t, f64(0.0)).x0, kernel(x_t, f64(1 / 20)).x0)


def test_a_step_is_the_gaussian_of_both_networks_and_they_are_told_the_time() -> None:
    mean, std = Says(f64(0.3)), Says(f64(softplus_inverse(0.02)))
    kernel = LearnedKernel(EVERY["linear"], mean, std)
    gaussian = kernel.step(normal(4, 2), f64(7 / 20), f64(6 / 20))
    assert torch.equal(gaussian.mean, torch.full((4, 2), 0.3, dtype=torch.float64))
    torch.testing.assert_close(gaussian.log_var.exp(), torch.full((4, 2), 4e-4, dtype=torch.float64))
    assert [float(network.calls[0][1]) for network in (mean, std)] == [7 / 20, 7 / 20]


def test_the_last_step_adds_noise_too() -> None:
    kernel = LearnedKernel(EVERY["linear"], Says(f64(0.0)), Says(f64(softplus_inverse(0.1))))
    torch.testing.assert_close(kernel.step(f64([[1.0]]), f64(1 / 20), f64(0.0)).sample(f64([[2.0]])), f64([[0.2]]))


@pytest.mark.parametrize(("t", "s"), [(0.5, 0.4), (1.0, 0.0), ([0.5, 0.5], [0.45, 0.40]), (0.45, 0.5)])
def test_steps_of_another_length_are_refused(t: object, s: object) -> None:
    kernel = LearnedKernel(EVERY["linear"], Says(f64(0.0)), Says(f64(0.0)))
    with pytest.raises(InputError, match="defined only for the T steps of its chain: take 20 steps"):
        kernel.step(normal(2, 1), f64(t), f64(s))


def test_float32_times_of_a_long_chain_are_steps_of_it() -> None:
    from driftfield.diffusion import SCHEDULES

    schedule = SCHEDULES["linear"](T=1000)
    kernel = LearnedKernel(schedule, Says(f64(0.0)), Says(f64(0.0)))
    times = chain_times(schedule).float()
    assert kernel.step(normal(1000, 1), times[1:], times[:-1]).mean.shape == (1000, 1)


def test_a_schedule_in_continuous_time_is_refused() -> None:
    with pytest.raises(InputError, match="needs a schedule with a fixed number of steps"):
        LearnedKernel(EVERY["vp"], Says(f64(0.0)), Says(f64(0.0)))


def test_log_softplus_keeps_its_digits_and_its_gradient_at_any_size() -> None:
    z = f64([-800.0, -100.0, -15.001, -14.999, -3.0, 0.0, 5.0, 900.0]).requires_grad_()
    value = log_softplus(z)
    expected = [-800.0, -100.0, *(math.log(math.log1p(math.exp(float(a)))) for a in z[2:7]), math.log(900.0)]
    torch.testing.assert_close(value, f64(expected), rtol=1e-13, atol=0)  # the series is good to 2e-14
    (gradient,) = torch.autograd.grad(value.sum(), z)
    numbers = z.detach().numpy()
    with np.errstate(over="ignore"):
        slope = 1 / (1 + np.exp(-numbers[2:7])) / np.log1p(np.exp(numbers[2:7]))
    torch.testing.assert_close(gradient, f64([1.0, 1.0, *slope, 1 / 900]), rtol=1e-12, atol=0)
