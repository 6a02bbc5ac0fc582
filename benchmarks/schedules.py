"""The default recipe under every schedule and head, compared with VE on the same held-out rows."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import driftfield
from driftfield.datasets import DISTRIBUTIONS
from driftfield.recipes.schema import Recipe

NAMES = ("gaussian-mixture", "8-gaussians", "parabola", "moons")
BOUND = 0.03  # nats: mean difference of the negative log-density from that of VE with the default head
ROWS = 2_000
REFERENCE = ("ve", Recipe().denoiser.head)


def schedules(
    names: Sequence[str], kinds: Sequence[str], heads: Sequence[str], seed: int, steps: int | None
) -> Iterator[list[str]]:
    """NLL by schedule and head, and how far it is above that of VE with the default head.

    The difference is a mean over the same rows, so its error is much smaller than that of either NLL.
    """
    yield ["distribution", "schedule", "head", "steps", "weights of", "NLL", "above VE", "<=", ""]
    chosen = [(kind, head) for kind in kinds for head in heads]
    for name in names:
        held_out = DISTRIBUTIONS[name].sample(ROWS, 2001)
        reference = None
        for kind, head in (REFERENCE, *(pair for pair in chosen if pair != REFERENCE)):
            model = driftfield.fit(name, seed=seed, schedule=kind, head=head, **_options(kind, steps))
            log_p = model.log_prob(held_out)[0]
            reference = log_p if reference is None else reference
            facts = model.facts
            cells = [name, kind, head, f"{facts['steps']:,}", f"{facts['best step']:,}", f"{-log_p.mean():.4f}"]
            yield cells if log_p is reference else [*cells, *compare(reference - log_p)]


def _options(kind: str, steps: int | None) -> dict[str, Any]:
    options: dict[str, Any] = {} if steps is None else {"steps": steps}
    if kind == "learned":  # the only objective that trains it
        options["objective"] = {"kind": "bound", "times": "stratified"}
    return options


def compare(excess: np.ndarray) -> list[str]:
    """The mean difference and its standard error, the bound, and "missed" if the mean exceeds it."""
    mean, error = float(excess.mean()), float(excess.std() / np.sqrt(len(excess)))
    return [f"{mean:+.4f} ± {error:.4f}", f"{BOUND}", "" if mean <= BOUND else "missed"]
