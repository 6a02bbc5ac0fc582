"""Settings of the whole suite, made before torch is imported."""

import gc
import os

# The workers of pytest share two cores: one thread each, so that they do not wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Modules and tests are a million objects that stay: looking for cycles among them took a tenth of the time.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()
