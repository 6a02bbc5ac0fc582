"""Diagonal Gaussians: the distribution of every transition, and the priors that sampling starts from.

    log N(x; m, v) = -1/2 sum_d [ (x - m)^2 / v + log(2 pi v) ]
    KL(N(m1, v1) || N(m2, v2)) = 1/2 sum_d [ log(v2 / v1) - 1 + v1 / v2 + (m1 - m2)^2 / v2 ]

Variances are stored as logarithms, so that very small variances and v = 0 (log v = -inf, a single point) need no
special treatment.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from driftfield.diffusion.basics.schedules import Schedule


@dataclass(frozen=True)
class Gaussian:
    """N(mean, exp(log_var)): mean (B, *D), log_var broadcastable to it. Densities are in nats, summed over D."""

    mean: Tensor
    log_var: Tensor

    def sample(self, eps: Tensor) -> Tensor:
        """mean + exp(log_var / 2) eps for standard normal eps (B, *D)."""
        return self.mean + (self.log_var / 2).exp() * eps

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of x (B, *D) in nats; (B,)."""
        terms = (x - self.mean) ** 2 * (-self.log_var).exp() + self.log_var + math.log(2 * math.pi)
        return -0.5 * terms.flatten(1).sum(1)  # (B,)

    def kl(self, other: "Gaussian") -> Tensor:
        """KL(self || other) in nats; (B,)."""
        difference = self.log_var - other.log_var
        terms = torch.expm1(difference) - difference + (self.mean - other.mean) ** 2 * (-other.log_var).exp()
        return 0.5 * terms.flatten(1).sum(1)  # (B,)


def standard_prior(schedule: Schedule, like: Tensor) -> Gaussian:
    """N(0, prior_std^2 I), the usual prior of a schedule, of the shape, dtype and device of ``like`` (*D)."""
    return Gaussian(torch.zeros_like(like), torch.full_like(like, 2 * math.log(schedule.prior_std)))


def matched_prior(schedule: Schedule, mean: Tensor, variance: Tensor) -> Gaussian:
    """N(alpha m, alpha^2 v + sigma^2) at t = 1: the Gaussian with the mean and variance of x_1, per dimension.

    Args:
        mean, variance: m and v (*D), of the data.
    """
    one = torch.ones((), dtype=torch.float64, device=mean.device)
    alpha, sigma = schedule.alpha(one), schedule.sigma(one)
    return Gaussian((alpha * mean).to(mean), torch.log(alpha**2 * variance + sigma**2).to(mean))
