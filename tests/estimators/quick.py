"""Parameters with which a fit takes a fraction of a second: few steps of small networks, at a high learning rate."""

from typing import Any

from driftfield.estimators import (
    DiffusionClassifier,
    DiffusionDensity,
    DiffusionImputer,
    DiffusionOutlierDetector,
    DiffusionRegressor,
)

TRAIN = {"warmup": 5, "lr": 2e-2, "batch": 128, "ema": 0.9}
RECIPE = {"train": TRAIN, "likelihood": {"steps": 4}, "sample": {"steps": 4}}
QUICK: dict[str, Any] = {"steps": 40, "width": 16, "depth": 1, "recipe": RECIPE}
LEARNING = {"steps": 120, "width": 32, "depth": 2, "validation_fraction": 0}  # what must be half right
UNTAUGHT = QUICK | {"steps": 10}  # whose conventions need no truth
ESTIMATORS = [
    DiffusionClassifier(**QUICK),
    DiffusionDensity(**UNTAUGHT),
    DiffusionImputer(**UNTAUGHT),
    DiffusionOutlierDetector(**QUICK),
    DiffusionRegressor(**QUICK | LEARNING, draws=16),
]
