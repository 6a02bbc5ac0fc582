"""Tables in which it is modelled whether a cell is empty: new rows have holes, filled ones have none."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import driftfield
from driftfield.model.model import Model
from driftfield.model.sampling import How
from driftfield.model.surprise import cell_surprise
from driftfield.model.tables import fill, template

N = 1_500
EMPTY = {"young": 0.1, "old": 0.6}  # how often income is empty in each group


def frame() -> pl.DataFrame:
    """Income is normal around 2 or 5 and empty more often for the old; job is empty half of the time for the young."""
    rng = np.random.default_rng(0)
    group = np.where(rng.random(N) < 0.5, "young", "old")
    income = np.round(rng.normal(np.where(group == "old", 5.0, 2.0), 1.0), 2)
    job = rng.choice(["a", "b", "c"], N)
    return pl.DataFrame({"group": group, "income": income, "job": job}).with_columns(
        pl.when(pl.Series(rng.random(N) > np.where(group == "old", 0.6, 0.1))).then(pl.col("income")).alias("income"),
        pl.when(pl.Series(rng.random(N) > np.where(group == "old", 0.0, 0.5))).then(pl.col("job")).alias("job"),
    )


@pytest.fixture(scope="module")
def model() -> Model:
    return driftfield.fit(frame(), steps=300, likelihood={"steps": 20}, columns={"*": {"missing": "model"}})


def test_only_columns_with_holes_have_the_level(model: Model) -> None:
    assert model.codec.holes.tolist() == [False, True, True]
    assert model.codec.levels == (2, 2, 4)  # empty or a number; a, b, c or empty
    assert model.codec.parts[1].level_names == ("empty", "a number")


@pytest.mark.parametrize("group", EMPTY)
def test_new_rows_have_as_many_holes_as_the_data_in_each_group(model: Model, group: str) -> None:
    drawn = model.frame(model.sample(4_000, given={"group": group}))
    p, rows = EMPTY[group], N / 2 * 0.8 * 0.9  # of the group that were trained on
    # Four standard errors of the training rows and of the samples, whatever the network learns beyond them.
    allowed = 4 * np.sqrt(p * (1 - p) * (1 / rows + 1 / 4_000))
    assert drawn["income"].is_null().mean() == pytest.approx(p, abs=allowed)
    assert drawn["job"].is_null().mean() == pytest.approx(0.5 if group == "young" else 0.0, abs=4 * 0.5 / rows**0.5)
    assert drawn["income"].mean() == pytest.approx(5.0 if group == "old" else 2.0, abs=0.3)  # as many errors


def test_the_probabilities_of_being_empty_and_of_all_values_sum_to_1(model: Model) -> None:
    jobs = np.array([[0.0, 2.0, job] for job in (0, 1, 2, np.nan)])
    assert np.exp(model.log_prob(jobs, given=["group", "income"])[0]).sum() == pytest.approx(1, abs=1e-6)
    x = np.linspace(-4, 12, 321)
    rows = np.column_stack([np.zeros(321), x, np.zeros(321)])
    empty = np.exp(model.log_prob(np.array([[0.0, np.nan, 0.0]]), given=["group"], of=["income"])[0][0])
    density = np.exp(model.log_prob(rows, given=["group"], of=["income"])[0])
    assert empty + np.trapezoid(density, x) == pytest.approx(1, abs=0.01)  # the prior's own error
    assert empty == pytest.approx(EMPTY["old"], abs=4 * np.sqrt(0.24 / 540))


def test_an_empty_cell_is_filled_with_a_value_and_tells_of_the_others(model: Model) -> None:
    filled = model.impute(frame()[:200], draws=2)
    assert not np.isnan(filled).any()
    rows = model.codec.read(frame()[:200])
    there = ~np.isnan(rows)
    assert (filled[:, there] == rows[there]).all()
    unknown = np.tile([np.nan, np.nan, 0.0], (2_000, 1))
    old = (model.impute(unknown)[0][:, 0] == 0).mean()
    # P(old | income empty, job there) = 0.6 / (0.6 + 0.1 / 2) = 0.92
    assert old == pytest.approx(0.92, abs=0.05)


def test_a_cell_may_be_given_as_empty_or_as_a_value(model: Model) -> None:
    empty = model.sample(2_000, given={"income": None, "job": "a"})
    assert np.isnan(empty[:, 1]).all()
    assert (empty[:, 0] == 0).mean() == pytest.approx(0.92, abs=0.05)
    assert (model.sample(50, given={"income": 2.5})[:, 1] == 2.5).all()


def test_a_row_is_drawn_without_holes_where_these_are_not_wanted(model: Model) -> None:
    rows, drawn = template(model.codec, 100, {"group": "old"})
    assert np.isnan(fill(model, rows, drawn, 0, How())).any()
    assert not np.isnan(fill(model, rows, drawn, 0, How(), holes=False)).any()


def test_a_column_that_is_not_there_is_unknown_and_not_empty(model: Model) -> None:
    some = frame()[:30, ["group", "job"]]
    values = model.log_prob(some)[0]
    assert np.allclose(values, model.log_prob(frame()[:30], of=["group", "job"])[0], atol=1e-6)
    assert not np.allclose(values, model.log_prob(some.with_columns(income=None))[0], atol=0.01)


def test_an_empty_cell_can_be_the_odd_one(model: Model) -> None:
    rows = np.array([[0.0, 5.0, np.nan], [1.0, 2.0, np.nan]])  # the old never lack a job
    cells = cell_surprise(model, rows)
    assert cells[0, 2] > 3
    assert cells[1, 2] < 1


def test_holes_are_compared(model: Model) -> None:
    judged = model.evaluate(rows=300)
    assert np.isnan(judged.samples[:, 1]).tolist() != np.isnan(judged.real[:, 1]).tolist()
    (metric,) = (metric for metric in judged.metrics if metric.name == "empty_cells")
    assert metric.value < 4 * metric.error


def test_a_saved_model_has_the_same_holes(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "run")
    again = driftfield.load(tmp_path / "run")
    assert again.codec == model.codec
    assert np.array_equal(again.sample(50), model.sample(50), equal_nan=True)
