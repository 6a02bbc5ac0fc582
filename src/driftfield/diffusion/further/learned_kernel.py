r"""A learned kernel: two networks give the mean and the standard deviation of each reverse step, without a denoiser.

    p(x_s | x_t) = N(mean(x_t, t), std(x_t, t)^2),   s = t - 1 / T

for all T steps of a chain (Sohl-Dickstein et al. 2015, table 1), including the last one, p(x | x_{1/T}), which is its
decoder. Its mean implies a denoiser.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from driftfield.diffusion.basics.bridge import bridge_mean, log_added_fraction
from driftfield.diffusion.basics.denoisers import BaseDenoiser, Estimate
from driftfield.diffusion.basics.gaussian import Gaussian
from driftfield.diffusion.basics.loop import Memory
from driftfield.diffusion.basics.schedules import Schedule, match
from driftfield.errors import InputError

STEP_TOLERANCE = 1e-6  # of t - s: times in float32 are exact to 6e-8


class LearnedKernel(BaseDenoiser):
    """p(x_s | x_t) = N(mean(x_t, t), std(x_t, t)^2) for the T steps of a chain, with a softplus for the std.

    It adds noise at s = 0 too. As a denoiser it returns what its mean implies.

    Args:
        schedule: a chain; the kernel owns it.
        mean_network, std_network: modules (x (B, *D), t () or (B,), cond) -> (B, *D).

    Raises:
        InputError: the schedule is not a chain.
    """

    def __init__(self, schedule: Schedule, mean_network: nn.Module, std_network: nn.Module) -> None:
        super().__init__(schedule)
        if schedule.T is None:
            raise InputError(
                "A learned kernel needs a schedule with a fixed number of steps, as its networks are trained for steps "
                "of one length: choose a chain, for example linear."
            )
        self.mean_network = mean_network
        self.std_network = std_network
        self.length = 1 / schedule.T

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, cond: Tensor | None = None) -> Gaussian:
        """p(x_s | x_t) for x_t (B, *D) and s = t - 1 / T, () or (B,).

        Raises:
            InputError: s is any other time.
        """
        if ((t.double() - s.double() - self.length).abs() > STEP_TOLERANCE).any():
            raise InputError(
                f"The learned kernel is defined only for the T steps of its chain: take {self.schedule.T} steps on the "
                'grid "uniform", or a sampler that uses a denoiser.'
            )
        log_std = log_softplus(self.std_network(x_t, t.to(x_t.dtype), cond))
        return Gaussian(self._mean(x_t, t, cond), 2 * log_std)

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        """The denoiser that the mean implies at x_t (B, *D) and any t in [1 / T, 1].

        The bridge's mean c_t x_t + c_x x with s = t - 1 / T (:mod:`~driftfield.diffusion.basics.bridge`), solved for x:

            x_hat = (mean - c_t x_t) / c_x,  c_x = alpha_s var_ts / sigma_t^2,  eps_hat = (x_t - alpha x_hat) / sigma

        This divides errors of the mean by c_x, which is small if a step removes little of the noise: with 50 steps and
        a constant beta of 0.117 it is 1 at t = 1 / T and 0.0055 at t = 1.
        """
        x_t, t = self.schedule.clamp_state(x_t, t)
        s = t - self.length
        c_x = self.schedule.alpha(s) * log_added_fraction(self.schedule, t, s).exp()
        rest = self._mean(x_t, t, cond) - bridge_mean(self.schedule, x_t, torch.zeros_like(x_t), t, s)
        x_hat = rest / match(c_x, x_t)
        alpha, sigma = match(self.schedule.alpha(t), x_t), match(self.schedule.sigma(t), x_t)
        return Estimate(x_hat, (x_t - alpha * x_hat) / sigma, t, self.schedule)

    def _mean(self, x_t: Tensor, t: Tensor, cond: Tensor | None) -> Tensor:
        mean: Tensor = self.mean_network(x_t, t.to(x_t.dtype), cond)
        return mean


def kernel_step(denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
    """A draw from a learned kernel p(x_s | x_t).

    Raises:
        InputError: the denoiser is not a kernel: it has no ``step(x_t, t, s, cond) -> Gaussian``.
    """
    step: Callable[[Tensor, Tensor, Tensor, Tensor | None], Gaussian] | None = getattr(denoiser, "step", None)
    if step is None:
        raise InputError(
            'The sampler "kernel" needs a model that has learned its reverse step: choose "ancestral" for others.'
        )
    return step(x_t, t, s, memory.cond).sample(memory.noise())


def log_softplus(z: Tensor) -> Tensor:
    """log log(1 + e^z); below z = -15, where e^z loses its digits, by the series z - e^z / 2."""
    low = z < -15  # where the next term of the series, 5/24 e^2z, is below 2e-14
    return torch.where(low, z - z.clamp(max=-15).exp() / 2, nn.functional.softplus(z.clamp(min=-15)).log())
