r"""Classifier-free guidance: sample what a condition makes more likely, more strongly than the model learned it.

One network is trained with the condition and, now and then, without it. At sampling time both estimates are joined
(Ho, Salimans 2022, eq. 6, with their w + 1 written w),

    eps = eps_without + w (eps_with - eps_without),      x_hat likewise,

the score of  p(x_t)^(1 - w) p(x_t | c)^w:  w = 0 ignores the condition, w = 1 is the conditional model and w > 1
exaggerates it. Both estimates satisfy x_t = alpha x_hat + sigma eps, and so does any such mixture of them: a guided
denoiser is a denoiser.
"""

from dataclasses import replace

import torch
from torch import Tensor

from driftfield.diffusion.basics.denoisers import BaseDenoiser, Estimate
from driftfield.errors import InputError


class GuidedDenoiser(BaseDenoiser):
    """A conditional denoiser under guidance w; it shares the schedule of the denoiser that it guides.

    Without a condition, and for w = 0, it is exactly the unconditional model; for w = 1 exactly the conditional one.
    Each costs one evaluation, any other w two.

    Args:
        denoiser: takes ``cond``, class indices (B,) int64, or None for the unconditional model.
        guidance: w, any finite number.

    Raises:
        InputError: w is not finite.
    """

    def __init__(self, denoiser: BaseDenoiser, guidance: float) -> None:
        super().__init__(denoiser.schedule)
        if not torch.tensor(guidance).isfinite():
            raise InputError(f"The guidance must be a finite number, but it is {guidance}: 1 is the model as it is.")
        self.denoiser = denoiser
        self.guidance = guidance

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        """The guided estimate at x_t (B, *D), t () or (B,); whatever else an estimate says is the conditional one's."""
        w = self.guidance
        if cond is None or w == 0:
            return self.denoiser(x_t, t, None)
        conditional = self.denoiser(x_t, t, cond)
        if w == 1:
            return conditional
        free = self.denoiser(x_t, t, None)
        x0 = free.x0 + w * (conditional.x0 - free.x0)
        eps = free.eps + w * (conditional.eps - free.eps)
        return replace(conditional, x0=x0, eps=eps)
