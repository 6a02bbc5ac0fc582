"""Rows: arrays and frames of a scikit-learn user as rows of numbers and codes of text, and back.

A cell that is missing is NaN. One that holds what the training rows never did, a text or a level of a category, has no
code: it counts as missing where it is given, and has probability 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from driftfield.codecs import Codec, FloatArray, TableCodec
from driftfield.datasets import Table
from driftfield.datasets.frames import frame_table, numbered_names
from driftfield.datasets.mixed import Levels, left_out, mixed
from driftfield.datasets.raw_table import NotNumeric
from driftfield.errors import InputError
from driftfield.training.callbacks import Callbacks

UNSEEN = np.inf  # a text that has no code; infinite numbers are refused


@dataclass(frozen=True)
class Layout:
    """What the training rows told of the C columns.

    Attributes:
        columns: their names, each once.
        levels: the texts of each column of text, () of others.
        varying: whether there is something to learn of a column, (C,) bool.
        constant: the only value of a column, NaN where there are several or none; (C,).
        library: "pandas" or "polars" for a frame, else None.
        has_text: whether it is a frame with text.
        dtypes: the types of the columns of a frame, as its library has them.
    """

    columns: tuple[str, ...]
    levels: Levels
    varying: NDArray[np.bool_]
    constant: FloatArray
    library: Literal["pandas", "polars"] | None = None
    has_text: bool = False
    dtypes: tuple[Any, ...] = ()

    def table(self, values: FloatArray, real: bool = False) -> Table:
        """The table of the columns that vary, of rows (n, C); with ``real``, all numbers are real ones."""
        names = self.chosen(self.columns)
        levels = self.chosen(self.levels)
        numbers = [name for name, texts in zip(names, levels, strict=True) if not texts]
        has_codes = bool(any(levels) or np.isnan(values[:, self.varying]).any())
        return Table(
            values[:, self.varying],
            tuple(names),
            "X",
            levels=tuple(levels) if has_codes else (),
            real=frozenset(numbers if real else ()),
        )

    def chosen(self, each: Sequence[Any]) -> list[Any]:
        """Of something for each column, what belongs to the columns that vary."""
        return [one for one, varies in zip(each, self.varying, strict=True) if varies]

    def whole(self, values: FloatArray) -> FloatArray:
        """Rows (n, C) from rows of the columns that vary, with the value of the others."""
        rows = np.tile(self.constant, (len(values), 1))
        rows[:, self.varying] = values
        return rows


def read_training(estimator: BaseEstimator, X: Any) -> tuple[FloatArray, Layout]:
    """The training rows X as (n, C) with NaN for missing cells, and their layout."""
    text = has_text(X)
    if text:
        validate_data(estimator, X, skip_check_array=True)
        values, columns, levels, *_ = mixed(frame_table(X), None, with_dates=False)
    else:
        values = validate_data(estimator, X, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2)
        columns, levels = _names(estimator, values.shape[1]), ((),) * values.shape[1]
    idle = left_out(values, columns, levels)
    varying = np.array([name not in idle for name in columns])
    constant = np.full(len(columns), np.nan)
    for j, name in enumerate(columns):
        known = np.unique(values[~np.isnan(values[:, j]), j])
        if len(known) == 1:
            constant[j] = known[0]
        elif name in idle:
            Callbacks().message(idle[name])
    library: Any = next((name for name in ("polars", "pandas") if type(X).__module__.startswith(name)), None)
    library = library or ("pandas" if text else None)
    return values, Layout(columns, levels, varying, constant, library, text, tuple(getattr(X, "dtypes", ())))


def read_rows(estimator: BaseEstimator, X: Any, layout: Layout) -> FloatArray:
    """Rows X as (n, C): NaN for missing cells, and infinity for texts that the training rows never held.

    Raises:
        InputError: a column holds text, or numbers, other than in the training rows; or there are no rows.
    """
    if not layout.has_text and not has_text(X):
        values: FloatArray = validate_data(
            estimator, X, reset=False, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=1
        )
        return values
    validate_data(estimator, X, reset=False, skip_check_array=True)
    if not hasattr(X, "columns"):
        raise InputError("The training rows were a frame with text, but X is none: pass a frame with the same columns.")
    if not len(X):  # in the words of scikit-learn
        raise InputError(
            f"Found array with 0 sample(s) (shape={X.shape}) while a minimum of 1 is required by "
            f"{type(estimator).__name__}."
        )
    raw = frame_table(X)
    values = np.empty((len(X), len(layout.columns)))
    for j, (texts, column) in enumerate(zip(layout.levels, raw.read(range(len(layout.columns))), strict=True)):
        if texts:
            codes = {text: float(code) for code, text in enumerate(texts)}
            values[:, j] = [np.nan if cell is None else codes.get(cell, UNSEEN) for cell in raw.text(j)]
        elif isinstance(column, NotNumeric) or np.isinf(column).any():
            what = f'"{column.example}"' if isinstance(column, NotNumeric) else "an infinite cell"
            raise InputError(
                f'Column "{layout.columns[j]}" holds numbers in the training rows, but {what} in X: correct it, or '
                "leave the cell empty."
            )
        else:
            values[:, j] = column
    return values


def unseen(codec: Codec, rows: FloatArray) -> NDArray[np.bool_]:
    """Which cells of rows (n, C) hold what the training rows never did; (n, C)."""
    infinite: NDArray[np.bool_] = np.isinf(rows)
    return infinite | codec.unseen(rows) if isinstance(codec, TableCodec) else infinite


def has_text(X: Any) -> bool:
    """Whether X is a frame with a column of text."""
    if not hasattr(X, "columns"):
        return False
    import narwhals as nw

    try:
        schema = nw.from_native(X, eager_only=True).schema
    except (TypeError, ValueError):  # no frame, or one with the same name twice
        return False
    return any(dtype in (nw.String, nw.Categorical, nw.Enum) for dtype in schema.values())


def _names(estimator: BaseEstimator, count: int) -> tuple[str, ...]:
    names = tuple(getattr(estimator, "feature_names_in_", ()))
    return names if len(set(names)) == count else numbered_names(count)


def frame_of(values: FloatArray, layout: Layout) -> Any:
    """Rows (n, C) as a frame like that of the training rows, in its types where these can hold them."""
    import narwhals as nw

    assert layout.library is not None
    series = []
    dtypes = layout.dtypes or (None,) * len(layout.columns)
    for name, cells, texts, dtype in zip(layout.columns, values.T, layout.levels, dtypes, strict=True):
        known = (
            [_text(cell, texts) for cell in cells] if texts else [None if np.isnan(cell) else cell for cell in cells]
        )
        found = nw.new_series(name, known, nw.String if texts else nw.Float64, backend=layout.library)
        series.append(_typed(found, dtype, None if texts else cells))
    return nw.concat([each.to_frame() for each in series], how="horizontal").to_native()


def _typed(series: Any, dtype: Any, cells: FloatArray | None) -> Any:
    """A series in a type of its library, if that can hold it exactly; ``cells`` are its numbers, None for text."""
    import narwhals as nw
    from polars.exceptions import PolarsError

    native = series.to_native()
    try:
        cast = native.cast(dtype) if hasattr(native, "cast") else native.astype(dtype)
        found = nw.from_native(cast, series_only=True)
        if cells is not None and not found.dtype.is_float():
            exact = np.array_equal(found.cast(nw.Float64).to_numpy(), cells, equal_nan=True)
            return found if exact else series
    except (TypeError, ValueError, PolarsError):
        return series
    return found


def filled_frame(X: Any, values: FloatArray, layout: Layout) -> Any:
    """The frame X with the cells of values (n, C) where its own are missing, in columns of the same types."""
    import narwhals as nw

    frame = nw.from_native(X, eager_only=True)
    for j, texts in enumerate(layout.levels):
        column = frame[:, j]
        missing = column.is_null().to_numpy() if texts else np.isnan(column.cast(nw.Float64).to_numpy())
        places = np.flatnonzero(missing & ~np.isnan(values[:, j]))  # a column without any value stays empty
        if not len(places):
            continue
        cells = [_text(values[i, j], texts) if texts else _number(values[i, j], column.dtype) for i in places]
        frame = frame.with_columns(column.scatter(places.tolist(), cells))
    return frame.to_native()


def _text(cell: float, texts: Sequence[str]) -> str | None:
    return None if np.isnan(cell) else texts[int(cell)]


def _number(cell: float, dtype: Any) -> Any:
    import narwhals as nw

    if np.isnan(cell):
        return None
    return bool(round(cell)) if dtype == nw.Boolean else round(cell) if dtype.is_integer() else float(cell)
