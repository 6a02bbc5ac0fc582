r"""A learned variance: for each number, the network also predicts the variance of a reverse step,

    log var = f log large + (1 - f) log small,

between the two variances of :mod:`driftfield.diffusion.basics.kernels`, with a fraction f in addition to its usual
output (Nichol, Dhariwal 2021, eq. 15). It is trained by the hybrid loss (eq. 16 there): the denoising loss for the
mean, and a small multiple of the bound for the variance.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from driftfield.diffusion.basics import kernels
from driftfield.diffusion.basics.bridge import bridge, bridge_mean
from driftfield.diffusion.basics.denoisers import BaseDenoiser, Denoiser, Estimate, extend_estimate
from driftfield.diffusion.basics.denoising import Weight, denoising_loss, simple, squared
from driftfield.diffusion.basics.gaussian import Gaussian
from driftfield.diffusion.basics.kernels import DenoiserKernel, LogVariance, large_log_variance, small_log_variance
from driftfield.diffusion.basics.times import log_normal
from driftfield.diffusion.further.objectives import (
    LABEL_DROPOUT,
    LabelDropout,
    Loss,
    MetricOption,
    TimesOption,
    WeightOption,
    at_times,
)
from driftfield.errors import InputError, unknown_name
from driftfield.options import PositiveFloat


class LearnedVarianceDenoiser(Denoiser):
    """A denoiser whose network returns (B, 2 D, ..), twice the size of x along dim 1.

    The second half v gives the variance fraction f = (v + 1) / 2. As in the paper v is not constrained, so in training
    the variance may be outside of its bounds.

    Raises:
        InputError: when called, if the output lacks the second half.
    """

    learned_variance = True

    def output(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """The first half of the output of the network (B, *D), which the head interprets."""
        return self.outputs(x_t, t, cond)[0]

    def outputs(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Both halves of the output of the network, the first in units of the head's target; (B, *D) each."""
        result = self.network_output(x_t, t, cond)
        if result.shape[1] != 2 * x_t.shape[1]:
            raise InputError(
                f"A learned variance needs a network of twice the columns of its data, {2 * x_t.shape[1]}, but it "
                f"returns {result.shape[1]}: build the network with twice the outputs."
            )
        first, second = result.chunk(2, dim=1)  # (B, *D) each
        return self.scaled(first, t), second

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        """The estimate at x_t (B, *D), t () or (B,), with its variance fraction."""
        x, clamped = self.schedule.clamp_state(x_t, t)
        return extend_estimate(self.estimate(x, clamped, *self.outputs(x, clamped, cond)), x_t, t)

    def estimate(self, x_t: Tensor, t: Tensor, first: Tensor, second: Tensor) -> Estimate:
        """The estimate at x_t (B, *D) from both halves of the output, (B, *D) each; t () or (B,)."""
        return replace(self.read(x_t, t, first), variance_fraction=(second + 1) / 2)


def interpolated_log_variance(estimate: Estimate, t: Tensor, s: Tensor) -> Tensor:
    """f log large + (1 - f) log small, (B, *D); -inf (no noise) at s = 0, where small is zero.

    Raises:
        InputError: the estimate has no variance fraction.
    """
    if estimate.variance_fraction is None:
        raise InputError(
            'The variance "learned" needs a denoiser that estimates one: fit with denoiser.variance=learned, or take '
            'the variance "small" or "large".'
        )
    small, large = small_log_variance(estimate, t, s), large_log_variance(estimate, t, s)
    noisy = torch.isfinite(small)
    small, large = (torch.where(noisy, bound, 0.0) for bound in (small, large))  # no gradients through infinities
    fraction = estimate.variance_fraction
    return torch.where(noisy, fraction * large + (1 - fraction) * small, -torch.inf)


def learned_log_variance(estimate: Estimate, t: Tensor, s: Tensor) -> Tensor:
    """Log of the variance between small and large that the network chose, its fraction f clamped to [0, 1].

    Only in training may f be outside, so that gradients can bring it back.
    """
    fraction = estimate.variance_fraction
    clamped = None if fraction is None else fraction.clamp(0, 1)
    return interpolated_log_variance(replace(estimate, variance_fraction=clamped), t, s)


VARIANCES: dict[str, LogVariance] = {**kernels.VARIANCES, "learned": learned_log_variance}


def reverse_kernel(denoiser: BaseDenoiser, variance: str | None = None) -> DenoiserKernel:
    """The reverse process of a denoiser with a variance of VARIANCES; by default the learned one if there is one.

    Raises:
        InputError: the name is unknown.
    """
    variance = variance or ("learned" if denoiser.learned_variance else "small")
    if variance not in VARIANCES:
        raise unknown_name("variance", variance, VARIANCES)
    return DenoiserKernel(denoiser, VARIANCES[variance])


def hybrid_loss(
    denoiser: LearnedVarianceDenoiser,
    x: Tensor,
    t: Tensor,
    eps: Tensor,
    weight: Weight = simple,
    metric: Callable[[Tensor], Tensor] = squared,
    bound_factor: float = 1e-3,
    cond: Tensor | None = None,
) -> Tensor:
    """denoising_loss + c T KL( q(x_s | x_t, x) || p(x_s | x_t) ), s = t - 1 / T, with one evaluation of the network.

    No gradient passes through the mean of p in the second term, which therefore trains only the variance. At t = 1 / T
    the second term is 0, as the decoder has no learned variance here.

    Args:
        x, eps: (B, *D) data and standard normal noise.
        t: () or (B,) times i / T; if they are uniform, the mean of the second term is c times the bound.
        bound_factor: c.

    Returns:
        (B,) losses, summed over dimensions.

    Raises:
        InputError: the schedule is not a chain, or the denoiser has no learned variance.
    """
    schedule = denoiser.schedule
    if schedule.T is None:
        raise InputError(
            "The hybrid loss needs a discrete chain, but the schedule has continuous time: choose a chain."
        )
    if not isinstance(denoiser, LearnedVarianceDenoiser):
        raise InputError(
            "The hybrid loss trains a learned variance: build the denoiser with one, or choose another loss."
        )
    t = schedule.clamp(t)
    x_t = schedule.perturb(x, t, eps)
    first, second = denoiser.outputs(x_t, t, cond)
    loss = denoising_loss(denoiser, x, t, eps, weight, metric, output=first)

    s = t - 1 / schedule.T
    decoder = s < 0.5 / schedule.T
    s = torch.where(decoder, t / 2, s)  # any time where the term is left out
    estimate = denoiser.estimate(x_t, t, first.detach(), second)
    p = Gaussian(bridge_mean(schedule, x_t, estimate.x0, t, s), interpolated_log_variance(estimate, t, s))
    kl = bridge(schedule, x_t, x, t, s).kl(p)
    return loss + bound_factor * schedule.T * torch.where(decoder, 0.0, kl)


def hybrid(
    denoiser: LearnedVarianceDenoiser,
    *,
    weight: WeightOption = simple,
    metric: MetricOption = squared,
    times: TimesOption = log_normal,
    label_dropout: LabelDropout = LABEL_DROPOUT,
    bound_factor: Annotated[PositiveFloat, Field(description="factor of the bound")] = 1e-3,
) -> Loss:
    """The objective "hybrid": :func:`hybrid_loss` at random times; 1e-3 is from Nichol, Dhariwal 2021, sec. 3.1."""
    draw = partial(hybrid_loss, weight=weight, metric=metric, bound_factor=bound_factor)
    return at_times(denoiser, draw, times, label_dropout)
