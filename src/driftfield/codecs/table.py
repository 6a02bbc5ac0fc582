"""The codec of a table: numbers, whole numbers and categories, with missing cells.

Rows (n, C) hold numbers as they are, the number of a level for text, and NaN for a missing cell. The network's rows
have D numbers z and K categories. A column of numbers is one of the numbers, and where it has atoms one of the
categories beside: which atom, or any other number, in which case the number is there. Where holes are modelled, "empty"
is one more level of a column's category.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from driftfield.codecs.codec import FloatArray
from driftfield.codecs.columns import Column, ColumnOptions
from driftfield.codecs.decimals import rounded
from driftfield.codecs.finding import find_columns
from driftfield.codecs.rows import array_of, named
from driftfield.codecs.rule_texts import read_rules
from driftfield.codecs.rules import Rules
from driftfield.datasets.mixed import AllDates
from driftfield.datasets.tables import load_mixed
from driftfield.datasets.writing import Spelled, Written, rows_frame
from driftfield.errors import DriftfieldError, InputError

if TYPE_CHECKING:
    import polars as pl


class EncodedRows(NamedTuple):
    """n rows as the network sees them: D numbers and K categories.

    ``z`` (n, D) float32, 0 where there is none; ``width`` (n, D) of the interval that a whole number stands for, minus
    the length of a turn for an angle, 0 for others; ``present`` (n, D) bool; ``codes`` (n, K) int64, -1 where nothing
    is known; ``tail`` (n, D) of the outermost whole number before a bound, 0 for others
    (:mod:`driftfield.diffusion.further.places`).
    """

    z: NDArray[np.float32]
    width: NDArray[np.float32]
    present: NDArray[np.bool_]
    codes: NDArray[np.int64]
    tail: NDArray[np.float32]

    @classmethod
    def whole(cls, z: NDArray[np.float32]) -> "EncodedRows":
        """Rows of numbers (n, D) alone, none of them missing."""
        none = np.zeros_like(z)
        return cls(z, none, np.ones(z.shape, np.bool_), np.empty((len(z), 0), np.int64), none)


@dataclass(frozen=True)
class TableCodec:
    """Rows (n, C) of a table; see the module's docstring.

    Attributes:
        parts: its columns.
        rules: that hold in every row, if any.
        inner_parts: with rules, the columns that are modelled; (C',).
    """

    parts: tuple[Column, ...]
    rules: Rules | None = None
    inner_parts: tuple[Column, ...] = ()

    @classmethod
    def fit(
        cls,
        rows: FloatArray,
        names: Sequence[str],
        levels: Sequence[tuple[str, ...]],
        weights: FloatArray | None = None,
        beside: FloatArray | None = None,
        declared: Mapping[str, ColumnOptions] | None = None,
        dates: AllDates = (),
        hold: Sequence[str] = (),
    ) -> "TableCodec":
        """The codec of training rows (n, C); as :func:`~driftfield.codecs.finding.find_columns`.

        ``hold`` are the texts of rules (:mod:`driftfield.codecs.rules`).
        """
        parts = find_columns(rows, names, levels, weights, beside, declared, dates)
        if not hold:
            return cls(parts)
        rules = read_rules(hold, names, cls(parts).places, levels, dates)
        inner = rules.find_columns(rows, levels, weights, beside, declared or {})
        return cls(
            tuple(replace(part, holes=part.holes and part.name not in rules.used) for part in parts), rules, inner
        )

    @cached_property
    def core(self) -> "TableCodec":
        """The codec of what is modelled: this one, or with rules that of rows (n, C') that they are mapped to."""
        return self if self.rules is None else TableCodec(self.inner_parts)

    def inward(
        self, rows: FloatArray, known: NDArray[np.bool_], lenient: bool = False
    ) -> tuple[FloatArray, NDArray[np.bool_]]:
        """What is modelled of rows (n, C) of which some cells are known (n, C), and which of that is known; (n, C').

        Raises:
            InputError: a row breaks a rule or, unless ``lenient``, has a cell that a rule cannot use without others.
        """
        if self.rules is None:
            return rows, known
        inner = self.rules.inward(np.where(known, rows, np.nan), lenient)
        return inner, known[:, self.rules.kept] & self.core.holes | ~np.isnan(inner)

    def usable(self, rows: FloatArray) -> FloatArray:
        """Rows (n, C) with NaN for cells that a rule cannot use without others."""
        return rows if self.rules is None else np.where(self.rules.lost(rows), np.nan, rows)

    def outward(self, inner: FloatArray, rounded: bool = True) -> FloatArray:
        """Rows (n, C) from what is modelled of them (n, C'), ``rounded`` where the rules compute them."""
        return inner if self.rules is None else self.rules.outward(inner, rounded)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the C columns."""
        return tuple(part.name for part in self.parts)

    @property
    def places(self) -> tuple[int | None, ...]:
        """Decimals of each column; None for real numbers and for categories of text."""
        return tuple(
            0 if part.kind == "category" and not part.texts and _whole(part) else part.places for part in self.parts
        )

    @property
    def written(self) -> Written:
        """How columns are written that hold no numbers: the texts of their levels, or dates."""
        return {part.name: part.dates or part.texts for part in self.parts if part.texts or part.dates}

    @property
    def spelled(self) -> dict[str, dict[float, str]]:
        """How the numbers of some categories are written, such as 007 or True."""
        return {part.name: dict(zip(part.values, part.spelled, strict=True)) for part in self.parts if part.spelled}

    def with_spellings(self, spelled: Spelled) -> "TableCodec":
        """The codec with numbers of categories written as in the training file."""
        parts = [
            replace(part, spelled=tuple(spelled[part.name].get(value, part.written(value)) for value in part.values))
            if part.name in spelled and part.kind == "category" and not part.texts and part.dates is None
            else part
            for part in self.parts
        ]
        return replace(self, parts=tuple(parts))

    @property
    def is_category(self) -> tuple[bool, ...]:
        """Which columns are categories; (C,)."""
        return tuple(part.kind == "category" for part in self.parts)

    def unseen(self, rows: FloatArray) -> NDArray[np.bool_]:
        """Which cells of rows (n, C) hold none of the levels of their category; (n, C)."""
        found = np.zeros(rows.shape, dtype=bool)
        for i in np.flatnonzero(self.is_category):
            found[:, i] = ~np.isnan(rows[:, i]) & ~np.isin(rows[:, i], self.parts[i].values)
        return found

    @property
    def levels_of_text(self) -> tuple[tuple[str, ...], ...]:
        """The texts of the levels of each column, () for one that is not text; (C,)."""
        return tuple(part.texts for part in self.parts)

    @property
    def dates(self) -> AllDates:
        """How the dates of each column are written, None for one without; (C,)."""
        return tuple(part.dates for part in self.parts)

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """Which column each of the D numbers is."""
        return tuple(i for i, part in enumerate(self.parts) if part.numeric)

    @cached_property
    def categories(self) -> tuple[int, ...]:
        """Which column each of the K categories belongs to."""
        return tuple(i for i, part in enumerate(self.parts) if part.levels)

    @property
    def levels(self) -> tuple[int, ...]:
        """How many levels each category has; (K,)."""
        return tuple(self.core.parts[i].levels for i in self.core.categories)

    @cached_property
    def holes(self) -> NDArray[np.bool_]:
        """In which columns it is modelled whether a cell is empty; (C,)."""
        return np.array([part.holes for part in self.parts], dtype=bool)

    @property
    def shape(self) -> tuple[int, ...]:
        """(D,), of the numbers."""
        return (len(self.core.numbers),)

    def read(self, x: ArrayLike | Tensor, lenient: bool = False) -> FloatArray:
        """Rows (n, C) as float64: a frame or file by its column names, arrays and tensors by their shape.

        If ``lenient``, text that is no level has a number that is none either.

        Raises:
            InputError: another number of columns, text that is no level, or an infinite value.
        """
        frame = named(x, self.columns)
        if frame is not None:
            open_ = self.is_category if lenient else ()
            return load_mixed(frame, self.columns, self.levels_of_text, self.dates, open_=open_).values
        rows = array_of(x)
        C = len(self.parts)
        rows = rows.reshape(1, -1) if rows.ndim == 1 and rows.size == C else rows
        if rows.ndim != 2 or rows.shape[1] != C:
            names = ", ".join(self.columns[:6]) + (", .." if C > 6 else "")
            raise InputError(f"The rows have shape {tuple(rows.shape)}, but the model has {C} columns: {names}.")
        if np.isinf(rows).any():
            row, column = np.argwhere(np.isinf(rows))[0]
            raise InputError(f"Row {row + 1}, column {self.columns[column]} is infinite: correct or drop the row.")
        return rows

    def encoded(self, rows: FloatArray, known: NDArray[np.bool_] | None = None) -> EncodedRows:
        """Rows (n, C) as the network sees them.

        Args:
            known: which cells are looked at (n, C), all by default: a missing one of these is empty, if holes are
                modelled, and nothing is known of the others.
        """
        if self.rules is not None:
            every = np.ones(rows.shape, dtype=bool) if known is None else known
            return self.core.encoded(*self.inward(rows, every, lenient=True))
        n, D, K = len(rows), len(self.numbers), len(self.categories)
        codes = np.full((n, K), -1, dtype=np.int64)
        rows = rows if known is None else np.where(known, rows, np.nan)
        missing = np.isnan(rows)
        empty = missing & self.holes & (True if known is None else known)
        beside = ~missing  # numbers that are no atoms
        for k, i in enumerate(self.categories):
            part = self.parts[i]
            code = np.nan_to_num(part.code(rows[:, i]), nan=-1)
            codes[:, k] = np.where(empty[:, i], len(part.values), code)
            if part.numeric:
                beside[:, i] &= codes[:, k] == part.levels - 1
        (z, width, tail), present = np.zeros((3, n, D)), np.zeros((n, D), dtype=bool)
        for d, i in enumerate(self.numbers):
            there, map_ = beside[:, i], self.parts[i].map
            assert map_ is not None
            part = self.parts[i]
            if part.period is not None:
                mean = float(map_.back(np.zeros(1))[0])
                z[there, d] = map_.forward(part.near(rows[there, i], mean))
                width[there, d] = -(map_.forward(np.array([mean + part.period]))[0])
            elif part.kind == "whole number":
                z[there, d], width[there, d], tail[there, d] = self.parts[i].interval(rows[there, i])
            else:
                z[there, d] = map_.forward(rows[there, i])
            present[:, d] = there
        return EncodedRows(z.astype(np.float32), width.astype(np.float32), present, codes, tail.astype(np.float32))

    def encode(self, rows: FloatArray) -> NDArray[np.float32]:
        """The numbers of rows (n, C); (n, D), 0 where there is none."""
        return self.encoded(rows).z

    def decoded(self, z: NDArray[np.floating], codes: NDArray[np.int64]) -> FloatArray:
        """Rows (n, C) from numbers z (n, D) and codes (n, K)."""
        rows = np.full((len(z), len(self.parts)), np.nan)
        for d, i in enumerate(self.numbers):
            map_ = self.parts[i].map
            assert map_ is not None
            rows[:, i] = self.parts[i].in_range(map_.back(z[:, d].astype(np.float64)))
        for k, i in enumerate(self.categories):
            part = self.parts[i]
            values = np.array([*part.values, np.nan, np.nan])
            other = part.numeric & ((codes[:, k] < 0) | (codes[:, k] == part.levels - 1))
            rows[:, i] = np.where(other, rows[:, i], values[codes[:, k]])
        return rows

    def decode(self, z: NDArray[np.floating]) -> FloatArray:
        """Not defined for a table: a row is more than its numbers."""
        raise InputError("The rows of a table with categories or missing cells are more than numbers.")

    def finish(self, rows: FloatArray) -> FloatArray:
        """Rows (n, C) with the decimals of the data; the outermost intervals before a bound are open."""
        if self.rules is not None:
            inner, _ = self.inward(rows, np.ones(rows.shape, dtype=bool), lenient=True)
            return self.outward(self.core.finish(inner))
        found = rounded(rows, self.places)
        for i, part in enumerate(self.parts):
            if part.period is not None:
                found[:, i] = part.in_range(found[:, i])
            elif part.low is not None or part.high is not None:
                atom = np.isin(found[:, i], part.values)
                found[:, i] = np.where(atom, found[:, i], np.clip(found[:, i], *part.ends))
        return found

    def middle(self, draws: FloatArray) -> FloatArray:
        """The mean of numbers and the mode of categories over draws (M, n, C), as the user writes them; (n, C)."""
        if self.rules is not None:
            every = np.ones(draws.shape[1:], dtype=bool)
            inner = np.stack([self.inward(rows, every, lenient=True)[0] for rows in draws])
            found = self.outward(self.core.middle(inner))
        else:
            found = self.finish(np.stack([part.middle(draws[:, :, i]) for i, part in enumerate(self.parts)], 1))
        return np.where((draws == draws[0]).all(0), draws[0], found)

    def log_slopes(self, rows: FloatArray) -> FloatArray:
        """log dz/dx of each number of rows (n, C), 0 for whole numbers, whose intervals have a width; (n, D)."""
        found = np.zeros((len(rows), len(self.numbers)))
        for d, i in enumerate(self.numbers):
            map_ = self.parts[i].map
            if self.parts[i].kind in ("number", "angle") and map_ is not None:
                there = ~np.isnan(rows[:, i])
                found[there, d] = map_.log_slope(rows[there, i])
        return found

    def outside(self, rows: FloatArray) -> NDArray[np.bool_]:
        """Which numbers of rows (n, C) lie at a bound of their column or beyond; (n, D)."""
        maps = [self.parts[i].map for i in self.numbers]
        found = [map_.outside(rows[:, i]) for i, map_ in zip(self.numbers, maps, strict=True) if map_ is not None]
        return np.stack(found, 1) if found else np.zeros((len(rows), 0), dtype=bool)

    def log_det(self, rows: FloatArray) -> FloatArray:
        """Not defined for a table: it depends on the cells that are there."""
        raise InputError("The densities of a table with categories or missing cells are those of its cells.")

    def decode_score(self, score: NDArray[np.floating]) -> FloatArray:
        """Not defined for a table, whose categories have no gradient."""
        raise InputError("A table with categories or missing cells has no score.")

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns of :meth:`numeric`."""
        names: list[str] = []
        for part in self.parts:
            levels = [part.written(value) for value in part.values]
            if part.period is not None:
                names += [f"{part.name} cosine", f"{part.name} sine"]
            else:
                names += [part.name] if part.numeric else [f"{part.name} = {level}" for level in levels]
        return tuple(names) + tuple(f"{part.name} missing" for part in self.parts)

    def numeric(self, rows: FloatArray) -> FloatArray:
        """Rows (n, C) as numbers, for distances and classifiers; (n, F).

        A number stays as it is, an angle becomes its cosine and sine, a category 0 or 1 for each level; where a cell is
        missing, these are the middle of the column, and 0. A last column for each says where its cells are missing.
        """
        found: list[FloatArray] = []
        for part, cells in zip(self.parts, rows.T, strict=True):
            if part.period is not None:
                turns = np.exp(2j * np.pi * cells / part.period)
                found.append(np.nan_to_num(np.stack([turns.real, turns.imag], 1)))
            elif part.map is not None:
                found.append(np.where(np.isnan(cells), part.map.back(np.zeros(1)), cells)[:, None])
            else:
                found.append((cells[:, None] == np.array(part.values)).astype(np.float64))
        return np.concatenate([*found, np.isnan(rows).astype(np.float64)], 1)

    def frame(self, rows: FloatArray) -> "pl.DataFrame":
        """Rows (n, C) as a polars frame, with categories as the user writes them and missing cells as nulls."""
        return rows_frame(rows, self.columns, self.places, levels=self.written)

    def tensors(self) -> dict[str, NDArray[np.float64]]:
        """None: all is in the description."""
        return {}

    def description(self) -> dict[str, Any]:
        """The columns, their levels and maps."""
        return {
            "kind": "table",
            "columns": list(self.columns),
            "places": list(self.places),
            "table": [part.described() for part in self.parts],
            "rules": [] if self.rules is None else list(self.rules.texts),
            "modelled": [part.described() for part in self.inner_parts],
        }

    @classmethod
    def restored(cls, description: dict[str, Any]) -> "TableCodec":
        """The codec of a model file, from :meth:`description`.

        Raises:
            DriftfieldError: it describes no table.
        """
        try:
            parts, inner = (tuple(map(Column.restored, description.get(key, ()))) for key in ("table", "modelled"))
            codec = cls(parts)
            if description.get("rules"):
                rules = read_rules(description["rules"], codec.columns, codec.places, codec.levels_of_text, codec.dates)
                codec = cls(parts, rules, inner)
        except (KeyError, TypeError, ValueError) as error:
            raise DriftfieldError(f"its columns cannot be read ({error})") from None
        if codec.columns != tuple(description["columns"]):
            raise DriftfieldError("its columns are not those of its table")
        return codec


def _whole(part: Column) -> bool:
    return all(float(value).is_integer() for value in part.values)
