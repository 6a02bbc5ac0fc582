"""Dates and times: columns of text, or of a frame, that are numbers of days or seconds, written in one format.

A date is days since 1970-01-01, a date and time is days, hours, minutes or seconds since then, whatever unit all cells
are whole numbers of, and a time of day is counted from midnight.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from driftfield.datasets.distribution import FloatArray

if TYPE_CHECKING:
    import polars as pl

DAY = 86_400
UNITS = (DAY, 3_600, 60, 1, 1e-3)  # seconds
EXAMPLE = 1_714_571_996  # seconds: 2024-05-01 13:59:56
LOOKED_AT = 50  # different texts that formats are looked for in
FIRST, LAST = -62_135_596_800, 253_402_300_799  # seconds of the years 1 and 9999
CENTURY = (0, 3_155_759_999)  # seconds of the years 1970 and 2069, of which two digits are written
_TIMES = (
    "%H:%M",
    *(f"%H:%M:%S{fraction}" for fraction in ("", "%.3f", "%.6f", "%.9f")),
    *("%-H:%M", "%-H:%M:%S", "%I:%M %p", "%-I:%M %p"),
)
_DATES = (
    *(f"%Y{mark}%m{mark}%d" for mark in "-/."),
    *(f"%d{mark}%m{mark}%Y" for mark in "./-"),
    *(f"%-d{mark}%-m{mark}%Y" for mark in "./-"),
    *(f"%m{mark}%d{mark}%Y" for mark in "/-"),
    *(f"%-m{mark}%-d{mark}%Y" for mark in "/-"),
    *(f"{day}{mark}{month}{mark}%Y" for day in ("%d", "%-d") for month in ("%b", "%B") for mark in " -"),
    *(f"{month} {day}, %Y" for day in ("%d", "%-d") for month in ("%b", "%B")),
    *(f"{day}{mark}{month}{mark}%y" for mark in "./-" for day, month in (("%d", "%m"), ("%-d", "%-m"))),
    *(f"{month}{mark}{day}{mark}%y" for mark in "/-" for day, month in (("%d", "%m"), ("%-d", "%-m"))),
    *(f"{day}{mark}%b{mark}%y" for day in ("%d", "%-d") for mark in " -"),
    "%y-%m-%d",
)
_ZONE = re.compile(r"(?P<rest>.*:\d\d(\.\d+)?)(?P<zone>Z| ?UTC| ?GMT| ?[+-]\d\d(:?\d\d)?)")
_PATTERNS = {
    "%Y": r"\d{4}", "%B": "[A-Z][a-z]+", "%b": "[A-Z][a-z]{2}", "%p": "[AP]M",
    "%.3f": r"\.\d{3}", "%.6f": r"\.\d{6}", "%.9f": r"\.\d{9}",
    "%-d": r"\d\d?", "%-m": r"\d\d?", "%-H": r"\d\d?", "%-I": r"\d\d?",
}  # fmt: skip


@dataclass(frozen=True)
class Dates:
    """How the cells of a column of dates or times are written.

    Attributes:
        format: of strftime; an offset from UTC at its end is the same in all cells.
        unit: how many seconds a 1 stands for.
        dtype: "date", "time" or "datetime UNIT ZONE" of a column of a frame, "" of one of text.
    """

    format: str
    unit: float = DAY
    dtype: str = ""

    @property
    def kind(self) -> str:
        """What the cells are."""
        if not _has_day(self.format):
            return "time of day"
        return "date and time" if "%M" in self.format else "date"

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """The first number, and the first one that is too large; None for dates."""
        return (None, None) if _has_day(self.format) else (0.0, DAY / self.unit)

    @property
    def example(self) -> str:
        """A cell."""
        return self.written(EXAMPLE / self.unit)

    def read(self, cells: Sequence[str | None]) -> FloatArray:
        """The numbers of cells (n,), also of those in ISO 8601; NaN for what is missing or no date.

        Where the column has an offset from UTC, cells with another one are converted to it.
        """
        found = _micros(_parsed(cells, self.format))
        if np.isnan(found).any():
            rests, zones = zip(*map(_split, cells), strict=True)
            own = _split(self.example)[1]
            shift = np.array([_shift(own, zone) for zone in zones])
            for format_ in _iso(self.kind):
                found = np.where(np.isnan(found), _micros(_parsed(rests, format_)) + 1e6 * shift, found)
        return found / self._step

    def series(self, values: FloatArray) -> "pl.Series":
        """Numbers (n,) as they are written, null for NaN."""
        found = self._datetimes(values)
        name, *more = self.dtype.split() or [""]
        if name == "date":
            return found.dt.date()
        if name == "time":
            return found.dt.time()
        if name == "datetime":
            found = found.dt.cast_time_unit(more[0])  # type: ignore[arg-type]
            return found.dt.replace_time_zone("UTC").dt.convert_time_zone(more[1]) if more[1:] else found
        return found.dt.strftime(self.format)

    def written(self, value: float) -> str:
        """A number as text, "" for NaN."""
        text: str = self._datetimes(np.array([value])).dt.strftime(self.format)[0] or ""
        return text

    def _datetimes(self, values: FloatArray) -> "pl.Series":
        import polars as pl

        there = np.isfinite(values)
        micros = np.round(np.where(there, values, 0.0) * self._step)
        first, last = CENTURY if "%y" in self.format else (FIRST, LAST)
        micros = np.clip(micros, first * 1e6, last * 1e6) if self.ends[1] is None else micros % (DAY * 1e6)
        return pl.Series(micros.astype(np.int64)).set(pl.Series(~there), None).cast(pl.Datetime("us"))

    @property
    def _step(self) -> int:
        """The microseconds of a 1."""
        return round(self.unit * 1e6)


class Found(NamedTuple):
    """How dates are written, the texts that are none, an example where two formats fit alike, offsets that differ."""

    dates: Dates | None = None
    strange: frozenset[str] = frozenset()
    doubtful: str = ""
    offsets: tuple[str, ...] = ()


def find_dates(cells: Sequence[str | None], dtype: str = "") -> Found:
    """The format of a column of text (n,), None for missing cells, if most of its cells are dates in one format.

    Where the day and the month can be exchanged in all cells, or cells have different offsets from UTC, nothing is
    found, and the result says so.
    """
    different = list(dict.fromkeys(cell for cell in cells if cell is not None))
    zones = dict.fromkeys(zone for _, zone in map(_split, different) if zone)
    if len(zones) > 1 and find_dates([_split(cell)[0] for cell in different]).dates is not None:
        return Found(offsets=tuple(zones))
    some = different[:LOOKED_AT]
    counts = Counter(format_ for cell in some for format_ in _candidates(cell))
    likely = [format_ for format_, count in counts.items() if 2 * count > len(some)]
    found = {format_: _parsed(different, format_, exact=True) for format_ in likely}
    missing = {format_: series.null_count() for format_, series in found.items()}
    if not found or min(missing.values()) == len(different):
        return Found()
    best = [format_ for format_ in likely if missing[format_] == min(missing.values())]
    micros = {format_: _micros(found[format_]) for format_ in best}
    first = best[0]
    if any(not np.array_equal(micros[format_], micros[first], equal_nan=True) for format_ in best):
        return Found(doubtful=some[0])
    if missing[first]:
        return Found(Dates(first), frozenset(np.array(different)[np.isnan(micros[first])].tolist()))
    whole = (unit for unit in UNITS if bool((np.mod(micros[first], round(unit * 1e6)) == 0).all()))
    return Found(Dates(first, next(whole, 1), dtype))


def _parsed(cells: Sequence[str | None], format_: str, exact: bool = False) -> "pl.Series":
    """Cells as dates and times, null for those that are none; ``exact`` ones are written like that."""
    import polars as pl

    texts = pl.Series(cells, dtype=pl.String)
    before, after = "" if _has_day(format_) else "1970-01-01 ", "" if "%M" in format_ else " 00:00"
    whole = f"%Y-%m-%d {format_}" if before else f"{format_} %H:%M" if after else format_
    found = (before + texts + after).str.strptime(pl.Datetime("us"), whole, strict=False)
    return found.set((found.dt.strftime(format_) != texts).fill_null(False), None) if exact else found


def _micros(series: "pl.Series") -> FloatArray:
    """Microseconds since 1970-01-01 of dates and times, NaN for null."""
    found: FloatArray = series.dt.epoch("us").to_numpy().astype(np.float64)
    return found


def _iso(kind: str) -> tuple[str, ...]:
    """The formats of ISO 8601, which are read in any case."""
    times = ("%H:%M", "%H:%M:%S%.f")
    if kind == "time of day":
        return times
    return ("%Y-%m-%d", *(f"%Y-%m-%d{mark}{time}" for mark in " T" for time in times))


def _has_day(format_: str) -> bool:
    return "%Y" in format_ or "%y" in format_


def _split(cell: str | None) -> tuple[str | None, str]:
    """A cell without its offset from UTC, and the offset, "" for none."""
    found = _ZONE.fullmatch(cell or "")
    return (found["rest"], found["zone"]) if found else (cell, "")


def _shift(own: str, zone: str) -> float:
    """The seconds from a time with an offset to that of a column; NaN where the column has none."""
    if not own:
        return np.nan if _offset(zone) else 0.0
    return _offset(own) - _offset(zone) if zone else 0.0


def _offset(zone: str) -> float:
    """The seconds of an offset from UTC: of Z, +02:00, -0330."""
    digits = re.sub(r"\D", "", zone).ljust(4, "0")
    return (-1 if "-" in zone else 1) * (3_600.0 * int(digits[:2]) + 60 * int(digits[2:4]))


def _candidates(cell: str) -> list[str]:
    """The formats that a cell may be in."""
    text, zone = _split(cell)
    assert text is not None
    found = [format_ + zone for format_, pattern in _COMPILED_TIMES.items() if pattern.fullmatch(text)]
    for date, pattern in _COMPILED_DATES.items():
        if start := pattern.match(text):
            rest = text[start.end() :]
            found += [date + tail + zone for tail, each in _COMPILED_TAILS.items() if each.fullmatch(rest)]
    return found


def _compiled(formats: Sequence[str]) -> dict[str, re.Pattern[str]]:
    def piece(part: str) -> str:
        return _PATTERNS.get(part, r"\d\d") if part.startswith("%") else re.escape(part)

    parts = {format_: re.split(r"(%-?[A-Za-z]|%\.\df)", format_) for format_ in formats}
    return {format_: re.compile("".join(map(piece, split))) for format_, split in parts.items()}


_COMPILED_TIMES, _COMPILED_DATES = _compiled(_TIMES), _compiled(_DATES)
_COMPILED_TAILS = _compiled([f"{mark}{time}" for mark in " T" for time in _TIMES] + [""])
