"""Tables: rows of numbers with named columns, from wherever the user has them.

DATA means the same everywhere: a distribution (`moons`), a data set of scikit-learn (`sklearn:wine`), a file
(`wine.csv` and other text, .parquet, .npy), or `-` for text from standard input. A suffix `:ash,hue` picks columns of
anything but a distribution. In Python, DATA may also be an array, a tensor, a data frame or an open file.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftfield.datasets.bundled import PREFIX, SETS, bundled_table
from driftfield.datasets.dialect import Dialect
from driftfield.datasets.distribution import Distribution, FloatArray
from driftfield.datasets.distributions import DISTRIBUTIONS
from driftfield.datasets.files import parse_picks, read_file
from driftfield.datasets.filled import spellings
from driftfield.datasets.frames import array_table, count_from_zero, frame_table, numbered_names
from driftfield.datasets.inspection import numbers_as_text, warnings_of
from driftfield.datasets.mixed import AllDates, Levels, is_mixed, left_out, mixed
from driftfield.datasets.raw_table import RawTable, capital, check_varying, differs_beyond, labels, numbers, suggestion
from driftfield.datasets.text_files import text_table
from driftfield.datasets.weights import checked_weights, column_weights
from driftfield.datasets.writing import Spelled
from driftfield.errors import InputError, reason, unknown_name
from driftfield.seeds import stream

Indices = NDArray[np.int64]
_ROWS_TO_DRAW = 10_000
_COLUMNS_SHOWN = 3  # in the catalogue
_NO_TEXT = {b"PAR1": "a Parquet file", b"\x93NUMPY": "an NPY file"}
CLASS_COLUMN = "class"


@dataclass(frozen=True)
class Table:
    """Rows of numbers: every cell is finite and every column varies.

    With ``levels`` (:mod:`driftfield.datasets.mixed`), a cell may also be missing, NaN, or stand for a text or a date.
    """

    values: FloatArray  # (n, D)
    columns: tuple[str, ...]
    source: str  # DATA as the user named it: "moons", "wine.csv:ash,hue", "sklearn:wine", "array"
    distribution: Distribution | None = None  # where the rows were drawn from one
    labels: "NDArray[np.int64] | None" = None  # (n,) the class of each row
    classes: tuple[str, ...] = ()  # names of the classes
    notes: tuple[str, ...] = ()  # how a file was read where it is not plain CSV, a phrase each
    warnings: tuple[str, ...] = ()  # what should be known before a model is fitted, a sentence each
    weights: FloatArray | None = None  # (n,) positive, with mean 1; None where all rows count the same
    levels: Levels = ()  # (D,) the texts of each column of text; none where all cells are numbers, without holes
    dates: AllDates = ()  # (D,) how the dates of each column are written; none where there are no levels
    spelled: Spelled = field(default_factory=dict)  # of columns with True or 007, how their numbers are written
    real: frozenset[str] = frozenset()  # columns that are real numbers, also where few whole ones look like levels


def load(
    data: Any,
    rows: int | None = None,
    seed: int = 0,
    label: str | None = None,
    dialect: Dialect | None = None,
    weight: Any = None,
    as_mixed: bool = False,
) -> Table:
    """The table that DATA means.

    `data` is a name or path as at the top of this module, a NumPy array (n, D) or (n,), a torch tensor, a pandas or
    polars frame, or a Table. From a distribution, `rows` rows are drawn with `seed`, 10,000 for None. Anything else is
    taken whole for None, or where it has no more than `rows` rows; otherwise a random subset is drawn. `label` names a
    column of classes, text or numbers, which is removed from the rows; the label column of a distribution with classes
    is called "class". `dialect` says how a text file is written, where that is not to be found out. `weight` is what
    each row counts: a column, which is removed from the rows, or an array (n,); rows of weight 0 are left out. With
    `as_mixed`, text and missing cells are taken as they are, and the table has levels if there are any.

    Raises InputError, in one sentence, for data that cannot be found, read or learned from.
    """
    if rows is not None and rows < 2:
        raise InputError(f"Cannot load {rows} row{'s' * (rows != 1)} of data: at least 2 are needed.")
    if isinstance(data, Table):
        return _subset(_weighted(data, weight, None), rows, seed)
    if isinstance(data, str) and data in DISTRIBUTIONS:
        check_is_text(data, {}, dialect)
        if weight is not None:
            raise InputError(f'The rows of "{data}" are drawn, so that they have no weights: leave the weights out.')
        return _drawn(DISTRIBUTIONS[data], _ROWS_TO_DRAW if rows is None else rows, seed, label)
    raw, picks, source = raw_table(data, dialect)
    check_is_text(source, raw.dialect, dialect)
    return _subset(table_of(raw, picks, source, label, weight, as_mixed), rows, seed)


def check_is_text(source: str, understood: Mapping[str, str], dialect: Dialect | None) -> None:
    """Raises InputError where a dialect was given for what is not a text file, of which none was understood."""
    if dialect is not None and dialect != Dialect() and not understood:
        raise InputError(
            f"{source} is not a text file, so a header, separator, decimal mark, mark of missing cells or encoding "
            "means nothing for it: leave them out."
        )


def table_of(
    raw: RawTable,
    picks: list[str] | None,
    source: str,
    label: str | None = None,
    weight: Any = None,
    as_mixed: bool = False,
) -> Table:
    """The table of the picked columns of a raw table; arguments and errors as in :func:`load`."""
    numbered, classes = (None, ()) if label is None else labels(raw, label)
    weights = column_weights(raw, weight, label) if isinstance(weight, str) else weight
    nested = raw.nested if as_mixed and picks is None else {}
    aside = {label, *nested} | ({weight} if isinstance(weight, str) else set())
    if aside != {None}:
        picks = [name for name in picks or raw.columns if name not in aside]
    words = raw.warnings + numbers_as_text(raw, picks)
    if picks == []:
        beside = f", as all hold {' or '.join(dict.fromkeys(nested.values()))}" if nested else " beside the label"
        raise InputError(f"{capital(raw.name)} has no column to learn from{beside}: add one of numbers or text.")
    if as_mixed:
        left = [
            f'Column "{name}" holds {what}, which cannot be learned: it is left out.' for name, what in nested.items()
        ]
        words += tuple(left)
        values, columns, levels, dates, doubts, _ = mixed(raw, picks)
        idle = left_out(values, columns, levels, raw, dates)
        kept = [j for j, name in enumerate(columns) if name not in idle]
        if not kept:
            raise InputError(f"{capital(raw.name)} has no column to learn from. {next(iter(idle.values()))}")
        words += doubts + tuple(idle.values())
        picks, values, levels = [columns[j] for j in kept], values[:, kept], tuple(levels[j] for j in kept)
        dates = tuple(dates[j] for j in kept)
        if is_mixed(values, levels, dates):
            numeric = [not texts and written is None for texts, written in zip(levels, dates, strict=True)]
            named = [name for name, is_number in zip(picks, numeric, strict=True) if is_number]
            spelled = spellings(raw, named, values[:, numeric])
            words += _warnings_of_mixed(raw, values, picks, numeric)
            table = Table(values, tuple(picks), source, None, numbered, classes, raw.notes, words)
            return _weighted(replace(table, levels=levels, dates=dates, spelled=spelled), weights, raw.name)
    values, columns = numbers(raw, picks)
    warnings = words + (() if source.startswith(PREFIX) else warnings_of(raw, values, columns))
    table = Table(values, columns, source, None, numbered, classes, raw.notes, warnings)
    table = _weighted(table, weights, raw.name)
    omit = "leave it out"
    for name, column in zip(columns, table.values.T, strict=True):
        if column.min() == column.max() and differs_beyond(raw, name, column[0]):
            raise InputError(
                f'Column "{name}" of {raw.name} has whole numbers beyond 2^53, which float64 cannot tell apart: '
                f"subtract a constant first, or {suggestion(raw, [c for c in columns if c != name], omit) or omit}."
            )
    check_varying(table.values, columns, raw.name, "every row", lambda good: suggestion(raw, good, omit) or omit)
    return table


def _warnings_of_mixed(
    raw: RawTable, values: FloatArray, columns: Sequence[str], numeric: Sequence[bool]
) -> tuple[str, ...]:
    """Warnings on the columns of numbers of a mixed table: together on those without holes, alone on each other."""
    holes = [bool(np.isnan(column).any()) for column in values.T]
    whole = [j for j, is_number in enumerate(numeric) if is_number and not holes[j]]
    found = warnings_of(raw, values[:, whole], [columns[j] for j in whole], all_rows=False) if whole else ()
    for j, has_holes in enumerate(holes):
        if has_holes and numeric[j]:
            present = values[~np.isnan(values[:, j]), j]
            found += warnings_of(raw, present[:, None], [columns[j]], all_rows=False)
    return found


def _weighted(table: Table, weights: Any, name: str | None) -> Table:
    """The rows of a table whose weight is not zero, with their weights."""
    if weights is None:
        return table
    weights = checked_weights(weights, len(table.values), f"The weights of {name or table.source}")
    kept = np.flatnonzero(weights)
    if len(kept) < 2:
        raise InputError(f"Only one row of {name or table.source} has a positive weight: at least 2 are needed.")
    weights = weights / weights.max()  # so that no mean overflows
    weights = weights / weights[kept].mean()
    differ = np.ptp(weights[kept]) > 0
    return _rows_of(replace(table, weights=weights if differ else None), kept)


def _drawn(distribution: Distribution, rows: int, seed: int, label: str | None) -> Table:
    if label is None:
        return Table(distribution.sample(rows, seed), distribution.columns, distribution.name, distribution)
    if label != CLASS_COLUMN:
        raise unknown_name(f'label of the distribution "{distribution.name}"', label, [CLASS_COLUMN])
    values, numbered = distribution.sample_labelled(rows, seed)
    return Table(
        values,
        distribution.columns,
        distribution.name,
        distribution,
        numbered,
        tuple(part.name for part in distribution.classes),
    )


def load_like(data: Any, columns: Sequence[str], dialect: Dialect | None = None) -> Table:
    """The rows of DATA as input of a model with these columns, in the model's order; one row is enough.

    Columns are matched by name, and by position only where the rows or the model have no names (x1, x2, …).
    Raises InputError as `load` does, but not for columns that do not vary.
    """
    if isinstance(data, str) and data in DISTRIBUTIONS:
        table = load(data)
    else:
        raw, picks, source = raw_table(data, dialect)
        given = [name.strip() for name in picks or raw.columns]
        nameless = numbered_names(len(columns)) == tuple(columns) or numbered_names(len(given)) == tuple(given)
        if set(columns) <= set(given) or (picks is None and not nameless):
            picks = list(columns)
        table = Table(*numbers(raw, picks, fewest=1, advise=False), source, notes=raw.notes)
    if len(table.columns) != len(columns):
        listed = ", ".join(columns[:6]) + (", …" if len(columns) > 6 else "")
        raise InputError(
            f"{table.source} has {len(table.columns)} columns, but the model has {len(columns)}: pick {listed}."
        )
    return replace(table, columns=tuple(columns))


def load_mixed(
    data: Any,
    columns: Sequence[str],
    levels: Levels,
    dates: AllDates,
    dialect: Dialect | None = None,
    open_: Sequence[bool] = (),
) -> Table:
    """The rows of DATA as input of a model of a mixed table; columns that are not there are missing cells.

    Columns are matched by name, and rows without a cell are kept. A category that is `open_` may have texts that are
    not among its levels: they get numbers beyond these, and are the `spelled` of the table. Raises InputError as `load`
    does, and where none of the columns is there.
    """
    return mixed_rows(*raw_table(data, dialect), columns, levels, dates, open_)


def mixed_rows(
    raw: RawTable,
    picks: list[str] | None,
    source: str,
    columns: Sequence[str],
    levels: Levels,
    dates: AllDates,
    open_: Sequence[bool] = (),
) -> Table:
    """The rows of a raw table; as :func:`load_mixed`."""
    known = [name for name in columns if name in (picks or raw.columns)]
    if not known and picks is None and set(columns) & set(raw.empty) and raw.kept and raw.kept[1]:
        return Table(np.full((raw.kept[1], len(columns)), np.nan), tuple(columns), source, levels=tuple(levels))
    if not known:
        listed = ", ".join(columns[:6]) + (", …" if len(columns) > 6 else "")
        raise InputError(f"{source} has none of the model's columns: it needs some of {listed}.")
    places = [columns.index(name) for name in known]
    found = mixed(
        raw,
        known,
        1,
        tuple(levels[j] for j in places),
        tuple(dates[j] for j in places),
        open_=[open_[j] for j in places] if open_ else (),
    )
    kept, n = (np.arange(len(found.values)), len(found.values)) if raw.kept is None else raw.kept
    values = np.full((n, len(columns)), np.nan)
    values[kept[:, None], places] = found.values
    return Table(values, tuple(columns), source, notes=raw.notes, levels=tuple(levels), spelled=found.strange)


def split(table: Table, fraction: float = 0.2, most: int = 10_000, seed: int = 0) -> tuple[Table, Table]:
    """(train, held out): a partition of the rows into two tables.

    A `fraction` of the rows is held out, at least one and at most `most`, chosen by `seed`; both parts are in random
    order. Where a column would not vary in the training part, a row with a rare value moves there.

    Raises InputError for a fraction outside (0, 1) and fewer than 2 rows.
    """
    n = len(table.values)
    if not 0 < fraction < 1:
        raise InputError(f"The held-out fraction is {fraction:g}: it must lie between 0 and 1.")
    if most < 1 or n < 2:
        raise InputError(f"Cannot hold out at most {most} of {n} rows of {table.source}: each part needs a row.")
    count = min(most, n - 1, max(1, round(n * fraction)))
    order = stream(seed, "held out").permutation(n)
    held_out, train = order[:count], order[count:]
    if len(train) > 1:
        _make_vary(table.values, held_out, train)
    return _rows_of(table, train), _rows_of(table, held_out)


def _make_vary(values: FloatArray, held_out: Indices, train: Indices) -> None:
    """Exchange rows of the two parts, in place, until each column varies in the training part, if it varies at all."""

    def constant() -> Indices:
        return np.array([j for j, column in enumerate(values[train].T) if not _varies(column)], dtype=np.int64)

    for j in constant():
        before = len(constant())
        known = values[train, j][~np.isnan(values[train, j])]
        rare = np.flatnonzero(~np.isnan(values[held_out, j]) & ~np.isin(values[held_out, j], known))
        for place in range(len(train)) if len(rare) else ():
            held_out[rare[0]], train[place] = train[place], held_out[rare[0]]
            if len(constant()) < before:
                break
            held_out[rare[0]], train[place] = train[place], held_out[rare[0]]


def _varies(column: FloatArray) -> bool:
    present = column[~np.isnan(column)]
    return len(present) > 0 and bool(present.min() < present.max())


def catalogue() -> list[tuple[str, str, str]]:
    """(name, size, summary) of everything built in, without loading any of it."""
    distributions = [
        (name, _size(distribution.columns), distribution.summary) for name, distribution in DISTRIBUTIONS.items()
    ]
    sets = [(PREFIX + name, f"{data.rows} rows, {data.columns} columns", data.summary) for name, data in SETS.items()]
    return distributions + sets


def _size(columns: tuple[str, ...]) -> str:
    if len(columns) <= _COLUMNS_SHOWN:
        return f"columns {', '.join(columns)}"
    return f"{len(columns)} columns, {columns[0]} to {columns[-1]}"


def raw_table(data: Any, dialect: Dialect | None = None) -> tuple[RawTable, list[str] | None, str]:
    """The raw table of DATA, the columns that it picks, and its name."""
    if isinstance(data, str) and data.startswith(PREFIX):
        name, colon, columns = data.removeprefix(PREFIX).partition(":")
        return bundled_table(name), parse_picks(data, columns) if colon else None, data
    if isinstance(data, str | os.PathLike):
        text = os.fsdecode(data)
        return *read_file(text, [*DISTRIBUTIONS, *(PREFIX + name for name in SETS)], dialect), text
    if hasattr(data, "read"):
        content = _content(data)
        if kind := next((kind for magic, kind in _NO_TEXT.items() if content.startswith(magic)), None):
            raise InputError(f"The open file is {kind}: pass its path, or the array or frame that it holds.")
        return text_table(content, "the open file", "file", dialect), None, "file"
    if hasattr(data, "detach"):
        return _raw_array(tensor_array(data), "the tensor"), None, "tensor"
    if isinstance(data, np.ndarray):
        return _raw_array(data, "the array"), None, "array"
    return frame_table(data), None, "frame"


def tensor_array(tensor: Any) -> NDArray[Any]:
    """A tensor as an array; of floats, in float64.

    Raises:
        InputError: it is not dense: sparse, quantized, nested or without storage.
    """
    kinds = ["quantized"] * bool(tensor.is_quantized) + ["nested"] * bool(tensor.is_nested)
    if kinds:
        raise InputError(f"The tensor is {kinds[0]}: pass a dense one of numbers.")
    try:
        tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
        array: NDArray[Any] = (tensor.double() if tensor.is_floating_point() else tensor).numpy()
    except (RuntimeError, TypeError, NotImplementedError):  # sparse, without storage
        raise InputError(f"The tensor has the layout {tensor.layout} on {tensor.device}: pass a dense one.") from None
    return array


def _content(file: Any) -> bytes:
    try:
        content = file.read()
    except (OSError, ValueError) as error:
        raise InputError(f"The open file cannot be read ({reason(error)}): open it again, or pass its path.") from None
    if not isinstance(content, str | bytes):
        raise InputError(f"Data of type {type(file).__name__} cannot be read: pass a path, an array or a data frame.")
    return content.encode() if isinstance(content, str) else content


def _raw_array(data: Any, name: str) -> RawTable:
    return array_table(data, name, count_from_zero, lambda names: f"data[:, {[int(x[1:]) - 1 for x in names]}]")


def _subset(table: Table, rows: int | None, seed: int) -> Table:
    if rows is None or rows >= len(table.values):
        return table
    part = _rows_of(table, stream(seed, "subset").permutation(len(table.values))[:rows])
    if table.levels:
        return part
    chosen = f"all {rows} rows that were taken"
    check_varying(part.values, part.columns, part.source, chosen, lambda _: "take more rows, or leave it out")
    return part


def _rows_of(table: Table, indices: Indices) -> Table:
    labels = None if table.labels is None else table.labels[indices]
    weights = None if table.weights is None else table.weights[indices]
    return replace(table, values=table.values[indices], labels=labels, weights=weights)
