"""Recipes written by earlier versions, in the form of this one."""

from collections.abc import Mapping
from typing import Any

from driftfield.diffusion import OBJECTIVES
from driftfield.options import OneOf

RENAMED = {"sample": {"amount": "churn", "ratio": "langevin"}, "objective": {"bound_share": "bound_factor"}}

# Keys of [objective] that every kind had, and the value under which a kind without them did not read them; None for
# any value.
FORMERLY_COMMON = {"weight": "simple", "metric": "squared", "times": None, "mean": None, "std": None}


def migrated(sections: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a recipe with keys renamed, and without keys of [objective] that its kind never read.

    Options that stand beside the name of their part need no migration: :func:`driftfield.options.routed` moves them.
    """
    result = dict(sections)
    for name, keys in RENAMED.items():
        if isinstance(result.get(name), Mapping):
            result[name] = {keys.get(key, key): value for key, value in result[name].items()}
    if isinstance(result.get("objective"), Mapping):
        result["objective"] = _without_unread(result["objective"])
    return result


def _without_unread(objective: Mapping[str, Any]) -> dict[str, Any]:
    kind = objective.get("kind", "denoising")
    if not isinstance(kind, str) or kind not in OBJECTIVES:
        return dict(objective)
    options = OneOf("objective", OBJECTIVES)
    unread = {key for key in FORMERLY_COMMON if kind not in options.owners(key)}
    return {
        key: value for key, value in objective.items() if not (key in unread and FORMERLY_COMMON[key] in (None, value))
    }
