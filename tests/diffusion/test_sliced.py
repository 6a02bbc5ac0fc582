import math

import pytest
import torch
from oracles import EVERY, ExactGaussian, Says, f64, normal, ring_distribution

from driftfield.diffusion import BaseDenoiser, Denoiser, Estimate, Schedule
from driftfield.diffusion.further.sliced import sliced_score_loss


class Linear(BaseDenoiser):
    """eps_hat = A x_t + b: a score model whose best parameters are known."""

    def __init__(self, schedule: Schedule, D: int) -> None:
        super().__init__(schedule)
        self.A = torch.nn.Parameter(0.1 * normal(D, D, seed=7))
        self.b = torch.nn.Parameter(normal(D, seed=8))

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, cond: torch.Tensor | None = None) -> Estimate:
        return Estimate(x_t, x_t @ self.A.T + self.b, t, self.schedule)


def signs(*shape: int, seed: int = 9) -> torch.Tensor:
    return normal(*shape, seed=seed).sign()


def all_signs(D: int) -> torch.Tensor:
    """The 2^D vectors of signs."""
    return f64([[1.0 if i >> d & 1 else -1.0 for d in range(D)] for i in range(2**D)])


def denoising(denoiser: BaseDenoiser, x: torch.Tensor, t: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
    """1/2 |eps_hat - eps|^2."""
    return 0.5 * (denoiser(denoiser.schedule.perturb(x, t, eps), t).eps - eps).square().sum(1)


@pytest.mark.parametrize("name", EVERY)
def test_the_loss_of_the_exact_score_follows_from_its_divergence(name: str) -> None:
    """For N(m, v) in two dimensions eps_hat = sigma (x_t - alpha m) / C with C = alpha^2 v + sigma^2."""
    schedule, t = EVERY[name], f64([0.4, 0.5, 0.9])
    x, eps = normal(3, 2), normal(3, 2, seed=1)
    loss = sliced_score_loss(ExactGaussian(schedule, mean=0.7, variance=0.3), x, t, eps, signs(3, 2))
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    C = alpha**2 * 0.3 + sigma**2
    eps_hat = (sigma / C)[:, None] * (schedule.perturb(x, t, eps) - 0.7 * alpha[:, None])
    torch.testing.assert_close(loss, 0.5 * eps_hat.square().sum(1) - 2 * sigma**2 / C, rtol=1e-8, atol=1e-9)


def test_the_mean_over_directions_is_that_of_the_trace() -> None:
    schedule, t, D = EVERY["vp"], f64(0.3), 3
    denoiser, x, eps = Linear(schedule, D), normal(1, D), normal(1, D, seed=1)
    every = all_signs(D)
    losses = sliced_score_loss(denoiser, x.expand(8, D), t, eps.expand(8, D), every)
    eps_hat = denoiser(schedule.perturb(x, t, eps), t).eps
    expected = 0.5 * eps_hat.square().sum() - schedule.sigma(t) * torch.trace(denoiser.A)
    torch.testing.assert_close(losses.mean(), expected)
    # The normal has the same second moments, and a larger spread.
    n = 50_000
    v = normal(n, D, seed=3)
    losses_normal = sliced_score_loss(denoiser, x.expand(n, D), t, eps.expand(n, D), v).detach()
    error = float(losses_normal.std()) / math.sqrt(n)
    assert float(losses_normal.mean()) == pytest.approx(float(expected.detach()), abs=5 * error)
    assert losses_normal.std() > losses.std()


def test_a_linear_score_is_best_where_denoising_finds_it_best() -> None:
    schedule, t, D, n = EVERY["vp"], f64(0.35), 2, 4000
    alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
    root = f64([[1.0, 0.0], [0.6, 0.5]])
    # Samples with exactly the moments of the distribution, so that the minimum is that of the distribution itself: x
    # and eps together are whitened.
    both = normal(n, 2 * D)
    both = both - both.mean(0)
    both = both @ torch.linalg.inv(torch.linalg.cholesky(both.T @ both / n)).T
    mean = f64([0.3, -0.8])
    x, eps = both[:, :D] @ root.T + mean, both[:, D:]
    C = alpha**2 * root @ root.T + sigma**2 * torch.eye(2).double()
    best = sigma * torch.linalg.inv(C)
    denoiser = Linear(schedule, D)
    with torch.no_grad():
        denoiser.A.copy_(best)
        denoiser.b.copy_(-best @ (alpha * mean))
    v = all_signs(D).repeat(n // 4, 1)  # each direction equally often, so that their mean is the trace
    for loss in (sliced_score_loss(denoiser, x, t, eps, v), denoising(denoiser, x, t, eps)):
        # Both are convex and quadratic in the parameters: where the gradient is zero is the minimum.
        for gradient in torch.autograd.grad(loss.mean(), list(denoiser.parameters())):
            torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)


def test_it_differs_from_denoising_by_half_the_dimension_whatever_the_parameters() -> None:
    schedule, n = EVERY["vp"], 100_000
    distribution = ring_distribution(schedule)
    x, eps, v = distribution.sample(n, torch.Generator().manual_seed(0)), normal(n, 2, seed=1), signs(n, 2)
    t = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 0.9 + 0.05
    models: list[BaseDenoiser] = [
        distribution,
        Linear(schedule, 2),
        ExactGaussian(schedule, mean=0.4, variance=2.0),
    ]
    for denoiser in models:
        with torch.no_grad():
            difference = denoising(denoiser, x, t, eps) - sliced_score_loss(denoiser, x, t, eps, v)
        error = float(difference.std()) / math.sqrt(n)
        assert error < 0.05
        assert float(difference.mean()) == pytest.approx(1.0, abs=5 * error)


def test_it_trains_a_network_of_any_head_and_keeps_no_graph_without_gradients() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.SiLU(), torch.nn.Linear(8, 2))

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: torch.Tensor, label: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
            return self.network(x)

    x, eps, v = (f(5, 2).float() for f in (normal, normal, signs))
    for head in ("eps", "edm", "score"):
        denoiser = Denoiser(Net(), EVERY["linear"], head)
        loss = sliced_score_loss(denoiser, x, f64([0.1, 0.3, 0.5, 0.7, 1.0]), eps, v)
        assert loss.shape == (5,)
        gradients = torch.autograd.grad(loss.sum(), list(network.parameters()))
        assert all(torch.isfinite(g).all() and g.abs().max() > 0 for g in gradients)
        with torch.no_grad():
            assert not sliced_score_loss(denoiser, x, f64(0.5), eps, v).requires_grad


def test_it_is_finite_at_both_ends_of_time() -> None:
    for name, schedule in EVERY.items():
        denoiser = Denoiser(Says(torch.ones(()).double()), schedule, "v")
        loss = sliced_score_loss(denoiser, normal(2, 2), f64([0.0, 1.0]), normal(2, 2, seed=1), signs(2, 2))
        assert torch.isfinite(loss).all(), name
