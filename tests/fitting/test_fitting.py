"""A fit goes from DATA to a model, and may be cut off and resumed at any step without changing a bit of it."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

import driftfield
from driftfield.datasets import DISTRIBUTIONS, Table
from driftfield.errors import InputError, Interrupted
from driftfield.fitting.fit import resume
from driftfield.fitting.plan import read_plan, write_plan
from driftfield.fitting.preparation import prepare, prepare_again
from driftfield.model.model import Model
from driftfield.recipes.building import Parts
from driftfield.recipes.schema import Recipe, load_recipe
from driftfield.training.callbacks import Callbacks

STEPS = 12  # three passes of four batches through the rows below
SHUFFLED = {"epochs": 3, "order": "shuffled"}
Settings = dict[str, dict[str, Any]]
TRAININGS: dict[str, tuple[str, Settings]] = {
    "rows with replacement": ("default", {"data": {"name": "moons"}}),
    "shuffled passes": ("default", {"data": {"name": "moons"}, "train": SHUFFLED}),
    "fresh rows": ("default", {"data": {"name": "ring", "fresh": True}}),
    "fresh rows with labels": ("default", {"data": {"name": "moons", "fresh": True, "label": "class"}}),
    "snapshots": ("default", {"data": {"name": "moons"}, "train": {**SHUFFLED, "snapshots": [1, 2, 3]}}),
    "labels in shuffled passes": ("default", {"data": {"name": "circles", "label": "class"}, "train": SHUFFLED}),
    "a learned schedule": ("parabola-learned-schedule", {}),
    "a learned variance": ("ddpm-vlb", {"schedule": {"T": 10}, "train": {"validation": 0.1}}),
    "a learned kernel": ("swiss-roll-elbo", {"schedule": {"T": 5}, "train": {"epochs": 3, "snapshots": [1, 2]}}),
    "sliced scores": ("ring-sliced-score", {}),
}


def recipe_of(kind: str) -> Recipe:
    """A training of TRAININGS, of 12 steps of 64 of 200 rows."""
    name, changes = TRAININGS[kind]
    recipe = load_recipe(name).updated({"data": {"rows": 200}, "train": {"batch": 64}}).updated(changes)
    return recipe if recipe.train.epochs else recipe.updated({"train": {"steps": STEPS}})


def interrupted_at(step: int) -> Callbacks:
    calls = iter(range(1, 1000))
    return Callbacks(interrupted=lambda: next(calls) == step)


def without_clock(model: Model) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key != "seconds"} for record in model.history]


@pytest.mark.parametrize("kind", TRAININGS)
def test_a_fit_that_was_cut_off_and_resumed_ends_with_the_same_bits(kind: str, tmp_path: Path) -> None:
    recipe = recipe_of(kind)
    whole = driftfield.fit(None, recipe, seed=4, device="cpu")
    with pytest.raises(Interrupted, match=f"at step 5 of {STEPS}, and saved"):
        driftfield.fit(None, recipe, seed=4, device="cpu", out=tmp_path / "run", callbacks=interrupted_at(5))
    part = resume(tmp_path / "run", device="cpu")
    ours, theirs = whole.denoiser.state_dict(), part.denoiser.state_dict()
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
    assert without_clock(part) == without_clock(whole)
    assert part.recipe == whole.recipe
    assert part.recipe.train.steps == STEPS
    assert part.classes == whole.classes
    assert part.snapshots.keys() == whole.snapshots.keys() == set(part.recipe.train.snapshots)
    back = driftfield.load(tmp_path / "run")
    for step, weights in whole.snapshots.items():
        assert weights
        for name, value in weights.items():
            assert torch.equal(value, part.snapshots[step][name])
            assert torch.equal(value, back.snapshots[step][name])
    assert_array_equal(part.sample(5), whole.sample(5))
    assert_array_equal(back.sample(5), whole.sample(5))


def test_the_records_of_a_shuffled_fit_are_its_epochs() -> None:
    model = driftfield.fit(None, recipe_of("shuffled passes").updated({"train": {"validation": 0.0}}))
    assert model.facts["steps per epoch"] == 4  # 200 rows in batches of 64
    assert [record["step"] for record in model.history] == [4, 8, 12]


def test_fresh_rows_are_of_the_distribution_and_none_comes_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the objective is given, in the network's units, turned back into the distribution's."""
    from driftfield.fitting import fit as fitting

    seen: list[np.ndarray] = []
    build = fitting.build_loss

    def watched(*arguments: Any) -> Any:
        loss = build(*arguments)

        def see(rows: torch.Tensor, *rest: Any) -> torch.Tensor:
            seen.append(rows.double().numpy())
            return loss(rows, *rest)

        return see

    monkeypatch.setattr(fitting, "build_loss", watched)
    recipe = recipe_of("fresh rows").updated({"train": {"validation": 0.0}})
    model = driftfield.fit(None, recipe)
    assert [len(rows) for rows in seen] == [64] * STEPS
    rows = model.codec.decode(np.concatenate(seen))
    assert len(np.unique(rows, axis=0)) == 64 * STEPS
    assert not {tuple(row) for row in np.round(rows, 4)} & {tuple(row) for row in np.round(model.train, 4)}
    log_p, distribution = DISTRIBUTIONS["ring"].log_prob(rows), DISTRIBUTIONS["ring"]
    # Their mean log-density is minus the entropy, within four standard errors of a mean of 768 rows.
    assert abs(log_p.mean() + distribution.entropy) < 4 * log_p.std() / np.sqrt(len(rows))


def test_fresh_rows_of_a_table_are_refused() -> None:
    with pytest.raises(InputError, match="Only a distribution can give fresh rows"):
        driftfield.fit(np.random.default_rng(0).normal(size=(50, 2)), {"data": {"fresh": True}})


@pytest.mark.parametrize("kind", ["constant", "linear", "quadratic", "sigmoid", "cosine-chain"])
def test_a_chain_whose_length_is_not_given_is_walked_in_all_its_steps(kind: str) -> None:
    recipe = {"schedule": {"kind": kind}, "sample": {"sampler": "ancestral", "grid": "uniform"}}
    model = driftfield.fit("moons", recipe, rows=100, steps=1, batch=10, network={"width": 4}, scaling="standard")
    assert model.recipe.sample.steps == model.denoiser.schedule.T == model.recipe.schedule.T


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cosine", "sub-vp"])
def test_early_stopping_works_as_well_where_the_schedule_goes_below_the_trained_noise_levels(name: str) -> None:
    """The schedule goes down to sigma / alpha = 1e-5, training to 1e-3; a bound down to 1e-5 keeps early weights."""
    nll = {}
    for kind in ("ve", name):
        model = driftfield.fit(
            "gaussian-mixture",
            schedule=kind,
            steps=200,
            rows=1_000,
            network={"width": 32, "depth": 2},
            train={"batch": 64, "ema": 0.95},
        )
        nll[kind] = -model.log_prob(model.held_out[:300], steps=10)[0].mean()
    # Measured: 0.003 apart; weights of step 120 or 100, kept by the whole schedule's bound, are 0.04 or 0.06 apart.
    assert nll[name] == pytest.approx(nll["ve"], abs=0.02)


def test_weights_from_well_before_the_last_step_are_reported() -> None:
    """A wide network, trained long on 36 rows, is best early."""
    rows = np.random.default_rng(0).normal(size=(60, 2))
    options = {"lr": 1e-2, "ema": 0.9, "validation": 0.4}
    with pytest.warns(UserWarning, match="later weights") as caught:
        facts = driftfield.fit(rows, steps=200, network={"width": 32, "depth": 2}, train=options).facts
    step, last = facts["best step"], facts["steps"]
    assert step < 0.9 * last
    best, last_bound = (
        facts[f"validation bound at the {which} step, nats per dimension"] for which in ("best", "last")
    )
    rise = last_bound - best
    assert rise > 2e-3  # within 2e-3 the later weights are kept
    assert [str(warning.message) for warning in caught] == [
        f"The model has the weights of step {step} of {last}: later weights were worse on the validation rows, by "
        f"{rise:.2g} at the last step; --set train.validation=0 keeps the last weights."
    ]
    assert caught[0].filename == __file__  # the caller's line


def test_weights_of_the_last_step_are_not_reported() -> None:
    messages: list[str] = []
    data, callbacks = np.random.default_rng(0).normal(size=(2_000, 2)), Callbacks(message=messages.append)
    facts = driftfield.fit(data, steps=30, callbacks=callbacks, train={"batch": 64}).facts
    assert (facts["best step"], facts["steps"]) == (30, 30)
    without = driftfield.fit(data, steps=5, callbacks=callbacks, train={"validation": 0.0}).facts
    assert not any(name.startswith("validation") for name in without)
    assert messages == []


def test_a_training_begun_before_covariances_were_shrunk_goes_on_with_its_own_scaling(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 6)) @ np.random.default_rng(1).normal(size=(6, 6))
    plan = prepare(rows, load_recipe({"data": {"scaling": "whiten"}}), 0).plan
    write_plan(plan, tmp_path, "cpu")
    setup = json.loads((tmp_path / "setup.json").read_text())
    assert read_plan(tmp_path)[0].shrink
    del setup["shrink"]
    (tmp_path / "setup.json").write_text(json.dumps(setup))
    old = prepare_again(read_plan(tmp_path)[0], Parts())
    z = old.codec.encode(plan.rows).astype(np.float64)
    np.testing.assert_allclose(np.cov(z.T, bias=True), np.eye(6), atol=1e-5)


@pytest.mark.slow
def test_a_long_training_on_few_rows_returns_weights_from_before_it_learned_them_by_heart() -> None:
    """Weights are judged from step 10 on: the first look of 12,500 steps used to be at step 250, far too late."""
    rows = np.random.default_rng(0).standard_normal((40, 20))
    model = driftfield.fit(rows, steps=12_500, train={"patience": 0.05}, seed=0)
    assert model.facts["best step"] < 250
    judged = np.random.default_rng(1).standard_normal((200, 20))
    entropy = 10 * math.log(2 * math.pi * math.e)
    # 15 % is what the log-density of few rows of a normal distribution may miss its entropy by; it was 74 %.
    assert -model.log_prob(judged)[0].mean() < 1.15 * entropy


@pytest.mark.parametrize("network", ["mlp", "table"])
def test_a_model_of_all_rows_draws_and_scores_but_is_not_judged(network: str, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(12, 2))
    own = {"network": "table", "objective": "table"} if network == "table" else {}
    model = driftfield.fit(rows, steps=4, held_out=0, train={"validation": 0.0}, out=tmp_path / "run", **own)
    assert len(model.train) == 12
    assert np.isfinite(driftfield.load(tmp_path / "run").log_prob(rows, steps=4)[0]).all()
    with pytest.raises(InputError, match=r"data\.held_out = 0"):
        model.evaluate()


def test_columns_that_are_said_to_be_real_keep_their_kind_when_a_fit_is_resumed(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 3, size=(200, 2)).astype(float)
    table = Table(values, ("x", "y"), "rows", levels=((), ()), real=frozenset({"y"}))
    plan = prepare(table, load_recipe(None), 0).plan
    write_plan(plan, tmp_path, "cpu")
    for prepared in (prepare(table, load_recipe(None), 0), prepare_again(read_plan(tmp_path)[0], Parts())):
        assert [part.kind for part in prepared.codec.parts] == ["category", "number"]
