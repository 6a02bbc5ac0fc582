"""Driftfield: diffusion models on point clouds, tables and small images.

    import driftfield
    model = driftfield.fit("moons")
    rows = model.sample(1000)
    log_density, error = model.log_prob(rows)

Names are loaded on first use, so that importing the package is fast and needs no torch.
"""

import os
from typing import TYPE_CHECKING, Any

# Threads that wait for each other should sleep, not spin: with one other busy process on two cores, spinning made
# sampling 100,000 rows seven times slower. OpenMP reads this when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
__all__ = [
    "Callbacks",
    "DriftfieldError",
    "InputError",
    "Model",
    "Parts",
    "Recipe",
    "__version__",
    "fit",
    "load",
    "resume",
]

if TYPE_CHECKING:
    from driftfield.errors import DriftfieldError, InputError
    from driftfield.fitting.fit import fit, resume
    from driftfield.model.loading import load_model as load
    from driftfield.model.model import Model
    from driftfield.recipes.building import Parts
    from driftfield.recipes.schema import Recipe
    from driftfield.training.callbacks import Callbacks

_HOMES = {
    "Callbacks": ("driftfield.training.callbacks", "Callbacks"),
    "DriftfieldError": ("driftfield.errors", "DriftfieldError"),
    "InputError": ("driftfield.errors", "InputError"),
    "Model": ("driftfield.model.model", "Model"),
    "Parts": ("driftfield.recipes.building", "Parts"),
    "Recipe": ("driftfield.recipes.schema", "Recipe"),
    "fit": ("driftfield.fitting.fit", "fit"),
    "load": ("driftfield.model.loading", "load_model"),
    "resume": ("driftfield.fitting.fit", "resume"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'driftfield' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
