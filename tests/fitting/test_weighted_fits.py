"""Weighted fits: a row of weight k is k rows, in everything that a fit takes from its rows."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

import driftfield
from driftfield.errors import InputError, Interrupted
from driftfield.evaluation import baselines
from driftfield.fitting.fit import resume
from driftfield.fitting.preparation import prepare
from driftfield.model.priors import _moments
from driftfield.recipes.schema import load_recipe
from driftfield.training.callbacks import Callbacks
from driftfield.training.early_stopping import mean_losses


def table(n, seed=0):
    """Two groups of rows, left and right, and weights 1 and 4."""
    rng = np.random.default_rng(seed)
    right = rng.random(n) < 0.5
    rows = np.where(right[:, None], rng.normal([2, 1], [0.7, 0.5], (n, 2)), rng.normal([-2, 0], [0.5, 1.0], (n, 2)))
    return rows, np.where(right, 4, 1)


def tiny(**data):
    return load_recipe({"train": {"steps": 20, "batch": 64}, "network": {"width": 8, "depth": 1}, "data": data})


def test_scaling_and_the_gaussian_are_those_of_repeated_rows():
    rows, weights = table(400)
    for scaling in ("whiten", "standard"):
        plan = prepare(rows, tiny(scaling=scaling), 0, weights=weights)
        kept, share = plan.plan.rows, np.round(plan.plan.weights / plan.plan.weights.min()).astype(int)
        again = np.repeat(kept, share, axis=0)
        np.testing.assert_allclose(plan.codec.scaler.mean, again.mean(0), rtol=1e-12)
        np.testing.assert_allclose(plan.codec.scaler.scale, again.std(0), rtol=1e-12)
    judged = table(50, 1)[0]
    weighted, repeated = baselines(rows, judged, 0, weights)[0], baselines(np.repeat(rows, weights, 0), judged, 0)[0]
    # Moments are equal, but the shrinkage of the correlation falls with the number of rows: here by 0.01.
    np.testing.assert_allclose(weighted.log_prob, repeated.log_prob, rtol=0.01)
    assert weighted.log_density == pytest.approx(repeated.log_density, abs=0.005)


def test_the_judgement_of_early_stopping_is_that_of_repeated_rows():
    rows, weights = (torch.from_numpy(part).double() for part in table(40))
    losses = [lambda x, generator: x.square().sum(1)]
    repeated = torch.repeat_interleave(rows, weights.long(), 0)
    assert mean_losses(losses, (rows,), weights)[0] == pytest.approx(mean_losses(losses, (repeated,))[0], rel=1e-12)


def test_the_moments_of_a_prior_are_those_of_repeated_rows():
    rows, weights = table(200)
    model = driftfield.fit(rows, tiny(scaling="none"), sample_weight=weights)
    repeated = np.repeat(model.train, np.round(model.train_weights / model.train_weights.min()).astype(int), axis=0)
    mean, covariance = _moments(model, model.train)
    np.testing.assert_allclose(mean, repeated.mean(0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(repeated.T, ddof=0), rtol=0.02)  # the divisor of 160 rows


@pytest.mark.slow
def test_samples_and_densities_are_those_of_repeated_rows():
    rows, weights = table(3000)
    settings = {"steps": 400, "network": {"width": 48}, "seed": 0, "likelihood": {"steps": 16}}
    weighted = driftfield.fit(rows, sample_weight=weights, **settings)
    repeated = driftfield.fit(np.repeat(rows, weights, axis=0), **settings)
    truth = 0.8  # of the rows to the right, by weight: 4 of 5
    for model in (weighted, repeated):
        # 2,160 rows to learn from give the fraction to 0.012, 4,000 samples to 0.006, and a network to about 0.01.
        assert (model.sample(4000)[:, 0] > 0).mean() == pytest.approx(truth, abs=0.05)
    judged = table(1000, 2)[0]
    difference = weighted.log_prob(judged)[0] - repeated.log_prob(judged)[0]
    # Other rows are held out, and the repeated ones recur among those that decide when to stop: 0.05 nats were seen.
    assert abs(difference.mean()) < 0.15
    plain = driftfield.fit(rows, **settings)
    assert (plain.sample(4000)[:, 0] > 0).mean() == pytest.approx(0.5, abs=0.05)


def test_weights_that_are_all_equal_change_nothing():
    rows, _ = table(100)
    one, other = (driftfield.fit(rows, tiny(), sample_weight=w) for w in (None, np.full(100, 7.0)))
    assert_array_equal(one.sample(20), other.sample(20))
    assert "row weights" not in other.facts


@pytest.mark.parametrize("order", ["random", "shuffled"])
def test_a_weighted_training_resumes_bit_for_bit_and_its_run_keeps_the_weights(tmp_path, order):
    rows, weights = table(200)
    recipe = tiny().updated({"train": {"order": order}}) if order == "shuffled" else tiny()
    whole = driftfield.fit(rows, recipe, sample_weight=weights)
    calls = iter(range(100))
    stop = Callbacks(interrupted=lambda: next(calls) == 8)
    with pytest.raises(Interrupted):
        driftfield.fit(rows, recipe, sample_weight=weights, out=tmp_path / "run", callbacks=stop)
    resumed = resume(tmp_path / "run")
    assert_array_equal(resumed.sample(50), whole.sample(50))
    again = driftfield.load(tmp_path / "run")
    for model in (resumed, again):
        assert_array_equal(model.train_weights, whole.train_weights)
        assert_array_equal(model.held_out_weights, whole.held_out_weights)
    assert_array_equal(again.sample(50), whole.sample(50))
    assert_array_equal(again.log_prob(rows[:9])[0], whole.log_prob(rows[:9])[0])
    assert again.evaluate().verdict == whole.evaluate().verdict
    assert again.facts["row weights"] == "an array"
    assert again.facts["effective training rows"] < 144


def test_classes_are_drawn_as_often_as_their_rows_weigh():
    import pandas as pd

    rows, weights = table(200)
    frame = pd.DataFrame(rows, columns=["a", "b"]).assign(side=np.where(weights > 1, "right", "left"), w=weights)
    model = driftfield.fit(frame, tiny(), label="side", sample_weight="w")
    assert model.columns == ("a", "b")
    left, right = model.class_counts
    plan = prepare(frame, tiny(label="side", weight="w"), 0).plan
    assert right / left == pytest.approx(4 * (plan.labels == 1).sum() / (plan.labels == 0).sum())
    assert model.facts["row weights"] == "column w"


def test_an_evaluation_takes_real_rows_as_often_as_they_weigh():
    rows, weights = table(2000)
    model = driftfield.fit(rows, tiny(), sample_weight=weights)
    judged = model.evaluate()
    # sum w / max w = 5/8 of the 400 held-out rows; of these 4/5 lie to the right, with a standard error of 0.025.
    assert len(judged.real) == pytest.approx(250, abs=25)
    assert (judged.real[:, 0] > 0).mean() == pytest.approx(0.8, abs=0.1)


@pytest.mark.parametrize(("weight", "n"), [(1e6, 200), (60.0, 200), (3.0, 21)])
def test_weights_that_leave_too_few_rows_are_refused(weight, n):
    rows, weights = np.random.default_rng(0).normal(size=(n, 2)), np.ones(n)
    weights[7] = weight
    with pytest.raises(
        InputError, match=rf"its {n} rows tell as much as \d+\.\d of one weight, but at least 20 are ne"
    ):
        driftfield.fit(rows, tiny(), sample_weight=weights)
    assert prepare(rows, tiny(held_out=0), 0, weights=np.where(weights > 1, 2, 1)).plan.weights is not None
