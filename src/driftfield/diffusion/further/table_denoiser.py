r"""The denoiser of a table: numbers that are generated are denoised, given all that is known of their row.

A number that is not generated takes no part: the network does not see its x_t, and its data count as independent and
standard normal, for which the best denoiser is known,

    x_hat = alpha x_t / (alpha^2 + sigma^2),        eps_hat = sigma x_t / (alpha^2 + sigma^2).

So every sampler and every ODE solver works as it is, for rows with different given cells side by side. Their joint
log-density is that of the generated numbers plus that of N(0, 1 + kappa_low^2) at the values put in for the others,
which is subtracted (:func:`idle_log_prob`), as standardised numbers have the same prior whether generated or not.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from driftfield.diffusion.basics.denoisers import Denoiser, Estimate
from driftfield.diffusion.basics.schedules import Schedule, match
from driftfield.diffusion.further.cells import Cells


class TableDenoiser(Denoiser):
    """A denoiser of D numbers whose network takes cells for its condition; as :class:`Denoiser` otherwise.

    The condition is ``Cells.packed`` (B, 2 D + K). Without one all numbers are generated, and no category is known.
    """

    def cells(self, x_t: Tensor, cond: Tensor | None) -> Cells:
        """The cells of a condition for x_t (B, D): of numbers (B, D), and of categories (B, K)."""
        D = x_t.shape[1]
        if cond is None:
            return Cells.generated(len(x_t), D, len(self.levels), x_t.device)
        return Cells.unpacked(cond, D)

    @property
    def levels(self) -> tuple[int, ...]:
        """How many levels each category has; (K,)."""
        levels: tuple[int, ...] = tuple(self.network.levels)  # type: ignore[arg-type]
        return levels

    def logits(self, cells: Cells) -> list[Tensor]:
        """For each category (B, levels): its unnormalised log-probabilities given what else is known."""
        found: list[Tensor] = self.network.logits(cells)  # type: ignore[operator]
        if self.mixture is None:
            return found
        more: list[Tensor] = self.mixture.logits(cells)  # type: ignore[operator]
        return [own + other.to(own) for own, other in zip(found, more, strict=True)]

    def network_output(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """What the network returns for the generated numbers, 0 for the others; (B, D)."""
        cells = self.cells(x_t, cond)
        out = super().network_output(torch.where(cells.free, x_t, 0.0), t, cells.packed)
        return torch.where(cells.free, out, 0.0)

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        """The estimate at x_t (B, D), t () or (B,)."""
        estimate, free = super().forward(x_t, t, cond), self.cells(x_t, cond).free
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        square = alpha**2 + sigma**2
        return replace(
            estimate,
            x0=torch.where(free, estimate.x0, match(alpha / square, x_t) * x_t),
            eps=torch.where(free, estimate.eps, match(sigma / square, x_t) * x_t),
        )


def idle_log_prob(schedule: Schedule, cells: Cells) -> Tensor:
    """What numbers that are not generated add to a log-density at 0: -1/2 log(2 pi (1 + kappa_low^2)) each; (B,)."""
    low = schedule.gamma_ends()[0].double()
    each = -0.5 * (math.log(2 * math.pi) + torch.log1p(low.exp()))
    return (~cells.free).sum(1) * each
