r"""Log-densities by the probability-flow ODE, with an error estimate for each row.

The ODE carries data to the prior, and its divergence says how log-densities change on the way (Chen et al. 2018, eq. 8;
Song et al. 2021 (SDE), eq. 39). In the variables of :mod:`driftfield.diffusion.further.probability_flow`, from a row x
at the start to its latent x_1,

    log p(x) = log prior(x_1) + integral div_z (dz / dw) dw + D log |d x_1 / d z| + D log |d z / d x|.

The divergence is exact in up to 64 dimensions; in more, or on request, it is estimated with random probes
(:mod:`driftfield.diffusion.further.divergence`).

By default the density is that of the data at the smallest noise level of the schedule, t_low. With a starting time t it
is that of x_t, so that score = grad log p_t can be checked.

The error of n steps is estimated from a solution with n / 2 steps, interval by interval. With I_i the integral over the
i-th of the n / 2 longer steps,

    error = sum_i | I_i (n / 2 steps) - I_i (n steps) | + | log prior(x_1) (n / 2 steps) - log prior(x_1) (n steps) |.

For large n order 4 would allow to divide it by 15 (Hairer et al. 1993, sec. II.4), but a learned field is seldom smooth
enough. The plain difference of the two log-densities, in which the intervals cancel, is too small for 8 to 50 % of the
rows under small networks; this sum is too small for few (``python -m benchmarks.truth coverage``). An adaptive solution
is compared with one of ten times its tolerance, as a single interval.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from driftfield.diffusion.basics.denoisers import BaseDenoiser
from driftfield.diffusion.basics.schedules import Schedule
from driftfield.diffusion.further.divergence import exact, hutchinson, signs
from driftfield.diffusion.further.probability_flow import (
    STEPS,
    Change,
    ProbabilityFlow,
    end_coefficients,
    parts,
    solve,
    walk,
)
from driftfield.errors import InputError, unknown_name
from driftfield.modes import own_modes

MOST_EXACT = 64  # dimensions with an exact divergence by default
PROBES = 8
ROWS_OF_A_GRADIENT = 128  # solved together: the graph of a whole solve is kept
LOOSER = 10.0  # tolerance of the solution for the error, over that for the value
DIVERGENCES = ("exact", "hutchinson")


class Prior(Protocol):
    """The distribution of x_1: a :class:`driftfield.diffusion.Gaussian`, or any with log_prob (B, *D) -> (B,)."""

    def log_prob(self, x: Tensor, /) -> Tensor: ...


def correlated_prior(schedule: Schedule, mean: Tensor, covariance: Tensor, spread: float = 1.0) -> MultivariateNormal:
    """N(a m, a^2 C + b^2 I) for data of mean m (D,) and covariance C (D, D), with x_1 = a x + b eps where the ODE ends.

    a and b are alpha and sigma of t = 1, or of t_high where the ODE stops there
    (:func:`~driftfield.diffusion.further.probability_flow.end_coefficients`). A diagonal prior ignores the correlations
    that are left. With sigma(1) = 20 that alone is an error of 2e-3 nats per row for random mixtures in 5 dimensions,
    standardised by column, and of 2e-2 in 30.
    """
    a, b = end_coefficients(schedule, spread)
    eye = torch.eye(len(mean), dtype=torch.float64, device=mean.device)
    return full_gaussian(a * mean.double(), a**2 * covariance.double() + b**2 * eye)


def full_gaussian(mean: Tensor, covariance: Tensor) -> MultivariateNormal:
    """N(mean, covariance) in float64, where the covariance (D, D) may be singular to within its rounding errors.

    The log-density of what is not finite is NaN.
    """
    D = len(mean)
    rounding = 4 * D * torch.finfo(torch.float64).eps * covariance.trace()  # bounds that of the smallest eigenvalue
    return MultivariateNormal(mean, covariance + rounding * torch.eye(D).to(covariance), validate_args=False)


@dataclass(frozen=True)
class LogDensity:
    """log p(x) in nats with its errors; all but the latent in float64.

    ``value``: log p(x) (B,); ``error``: its estimated integration error (B,); ``latent``: x_1 (B, *D); ``probe_error``:
    the standard error of the mean over random probes (B,), 0 where the divergence is exact.
    """

    value: Tensor
    error: Tensor
    latent: Tensor
    probe_error: Tensor

    @property
    def total_error(self) -> Tensor:
        """Both errors combined as independent: sqrt(error^2 + probe_error^2); (B,)."""
        return torch.hypot(self.error, self.probe_error)


@own_modes
def log_prob(
    denoiser: BaseDenoiser,
    x: Tensor,
    prior: Prior,
    steps: int = STEPS,
    cond: Tensor | None = None,
    start: Tensor | None = None,
    tolerance: float | None = None,
    divergence: str | None = None,
    probes: int = PROBES,
    seed: int = 0,
    first: int = 0,
    spread: float = 1.0,
    over: Sequence[int] | None = None,
) -> LogDensity:
    """log p(x) by the probability-flow ODE, with its errors. Rows are solved in parts, so that memory is bounded.

    The error is that of the integration; that of a prior which differs from the distribution of x_1 is
    :func:`~driftfield.diffusion.further.prior_error.prior_error`.

    Args:
        x: (B, *D) data in the units of the denoiser; x_t if a start is given.
        prior: of x_1, with events of shape (*D).
        steps: an even number of Runge-Kutta steps, of four evaluations each with D derivatives, or one per probe.
        start: a time () in [t_low, 1], for the density of x_t; None for that of x_t / alpha_t at t_low.
        tolerance: of each step, in nats and in z, for adaptive steps in place of ``steps``.
        divergence: "exact" or "hutchinson"; None to choose by the number of dimensions.
        probes, seed, first: of Hutchinson's estimate; ``first`` is the number of the first row.
        spread: standard deviation of the data in the units of the denoiser.
        over: the dimensions that an exact divergence is taken over, where the field has none along the others.

    Raises:
        InputError: ``steps`` is odd or below 2, the tolerance is not positive, the divergence is unknown, or there are
            fewer than 2 probes.
    """
    x = x.detach()
    change = _checked(x, steps, tolerance, divergence, probes)
    found = []
    for part in parts(x):
        flow = ProbabilityFlow(denoiser, None if cond is None else cond[part], start, spread)
        exactly = partial(exact, over=over)
        own = exactly if change == "exact" else hutchinson(signs(seed, first + part.start, x[part], probes))
        ways = (steps, tolerance), (steps // 2, None if tolerance is None else LOOSER * tolerance)
        fine, coarse = (_solve(flow, x[part], prior, own, *way) for way in ways)
        values = fine.log_prob
        found.append(LogDensity(values.mean(1), _difference(fine, coarse), fine.latent, _standard_error(values)))
    fields = zip(*((d.value, d.error, d.latent, d.probe_error) for d in found), strict=True)
    return LogDensity(*(torch.cat(field) for field in fields))


@own_modes
def log_prob_gradient(
    denoiser: BaseDenoiser,
    x: Tensor,
    prior: Prior,
    cond: Tensor | None = None,
    start: Tensor | None = None,
    seed: int = 0,
    spread: float = 1.0,
    steps: int = STEPS,
    divergence: str | None = None,
    tolerance: float | None = None,
    probes: int = PROBES,
) -> Tensor:
    """The gradient with respect to x of the value of :func:`log_prob`, by backpropagation through the solver; (B, *D).

    It is that of the numbers which :func:`log_prob` returns, errors of the network and of the solver included; for the
    exact score of a Gaussian mixture it is that score. It takes about three times as long, and some rows at a time, so
    that memory is bounded. Arguments and errors as there.
    """
    change = _checked(x, steps, tolerance, divergence, probes)
    found = [torch.zeros_like(x[:0])]
    for begin in range(0, len(x), ROWS_OF_A_GRADIENT):
        part = slice(begin, begin + ROWS_OF_A_GRADIENT)
        own = exact if change == "exact" else hutchinson(signs(seed, begin, x[part], probes))
        flow = ProbabilityFlow(denoiser, None if cond is None else cond[part], start, spread)
        rows = x[part].detach().requires_grad_()
        value = _solve(flow, rows, prior, own, steps, tolerance).log_prob.mean(1).sum()
        found += torch.autograd.grad(value, rows)
    return torch.cat(found)


def _checked(x: Tensor, steps: int, tolerance: float | None, divergence: str | None, probes: int) -> str:
    if tolerance is None and (steps < 2 or steps % 2):
        raise InputError(f"The likelihood needs an even number of steps, at least 2, but {steps} were given.")
    if tolerance is not None and not 0 < tolerance < 1:
        raise InputError(f"The tolerance of a density must lie between 0 and 1, got {tolerance:g}.")
    kind = ("exact" if math.prod(x.shape[1:]) <= MOST_EXACT else "hutchinson") if divergence is None else divergence
    if kind not in DIVERGENCES:
        raise unknown_name("divergence", kind, DIVERGENCES)
    if kind == "hutchinson" and probes < 2:
        raise InputError(f"Hutchinson's estimate needs at least 2 probes for its error, got {probes}.")
    return kind


class _Solution(NamedTuple):
    """``latent`` x_1 (B, *D); ``at_prior`` (B,), its log-density and that of the scales; ``integrals`` (n, B, P)."""

    latent: Tensor
    at_prior: Tensor
    integrals: Tensor

    @property
    def log_prob(self) -> Tensor:
        """log p (B, P) of each estimate of the divergence, in float64."""
        total = torch.zeros_like(self.integrals[0])
        for integral in self.integrals:
            total = total + integral
        return self.at_prior[:, None] + total


def _solve(
    flow: ProbabilityFlow, x: Tensor, prior: Prior, change: Change, steps: int, tolerance: float | None
) -> _Solution:
    z = flow.first_scale.to(x) * x
    adaptive = tolerance is not None
    path = [solve(flow, z, change, tolerance=tolerance)] if adaptive else list(walk(flow, z, change, steps))
    z = path[-1][0]
    latent = flow.last_scale.to(z) * z
    log_volume = math.prod(x.shape[1:]) * (torch.log(flow.first_scale) + torch.log(flow.last_scale))
    integrals = torch.stack([integral for _, integral in path])
    return _Solution(latent, prior.log_prob(latent).double() + log_volume, integrals)


def _difference(fine: _Solution, coarse: _Solution) -> Tensor:
    """The error of the module's docstring, (B,): differences by interval, whose signs do not cancel."""
    long, short = (found.integrals.mean(2) for found in (coarse, fine))  # (intervals, B)
    joined = short.view(len(long), len(short) // len(long), short.shape[1]).sum(1)
    return (long - joined).abs().sum(0) + (coarse.at_prior - fine.at_prior).abs()


def _standard_error(values: Tensor) -> Tensor:
    """Of the mean over P estimates (B, P); 0 for a single, exact one."""
    P = values.shape[1]
    return values.std(1) / P**0.5 if P > 1 and len(values) else torch.zeros_like(values[:, 0])
