"""scikit-learn estimators: diffusion models of tables under the names and rules of scikit-learn.

    from driftfield.estimators import DiffusionRegressor
    regressor = DiffusionRegressor(random_state=0).fit(X, y)
    low, high = regressor.predict_interval(X_new, coverage=0.9).T

They take arrays, and frames of pandas or polars; cells may be missing, and columns of a frame may hold text. What is
predicted for a row depends on that row alone, not on the rows beside it or on their order.

base         parameters, and the way from a table to a model
rows         arrays and frames as rows of numbers and codes, and back
blocks       blocks of rows that are evaluated together
density      log-densities and new rows
imputer      missing cells, drawn or estimated
outliers     rows that are unlikely
regressor    a number given all else: mean, quantiles, intervals, draws
classifier   a category given all else: its probabilities
"""

from driftfield.estimators.classifier import DiffusionClassifier
from driftfield.estimators.density import DiffusionDensity
from driftfield.estimators.imputer import DiffusionImputer
from driftfield.estimators.outliers import DiffusionOutlierDetector
from driftfield.estimators.regressor import DiffusionRegressor

__all__ = [
    "DiffusionClassifier",
    "DiffusionDensity",
    "DiffusionImputer",
    "DiffusionOutlierDetector",
    "DiffusionRegressor",
]
