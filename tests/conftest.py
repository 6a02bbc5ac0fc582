"""Settings of the whole suite, made before torch is imported."""

import os

# The workers of pytest share two cores: one thread each, so that they do not wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
