"""Columns: what each column of a table is, as :mod:`driftfield.codecs.finding` finds out from its cells.

number          a density
whole number    a mass on each integer: the density integrated over the interval from x - 1/2 to x + 1/2
angle           a density on the circle; said, never found
category        a probability for each level; text, truth values, and few distinct whole numbers
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from pydantic import Field, field_validator

from driftfield.codecs.angles import mean_angle, read_period, within, wrapped
from driftfield.codecs.maps import Map, bent
from driftfield.datasets.dates import Dates
from driftfield.datasets.distribution import FloatArray
from driftfield.errors import InputError, unknown_name
from driftfield.options import Section

Kind = Literal["number", "whole number", "category", "angle"]
KINDS = get_args(Kind)
_TRUTH = {"false": 0.0, "true": 1.0}  # as they are read
ALL = "*"  # in place of a name: every column


class ColumnOptions(Section):
    """What is said of a column, in place of what would be found out: the keys of ``[columns.NAME]`` of a recipe."""

    kind: Kind | None = Field(None, description="number, whole number, category or angle")
    low: float | None = Field(None, description="smallest value that it can have; of an angle, where its range begins")
    high: float | None = Field(None, description="largest value that it can have")
    atoms: tuple[float, ...] | None = Field(None, description="values that are point masses; [] for none")
    period: float | None = Field(None, gt=0, description='of an angle, such as 360 or "2pi"')
    missing: Literal["model"] | None = Field(None, description='"model": whether a cell is empty is modelled')

    @field_validator("period", mode="before")
    @classmethod
    def _period(cls, value: Any) -> Any:
        return read_period(value) if isinstance(value, str) else value


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        kind: "number", "whole number", "category" or "angle".
        texts: of the levels of a category that is written as text; rows hold their numbers 0, 1, ..
        spelled: how the values of a category of numbers are written, such as 007 or True; () where as numbers are.
        values: what rows hold for each level of a category; of other columns, their atoms.
        places: decimals of a number; None for a real one.
        map: of a number.
        low, high: bounds that its values pile up against, beyond which there are none; None where there is no bound.
        period: of an angle, whose values are from ``low`` on, below ``low + period``.
        dates: how its numbers are written, if they are dates or times.
        holes: whether an empty cell is a level of its own, after those of ``values``.
    """

    name: str
    kind: Kind
    texts: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    places: int | None = None
    map: Map | None = None
    low: float | None = None
    high: float | None = None
    period: float | None = None
    holes: bool = False
    dates: Dates | None = None
    spelled: tuple[str, ...] = ()

    @property
    def numeric(self) -> bool:
        """Whether it is modelled as a number, perhaps beside atoms."""
        return self.kind != "category"

    @property
    def levels(self) -> int:
        """How many levels its category has; 0 where there is none.

        Those of ``values``, "empty" where holes are modelled, and "any other number" beside these for a number.
        """
        own = len(self.values) + self.holes
        return own + (self.numeric and own > 0)

    @property
    def outcomes(self) -> tuple[float, ...]:
        """What has a probability of its own: levels or atoms, and NaN, an empty cell, where holes are modelled."""
        return self.values + (float("nan"),) * self.holes

    @property
    def level_names(self) -> tuple[str, ...]:
        """The levels of its category as text."""
        names = tuple(self.written(value) for value in self.values)
        other = "other" if self.values else "a number"
        return names + ("empty",) * self.holes + (other,) * (self.numeric and self.levels > 0)

    @property
    def widest(self) -> float:
        """The widest interval of a whole number, on the line of z; 0 for other columns, infinite with a bound."""
        if self.kind != "whole number" or self.map is None:
            return 0.0
        if any(self.map.tails):
            return float("inf")
        x = np.linspace(self.map.x[0], self.map.x[-1], 101)
        return float((self.map.forward(x + 0.5) - self.map.forward(x - 0.5)).max())

    def interval(self, values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The middle, width and tail on the line of the intervals that whole numbers (n,) stand for.

        The outermost ones before a bound have no width but a tail; see :mod:`driftfield.diffusion.further.places`.
        """
        assert self.map is not None
        first, last = values == self._beside(self.map.low, 0.5), values == self._beside(self.map.high, -0.5)
        inner = np.where(first, values + 1, np.where(last, values - 1, values))  # whose edges are finite
        low, high = self.map.forward(inner - 0.5), self.map.forward(inner + 0.5)
        tail = np.where(first, self.map.tails[0], np.where(last, self.map.tails[1], 0.0))
        middle = np.where(first, low, np.where(last, high, (low + high) / 2)) + tail * np.log(0.5)
        return middle, np.where(first | last, 0.0, high - low), tail

    @staticmethod
    def _beside(bound: float | None, step: float) -> float:
        return np.nan if bound is None else bound + step

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """The smallest and the largest value with the column's decimals within its bounds."""
        if self.places is None:
            return self.low, self.high
        step = 10.0**-self.places
        low = None if self.low is None else float(np.ceil(self.low / step) * step)
        return low, None if self.high is None else float(np.floor(self.high / step) * step)

    def middle(self, draws: FloatArray) -> FloatArray:
        """The mean of numbers or angles, and the mode of a category, over draws (M, n); (n,)."""
        if self.period is not None:
            return within(mean_angle(draws, self.period), self.low or 0.0, self.period)
        if self.numeric:
            mean: FloatArray = draws.mean(0)
            return mean
        counts = np.stack([(draws == value).sum(0) for value in self.values])
        found: FloatArray = np.array(self.values)[counts.argmax(0)]
        return found

    def in_range(self, values: FloatArray) -> FloatArray:
        """Numbers as they are, and angles within their range."""
        return values if self.period is None else within(values, self.low or 0.0, self.period)

    def near(self, values: FloatArray, middle: FloatArray | float) -> FloatArray:
        """Numbers as they are, and angles where they are nearest to a middle, perhaps beyond their range."""
        return values if self.period is None else middle + wrapped(values - middle, self.period)

    @property
    def shown(self) -> str:
        """What it is, in a word or two."""
        kind: str = self.kind
        if self.dates is not None and self.numeric:
            kind = self.dates.kind + " on a circle" * (self.period is not None)
        return kind + " with atoms" * (self.numeric and len(self.values) > 0) + " or empty" * self.holes

    def written(self, value: float) -> str:
        """A cell as text."""
        if self.texts:
            return self.texts[int(value)]
        if self.spelled and value in self.values:
            return self.spelled[self.values.index(value)]
        return self.dates.written(value) if self.dates else f"{value:.10g}"

    def cell(self, value: Any) -> float:
        """What rows hold for a cell as the user writes it.

        Raises:
            InputError: the column cannot hold it.
        """
        if self.texts:
            if str(value) not in self.texts:
                raise unknown_name(f"value of {self.name}", str(value), self.texts)
            return float(self.texts.index(str(value)))
        try:
            truth = _TRUTH.get(str(value).lower()) if self.values and set(self.values) <= {0.0, 1.0} else None
            cell = float(self.dates.read([str(value)])[0] if self.dates else value if truth is None else truth)
        except (TypeError, ValueError):
            cell = np.nan
        if not np.isfinite(cell):
            wanted = f"{self.dates.kind} like {self.dates.example}" if self.dates else "finite number"
            raise InputError(f'The given value of "{self.name}" must be a {wanted}, got {value}.')
        self.code(np.array([cell]))
        return cell

    def code(self, cells: FloatArray) -> FloatArray:
        """The level of each cell (n,); NaN for a missing one, and the last level for numbers beside atoms.

        Raises:
            InputError: a cell is none of the levels of a category.
        """
        codes = np.full(len(cells), np.nan)
        for level, value in enumerate(self.values):
            codes[cells == value] = level
        present = ~np.isnan(cells)
        if self.numeric:
            codes[present & np.isnan(codes)] = self.levels - 1
        elif (present & np.isnan(codes)).any():
            row = int((present & np.isnan(codes)).argmax())
            raise InputError(
                f'Row {row + 1} has {self.written(cells[row])} in the column "{self.name}", which is not one of its '
                f"{len(self.values):,} levels: correct it, or leave it empty."
            )
        return codes

    def described(self) -> dict[str, Any]:
        """The column as plain data."""
        found: dict[str, Any] = {"name": self.name, "kind": self.kind}
        if self.texts:
            found["texts"] = list(self.texts)
        elif self.values:
            found["values"] = list(self.values)
        if self.spelled:
            found["spelled"] = list(self.spelled)
        if self.holes:
            found["missing"] = "model"
        if self.dates is not None:
            found["dates"] = asdict(self.dates)
        if self.map is not None:
            found |= {"places": self.places, "x": list(self.map.x), "z": list(self.map.z)}
            more = {"low": self.low, "high": self.high, "period": self.period}
            found |= {name: value for name, value in more.items() if value is not None}
        return found

    @classmethod
    def restored(cls, found: dict[str, Any]) -> "Column":
        """The inverse of :meth:`described`. Raises KeyError or ValueError for data that describe no column."""
        texts = tuple(str(text) for text in found.get("texts", ()))
        values = tuple(float(v) for v in range(len(texts))) or tuple(float(v) for v in found.get("values", ()))
        holes = found.get("missing") == "model"
        dates = Dates(**found["dates"]) if "dates" in found else None
        if found["kind"] not in KINDS or (found["kind"] == "category") != ("x" not in found):
            raise ValueError(f'the column "{found["name"]}" has no kind that is known')
        if found["kind"] == "category":
            spelled = tuple(str(text) for text in found.get("spelled", ()))
            if len(spelled) not in (0, len(values)):
                raise ValueError(f'the column "{found["name"]}" has {len(spelled)} spellings for {len(values)} values')
            return cls(found["name"], "category", texts, values, holes=holes, dates=dates, spelled=spelled)
        x, z = (tuple(float(v) for v in found[key]) for key in ("x", "z"))
        knots = np.array([x, z])
        if knots.shape[1] < 2 or not np.isfinite(knots).all() or not (np.diff(knots) > 0).all():
            raise ValueError(f'the map of the column "{found["name"]}" does not increase')
        low, high, period = (None if found.get(key) is None else float(found[key]) for key in ("low", "high", "period"))
        if (found["kind"] == "angle") != (period is not None and low is not None and period > 0):
            raise ValueError(f'the column "{found["name"]}" has no period')
        return cls(
            found["name"],
            found["kind"],
            (),
            values,
            found["places"],
            Map(x, z) if found["kind"] == "angle" else bent(Map(x, z), low, high),
            low,
            high,
            period,
            holes,
            dates,
        )
