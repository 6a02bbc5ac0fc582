"""What a report shows: plain arrays, in the user's units.

`gather` fills `Contents` from a fitted model; the section of whatever is None or empty is left out of the report.
Shapes: n rows of training data, K frames of a film, M arrows of a score field, G cells along each axis of a grid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from driftfield.codecs import FloatArray
from driftfield.codecs.columns import Column
from driftfield.diffusion import Schedule
from driftfield.diffusion.basics.schedules import PriorMismatch
from driftfield.evaluation.imputation import Imputation
from driftfield.evaluation.metric import Metric
from driftfield.model.sampling import Trajectory
from driftfield.report.section import Section


@dataclass(frozen=True)
class Process:
    """The forward and the reverse process of one model, over named columns, with as many points."""

    columns: tuple[str, ...]
    forward: Trajectory
    reverse: Trajectory

    @property
    def rescaled(self) -> bool:
        """Whether states are drawn smaller than they are, to stay in the frame where the noise outgrows the data."""
        return not np.allclose(self.forward.scale, 1, atol=1e-3)


@dataclass(frozen=True)
class Grid:
    """A log-density in nats on a rectangular grid; `log_density[i, j]` belongs to (x[j], y[i])."""

    x: FloatArray  # (G,)
    y: FloatArray  # (G,)
    log_density: FloatArray  # (G, G)


@dataclass(frozen=True)
class ScoreField:
    """The score ∇ log p_t at one noise level, at positions in the user's units."""

    noise: float  # sigma / alpha
    positions: FloatArray  # (M, 2)
    vectors: FloatArray  # (M, 2), one over the user's units


@dataclass(frozen=True)
class Contents:
    """Everything a report shows."""

    title: str
    verdict: str
    source: str
    command: str
    columns: tuple[str, ...]
    train: FloatArray  # (n, D)
    held_out: FloatArray  # (m, D)
    samples: FloatArray  # (k, D)
    process: Process | None = None
    density: Grid | None = None
    scores: Sequence[ScoreField] = ()
    history: Sequence[Mapping[str, float | None]] = ()
    schedule: tuple[str, Schedule] | None = None  # and its name
    prior: PriorMismatch | None = None
    metrics: Sequence[Metric] = ()
    baselines: Sequence[tuple[str, float, float]] = ()  # label, mean log-density, its error; this model first
    neighbours: tuple[FloatArray, FloatArray] | None = None  # distances of generated and held-out rows to training rows
    verification: Mapping[str, Any] | None = None  # as verify.json holds it
    recipe: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    next_steps: Sequence[tuple[str, str]] = ()  # a command, and what it does
    parts: Sequence[Column] = ()  # of a table with text or missing cells: what each column is
    rules: Sequence[str] = ()  # that hold in every row of it
    imputation: Sequence[Imputation] = ()  # this model first
    chapters: Sequence[Section] = ()  # before all other sections, under anchors that no figure has
