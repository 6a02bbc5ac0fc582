"""Bounds: lower bounds on log-densities from the reverse process, in nats."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from driftfield.codecs import FloatArray
from driftfield.diffusion import GRIDS, BoundTerms, Kernel, LearnedKernel, reverse_kernel
from driftfield.diffusion import bound_terms as chain_bound_terms
from driftfield.diffusion import importance_bound as chain_importance_bound
from driftfield.diffusion.further.conversion import unconverted
from driftfield.diffusion.further.row_noise import BLOCK, BlockNoise
from driftfield.errors import InputError
from driftfield.memory import require
from driftfield.model.labels import Label, class_numbers
from driftfield.model.whole_rows import check_whole
from driftfield.modes import own_modes

if TYPE_CHECKING:
    from driftfield.model.model import Model

BOUND_STEPS = 400  # of a bound in continuous time; its gap to the density falls as one over the steps


@own_modes
def bound_terms(
    model: Model,
    x: ArrayLike | Tensor,
    times: ArrayLike | None,
    variance: str | None,
    draws: int,
    seed: int,
    label: Label,
) -> BoundTerms:
    """The terms of the bound on -log p(z) of each row, in the network's units; see :meth:`Model.bound_terms`."""
    check_whole(model, "bound")
    z, kernel, grid = model.encoded(x), kernel_of(model, variance), bound_times(model, times)
    cond, found = class_numbers(model, label, len(z)), []
    for part in slices(len(z), BLOCK) or [slice(0, 0)]:
        own, noise = None if cond is None else cond[part], row_noise(model, seed, "bound", part)
        found.append(chain_bound_terms(kernel, z[part], model.prior, noise, own, times=grid, draws=draws))
    rows = zip(*((b.prior, b.transitions, b.decoder, b.row_error) for b in found), strict=True)
    of_prior, transitions, decoder, error = (torch.cat(parts).cpu() for parts in rows)
    return BoundTerms(of_prior, transitions, decoder, grid.cpu(), error)


@own_modes
def importance_bound(
    model: Model,
    x: ArrayLike | Tensor,
    paths: int,
    times: ArrayLike | None,
    variance: str | None,
    seed: int,
    label: Label,
) -> tuple[FloatArray, FloatArray]:
    """A tighter bound from the mean over some paths, and its error; see :meth:`Model.importance_bound`."""
    check_whole(model, "bound")
    rows = model.codec.read(x)
    z, kernel, grid = model.encoded(rows), kernel_of(model, variance), bound_times(model, times)
    cond = class_numbers(model, label, len(z))
    require(16 * paths * min(max(len(z), 1), BLOCK), f"{paths:,} paths for each row", "take fewer")
    values, errors = np.empty(len(z)), np.empty(len(z))
    for part in slices(len(z), BLOCK):

        def noise(path: int, part: slice = part) -> Callable[[], Tensor]:
            return row_noise(model, seed, f"path {path} of the importance bound", part)

        own = None if cond is None else cond[part]
        found = chain_importance_bound(kernel, z[part], model.prior, noise, paths, own, times=grid)
        values[part], errors[part] = found.value.cpu().numpy(), found.error.cpu().numpy()
    return values + model.codec.log_det(rows), errors


def kernel_of(model: Model, variance: str | None) -> Kernel:
    """The reverse transitions of a model: its own learned ones, or those of its denoiser with a variance rule.

    Raises:
        InputError: the variance was learned under another schedule, or its name is unknown.
    """
    if isinstance(model.denoiser, LearnedKernel):
        return model.denoiser
    lost = unconverted(model.denoiser).learned_variance and not model.denoiser.learned_variance
    if lost and variance in (None, "learned"):
        raise InputError(
            "The variance was learned for the steps of the schedule before the conversion, so this model has no bound "
            'with it: pass variance="small" or "large", or take the bound of the unconverted model.'
        )
    return reverse_kernel(model.denoiser, variance)


def bound_times(model: Model, times: ArrayLike | None) -> Tensor:
    """The times of a bound, increasing from 0 to 1: those given, of the chain, or equal in log-SNR; (n + 1,)."""
    schedule = model.denoiser.schedule
    if times is not None:
        return torch.as_tensor(np.array(times, dtype=np.float64)).to(model.device)
    steps, name = (BOUND_STEPS, "log-snr") if schedule.T is None else (schedule.T, "uniform")
    return GRIDS[name](schedule, steps).flip(0).to(model.device)


def row_noise(model: Model, seed: int, purpose: str, part: slice) -> Callable[[], Tensor]:
    """The noise of these rows of the seed for one purpose."""
    n = part.stop - part.start
    noise = BlockNoise(seed, purpose, part.start, max(1, n), model.codec.shape, model.device)
    return lambda: noise()[:n]


def slices(n: int, size: int) -> list[slice]:
    """Consecutive slices of at most ``size`` of n rows."""
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]
