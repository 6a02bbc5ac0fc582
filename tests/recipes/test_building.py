"""What early stopping compares: the bound over the noise levels of training, the same for every schedule."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from driftfield.diffusion import HEADS, SCHEDULES, TIMES, Denoiser, MixtureDenoiser, trained_gammas
from driftfield.errors import InputError
from driftfield.recipes.building import Parts, build_judge, build_schedule
from driftfield.recipes.defaults import resolve
from driftfield.recipes.schema import Recipe

CONTINUOUS = ("ve", "vp", "sub-vp", "cosine", "rectified-flow")
LEVELS = {"mean": -0.9, "std": 0.9}  # 3.5 deviations: sigma / alpha from 0.017 to 9.5, which every schedule here has


class FromTime(nn.Module):
    """A network from a function (x_t, t) -> output."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        return self.function(x, t)  # type: ignore[operator, no-any-return]


def two_clusters(schedule: object) -> MixtureDenoiser:
    """The exact denoiser of two narrow Gaussians in the plane."""
    means = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    return MixtureDenoiser(schedule, torch.ones(2), means, 0.04 * torch.eye(2).double().expand(2, 2, 2))


def rows(n: int = 4_000) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    sign = torch.randint(2, (n, 1), generator=generator) * 2.0 - 1
    return sign * torch.tensor([[1.0, 0.0]]) + 0.2 * torch.randn(n, 2, generator=generator)


def judged(recipe: Recipe, output: object, label: str = "t") -> Tensor:
    """The judge's value of each row for a network that computes ``output(schedule)(x_t, t)``."""
    schedule = build_schedule(recipe)
    denoiser = Denoiser(FromTime(output(schedule)), schedule, recipe.denoiser.head, label, scale_input=False)
    judge = build_judge(recipe, denoiser, Parts())
    assert judge is not None
    return judge(rows().double(), torch.Generator().manual_seed(0))


def exact_output(schedule: object, head: str, wrong: object = lambda gamma: 0.0) -> object:
    """The head's target at the exact estimate of two clusters, plus ``wrong(gamma)``."""
    denoiser = two_clusters(schedule)

    def output(x: Tensor, t: Tensor) -> Tensor:
        estimate = denoiser(x, t)
        a, b = HEADS[head](schedule, t.double())
        return a[:, None] * estimate.x0 + b[:, None] * estimate.eps + wrong(schedule.gamma(t))  # type: ignore[operator]

    return output


@pytest.mark.parametrize("head", HEADS)
def test_the_judge_of_one_denoiser_is_the_same_under_every_schedule_and_head(head: str) -> None:
    values = {
        name: judged(
            Recipe.parse({"schedule": {"kind": name}, "denoiser": {"head": head}, "objective": LEVELS}),
            partial(exact_output, head=head),
        )
        for name in CONTINUOUS
    }
    for name in CONTINUOUS:
        # The same gamma and noise for each row; times come from gamma to about 1e-12 of their range.
        torch.testing.assert_close(values[name], values["cosine"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("name", [*CONTINUOUS, "linear"])
def test_the_judge_does_not_depend_on_the_output_at_noise_levels_that_training_does_not_visit(
    name: str, times: str
) -> None:
    """Beyond the noise levels of 100,000 training times, but for the 3 furthest on either side, the output is wrong."""
    options = LEVELS if times == "log-normal" else {}
    recipe = Recipe.parse({"schedule": {"kind": name}, "objective": {"times": times, **options}})
    schedule = build_schedule(recipe)
    visited = schedule.gamma(TIMES[times](schedule, 100_000, torch.Generator().manual_seed(2), **options)).sort().values
    low, high = (float(visited[i]) for i in (3, -4))  # the judge leaves out about 27 on either side

    def wrong(gamma: Tensor) -> Tensor:
        return torch.where((gamma < low - 1e-9) | (gamma > high + 1e-9), 1e6, 0.0)[:, None]

    right = judged(recipe, partial(exact_output, head="edm"))
    assert torch.equal(right, judged(recipe, partial(exact_output, head="edm", wrong=wrong)))
    assert float(right.mean()) > 0.3  # it is the bound of something


@pytest.mark.parametrize("deviations", np.linspace(-3, 3, 7))
def test_the_judge_counts_an_error_wherever_training_goes(deviations: float) -> None:
    """An output off by 1 at gamma within 0.2 of a centre costs 1/2 alpha^2 in each of 2 dimensions, times 0.4."""
    recipe = Recipe.parse({"schedule": {"kind": "cosine"}, "objective": LEVELS})
    centre = 2 * (LEVELS["mean"] + LEVELS["std"] * deviations)

    def wrong(gamma: Tensor) -> Tensor:
        return torch.where((gamma - centre).abs() < 0.2, 1.0, 0.0)[:, None]

    excess = judged(recipe, partial(exact_output, head="edm", wrong=wrong)) - judged(
        recipe, partial(exact_output, head="edm")
    )
    inside = centre + 0.4 * (torch.arange(1000).double() / 999 - 0.5)
    expected = 0.4 * float(torch.sigmoid(-inside).mean()) / 2  # per dimension, of two
    error = float(excess.std()) / len(excess) ** 0.5
    assert float(excess.mean()) == pytest.approx(expected, abs=5 * error)
    assert error < 0.2 * expected + 0.005


@pytest.mark.parametrize("width", [1e-4, 3e-3, 0.01, 0.03, 0.06, 0.3, 1.0])
def test_the_default_recipe_trains_at_all_noise_levels_of_its_own_schedule(width: float) -> None:
    """Whatever the width of the thinnest structure, from which it chooses its noise levels."""
    data = np.random.default_rng(0).normal(size=(1_000, 2)) * [1.0, width]
    recipe = resolve(Recipe(), data.astype(np.float32), 10_000)
    schedule, times = build_schedule(recipe), recipe.objective.times
    assert times.kind == "log-normal"
    assert trained_gammas(schedule, times.part) == tuple(schedule.gamma_ends().tolist())


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name not in ("ve", "learned")])
@pytest.mark.parametrize("width", [3e-3, 0.06, 1.0])
def test_the_default_recipe_evaluates_the_network_at_the_noise_levels_of_ve_under_every_schedule(
    name: str, width: float
) -> None:
    data = (np.random.default_rng(0).normal(size=(1_000, 2)) * [1.0, width]).astype(np.float32)
    ve = build_schedule(resolve(Recipe(), data, 10_000))
    recipe = resolve(Recipe.parse({"schedule": {"kind": name}}), data, 10_000)
    whole = SCHEDULES[name](**({"T": build_schedule(recipe).T} if build_schedule(recipe).T else {}))
    expected = torch.stack([torch.maximum(ve.gamma_ends(), whole.gamma_ends())[0],
                            torch.minimum(ve.gamma_ends(), whole.gamma_ends())[1]])  # fmt: skip
    # gamma of VE changes by 1e-5 of its range from t = 0 to t_low.
    torch.testing.assert_close(build_schedule(recipe).gamma_ends(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "objective", [{"times": "uniform"}, {"mean": -1.0, "std": 1.0}, {"kind": "sliced-score", "times": "log-normal"}]
)
def test_a_recipe_that_chooses_its_noise_levels_keeps_those_of_its_schedule(objective: dict[str, object]) -> None:
    recipe = Recipe.parse({"schedule": {"kind": "cosine"}, "objective": objective})
    filled = resolve(recipe, np.random.default_rng(0).normal(size=(1_000, 2)).astype(np.float32), 10_000)
    assert torch.equal(build_schedule(filled).gamma_ends(), SCHEDULES["cosine"]().gamma_ends())


@pytest.mark.parametrize("kappas", [{"kappa_min": 2.0, "kappa_max": 1.0}, {"kappa_min": 1e4}, {"kappa_max": 1e-7}])
def test_noise_levels_outside_those_of_the_schedule_are_refused(kappas: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"change one of them"):
        build_schedule(Recipe.parse({"schedule": {"kind": "cosine"}, "denoiser": kappas}))


@pytest.mark.parametrize("beta", [1e-5, 0.5, 0.9999])
def test_the_default_recipe_takes_a_chain_of_one_noise_level_wherever_it_lies(beta: float) -> None:
    """sigma / alpha is 0.003, 1 or 100; the default noise levels end at 0.01 or less and at 20."""
    rows = np.random.default_rng(0).normal(size=(1_000, 2)).astype(np.float32)
    recipe = resolve(Recipe.parse({"schedule": {"kind": "constant", "T": 1, "beta": beta}}), rows, 10_000)
    schedule = build_schedule(recipe)
    assert (schedule.t_low, schedule.t_high) == (1.0, 1.0)
