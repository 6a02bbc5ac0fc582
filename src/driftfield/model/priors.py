"""Priors: the Gaussian that approximates x_1 in samples and in densities, and how far x_1 is from it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

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
    rows = torch.as_tensor(model.train, dtype=torch.float32, device=model.device)
    return matched_prior(schedule, rows.mean(0), rows.var(0))


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
    z = torch.from_numpy(model.codec.encode(model.train)).double().to(model.device)
    covariance = z.T.cov().reshape(model.dimensions, model.dimensions)
    return correlated_prior(schedule, z.mean(0), covariance if correlated else covariance.diag().diag(), spread(model))


def encoded_rows(model: Model) -> Tensor:
    """The training rows that the model keeps, in random order and in the network's units; (N, D) float64."""
    order = stream(0, "training rows that judge a prior").permutation(len(model.train))
    return torch.from_numpy(model.codec.encode(model.train[order])).double().to(model.device)


def spread(model: Model) -> float:
    """Standard deviation of the data in the network's units, of the widest column."""
    if model.recipe.data.scaling != "none":
        return 1.0
    widest = float(model.train.std(0).max())
    return widest if widest > 0 else 1.0


@torch.no_grad()
def prior_mismatch(model: Model) -> PriorMismatch:
    """How far x_1 is from the prior, for the moments of the training rows."""
    schedule = model.denoiser.schedule
    z = model.codec.encode(model.train).astype(np.float64)
    if model.recipe.train.prior == "standard":
        return schedule.prior_kl(float(np.square(z).mean()))
    variance = float(z.var(0).mean())
    one = torch.ones((), dtype=torch.float64, device=model.device)
    return schedule.prior_kl(variance, float(schedule.alpha(one) ** 2 * variance + schedule.sigma(one) ** 2))
