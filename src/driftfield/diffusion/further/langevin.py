r"""Predictor-corrector sampling: after each reverse step, a Langevin step at the noise level that was reached.

The Langevin dynamics  dy = score(y, t) du + sqrt(2) dw  at a fixed t leave the distribution of x_t as it is, and move a
sample that has left it back towards it (Song et al. 2021 (SDE), sec. 4.2).
"""

import math
from typing import Annotated

from pydantic import Field
from torch import Tensor

from driftfield.diffusion.basics.denoisers import BaseDenoiser
from driftfield.diffusion.basics.loop import Memory
from driftfield.diffusion.basics.schedules import match
from driftfield.diffusion.basics.single_step import ddim_step
from driftfield.diffusion.basics.stochastic import ancestral


def predictor_corrector(
    denoiser: BaseDenoiser,
    x_t: Tensor,
    t: Tensor,
    s: Tensor,
    memory: Memory,
    *,
    langevin: Annotated[float, Field(gt=0, le=0.5, description="signal-to-noise ratio of the corrector")] = 0.16,
) -> Tensor:
    """An ancestral step, then a Langevin step at the same noise level (Song et al. 2021 (SDE), algorithms 4 and 5).

    With r for ``langevin`` and sin(theta) = 2 r the corrector is

        x_s <- alpha_s x_hat + sigma_s (cos(theta) eps_hat + sin(theta) z).

    For small theta this is the Langevin step x_s + d score + sqrt(2 d) z with d = 2 r^2 sigma_s^2, the mean of the step
    length in the paper, where it is computed from the whole batch; here no row depends on another. If the data are a
    single point, the corrector leaves the distribution of x_s exactly as it is. The default r is that of appendix G; at
    r = 1/2, the largest, x_s is drawn anew. There is no corrector at s = 0.
    """
    schedule = denoiser.schedule
    x_s = ancestral(denoiser, x_t, t, s, memory)
    noise = memory.noise()
    if s <= 0:
        return x_s
    estimate = denoiser(x_s, s, memory.cond)
    theta = math.asin(2 * langevin)
    added = match(schedule.sigma(s), x_s) * (math.sin(theta) * noise - (1 - math.cos(theta)) * estimate.eps)
    return ddim_step(schedule, estimate, s) + added
