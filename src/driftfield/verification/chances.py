r"""Checks of the categories of a table: their probabilities sum to 1, and hardly depend on the order of the chain.

A network may return any conditionals, and

    P(c_1, .., c_K) = prod_k P(c_k | c_1, .., c_{k - 1})

is normalised whatever they are. Another order of the categories gives another distribution, though, unless the
conditionals belong to one joint distribution. How far the two are apart at a row, | log P - log P' |, is an error of
log P that needs no other model to be seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from driftfield.codecs import FloatArray
from driftfield.diffusion import Cells, categories_log_prob
from driftfield.diffusion.further.cells import ABSENT
from driftfield.model.table_densities import log_prob
from driftfield.model.tables import denoiser_of, table_codec
from driftfield.verification.check import DoesNotApply, Finding
from driftfield.verification.subject import Subject

EVALUATIONS = 20_000  # of the network: rows times levels
# Logits are float32: at a size of 20 they are rounded by 2e-6, and the sums within the network by some times as much.
SUM_SLACK = 1e-4
ORDER_ROWS = 1_000
ORDERS = 3  # besides that of the columns
# For each category, so that a seventh of each probability may be in doubt. Measured: 0.02 to 0.04 nats on tables of 250
# to 40,000 rows and 0.07 on one of 600, 0.3 where logits grow with the number of known categories.
ORDER_SLACK = 0.15


def sums(subject: Subject) -> Finding:
    """The largest departure from 1 of the sum of the probabilities of a category, given the rest of real rows."""
    codec = table_codec(subject.model)
    chosen = [i for i in codec.categories if not codec.parts[i].numeric]
    if not chosen:
        raise DoesNotApply("no column is a category")
    found = {codec.columns[i]: _sums(subject, i, EVALUATIONS // len(chosen)) for i in chosen}
    worst = max(found, key=lambda name: float(np.abs(found[name] - 1).max()))
    value = float(np.abs(found[worst] - 1).max())
    rows = sum(len(each) for each in found.values())
    note = (
        f"largest distance from 1 of the sum over all levels, given the other cells of real rows, among {rows:,} sums; "
        f"that of {worst}, and what float32 leaves is below {SUM_SLACK:g}"
    )
    return Finding(value, high=SUM_SLACK, floor=0.0, note=note, details={"column": worst})


def _sums(subject: Subject, i: int, evaluations: int) -> FloatArray:
    """The sums over the levels of column i, for as many rows as there are evaluations for; (n,)."""
    model = subject.model
    values = np.array(table_codec(model).parts[i].outcomes)
    rows = subject.real[: max(1, evaluations // len(values))]
    many = np.repeat(rows, len(values), axis=0)
    many[:, i] = np.tile(values, len(rows))
    name = model.columns[i]
    log_p, _ = log_prob(model, many, [other for other in model.columns if other != name], [name])
    total: FloatArray = np.exp(log_p).reshape(len(rows), len(values)).sum(1)
    return total


def order(subject: Subject) -> Finding:
    """The mean distance between the log-probabilities of all categories in two orders; of the worst of three orders."""
    K = len(table_codec(subject.model).levels)
    if K < 2:
        raise DoesNotApply("one category has no order" if K else "no column is a category")
    n = min(ORDER_ROWS, len(subject.real))
    rng = subject.stream("orders")
    own = _chain(subject, n)
    orders = [list(range(K))[::-1], *(rng.permutation(K).tolist() for _ in range(ORDERS - 1))]
    distances = [np.abs(_chain(subject, n, each) - own) for each in orders]
    worst = max(distances, key=lambda each: float(each.mean()))
    error = float(worst.std(ddof=1) / math.sqrt(n))
    note = (
        f"mean over {n:,} rows of the distance between log P of {K} categories in two orders, the largest of {ORDERS}; "
        f"the median is {np.median(worst):.2g}, and log P itself has a standard deviation of {own.std():.2g}"
    )
    details = {"median": float(np.median(worst)), "spread": float(own.std()), "log_p": float(own.mean())}
    return Finding(float(worst.mean()), None, ORDER_SLACK * K + 3 * error, error, 0.0, note, details)


def _chain(subject: Subject, n: int, order: Sequence[int] | None = None) -> FloatArray:
    """log P of all categories of the first n real rows, one after the other in an order; (n,), in nats.

    Among them are those that say which atom a number is, if any; numbers are not known.
    """
    cells = subject.cells
    assert cells is not None
    known = Cells(torch.full_like(cells.state[:n], ABSENT), cells.values[:n], cells.codes[:n])
    every = torch.ones_like(known.codes, dtype=torch.bool)
    log_p: FloatArray = categories_log_prob(denoiser_of(subject.model).logits, known, every, order).cpu().numpy()
    return log_p
