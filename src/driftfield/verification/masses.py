r"""Check of the numbers of a table: the mass of each one, alone and given the rest of a row, is 1.

With atoms a and for whole numbers, or for numbers,

    sum_a P(a) + sum_k p(k) = 1,        sum_a P(a) + int p(x) dx = 1.

The flow of an ODE has mass 1 for any network, so that another mass points to the map of the column, to the width of its
intervals, or to an ODE that is solved too coarsely. Nodes are quantiles of draws of the column, and reach beyond them;
the value of every integer is one where there are few of them. The integral is the trapezoidal sum, and its error is
estimated from every second node.

The log-probability of an integer that is an atom is that of the atom alone. What the density beside it gives to the
same integer is counted here, as its neighbours have it, and stated apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from driftfield.codecs import FloatArray
from driftfield.model.sampling import How
from driftfield.model.table_densities import log_prob
from driftfield.model.tables import table_codec
from driftfield.verification.check import DoesNotApply, Finding
from driftfield.verification.subject import Subject
from driftfield.verification.table_draws import drawn

COLUMNS = 4  # at most, chosen at random
CONDITIONALS = 2  # rows whose other cells are given
DRAWS, QUANTILES = 512, 96
TAIL = np.array([0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.5])  # beyond the outermost draw, in spreads
FAR = np.linspace(-8, 8, 17)  # on the line of z, where the column has mean 0 and variance 1
FEW_INTEGERS = 160
# Measured: 1e-6 to 0.004 on tables of 250 to 40,000 rows, also with noise on the weights; 0.5 and 1 with a width or a
# slope that is off by 2.
MASS_SLACK = 0.02
UNCERTAIN = 0.05  # estimated error of an integral above which it is left out


class Mass(NamedTuple):
    """The mass of a column, its error, what lies beside atoms, and what is given."""

    column: str
    value: float
    error: float
    beside: float
    given: bool


def masses(subject: Subject) -> Finding:
    """The mass farthest from 1, beyond its error."""
    codec = table_codec(subject.model)
    if not codec.numbers:
        raise DoesNotApply("no column is a number")
    chosen = sorted(subject.stream("columns with a mass").permutation(codec.numbers)[:COLUMNS].tolist())
    found = [each for i in chosen for given in (False, True) for each in _masses(subject, i, given)]
    known = [each for each in found if each.error <= UNCERTAIN]
    if not known:
        raise DoesNotApply("no integral is certain enough, as densities are too narrow for the nodes of a sum")
    worst = max(known, key=lambda each: abs(each.value - 1) - 4 * each.error)
    beside = max(known, key=lambda each: each.beside)
    note = (
        f"the worst of {len(known)} sums and integrals over {len(chosen)} of {len(codec.numbers)} columns, alone and "
        f"given the rest of a row; that of {worst.column}{' given the rest' if worst.given else ''}"
    )
    if beside.beside > MASS_SLACK / 2:
        note += f"; {beside.beside:.1%} of {beside.column} lies beside its atoms, and is in no log-probability"
    details = {"column": worst.column, "beside": beside.beside, "left_out": len(found) - len(known)}
    slack = MASS_SLACK + 4 * worst.error
    return Finding(worst.value, 1 - slack, 1 + slack, worst.error, 1.0, note, details)


def _masses(subject: Subject, i: int, given: bool) -> list[Mass]:
    """The mass of column i alone, or given the rest of some rows."""
    model = subject.model
    part, name = table_codec(model).parts[i], model.columns[i]
    rows = subject.real[: CONDITIONALS if given else 1]
    lines = [_nodes(subject, i, row if given else None) for row in rows]
    each = [np.concatenate([line, part.outcomes]) for line in lines]
    many = np.repeat(rows, [len(x) for x in each], axis=0)
    many[:, i] = np.concatenate(each)
    others = [other for other in model.columns if other != name]
    log_p, _ = log_prob(model, many, others if given else (), [name], seed=subject.seed)
    found = []
    for line, p in zip(lines, np.split(np.exp(log_p), np.cumsum([len(x) for x in each])[:-1]), strict=True):
        whole = part.kind == "whole number"
        value, error = _integral(line, p[: len(line)], whole)
        beside = float(np.interp(part.values, line, p[: len(line)]).sum()) if whole and part.values else 0.0
        found.append(Mass(name, value + float(p[len(line) :].sum()), error, beside, given))
    return found


def _nodes(subject: Subject, i: int, row: FloatArray | None) -> FloatArray:
    """Values of column i, increasing, at which its density given the rest of a row (C,) is evaluated; without atoms."""
    part = table_codec(subject.model).parts[i]
    assert part.map is not None
    if part.period is not None:
        return (part.low or 0.0) + part.period * np.linspace(0, 1, QUANTILES + 1)
    x = subject.reference[:DRAWS, i]
    if row is not None:
        many = np.tile(row, (DRAWS, 1))
        cells = np.broadcast_to(np.arange(len(row)) == i, many.shape)
        x = drawn(subject.model, many, cells, How(), subject.seed, f"mass of column {i}")[:, i]
    z = part.map.forward(x[~np.isin(x, part.values) & ~np.isnan(x)])
    z = z[np.isfinite(z)] if np.isfinite(z).sum() > 1 else np.array([-1.0, 1.0])
    middle = np.quantile(z, (np.arange(QUANTILES) + 0.5) / QUANTILES)
    spread = float(np.diff(np.quantile(z, [0.05, 0.95]))[0])
    nodes = np.unique(np.concatenate([FAR, middle, middle[0] - spread * TAIL, middle[-1] + spread * TAIL]))
    x = part.map.back(nodes)
    if part.kind == "whole number":
        x = np.unique(np.round(x))
        x = np.arange(x[0], x[-1] + 1) if x[-1] - x[0] < FEW_INTEGERS else x
    else:
        x = np.unique(
            x[(x > (-np.inf if part.low is None else part.low)) & (x < (np.inf if part.high is None else part.high))]
        )
    return x[~np.isin(x, part.values)]


def _integral(x: FloatArray, p: FloatArray, whole: bool) -> tuple[float, float]:
    """The trapezoidal sum of p at increasing x, and its error, 0 where every integer is there."""
    value, coarse = _sum(x, p, whole), _sum(x[::2], p[::2], whole)
    every = whole and float(np.diff(x).max(initial=0.0)) <= 2
    return value, 0.0 if every else abs(value - coarse) / 3


def _sum(x: FloatArray, p: FloatArray, whole: bool) -> float:
    """Of p times the distance between the middles to both sides of x; the outermost whole numbers have their own."""
    ends = [x[0] - 0.5 * whole, x[-1] + 0.5 * whole]
    edges = np.concatenate([ends[:1], (x[1:] + x[:-1]) / 2, ends[1:]])
    return float(np.sum(np.diff(edges) * p))
