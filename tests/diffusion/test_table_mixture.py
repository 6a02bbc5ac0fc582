"""The mixture that a table's network starts from: its estimates against brute force, and EM against the truth."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

import driftfield
from driftfield.codecs import EncodedRows
from driftfield.diffusion import VE, Cells, Denoiser, MixtureDenoiser, TableDenoiser, TableMixture
from driftfield.diffusion.further.cells import ABSENT, GENERATED, GIVEN, UNKNOWN
from driftfield.fitting.mixture import fit_mixture
from driftfield.networks import MLP, TableNetwork

LEVELS = (2, 3)
PATTERNS = torch.tensor([[GENERATED, GENERATED, GIVEN], [ABSENT, GENERATED, GIVEN], [GENERATED, ABSENT, ABSENT]])
CODES = torch.tensor([[0, 2], [UNKNOWN, 1], [UNKNOWN, UNKNOWN]])
VALUES = torch.tensor([[0.0, 0.0, 0.7], [0.0, 0.0, -0.4], [0.0, 0.0, 0.0]])
X_T = torch.tensor([[0.5, -1.0, 9.0], [9.0, 0.3, 9.0], [-0.8, 9.0, 9.0]])


def mixture() -> TableMixture:
    generator = torch.Generator().manual_seed(0)
    found = TableMixture(2, 3, LEVELS)
    found.log_weights = torch.tensor([0.3, 0.7], dtype=torch.float64).log()
    found.means = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    A = torch.randn(2, 3, 3, generator=generator, dtype=torch.float64)
    found.covariances = A @ A.mT + 0.2 * torch.eye(3, dtype=torch.float64)
    chances = [torch.rand(2, count, generator=generator, dtype=torch.float64) for count in LEVELS]
    found.log_levels = torch.cat([each / each.sum(1, keepdim=True) for each in chances], 1).log()
    return found


def component_log_p(model: TableMixture, row: int, alpha: float, sigma: float, x: Tensor) -> Tensor:
    """log of w_m N(what is seen of numbers) P(known categories) of one row, from torch's own densities; (M,)."""
    f, g = (PATTERNS[row] == GENERATED).nonzero()[:, 0], (PATTERNS[row] == GIVEN).nonzero()[:, 0]
    seen = torch.cat([f, g])
    y = torch.cat([x[f].double(), VALUES[row, g].double()])
    found = []
    for m in range(2):
        gain = torch.cat([torch.full((len(f),), alpha), torch.ones(len(g))]).double()
        noise = torch.cat([torch.full((len(f),), sigma**2), torch.zeros(len(g))]).double()
        C = gain[:, None] * gain * model.covariances[m][seen][:, seen] + noise.diag()
        log_p = MultivariateNormal(gain * model.means[m][seen], C).log_prob(y) + model.log_weights[m]
        for k, offset in enumerate((0, 2)):
            if CODES[row, k] != UNKNOWN:
                log_p = log_p + model.log_levels[m, offset + int(CODES[row, k])]
        found.append(log_p)
    return torch.stack(found)


@pytest.mark.parametrize("alpha", [1.0, 0.6])
@pytest.mark.parametrize("row", range(3))
def test_the_noise_is_the_gradient_of_the_density(row: int, alpha: float) -> None:
    model, sigma = mixture(), 0.8
    x = X_T[row].double().requires_grad_()
    value = torch.logsumexp(component_log_p(model, row, alpha, sigma, x), 0)
    (score,) = torch.autograd.grad(value, x)
    cells = Cells(PATTERNS[row : row + 1], VALUES[row : row + 1], CODES[row : row + 1])
    found = model.eps_hat(X_T[row : row + 1], torch.tensor([[alpha]]), torch.tensor([[sigma]]), cells)
    # A given number has a variance of 1e-6 in place of 0, and x_t is float32.
    assert torch.allclose(found[0], -sigma * score, atol=1e-4)


@pytest.mark.parametrize("row", range(3))
def test_chances_of_categories_are_those_of_bayes(row: int) -> None:
    model = mixture()
    state = torch.where(PATTERNS == GENERATED, ABSENT, PATTERNS)[row : row + 1]
    cells = Cells(state, VALUES[row : row + 1], CODES[row : row + 1])
    given = (state[0] == GIVEN).nonzero()[:, 0]
    log_p = model.log_weights.clone()
    for m in range(2):
        if len(given):
            C = model.covariances[m][given][:, given]
            log_p[m] += MultivariateNormal(model.means[m][given], C).log_prob(VALUES[row, given].double())
        for k, offset in enumerate((0, 2)):
            if CODES[row, k] != UNKNOWN:
                log_p[m] += model.log_levels[m, offset + int(CODES[row, k])]
    chances = log_p.softmax(0) @ model.log_levels.exp()
    for found, true in zip(model.logits(cells), chances.split([2, 3]), strict=True):
        assert torch.allclose(found[0].softmax(0), true, atol=1e-5)


def test_an_untrained_network_is_the_mixture() -> None:
    network = TableNetwork(3, LEVELS, width=8, depth=1, components=2)
    assert network.mixture is not None
    network.mixture.load_state_dict(mixture().state_dict())
    denoiser = TableDenoiser(network, VE())
    cells = Cells(PATTERNS, VALUES, CODES)
    t = denoiser.schedule.time(torch.tensor(2 * math.log(0.8), dtype=torch.float64))
    eps = denoiser(X_T, t, cells.packed).eps
    direct = mixture().eps_hat(X_T, torch.ones(1, 1), torch.full((1, 1), 0.8), cells)
    assert torch.allclose(eps[cells.free].double(), direct[cells.free], atol=1e-5)


def test_numbers_alone_are_denoised_as_an_exact_mixture_does() -> None:
    classical = mixture()
    network = MLP(3, width=8, depth=1, components=2)
    assert network.mixture is not None
    network.mixture.load_state_dict({**classical.state_dict(), "log_levels": torch.zeros(2, 0)})
    exact = MixtureDenoiser(VE(), classical.log_weights.exp(), classical.means, classical.covariances)
    t = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    for head in ("edm", "eps", "flow"):
        found = Denoiser(network, VE(), head, scale_output=head == "flow")(X_T, t)
        # x_hat of the head eps is x_t - sigma eps, of which x_t and eps are float32 and up to 20.
        assert torch.allclose(found.x0.double(), exact(X_T.double(), t).x0, atol=1e-4)


def test_rows_with_all_numbers_are_estimated_beside_others_as_alone() -> None:
    model, sigma = mixture(), torch.tensor([[0.3], [0.8], [2.0]])
    state = torch.where(torch.arange(3)[:, None] == 0, GENERATED, PATTERNS)  # the first row has all of them
    cells = Cells(state, VALUES, CODES)
    together = model.eps_hat(X_T, torch.ones(3, 1), sigma, cells)
    for i in range(3):
        own = Cells(*(part[i : i + 1] for part in (cells.state, cells.values, cells.codes)))
        alone = model.eps_hat(X_T[i : i + 1], torch.ones(1, 1), sigma[i : i + 1], own)
        assert torch.allclose(together[i : i + 1], alone, atol=1e-9)  # float64


def test_a_network_starts_from_a_mixture_that_nobody_can_tell_from_the_rows() -> None:
    rng = np.random.default_rng(0)
    middle = rng.normal(0, 3, (3, 6))
    gaussians = middle[rng.integers(3, size=3_000)] + rng.standard_normal((3_000, 6))
    angles = rng.uniform(0, 2 * np.pi, (3_000, 3))
    rings = np.concatenate([np.cos(angles), np.sin(angles)], 1) + 0.05 * rng.standard_normal((3_000, 6))
    assert driftfield.fit(gaussians, steps=1).recipe.network.components == 3
    assert driftfield.fit(rings, steps=1).recipe.network.components == 0
    assert driftfield.fit(gaussians[:300], steps=1).recipe.network.components == 0  # nor do few rows
    assert driftfield.fit(gaussians[:, :2], steps=1).recipe.network.components == 0  # two columns need none


def drawn(n: int) -> EncodedRows:
    """Rows of two far components, a third of whose cells are missing."""
    rng = np.random.default_rng(0)
    m = rng.integers(0, 2, n)
    z = rng.normal(np.where(m == 0, -1.0, 1.0)[:, None] * np.array([1.0, -1.0]), 0.4, (n, 2))
    codes = np.where(rng.random(n) < 0.9, m, 1 - m)[:, None]
    present = rng.random((n, 2)) > 1 / 3
    codes = np.where(rng.random((n, 1)) < 1 / 3, -1, codes).astype(np.int64)
    none = np.zeros((n, 2), np.float32)
    return EncodedRows(np.where(present, z, 0).astype(np.float32), none, present, codes, none)


def test_em_finds_the_components_through_missing_cells() -> None:
    found = fit_mixture(drawn(4_000), (2,), seed=0)
    assert len(found.means) == 2
    order = found.means[:, 0].argsort()
    # 2,000 rows of a component, of which two thirds have a number: standard errors of 0.011, and a prior of one row.
    assert torch.allclose(found.means[order], torch.tensor([[-1.0, 1.0], [1.0, -1.0]]).double(), atol=0.05)
    assert torch.allclose(
        found.covariances.diagonal(dim1=1, dim2=2).sqrt(), torch.full((2, 2), 0.4).double(), atol=0.03
    )
    assert torch.allclose(found.log_levels[order].exp(), torch.tensor([[0.9, 0.1], [0.1, 0.9]]).double(), atol=0.04)


def test_equal_weights_change_nothing_and_a_weight_counts_rows() -> None:
    rows = drawn(500)
    plain = fit_mixture(rows, (2,), seed=0, components=2)
    equal = fit_mixture(rows, (2,), seed=0, weights=np.full(500, 3.0), components=2)
    assert torch.allclose(plain.means, equal.means, atol=1e-9)
    heavy = fit_mixture(rows, (2,), seed=0, weights=np.where(rows.codes[:, 0] == 0, 9.0, 1.0), components=2)
    assert heavy.log_weights.exp().max() > plain.log_weights.exp().max() + 0.1


def test_categories_alone_and_numbers_alone() -> None:
    rows = drawn(300)
    none = np.zeros((300, 0))
    numbers = EncodedRows(rows.z, rows.width, rows.present, none.astype(np.int64), rows.tail)
    categories = EncodedRows(*[none.astype(np.float32)] * 2, none.astype(bool), rows.codes, none.astype(np.float32))
    assert fit_mixture(numbers, (), seed=0).means.isfinite().all()
    assert fit_mixture(categories, (2,), seed=0).log_levels.isfinite().all()


def gaussian_rows(z: np.ndarray) -> EncodedRows:
    z = z.astype(np.float32)
    return EncodedRows(z, 0 * z, np.ones(z.shape, bool), np.zeros((len(z), 0), np.int64), 0 * z)


def test_of_few_rows_covariances_are_drawn_to_the_identity_as_far_as_other_rows_say() -> None:
    """Beside the identity as one row: nearer to the truth, in nats, and not where the rows know better."""
    D, nearer = 10, []
    for seed, noise in ((0, 1.0), (1, 1.0), (2, 1.0), (3, 0.01)):
        rng = np.random.default_rng(seed)
        A = rng.normal(size=(D, 2))
        truth = A @ A.T + noise * np.eye(D)
        truth /= np.sqrt(np.outer(truth.diagonal(), truth.diagonal()))
        z = rng.multivariate_normal(np.zeros(D), truth, 60)
        exact = MultivariateNormal(torch.zeros(D).double(), torch.from_numpy(truth))
        plain = torch.from_numpy((z - z.mean(0)).T @ (z - z.mean(0)) + np.eye(D)) / 61
        found = fit_mixture(gaussian_rows(z), (), seed=0, components=1).covariances[0]
        mean = torch.from_numpy(z.mean(0))
        away, before = (
            torch.distributions.kl_divergence(exact, MultivariateNormal(mean, C)).item() for C in (found, plain)
        )
        nearer.append(before - away)
    assert min(nearer) >= -1e-3
    assert np.mean(nearer[:3]) > 0.1


def test_few_rows_of_clusters_share_a_covariance() -> None:
    rng = np.random.default_rng(0)
    wide = np.diag(np.geomspace(0.02, 0.5, 8))
    middle = np.repeat(rng.normal(size=(4, 8)), 40, axis=0)
    found = fit_mixture(gaussian_rows(middle + rng.multivariate_normal(np.zeros(8), wide, 160)), (), seed=0)
    assert len(found.means) == 4
    assert torch.equal(found.covariances[0], found.covariances[1])
