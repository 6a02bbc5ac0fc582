"""Tables with angles: von Mises distributions around directions that a category says, one of them at the cut."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import vonmises

import driftfield
from driftfield.model.model import Model

N = 1_500
MEANS, KAPPA = {"a": 5.0, "b": 180.0}, {"a": 2.0, "b": 1.0}


def frame() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    kind = rng.choice(["a", "b"], N)
    angle = rng.vonmises(np.radians([MEANS[k] for k in kind]), [KAPPA[k] for k in kind])
    x = 2 * np.cos(angle) + rng.normal(0, 0.5, N)
    found = pl.DataFrame({"kind": kind, "angle": np.degrees(angle).round(3) % 360, "x": x.round(3)})
    return found.with_columns(pl.when(pl.Series(rng.random(N) > 0.1)).then(pl.col("angle")).alias("angle"))


@pytest.fixture(scope="module")
def model() -> Model:
    return driftfield.fit(
        frame(), steps=300, likelihood={"steps": 20}, columns={"angle": {"kind": "angle", "period": 360}}
    )


@pytest.mark.parametrize("kind", MEANS)
def test_the_density_is_that_of_the_truth_on_the_whole_circle(model: Model, kind: str) -> None:
    angles = np.linspace(0, 360, 181)
    rows = np.column_stack([np.full(181, float(kind == "b")), angles, np.full(181, np.nan)])
    log_p = model.log_prob(rows, given=["kind"], of=["angle"])[0]
    assert np.trapezoid(np.exp(log_p), angles) == pytest.approx(1, abs=1e-3)  # the leak beyond 3 / 2 turns, and float32
    assert log_p[0] == pytest.approx(log_p[-1], abs=1e-5)  # 0 and 360 are the same place
    truth = vonmises(KAPPA[kind], loc=np.radians(MEANS[kind])).logpdf(np.radians(angles)) + np.log(np.pi / 180)
    kl = np.trapezoid(np.exp(truth) * (truth - log_p), angles)
    assert kl < 0.04  # two parameters of 480 rows cost 0.002; 0.01 to 0.02 in three seeds
    near = np.abs((angles + 30) % 360 - 30) <= 30
    assert np.abs(log_p - truth)[near].max() < 0.5  # also around the cut, where a number would have two ends


def test_samples_are_within_the_period_and_follow_the_category(model: Model) -> None:
    for kind, mean in MEANS.items():
        rows = model.sample(2_000, given={"kind": kind})
        assert ((rows[:, 1] >= 0) & (rows[:, 1] < 360)).all()
        turns = np.exp(1j * np.radians(rows[:, 1] - mean)).mean()
        length = {"a": 0.6978, "b": 0.4464}[kind]  # I_1 / I_0 of kappa
        # Both parts of the mean of 480 training rows have errors of at most 0.03: four of these.
        assert turns.imag == pytest.approx(0, abs=0.12)
        assert turns.real == pytest.approx(length, abs=0.12)
    assert model.codec.places[1] == 3


@pytest.mark.parametrize("angle", [0.0, 90.0, 179.0, 181.0, 359.0])
def test_an_angle_that_is_given_tells_of_the_others(model: Model, angle: float) -> None:
    rows = model.sample(1_000, given={"angle": angle})
    assert (rows[:, 1] == angle).all()
    chances = {kind: vonmises(KAPPA[kind], loc=np.radians(MEANS[kind])).pdf(np.radians(angle)) for kind in MEANS}
    assert rows[:, 2].mean() == pytest.approx(2 * np.cos(np.radians(angle)), abs=0.3)  # 0.1 in three seeds
    assert (rows[:, 0] == 0).mean() == pytest.approx(chances["a"] / sum(chances.values()), abs=0.2)


def test_a_row_is_scored_on_its_own(model: Model) -> None:
    """Also where the angle is asked for in one row and missing in another."""
    rows = np.array([[0.0, 5.0, 1.8], [0.0, np.nan, 1.8], [1.0, 200.0, np.nan]])
    together = model.log_prob(rows)[0]
    apart = [float(model.log_prob(rows[[i]])[0][0]) for i in range(3)]
    assert together == pytest.approx(apart, abs=1e-5)  # float32
    joint = model.log_prob(rows[:1], given=["kind"])[0]
    parts = [model.log_prob(rows[:1], given=["kind"], of=["angle"])[0]]
    parts += [model.log_prob(rows[:1], given=["kind", "angle"], of=["x"])[0]]
    assert joint == pytest.approx(sum(parts), abs=0.2)  # the network's own consistency: 0.04


def test_holes_are_filled_with_angles_and_judged_the_short_way_round(model: Model) -> None:
    filled = model.impute(frame()[:200], draws=5)
    assert not np.isnan(filled).any()
    assert ((filled[:, :, 1] >= 0) & (filled[:, :, 1] < 360)).all()
    judged = model.evaluate(rows=100)
    assert judged.imputation[0].rmse < 1
    assert all(np.isfinite(metric.value) for metric in judged.metrics)


def test_a_saved_model_is_the_same(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "run")
    again = driftfield.load(tmp_path / "run")
    assert again.codec == model.codec
    assert np.array_equal(again.sample(20), model.sample(20))


def test_two_angles_have_one_density() -> None:
    """Close to each other on the circle, one after the other in the density: it integrates to 1 over the torus."""
    rng = np.random.default_rng(0)
    one = rng.vonmises(3.0, 1.0, 600)
    table = np.column_stack([one, one + rng.vonmises(0, 4.0, 600)]) % (2 * np.pi)
    said = {"kind": "angle", "period": "2pi"}
    model = driftfield.fit(table, steps=100, likelihood={"steps": 20}, columns={"x1": said, "x2": said})
    side = np.linspace(0, 2 * np.pi, 25)[:-1]
    rows = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    total = np.exp(model.log_prob(rows)[0]).sum() * (2 * np.pi / 24) ** 2
    assert total == pytest.approx(1, abs=0.01)  # rectangles of a smooth periodic density, and the leak
