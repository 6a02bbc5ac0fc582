"""Models of tables with text and missing cells: what they draw and score, given any of their cells."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import driftfield
from driftfield.errors import InputError
from driftfield.model.model import Model
from driftfield.model.sampling import How
from driftfield.model.surprise import cell_surprise, row_surprise
from driftfield.model.table_densities import log_prob, probabilities
from driftfield.model.tables import filled_by

N = 600


def frame() -> pl.DataFrame:
    """Two kinds of things: height is normal around their own mean, count a Poisson number, and cells are missing."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, N)
    colour = np.where(rng.random(N) < 0.8, kind, 1 - kind)
    height = np.round(rng.normal(np.where(kind == 0, -2.0, 2.0), 1.0), 3)
    count = rng.poisson(np.where(kind == 0, 12, 20))
    found = pl.DataFrame(
        {"kind": np.array(["cat", "dog"])[kind], "colour": np.array(["x,y", "z"])[colour], "height": height, "n": count}
    )
    holes = rng.random((N, 4)) < 0.1
    return found.with_columns(
        pl.when(~pl.Series(holes[:, i])).then(pl.col(name)).alias(name) for i, name in enumerate(found.columns)
    )


@pytest.fixture(scope="module")
def model() -> Model:
    return driftfield.fit(frame(), steps=400, likelihood={"steps": 20}, train={"patience": 0})


def test_new_rows_are_complete_and_follow_the_categories(model: Model) -> None:
    drawn = model.frame(model.sample(2_000))
    assert drawn.null_count().row(0) == (0, 0, 0, 0)
    assert drawn.dtypes == [pl.String, pl.String, pl.Float64, pl.Int64]
    means = dict(drawn.group_by("kind").agg(pl.col("height").mean()).iter_rows())
    # Means of the 430 training rows have errors of 0.07: within four of these, and as much again for the network.
    assert means["cat"] == pytest.approx(-2, abs=0.6)
    assert means["dog"] == pytest.approx(2, abs=0.6)


def test_given_cells_stay_exactly_and_the_others_follow(model: Model) -> None:
    drawn = model.frame(model.sample(500, given={"kind": "dog", "n": 21}))
    assert set(drawn["kind"]) == {"dog"}
    assert set(drawn["n"]) == {21}
    assert drawn["height"].mean() == pytest.approx(2, abs=0.6)
    by_number = model.frame(model.sample(500, given={"height": -3.25}))
    assert set(by_number["height"]) == {-3.25}
    assert (by_number["kind"] == "cat").mean() > 0.9


def test_parts_of_a_sample_can_be_drawn_apart(model: Model) -> None:
    given = {"colour": "z"}
    whole = model.sample(50, seed=3, given=given)
    parts = [model.sample(20, seed=3, given=given), model.sample(30, seed=3, start=20, given=given)]
    assert np.array_equal(whole, np.concatenate(parts))


def test_imputation_keeps_what_is_there_and_fills_the_rest(model: Model) -> None:
    filled = model.impute(frame()[:60], draws=3)
    rows = model.codec.read(frame()[:60])
    assert filled.shape == (3, 60, 4)
    assert not np.isnan(filled).any()
    there = ~np.isnan(rows)
    assert (filled[:, there] == rows[there]).all()
    assert (filled[0] != filled[1]).any()


def test_a_complete_row_stays_as_it_is(model: Model) -> None:
    rows = np.array([[0, 1, 0.123456, 13]])
    assert np.array_equal(model.impute(rows)[0], rows)


def test_masses_sum_to_1(model: Model) -> None:
    """Over both categories and the whole numbers, given a height."""
    rows = np.array([[kind, colour, 1.0, n] for kind in range(2) for colour in range(2) for n in range(-5, 60)], float)
    values, errors = model.log_prob(rows, given=["height"])
    assert np.array_equal(model.log_prob(rows, given="height")[0], values)
    total, error = np.exp(values).sum(), (np.exp(values) * errors).sum()
    assert total == pytest.approx(1, abs=error + 0.01)  # the prior's own error, of which the estimate knows nothing
    categories = model.log_prob(rows[::65], of=["kind", "colour"])[0]
    assert np.exp(categories).sum() == pytest.approx(1, abs=1e-6)  # float32 logits


def test_a_density_integrates_to_1(model: Model) -> None:
    x = np.linspace(-8, 8, 161)
    rows = np.stack([np.zeros(161), np.ones(161), x, np.full(161, 12.0)], 1)
    values, _ = model.log_prob(rows, given=["kind", "colour", "n"])
    assert np.trapezoid(np.exp(values), x) == pytest.approx(1, abs=0.01)


def test_a_joint_probability_is_the_product_of_conditionals_where_the_chain_goes_that_way(model: Model) -> None:
    rows = model.sample(40, seed=1)
    joint = model.log_prob(rows)[0]
    of_categories = model.log_prob(rows, of=["kind", "colour"])[0]
    of_numbers = model.log_prob(rows, given=["kind", "colour"])[0]
    assert np.allclose(joint, of_categories + of_numbers, atol=1e-5)


def test_a_row_is_scored_on_its_own() -> None:
    """Also where the interval of a whole number is wide in one row and narrow in another, by a bent map."""
    rng = np.random.default_rng(0)
    n = np.round(np.exp(rng.normal(4, 1.6, 1_000)))
    frame = pl.DataFrame({"n": n, "kind": np.where(n + rng.normal(0, 20, 1_000) > 50, "many", "few")})
    model = driftfield.fit(frame, steps=5, columns={"n": {"atoms": []}})
    rows = np.array([[1.0, 0.0], [8.0, 0.0]])
    together = model.log_prob(rows)[0]
    apart = [float(model.log_prob(rows[i : i + 1])[0][0]) for i in range(2)]
    assert together == pytest.approx(apart, abs=1e-5)  # float32; the second row differed by 0.01


def test_missing_cells_are_left_out(model: Model) -> None:
    rows = model.sample(20, seed=2)
    holes = rows.copy()
    holes[:, 3] = np.nan
    assert np.allclose(model.log_prob(holes)[0], model.log_prob(rows, of=["kind", "colour", "height"])[0], atol=1e-6)
    holes[:] = np.nan
    assert (model.log_prob(holes)[0] == 0).all()


def test_the_order_of_the_categories_hardly_matters(model: Model) -> None:
    rows = model.sample(100, seed=4)
    one, other = (log_prob(model, rows, of=["kind", "colour"], order=order)[0] for order in ((0, 1), (1, 0)))
    assert np.abs(one - other).mean() < 0.15  # the network's own consistency in nats: 0.02 to 0.08 in five seeds


def test_an_odd_cell_surprises(model: Model) -> None:
    rows = model.sample(30, seed=5, given={"kind": "cat"})
    rows[7, 2] = 9.0
    rows[11, 0] = np.nan
    assert row_surprise(model, rows).argmax() == 7
    cells = cell_surprise(model, rows)
    assert np.nanargmax(cells[7]) == 2
    assert np.isnan(cells[11, 0])
    assert np.isfinite(cells[11, 1:]).all()


def test_a_saved_model_draws_and_scores_the_same(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "run")
    again = driftfield.load(tmp_path / "run")
    assert np.array_equal(model.sample(50), again.sample(50))
    assert np.array_equal(model.log_prob(model.held_out[:20])[0], again.log_prob(again.held_out[:20])[0])
    assert again.codec == model.codec


def test_evaluation_compares_rows_with_holes(model: Model) -> None:
    judged = model.evaluate(rows=100)
    assert np.isnan(judged.samples).tolist() == np.isnan(judged.real).tolist()
    assert all(np.isfinite(metric.value) for metric in judged.metrics)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kind": "cow"}, ["value of kind", "cow"]),
        ({"kinds": "cat"}, ["column", "kinds"]),
        ({"n": "many"}, ['"n"', "finite number", "many"]),
        ({"height": float("nan")}, ['"height"', "finite number"]),
    ],
)
def test_what_cannot_be_given_is_refused(model: Model, given: dict[str, object], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        model.sample(1, given=given)
    for word in words:
        assert word in str(caught.value)


def test_a_column_is_asked_for_or_given(model: Model) -> None:
    with pytest.raises(InputError, match='"kind" is both'):
        model.log_prob(model.held_out[:1], given=["kind"], of=["kind"])


def test_what_a_table_does_not_have_is_refused(model: Model) -> None:
    rows = model.held_out[:2]
    for method in (model.score, model.latent, model.decode, model.bound, model.importance_bound):
        with pytest.raises(InputError, match="rows are mixed"):
            method(rows)
    with pytest.raises(InputError, match="rows are mixed"):
        model.trajectory(3)


def test_a_model_of_whole_rows_says_how_to_get_conditionals() -> None:
    plain = driftfield.fit("moons", steps=2, rows=100)
    for call in (lambda: plain.sample(1, given={"x": 1}), lambda: plain.impute(plain.held_out)):
        with pytest.raises(InputError, match="only whole rows"):
            call()


def test_a_table_of_categories_alone() -> None:
    model = driftfield.fit(frame()[:, :2], steps=300, likelihood={"steps": 20})
    drawn = model.frame(model.sample(2_000))
    same = ((drawn["kind"] == "cat") == (drawn["colour"] == "x,y")).mean()
    assert same == pytest.approx(0.8, abs=0.08)  # of 430 rows, four standard errors
    rows = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
    assert np.exp(model.log_prob(rows)[0]).sum() == pytest.approx(1, abs=1e-6)


def test_numbers_with_holes_alone() -> None:
    model = driftfield.fit(frame()[:, 2:], steps=50)
    assert not np.isnan(model.sample(10)).any()
    assert np.isfinite(model.log_prob(model.held_out[:10])[0]).all()


def test_complete_numbers_are_a_table_where_the_recipe_says_so() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 3)).round(2)
    model = driftfield.fit(rows, network="table", objective="table", steps=20)
    assert model.codec.levels == ()
    drawn = model.sample(5, given={"x2": 0.25})
    assert (drawn[:, 1] == 0.25).all()
    assert np.isfinite(model.log_prob(model.held_out, given=["x1"])[0]).all()


def test_the_probabilities_of_a_category_are_those_of_its_log_probability(model: Model) -> None:
    rows = model.sample(10, seed=8)
    found = probabilities(model, rows, "kind")
    assert np.allclose(found.sum(1), 1)
    given = [name for name in model.columns if name != "kind"]
    own = np.exp(model.log_prob(rows, given=given, of=["kind"])[0])
    assert np.allclose(found[np.arange(10), rows[:, 0].astype(int)], own)
    with pytest.raises(InputError, match='"height" holds numbers'):
        probabilities(model, rows, "height")


def test_only_the_cells_that_are_asked_for_are_drawn(model: Model) -> None:
    rows = np.array([[np.nan, np.nan, np.nan, 12.0]] * 200)
    u, z = torch.rand(200, 2, dtype=torch.float64), torch.randn(200, 2)
    only = np.tile([True, False, False, False], (200, 1))
    drawn = filled_by(model, rows, only, u, lambda: z, How())
    assert set(drawn[:, 0]) == {0.0, 1.0}
    assert np.isnan(drawn[:, 1]).all()


def test_a_value_beyond_a_bound_has_density_0() -> None:
    x = np.random.default_rng(0).exponential(size=300) + 0.1
    table = pl.DataFrame({"x": x, "kind": ["a", "b", "c"] * 100})
    model = driftfield.fit(table, steps=5, columns={"x": {"low": 0.0}})
    log_p, error = model.log_prob(np.array([[-1.0, 0.0], [0.0, 1.0], [1e-9, 2.0], [1.0, 0.0]]))
    assert np.isneginf(log_p).tolist() == [True, True, False, False]
    assert np.isfinite(error).all()


def test_a_given_cell_is_written_as_it_is(model: Model) -> None:
    """Also where it has more decimals than its column."""
    assert set(model.frame(model.sample(3, given={"n": 12.5}))["n"]) == {12.5}


def test_whole_numbers_with_bounds_are_drawn_as_often_as_they_are_scored_and_never_beyond() -> None:
    rng = np.random.default_rng(0)
    wait, kind = rng.integers(0, 60, 600), rng.choice(["a", "b"], 600)
    model = driftfield.fit(
        pl.DataFrame({"kind": kind, "wait": wait}), steps=100, batch=256, seed=0, likelihood={"steps": 20}
    )
    part = model.codec.parts[1]
    assert (part.kind, part.low, part.high) == ("whole number", -0.5, 59.5)
    n = 4_000
    drawn = model.sample(n)[:, 1]
    assert drawn.min() >= 0
    assert drawn.max() <= 59
    rows = np.column_stack([np.full(60, np.nan), np.arange(60)])
    mass = np.exp(model.log_prob(rows, of=["wait"])[0])
    assert mass.sum() == pytest.approx(1, abs=0.02)  # eight places in each of the two intervals without an end
    for first, last in ((0, 3), (56, 60)):
        share = ((drawn >= first) & (drawn < last)).mean()
        # Four standard errors, and the error of a mass.
        assert share == pytest.approx(mass[first:last].sum(), abs=4 * (0.05 / n) ** 0.5 + 0.01)
    beyond = np.array([[np.nan, -1.0], [np.nan, 60.0]])
    assert np.isneginf(model.log_prob(beyond, of=["wait"])[0]).all()


def test_a_level_that_was_never_seen_has_probability_0_is_the_oddest_cell_and_counts_as_unknown(model: Model) -> None:
    odd = pl.DataFrame({"kind": ["cow", "cat"], "colour": ["z", None], "height": [2.0, 1.0], "n": [20, 14]})
    found, error = model.log_prob(odd)
    assert found[0] == -np.inf
    assert error[0] == 0
    assert np.isfinite(found[1])
    given, _ = model.log_prob(odd, given="kind")
    assert given[0] == pytest.approx(model.log_prob(odd.drop("kind"))[0][0], abs=1e-5)
    rows = np.array([[7.0, 1.0, 2.0, np.nan]])
    assert model.log_prob(rows)[0] == -np.inf
    assert cell_surprise(model, rows)[0, 0] == np.inf
    assert row_surprise(model, rows)[0] == np.inf
    filled = model.impute(rows, draws=3)
    assert np.array_equal(filled[:, 0, :3], np.tile(rows[0, :3], (3, 1)))
    assert np.isfinite(filled).all()
    with pytest.raises(InputError, match="cow"):  # as an array of numbers has none for it
        model.impute(odd)
