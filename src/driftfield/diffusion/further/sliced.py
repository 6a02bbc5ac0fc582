r"""Sliced score matching: learn a score from samples of x_t alone, without the density of the transition.

Denoising needs the score of q(x_t | x). Score matching needs only samples (Hyvärinen 2005), and random directions v
with E[v v^T] = I reduce its trace to one derivative (Song et al. 2019, eq. 8, with the variance reduced by E (v^T S)^2
= |S|^2). For the score S = -eps_hat / sigma, weighted by sigma^2,

    loss = sigma^2 ( v^T (grad S) v + 1/2 |S|^2 ) = 1/2 |eps_hat|^2 - sigma v^T (grad eps_hat) v.

By Stein's identity E[eps . eps_hat] = sigma E[div eps_hat], so that its mean is that of the denoising loss
1/2 |eps_hat - eps|^2 minus D / 2, which does not depend on the parameters: the same minimum, with a larger variance.

The network must be smooth. A network of ReLU units is piecewise linear; its divergence jumps, the gradient with respect
to the parameters does not see these jumps, and training minimises another function, with its minimum at zero.
"""

import torch
from torch import Tensor

from driftfield.diffusion.basics.denoisers import BaseDenoiser
from driftfield.diffusion.basics.schedules import match
from driftfield.diffusion.basics.times import log_normal
from driftfield.diffusion.further.objectives import LABEL_DROPOUT, LabelDropout, Loss, TimesOption, at_times


def sliced_score_loss(
    denoiser: BaseDenoiser, x: Tensor, t: Tensor, eps: Tensor, v: Tensor, cond: Tensor | None = None
) -> Tensor:
    """The sliced score matching loss of each row, weighted by sigma^2.

    Args:
        x, eps: (B, *D) data and standard normal noise, from which x_t is computed.
        t: () or (B,) times.
        v: (B, *D) directions, standard normal or random signs (smaller variance).

    Returns:
        (B,) losses, summed over dimensions; they may be negative.
    """
    schedule = denoiser.schedule
    t = schedule.clamp(t)
    training = torch.is_grad_enabled()
    with torch.enable_grad():
        x_t = schedule.perturb(x, t, eps).detach().requires_grad_()
        eps_hat = denoiser(x_t, t, cond).eps
        # Rows are independent of each other, so the gradient of the sum contains that of every row.
        (along,) = torch.autograd.grad((eps_hat * v).sum(), x_t, create_graph=training)
        loss = 0.5 * eps_hat**2 - match(schedule.sigma(t), x) * along * v
        summed = loss.flatten(1).sum(1)  # (B,)
    return summed if training else summed.detach()


def sliced_score(
    denoiser: BaseDenoiser, *, times: TimesOption = log_normal, label_dropout: LabelDropout = LABEL_DROPOUT
) -> Loss:
    """The objective "sliced-score": :func:`sliced_score_loss` along random signs, at random times."""
    return at_times(denoiser, sliced_score_loss, times, label_dropout, v=rademacher)


def rademacher(rows: Tensor, generator: torch.Generator) -> Tensor:
    """Independent signs, of the shape of the rows."""
    return torch.randint(0, 2, rows.shape, generator=generator, device=rows.device).to(rows) * 2 - 1
