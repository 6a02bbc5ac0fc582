"""A model works in the user's units, takes parts of a researcher's own, and draws the same rows in any chunks."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf

import driftfield
from driftfield.datasets import DISTRIBUTIONS
from driftfield.diffusion import HEADS, SAMPLERS, SCHEDULES, Denoiser, Schedule
from driftfield.diffusion.basics.loop import Memory
from driftfield.model.model import Model
from driftfield.recipes.schema import load_recipe

TINY = {"steps": 40, "batch": 128, "network": {"width": 16}}


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.multivariate_normal([5.0, -300.0], [[4.0, 30.0], [30.0, 400.0]], size=1500)


@pytest.fixture(scope="module")
def gaussian(rows: np.ndarray) -> Model:
    """A model that is nearly untrained, and so, by its whitening and its head, the Gaussian of its training rows."""
    return driftfield.fit(rows, steps=1, lr=1e-12, scaling="whiten")


def covariance_of(model: Model) -> np.ndarray:
    """The shrunk covariance of the training rows, in the user's units."""
    std = model.train.std(0)
    return ledoit_wolf((model.train - model.train.mean(0)) / std)[0] * np.outer(std, std)


def test_densities_are_in_the_units_of_the_user(gaussian: Model, rows: np.ndarray) -> None:
    truth = multivariate_normal(gaussian.codec.scaler.mean, covariance_of(gaussian)).logpdf(rows[:200])
    value, error = gaussian.log_prob(rows[:200])
    # The density is smoothed by the smallest noise, a few thousandths of a standard deviation, and computed in float32.
    assert_allclose(value, truth, atol=2e-3)
    # Two columns up to 3.5 standard deviations out, whose mean at sigma = 20 is known to 1 / (20 sqrt(1,200)) = 1.4e-3.
    assert error.max() < 2**0.5 * 3.5 * 1.4e-3


def test_samples_have_the_moments_of_the_data_in_its_units(gaussian: Model) -> None:
    drawn = gaussian.sample(20_000)
    covariance = np.cov(gaussian.train.T)
    # Four standard errors of a mean and of a covariance of 20,000 rows; the solver adds less.
    scale = np.sqrt(np.diag(covariance))
    assert_allclose((drawn.mean(0) - gaussian.codec.scaler.mean) / scale, 0, atol=4 / np.sqrt(20_000))
    assert_allclose(np.cov(drawn.T) / np.outer(scale, scale), covariance / np.outer(scale, scale), atol=0.06)


def test_the_score_is_the_gradient_of_the_log_density_in_the_units_of_the_user(gaussian: Model) -> None:
    points = gaussian.train[:50]
    truth = -(points - gaussian.codec.scaler.mean) @ np.linalg.inv(covariance_of(gaussian))
    # float32; at noise 0.01 the distribution is wider by 1e-4 of its variance
    assert_allclose(gaussian.score(points, noise=0.01), truth, rtol=2e-3, atol=1e-5)


def test_rows_do_not_depend_on_how_many_are_drawn_or_in_which_parts(gaussian: Model) -> None:
    whole = gaussian.sample(9_000, seed=3)
    assert_allclose(gaussian.sample(10, seed=3), whole[:10], rtol=1e-4)
    parts = [gaussian.sample(3_000, seed=3, start=first) for first in (0, 3_000, 6_000)]
    assert_allclose(np.concatenate(parts), whole, rtol=1e-4)
    assert not np.allclose(gaussian.sample(10, seed=4), whole[:10], rtol=1e-2)


def test_stochastic_rows_do_not_depend_on_the_parts_either(gaussian: Model) -> None:
    whole = gaussian.sample(6_000, sampler="ancestral", steps=6)
    assert_allclose(gaussian.sample(1_000, sampler="ancestral", steps=6, start=5_000), whole[5_000:], rtol=1e-4)


def test_the_same_seed_gives_the_same_model_and_another_seed_another(rows: np.ndarray) -> None:
    one, two, other = (driftfield.fit(rows, seed=seed, **TINY) for seed in (1, 1, 2))
    assert_array_equal(one.sample(50), two.sample(50))
    assert not np.allclose(one.sample(50), other.sample(50))


def test_fitting_and_sampling_leave_the_global_random_states_alone(rows: np.ndarray) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1]
    model = driftfield.fit(rows, **TINY)
    model.sample(10, sampler="ancestral", steps=3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert_array_equal(np.random.get_state()[1], before[1])


def test_a_saved_model_comes_back_whole(gaussian: Model, tmp_path: Path) -> None:
    back = driftfield.load(gaussian.save(tmp_path / "run"))
    assert_array_equal(back.sample(20), gaussian.sample(20))
    assert_array_equal(back.held_out, gaussian.held_out)
    assert back.recipe == gaussian.recipe
    assert back.columns == gaussian.columns
    with pytest.raises(driftfield.InputError, match="exists"):
        gaussian.save(tmp_path / "run")


def test_held_out_rows_are_never_trained_on(rows: np.ndarray) -> None:
    model = driftfield.fit(rows, **TINY)
    trained, held = ({tuple(row) for row in side} for side in (model.train, model.held_out))
    assert len(held) == 300
    assert not trained & held


@pytest.mark.parametrize("kind", ["pandas", "polars", "tensor", "array"])
def test_data_come_in_every_form(rows: np.ndarray, kind: str) -> None:
    data = {
        "pandas": pd.DataFrame(rows, columns=["a", "b"]),
        "polars": pl.DataFrame(rows, schema=["a", "b"]),
        "tensor": torch.tensor(rows),
        "array": rows,
    }[kind]
    model = driftfield.fit(data, **TINY)
    assert model.columns == (("a", "b") if kind in ("pandas", "polars") else ("x1", "x2"))
    assert_array_equal(model.sample(5), driftfield.fit(rows, **TINY).sample(5))


class Halved(Schedule):
    """A schedule of one's own: rectified flow with time running at half speed first."""

    t_low, t_high = 1e-4, 1 - 1e-3

    def log_alpha(self, t: torch.Tensor) -> torch.Tensor:
        return torch.log1p(-(t**2))

    def log_sigma(self, t: torch.Tensor) -> torch.Tensor:
        return 2 * torch.log(t)


class Own(torch.nn.Module):
    """A network of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)

    def forward(self, x: torch.Tensor, label: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
        return self.layer(torch.cat([x, label.expand(len(x))[:, None]], 1))


def test_a_researchers_own_parts_take_the_place_of_names(rows: np.ndarray, tmp_path: Path) -> None:
    calls = []

    def loss(denoiser: Denoiser, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        calls.append(len(x))
        t = torch.rand(len(x), generator=generator)
        eps = torch.randn(x.shape, generator=generator)
        return (denoiser(denoiser.schedule.perturb(x, t, eps), t).x0 - x).square().mean(1)

    def step(denoiser: Denoiser, x_t: torch.Tensor, t: torch.Tensor, s: torch.Tensor, memory: Memory) -> torch.Tensor:
        return SAMPLERS["euler"](denoiser, x_t, t, s, memory)

    own = Halved()
    model = driftfield.fit(rows, network=Own(), schedule=own, objective=loss, steps=30, batch=64)
    assert calls[:9] == [64] * 9  # before the first validation
    assert model.denoiser.schedule is own
    assert_array_equal(model.sample(5, sampler=step), model.sample(5, sampler="euler"))
    assert np.isfinite(model.log_prob(rows[:5])[0]).all()
    folder = model.save(tmp_path / "own")
    with pytest.raises(driftfield.InputError, match="network of your own"):
        driftfield.load(folder)
    back = driftfield.load(folder, network=Own(), schedule=Halved())
    assert_array_equal(back.sample(5), model.sample(5))


@pytest.mark.filterwarnings("error:Converting a tensor")
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_and_head_go_end_to_end(rows: np.ndarray, schedule: str) -> None:
    objective = {"kind": "bound"} if schedule == "learned" else {"times": "uniform"}
    recipe = {"sample": {"sampler": "ddim", "grid": "uniform", "steps": 7}, "objective": objective}
    for head in HEADS:
        model = driftfield.fit(rows, recipe, schedule=schedule, head=head, **{**TINY, "steps": 10})
        assert np.isfinite(model.sample(20)).all(), head
        assert np.isfinite(model.log_prob(rows[:3], steps=4)[0]).all(), head


@pytest.mark.parametrize("steps", [7, 50])
def test_chains_of_any_length_go_end_to_end(rows: np.ndarray, steps: int) -> None:
    recipe = {
        "schedule": {"kind": "linear", "T": steps, "beta_start": 1e-3, "beta_end": 0.6 if steps < 10 else 0.2},
        "denoiser": {"head": "eps"},
        "objective": {"times": "antithetic"},
        "sample": {"sampler": "ancestral", "grid": "trailing", "steps": steps},
    }
    model = driftfield.fit(rows, recipe, **TINY)
    assert np.isfinite(model.sample(20)).all()


def test_trajectories_run_from_data_to_noise_and_back(gaussian: Model) -> None:
    forward = gaussian.trajectory(100, direction="forward", frames=9)
    reverse = gaussian.trajectory(100, direction="reverse", frames=9)
    assert forward.times[0] == reverse.times[-1] == 0
    assert forward.times[-1] == reverse.times[0] == 1
    assert (np.diff(forward.times) > 0).all()
    assert (np.diff(reverse.times) < 0).all()
    assert_allclose(reverse.states[-1], gaussian.sample(100, steps=reverse.states.shape[0] - 1), rtol=1e-4)
    assert set(map(tuple, np.round(forward.states[0], 3))) <= set(map(tuple, np.round(gaussian.held_out, 3)))


def test_bad_arguments_are_refused_in_one_sentence(gaussian: Model, rows: np.ndarray) -> None:
    for call, word in [
        (lambda: gaussian.sample(-1), "negative"),
        (lambda: gaussian.sample(3, sampler="heum"), "heun"),
        (lambda: gaussian.sample(3, grid="karas"), "karras"),
        (lambda: gaussian.sample(3, steps=0), "at least 1"),
        (lambda: gaussian.log_prob(rows[:, :1]), "2 columns"),
        (lambda: gaussian.log_prob([[np.nan, 0.0]]), "not a finite number"),
        (lambda: gaussian.log_prob(rows, steps=3), "even"),
        (lambda: gaussian.trajectory(3, direction="up"), "direction"),
        (lambda: driftfield.fit(rows, stepz=3), "steps"),
        (lambda: driftfield.fit(rows, train={"lrr": 3}), "lr"),
        (lambda: driftfield.fit(rows, time=-1), "positive"),
    ]:
        with pytest.raises(driftfield.InputError, match=word):
            call()


def test_fresh_rows_for_judging_are_never_the_training_rows_whatever_the_seed() -> None:
    for seed in (1001, 1002):
        model = driftfield.fit("moons", seed=seed, rows=300, **TINY)
        judged = model.evaluate(300)
        assert not {tuple(row) for row in judged.real} & {tuple(row) for row in model.train}


def test_a_short_training_takes_all_its_steps(rows: np.ndarray) -> None:
    assert driftfield.fit(rows, **{**TINY, "steps": 20}).facts["steps"] == 20


def test_frames_are_scored_by_the_names_of_their_columns(rows: np.ndarray) -> None:
    frame = pd.DataFrame(rows, columns=["a", "b"])
    model = driftfield.fit(frame, **TINY)
    assert_array_equal(model.log_prob(frame[["b", "a"]].head(5))[0], model.log_prob(rows[:5])[0])
    with pytest.raises(driftfield.InputError, match='"b"'):
        model.log_prob(frame.rename(columns={"b": "c"}).head(5))


def test_the_score_refuses_levels_that_do_not_exist(gaussian: Model, rows: np.ndarray) -> None:
    for arguments in ({"noise": -1.0}, {"t": 2.0}, {"t": 0.5, "noise": 0.1}):
        with pytest.raises(driftfield.InputError):
            gaussian.score(rows[:3], **arguments)


def test_a_table_too_small_to_be_judged_is_refused() -> None:
    with pytest.raises(driftfield.InputError, match="at least 20"):
        driftfield.fit(np.random.default_rng(0).normal(size=(12, 2)))


def test_tensors_come_out_on_request(gaussian: Model, rows: np.ndarray) -> None:
    tensors = gaussian.as_torch()
    assert_array_equal(tensors.sample(4, seed=1).numpy(), gaussian.sample(4, seed=1))
    x = torch.tensor(rows[:4])
    assert_array_equal(tensors.log_prob(x)[0].numpy(), gaussian.log_prob(rows[:4])[0])
    assert_array_equal(tensors.score(x).numpy(), gaussian.score(rows[:4]))


def test_a_model_goes_back_to_the_weights_of_a_snapshot(rows: np.ndarray) -> None:
    """What was kept after 10 of 40 steps is what the same training holds there."""
    options = {"snapshots": [10, 30], "validation": 0.0, "decay": "none", "ema": 0.9}
    model = driftfield.fit(rows, train=options, **TINY)
    short = driftfield.fit(rows, train=options, **{**TINY, "steps": 10})
    before = model.sample(20)
    then = model.at(10)
    for name, value in short.denoiser.state_dict().items():
        assert torch.equal(then.denoiser.state_dict()[name], value), name
    assert_array_equal(then.sample(20), short.sample(20))
    assert not np.allclose(before, then.sample(20))
    assert_array_equal(model.sample(20), before)  # the model itself stays where it was
    assert then.snapshots == {}
    with pytest.raises(driftfield.InputError, match=r"step 11 were not kept \(kept: 10, 30\)"):
        model.at(11)
    with pytest.raises(driftfield.InputError, match=r"step 10 were not kept \(kept: none\)"):
        then.at(10)


def test_snapshots_hold_a_learned_schedule_and_survive_being_saved(tmp_path: Path) -> None:
    changes = {"data": {"rows": 200}, "train": {"steps": 20, "batch": 64, "lr": 1e-2, "snapshots": [5]}}
    model = driftfield.fit(None, load_recipe("parabola-learned-schedule").updated(changes), device="cpu")
    back = driftfield.load(model.save(tmp_path / "run"))
    t = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
    now, then = (m.denoiser.schedule.gamma(t).detach() for m in (model, model.at(5)))
    assert (now - then).abs().max() > 1e-4  # it has moved in fifteen steps of a hundredth
    assert torch.equal(back.at(5).denoiser.schedule.gamma(t).detach(), then)
    assert_array_equal(back.at(5).sample(10), model.at(5).sample(10))


@pytest.fixture(scope="module")
def kernel() -> Model:
    """A learned kernel of a Gaussian, trained for a moment on a chain that ends in noise."""
    changes: dict[str, dict[str, object]] = {
        "data": {"rows": 2000, "scaling": "standard"},
        "schedule": {"T": 10, "beta": 0.4},
        "objective": {"terms": "random", "last_transition": True},
        "network": {"width": 32, "depth": 2, "activation": "silu"},
        "train": {"steps": 400, "epochs": None, "snapshots": [], "lr": 5e-3, "order": "random"},
    }
    return driftfield.fit("gaussian", load_recipe("swiss-roll-elbo").updated(changes), device="cpu")


def test_the_density_of_a_learned_kernel_is_a_bound_from_below(kernel: Model) -> None:
    distribution = DISTRIBUTIONS["gaussian"]
    x = distribution.sample(400, 12)
    bound, error = kernel.log_prob(x)
    gap = distribution.log_prob(x) - bound
    # E log p(x) is the most that any density can have in the mean, and a bound of one has less: within four standard
    # errors. A training of a second comes to a fifth of a nat from it.
    assert -4 * gap.std() / np.sqrt(len(gap)) < gap.mean() < 0.4
    assert (error >= 0).all()
    assert kernel.density_is_bound


def test_more_paths_make_the_bound_of_a_learned_kernel_tighter(kernel: Model) -> None:
    from dataclasses import replace

    x = DISTRIBUTIONS["gaussian"].sample(400, 13)
    means = []
    for paths in (2, 64):
        more = replace(kernel, recipe=kernel.recipe.updated({"likelihood": {"paths": paths}}))
        means.append(more.log_prob(x)[0].mean())
    assert means[1] > means[0]


def test_a_learned_kernel_draws_rows_with_the_moments_of_its_distribution(kernel: Model) -> None:
    rows = kernel.sample(4_000)
    # The distribution: means 1 and -1, standard deviations 2 and 1, and a correlation of 0.8, of which ten steps of
    # independent noise lose a part. The tolerance is for a training of a second.
    assert_allclose((rows.mean(0) - [1, -1]) / [2, 1], 0, atol=0.15)
    assert_allclose(rows.std(0) / [2, 1], 1, atol=0.15)
    assert np.corrcoef(rows.T)[0, 1] > 0.2
