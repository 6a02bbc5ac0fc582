"""Tables with rules: these hold in every row that is drawn or filled, and densities know them."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import expon, norm

import driftfield
from driftfield.codecs import FloatArray
from driftfield.errors import InputError
from driftfield.model.model import Model
from driftfield.model.surprise import cell_surprise, row_surprise

N = 1_500
HOLD = ["start <= end", "total = net + tax", "one of: is_a, is_b, is_c"]


def frame(seed: int = 0) -> pl.DataFrame:
    """The gap from start to end is exponential around 1 or 4, which of the group says; the tax is an eighth of net."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 3, N)
    start = rng.normal(0, 2, N)
    end = start + rng.exponential(np.where(group == 0, 4.0, 1.0))
    net = rng.gamma(3, 20, N).round(2)
    tax = (net / 8 + rng.normal(0, 0.5, N)).round(2)
    found = {"start": start, "end": end, "net": net, "tax": tax, "total": (net + tax).round(2)}
    return pl.DataFrame(found | {name: (group == i).astype(int) for i, name in enumerate(("is_a", "is_b", "is_c"))})


def holds(rows: FloatArray) -> bool:
    sums = np.abs(rows[:, 2] + rows[:, 3] - rows[:, 4]).max() < 1e-9
    return bool((rows[:, 0] <= rows[:, 1]).all() and sums and (rows[:, 5:].sum(1) == 1).all())


@pytest.fixture(scope="module")
def model() -> Model:
    return driftfield.fit(frame(), steps=300, likelihood={"steps": 20}, rules={"hold": HOLD})


def test_samples_obey_the_rules_also_given_some_cells(model: Model) -> None:
    assert holds(model.sample(3_000))
    for given in ({"start": 3.25}, {"total": 50.0, "tax": 6.1}, {"is_b": 1}, {"is_a": 0, "is_c": 0}, {"net": 1e4}):
        rows = model.sample(200, given=given)
        assert holds(rows)
        for name, value in given.items():
            assert (rows[:, model.columns.index(name)] == value).all()
    assert (model.sample(5, given={"is_a": 0, "is_c": 0})[:, 6] == 1).all()


def test_filled_rows_obey_the_rules(model: Model) -> None:
    rows = model.codec.read(frame(1))[:300]
    holes = rows.copy()
    rng = np.random.default_rng(0)
    holes[rng.random(300) < 0.3, 1] = np.nan
    holes[np.arange(300), 2 + rng.integers(0, 3, 300)] = np.nan  # one of three
    holes[rng.random(300) < 0.3, 5:] = np.nan
    filled = model.impute(holes, draws=2)
    for draw in filled:
        assert holds(draw)
        assert np.allclose(draw[:, 2:5], rows[:, 2:5])  # which follow
        assert (draw[~np.isnan(holes)] == holes[~np.isnan(holes)]).all()


def test_the_density_of_the_end_is_that_of_the_gap(model: Model) -> None:
    """Normalised from the start on, 0 before it, and near the truth: an exponential gap."""
    x = np.linspace(0, 30, 1_501)
    rows = np.column_stack([np.full(len(x), 1.5), 1.5 + x, *[np.full(len(x), np.nan)] * 3, *[np.zeros(len(x))] * 3])
    rows[:, 5] = 1
    log_p = model.log_prob(rows, given=["start", "is_a", "is_b", "is_c"], of=["end"])[0]
    # The prior's own error, and what the trapezoids miss of the first cell, below whose end the density may change.
    assert np.trapezoid(np.exp(log_p[1:]), x[1:]) == pytest.approx(1, abs=0.03)
    truth = expon(scale=4.0)
    kl = np.trapezoid(truth.pdf(x[1:]) * (truth.logpdf(x[1:]) - log_p[1:]), x[1:])
    assert kl < 0.1  # of 360 training rows with 300 steps, where a Gaussian gap would have 0.4
    assert norm(4, 4).logpdf(x[1:]).mean() < log_p[1:].mean() + 1e9


def test_a_sum_given_all_but_one_column_is_that_column(model: Model) -> None:
    rows = model.codec.read(frame(2))[:20]
    of_total = model.log_prob(rows, given=["net"], of=["total"])[0]
    of_tax = model.log_prob(rows, given=["net"], of=["tax"])[0]
    assert np.array_equal(of_total, of_tax)
    assert np.array_equal(
        model.log_prob(rows, of=["net", "tax", "total"])[0], model.log_prob(rows, of=["net", "tax"])[0]
    )
    assert (model.log_prob(rows, given=["net", "tax"], of=["total"])[0] == 0).all()  # it follows


def test_the_probabilities_of_a_group_sum_to_1(model: Model) -> None:
    rows = np.full((3, 8), np.nan)
    rows[:, 5:] = np.eye(3)
    assert np.exp(model.log_prob(rows)[0]).sum() == pytest.approx(1, abs=1e-6)  # float32 logits


@pytest.mark.parametrize("given", [{"end": 2.0}, {"total": 50.0}, {"is_a": 0}])
def test_what_the_rules_cannot_use_is_refused(model: Model, given: dict[str, float]) -> None:
    (name,) = given
    with pytest.raises(InputError, match=f'Row 1 has "{name}", of which the rule .* makes nothing without'):
        model.sample(3, given=given)
    rows = model.codec.read(frame())[:3]
    with pytest.raises(InputError, match="makes nothing without"):
        model.log_prob(rows, of=[name])


def test_rows_that_break_a_rule_are_refused(model: Model) -> None:
    rows = model.codec.read(frame())[:30]
    rows[16, 1] = rows[16, 0] - 1
    with pytest.raises(InputError, match='Row 17 breaks the rule "start <= end", with start = '):
        model.log_prob(rows)
    with pytest.raises(InputError, match="Row 17 of frame breaks the rule"):
        driftfield.fit(model.frame(rows), steps=2, rules={"hold": HOLD})


def test_surprises_are_those_of_what_is_modelled(model: Model) -> None:
    rows = model.codec.read(frame(3))[:30]
    rows[4, 1] = rows[4, 0] + 60
    assert row_surprise(model, rows).argmax() == 4
    cells = cell_surprise(model, rows)
    assert np.nanargmax(cells[4]) == 1
    assert np.isnan(cells[:, [4, 6, 7]]).all()  # which follow from others


def test_an_evaluation_uses_what_it_can(model: Model) -> None:
    judged = model.evaluate(rows=100)
    assert holds(judged.samples)
    assert all(np.isfinite(metric.value) for metric in judged.metrics)
    assert judged.imputation[0].numbers > 0


def test_training_rows_may_lack_cells_that_others_need(tmp_path: Path) -> None:
    holes = frame().with_columns(
        pl.when(pl.Series(np.arange(N) % 5 > 0)).then(pl.col(name)).alias(name) for name in ("start", "net", "tax")
    )
    model = driftfield.fit(holes, steps=5, rules={"hold": HOLD})
    assert holds(model.sample(50))
    model.save(tmp_path / "run")
    again = driftfield.load(tmp_path / "run")
    assert again.codec == model.codec
    assert np.array_equal(again.sample(20), model.sample(20))
    assert model.evaluate(rows=50).verdict
