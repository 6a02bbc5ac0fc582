r"""How far a prior is from the distribution of x_1, at given points: a part of the error of every log-density.

A density is computed with a Gaussian prior, which has the moments of some rows z_i of the data, or none of them. In
truth x_1 is a mixture over the data. With the N rows at hand,

    p_1(x_1) ~ mean_i w_i,      w_i = N(x_1; a z_i, b^2 I),

where x_1 = a x + b eps at the end of the ODE. Two numbers are estimated, and combined as independent ones:

    difference   log mean_i w_i - log prior(x_1), what the shape of the data, their correlations and what a wrong prior
                 leaves out make of it;
    sampling     std(w) / (mean(w) sqrt N), since N rows know their own moments only so far.

For few rows the first is mostly noise. So it is taken from the Gaussian with the moments of all rows, plus what at most
1,000 of them say about their departure from the Gaussian of their own moments, in which this noise is all but absent.
"""

import math

import torch
from torch import Tensor

from driftfield.diffusion.basics.schedules import Schedule
from driftfield.diffusion.further.likelihood import Prior, full_gaussian
from driftfield.diffusion.further.probability_flow import end_coefficients

MOST_ROWS = 1_000  # for the departure from a Gaussian
POINTS = 2_048  # solved together: bounds the memory


def prior_error(schedule: Schedule, rows: Tensor, prior: Prior, latent: Tensor, spread: float = 1.0) -> Tensor:
    """The standard error, in nats, of log prior(x_1) as the log-density of x_1; (B,) float64.

    Args:
        rows: (N, D) independent rows of the data, in the units of the denoiser and in random order.
        prior: of x_1.
        latent: (B, D) points x_1.
        spread: as in :func:`driftfield.diffusion.further.likelihood.log_prob`.
    """
    a, b = end_coefficients(schedule, spread)
    rows, few = rows.double(), rows[:MOST_ROWS].double()
    whole, own = _gaussian(rows, a, b), _gaussian(few, a, b)
    found = []
    for x in torch.split(latent.double(), POINTS):
        log_w = -0.5 * ((torch.cdist(x, a * few) / b).square() + few.shape[1] * math.log(2 * math.pi * b**2))
        departure = torch.logsumexp(log_w, 1) - math.log(len(few)) - own.log_prob(x)
        squares = len(few) * torch.softmax(log_w, 1).square().sum(1)  # mean(w^2) / mean(w)^2
        sampling = ((squares - 1).clamp(min=0) / len(rows)).sqrt()
        found.append(torch.hypot(departure + whole.log_prob(x) - prior.log_prob(x).double(), sampling))
    return torch.cat(found)


def _gaussian(rows: Tensor, a: float, b: float) -> Prior:
    """N(a m, a^2 C + b^2 I) with the moments of the rows."""
    centred = rows - rows.mean(0)
    covariance = centred.T @ centred / len(rows)
    return full_gaussian(a * rows.mean(0), a**2 * covariance + b**2 * torch.eye(rows.shape[1]).to(rows))
