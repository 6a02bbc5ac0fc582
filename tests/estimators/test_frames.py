"""Frames with text and missing cells, columns without anything to learn, and cells that were never seen."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from tests.estimators.quick import QUICK

import driftfield
from driftfield.errors import InputError
from driftfield.estimators import (
    DiffusionClassifier,
    DiffusionDensity,
    DiffusionImputer,
    DiffusionOutlierDetector,
    DiffusionRegressor,
)

N = 200
OPTIONS: dict[str, Any] = QUICK | {"steps": 150, "width": 32, "depth": 2, "random_state": 0}


def columns() -> dict[str, list[Any]]:
    """Cats are small and dogs large; a tenth of all cells is missing."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, N)
    height = np.where(kind == 1, 60.0, 25.0) + rng.normal(0, 3, N)
    found: dict[str, list[Any]] = {
        "kind": np.array(["cat", "dog"])[kind].tolist(),
        "height": height.round(2).tolist(),
        "legs": [4] * N,
        "age": rng.uniform(0, 15, N).round(1).tolist(),
    }
    return {name: [None if rng.random() < 0.1 else cell for cell in cells] for name, cells in found.items()}


FRAMES = {"pandas": lambda: pd.DataFrame(columns()), "polars": lambda: pl.DataFrame(columns())}


@pytest.fixture(params=FRAMES)
def frame(request: pytest.FixtureRequest) -> Any:
    return FRAMES[request.param]()


def cells(frame: Any) -> dict[str, list[Any]]:
    """The columns of a frame, None for missing cells."""
    return {name: [None if pd.isna(cell) else cell for cell in frame[name].to_list()] for name in frame.columns}


def test_an_imputer_gives_a_frame_back_with_its_types_and_what_was_there(frame: Any) -> None:
    imputer = DiffusionImputer(**OPTIONS).fit(frame)
    for filled in (imputer.transform(frame), *imputer.set_params(draws=2).transform_draws(frame)):
        assert type(filled) is type(frame)
        assert list(filled.columns) == list(frame.columns)
        assert list(filled.dtypes) == list(frame.dtypes)
        for name, before in cells(frame).items():
            after = cells(filled)[name]
            assert None not in after
            assert all(b in (None, a) for a, b in zip(after, before, strict=True))
    assert set(cells(filled)["legs"]) == {4}
    estimate = cells(imputer.set_params(point=True, draws=9).transform(frame))
    unknown = [i for i, kind in enumerate(columns()["kind"]) if kind is None and columns()["height"][i] is not None]
    expected = ["dog" if columns()["height"][i] > 42 else "cat" for i in unknown]
    assert np.mean([estimate["kind"][i] == kind for i, kind in zip(unknown, expected, strict=True)]) > 0.9
    assert imputer.get_feature_names_out().tolist() == ["kind", "height", "legs", "age"]


def test_a_frame_of_pandas_keeps_its_index_categories_and_truth_values() -> None:
    frame = FRAMES["pandas"]().set_index(pd.Index(range(5, N + 5), name="row"))
    frame["kind"] = frame["kind"].astype("category")
    frame["tame"] = pd.array([i % 3 == 0 if i % 5 else None for i in range(N)], dtype="boolean")
    frame["visits"] = pd.array([i % 50 if i % 7 else None for i in range(N)], dtype="Int64")
    filled = DiffusionImputer(**OPTIONS).fit_transform(frame)
    assert filled.index.equals(frame.index)
    assert (filled.dtypes == frame.dtypes).all()
    assert not filled.isna().any().any()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_the_output_of_an_imputer_can_be_set(library: str) -> None:
    x = np.random.default_rng(0).normal(size=(40, 2))
    x[::5, 1] = np.nan
    filled = DiffusionImputer(**OPTIONS).set_output(transform=library).fit_transform(x)
    assert type(filled).__module__.startswith(library)
    assert np.array_equal(np.asarray(filled)[:, 0], x[:, 0])


def test_a_density_scores_rows_with_text_and_holes_and_draws_frames(frame: Any) -> None:
    density = DiffusionDensity(**OPTIONS).fit(frame)
    found = density.score_samples(frame)
    assert found.shape == (N,)
    assert density.score(frame) == pytest.approx(found.mean())
    drawn = density.sample(300, random_state=0)
    assert type(drawn) is type(frame)
    assert list(drawn.columns) == list(frame.columns)
    assert set(cells(drawn)["kind"]) == {"cat", "dog"}
    assert set(cells(drawn)["legs"]) == {4}
    assert np.isfinite(density.score_samples(drawn)).all()


def test_the_density_of_whole_numbers_does_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.poisson(20, N), rng.normal(size=N)]).astype(float)
    x[0, 1] = np.nan
    density = DiffusionDensity(**OPTIONS).fit(x)
    assert np.array_equal(density.score_samples(x)[::-1], density.score_samples(x[::-1]))


def test_complete_numbers_can_be_learned_as_a_table_so_that_rows_with_holes_have_a_score() -> None:
    as_table = {"network": {"kind": "table"}, "objective": {"kind": "table"}, **OPTIONS["recipe"]}
    x = np.random.default_rng(0).normal(size=(N, 2))
    found = DiffusionDensity(**OPTIONS | {"recipe": as_table}).fit(x).score_samples([[0.0, np.nan], [0.0, 0.0]])
    assert found == pytest.approx([-0.92, -1.84], abs=0.5)  # of one and of two standard normal numbers at 0


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["dog", "cat"])])
def test_a_frame_of_polars_keeps_its_categories(dtype: Any) -> None:
    frame = FRAMES["polars"]().with_columns(pl.col("kind").cast(dtype))
    filled = DiffusionImputer(**OPTIONS).fit_transform(frame)
    assert filled.dtypes == frame.dtypes
    assert set(filled["kind"]) == {"cat", "dog"}


def test_a_row_with_a_text_that_was_never_seen_has_density_0_and_is_an_outlier(frame: Any) -> None:
    odd = type(frame)({"kind": ["cow", "cat"], "height": [25.0, 25.0], "legs": [4, 4], "age": [3.0, 3.0]})
    found = DiffusionDensity(**OPTIONS).fit(frame).score_samples(odd)
    assert found[0] == -np.inf
    assert np.isfinite(found[1])
    assert DiffusionOutlierDetector(**OPTIONS).fit(frame).predict(odd).tolist() == [-1, 1]


def test_an_outlier_is_a_pair_of_cells_that_do_not_go_together(frame: Any) -> None:
    detector = DiffusionOutlierDetector(**OPTIONS, contamination=0.02).fit(frame)
    odd = type(frame)({"kind": ["cat", "cat", "dog"], "height": [60.0, 25.0, None], "legs": [4] * 3, "age": [3.0] * 3})
    assert detector.predict(odd).tolist() == [-1, 1, 1]


def test_a_classifier_and_a_regressor_take_text_and_what_they_never_saw_counts_as_missing(frame: Any) -> None:
    height = np.array([30.0 if h is None else h for h in cells(frame)["height"]])
    x = frame[["kind", "age"]]
    new = type(frame)({"kind": ["cat", "dog", "cow", None], "age": [3.0, 3.0, None, None]})
    regressor = DiffusionRegressor(**OPTIONS, draws=20).fit(x, height)
    cat, dog, cow, unknown = regressor.predict(new)
    assert cat == pytest.approx(25, abs=6)  # of 85 heights with a standard deviation of 3, and some that are 30
    assert dog == pytest.approx(58, abs=6)
    assert cow == unknown
    classifier = DiffusionClassifier(**OPTIONS).fit(x, height > 42)
    assert classifier.predict(new[:2]).tolist() == [False, True]
    assert classifier.predict_proba(new)[2].tolist() == classifier.predict_proba(new)[3].tolist()


def test_a_target_of_few_whole_numbers_is_a_number() -> None:
    x = np.random.default_rng(0).uniform(0, 3, (N, 1))
    regressor = DiffusionRegressor(**OPTIONS, draws=20).fit(x, x[:, 0].round())
    assert regressor.model_.codec.parts[-1].kind == "number"
    assert regressor.predict([[0.1], [2.9]]) == pytest.approx([0, 3], abs=0.7)


def test_one_class_or_one_value_is_what_is_predicted() -> None:
    x = np.random.default_rng(0).normal(size=(10, 2))
    classifier = DiffusionClassifier(**OPTIONS).fit(x, ["a"] * 10)
    assert classifier.predict(x[:2]).tolist() == ["a", "a"]
    assert (classifier.predict_proba(x) == 1).all()
    regressor = DiffusionRegressor(**OPTIONS).fit(x, np.full(10, 2.5))
    assert (regressor.predict(x) == 2.5).all()
    assert (regressor.sample_y(x, 3) == 2.5).all()
    assert (regressor.predict_interval(x) == 2.5).all()


def test_columns_that_do_not_vary_change_nothing() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    wider = np.column_stack([np.full(50, 7.0), x])
    density = DiffusionDensity(**OPTIONS).fit(wider)
    assert np.array_equal(density.score_samples(wider), DiffusionDensity(**OPTIONS).fit(x).score_samples(x))
    assert (density.sample(5)[:, 0] == 7).all()
    with pytest.raises(InputError, match="same value in all rows"):
        DiffusionDensity(**OPTIONS).fit(np.ones((20, 2)))
    filled = DiffusionImputer(**OPTIONS).fit([[1.0], [np.nan], [1.0]]).transform([[np.nan], [3.0]])
    assert filled.tolist() == [[1.0], [3.0]]


def test_a_column_without_any_value_stays_empty_and_is_said_to() -> None:
    x = np.column_stack([np.random.default_rng(0).normal(size=30), np.full(30, np.nan)])
    with pytest.warns(UserWarning, match='"x2" has no value') as caught:
        imputer = DiffusionImputer(**OPTIONS).fit(x)
    assert caught[0].filename == __file__
    assert np.isnan(imputer.transform(x)[:, 1]).all()


def test_a_level_that_was_never_seen_is_kept_by_an_imputer_and_has_density_0() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(0, 3, N), rng.normal(size=N)]).astype(float)
    x[0, 1] = np.nan
    imputer = DiffusionImputer(**OPTIONS).fit(x)
    filled = imputer.transform([[9.0, np.nan], [1.0, 0.25]])
    assert filled[0, 0] == 9
    assert np.isfinite(filled[0, 1])
    assert filled[1].tolist() == [1.0, 0.25]
    assert DiffusionDensity(**OPTIONS).fit(x).score_samples([[9.0, 0.0]]) == [-np.inf]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda frame: DiffusionImputer(draws=0).fit(frame), ["draws", "at least 1"]),
        (lambda frame: DiffusionRegressor(draws=0).fit([[1.0], [2.0]], [1, 2]), ["draws", "at least 1"]),
        (lambda frame: DiffusionDensity(steps=0).fit([[1.0], [2.0]]), ["steps"]),
        (lambda frame: DiffusionOutlierDetector(contamination=0.7).fit([[1.0], [2.0]]), ["contamination", "(0, 0.5]"]),
        (lambda frame: imputer_of(frame).transform(np.zeros((2, 4))), ["frame with text", "pass a frame"]),
        (lambda frame: imputer_of(frame).transform(with_cell(frame, "height", "tall")), ['"height"', '"tall"']),
        (lambda frame: whole().score_samples([[np.nan, 1.0]]), ["missing cells", "training rows had none"]),
        (lambda frame: regressor().predict_interval([[0.0]], 1.0), ["coverage", "1.0"]),
        (lambda frame: regressor().predict_quantiles([[0.0]], [0.5, 2]), ["Quantiles", "2"]),
    ],
)
def test_what_cannot_be_used_is_refused(call: Any, words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are compared
        call(FRAMES["polars"]())
    for word in words:
        assert word in str(caught.value)


def imputer_of(frame: Any) -> DiffusionImputer:
    return DiffusionImputer(**OPTIONS | {"steps": 1}).fit(frame)


def whole() -> DiffusionDensity:
    return DiffusionDensity(**OPTIONS | {"steps": 1}).fit(np.random.default_rng(0).normal(size=(20, 2)))


def regressor() -> DiffusionRegressor:
    return DiffusionRegressor(**OPTIONS | {"steps": 1}).fit([[1.0], [2.0], [3.0]], [1.0, 2.0, 4.0])


def with_cell(frame: Any, name: str, cell: Any) -> Any:
    return frame.with_columns(pl.lit(cell).alias(name))


def test_progress_is_printed_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    DiffusionDensity(steps=400, verbose=1, random_state=0).fit(x)
    assert "[DiffusionDensity] step" in capsys.readouterr().out
    DiffusionDensity(**OPTIONS).fit(x)
    assert capsys.readouterr().out == ""


def test_the_model_of_an_estimator_is_saved_and_loaded_as_any_other(frame: Any, tmp_path: Path) -> None:
    height = np.array([30.0 if h is None else h for h in cells(frame)["height"]])
    classifier = DiffusionClassifier(**OPTIONS).fit(frame[["kind", "age"]], height > 42)
    density = DiffusionDensity(**OPTIONS).fit(frame)
    for name, model in (("classifier", classifier.model_), ("density", density.model_)):
        model.save(tmp_path / name)
        again = driftfield.load(tmp_path / name)
        assert np.array_equal(again.log_prob(model.train[:5])[0], model.log_prob(model.train[:5])[0])
        assert np.array_equal(again.sample(5), model.sample(5))
