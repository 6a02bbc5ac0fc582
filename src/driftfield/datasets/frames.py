"""Data frames (pandas, polars and others that narwhals reads) and arrays as raw tables."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any

import numpy as np

from driftfield.datasets.distribution import FloatArray
from driftfield.datasets.raw_table import NotNumeric, RawTable, capital
from driftfield.errors import InputError

if TYPE_CHECKING:
    import narwhals as nw

MOST_NAMED = 100_000  # columns: each takes a name, so that an array of no rows could take any amount of memory
Pick = Callable[[Sequence[str]], str]


def frame_table(data: Any) -> RawTable:
    """The raw table of a data frame or series; numbered columns are called x1, x2, …

    Raises InputError for an object that is not a data frame.
    """
    import narwhals as nw
    from narwhals.exceptions import NarwhalsError

    labels = list(data.columns) if hasattr(data, "set_axis") and hasattr(data, "columns") else []  # of pandas
    if labels:  # narwhals refuses duplicate labels, so the columns are numbered
        data = data.set_axis(range(len(labels)), axis=1)
    elif hasattr(data, "rename_columns") and hasattr(data, "column_names"):  # of Arrow
        labels = list(data.column_names)
        data = data.rename_columns([str(i) for i in range(len(labels))])
    try:
        native = nw.from_native(data, allow_series=True)
    except (TypeError, NarwhalsError):
        raise InputError(
            f"Data of type {type(data).__name__} cannot be read: "
            "pass a name, a path, an array, a tensor, or a pandas or polars frame."
        ) from None
    native = native.to_frame() if isinstance(native, nw.Series) else native
    frame = native.collect() if isinstance(native, nw.LazyFrame) else native
    labels = labels or frame.columns
    numbered = list(labels) == list(range(len(labels)))
    columns = (
        numbered_names(len(labels)) if numbered else tuple(str(label) or f"x{i}" for i, label in enumerate(labels, 1))
    )
    return RawTable(
        name="the frame",
        columns=columns,
        read=lambda indices: frame_columns(frame, indices),
        locate=count_from_zero,
        pick=lambda names: f"data[{[labels[columns.index(name)] for name in names]}]",
        text=lambda i: frame_text(frame[:, i]),
        nested=nested_columns(frame, columns),
    )


def nested_columns(frame: "nw.DataFrame[Any]", names: Sequence[str]) -> dict[str, str]:
    """What each column holds whose cells are neither numbers nor text nor dates, by its name."""
    kinds = zip(names, map(_nested, frame.schema.values()), strict=True)
    return {name: kind for name, kind in kinds if kind}


def frame_columns(frame: "nw.DataFrame[Any]", indices: Sequence[int]) -> Iterator[FloatArray | NotNumeric]:
    """The columns of a frame with these indices, as numbers where they are numbers; NaN for an empty cell."""
    import narwhals as nw

    for i in indices:
        column = frame[:, i]
        if column.dtype.is_numeric() or column.dtype == nw.Boolean:
            yield _numbers(column)
        elif column.null_count() == len(column):
            yield np.full(len(column), np.nan)
        else:
            row = int((~column.is_null()).arg_true()[0])
            cell = column[row : row + 1].to_list()[0]
            dtype = _dtype_of_dates(column.dtype)
            yield NotNumeric("dates or times" if dtype else _kind(column.dtype), str(cell), row, dtype=dtype)


def _numbers(column: "nw.Series[Any]") -> FloatArray:
    import narwhals as nw

    try:
        return np.asarray(column.cast(nw.Float64).to_numpy(), dtype=np.float64)
    except ValueError:  # Arrow does not round whole numbers beyond 2^53
        return np.array([np.nan if _is_missing(cell) else float(cell) for cell in column.to_list()])


def frame_text(column: "nw.Series[Any]") -> list[str | None]:
    """The cells of a column of a frame as text, None for a missing one; whole numbers without a decimal point.

    Dates and times are in the format of ISO 8601, and those with a time zone in UTC.
    """
    cells: list[Any] = [None if _is_missing(cell) else cell for cell in column.to_list()]
    if not _dtype_of_dates(column.dtype).startswith(("datetime", "time")):
        return [None if cell is None else _text(cell) for cell in cells]
    if any(getattr(cell, "tzinfo", None) for cell in cells):
        cells = [None if cell is None else cell.astimezone(UTC).replace(tzinfo=None) for cell in cells]
    step = "microseconds" if any(cell is not None and cell.microsecond for cell in cells) else "seconds"
    return [None if cell is None else cell.isoformat(timespec=step).replace("T", " ") for cell in cells]


def _is_missing(cell: Any) -> bool:
    """Whether a cell is None, NaN, or the NA of pandas, which is neither equal nor unequal to anything."""
    try:
        return cell is None or bool(cell != cell)
    except (TypeError, ValueError):
        return not hasattr(cell, "__len__")


def _text(cell: Any) -> str:
    return repr(cell).removesuffix(".0") if isinstance(cell, float) else str(cell)


def array_table(data: Any, name: str, locate: Callable[[int], str], pick: Pick) -> RawTable:
    """The raw table of an array of shape (n,) or (n, D), with columns x1, x2, …

    Raises InputError for any other shape, and for cells that are not real numbers.
    """
    array = data if isinstance(data, np.ma.MaskedArray) else np.asarray(data)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{capital(name)} holds values of type {array.dtype}: convert them to real numbers.")
    if array.ndim not in (1, 2):
        raise InputError(f"{capital(name)} has the shape {array.shape}: give an array of shape (n, D) or (n,).")
    table = array[:, None] if array.ndim == 1 else array  # (n, D)
    if table.shape[1] > MOST_NAMED:
        raise InputError(
            f"{capital(name)} has {table.shape[1]:,} columns, more than the {MOST_NAMED:,} that can be told apart: "
            "give an array of shape (rows, columns)."
        )

    def read(indices: Sequence[int]) -> Iterator[FloatArray | NotNumeric]:
        for i in indices:
            with np.errstate(over="ignore", invalid="ignore"):  # a signalling NaN, or more than float64 holds
                column = table[:, i].astype(np.float64)
            yield np.ma.filled(column, np.nan)

    def text(i: int) -> list[str | None]:
        cells, masked = np.ma.getdata(table[:, i]).tolist(), np.ma.getmaskarray(table[:, i])
        return [None if hidden or cell != cell else _text(cell) for cell, hidden in zip(cells, masked, strict=True)]

    return RawTable(name, numbered_names(table.shape[1]), read, locate, pick, text)


def count_from_zero(row: int) -> str:
    """The position of a row in memory, counted as Python does."""
    return f"row {row} (counting from 0)"


def count_from_one(row: int) -> str:
    """The position of a row in a file."""
    return f"row {row + 1}"


def numbered_names(count: int) -> tuple[str, ...]:
    """x1, x2, … for columns without a name."""
    return tuple(f"x{i}" for i in range(1, count + 1))


def _kind(dtype: "nw.dtypes.DType") -> str:
    import narwhals as nw

    if dtype in (nw.String, nw.Categorical, nw.Enum):
        return "text"
    return "durations" if dtype == nw.Duration else _nested(dtype) or f"values of type {dtype}"


def _nested(dtype: "nw.dtypes.DType") -> str:
    import narwhals as nw

    if isinstance(dtype, nw.List | nw.Array):
        return "lists"
    return "records" if isinstance(dtype, nw.Struct) else "bytes" if dtype == nw.Binary else ""


def _dtype_of_dates(dtype: "nw.dtypes.DType") -> str:
    """How :class:`~driftfield.datasets.dates.Dates` names a type of dates and times; "" for others."""
    import narwhals as nw

    if isinstance(dtype, nw.Datetime):
        return f"datetime {dtype.time_unit} {dtype.time_zone or ''}".strip()
    return "date" if dtype == nw.Date else "time" if dtype == nw.Time else ""
