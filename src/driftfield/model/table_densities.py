"""Densities of tables: log-probabilities of some cells given others, and the probabilities of a category's levels.

With c the categories and x the numbers of a row, of which some are given,

    log p(c, x | given) = sum_k log P(c_k | c_1, .., c_{k - 1}, given) + log p(x | c, given numbers).

What is neither given nor asked for is absent, and the network's own marginals leave it out. The density of a whole
number is integrated over its interval, the mean over some places in it, so that it is a mass; that of an angle is the
sum over its places on the line. Where holes are modelled, a missing cell is empty, with a probability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from driftfield.codecs import FloatArray, TableCodec
from driftfield.codecs.rows import named
from driftfield.datasets.tables import raw_table
from driftfield.diffusion import Cells, Gaussian, categories_log_prob
from driftfield.diffusion import log_prob as ode_log_prob
from driftfield.diffusion.further.places import SMALLEST, count_turns, turns
from driftfield.diffusion.further.probability_flow import MOST_NUMBERS, end_coefficients
from driftfield.diffusion.further.row_noise import BlockNoise
from driftfield.diffusion.further.table_denoiser import idle_log_prob
from driftfield.errors import InputError, unknown_name
from driftfield.model.bounds import slices
from driftfield.model.densities import Observe, Solving, solver
from driftfield.model.tables import before_numbers, cells_of, denoiser_of, prior_of, table_codec
from driftfield.modes import own_modes

if TYPE_CHECKING:
    from driftfield.model.model import Model

# In the interval of a whole number, at so many places its density is evaluated: in wide ones, in standard deviations of
# the column, and before a bound it may change much, and in the narrowest ones not at all; in several wide ones at once
# twice as many. The widest of a column decides, so that a row's mass does not depend on others.
PLACES = ((0.02, 1), (0.2, 2), (float("inf"), 8))
WIDE, MOST_PLACES = 0.2, 16


def check_no_noise(t: float | None, noise: float | None) -> None:
    """Raises InputError for a time or a noise level, at which a table has no density."""
    if t is not None or noise is not None:
        raise InputError("The density of a table is that of the data: leave out the time and the noise level.")


def asked_columns(
    codec: TableCodec, there: Sequence[str] | None, given: Sequence[str], of: Sequence[str] | None
) -> Sequence[str] | None:
    """Which columns are asked for beside given ones, of rows with the columns ``there``, None for all; None for all.

    Where holes are modelled, the cells of a column that is not there are unknown, not empty.

    Raises:
        InputError: a column that is given or asked for is not there.
    """
    if there is None:
        return of
    lacking = next((name for name in (*given, *(of or ())) if name in codec.columns and name not in there), None)
    if lacking is not None:
        what = "given" if lacking in given else "asked for"
        raise InputError(f'The rows have no column "{lacking}", which is {what}: add it, or do not name it.')
    if of is not None or not codec.holes.any():
        return of
    return [name for name in codec.columns if name in there and name not in given]


@own_modes
def probabilities(model: Model, rows: FloatArray, column: str) -> FloatArray:
    """P(level | the other cells that are there) of a category, for each row (n, C); (n, levels).

    Raises:
        InputError: the column is not a category.
    """
    codec = table_codec(model)
    _chosen(codec, [column])
    core = codec.core
    i = core.columns.index(column) if column in core.columns else -1
    if i not in core.categories:
        raise InputError(f'Column "{column}" holds numbers, which have densities: ask for those of a category.')
    others = np.broadcast_to(np.array([name != column for name in codec.columns]), rows.shape)
    inside, known = codec.inward(rows, others)
    with torch.no_grad():
        logits = denoiser_of(model).logits(cells_of(model, core, inside, np.zeros_like(known), known))
    found: FloatArray = logits[core.categories.index(i)].double().softmax(1).cpu().numpy()
    return found


def score(
    model: Model,
    x: Any,
    given: str | Sequence[str],
    of: str | Sequence[str] | None,
    solving: Solving,
    seed: int,
    observe: Observe | None = None,
) -> tuple[FloatArray, FloatArray]:
    """log p of rows as the user has them, and its error; see :meth:`Model.log_prob`."""
    codec = table_codec(model)
    given, of = _listed(given), None if of is None else _listed(of)
    if (given or of is not None or codec.holes.any()) and named(x, codec.columns) is not None:
        raw, picks, _ = raw_table(x)
        of = asked_columns(codec, raw.names_of(picks), given, of)
    return log_prob(model, codec.read(x, lenient=True), given, of, solving, seed, observe)


def log_prob(
    model: Model,
    rows: FloatArray,
    given: Sequence[str] = (),
    of: Sequence[str] | None = None,
    solving: Solving | None = None,
    seed: int = 0,
    observe: Observe | None = None,
    order: Sequence[int] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """log p of the cells of each row in the columns ``of`` given those in ``given``, and its error, in nats; (n,).

    Missing cells, and those of other columns, are left out. Where holes are modelled, a missing cell is an empty one.
    A level of a category that no training row has is unknown where it is given, and has -inf where it is asked for.

    Raises:
        InputError: an unknown column, or one that is both asked for and given.
    """
    codec = table_codec(model)
    is_given = _chosen(codec, _listed(given))
    is_asked = ~is_given if of is None else _chosen(codec, _listed(of))
    if (is_given & is_asked).any():
        raise InputError(f'Column "{codec.columns[int((is_given & is_asked).argmax())]}" is both given and asked for.')
    unseen = codec.unseen(rows)
    inside, known = codec.inward(rows, (is_given | is_asked) & ~unseen)
    given_alone = codec.inward(rows, is_given & ~unseen)[1]
    values, errors = inner_log_prob(model, inside, known, known & ~given_alone, solving, seed, observe, order)
    impossible = (unseen & is_asked).any(1)
    return np.where(impossible, -np.inf, values), np.where(impossible, 0.0, errors)


@own_modes
def inner_log_prob(
    model: Model,
    rows: FloatArray,
    known: NDArray[np.bool_],
    asked: NDArray[np.bool_],
    solving: Solving | None = None,
    seed: int = 0,
    observe: Observe | None = None,
    order: Sequence[int] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """log p of the cells that are asked for given all others that are known (n, C); with rules, of what is modelled."""
    codec, denoiser = table_codec(model).core, denoiser_of(model)
    rows = np.where(known, rows, np.nan)
    values, errors = np.empty(len(rows)), np.zeros(len(rows))
    ways = count_turns(sum(codec.parts[i].period is not None for i in codec.numbers))
    for part in slices(len(rows), max(1, MOST_NUMBERS // max(codec.shape[0], 1) // MOST_PLACES // ways)):
        cells = cells_of(model, codec, rows[part], asked[part], known[part])
        categories = torch.from_numpy(asked[part][:, codec.categories]).to(model.device)
        found = categories_log_prob(denoiser.logits, before_numbers(cells), categories, order)
        values[part] = found.cpu().numpy()
        more, errors[part] = _numbers_log_prob(model, codec, rows[part], cells, solving or Solving(), seed, part.start)
        values[part] += more
        if observe is not None:
            observe(part.stop)
    return values, errors


def _numbers_log_prob(
    model: Model, codec: TableCodec, rows: FloatArray, cells: Cells, solving: Solving, seed: int, first: int
) -> tuple[FloatArray, FloatArray]:
    """log p of the generated numbers given all else, and its error; (n,) each."""
    (D,), n, denoiser = codec.shape, len(rows), denoiser_of(model)
    free = cells.free
    if not D or not bool(free.any()):
        return np.zeros(n), np.zeros(n)
    encoded = codec.encoded(rows)
    z, width, tail = (
        torch.where(free, torch.from_numpy(each).to(model.device), 0.0)
        for each in (encoded.z, encoded.width, encoded.tail)
    )
    over = torch.where(free.any(0))[0].tolist()
    asked = [codec.parts[codec.numbers[d]] for d in over]
    widths = [part.widest for part in asked]
    places = next(count for most, count in PLACES if max(widths) <= most)
    places = MOST_PLACES if sum(width > WIDE for width in widths) > 1 else places
    angles = [d for d in over if codec.parts[codec.numbers[d]].period is not None]
    turn, counts = (torch.stack(parts, 1) for parts in zip(*turns(z, width, free, angles), strict=True))  # (n, T, ..)
    u = _places(seed, places, z)  # (P, D)
    inside = (u - 0.5) * width.clamp(min=0)[:, None] + tail[:, None] * (2 * u).log()  # (n, P, D)
    at = (z[:, None] + turn)[:, :, None] + inside[:, None]  # (n, T, P, D)
    many = at.shape[1] * places
    end = prior_of(denoiser, cells, *end_coefficients(denoiser.schedule, 1.0))
    density = ode_log_prob(
        denoiser,
        at.flatten(0, 2),
        Gaussian(end.mean.repeat_interleave(many, 0), end.log_var.repeat_interleave(many, 0)),
        cond=cells.packed.repeat_interleave(many, 0),
        seed=seed,
        first=first * many,
        over=over,
        **solver(model, solving, n * many),
    )
    # a tail has dz = tail / u du at the place that u decides
    of_tail = torch.where(tail[:, None] != 0, (tail.abs()[:, None] / u).double().log(), 0.0).sum(2)  # (n, P)
    each, solved, probed = (part.view(n, -1, places) for part in (density.value, density.error, density.probe_error))
    value, error = _mean_density(each + of_tail[:, None], solved, probed)
    value = torch.where(counts, value, -torch.inf)  # (n, T)
    total = torch.logsumexp(value, 1)
    error = ((value - total[:, None]).exp() * error).sum(1)
    slopes = np.where(free.cpu().numpy(), codec.log_slopes(rows), 0.0).sum(1)
    volume = torch.where(width > 0, width, 1.0).double().log().sum(1)
    total = total - idle_log_prob(denoiser.schedule, cells) + volume
    impossible = (codec.outside(rows) & free.cpu().numpy()).any(1)
    return np.where(impossible, -np.inf, total.cpu().numpy() + slopes), error.cpu().numpy()


def _places(seed: int, places: int, z: Tensor) -> Tensor:
    """Numbers in (0, 1) that decide where in its interval each number is put, of the dtype and device of z (B, D).

    They are those of Sobol' from a random start, evenly spread in each column and in several together, and folded:
    1 - |2 u - 1| takes both ends of an interval to one, so that a mean over places does not jump there (Dick et
    al. 2014). They are the same for all rows, so that each is scored on its own; (places, D).
    """
    D = z.shape[1]
    uniform = BlockNoise(seed, "places in the intervals of whole numbers", 0, 1, (D,), z.device)
    start: Tensor = torch.special.ndtr(uniform().double())  # (1, D)
    even = torch.quasirandom.SobolEngine(D).draw(places, dtype=torch.float64).to(start)  # type: ignore[no-untyped-call]
    return (1 - (2 * ((start + even) % 1) - 1).abs()).clamp(min=SMALLEST).to(z)


def _mean_density(each: Tensor, solved: Tensor, probed: Tensor) -> tuple[Tensor, Tensor]:
    """log of the mean of densities at P places, and its error; (B, T) each, from (B, T, P).

    Args:
        each: log-densities; ``solved``: their errors of integration; ``probed``: those of independent probes.
    """
    places = each.shape[2]
    value = each.logsumexp(2) - math.log(places)
    error = torch.hypot(solved.mean(2), (probed**2).mean(2).sqrt() / places**0.5)
    if places > 1:
        error = torch.hypot(error, (each - value[..., None]).exp().std(2) / places**0.5)
    return value, error


def _listed(names: str | Sequence[str]) -> Sequence[str]:
    return (names,) if isinstance(names, str) else tuple(names)


def _chosen(codec: TableCodec, names: Sequence[str]) -> NDArray[np.bool_]:
    for name in names:
        if name not in codec.columns:
            raise unknown_name("column", name, codec.columns)
    return np.array([name in names for name in codec.columns])
