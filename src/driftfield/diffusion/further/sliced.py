r"""Sliced score matching: a score from samples of x_t alone, without the density of the transition.

Denoising regresses the score of q(x_t | x), which has to be known. Hyvärinen 2005 needs samples only, and random
directions v with E[v v^T] = I turn his trace into one derivative (Song et al. 2019, Sliced score matching, eq. 8, with
the variance reduced by E (v^T s)^2 = |s|^2). Weighted by lambda(t) = sigma^2, as over the noise levels of a diffusion,

    loss = sigma^2 ( v^T (grad s) v + 1/2 |s|^2 ) = 1/2 |eps_hat|^2 - sigma v^T (grad eps_hat) v,  s = -eps_hat / sigma.

By Stein's identity E[eps . eps_hat] = sigma E[div eps_hat], so that in the mean it is the denoising loss
1/2 |eps_hat - eps|^2 less D / 2, which no parameter changes: the same minimum, reached with a larger variance.

The network must be smooth. One of ReLU units is straight between its kinks; its divergence jumps there, the gradient
with respect to the parameters does not see where, and what it minimises is another function, with a minimum at zero.
"""

import torch
from torch import Tensor

from driftfield.diffusion.basics.denoisers import BaseDenoiser
from driftfield.diffusion.basics.schedules import match


def sliced_score_loss(
    denoiser: BaseDenoiser, x: Tensor, t: Tensor, eps: Tensor, v: Tensor, cond: Tensor | None = None
) -> Tensor:
    """The sliced score matching loss of each row, weighted by sigma^2.

    Args:
        x, eps: (B, *D) data and standard normal noise, of which only x_t is used.
        t: () or (B,) times.
        v: (B, *D) directions, standard normal or of signs +1 and -1 (smaller variance).

    Returns:
        (B,) losses, summed over dimensions; they may be negative.
    """
    schedule = denoiser.schedule
    t = schedule.clamp(t)
    training = torch.is_grad_enabled()
    with torch.enable_grad():
        x_t = schedule.perturb(x, t, eps).detach().requires_grad_()
        eps_hat = denoiser(x_t, t, cond).eps
        # Rows do not meet, so the gradient of a sum holds every row's own.
        (along,) = torch.autograd.grad((eps_hat * v).sum(), x_t, create_graph=training)
        loss = 0.5 * eps_hat**2 - match(schedule.sigma(t), x) * along * v
        summed = loss.flatten(1).sum(1)  # (B,)
    return summed if training else summed.detach()
