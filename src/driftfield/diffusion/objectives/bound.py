r"""The diffusion term of the variational bound, in nats.

In continuous time the bound on -log p(x) is, up to a reconstruction and a prior term that do not depend on the network,

    L(x) = 1/2 int E |eps_hat - eps|^2 d gamma  =  1/2 (gamma_high - gamma_low) E_{gamma ~ U} |eps_hat - eps|^2

(Kingma et al. 2021, eq. 17 and 18): the same for every schedule between the same ends. Differences of L between two
networks are differences of their bounds on the log-likelihood, so it says which of two has the better density; the
losses that train well say it less clearly, as they give little weight to small noise.
"""

import torch
from torch import Tensor

from driftfield.diffusion.denoisers import Denoiser
from driftfield.diffusion.objectives.denoising import denoising_loss, snr


def diffusion_bound(denoiser: Denoiser, x: Tensor, generator: torch.Generator) -> Tensor:
    """One draw of L for each row of x (B, *D), in nats, summed over dimensions; (B,), gamma stratified over the rows.

    On a discrete chain gamma is continuous all the same.
    """
    schedule = denoiser.schedule
    ends = torch.tensor([schedule.t_low, schedule.t_high], dtype=torch.float64, device=x.device)
    low, high = schedule.gamma(ends)
    places = torch.arange(len(x), dtype=torch.float64, device=x.device)
    places = places[torch.randperm(len(x), generator=generator, device=x.device)]
    offset = torch.rand(len(x), dtype=torch.float64, generator=generator, device=x.device)
    t = schedule.time(low + (high - low) * (places + offset) / len(x))
    eps = torch.randn(x.shape, generator=generator, device=x.device)
    return 0.5 * float(high - low) * denoising_loss(denoiser, x, t, eps, weight=snr)
