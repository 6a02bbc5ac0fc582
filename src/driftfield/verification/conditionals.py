r"""Check of the conditionals of a table: log p(a | b) against log p(a, b) - log p(b), for pairs of columns.

The two are computed apart. Of two numbers, the joint density comes from an ODE in two dimensions and the conditional
one from an ODE in one, in which b is given to the network; of a category and a number, P(a | b) comes from the network
of the categories, which knows b, and p(a, b) = P(a) p(b | a) from the diffusion, which knows a. They agree as far as
the network's conditionals belong to one joint distribution.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from driftfield.codecs import FloatArray
from driftfield.model.table_densities import log_prob
from driftfield.model.tables import table_codec
from driftfield.verification.check import DoesNotApply, Finding
from driftfield.verification.subject import Subject

GIVEN, ASKED, ROWS = 2, 6, 32  # columns that are given one after the other, columns asked for given each, and rows
FEWEST_ROWS = 8  # in which both cells are there
# Measured: 0.02 to 0.1 nats on tables of 250 to 40,000 rows, up to 0.22 on one of 108; 1 to 3 where the
# network is told given numbers with the wrong sign.
SLACK = 0.3


class Pair(NamedTuple):
    """Columns a and b, and rows (n, C) in which these two cells alone are there."""

    a: int
    b: int
    rows: FloatArray


def ratios(subject: Subject) -> Finding:
    """The mean over pairs of columns and rows of |log p(a | b) - log p(a, b) + log p(b)|."""
    model, pairs = subject.model, _pairs(subject)
    names = model.columns
    if not pairs:
        raise DoesNotApply("there are no two columns, without modelled holes, whose cells are there in the same rows")
    usable = [name for name, holes in zip(names, table_codec(model).holes, strict=True) if not holes]
    joint = [pair.rows for pair in pairs]
    alone = [np.where(np.arange(len(names)) == pair.b, pair.rows, np.nan) for pair in pairs]
    (log_ab, log_b), (e_ab, e_b) = (
        np.split(each, 2) for each in log_prob(model, np.concatenate([*joint, *alone]), (), usable, seed=subject.seed)
    )
    conditional = [
        _given(subject, names[b], usable, [pair.rows for pair in group])
        for b, group in itertools.groupby(pairs, key=lambda pair: pair.b)
    ]
    log_a, e_a = (np.concatenate(each) for each in zip(*conditional, strict=True))
    distance = np.abs(log_a - log_ab + log_b)  # (rows of all pairs,)
    each = [float(part.mean()) for part in np.split(distance, np.cumsum([len(rows) for rows in joint])[:-1])]
    error, solving = (
        float(distance.std(ddof=1) / math.sqrt(len(distance))),
        float(np.hypot(e_a, np.hypot(e_ab, e_b)).mean()),
    )
    worst = pairs[int(np.argmax(each))]
    note = (
        f"mean distance of log p(a | b) from log p(a, b) - log p(b) over {len(pairs)} pairs of columns and "
        f"{len(distance):,} rows; the largest is {max(each):.2g}, of {names[worst.a]} given {names[worst.b]}, and the "
        f"ODE's own error {solving:.2g}"
    )
    details = {f"{names[pair.a]} given {names[pair.b]}": found for pair, found in zip(pairs, each, strict=True)}
    details["of the ODE"] = solving
    return Finding(float(distance.mean()), None, SLACK + 3 * error + solving, error, 0.0, note, details)


def _given(
    subject: Subject, b: str, usable: Sequence[str], rows: Sequence[FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """log p of what else is there of rows given column b, and its error; (n,) each."""
    others = [name for name in usable if name != b]
    return log_prob(subject.model, np.concatenate(rows), [b], others, seed=subject.seed)


def _pairs(subject: Subject) -> list[Pair]:
    """Pairs whose two ways of computing differ, those with the same b together: a is before b in the chain."""
    codec, rng = table_codec(subject.model), subject.stream("pairs of columns")
    usable = np.flatnonzero(~codec.holes)
    found: list[Pair] = []
    for b in rng.permutation(usable).tolist():
        others = [a for a in rng.permutation(usable).tolist() if a != b]
        differ = [a for a in others if codec.parts[b].numeric or (a < b and not codec.parts[a].numeric)]
        own = [Pair(a, b, _alone(subject.real, (a, b))) for a in differ]
        found += [pair for pair in own if len(pair.rows) >= FEWEST_ROWS][:ASKED]
        if len({pair.b for pair in found}) == GIVEN:
            break
    return found


def _alone(rows: FloatArray, columns: tuple[int, int]) -> FloatArray:
    """Rows in which two cells are there, without the others."""
    there = rows[~np.isnan(rows[:, columns]).any(1)][:ROWS]
    return np.where(np.isin(np.arange(rows.shape[1]), columns), there, np.nan)
