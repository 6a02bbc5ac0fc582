"""Gradients of log-densities with respect to rows, in the user's units, through torch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import driftfield
from driftfield.diffusion import MixtureDenoiser
from driftfield.errors import InputError
from driftfield.model.model import Model

MEANS = np.array([[2.0, -40.0], [-1.0, 30.0]])
COVARIANCES = np.array([[[1.0, 8.0], [8.0, 100.0]], [[0.5, -3.0], [-3.0, 400.0]]])
X = np.array([[0.0, 0.0], [1.5, -45.0], [-1.2, 20.0]])
UNITS = np.array([1.0, 20.0])  # the columns' standard deviations, roughly


@pytest.fixture(scope="module")
def model() -> Model:
    """A model of two Gaussians in the user's units whose denoiser is exact in its own."""
    rng = np.random.default_rng(0)
    component = rng.integers(2, size=1500)
    rows = MEANS[component] + np.einsum(
        "nij,nj->ni", np.linalg.cholesky(COVARIANCES)[component], rng.normal(size=(1500, 2))
    )
    fitted = driftfield.fit(rows, steps=1, lr=1e-12)
    A = fitted.codec.scaler.rotation / fitted.codec.scaler.scale[:, None]
    weights = torch.tensor([0.5, 0.5], dtype=torch.float64)
    means = torch.from_numpy((MEANS - fitted.codec.scaler.mean) @ A)
    truth = MixtureDenoiser(fitted.denoiser.schedule, weights, means, torch.from_numpy(A.T @ COVARIANCES @ A))
    return replace(fitted, denoiser=truth)


def gradient(model: Model, x: np.ndarray, **options: object) -> np.ndarray:
    rows = torch.from_numpy(x).requires_grad_()
    value, _ = model.as_torch().log_prob(rows, **options)
    (found,) = torch.autograd.grad(value.sum(), rows)
    return found.numpy()


@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_the_gradient_of_an_exact_density_is_the_score(model: Model, noise: float) -> None:
    # float32 on the way, and 40 steps of the solver: the density itself is known to about 1e-4 nats
    assert_allclose(gradient(model, X, noise=noise) * UNITS, model.score(X, noise=noise) * UNITS, atol=5e-3)


@pytest.mark.parametrize("options", [{}, {"divergence": "hutchinson", "probes": 4, "seed": 3}, {"tolerance": 1e-4}])
def test_the_gradient_is_the_limit_of_differences(model: Model, options: dict[str, object]) -> None:
    found = gradient(model, X, **options)
    for k, step in enumerate(1e-2 * UNITS):
        ahead, behind = (model.log_prob(X + sign * step * np.eye(2)[k], **options)[0] for sign in (1, -1))
        assert_allclose(found[:, k] * UNITS[k], (ahead - behind) / (2 * step) * UNITS[k], atol=2e-2)  # float32


def test_the_gradient_is_weighted_by_what_follows_and_belongs_to_each_row(model: Model) -> None:
    rows = torch.from_numpy(X).float().requires_grad_()
    value, error = model.as_torch().log_prob(rows, steps=8)
    (value * torch.tensor([1.0, 0.0, -2.0])).sum().backward()
    assert rows.grad is not None
    assert rows.grad.dtype == torch.float32
    assert not error.requires_grad
    assert_allclose(rows.grad, gradient(model, X, steps=8) * np.array([[1.0], [0.0], [-2.0]]), rtol=1e-4, atol=1e-6)
    assert not model.as_torch().log_prob(rows.detach(), steps=8)[0].requires_grad
    with torch.no_grad():
        assert not model.as_torch().log_prob(rows, steps=8)[0].requires_grad


def test_a_learned_kernel_has_no_gradient_and_says_so() -> None:
    learned = {"kernel": "learned", "objective": "elbo", "schedule": "linear", "network": {"width": 8}}
    model = driftfield.fit("moons", steps=2, rows=60, likelihood={"paths": 2}, **learned)
    rows = torch.zeros(2, 2).requires_grad_()
    value, _ = model.as_torch().log_prob(rows)
    with pytest.raises(InputError, match="no gradient"):
        value.sum().backward()
