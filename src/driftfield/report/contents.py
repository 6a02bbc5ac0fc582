"""What a report shows: plain arrays, in the user's units.

`gather` fills `Contents` from a fitted model; the section of whatever is None or empty is left out of the report.
Shapes: n rows of training data, K frames of a film, M arrows of a score field, G cells along each axis of a grid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftfield.evaluation.metric import Metric
from driftfield.report.section import Section

FloatArray = NDArray[np.floating]


@dataclass(frozen=True)
class Film:
    """One process on a time axis: the same n points at each of K times.

    `states` are what is drawn: x_t · scale, where `scale` keeps the picture in frame when the noise grows beyond the
    data (as it does for VE). Times run from 0 to 1 for the forward process and from 1 to 0 for the reverse one.
    """

    times: FloatArray  # (K,)
    states: FloatArray  # (K, n, D)
    noise: FloatArray  # (K,) sigma / alpha; infinite where no signal is left
    scale: FloatArray | None = None  # (K,); None: drawn as they are


@dataclass(frozen=True)
class Process:
    """The forward and the reverse process of one model, over named columns."""

    columns: tuple[str, ...]
    forward: Film
    reverse: Film


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
class ScheduleCurves:
    """A schedule as curves over t, and its prior mismatch in nats per dimension.

    `prior_bound` is L_T, the prior term of the variational bound; `prior_mismatch` is that of the marginal at t = 1.
    """

    name: str
    t: FloatArray
    alpha: FloatArray
    sigma: FloatArray
    log_snr: FloatArray
    prior_bound: float
    prior_mismatch: float
    warning: str | None = None


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
    schedule: ScheduleCurves | None = None
    metrics: Sequence[Metric] = ()
    baselines: Sequence[tuple[str, float, float]] = ()  # label, mean log-density, its error; this model first
    neighbours: tuple[FloatArray, FloatArray] | None = None  # distances of generated and held-out rows to training rows
    verification: Mapping[str, Any] | None = None  # as verify.json holds it
    recipe: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    next_steps: Sequence[tuple[str, str]] = ()  # a command, and what it does
    chapters: Sequence[Section] = ()  # before all other sections, under anchors that no figure has
