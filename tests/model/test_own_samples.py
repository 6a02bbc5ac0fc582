"""A model's own samples, scored with the seed that they were drawn with, by every estimator that draws numbers."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

import driftfield
from driftfield.diffusion import MixtureDenoiser
from driftfield.model.model import Model

ROWS, LEVELS = 4_000, 24
SIGNS = np.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
MEANS = 12 + 4 * SIGNS
# Within each component the columns correlate with the sign of its quadrant, and the flow carries quadrants to
# quadrants: so an estimate that is made from the signs or the sizes of the noise behind a sample is far off.
COVARIANCES = np.array([[[4.0, 3.6 * a * b], [3.6 * a * b, 4.0]] for a, b in SIGNS])


@pytest.fixture(scope="module")
def model() -> Model:
    """A model whose denoiser is exact, of rows in 0 .. 24 with a standard deviation of 4.5 levels."""
    rng = np.random.default_rng(0)
    component = rng.integers(4, size=1500)
    factors = np.linalg.cholesky(COVARIANCES)[component]
    rows = MEANS[component] + np.einsum("nij,nj->ni", factors, rng.normal(size=(1500, 2)))
    fitted = driftfield.fit(rows, steps=1, lr=1e-12, scaling="standard", sample={"steps": 12, "round": False})
    scale = fitted.codec.scaler.scale
    denoiser = MixtureDenoiser(
        fitted.denoiser.schedule,
        torch.full((4,), 0.25, dtype=torch.float64),
        torch.from_numpy((MEANS - fitted.codec.scaler.mean) / scale),
        torch.from_numpy(COVARIANCES / np.outer(scale, scale)),
    )
    return replace(fitted, denoiser=denoiser)


Estimator = Callable[[Model, np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def coarse(model: Model) -> np.ndarray:
    """Times of a bound with three steps, at noise levels where the quadrant of a noisy row is in doubt."""
    levels = torch.tensor([1.0, 5.0], dtype=torch.float64)
    return np.array([0.0, *model.denoiser.schedule.time(2 * levels.log()).tolist(), 1.0])


def bits(model: Model, rows: np.ndarray, seed: int, **options: object) -> tuple[np.ndarray, np.ndarray]:
    return model.bits_per_dimension(np.clip(np.floor(rows), 0, LEVELS - 1), LEVELS, seed=seed, steps=6, **options)


ESTIMATORS: dict[str, Estimator] = {
    "bound": lambda model, rows, seed: model.bound(rows, times=coarse(model), seed=seed),
    "importance bound": lambda model, rows, seed: model.importance_bound(rows, 2, times=coarse(model), seed=seed),
    "log_prob": lambda model, rows, seed: model.log_prob(rows, steps=6, seed=seed),
    "log_prob by Hutchinson": lambda model, rows, seed: model.log_prob(
        rows, steps=6, divergence="hutchinson", probes=2, seed=seed
    ),
    "bits per dimension": bits,
    "bits per dimension by Hutchinson": lambda model, rows, seed: bits(
        model, rows, seed, divergence="hutchinson", probes=2
    ),
}


@pytest.fixture(scope="module", params=[0, 3])
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def rows(model: Model, seed: int) -> np.ndarray:
    return model.sample(ROWS, seed=seed)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_samples_scored_with_their_own_seed_are_scored_as_with_another(
    model: Model, rows: np.ndarray, name: str, seed: int
) -> None:
    own, other = (ESTIMATORS[name](model, rows, each)[0] for each in (seed, seed + 17))
    difference = own - other
    assert name == "log_prob" or (difference != 0).any()  # another seed is another estimate of the same number
    # Four standard errors of the mean over the rows; the seeds are fixed, so that it passes always or never.
    assert abs(difference.mean()) <= 4 * difference.std() / np.sqrt(ROWS)


def test_the_error_of_bits_per_dimension_holds_the_error_of_the_probes(model: Model) -> None:
    rows = model.sample(300, seed=0)
    options = {"divergence": "hutchinson", "probes": 2, "draws": 8}
    found = [bits(model, rows, seed, **options) for seed in range(12)]
    scatter = np.std([value for value, _ in found], axis=0, ddof=1)
    stated = np.sqrt(np.mean([error**2 for _, error in found], axis=0))
    # Root mean squares over 300 rows with 11 degrees of freedom each: equal to 1.2 % if the draws are independent.
    ratio = np.sqrt(np.mean(scatter**2) / np.mean(stated**2))
    assert ratio == pytest.approx(1, abs=0.1)
