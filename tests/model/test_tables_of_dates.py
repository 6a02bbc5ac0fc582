"""Tables with dates: they are drawn, given, filled and scored as numbers, and written as dates."""

from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import driftfield
from driftfield.datasets import csv_text
from driftfield.errors import InputError
from driftfield.model.model import Model

N = 1_200
START = {"a": date(2022, 1, 1), "b": date(2022, 3, 12)}


def frame() -> pl.DataFrame:
    """Dates are normal with 20 days around one that depends on kind; times are in the morning."""
    rng = np.random.default_rng(0)
    kind = rng.choice(["a", "b"], N)
    days = rng.normal(0, 20, N).round()
    when = [START[k] + timedelta(days=float(d)) for k, d in zip(kind, days, strict=True)]
    at = [f"{m // 60:02d}:{m % 60:02d}" for m in (rng.beta(2, 8, N) * 1_440).astype(int)]
    found = pl.DataFrame(
        {
            "kind": kind,
            "when": [day.strftime("%d.%m.%Y") for day in when],
            "at": at,
            "next": [day + timedelta(days=1 + i % 30) for i, day in enumerate(when)],
        }
    )
    return found.with_columns(pl.when(pl.Series(rng.random(N) > 0.1)).then(pl.col("when")).alias("when"))


@pytest.fixture(scope="module")
def model() -> Model:
    return driftfield.fit(frame(), steps=300, likelihood={"steps": 20})


def days(cells: pl.Series) -> np.ndarray:
    return cells.str.to_date("%d.%m.%Y").to_physical().to_numpy()


def test_columns_of_dates_are_whole_numbers_of_their_unit(model: Model) -> None:
    assert [part.kind for part in model.codec.parts] == ["category", *["whole number"] * 3]
    assert [part.shown for part in model.codec.parts] == ["category", "date", "time of day", "date"]


def test_samples_are_dates_in_the_format_of_the_data(model: Model) -> None:
    drawn = model.frame(model.sample(2_000, given={"kind": "a"}))
    assert drawn.dtypes == [pl.String, pl.String, pl.String, pl.Date]
    assert drawn["at"].str.contains(r"^([01]\d|2[0-3]):[0-5]\d$").all()
    found = days(drawn["when"])
    # The mean of 430 training rows has an error of 1 day: four of these, and as much for the network.
    assert found.mean() == pytest.approx((START["a"] - date(1970, 1, 1)).days, abs=8)
    assert (drawn["at"] == "00:00").mean() < 0.01  # no pile at the end of the day


@pytest.mark.parametrize("value", ["15.04.2022", "2022-04-15", date(2022, 4, 15)])
def test_a_date_is_given_as_the_data_have_it_or_as_iso_has_it(model: Model, value: object) -> None:
    drawn = model.frame(model.sample(200, given={"when": value}))
    assert set(drawn["when"]) == {"15.04.2022"}
    assert (drawn["kind"] == "b").mean() > 0.95


@pytest.mark.parametrize("value", ["31.02.2022", "soon", 19_000])
def test_what_is_no_date_cannot_be_given(model: Model, value: object) -> None:
    with pytest.raises(InputError, match=r'"when" must be a date like 01.05.2024, got'):
        model.sample(1, given={"when": value})


def test_a_cell_that_is_no_date_is_refused_with_its_row(model: Model) -> None:
    with pytest.raises(InputError, match=r'"when" of the frame has "31.02.2022" in row 1 .* no date like 01.05.2024'):
        model.impute(pl.DataFrame({"when": ["01.02.2022", "31.02.2022"]}))


def test_holes_are_filled_with_dates_and_days_have_a_mass(model: Model) -> None:
    filled = model.frame(model.impute(frame()[:100])[0])
    assert filled.null_count().sum_horizontal().item() == 0
    there = frame()[:100, "when"].is_not_null()
    assert filled["when"].filter(there).to_list() == frame()[:100, "when"].filter(there).to_list()
    rows = np.full((1_200, 4), np.nan)
    rows[:, 1] = np.arange(1_200) + 18_400
    mass = np.exp(model.log_prob(rows, of=["when"])[0]).sum()
    assert mass == pytest.approx(1, abs=0.02)  # the prior's own error and that of the network's marginal


def test_a_saved_model_writes_the_same_dates(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "run")
    again = driftfield.load(tmp_path / "run")
    assert again.codec == model.codec
    assert again.frame(again.sample(20)).equals(model.frame(model.sample(20)))


def test_an_interrupted_training_knows_its_dates(tmp_path: Path) -> None:
    from driftfield.fitting.plan import read_plan, write_plan
    from driftfield.fitting.preparation import prepare
    from driftfield.recipes.schema import load_recipe

    plan = prepare(frame(), load_recipe(None), 0).plan
    write_plan(plan, tmp_path, "cpu")
    assert read_plan(tmp_path)[0].dates == plan.dates


def test_numbers_beside_a_date_are_a_table() -> None:
    rng = np.random.default_rng(0)
    moments = [datetime(2024, 5, 1) + timedelta(seconds=int(s)) for s in rng.normal(0, 1e6, 200)]
    model = driftfield.fit(pl.DataFrame({"t": moments, "x": rng.normal(size=200)}), steps=5)
    drawn = model.frame(model.sample(10))
    assert drawn.dtypes == [pl.Datetime("us"), pl.Float64]
    assert np.isfinite(model.log_prob(drawn)[0]).all()
    text = csv_text(model.codec.read(drawn), model.columns, levels=model.codec.written)
    assert text.splitlines()[1].split(",")[0] == str(drawn["t"][0])  # not as polars writes it, with six decimals


def test_few_dates_with_many_rows_are_a_category_that_is_written_as_dates() -> None:
    rng = np.random.default_rng(0)
    texts = np.array(["2024-01-01", "2024-04-01", "2024-07-01"])[rng.integers(0, 3, 300)]
    model = driftfield.fit(pl.DataFrame({"quarter": texts, "x": rng.normal(size=300)}), steps=5)
    assert model.codec.parts[0].kind == "category"
    assert set(model.frame(model.sample(50))["quarter"]) <= set(texts)
    assert set(model.frame(model.sample(5, given={"quarter": "2024-04-01"}))["quarter"]) == {"2024-04-01"}
    with pytest.raises(InputError, match="has 2024-05-01 in the column"):
        model.sample(1, given={"quarter": "2024-05-01"})


def test_a_column_of_dates_may_be_said_to_be_a_category() -> None:
    model = driftfield.fit(frame()[:, :3], steps=2, columns={"at": {"kind": "category"}})
    assert model.codec.parts[2].kind == "category"
    assert set(model.frame(model.sample(20))["at"]) <= set(frame()["at"])
