"""What a model says of rows, in the user's units: densities at any noise level, scores, codes, bounds, conversions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal

import driftfield
from driftfield.datasets import DISTRIBUTIONS
from driftfield.diffusion import HEADS, MixtureDenoiser, log_prob
from driftfield.errors import InputError
from driftfield.model import bounds, densities
from driftfield.model.model import Model
from driftfield.model.priors import density_prior, spread
from driftfield.recipes.schema import load_recipe

TINY = {"steps": 40, "batch": 128, "network": {"width": 16}}
WEIGHTS = np.array([0.3, 0.7])
MEANS = np.array([[2.0, -40.0], [-1.0, 30.0]])
COVARIANCES = np.array([[[1.0, 8.0], [8.0, 100.0]], [[0.5, -3.0], [-3.0, 400.0]]])


def draw(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    component = rng.choice(2, size=n, p=WEIGHTS)
    factors = np.linalg.cholesky(COVARIANCES)
    return MEANS[component] + np.einsum("nij,nj->ni", factors[component], rng.normal(size=(n, 2)))


def exact(scaling: str) -> Model:
    """A model of the mixture in the user's units whose denoiser is exact in its own."""
    model = driftfield.fit(draw(1500, 0), steps=1, lr=1e-12, scaling=scaling)
    A = model.codec.scaler.rotation / model.codec.scaler.scale[:, None]
    distribution = MixtureDenoiser(
        model.denoiser.schedule,
        torch.from_numpy(WEIGHTS),
        torch.from_numpy((MEANS - model.codec.scaler.mean) @ A),
        torch.from_numpy(A.T @ COVARIANCES @ A),
    )
    return replace(model, denoiser=distribution)


@pytest.fixture(scope="module", params=["whiten", "standard"])
def model(request: pytest.FixtureRequest) -> Model:
    return exact(request.param)


@pytest.fixture(scope="module")
def white() -> Model:
    return exact("whiten")


def true_density(model: Model, x: np.ndarray, noise: float) -> np.ndarray:
    """Of x + noise eps A^-1, the distribution of x_t / alpha_t in the user's units."""
    back = model.codec.scaler.inverse * model.codec.scaler.scale
    spread = noise**2 * back.T @ back
    parts = [w * multivariate_normal(m, C + spread).pdf(x) for w, m, C in zip(WEIGHTS, MEANS, COVARIANCES, strict=True)]
    return np.log(np.sum(parts, 0))


@pytest.mark.parametrize("noise", [None, 0.05, 0.5, 3.0])
def test_the_density_at_a_noise_level_is_that_of_the_noisy_distribution_in_the_units_of_the_user(
    model: Model, noise: float | None
) -> None:
    x = draw(50, 1) if noise is None else draw(50, 1) + noise * np.array([0.5, -5.0])
    value, error = model.log_prob(x, noise=noise, steps=80)
    smallest = float(model.denoiser.schedule.kappa(torch.tensor(0.0).clamp(model.denoiser.schedule.t_low)))
    # The prior has the moments of 1,200 rows: its mean is off by 2 / sqrt(1,200) at most, over sigma = 20, times 2.5.
    assert_allclose(value, true_density(model, x, noise or smallest), atol=7e-3)
    assert (error < 3e-2).all()
    assert np.median(error) < 4e-3  # nearly all of it the prior's: 2 / sqrt(1,200) / 20 = 3e-3, in two columns


def test_the_error_counts_the_prior_whose_moments_are_those_of_a_thousand_rows(model: Model) -> None:
    x = draw(400, 1)
    value, error = model.log_prob(x)
    smallest = float(model.denoiser.schedule.kappa(torch.tensor(model.denoiser.schedule.t_low)))
    off = np.abs(value - true_density(model, x, smallest))
    # All but 2 % of the rows are further off than the error of the integration alone, up to 6e-3 nats. With the
    # prior's, a standard error, a third may be; here the moments of the training rows happen to be better than that.
    assert (off > error).mean() < 1 / 3
    assert error.mean() < 3 * off.mean()


@pytest.mark.parametrize("schedule", ["ve", "rectified-flow"])
@pytest.mark.parametrize("width", [8, 32])
def test_few_rows_are_further_from_the_solution_of_the_ode_than_the_error_of_a_tiny_network(
    width: int, schedule: str
) -> None:
    """In one dimension, where the plain difference to half as many steps is too small for 10 to 50 % of the rows."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(-1, 0.1, 1000), rng.normal(1, 0.3, 1000)])[:, None]
    small = driftfield.fit(rows, steps=100, network={"width": width, "depth": 1}, schedule=schedule)
    z = small.encoded(small.held_out[:200])
    prior, depth = density_prior(small), spread(small)
    found = log_prob(small.denoiser, z, prior, spread=depth)
    off = (found.value - log_prob(small.denoiser, z, prior, steps=320, spread=depth).value).abs()
    assert float((off > found.error).double().mean()) < 0.05
    assert float(found.error.mean()) < 20 * float(off.mean())  # of some use: 3 to 10 times were measured


@pytest.mark.parametrize("noise", [0.05, 0.5, 3.0])
def test_the_score_is_the_gradient_of_the_density_at_the_same_noise_level(model: Model, noise: float) -> None:
    x = draw(20, 2)
    score = model.score(x, noise=noise)
    h = 0.02 * max(noise, 0.2) * model.codec.scaler.scale
    steps = np.concatenate([k * np.diag(h) for k in (-2, -1, 1, 2)])  # (8, 2)
    moved = (x[:, None] + steps).reshape(-1, 2)
    p = model.log_prob(moved, noise=noise, steps=60)[0].reshape(-1, 4, 2)
    # Five points, exact to order h^4: rows are float32, so that a shorter step would see their rounding.
    slope = (p[:, 0] - 8 * p[:, 1] + 8 * p[:, 2] - p[:, 3]) / (12 * h)
    # In units of the score's own size: rounding of 1e-6 nats over steps of some thousandths.
    assert_allclose(slope / np.abs(score).max(0), score / np.abs(score).max(0), rtol=0, atol=3e-3)


def test_a_time_and_its_noise_level_are_the_same_place(white: Model) -> None:
    x, t = draw(5, 3), 0.4
    noise = float(white.denoiser.schedule.kappa(torch.tensor(t, dtype=torch.float64)))
    assert_allclose(white.log_prob(x, t)[0], white.log_prob(x, noise=noise)[0], rtol=0, atol=1e-4)
    assert_allclose(white.score(x, t), white.score(x, noise=noise), rtol=1e-5)
    data = white.log_prob(x)[0]
    assert_allclose(white.log_prob(x, t=0.0)[0], data, rtol=0, atol=1e-4)  # at the nearest time that is allowed


def test_the_density_integrates_to_one_in_the_units_of_the_user(white: Model) -> None:
    sides = [np.linspace(-6, 8, 60), np.linspace(-110, 120, 60)]
    grid = np.stack(np.meshgrid(*sides), -1).reshape(-1, 2)
    cell = np.prod([side[1] - side[0] for side in sides])
    # A cell is a quarter of the narrowest standard deviation, 0.6 along an axis: the sum is exact to far less.
    assert float(np.exp(white.log_prob(grid, noise=0.1, steps=20)[0]).sum() * cell) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("options", [{"steps": 80}, {"tolerance": 1e-6}])
def test_rows_come_back_from_their_codes(model: Model, options: dict[str, float]) -> None:
    x = draw(100, 4)
    codes = model.latent(x, **options)
    # float32, in standard deviations; a code is rounded where 20 standard deviations of noise hold the data
    assert_allclose((model.decode(codes, **options) - x) / model.codec.scaler.scale, 0, atol=1e-3)


def test_the_codes_of_rows_are_standard_normal(white: Model) -> None:
    codes = white.latent(draw(3_000, 5), steps=20)
    # Four standard errors; the scaler was fitted on 1,200 other rows, whose moments have errors of their own.
    assert_allclose(codes.mean(0), 0, atol=4 / np.sqrt(3_000) + 4 / np.sqrt(1_200))
    assert_allclose(np.cov(codes.T), np.eye(2), atol=4 * np.sqrt(2 / 3_000) + 4 * np.sqrt(2 / 1_200))


def test_decoded_normal_numbers_are_samples(white: Model) -> None:
    rows = white.decode(np.random.default_rng(0).normal(size=(4_000, 2)), steps=20)
    truth = draw(4_000, 6)
    scale = truth.std(0)
    assert_allclose(rows.mean(0) / scale, truth.mean(0) / scale, atol=0.15)  # as above, for two samples
    assert_allclose(np.cov(rows.T) / np.outer(scale, scale), np.cov(truth.T) / np.outer(scale, scale), atol=0.2)


def test_a_tolerance_takes_the_place_of_steps(white: Model) -> None:
    x = draw(40, 7)
    fine = white.log_prob(x, steps=160)[0]
    value, error = white.log_prob(x, tolerance=1e-5)
    assert_allclose(value, fine, rtol=0, atol=2e-3)  # ten times its tolerance and more between components, float32
    assert (error < 1e-2).all()
    recipe = white.recipe.updated({"likelihood": {"tolerance": 1e-5}})
    assert_array_equal(replace(white, recipe=recipe).log_prob(x)[0], value)
    # Steps that are given beat the tolerance of the recipe.
    assert_array_equal(replace(white, recipe=recipe).log_prob(x, steps=8)[0], white.log_prob(x, steps=8)[0])


def test_probes_are_those_of_the_row_and_the_error_holds_their_spread(
    white: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = draw(30, 8)
    exact = white.log_prob(x, steps=8)[0]
    value, error = white.log_prob(x, divergence="hutchinson", probes=8, steps=8)
    assert ((value - exact) ** 2).mean() == pytest.approx((error**2).mean(), rel=0.7)  # 30 rows of unequal errors
    recipe = white.recipe.updated({"likelihood": {"divergence": "hutchinson", "probes": 8, "steps": 8}})
    assert_array_equal(replace(white, recipe=recipe).log_prob(x)[0], value)
    monkeypatch.setattr(densities, "MOST_NUMBERS", 14)  # seven rows at a time
    done: list[int] = []
    parted, _ = white.log_prob(x, divergence="hutchinson", probes=8, steps=8, observe=done.append)
    assert done == [7, 14, 21, 28, 30]
    assert_allclose(parted, value, rtol=0, atol=1e-4)
    assert np.abs(white.log_prob(x, divergence="hutchinson", probes=8, steps=8, seed=1)[0] - value).mean() > 1e-2


def test_the_bound_is_below_the_density_and_paths_close_the_gap(model: Model) -> None:
    x = draw(100, 9)
    density = model.log_prob(x)[0].mean()
    bound, error = model.bound(x)
    rising = [bound.mean(), *(model.importance_bound(x, paths)[0].mean() for paths in (2, 16))]
    assert rising[0] - 4 * np.sqrt((error**2).sum()) / 100 < density
    # A mean over 100 rows of a bound from one path has an error of 0.03; tighter bounds have less.
    assert rising[0] < rising[1] + 0.03
    assert rising[1] < rising[2] < density + 0.05
    assert density - rising[0] < 0.3  # 400 steps of equal log-SNR


def test_the_bound_comes_term_by_term(white: Model) -> None:
    x = draw(20, 10)
    terms = white.bound_terms(x, seed=3)
    assert terms.columns.shape == (20, bounds.BOUND_STEPS + 1)
    bound, error = white.bound(x, seed=3)
    assert_allclose(white.codec.scaler.log_det - terms.columns.sum(1).numpy(), bound)
    assert_allclose(terms.row_error.numpy(), error)
    assert_allclose(white.bound(x[:7], seed=3)[0], bound[:7], rtol=0, atol=1e-4)
    coarse = white.bound(x, times=np.linspace(0, 1, 6))[0]
    assert coarse.mean() < bound.mean()
    with pytest.raises(driftfield.InputError, match="from 0 to 1"):
        white.bound(x, times=[0.1, 0.5, 1.0])
    with pytest.raises(driftfield.InputError, match="variance"):
        white.bound(x, variance="huge")


def test_a_chain_has_the_bound_of_its_own_steps() -> None:
    recipe = {"schedule": {"kind": "cosine-chain", "T": 20}, "denoiser": {"head": "eps", "variance": "learned"}}
    recipe |= {"objective": {"kind": "hybrid", "times": "uniform"}, "sample": {"sampler": "ancestral-learned"}}
    model = driftfield.fit(draw(1500, 0), recipe, **TINY)
    terms = model.bound_terms(draw(10, 1))
    assert_allclose(terms.times.numpy(), np.arange(21) / 20)
    assert np.isfinite(model.bound(draw(10, 1))[0]).all()
    assert not np.allclose(model.bound(draw(10, 1), variance="small")[0], model.bound(draw(10, 1))[0])
    converted = model.converted(schedule="vp", head="v")
    for options in ({}, {"variance": "learned"}):
        with pytest.raises(driftfield.InputError, match="learned for the steps of the schedule before"):
            converted.bound(draw(10, 1), **options)
        with pytest.raises(driftfield.InputError, match='pass variance="small"'):
            converted.importance_bound(draw(10, 1), **options)
    assert np.isfinite(converted.bound(draw(10, 1), variance="small")[0]).all()
    same = model.converted(head="v")  # the same steps: nothing is lost, and nothing changes but by rounding
    assert_allclose(same.bound(draw(10, 1))[0], model.bound(draw(10, 1))[0], rtol=0, atol=1e-3)


def test_a_converted_model_has_the_same_densities_and_samples(white: Model) -> None:
    x = draw(30, 11)

    def said(model: Model) -> tuple[np.ndarray, ...]:
        few = {"steps": 12}
        return (
            model.log_prob(x, **few)[0],
            model.score(x, noise=0.3),
            model.latent(x, **few),
            model.bound(x)[0].mean(),
            model.sample(500, steps=40).mean(0) / x.std(0),
        )

    density, score, codes, bound, mean = said(white)
    for schedule, head in (("vp", None), ("cosine", "eps"), ("rectified-flow", "v")):
        other = white.converted(schedule=schedule, head=head)
        assert type(other) is Model
        found = said(other)
        # The ODE is the same and so is its end, but for float32: 3e-6 was measured.
        assert_allclose(found[0], density, rtol=0, atol=2e-5, err_msg=schedule)
        assert_allclose(found[1], score, rtol=1e-3, atol=1e-5, err_msg=schedule)
        assert_allclose(found[2], codes, rtol=0, atol=5e-3, err_msg=schedule)
        assert_allclose(found[3], bound, atol=0.1, err_msg=schedule)  # with other noise
        assert_allclose(found[4], mean, atol=0.05, err_msg=schedule)


@pytest.mark.parametrize("prior", ["matched", "standard"])
@pytest.mark.parametrize("scaling", ["whiten", "standard", "none"])
def test_a_conversion_changes_no_density_whatever_the_prior_and_the_units(scaling: str, prior: str) -> None:
    """The state stands still from where the old schedule ended, at sigma = 20, and the prior has to be the one there.

    Taken at the end of the new schedule it is off by 7e-3 nats for scaled columns, and by 4 for means of 40.
    """
    model = exact(scaling)
    model = replace(model, recipe=model.recipe.updated({"train": {"prior": prior}}))
    x = draw(30, 11)
    density = model.log_prob(x, steps=8)[0]
    for schedule in ("vp", "sub-vp", "ve", "cosine", "rectified-flow"):
        again = model.converted(schedule=schedule, head="eps").converted(schedule="cosine")
        for other in (model.converted(schedule=schedule), again):
            assert_allclose(other.log_prob(x, steps=8)[0], density, rtol=0, atol=2e-5, err_msg=schedule)  # float32


def test_heads_change_nothing_that_can_be_seen(white: Model) -> None:
    x = draw(20, 12)
    same = white.log_prob(x, steps=12)[0]
    for head in HEADS:
        assert_allclose(white.converted(head=head).log_prob(x, steps=12)[0], same, rtol=0, atol=1e-3)


def test_a_converted_model_is_not_saved_and_a_kernel_not_converted(white: Model, tmp_path: Path) -> None:
    with pytest.raises(driftfield.InputError, match="converted model cannot be saved"):
        white.converted(head="v").save(tmp_path / "run")
    with pytest.raises(driftfield.InputError, match="schedule"):
        white.converted(schedule="rectified")


@pytest.fixture(scope="module")
def kernel() -> Model:
    changes: dict[str, dict[str, object]] = {
        "data": {"rows": 300, "scaling": "standard"},
        "schedule": {"T": 5, "beta": 0.5},
        "network": {"width": 8, "depth": 1},
        "train": {"steps": 20, "epochs": None, "snapshots": [], "order": "random"},
    }
    return driftfield.fit("gaussian", load_recipe("swiss-roll-elbo").updated(changes), device="cpu")


def test_a_learned_kernel_has_bounds_and_refuses_what_needs_an_ode(kernel: Model) -> None:
    x = DISTRIBUTIONS["gaussian"].sample(12, 1)
    assert_array_equal(kernel.log_prob(x)[0], kernel.importance_bound(x, kernel.recipe.likelihood.paths)[0])
    assert_allclose(kernel.log_prob(x[:5])[0], kernel.log_prob(x)[0][:5], rtol=0, atol=1e-3)  # a row's own noise
    assert kernel.bound(x)[0].mean() < kernel.importance_bound(x, 64)[0].mean()
    for call in (
        lambda: kernel.log_prob(x, 0.5),
        lambda: kernel.latent(x),
        lambda: kernel.decode(x),
    ):
        with pytest.raises(driftfield.InputError, match="no probability-flow ODE"):
            call()
    with pytest.raises(driftfield.InputError, match="cannot be converted"):
        kernel.converted(head="v")


def test_bits_per_dimension_are_those_of_the_dequantised_distribution() -> None:
    """Integers whose dequantised rows are nearly a Gaussian of 6 levels' width: its entropy in bits."""
    rng = np.random.default_rng(0)
    levels, width = 64, 6.0
    whole = np.clip(np.round(rng.normal(31.5, width, size=(4_000, 2))), 0, levels - 1)
    rows = whole + rng.uniform(size=whole.shape)
    model = driftfield.fit(rows, steps=1, lr=1e-12, scaling="whiten")  # untrained: the Gaussian of its rows
    bits, error = model.bits_per_dimension(whole[:1000], levels, draws=4, steps=12)
    entropy = 0.5 * np.log2(2 * np.pi * np.e * (width**2 + 1 / 12 + 1 / 12))  # of rounding and of u
    # Four standard errors of 1,000 rows of two columns, each with a variance of log2 p of 1 / (2 ln^2 2).
    assert bits.mean() == pytest.approx(entropy, abs=4 * np.sqrt(0.5 / 2_000) / np.log(2))
    assert 0 < error.mean() < 0.2
    assert_array_equal(model.bits_per_dimension(whole[:5], levels)[0].shape, (5,))
    with pytest.raises(driftfield.InputError, match="from 0 to 63"):
        model.bits_per_dimension(rows[:3], levels)


def test_tensors_have_codes_too(white: Model) -> None:
    x = torch.from_numpy(draw(4, 13))
    tensors = white.as_torch()
    codes = tensors.latent(x)
    assert_array_equal(codes.numpy(), white.latent(x))
    assert_array_equal(tensors.decode(codes).numpy(), white.decode(codes))
    assert_array_equal(tensors.log_prob(x, 0.3)[0].numpy(), white.log_prob(x, 0.3)[0])


def test_no_rows_are_no_error(white: Model) -> None:
    none = np.empty((0, 2))
    assert white.log_prob(none)[0].shape == (0,)
    assert white.bound(none)[0].shape == (0,)
    assert white.importance_bound(none, 2)[0].shape == (0,)
    assert white.latent(none).shape == white.decode(none).shape == white.score(none).shape == (0, 2)
    assert white.bits_per_dimension(none, 4)[0].shape == (0,)


def test_arguments_that_make_no_sense_are_refused(white: Model) -> None:
    x = draw(3, 14)
    for call, word in [
        (lambda: white.log_prob(x, 0.5, 0.1), "not both"),
        (lambda: white.log_prob(x, t=1.5), "between 0 and 1"),
        (lambda: white.log_prob(x, noise=0.0), "positive"),
        (lambda: white.log_prob(x, tolerance=-1.0), "between 0 and 1"),
        (lambda: white.log_prob(x, divergence="exakt"), "exact"),
        (lambda: white.log_prob(x, divergence="hutchinson", probes=1), "at least 2 probes"),
        (lambda: white.importance_bound(x, 1), "at least 2 paths"),
        (lambda: white.decode(x[:, :1]), "2 columns"),
    ]:
        with pytest.raises(driftfield.InputError, match=word):
            call()


def test_options_that_say_two_things_or_nothing_are_refused() -> None:
    model = driftfield.fit("moons", {"network": {"width": 8}, "train": {"steps": 3}}, rows=200)
    x = model.train[:3]
    for options, message in (
        ({"steps": 8, "tolerance": 1e-3}, "not both"),
        ({"probes": 4}, "leave them out"),
        ({"noise": 1e9}, "covers noise levels from"),
        ({"noise": 1e-9}, "covers noise levels from"),
    ):
        with pytest.raises(InputError, match=message):
            model.log_prob(x, **options)
    assert_array_equal(model.score(x, noise=1e9), model.score(x, t=1.0))  # the nearest that the schedule has
    assert np.isfinite(model.log_prob(x, steps=4, divergence="hutchinson", probes=2)[0]).all()
