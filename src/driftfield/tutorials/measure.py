"""Small measurements on a trained model: two-sample accuracies under another sampler or prior, and bounds."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch

from driftfield.codecs import FloatArray
from driftfield.datasets import Distribution
from driftfield.diffusion import sample
from driftfield.diffusion.further.row_noise import BlockNoise
from driftfield.evaluation.classifiers import c2st
from driftfield.model.model import Model
from driftfield.recipes.sampling import build_sampling
from driftfield.seeds import derive

ROWS = 5_000  # on each side of a two-sample test
REAL = "real rows of a tutorial"


def distribution_of(model: Model) -> Distribution:
    """The distribution that a tutorial's data come from."""
    assert model.distribution is not None, "tutorials are about known distributions"
    return model.distribution


def fresh_rows(distribution: Distribution, n: int, seed: int, purpose: str = REAL) -> FloatArray:
    """Rows of a distribution that no training has seen; (n, D)."""
    return distribution.sample(n, derive(seed, purpose))


def accuracy(samples: FloatArray, distribution: Distribution, seed: int = 0) -> float:
    """Mean accuracy of k-NN and of boosting at telling samples (n, D) from as many fresh rows of the distribution."""
    judged = c2st(samples, fresh_rows(distribution, len(samples), seed), seed)
    return float(np.mean([measured.value for measured in judged]))


def floor(distribution: Distribution, seed: int = 0) -> float:
    """The same accuracy between two samples of the distribution."""
    return accuracy(fresh_rows(distribution, ROWS, seed, "second real sample of a tutorial"), distribution, seed)


def sampled_accuracy(model: Model, seed: int = 0, **options: Any) -> float:
    """The accuracy at telling rows of the model from fresh ones, with options of :meth:`Model.sample`."""
    return accuracy(model.sample(ROWS, seed, **options), distribution_of(model), seed)


def from_noised_data(model: Model, n: int, seed: int = 0) -> FloatArray:
    """Samples of the reverse process that starts from real rows diffused to t = 1, not from the prior; (n, D).

    How much better they are than ordinary samples is the effect of the prior's mismatch.
    """
    denoiser = model.denoiser
    rows = fresh_rows(distribution_of(model), n, seed, "real rows that are noised")
    z = torch.from_numpy(model.codec.encode(rows)).to(model.device)
    noise = BlockNoise(seed, "noise of the process from noised data", 0, n, (model.dimensions,), model.device)
    one = torch.ones((), dtype=torch.float64, device=model.device)
    start = denoiser.schedule.perturb(z, one, noise())
    step, times = build_sampling(model.recipe.sample, denoiser.schedule)
    *_, last = sample(denoiser, start, times.to(model.device), step, noise)
    return model.codec.decode(last.x.cpu().numpy())


def mean_square(model: Model) -> float:
    """Of the training rows as the network sees them."""
    return float(np.square(model.codec.encode(model.train)).mean())


def mean_and_error(values: FloatArray) -> tuple[float, float]:
    """The mean over rows (n,), and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


class Bound(NamedTuple):
    """The bound on the mean NLL in the user's units, its standard error, and the means of its terms; nats."""

    value: float
    error: float
    terms: FloatArray  # (T + 1,) L_0 .. L_T, in the network's units


def bound(model: Model, variance: str, x: FloatArray, seed: int = 0) -> Bound:
    """The bound of the model's chain on rows x (n, D), with one draw of x_t for each row and step."""
    found = model.bound_terms(x, variance=variance, draws=1, seed=seed)
    value, error = mean_and_error(found.total.numpy() - model.codec.log_det(x))
    return Bound(value, error, found.means().numpy())
