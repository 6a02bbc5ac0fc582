"""Tables with categories and missing cells: rows drawn and scored given any of their cells.

With c the categories and x the numbers of a row, of which some are given,

    p(c, x | given) = prod_k P(c_k | c_1, .., c_{k - 1}, given) p(x | c, given numbers):

categories first, in the order of the columns, then numbers by the diffusion. A cell that is neither given nor asked
for is absent, and the network's own marginals leave it out. The density of a whole number is integrated over its
interval, the mean over some places in it, so that it is a mass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from driftfield.codecs import FloatArray, TableCodec
from driftfield.diffusion import Cells, Gaussian, TableDenoiser, categories_log_prob, draw_categories, sample
from driftfield.diffusion import log_prob as ode_log_prob
from driftfield.diffusion.further.cells import ABSENT, GENERATED, GIVEN
from driftfield.diffusion.further.probability_flow import MOST_NUMBERS, end_coefficients
from driftfield.diffusion.further.row_noise import SAMPLES, BlockNoise
from driftfield.diffusion.further.table_denoiser import idle_log_prob
from driftfield.errors import DriftfieldError, InputError, unknown_name
from driftfield.memory import require
from driftfield.model.bounds import slices
from driftfield.model.densities import Observe, Solving, solver
from driftfield.model.sampling import CHUNK, How, check_number
from driftfield.modes import own_modes
from driftfield.recipes.sampling import build_sampling

if TYPE_CHECKING:
    from driftfield.model.model import Model

_COPIES = 6  # of the rows
# In the interval of a whole number, at so many places its density is evaluated: in wide ones, in standard deviations of
# the column, it may change much, and in the narrowest ones not at all. The widest of a column decides, so that a row's
# mass does not depend on others.
PLACES = ((0.02, 1), (0.2, 2), (float("inf"), 8))
MOST_PLACES = 8
Given = Mapping[str, Any]


def table_codec(model: Model) -> TableCodec:
    """The codec of a model of a table.

    Raises:
        InputError: the model has neither categories nor missing cells, so that it knows no conditionals.
    """
    if not isinstance(model.codec, TableCodec):
        raise InputError(
            "This model knows only whole rows, as its data are numbers without missing cells: fit it with "
            "network.kind = table and objective.kind = table to give some cells and draw or score the others."
        )
    return model.codec


def template(codec: TableCodec, n: int, given: Given | None) -> FloatArray:
    """n rows (n, C) with the given cells, the same in each row, and NaN for the others.

    Raises:
        InputError: an unknown column, or a value that its column cannot hold.
    """
    rows = np.full((n, len(codec.columns)), np.nan)
    for name, value in (given or {}).items():
        if name not in codec.columns:
            raise unknown_name("column", name, codec.columns)
        part = codec.parts[codec.columns.index(name)]
        if part.texts:
            if str(value) not in part.texts:
                raise unknown_name(f"value of {name}", str(value), part.texts)
            cell = float(part.texts.index(str(value)))
        else:
            try:
                cell = float(value)
            except (TypeError, ValueError):
                cell = np.nan
            if not np.isfinite(cell):
                raise InputError(f'The given value of "{name}" must be a finite number, got {value}.')
            part.code(np.array([cell]))
        rows[:, codec.columns.index(name)] = cell
    return rows


def sample_rows(
    model: Model, n: int, given: Given | None, seed: int, how: How, start: int = 0, observe: Observe | None = None
) -> FloatArray:
    """n new rows (n, C) with the given cells; see :meth:`Model.sample`."""
    check_number(n)
    return fill(model, template(table_codec(model), n, given), seed, how, start, observe)


def check_no_label(label: Any) -> None:
    """Raises InputError for a class: that of a table is one of its cells."""
    if label is not None:
        raise InputError(f"A table has no classes beside its columns: give the class {label} as a cell, with given.")


def check_no_noise(t: float | None, noise: float | None) -> None:
    """Raises InputError for a time or a noise level, at which a table has no density."""
    if t is not None or noise is not None:
        raise InputError("The density of a table is that of the data: leave out the time and the noise level.")


def how_of(options: Mapping[str, Any]) -> How:
    """How rows are drawn, from the options of :meth:`Model.sample`."""
    own = {key: options.get(key) for key in ("sampler", "steps", "grid", "last_noise")}
    return How(**own, options={key: value for key, value in options.items() if key not in own})


def impute(model: Model, x: Any, draws: int, seed: int, how: How, observe: Observe | None = None) -> FloatArray:
    """Rows x (n, C) with their missing cells drawn; (draws, n, C); see :meth:`Model.impute`."""
    rows = table_codec(model).read(x)
    if draws < 1:
        raise InputError(f"The number of draws must be at least 1, got {draws}.")
    return fill(model, np.tile(rows, (draws, 1)), seed, how, 0, observe).reshape(draws, *rows.shape)


@own_modes
def fill(
    model: Model, rows: FloatArray, seed: int, how: How, start: int = 0, observe: Observe | None = None
) -> FloatArray:
    """Rows (n, C) with every missing cell drawn given the others; what is there stays as it is."""
    codec, n = table_codec(model), len(rows)
    if how.guidance is not None:
        raise InputError("Guidance needs a model with classes: fit one with data.label, or leave it out.")
    require(8 * _COPIES * n * len(codec.columns), f"{n:,} rows", "draw fewer at a time, each time with another seed")
    filled = [np.empty((0, len(codec.columns)))]
    for first in range(0, n, CHUNK):
        part = rows[first : first + CHUNK]
        filled.append(_filled(model, codec, part, seed, how, start + first))
        if observe is not None:
            observe(first + len(part))
    drawn = np.concatenate(filled)
    drawn = codec.finish(drawn) if model.recipe.sample.round else drawn
    return np.where(np.isnan(rows), drawn, rows)


def _filled(model: Model, codec: TableCodec, rows: FloatArray, seed: int, how: How, first: int) -> FloatArray:
    n, (D,), K = len(rows), codec.shape, len(codec.levels)
    u = torch.special.ndtr(BlockNoise(seed, "categories of samples", first, n, (K,), model.device)().double())
    return filled_by(model, rows, u, BlockNoise(seed, SAMPLES, first, n, (D,), model.device), how)


def filled_by(
    model: Model, rows: FloatArray, u: Tensor, noise: Callable[[], Tensor], how: How, of: Sequence[int] | None = None
) -> FloatArray:
    """Rows (n, C) with missing cells drawn, from numbers that decide: u (n, K) of categories, noise (n, D) of numbers.

    Args:
        of: which columns are drawn, all by default; missing cells of others are left out, and mean nothing in the
            result.
    """
    codec, denoiser = table_codec(model), _denoiser(model)
    drawn = range(len(codec.columns)) if of is None else of
    missing = np.isnan(rows) & np.isin(np.arange(rows.shape[1]), drawn)
    known = _cells(model, codec, rows, generated=missing)
    order = [k for k, i in enumerate(codec.categories) if i in drawn]
    codes = draw_categories(denoiser.logits, _without_generated(known), u, order)
    cells = replace(known, codes=codes, state=_settled(codec, known.state, codes))
    z = known.values
    if bool(cells.free.any()):
        step, times = build_sampling(
            model.recipe.sample,
            denoiser.schedule,
            sampler=how.sampler,
            steps=how.steps,
            grid=how.grid,
            options=how.options,
            last_noise=how.last_noise,
        )
        one = torch.ones((), dtype=torch.float64, device=model.device)
        ends = float(denoiser.schedule.alpha(one)), float(denoiser.schedule.sigma(one))
        x_1 = _prior(denoiser, cells, *ends).sample(noise())
        *_, last = sample(denoiser, x_1, times.to(model.device), step, noise, cells.packed)
        z = torch.where(cells.free, last.x, known.values)
        if not bool(z.isfinite().all()):
            raise DriftfieldError("Some samples are not finite: the model is not trained well enough; try more steps.")
    return codec.decoded(z.cpu().numpy(), codes.cpu().numpy())


@own_modes
def probabilities(model: Model, rows: FloatArray, column: str) -> FloatArray:
    """P(level | the other cells that are there) of a category, for each row (n, C); (n, levels).

    Raises:
        InputError: the column is not a category.
    """
    codec = table_codec(model)
    i = int(_chosen(codec, [column]).argmax())
    if i not in codec.categories:
        raise InputError(f'Column "{column}" holds numbers, which have densities: ask for those of a category.')
    rows = np.where(np.arange(rows.shape[1]) == i, np.nan, rows)
    with torch.no_grad():
        logits = _denoiser(model).logits(_cells(model, codec, rows, generated=np.zeros(rows.shape, dtype=np.bool_)))
    found: FloatArray = logits[codec.categories.index(i)].double().softmax(1).cpu().numpy()
    return found


@own_modes
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

    Missing cells, and those of other columns, are left out.

    Raises:
        InputError: an unknown column, or one that is both asked for and given.
    """
    codec, denoiser = table_codec(model), _denoiser(model)
    is_given = _chosen(codec, given)
    is_asked = ~is_given if of is None else _chosen(codec, of)
    if (is_given & is_asked).any():
        raise InputError(f'Column "{codec.columns[int((is_given & is_asked).argmax())]}" is both given and asked for.')
    rows = np.where(is_given | is_asked, rows, np.nan)
    asked = is_asked & ~np.isnan(rows)
    values, errors = np.empty(len(rows)), np.zeros(len(rows))
    for part in slices(len(rows), max(1, MOST_NUMBERS // max(codec.shape[0], 1) // MOST_PLACES)):
        cells = _cells(model, codec, rows[part], generated=asked[part])
        categories = torch.from_numpy(asked[part][:, codec.categories]).to(model.device)
        found = categories_log_prob(denoiser.logits, _without_generated(cells), categories, order)
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
    (D,), n, denoiser = codec.shape, len(rows), _denoiser(model)
    free = cells.free
    if not D or not bool(free.any()):
        return np.zeros(n), np.zeros(n)
    encoded = codec.encoded(rows)
    z, width = (torch.from_numpy(each).to(model.device) for each in (encoded.z, encoded.width))
    width = torch.where(free, width, 0.0)
    z = torch.where(free, z, 0.0)
    over = torch.where(free.any(0))[0].tolist()
    asked = [codec.parts[codec.numbers[d]] for d in over]
    places = next(count for most, count in PLACES if max(part.widest for part in asked) <= most)
    options = solver(model, solving, n) | {"seed": seed, "first": first, "over": over}
    end = _prior(denoiser, cells, *end_coefficients(denoiser.schedule, 1.0))
    uniform = BlockNoise(seed, "places in the intervals of whole numbers", 0, 1, (D,), model.device)
    start = torch.special.ndtr(uniform().double())  # (1, D): the same for all rows, so that each is scored on its own
    found, errors = [], []
    for place in range(places):
        u = ((start + place / places) % 1 - 0.5).to(z)  # evenly spread, from a random start
        density = ode_log_prob(denoiser, z + u * width, end, cond=cells.packed, **options)
        found.append(density.value)
        errors.append(density.total_error)
    each, error = torch.stack(found), torch.stack(errors).mean(0)
    value = torch.logsumexp(each, 0) - np.log(places)
    if places > 1:
        relative = (each - value).exp()
        error = torch.hypot(error, relative.std(0) / places**0.5)
    slopes = np.where(free.cpu().numpy(), codec.log_slopes(rows), 0.0).sum(1)
    volume = torch.where(width > 0, width, 1.0).double().log().sum(1)
    total = value - idle_log_prob(denoiser.schedule, cells) + volume
    return total.cpu().numpy() + slopes, error.cpu().numpy()


def _denoiser(model: Model) -> TableDenoiser:
    assert isinstance(model.denoiser, TableDenoiser)
    return model.denoiser


def _cells(model: Model, codec: TableCodec, rows: FloatArray, generated: NDArray[np.bool_]) -> Cells:
    """What is known of rows (n, C): numbers in ``generated`` cells (n, C) are generated, others given or absent."""
    encoded = codec.encoded(rows)
    wanted = generated[:, codec.numbers]
    state = np.where(wanted, GENERATED, np.where(encoded.present, GIVEN, ABSENT))
    state = np.where(wanted & ~np.isnan(rows[:, codec.numbers]) & ~encoded.present, ABSENT, state)  # atoms
    parts = (
        torch.from_numpy(np.ascontiguousarray(part)).to(model.device) for part in (state, encoded.z, encoded.codes)
    )
    state_, values, codes = parts
    return Cells(state_.float(), values, codes)


def _without_generated(cells: Cells) -> Cells:
    """The cells as categories see them, which come before any number that is generated."""
    return replace(cells, state=torch.where(cells.given, cells.state, ABSENT))


def _settled(codec: TableCodec, state: Tensor, codes: Tensor) -> Tensor:
    """The states of numbers once all categories are known: where the category says atom, the number is absent."""
    state = state.clone()
    for k, i in enumerate(codec.categories):
        if codec.parts[i].numeric:
            d = codec.numbers.index(i)
            atom = codes[:, k] < len(codec.parts[i].values)
            state[:, d] = torch.where(atom & (state[:, d] == GENERATED), ABSENT, state[:, d])
    return state


@torch.no_grad()
def _prior(denoiser: TableDenoiser, cells: Cells, a: float, b: float) -> Gaussian:
    """The Gaussian that approximates x_1 = a x + b eps given the cells; the mean of x is x_hat for pure noise."""
    zeros = torch.zeros_like(cells.values)
    high = torch.as_tensor(denoiser.schedule.t_high, dtype=torch.float64, device=zeros.device)
    mean = denoiser(zeros, high, cells.packed).x0
    return Gaussian(a * mean, torch.full_like(zeros, float(np.log(a**2 + b**2))))


def _chosen(codec: TableCodec, names: Sequence[str]) -> NDArray[np.bool_]:
    for name in names:
        if name not in codec.columns:
            raise unknown_name("column", name, codec.columns)
    return np.array([name in names for name in codec.columns])
