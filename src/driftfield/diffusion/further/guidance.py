r"""Classifier-free guidance: sample from a condition with more emphasis than the model has learned.

One network is trained with the condition and, for a fraction of the rows, without it. At sampling time both estimates
are combined (Ho, Salimans 2022, eq. 6, where w is called w + 1),

    eps_hat = eps_without + w (eps_with - eps_without),      x_hat likewise,

which gives the score of  p(x_t)^(1 - w) p(x_t | c)^w:  w = 0 ignores the condition, w = 1 is the conditional model and
w > 1 exaggerates it. Both estimates satisfy x_t = alpha x_hat + sigma eps_hat, and so does their combination: a guided
denoiser is a denoiser.
"""

from dataclasses import replace

import torch
from torch import Tensor

from driftfield.diffusion.basics.denoisers import BaseDenoiser, Estimate
from driftfield.errors import InputError


class GuidedDenoiser(BaseDenoiser):
    """A conditional denoiser with guidance w, under the same schedule.

    Without a condition, and for w = 0, it is exactly the unconditional model; for w = 1, exactly the conditional one.
    These take one evaluation each, any other w takes two.

    Args:
        denoiser: takes ``cond``, class indices (B,) int64, or None for the unconditional model.
        guidance: w, any finite number.

    Raises:
        InputError: w is not finite.
    """

    def __init__(self, denoiser: BaseDenoiser, guidance: float) -> None:
        super().__init__(denoiser.schedule)
        if not torch.tensor(guidance).isfinite():
            raise InputError(f"The guidance must be a finite number, got {guidance}: 1 is the model without guidance.")
        self.denoiser = denoiser
        self.guidance = guidance
        self.learned_variance = denoiser.learned_variance

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        """The guided estimate at x_t (B, *D), t () or (B,); its variance fraction is that of the conditional model."""
        w = self.guidance
        if cond is None or w == 0:
            return self.denoiser(x_t, t, None)
        conditional = self.denoiser(x_t, t, cond)
        if w == 1:
            return conditional
        unconditional = self.denoiser(x_t, t, None)
        x0 = unconditional.x0 + w * (conditional.x0 - unconditional.x0)
        eps = unconditional.eps + w * (conditional.eps - unconditional.eps)
        return replace(conditional, x0=x0, eps=eps)
