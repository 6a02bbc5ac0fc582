"""Settings of the whole suite, made before torch is imported."""

import gc
import os
from collections.abc import Iterator

import pytest

# The workers of pytest share two cores: one thread each, so that they do not wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Modules and tests are a million objects that stay: looking for cycles among them took a tenth of the time.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.fixture(scope="module", autouse=True)
def few_draws_of_validation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where models are small, a quarter of the draws for judging weights, which took a third of a training."""
    with pytest.MonkeyPatch.context() as patch:
        small = request.path.parent.name in ("model", "estimators", "verification")
        if small and request.path.name != "test_truth.py":  # where estimators are as good as they can be
            patch.setattr("driftfield.training.early_stopping.VALIDATION_DRAWS", 2_048)
        yield
