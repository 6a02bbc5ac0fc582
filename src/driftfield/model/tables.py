"""Tables with categories and missing cells: rows drawn given any of their cells.

With c the categories and x the numbers of a row, of which some are given,

    p(c, x | given) = prod_k P(c_k | c_1, .., c_{k - 1}, given) p(x | c, given numbers):

categories first, in the order of the columns, then numbers by the diffusion. A cell that is neither given nor drawn is
absent.

Where holes are modelled, "empty" is a level of the column's category: a new row may have an empty cell there. A missing
cell is filled given that it is not empty: that level is left out, and what else is missing is drawn before, given that
the cell is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from driftfield.codecs import FloatArray, TableCodec
from driftfield.diffusion import Cells, Gaussian, TableDenoiser, draw_categories, sample
from driftfield.diffusion.further.categories import Logits
from driftfield.diffusion.further.cells import ABSENT, GENERATED, GIVEN
from driftfield.diffusion.further.row_noise import SAMPLES, BlockNoise
from driftfield.errors import DriftfieldError, InputError, unknown_name
from driftfield.memory import require
from driftfield.model.densities import Observe
from driftfield.model.sampling import CHUNK, How, check_number
from driftfield.modes import own_modes
from driftfield.recipes.sampling import build_sampling

if TYPE_CHECKING:
    from driftfield.model.model import Model

_COPIES = 6  # of the rows
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


def template(codec: TableCodec, n: int, given: Given | None) -> tuple[FloatArray, NDArray[np.bool_]]:
    """n rows with the given cells, the same in each row, and NaN for the others; and which are to be drawn; (n, C).

    An empty text or None gives an empty cell, where these are modelled.

    Raises:
        InputError: an unknown column, or a value that its column cannot hold.
    """
    rows = np.full((n, len(codec.columns)), np.nan)
    drawn = np.ones(rows.shape, dtype=bool)
    for name, value in (given or {}).items():
        if name not in codec.columns:
            raise unknown_name("column", name, codec.columns)
        i = codec.columns.index(name)
        part = codec.parts[i]
        drawn[:, i] = False
        if part.holes and value in (None, ""):
            continue
        rows[:, i] = part.cell(value)
    return rows, drawn


def sample_rows(
    model: Model, n: int, given: Given | None, seed: int, how: How, start: int = 0, observe: Observe | None = None
) -> FloatArray:
    """n new rows (n, C) with the given cells; see :meth:`Model.sample`."""
    check_number(n)
    codec = table_codec(model)
    rows, drawn = template(codec, 1, given)
    codec.inward(rows, ~drawn)  # refuses what rules cannot answer
    return fill(model, np.repeat(rows, n, axis=0), np.repeat(drawn, n, axis=0), seed, how, start, observe)


def check_no_label(label: Any) -> None:
    """Raises InputError for a class: that of a table is one of its cells."""
    if label is not None:
        raise InputError(f"A table has no classes beside its columns: give the class {label} as a cell, with given.")


def how_of(options: Mapping[str, Any]) -> How:
    """How rows are drawn, from the options of :meth:`Model.sample`."""
    own = {key: options.get(key) for key in ("sampler", "steps", "grid", "last_noise")}
    return How(**own, options={key: value for key, value in options.items() if key not in own})


def impute(model: Model, x: Any, draws: int, seed: int, how: How, observe: Observe | None = None) -> FloatArray:
    """Rows x (n, C) with their missing cells drawn; (draws, n, C); see :meth:`Model.impute`."""
    found = table_codec(model).read(x)
    unseen = table_codec(model).unseen(found)
    if draws < 1:
        raise InputError(f"The number of draws must be at least 1, got {draws}.")
    rows = np.where(unseen, np.nan, found)
    table_codec(model).inward(rows, ~np.isnan(rows))  # refuses what rules cannot answer
    many = np.tile(rows, (draws, 1))
    missing = np.isnan(many)
    empty = missing & table_codec(model).holes & ~np.tile(unseen, (draws, 1))
    if (missing & ~empty).any() or not empty.any():
        many = fill(model, many, missing & ~empty, seed, how, 0, observe)
    if empty.any():
        many = fill(model, many, empty, seed, how, 0, observe, holes=False)
    return np.where(unseen, found, many.reshape(draws, *rows.shape))


@own_modes
def fill(
    model: Model,
    rows: FloatArray,
    drawn: NDArray[np.bool_],
    seed: int,
    how: How,
    start: int = 0,
    observe: Observe | None = None,
    holes: bool = True,
) -> FloatArray:
    """Rows (n, C) with some of their cells drawn (n, C) given the others, which stay as they are.

    Args:
        holes: whether a cell that is drawn may be empty, where that is modelled.
    """
    codec, n = table_codec(model), len(rows)
    inside, known = codec.inward(rows, ~drawn)
    if how.guidance is not None:
        raise InputError("Guidance needs a model with classes: fit one with data.label, or leave it out.")
    require(8 * _COPIES * n * len(codec.columns), f"{n:,} rows", "draw fewer at a time, each time with another seed")
    filled = [np.empty((0, len(codec.core.columns)))]
    for first in range(0, n, CHUNK):
        part, missing = inside[first : first + CHUNK], ~known[first : first + CHUNK]
        filled.append(_filled(model, part, missing, seed, how, start + first, holes))
        if observe is not None:
            observe(first + len(part))
    found, rounded = np.concatenate(filled), model.recipe.sample.round
    found = np.where(known, inside, codec.core.finish(found) if rounded else found)
    return np.where(drawn, codec.outward(found, rounded), rows)


def _filled(
    model: Model, rows: FloatArray, drawn: NDArray[np.bool_], seed: int, how: How, first: int, holes: bool
) -> FloatArray:
    codec = table_codec(model)
    n, (D,), K = len(rows), codec.shape, len(codec.levels)
    u = torch.special.ndtr(BlockNoise(seed, "categories of samples", first, n, (K,), model.device)().double())
    return filled_by(model, rows, drawn, u, BlockNoise(seed, SAMPLES, first, n, (D,), model.device), how, holes)


def filled_by(
    model: Model,
    rows: FloatArray,
    drawn: NDArray[np.bool_],
    u: Tensor,
    noise: Callable[[], Tensor],
    how: How,
    holes: bool = True,
) -> FloatArray:
    """Rows with some cells drawn (n, C), from numbers that decide: u (n, K) of categories, noise (n, D).

    With rules, these are the rows (n, C') that the user's are mapped to.
    Missing cells that are not drawn are left out, or empty if that is modelled, and mean nothing in the result.
    """
    codec, denoiser = table_codec(model).core, denoiser_of(model)
    known = cells_of(model, codec, rows, generated=drawn, known=~drawn)
    order = [k for k, i in enumerate(codec.categories) if drawn[:, i].any()]
    logits = denoiser.logits if holes else _never_empty(codec, denoiser.logits)
    codes = draw_categories(logits, before_numbers(known), u, order)
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
        x_1 = prior_of(denoiser, cells, *ends).sample(noise())
        *_, last = sample(denoiser, x_1, times.to(model.device), step, noise, cells.packed)
        z = torch.where(cells.free, last.x, known.values)
        if not bool(z.isfinite().all()):
            raise DriftfieldError("Some samples are not finite: the model is not trained well enough; try more steps.")
    return codec.decoded(z.cpu().numpy(), codes.cpu().numpy())


def denoiser_of(model: Model) -> TableDenoiser:
    """The denoiser of a model of a table."""
    assert isinstance(model.denoiser, TableDenoiser)
    return model.denoiser


def cells_of(
    model: Model, codec: TableCodec, rows: FloatArray, generated: NDArray[np.bool_], known: NDArray[np.bool_]
) -> Cells:
    """What is known of rows (n, C): numbers in ``generated`` cells (n, C) are generated, others given or absent.

    A number that is known to be no more than an atom, or empty, is absent; so is one that is known to be missing.
    """
    encoded = codec.encoded(rows, known)
    number_known = known[:, codec.numbers]
    wanted = generated[:, codec.numbers] & (encoded.present | ~number_known)
    state = np.where(wanted, GENERATED, np.where(encoded.present, GIVEN, ABSENT))
    parts = (
        torch.from_numpy(np.ascontiguousarray(part)).to(model.device) for part in (state, encoded.z, encoded.codes)
    )
    state_, values, codes = parts
    return Cells(state_.float(), values, codes)


def _never_empty(codec: TableCodec, logits: Logits) -> Logits:
    """Logits of categories given that no cell is empty."""

    def some(cells: Cells) -> list[Tensor]:
        found = [each.clone() for each in logits(cells)]
        for k, i in enumerate(codec.categories):
            if codec.parts[i].holes:
                found[k][:, len(codec.parts[i].values)] = -torch.inf
        return found

    return some


def before_numbers(cells: Cells) -> Cells:
    """The cells as categories see them, which come before any number that is generated."""
    return replace(cells, state=torch.where(cells.given, cells.state, ABSENT))


def _settled(codec: TableCodec, state: Tensor, codes: Tensor) -> Tensor:
    """The states of numbers once all categories are known: where one says that there is none, it is absent."""
    state = state.clone()
    for k, i in enumerate(codec.categories):
        if codec.parts[i].numeric:
            d = codec.numbers.index(i)
            atom = codes[:, k] < codec.parts[i].levels - 1
            state[:, d] = torch.where(atom & (state[:, d] == GENERATED), ABSENT, state[:, d])
    return state


@torch.no_grad()
def prior_of(denoiser: TableDenoiser, cells: Cells, a: float, b: float) -> Gaussian:
    """The Gaussian that approximates x_1 = a x + b eps given the cells; the mean of x is x_hat for pure noise."""
    zeros = torch.zeros_like(cells.values)
    high = torch.as_tensor(denoiser.schedule.t_high, dtype=torch.float64, device=zeros.device)
    mean = denoiser(zeros, high, cells.packed).x0
    return Gaussian(a * mean, torch.full_like(zeros, float(np.log(a**2 + b**2))))
