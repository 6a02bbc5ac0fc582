"""The estimators keep the rules of scikit-learn."""

import subprocess
import sys
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import make_moons
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from tests.estimators.quick import ESTIMATORS, LEARNING, QUICK

from driftfield.estimators import DiffusionClassifier, DiffusionDensity, DiffusionImputer, DiffusionRegressor

METHODS = ("predict", "predict_proba", "decision_function", "score_samples", "transform")


@parametrize_with_checks(ESTIMATORS)
def test_every_check_of_scikit_learn_passes(estimator: BaseEstimator, check: Any) -> None:
    check(estimator)


def rows(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 3)) + 2 * y[:, None]
    x[rng.random(x.shape) < 0.1] = np.nan
    return x, y


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_a_fitted_estimator_comes_back_from_a_file_of_joblib(estimator: Any, tmp_path: Any) -> None:
    x, y = rows()
    fitted = clone(estimator).set_params(random_state=0).fit(x, y)
    joblib.dump(fitted, tmp_path / "fitted.joblib")
    again = joblib.load(tmp_path / "fitted.joblib")
    for method in METHODS:
        if hasattr(fitted, method):
            assert_array_equal(getattr(fitted, method)(x), getattr(again, method)(x))


def test_a_regressor_and_a_classifier_stand_at_the_end_of_a_pipeline() -> None:
    x, y = rows(120)
    pipeline = make_pipeline(StandardScaler(), DiffusionClassifier(**QUICK, random_state=0))
    assert cross_val_score(pipeline, x, y, cv=2).mean() > 0.8  # the classes overlap in 2 % of complete rows
    target = np.nan_to_num(x[:, 0], nan=1.0)
    pipeline = make_pipeline(StandardScaler(), DiffusionRegressor(**QUICK, random_state=0))
    assert pipeline.fit(x[:, 1:], target).predict(x[:, 1:]).shape == (120,)


def test_an_imputer_stands_at_the_start_of_a_pipeline_with_text() -> None:
    x, y = rows(120)
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    frame["colour"] = np.where(y == 1, "red", "blue")
    frame.loc[::7, "colour"] = None
    encoder = make_column_transformer(
        (OneHotEncoder(), make_column_selector(pattern="colour")), remainder="passthrough"
    )
    pipeline = make_pipeline(DiffusionImputer(**QUICK, random_state=0), encoder, LogisticRegression())
    assert pipeline.fit(frame, y).score(frame, y) > 0.9


def test_a_grid_search_compares_densities_by_their_mean() -> None:
    x = make_moons(200, noise=0.05, random_state=0)[0]
    search = GridSearchCV(DiffusionDensity(**QUICK | LEARNING, random_state=0), {"steps": [1, 200]}, cv=2).fit(x)
    assert search.best_params_ == {"steps": 200}  # after one step the density is still normal
    assert search.best_estimator_.score(x) == pytest.approx(search.best_estimator_.score_samples(x).mean())


def test_a_seed_decides_and_without_one_fits_differ() -> None:
    x, y = rows()
    one, same = (DiffusionClassifier(**QUICK, random_state=3).fit(x, y).predict_proba(x) for _ in range(2))
    other, another = (DiffusionClassifier(**QUICK).fit(x, y).predict_proba(x) for _ in range(2))
    assert_array_equal(one, same)
    assert (other != another).any()


def test_importing_the_package_loads_no_estimator() -> None:
    code = "import sys, driftfield; sys.exit('sklearn' in sys.modules or 'driftfield.estimators' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
