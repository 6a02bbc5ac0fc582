"""Tables: numbers given others against exact Gaussian conditionals, and categories against a table of chances."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from driftfield.diffusion import (
    VE,
    Cells,
    Gaussian,
    Schedule,
    TableDenoiser,
    categories_log_prob,
    draw_categories,
    sample,
    table,
    table_bound,
)
from driftfield.diffusion import log_prob as ode_log_prob
from driftfield.diffusion.basics.grids import GRIDS
from driftfield.diffusion.basics.heads import HEADS
from driftfield.diffusion.further.cells import ABSENT, GENERATED, GIVEN, UNKNOWN
from driftfield.diffusion.further.multistep import dpmpp_2m
from driftfield.diffusion.further.table_denoiser import idle_log_prob
from driftfield.networks import TableNetwork

# Three numbers of unit variance with correlations, whose conditionals are known.
COVARIANCE = torch.tensor([[1.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 1.0]], dtype=torch.float64)


class ExactNetwork(nn.Module):
    """What a network for the head edm should return for x ~ N(0, COVARIANCE), given some of the numbers."""

    levels = ()

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule
        self.anchor = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, label: Tensor, cond: Tensor) -> Tensor:
        cells, t = Cells.unpacked(cond, 3), self.schedule.time(2 * label.double())
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        x_t = (x * self.schedule.scale(t).reshape(-1, 1)).double()
        ends = self._ends(alpha, sigma, len(x))
        x_hat = torch.zeros_like(x_t)
        for state in cells.state.unique(dim=0):
            rows = (cells.state == state).all(1).nonzero()[:, 0]
            alike = (each[rows] for each in (x_t, cells.values.double(), *ends))
            x_hat = x_hat.index_put((rows,), self._x_hat(state, *alike))
        return self._edm(x_hat, x_t, alpha, sigma).to(x)

    def _ends(self, alpha: Tensor, sigma: Tensor, n: int) -> tuple[Tensor, Tensor]:
        return alpha.reshape(-1, 1).expand(n, 1), sigma.reshape(-1, 1).expand(n, 1)

    def _x_hat(self, state: Tensor, x_t: Tensor, values: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """For rows of this state; x_t and values (b, 3), alpha and sigma (b, 1)."""
        f, g = (state == GENERATED).nonzero()[:, 0], (state == GIVEN).nonzero()[:, 0]
        mean, C = conditional(f, g, values)
        alpha2, sigma2 = alpha[..., None] ** 2, sigma[..., None] ** 2
        noisy = torch.linalg.inv(alpha2 * C + sigma2 * torch.eye(len(f), dtype=torch.float64))  # (b, F, F)
        found = mean + alpha * ((x_t[:, f] - alpha * mean)[:, None] @ noisy @ C)[:, 0]
        return torch.zeros_like(x_t).index_put((torch.arange(len(x_t))[:, None], f), found)

    def _edm(self, x_hat: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        alpha, sigma = alpha.reshape(-1, 1), sigma.reshape(-1, 1)
        eps = (x_t - alpha * x_hat) / sigma
        return (sigma * x_hat - alpha * eps) / (alpha**2 + sigma**2).sqrt()


def conditional(f: Tensor, g: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the numbers f given the numbers g of values (.., 3)."""
    gain = COVARIANCE[f][:, g] @ torch.linalg.inv(COVARIANCE[g][:, g])
    return values[..., g] @ gain.T, COVARIANCE[f][:, f] - gain @ COVARIANCE[g][:, f]


def exact_denoiser() -> TableDenoiser:
    schedule = VE(sigma_min=0.01, sigma_max=50.0)
    return TableDenoiser(ExactNetwork(schedule), schedule)


PATTERNS = torch.tensor(
    [
        [GENERATED, GENERATED, GENERATED],
        [GENERATED, GIVEN, GENERATED],
        [GIVEN, GENERATED, ABSENT],
        [ABSENT, ABSENT, GENERATED],
        [GIVEN, GIVEN, GENERATED],
    ]
)


def test_densities_are_those_of_the_exact_conditionals() -> None:
    denoiser = exact_denoiser()
    x = torch.tensor([[0.3, -0.8, 1.1]] * len(PATTERNS))
    cells = Cells(PATTERNS, x, torch.zeros(len(x), 0, dtype=torch.int64))
    start = torch.where(cells.free, x, 0.0)
    sigma = float(denoiser.schedule.sigma(torch.ones((), dtype=torch.float64)))
    end = Gaussian(torch.zeros(3), torch.full((3,), math.log(1 + sigma**2)))
    found = ode_log_prob(denoiser, start, end, cond=cells.packed).value - idle_log_prob(denoiser.schedule, cells)
    for value, state, row in zip(found, PATTERNS, x.double(), strict=True):
        f, g = (state == GENERATED).nonzero()[:, 0], (state == GIVEN).nonzero()[:, 0]
        mean, C = conditional(f, g, row)
        truth = torch.distributions.MultivariateNormal(mean, C + 0.01**2 * torch.eye(len(f))).log_prob(row[f])
        # The prior leaves out correlations and means of x_1, of order 1 / sigma = 0.02 of a standard deviation.
        assert float(value) == pytest.approx(float(truth), abs=0.03)


def test_the_divergence_along_given_and_absent_numbers_is_zero() -> None:
    denoiser = exact_denoiser()
    state = torch.tensor([[GENERATED, GIVEN, ABSENT]] * 5)
    x = torch.linspace(-2, 2, 15).reshape(5, 3)
    cells = Cells(state, x, torch.zeros(5, 0, dtype=torch.int64))
    start, end = torch.where(cells.free, x, 0.0), Gaussian(torch.zeros(3), torch.zeros(3))
    whole, part = (ode_log_prob(denoiser, start, end, cond=cells.packed, over=over).value for over in (None, [0]))
    assert torch.allclose(whole, part, rtol=0, atol=1e-5)  # of 40 steps in float32


def test_any_sampler_draws_from_the_exact_conditionals_in_one_batch() -> None:
    denoiser, n = exact_denoiser(), 400
    state = PATTERNS.repeat_interleave(n, 0)
    given = torch.tensor([[0.5, -1.0, 0.0]]).expand(len(state), 3)
    cells = Cells(state, given, torch.zeros(len(state), 0, dtype=torch.int64))
    generator = torch.Generator().manual_seed(0)
    start = 50.0 * torch.randn(len(state), 3, generator=generator)
    times = GRIDS["karras"](denoiser.schedule, 28)
    *_, last = sample(denoiser, start, times, dpmpp_2m, lambda: torch.zeros(0), cells.packed)
    for pattern, rows in zip(PATTERNS, last.x.split(n), strict=True):
        f, g = (pattern == GENERATED).nonzero()[:, 0], (pattern == GIVEN).nonzero()[:, 0]
        mean, C = conditional(f, g, given[0].double())
        error = 4 * (C.diagonal() / n).sqrt() + 0.02  # four standard errors, and the end of the prior
        assert bool(((rows[:, f].double().mean(0) - mean).abs() < error).all())
        assert torch.allclose(torch.cov(rows[:, f].double().T).reshape(len(f), len(f)), C, atol=5 * 1.5 / n**0.5)


CHANCES = np.random.default_rng(0).dirichlet(np.ones(12)).reshape(2, 3, 2)  # of three categories


def exact_logits(cells: Cells) -> list[Tensor]:
    """The conditionals of CHANCES given the known categories."""
    found: list[list[np.ndarray]] = [[], [], []]
    for row in cells.codes.numpy():
        for k in range(3):
            kept = CHANCES
            for j, code in enumerate(row):
                if j != k and code != UNKNOWN:
                    kept = np.take(kept, [code], axis=j)
            found[k].append(kept.sum(tuple(j for j in range(3) if j != k)))
    return [torch.from_numpy(np.log(np.array(rows))) for rows in found]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_categories_have_their_joint_probability_in_any_order(order: tuple[int, ...]) -> None:
    codes = torch.tensor([[a, b, c] for a in range(2) for b in range(3) for c in range(2)])
    cells = Cells(torch.zeros(12, 0), torch.zeros(12, 0), codes)
    found = categories_log_prob(exact_logits, cells, torch.ones(12, 3, dtype=torch.bool), order)
    assert torch.allclose(found, torch.from_numpy(np.log(CHANCES.ravel())))
    assert float(found.exp().sum()) == pytest.approx(1)


def test_a_category_given_another_and_without_a_third() -> None:
    cells = Cells(torch.zeros(1, 0), torch.zeros(1, 0), torch.tensor([[1, UNKNOWN, 0]]))
    found = categories_log_prob(exact_logits, cells, torch.tensor([[True, True, False]]))
    marginal = CHANCES.sum(1)
    assert float(found) == pytest.approx(math.log(marginal[1, 0] / marginal[:, 0].sum()))


def test_categories_are_drawn_as_often_as_their_chances_say() -> None:
    n = 4_000
    cells = Cells(torch.zeros(n, 0), torch.zeros(n, 0), torch.full((n, 3), UNKNOWN))
    u = torch.rand(n, 3, generator=torch.Generator().manual_seed(1))
    drawn = draw_categories(exact_logits, cells, u).numpy()
    counts = np.zeros((2, 3, 2))
    np.add.at(counts, tuple(drawn.T), 1)
    # A multinomial: chi^2 with 11 degrees of freedom exceeds 31 once in a thousand.
    assert ((counts - n * CHANCES) ** 2 / (n * CHANCES)).sum() < 31


def test_known_categories_stay() -> None:
    cells = Cells(torch.zeros(2, 0), torch.zeros(2, 0), torch.tensor([[1, UNKNOWN, 0], [UNKNOWN, 2, UNKNOWN]]))
    drawn = draw_categories(exact_logits, cells, torch.full((2, 3), 0.999))
    assert drawn[0, 0] == 1
    assert drawn[0, 2] == 0
    assert drawn[1, 1] == 2
    assert bool((drawn >= 0).all())


def trained_parts() -> tuple[TableDenoiser, dict[str, Tensor]]:
    network, generator = TableNetwork(2, (2, 3), width=16, depth=2), torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    rows = {
        "z": torch.randn(64, 2, generator=generator),
        "width": torch.zeros(64, 2),
        "present": torch.rand(64, 2, generator=generator) > 0.3,
        "codes": torch.randint(-1, 2, (64, 2), generator=generator),
    }
    return TableDenoiser(network, VE(), HEADS["edm"]), rows


@pytest.mark.parametrize("loss", [table, lambda denoiser: partial(table_bound, denoiser)], ids=["loss", "bound"])
def test_what_stands_in_a_missing_cell_changes_no_loss(loss) -> None:  # type: ignore[no-untyped-def]
    denoiser, rows = trained_parts()
    other = {**rows, "z": torch.where(rows["present"], rows["z"], 1e3)}

    def value(given: dict[str, Tensor]) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        found: Tensor = loss(denoiser)(given["z"], generator, given["width"], given["present"], given["codes"])
        return found

    assert torch.equal(value(rows), value(other))
    assert bool(value(rows).isfinite().all())


def test_a_given_number_changes_others_and_an_idle_one_sees_nothing() -> None:
    denoiser, _ = trained_parts()
    t = torch.tensor(0.5, dtype=torch.float64)
    codes = torch.tensor([[0, 1]])
    x_t = torch.tensor([[0.4, -0.2]])

    def x_hat(state: list[float], values: list[float], x: Tensor = x_t) -> Tensor:
        cells = Cells(torch.tensor([state]), torch.tensor([values]), codes)
        found: Tensor = denoiser(x, t, cells.packed).x0
        return found

    assert x_hat([GENERATED, GIVEN], [0, 1.0])[0, 0] != x_hat([GENERATED, GIVEN], [0, 2.0])[0, 0]
    assert x_hat([GENERATED, ABSENT], [0, 1.0])[0, 0] == x_hat([GENERATED, ABSENT], [0, 2.0])[0, 0]
    other = torch.tensor([[0.4, 5.0]])  # the x_t of a number that is given
    assert x_hat([GENERATED, GIVEN], [0, 1.0])[0, 0] == x_hat([GENERATED, GIVEN], [0, 1.0], other)[0, 0]
