r"""Categories: drawn and scored one after the other, from a network's own conditional probabilities.

A network returns the probabilities of each category given whatever else is known of a row: the other categories or some
of them, and given numbers. Then, in any order of the K categories,

    P(c_1, .., c_K | rest) = prod_k P(c_k | c_1, .., c_{k - 1}, rest)

is exact and normalised, whatever the network returns. It is trained by cross-entropy on hidden categories (Uria et al.
2014, A deep and tractable density estimator, https://arxiv.org/abs/1310.1757; Hoogeboom et al. 2022, Autoregressive
diffusion models, https://arxiv.org/abs/2110.02037). Two orders give the same distribution only as far as the network's
conditionals agree.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from driftfield.diffusion.further.cells import UNKNOWN, Cells

Logits = Callable[[Cells], list[Tensor]]  # cells -> for each category (B, levels), unnormalised log-probabilities


@torch.no_grad()
def draw_categories(logits: Logits, cells: Cells, u: Tensor, order: Sequence[int] | None = None) -> Tensor:
    """Codes (B, K): known ones as they are, unknown ones drawn one after the other.

    Args:
        u: uniform on [0, 1), one for each category, which decide; (B, K).
        order: of the categories; 0 .. K - 1 by default.
    """
    codes = cells.codes.clone()
    for k in range(codes.shape[1]) if order is None else order:
        unknown = codes[:, k] == UNKNOWN
        if unknown.any():
            chances = logits(replace(cells, codes=codes))[k].double().softmax(1)
            ends = chances.cumsum(1)[:, :-1].contiguous()
            drawn = torch.searchsorted(ends, u[:, k : k + 1].double().contiguous(), right=True)[:, 0]
            codes[:, k] = torch.where(unknown, drawn, codes[:, k])
    return codes


@torch.no_grad()
def categories_log_prob(logits: Logits, cells: Cells, of: Tensor, order: Sequence[int] | None = None) -> Tensor:
    """log P of some categories of each row given all else that is known; (B,) float64, in nats.

    Args:
        cells: with every known category; those that are asked for are hidden until they had their turn.
        of: which categories are asked for, (B, K) bool; an unknown one counts nothing.
        order: of the categories; 0 .. K - 1 by default.
    """
    of = of & (cells.codes != UNKNOWN)
    codes = torch.where(of, UNKNOWN, cells.codes)
    total = torch.zeros(len(codes), dtype=torch.float64, device=codes.device)
    for k in range(codes.shape[1]) if order is None else order:
        if of[:, k].any():
            log_p = logits(replace(cells, codes=codes))[k].double().log_softmax(1)
            true = cells.codes[:, k]
            total += torch.where(of[:, k], log_p.gather(1, true.clamp(min=0)[:, None])[:, 0], 0.0)
            codes[:, k] = torch.where(of[:, k], true, codes[:, k])
    return total
