r"""Fitting a mixture of Gaussians and categories to rows with missing cells, by expectation and maximisation.

With r_im = P(m | row i), and for the missing numbers of a row their conditional mean, in x_im, and covariance V_im
under component m (Hunt, Jorgensen 2003),

    w_m = mean_i r_im,    mu_m = sum_i r_im x_im / N_m,    N_m = sum_i r_im
    C_m = (sum_i r_im ((x_im - mu_m)(x_im - mu_m)^T + V_im) + a I) / (N_m + a)
    P_mk(c) = (sum_i r_im [c_ik = c] + b) / (N_m + b levels)

with b = 1/2, against components of few rows. With one covariance for all, its sums run over m too. The number of
components, and whether they share their covariance, are those with the smallest BIC; a is 1 or, where there are few
rows, what makes held-out rows likeliest.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from driftfield.codecs import EncodedRows, FloatArray, NumericCodec, TableCodec
from driftfield.diffusion import TableMixture
from driftfield.diffusion.further.places import placed
from driftfield.recipes.defaults import FEW_ROWS
from driftfield.seeds import derive, stream

COMPONENTS = (1, 2, 3, 4, 6, 8, 12, 16)
SEARCH_ROWS, MOST_ROWS = 3_000, 20_000
TOLD_ROWS = 2_000  # on either side
ROWS_OF_A_COMPONENT = 5  # at least, times D + 1 where it has a covariance of its own
PRIORS, PARTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0), 5  # of few rows; 1 for others
ITERATIONS_OF_A_PART = 5  # from the mixture of all rows on
ITERATIONS, TOLERANCE = 50, 3e-4  # nats for each row
ROWS_OF_A_PATTERN = 8  # in the mean, from which rows with the same missing numbers are taken together
B = 0.5
CHUNK_NUMBERS = 1 << 22  # in memory at once


class Rows(NamedTuple):
    """z (n, D), present (n, D) and codes (n, K), as torch tensors; ``weights`` (n,) with mean 1."""

    z: Tensor
    present: Tensor
    codes: Tensor
    weights: Tensor


class Way(NamedTuple):
    """How covariances are fitted: one for all components, or each its own, beside the identity as so many rows."""

    tied: bool = False
    prior: float = PRIORS[0]


def fit_mixture(
    rows: EncodedRows,
    levels: tuple[int, ...],
    seed: int,
    weights: FloatArray | None = None,
    components: int | None = None,
) -> TableMixture:
    """The mixture of training rows, with so many components, or with as many as have the smallest BIC.

    The components have covariances of their own or, of few rows where the BIC is smaller so, one for all.
    """
    n, D = rows.z.shape
    order = np.random.default_rng(derive(seed, "rows of a mixture")).permutation(n)
    rows = _at_places(rows, seed)
    some, most = (_rows(rows, order[:count], weights) for count in (SEARCH_ROWS, MOST_ROWS))
    counts = (components,) if components else COMPONENTS
    few = D > 0 and n < FEW_ROWS
    ways = (False, True) if few else (False,)
    found = [tried for tied in ways for tried in _tried(some, levels, seed, counts, tied)]
    _, mixture, way = min(found, key=lambda each: each[0])
    if few:
        way = way._replace(prior=_best_prior(mixture, some, way.tied))
        return _em(mixture, some, way)[0]
    return _em(mixture, most, way)[0] if len(most.z) > len(some.z) else mixture


def _tried(
    rows: Rows, levels: tuple[int, ...], seed: int, counts: Sequence[int], tied: bool
) -> Iterator[tuple[float, TableMixture, Way]]:
    """BIC and mixture of so many components, until the rows are too few or the BIC has risen twice."""
    (n, D), way = rows.z.shape, Way(tied)
    lowest, rises = math.inf, 0
    for count in counts:
        needed = ROWS_OF_A_COMPONENT * count * (1 if tied else D + 1)
        if count > counts[0] and (n < needed or rises == 2):
            return
        mixture, score = _em(_started(rows, count, levels, seed, way), rows, way)
        bic = -2 * score * n + parameters(count, D, levels, tied) * math.log(n)
        rises = 0 if bic < lowest else rises + 1
        lowest = min(bic, lowest)
        yield bic, mixture, way


def _best_prior(mixture: TableMixture, rows: Rows, tied: bool) -> float:
    """The prior under which rows of each part are likeliest that the other parts are fitted to.

    What is fitted to few rows is too narrow: with 142 rows of 13 numbers, 84 % of hidden cells lay in 90 % intervals.
    """
    fold = torch.arange(len(rows.z)) * 7919 % len(rows.z) % PARTS  # rows are in the order of their missing cells
    scores = dict.fromkeys(PRIORS, 0.0)
    for k in range(PARTS):
        fitted, judged = (Rows(*(part[which] for part in rows)) for which in (fold != k, fold == k))
        for prior in PRIORS:
            own = _em(mixture, fitted, Way(tied, prior), ITERATIONS_OF_A_PART)[0]
            scores[prior] += _expected(own, judged)[1] * float(judged.weights.sum())
    return max(scores, key=scores.__getitem__)


def drawn(mixture: TableMixture, n: int, rng: np.random.Generator) -> tuple[FloatArray, NDArray[np.int64]]:
    """Numbers (n, D) and codes (n, K) of n rows of a mixture."""
    m = rng.choice(len(mixture.means), n, p=_chances(mixture.log_weights))
    scaled = (mixture.axes * mixture.variances[:, None].sqrt()).numpy()[m]
    z = mixture.means.numpy()[m] + np.einsum("nde,ne->nd", scaled, rng.standard_normal((n, scaled.shape[1])))
    codes = np.empty((n, len(mixture.levels)), dtype=np.int64)
    for k, log_level in enumerate(torch.split(mixture.log_levels, list(mixture.levels), 1)):
        below = _chances(log_level).cumsum(1)[m]
        codes[:, k] = (rng.random(n)[:, None] > below[:, :-1]).sum(1)
    return z, codes


def _chances(log_p: Tensor) -> FloatArray:
    """Probabilities that sum to 1 in float64."""
    found: FloatArray = log_p.softmax(-1).numpy()
    return found


def stands_in(
    mixture: TableMixture, codec: NumericCodec | TableCodec, rows: FloatArray, seed: int, weights: FloatArray | None
) -> bool:
    """Whether a classifier cannot tell draws of a mixture from training rows (n, C): within two errors of chance.

    Where it can, a network that adds to the mixture has to undo it first, and ends no better than without. Draws are as
    the user would see them, and lack the cells that other rows lack.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import cross_val_score

    rng = np.random.default_rng(derive(seed, "draws of a mixture"))
    if weights is not None:  # as many are kept as their weights say, so that none is there twice
        rows = rows[rng.random(len(rows)) < weights / weights.max()]
    real = rows[rng.permutation(len(rows))[:TOLD_ROWS]]
    n = len(real)
    z, codes = drawn(mixture, n, rng)
    if isinstance(codec, TableCodec):
        every = np.ones(real.shape, dtype=bool)
        (real, _), core = codec.inward(real, every, lenient=True), codec.core
        made = core.finish(core.decoded(z, codes))
        made[np.isnan(real) & ~core.holes] = np.nan
    else:
        made = codec.decode(z)
    classifier = HistGradientBoostingClassifier(random_state=0)
    labels = np.repeat([0, 1], n)
    accuracy = cross_val_score(classifier, np.concatenate([real, made]), labels, cv=2).mean()
    return bool(accuracy <= 0.5 + 2 * math.sqrt(0.25 / (2 * n)))


def parameters(components: int, D: int, levels: tuple[int, ...], tied: bool) -> int:
    """How many parameters a mixture has."""
    each = D + sum(count - 1 for count in levels)
    return components * each + (1 if tied else components) * D * (D + 1) // 2 + components - 1


def _rows(rows: EncodedRows, order: NDArray[np.int64], weights: FloatArray | None) -> Rows:
    order = order[np.lexsort(rows.present[order].T)] if rows.present.shape[1] else order  # rows of a pattern together
    z, present, codes = (torch.from_numpy(part[order]) for part in (rows.z, rows.present, rows.codes))
    own = torch.ones(len(order), dtype=torch.float64) if weights is None else torch.from_numpy(weights[order])
    return Rows(z.double(), present, codes, own / own.mean())


def _at_places(rows: EncodedRows, seed: int) -> EncodedRows:
    """Rows with each angle, and each whole number in a tail, at one of its places on the line, at random."""
    u = stream(seed, "places of angles in a mixture").random(rows.z.shape)
    z, width = torch.from_numpy(rows.z), torch.from_numpy(np.minimum(rows.width, 0.0))
    return rows._replace(z=placed(z, width, torch.from_numpy(u), torch.from_numpy(rows.tail)).float().numpy())


def _started(rows: Rows, components: int, levels: tuple[int, ...], seed: int, way: Way) -> TableMixture:
    """A mixture whose components are clusters of the rows, with missing numbers at their means."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    hot = [torch.nn.functional.one_hot(rows.codes[:, k] + 1, count + 1)[:, 1:] for k, count in enumerate(levels)]
    features = torch.cat([torch.where(rows.present, rows.z, 0.0), *hot], 1).numpy()
    with threadpool_limits(1):
        clusters = KMeans(components, n_init=2, random_state=derive(seed, "start of a mixture", bits=32)).fit(features)
    labels = torch.from_numpy(clusters.labels_.astype(np.int64))
    mixture = TableMixture(components, rows.z.shape[1], levels)
    chances = torch.nn.functional.one_hot(labels, components).double() * 0.9 + 0.1 / components
    return _maximised(mixture, rows, chances, way)


def _em(mixture: TableMixture, rows: Rows, way: Way, iterations: int = ITERATIONS) -> tuple[TableMixture, float]:
    """The mixture after EM on the rows, and their mean log-likelihood."""
    before = -math.inf
    for _ in range(iterations):
        chances, score = _expected(mixture, rows)
        if score - before < TOLERANCE:
            return mixture, score
        mixture, before = _maximised(mixture, rows, chances, way), score
    return mixture, before


def _parts(rows: Rows, components: int) -> list[slice]:
    """Slices of the rows: of rows with the same missing numbers where these are many, of any rows otherwise."""
    n, D = rows.z.shape
    changes = (rows.present[1:] != rows.present[:-1]).any(1).nonzero()[:, 0] + 1
    ends = [0, *changes.tolist(), n] if len(changes) < n // ROWS_OF_A_PATTERN else [0, n]
    size = max(1, CHUNK_NUMBERS // max(3 * components * D * D, 1))
    return [slice(i, min(i + size, end)) for start, end in pairwise(ends) for i in range(start, end, size)]


def _observed(rows: Rows, part: slice) -> tuple[Tensor, Tensor]:
    """The gain of the numbers of some rows, (n, D) or (1, D) where they are the same, and their variance, 0."""
    gain = rows.present[part].double()
    gain = gain[:1] if bool((gain == gain[:1]).all()) else gain
    return gain, torch.zeros_like(gain)


def _expected(mixture: TableMixture, rows: Rows) -> tuple[Tensor, float]:
    """P(m | row) (n, M), and the mean log-likelihood."""
    found = [
        mixture.posterior(rows.z[part], *_observed(rows, part), rows.codes[part])
        for part in _parts(rows, len(mixture.means))
    ]
    evidence = torch.cat([each.log_evidence for each in found])
    return torch.cat([each.log_chances.exp() for each in found]), float((evidence * rows.weights).mean())


def _maximised(mixture: TableMixture, rows: Rows, chances: Tensor, way: Way) -> TableMixture:
    """The mixture of largest likelihood given P(m | row) (n, M), with missing numbers as the old one has them."""
    (M, D), new = mixture.means.shape, TableMixture(len(mixture.means), mixture.means.shape[1], mixture.levels)
    r = chances * rows.weights[:, None]
    N = r.sum(0)
    new.log_weights = (N + 1e-3).log() - (N + 1e-3).sum().log()
    if D:
        parts = _parts(rows, M)
        filled = [_filled(mixture, rows, part) for part in parts]
        new.means = torch.stack(
            [torch.einsum("nm,nmd->md", r[part], x) for part, (x, _) in zip(parts, filled, strict=True)]
        ).sum(0) / (N[:, None] + 1e-9)
        scatter = torch.zeros(M, D, D, dtype=torch.float64)
        for part, (x, V) in zip(parts, filled, strict=True):
            centred = x - new.means
            scatter += torch.einsum("nm,nmd,nme->mde", r[part], centred, centred) + torch.einsum(
                "nm,nmde->mde", r[part], V
            )
        eye = torch.eye(D, dtype=torch.float64)
        total, rows_of_each = (scatter.sum(0), N.sum()) if way.tied else (scatter, N[:, None, None])
        new.covariances = ((total + way.prior * eye) / (rows_of_each + way.prior)).expand(M, -1, -1)
    tables = []
    for k, count in enumerate(mixture.levels):
        hot = torch.nn.functional.one_hot(rows.codes[:, k] + 1, count + 1)[:, 1:].double()
        counts = r.T @ hot + B
        tables.append((counts / counts.sum(1, keepdim=True)).log())
    new.log_levels = torch.cat(tables, 1) if tables else mixture.log_levels
    return new


def _filled(mixture: TableMixture, rows: Rows, part: slice) -> tuple[Tensor, Tensor]:
    """For each component: rows with conditional means for missing numbers (n, M, D), and their covariances."""
    z, seen = rows.z[part], rows.present[part]
    C, D = mixture.covariances, z.shape[1]
    if bool(seen.all()):
        M = len(C)
        return z[:, None].expand(-1, M, -1), C.new_zeros(len(z), M, D, D)
    gain, variance = _observed(rows, part)
    whitened = mixture.posterior(z, gain, variance, rows.codes[part]).whitened
    x = mixture.means + torch.einsum("mde,nme->nmd", C, gain[:, None] * whitened)
    x = torch.where(seen[:, None], z[:, None], x)
    S = gain[:, None, :, None] * gain[:, None, None, :] * C + torch.diag_embed(1 - gain)[:, None]
    cross = C * gain[:, None, None, :]  # (n, M, D, D): with the numbers that are there
    V = C - cross @ torch.linalg.solve(S, cross.mT)
    missing = 1 - gain
    V = V * missing[:, None, :, None] * missing[:, None, None, :]
    return x, V.expand(len(z), -1, -1, -1)
