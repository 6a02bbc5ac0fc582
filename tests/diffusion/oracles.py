"""What the tests of the mathematics share: schedules to try, distributions whose truth is known, networks that know it.

The reference for the probability-flow ODE is written in numpy and solved by scipy, apart from the package.
"""

import math
from collections.abc import Iterator
from inspect import signature
from itertools import pairwise

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from torch import Tensor, nn

from driftfield.diffusion import HEADS, SCHEDULES, BaseDenoiser, Denoiser, Estimate, MixtureDenoiser, Schedule
from driftfield.diffusion.basics.denoisers import extend_estimate
from driftfield.diffusion.basics.heads import Head
from driftfield.diffusion.basics.schedules import match


def in_short(name: str) -> Schedule:
    """The schedule of this name with its defaults, but with 20 steps if it is a chain, and with nothing to train."""
    is_chain = "T" in signature(SCHEDULES[name]).parameters
    return SCHEDULES[name](**({"T": 20} if is_chain else {})).requires_grad_(False)


EVERY: dict[str, Schedule] = {name: in_short(name) for name in SCHEDULES}
CHAINS = tuple(name for name, schedule in EVERY.items() if schedule.T is not None)
CONTINUOUS = tuple(name for name, schedule in EVERY.items() if schedule.T is None)

# Derandomised, so that a run is the same everywhere; no deadline, so that no clock decides.
by_property = settings(deadline=None, derandomize=True, max_examples=60, database=None)
schedule_names = st.sampled_from(sorted(EVERY))
shares = st.floats(0, 1)
seeds = st.integers(0, 2**31)


def f64(value: object) -> Tensor:
    """A float64 tensor."""
    return torch.as_tensor(value, dtype=torch.float64)


def close(found: Tensor, expected: Tensor, case: object, rtol: float, atol: float) -> None:
    """Assert that two tensors are equal to this tolerance, and say of which case if they are not."""
    torch.testing.assert_close(found, expected, rtol=rtol, atol=atol, msg=lambda text: f"{case}: {text}")


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def inside(schedule: Schedule, share: float) -> Tensor:
    """The time at a share of the way from t_low to t_high."""
    return f64(schedule.t_low + share * (schedule.t_high - schedule.t_low))


def some_times(schedule: Schedule, n: int = 9) -> Tensor:
    """n times from t_low to t_high, off the knots of a chain but for its ends."""
    return schedule.t_low + (schedule.t_high - schedule.t_low) * torch.linspace(0, 1, n, dtype=torch.float64) ** 1.1


def steps_of(times: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The pairs (t, s) of a grid."""
    return pairwise(times)


class ExactGaussian(BaseDenoiser):
    """The exact denoiser of N(mean, variance I), of a point for variance 0; tensors (D,) give each column its own.

    Written out for one Gaussian, apart from the mixtures of the package: with C = alpha^2 variance + sigma^2,
    x_hat = mean + alpha variance (x_t - alpha mean) / C and eps_hat = sigma (x_t - alpha mean) / C.
    """

    def __init__(self, schedule: Schedule, mean: float | Tensor = 0.0, variance: float | Tensor = 1.0) -> None:
        super().__init__(schedule)
        self.mean, self.variance = mean, variance

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        x, clamped = self.schedule.clamp_state(x_t.double(), t)
        alpha, sigma = match(self.schedule.alpha(clamped), x), match(self.schedule.sigma(clamped), x)
        residual = (x - alpha * self.mean) / (alpha**2 * self.variance + sigma**2)
        x0, eps = self.mean + alpha * self.variance * residual, sigma * residual
        return extend_estimate(Estimate(x0.to(x_t), eps.to(x_t), clamped, self.schedule), x_t, t)


ANGLES = np.arange(8) * np.pi / 4
RING = np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1)
RING_STD = 0.1


def ring_distribution(schedule: Schedule) -> MixtureDenoiser:
    """Eight Gaussians on a circle of radius 1, each of standard deviation 0.1."""
    return MixtureDenoiser(schedule, torch.ones(8), f64(RING), RING_STD**2 * torch.eye(2).double().expand(8, 2, 2))


def ring_noise(y: NDArray[np.float64], ratio: float) -> NDArray[np.float64]:
    """E[eps | y] for y = x + ratio eps and x from the ring; in numpy."""
    residual = y[:, None] - RING
    variance = RING_STD**2 + ratio**2
    log_weight = -0.5 * (residual**2).sum(-1) / variance
    weight = np.exp(log_weight - log_weight.max(1, keepdims=True))
    weight /= weight.sum(1, keepdims=True)
    return np.asarray(ratio * (weight[..., None] * residual).sum(1) / variance)


def ring_end(schedule: Schedule, start: Tensor) -> NDArray[np.float64]:
    """Where the probability-flow ODE of the ring takes ``start`` (n, 2) at t = 1: x / alpha at t_low, by scipy.

    In z = y / sqrt(1 + kappa^2) and tau = log kappa, with y = x / alpha and kappa = sigma / alpha. Where alpha(1) is
    zero it starts at t_high with the same z, which leaves a relative error of 1 / kappa(t_high)^2, 1e-6 at most.
    """
    low, high = (float(schedule.gamma(f64(t))) / 2 for t in (schedule.t_low, schedule.t_high))
    size = math.hypot(float(schedule.alpha(f64(1.0))), float(schedule.sigma(f64(1.0))))

    def slope(tau: float, z: NDArray[np.float64]) -> NDArray[np.float64]:
        ratio = math.exp(tau)
        grown = math.hypot(1, ratio)
        z = z.reshape(-1, 2)
        return (ratio / grown * ring_noise(z * grown, ratio) - (ratio / grown) ** 2 * z).ravel()

    z = (start / size).numpy().ravel()
    solution = solve_ivp(slope, (high, low), z, method="DOP853", rtol=1e-10, atol=1e-12)
    return np.asarray(solution.y[:, -1].reshape(-1, 2) * math.hypot(1, math.exp(low)))


def head_of_each_row(rows: int) -> Head:
    """As many rows through each head of the table, in its order: one denoiser for all of them."""

    def head(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
        a, b = zip(*(each(schedule, t) for each in HEADS.values()), strict=True)
        return torch.stack(a).repeat_interleave(rows), torch.stack(b).repeat_interleave(rows)

    return head


class Knowing(nn.Module):
    """A network that returns a head's target for the exact estimate of a distribution."""

    def __init__(self, distribution: BaseDenoiser, head: Head) -> None:
        super().__init__()
        self.distribution, self.head = distribution, head

    def forward(self, x: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        estimate = self.distribution(x, t)
        a, b = self.head(self.distribution.schedule, t.double())
        return (a * estimate.x0.mT).mT + (b * estimate.eps.mT).mT


def knowing(distribution: BaseDenoiser, head: str | Head) -> Denoiser:
    """A Denoiser that works through a head and yet is exact."""
    head = HEADS[head] if isinstance(head, str) else head
    return Denoiser(Knowing(distribution, head), distribution.schedule, head, label="t", scale_input=False)


class Says(nn.Module):
    """A network that always gives the same answer, and remembers what it was given."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer
        self.calls: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, label: Tensor, cond: Tensor | None = None) -> Tensor:
        self.calls.append((x, label))
        return self.answer.expand_as(x)


def quiet() -> Tensor:
    """Noise of zero."""
    return torch.zeros(())


def no_noise_allowed() -> Tensor:
    raise AssertionError("a deterministic step drew noise")
