"""Priors: the Gaussian that approximates x_1 in samples and in densities, and how far x_1 is from it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from driftfield.codecs import FloatArray
from driftfield.datasets.weights import representative
from driftfield.diffusion import Gaussian, correlated_prior, matched_prior, standard_prior
from driftfield.diffusion.basics.schedules import PriorMismatch
from driftfield.diffusion.further.conversion import unconverted
from driftfield.diffusion.further.likelihood import Prior
from driftfield.diffusion.further.probability_flow import end_coefficients
from driftfield.seeds import stream

if TYPE_CHECKING:
    from driftfield.model.model import Model

FADED = 0.01  # of the variance at t = 1: a signal whose correlations no sample shows


def prior(model: Model) -> Gaussian:
    """The Gaussian that approximates x_1, in the network's units."""
    schedule, shape = model.denoiser.schedule, model.codec.shape
    like: dict[str, Any] = {"dtype": torch.float32, "device": model.device}
    zeros, ones = torch.zeros(shape, **like), torch.ones(shape, **like)
    if model.recipe.train.prior == "standard":
        return standard_prior(schedule, zeros)
    if model.recipe.data.scaling != "none":
        return matched_prior(schedule, zeros, ones)
    mean, covariance = _moments(model, model.train)
    return matched_prior(schedule, torch.as_tensor(mean, **like), torch.as_tensor(covariance.diagonal(), **like))


def density_prior(model: Model) -> Prior:
    """The prior of a density: that of samples, but as the ODE ends, and with what is left of the data's correlations.

    Correlations are too weak to show in samples, KL = 1/4 sum_{i != j} (rho_ij / 401)^2 at sigma(1) = 20, but leaving
    them out changes the log-density of a row of five columns by thousandths of a nat. Where more of the signal is left,
    they are left out, as in the prior that sampling starts with. A conversion to another schedule changes nothing: the
    ODE ends at the same noise level, and the prior is scaled with x_1.
    """
    schedule, trained = model.denoiser.schedule, unconverted(model.denoiser).schedule
    if model.recipe.train.prior == "standard":
        one = torch.ones((), dtype=torch.float64, device=model.device)
        scaled = float(trained.prior_std * schedule.scale(one, spread(model)) / trained.scale(one, spread(model)))
        zeros = torch.zeros(model.codec.shape, dtype=torch.float32, device=model.device)
        return prior(model) if trained is schedule else Gaussian(zeros, torch.full_like(zeros, 2 * math.log(scaled)))
    a, b = end_coefficients(schedule, spread(model))
    few_or_white = model.recipe.data.scaling == "whiten" or model.dimensions == 1
    correlated = not few_or_white and a**2 / (a**2 + b**2) <= FADED
    if not correlated and (model.recipe.data.scaling != "none" or schedule.t_high == 1):
        return prior(model)
    mean, full = (torch.from_numpy(part).to(model.device) for part in _moments(model, model.codec.encode(model.train)))
    return correlated_prior(schedule, mean, full if correlated else full.diag().diag(), spread(model))


def _moments(model: Model, rows: NDArray[np.floating]) -> tuple[FloatArray, FloatArray]:
    """The mean (D,) and the covariance (D, D) of the training rows, in whatever units, by their weights."""
    rows = rows.reshape(len(rows), -1).astype(np.float64)
    weights = model.train_weights
    covariance = np.cov(rows, rowvar=False, aweights=weights).reshape(rows.shape[1], rows.shape[1])
    return np.average(rows, axis=0, weights=weights), covariance


def encoded_rows(model: Model) -> Tensor:
    """The training rows that the model keeps, in random order and in the network's units; (N, D) float64.

    Rows with weights occur as often as they weigh.
    """
    order = representative(len(model.train), model.train_weights, stream(0, "training rows that judge a prior"))
    return torch.from_numpy(model.codec.encode(model.train[order])).double().to(model.device)


def spread(model: Model) -> float:
    """Standard deviation of the data in the network's units, of the widest column."""
    if model.recipe.data.scaling != "none":
        return 1.0
    widest = float(np.sqrt(_moments(model, model.train)[1].diagonal().max()))
    return widest if widest > 0 else 1.0


@torch.no_grad()
def prior_mismatch(model: Model) -> PriorMismatch:
    """How far x_1 is from the prior, for the moments of the training rows."""
    schedule = model.denoiser.schedule
    z, weights = model.codec.encode(model.train).astype(np.float64), model.train_weights
    if z.size == 0:  # a table of categories alone
        return schedule.prior_kl(1.0)
    if model.recipe.train.prior == "standard":
        return schedule.prior_kl(float(np.average(np.square(z), axis=0, weights=weights).mean()))
    variance = float(np.average((z - np.average(z, axis=0, weights=weights)) ** 2, axis=0, weights=weights).mean())
    one = torch.ones((), dtype=torch.float64, device=model.device)
    return schedule.prior_kl(variance, float(schedule.alpha(one) ** 2 * variance + schedule.sigma(one) ** 2))
