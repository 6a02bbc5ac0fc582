"""No rows at all are refused in the words of scikit-learn, of arrays and of frames."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from tests.estimators.quick import QUICK

from driftfield.estimators import (
    DiffusionClassifier,
    DiffusionDensity,
    DiffusionImputer,
    DiffusionOutlierDetector,
    DiffusionRegressor,
)

N = 40
X = np.random.default_rng(0).normal(size=(N, 2)).round(2)
CELLS = {"x": X[:, 0], "kind": ["cat", "dog"] * 20}
ROWS: dict[str, Any] = {"array": X, "pandas": pd.DataFrame(CELLS), "polars": pl.DataFrame(CELLS)}
METHODS: dict[Any, tuple[str, ...]] = {
    DiffusionImputer: ("transform", "transform_draws"),
    DiffusionDensity: ("score_samples",),
    DiffusionOutlierDetector: ("predict", "decision_function"),
    DiffusionRegressor: ("predict", "sample_y"),
    DiffusionClassifier: ("predict", "predict_proba"),
}


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("estimator", METHODS)
def test_no_rows_are_refused(estimator: Any, kind: str) -> None:
    rows = ROWS[kind]
    fitted = estimator(**QUICK | {"steps": 2}).fit(rows, X[:, 1] > 0)
    for method in METHODS[estimator]:
        with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\) \(shape=\(0, 2\)\) while a minimum of 1"):
            getattr(fitted, method)(rows[:0])
