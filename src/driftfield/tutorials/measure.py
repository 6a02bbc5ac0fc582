"""Small measurements on a trained model: accuracies of a two-sample test under changes of its sampler or its prior."""

from typing import Any

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

ROWS = 5_000  # of each side of a two-sample test
REAL = "real rows of a tutorial"


def distribution_of(model: Model) -> Distribution:
    """The distribution that a tutorial's data come from."""
    distribution = model.distribution
    assert distribution is not None, "tutorials are about distributions"
    return distribution


def fresh_rows(distribution: Distribution, n: int, seed: int, purpose: str = REAL) -> FloatArray:
    """Rows of a distribution that no training has seen; (n, D)."""
    return distribution.sample(n, derive(seed, purpose))


def accuracy(samples: FloatArray, distribution: Distribution, seed: int = 0) -> float:
    """Mean accuracy of k-NN and of boosting at telling samples (n, D) from as many fresh rows of the distribution."""
    return float(
        np.mean([measured.value for measured in c2st(samples, fresh_rows(distribution, len(samples), seed), seed)])
    )


def floor(distribution: Distribution, seed: int = 0, rows: int = ROWS) -> float:
    """The same between two samples of the distribution."""
    return accuracy(fresh_rows(distribution, rows, seed, "second real sample of a tutorial"), distribution, seed)


def sampled_accuracy(model: Model, seed: int = 0, **options: Any) -> float:
    """The accuracy of telling rows of the model from fresh ones, with options of :meth:`Model.sample`."""
    return accuracy(model.sample(ROWS, seed, **options), distribution_of(model), seed)


def from_noised_data(model: Model, n: int, seed: int = 0) -> FloatArray:
    """Rows of the reverse process that starts from real rows carried to t = 1, not from the prior; (n, D).

    What is better about them than about samples is what the mismatch of the prior costs.
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
