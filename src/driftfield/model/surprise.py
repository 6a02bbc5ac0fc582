"""Surprise: how unlikely rows of a table are, and each of their cells given the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from driftfield.codecs import FloatArray, TableCodec
from driftfield.datasets.weights import representative
from driftfield.model.densities import Observe, Solving
from driftfield.model.table_densities import inner_log_prob, log_prob
from driftfield.model.tables import table_codec
from driftfield.seeds import stream

if TYPE_CHECKING:
    from driftfield.model.model import Model

USUAL_ROWS = 200  # held-out rows that say what is usual, or training rows where none are held out
STEPS = 20  # Runge-Kutta steps: surprises are compared, so that thousandths of a nat do not matter


def row_surprise(
    model: Model,
    rows: FloatArray,
    seed: int = 0,
    observe: Observe | None = None,
    usual: FloatArray | None = None,
    of: Sequence[str] | None = None,
) -> FloatArray:
    """-log p of what is there of each row (n, C), above what is usual for such cells; (n,), in nats.

    What is usual is the mean of -log p(cell | others) over held-out rows, summed over the cells that are there. So rows
    with missing cells can be compared with complete ones, and the scale of a column does not matter.

    Args:
        usual: what :func:`usual_surprise` returned, where it is known.
        of: the columns that count, all by default.
    """
    log_p, _ = log_prob(model, rows, of=of, solving=Solving(steps=STEPS), seed=seed, observe=observe)
    there: FloatArray = _there(model, rows, of) @ (usual_surprise(model, seed) if usual is None else usual)
    return -log_p - there


def cell_surprise(
    model: Model, rows: FloatArray, seed: int = 0, observe: Observe | None = None, of: Sequence[str] | None = None
) -> FloatArray:
    """-log p(cell | the other cells of its row) above its mean over held-out rows; (n, C), NaN for missing cells.

    Where holes are modelled, an empty cell has a surprise as well. ``of`` are the columns that count, all by default.
    That of a level which no training row has is infinite.
    """
    found: FloatArray = _raw(model, rows, seed, observe, of=of) - usual_surprise(model, seed)
    return found


def usual_surprise(model: Model, seed: int = 0, rows: int = USUAL_ROWS, steps: int = STEPS) -> FloatArray:
    """The mean of -log p(cell | the other cells of its row) over at most so many held-out rows; (C,).

    Args:
        steps: Runge-Kutta steps of the densities.
    """
    each = _raw(model, _usual(model)[:rows], seed, steps=steps)
    count = (~np.isnan(each)).sum(0)  # none for a column that a rule computes
    found: FloatArray = np.nansum(each, axis=0) / np.maximum(count, 1)
    return found


def _usual(model: Model) -> FloatArray:
    rows, weights = model.held_out, model.held_out_weights
    if not len(rows):
        rows, weights = model.train, model.train_weights
    order = representative(len(rows), weights, stream(0, "rows that say what is usual"))
    return table_codec(model).usable(rows[order[:USUAL_ROWS]])


def _asked(model: Model, rows: FloatArray, of: Sequence[str] | None) -> tuple[FloatArray, NDArray[np.bool_]]:
    """What is modelled of rows (n, C), and which cells of that have a probability; (n, C')."""
    codec = table_codec(model)
    known = _of_those(codec, of) & (~np.isnan(rows) | codec.holes) & ~codec.unseen(rows)
    return codec.inward(rows, known)


def _of_those(codec: TableCodec, of: Sequence[str] | None) -> NDArray[np.bool_]:
    """Which columns count; (C,)."""
    return np.array([of is None or name in of for name in codec.columns])


def _there(model: Model, rows: FloatArray, of: Sequence[str] | None) -> NDArray[np.bool_]:
    """Which cells of rows (n, C) have a probability of their own: not missing ones, unless holes are modelled."""
    codec, found = table_codec(model), np.zeros(rows.shape, dtype=bool)
    found[:, [codec.columns.index(name) for name in codec.core.columns]] = _asked(model, rows, of)[1]
    return found


def _raw(
    model: Model,
    rows: FloatArray,
    seed: int,
    observe: Observe | None = None,
    steps: int = STEPS,
    of: Sequence[str] | None = None,
) -> FloatArray:
    codec = table_codec(model)
    found, (inside, known) = np.full(rows.shape, np.nan), _asked(model, rows, of)
    for j, name in enumerate(codec.core.columns):
        those = np.flatnonzero(known[:, j])
        asked = np.broadcast_to(np.arange(inside.shape[1]) == j, inside.shape)[those]
        if len(those):
            log_p = inner_log_prob(model, inside[those], known[those], asked, Solving(steps=steps), seed)[0]
            found[those, codec.columns.index(name)] = -log_p
        if observe is not None:
            observe((j + 1) * len(rows) // inside.shape[1])
    return np.where(codec.unseen(rows) & _of_those(codec, of), np.inf, found)
