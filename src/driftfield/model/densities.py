"""Densities: the log-density of rows under a model, its gradient, and the codes of rows, in the user's units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from driftfield.codecs import FloatArray
from driftfield.diffusion import LearnedKernel, decode, dequantised_log_prob, encode
from driftfield.diffusion import log_prob as ode_log_prob
from driftfield.diffusion.further.likelihood import MOST_EXACT
from driftfield.diffusion.further.likelihood import log_prob_gradient as ode_log_prob_gradient
from driftfield.diffusion.further.prior_error import prior_error
from driftfield.diffusion.further.probability_flow import MOST_NUMBERS
from driftfield.errors import InputError
from driftfield.memory import require
from driftfield.model.bounds import importance_bound, row_noise, slices
from driftfield.model.finite import check_finite
from driftfield.model.labels import Label, class_numbers
from driftfield.model.noise_levels import check_in_range, find_time
from driftfield.model.priors import density_prior, encoded_rows, spread
from driftfield.model.whole_rows import check_whole
from driftfield.modes import own_modes
from driftfield.seeds import derive

if TYPE_CHECKING:
    from driftfield.model.model import Model

SCORE_NOISE = 0.05  # of a standard deviation
REACH = 1e15  # standard deviations from the mean; the squares of more overflow in float32

Observe = Callable[[int], None]


@dataclass(frozen=True)
class Solving:
    """How the ODE of a density is solved; None leaves a choice to the recipe's [likelihood]."""

    steps: int | None = None
    tolerance: float | None = None
    divergence: str | None = None
    probes: int | None = None


@own_modes
def log_prob(
    model: Model,
    x: ArrayLike | Tensor,
    t: float | None,
    noise: float | None,
    solving: Solving,
    seed: int = 0,
    label: Label = None,
    observe: Observe | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Log-density of each row and the estimate of its error; see :meth:`Model.log_prob`."""
    rows = model.codec.read(x)
    far = _out_of_reach(model, rows)
    if far.any():
        rows = np.where(far.reshape(-1, *[1] * (rows.ndim - 1)), model.train[0], rows)
    values, errors = _log_prob(model, rows, t, noise, solving, seed, label, observe)
    check_finite(values, "densities")
    values[far], errors[far] = -np.inf, np.inf
    return values, errors


def _out_of_reach(model: Model, rows: FloatArray) -> NDArray[np.bool_]:
    """Rows so far away that their density is zero in float64, and that float32 cannot compute it; (n,)."""
    z = np.abs(model.codec.encode(rows)).reshape(len(rows), model.dimensions)
    within: NDArray[np.bool_] = z.max(1, initial=0.0) <= REACH
    return ~within  # also infinity and NaN, where the map itself overflows


def _log_prob(
    model: Model,
    rows: FloatArray,
    t: float | None,
    noise: float | None,
    solving: Solving,
    seed: int,
    label: Label,
    observe: Observe | None,
) -> tuple[FloatArray, FloatArray]:
    cond, time = class_numbers(model, label, len(rows)), find_time(model, t, noise)
    check_in_range(model, noise)
    if isinstance(model.denoiser, LearnedKernel):
        if time is not None:
            raise _no_ode("density at other noise levels")
        return importance_bound(model, rows, model.recipe.likelihood.paths, None, None, seed, label)
    size = max(1, MOST_NUMBERS // model.dimensions)
    options = solver(model, solving, min(len(rows), size)) | {"seed": seed, "spread": spread(model)}
    alpha = 1.0 if time is None else float(model.denoiser.schedule.alpha(time))
    end, rows_of_prior = density_prior(model), encoded_rows(model)
    z = torch.from_numpy(model.codec.encode(rows)).to(model.device)
    values, errors = np.empty(len(z)), np.empty(len(z))
    for part in slices(len(z), size):
        own = None if cond is None else cond[part]
        found = ode_log_prob(model.denoiser, alpha * z[part], end, cond=own, start=time, first=part.start, **options)
        beside = prior_error(model.denoiser.schedule, rows_of_prior, end, found.latent, options["spread"])
        values[part] = found.value.cpu().numpy()
        errors[part] = torch.hypot(found.total_error, beside).cpu().numpy()
        if observe is not None:
            observe(part.stop)
    return values + (model.codec.log_det(rows) + model.dimensions * float(np.log(alpha))), errors


@own_modes
def log_prob_gradient(
    model: Model,
    x: ArrayLike | Tensor,
    t: float | None,
    noise: float | None = None,
    label: Label = None,
    seed: int = 0,
    observe: Observe | None = None,
    **solving: Any,
) -> FloatArray:
    """The gradient of the log-density at each row of x, (n, D), in one over the user's units.

    Raises:
        InputError: the model is a learned kernel, or as :meth:`Model.log_prob` does.
    """
    if isinstance(model.denoiser, LearnedKernel):
        raise _no_ode("gradient of the density")
    check_whole(model, "gradient of the density")
    z, time = model.encoded(x), find_time(model, t, noise)
    check_in_range(model, noise)
    alpha = 1.0 if time is None else float(model.denoiser.schedule.alpha(time))
    options = solver(model, Solving(**solving), len(z)) | {"seed": seed, "spread": spread(model), "start": time}
    cond = class_numbers(model, label, len(z))
    found = ode_log_prob_gradient(model.denoiser, alpha * z, density_prior(model), cond=cond, **options)
    return model.codec.decode_score((alpha * found).cpu().numpy())


@own_modes
def score(model: Model, x: ArrayLike | Tensor, t: float | None, noise: float | None, label: Label = None) -> FloatArray:
    """grad log p_t at each row; see :meth:`Model.score`."""
    check_whole(model, "score")
    z = model.encoded(x)
    time = find_time(model, t, SCORE_NOISE if t is None and noise is None else noise)
    assert time is not None
    alpha = float(model.denoiser.schedule.alpha(time))
    with torch.no_grad():
        found = model.denoiser(alpha * z, time, class_numbers(model, label, len(z))).score * alpha
    return model.codec.decode_score(found.cpu().numpy())


@own_modes
def latent(model: Model, x: ArrayLike | Tensor, solving: Solving, label: Label = None) -> FloatArray:
    """The code of each row; see :meth:`Model.latent`."""
    check_whole(model, "latent code")
    z = model.encoded(x)
    x_1 = encode(model.denoiser, z, cond=class_numbers(model, label, len(z)), **_ode_options(model, solving))
    end = model.prior
    code = (x_1 - end.mean) * (-end.log_var / 2).exp()
    codes: FloatArray = code.cpu().numpy().astype(np.float64)
    return check_finite(codes, "codes")


@own_modes
def decoded(model: Model, z: ArrayLike | Tensor, solving: Solving, label: Label = None) -> FloatArray:
    """The row of each code; see :meth:`Model.decode`."""
    check_whole(model, "latent code")
    codes = torch.from_numpy(model.codec.read(z).astype(np.float32)).to(model.device)
    x_1 = model.prior.sample(codes)
    rows = decode(model.denoiser, x_1, cond=class_numbers(model, label, len(codes)), **_ode_options(model, solving))
    return check_finite(model.codec.decode(rows.cpu().numpy()), "rows")


def bits_per_dimension(
    model: Model, x: ArrayLike | Tensor, levels: int, draws: int, seed: int, **options: Any
) -> tuple[FloatArray, FloatArray]:
    """Bits per dimension of integer rows; see :meth:`Model.bits_per_dimension`."""
    rows = torch.from_numpy(model.codec.read(x))
    noise = row_noise(model, seed, "dequantisation", slice(0, len(rows)))
    seeds = (derive(seed, "density of a dequantised row", draw) for draw in range(draws))
    found = dequantised_log_prob(
        lambda x: torch.from_numpy(model.log_prob(x, seed=next(seeds), **options)[0]),
        rows,
        levels,
        lambda: torch.special.ndtr(noise().double()).to(rows),  # uniform
        draws,
    )
    bits, error = found.bits(model.dimensions)
    return bits.numpy(), error.numpy()


def solver(model: Model, solving: Solving, rows: int) -> dict[str, Any]:
    """The options of the density's solver for so many rows at once: as given, or from the recipe.

    Raises:
        InputError: options contradict each other, or there are more probes than memory holds.
    """
    section = model.recipe.likelihood
    steps, tolerance = solving.steps, solving.tolerance
    if steps is not None and tolerance is not None:
        raise InputError("Give a number of steps or a tolerance, not both: each says how to solve.")
    hutchinson = (solving.divergence or section.divergence) == "hutchinson" or model.dimensions > MOST_EXACT
    if solving.probes is not None and not hutchinson:
        raise InputError("Probes belong to the divergence hutchinson, but this one is exact: leave them out.")
    if steps is None and tolerance is None:
        steps, tolerance = section.steps, section.tolerance
    probes = section.probes if solving.probes is None else solving.probes
    if hutchinson:
        require(8 * probes * rows * model.dimensions, f"{probes:,} probes for each row", "take fewer")
    return {
        "steps": section.steps if steps is None else steps,
        "tolerance": tolerance,
        "divergence": solving.divergence or section.divergence,
        "probes": probes,
    }


def _ode_options(model: Model, solving: Solving) -> dict[str, Any]:
    """The options of the ODE solver without a density: as given, or from the recipe."""
    if isinstance(model.denoiser, LearnedKernel):
        raise _no_ode("latent code")
    section, steps, tolerance = model.recipe.likelihood, solving.steps, solving.tolerance
    if steps is None and tolerance is None:
        steps, tolerance = section.steps, section.tolerance
    return {"steps": steps or section.steps, "tolerance": tolerance, "spread": spread(model)}


def _no_ode(what: str) -> InputError:
    return InputError(f"A learned kernel has no probability-flow ODE, so no {what}: use a model with a denoiser.")
