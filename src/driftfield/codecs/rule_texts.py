"""Texts of rules: "start <= end", "total = net + tax", "one of: a, b, c"; see :mod:`driftfield.codecs.rules`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field, field_validator

from driftfield.codecs.rules import OneOf, Order, Rule, Rules, Total
from driftfield.datasets.dates import Dates
from driftfield.datasets.mixed import AllDates, Levels
from driftfield.errors import InputError, unknown_name
from driftfield.options import Section

FORMS = "a <= b, c = a + b, or one of: a, b, c"
TRUTH = (("false", "true"), ("no", "yes"))  # levels that count as 0 and 1
_ORDER = re.compile(r"(.+?)\s*(<=|>=|<|>)\s*(.+)")
_TERMS = re.compile(r"\s([+-])\s")


class RulesSection(Section):
    """What holds in every row of a table, and in every row that is drawn."""

    hold: tuple[str, ...] = Field((), description=f"rules such as {FORMS}; several in a list, or with ; between them")

    @field_validator("hold", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(text.strip() for text in value.split(";") if text.strip())
        return tuple(value) if isinstance(value, list) else value


def read_rules(
    texts: Sequence[str],
    columns: Sequence[str],
    places: Sequence[int | None],
    levels: Sequence[tuple[str, ...]] = (),
    dates: AllDates = (),
) -> Rules:
    """The rules that are written in ``texts``, on C columns.

    Args:
        places: decimals of each column, None for real numbers.
        levels: the texts of each column of text; () where there is none.
        dates: how the dates of each column are written; () where there are none.

    Raises:
        InputError: a rule that cannot be read, of unknown columns, or two that contradict each other.
    """
    C = len(columns)
    reader = _Reader(tuple(columns), tuple(places), tuple(levels) or ((),) * C, tuple(dates) or (None,) * C)
    return Rules(tuple(columns), _ordered([reader.read(text) for text in texts], columns), reader.dates)


@dataclass(frozen=True)
class _Reader:
    columns: tuple[str, ...]
    places: tuple[int | None, ...]
    levels: Levels
    dates: AllDates

    def read(self, text: str) -> Rule:
        name, _, members = text.partition(":")
        if name.strip().lower() == "one of" and members:
            return self._one_of(text, [self._column(part) for part in members.split(",")])
        left, equals, right = text.partition(" = ")
        if equals:
            return self._total(text, left, right)
        match = _ORDER.fullmatch(text.strip())
        if match is None:
            raise InputError(f'The rule "{text}" cannot be read: write it as {FORMS}.')
        return self._order(text, match[1], match[2], match[3])

    def _column(self, name: str) -> int:
        if name.strip() not in self.columns:
            raise unknown_name("column of a rule", name.strip(), self.columns)
        return self.columns.index(name.strip())

    def _numbers(self, text: str, columns: Sequence[int], with_dates: bool = False) -> None:
        for j in columns:
            what = "text" if self.levels[j] else "dates" if self.dates[j] and not with_dates else ""
            if what:
                raise InputError(f'The rule "{text}" is one of numbers, but "{self.columns[j]}" holds {what}.')
        if len(set(columns)) < len(columns):
            raise InputError(f'The rule "{text}" names a column twice: name each once.')

    def _order(self, text: str, left: str, sign: str, right: str) -> Order:
        base, other = self._column(left), self._column(right)
        self._numbers(text, (base, other), with_dates=True)
        ratio = self._ratio(text, self.dates[base], self.dates[other])
        own = self.places[base], self.places[other]
        places = None if None in own else max(each or 0 for each in own)
        return Order(
            text=text,
            determined=(other,),
            sources=(base,),
            slot=other,
            sign=1 if sign[0] == "<" else -1,
            ratio=ratio,
            places=places,
            written=own[1],
            least=0.0 if len(sign) == 2 or places is None else 10.0**-places,
        )

    def _ratio(self, text: str, base: Dates | None, other: Dates | None) -> float:
        """How many units of one column of dates a unit of another has; 1 for numbers."""
        if base is None and other is None:
            return 1.0
        if base is None or other is None or base.kind != other.kind or base.unit < other.unit:
            raise InputError(
                f'The rule "{text}" compares columns that count in different units: write it the other way round, with '
                ">= for <=, if the left one has the finer times, or leave it out."
            )
        return base.unit / other.unit

    def _total(self, text: str, left: str, right: str) -> Total:
        names = _TERMS.split(f" {right.strip()}" if right.strip().startswith("- ") else f" + {right.strip()}")
        signs, columns = names[1::2], [self._column(name) for name in (left, *names[2::2])]
        self._numbers(text, columns)
        return Total(
            text=text,
            determined=(columns[0],),
            sources=tuple(columns[1:]),
            signs=tuple(1 if sign == "+" else -1 for sign in signs),
            places=tuple(self.places[j] for j in columns),
        )

    def _one_of(self, text: str, columns: Sequence[int]) -> OneOf:
        for j in columns:
            if self.levels[j] and tuple(level.lower() for level in self.levels[j]) not in TRUTH:
                raise InputError(f'The rule "{text}" is one of columns of 0 and 1, but "{self.columns[j]}" holds text.')
        if len(set(columns)) < max(len(columns), 2):
            raise InputError(f'The rule "{text}" needs two columns or more, each named once.')
        return OneOf(text=text, determined=tuple(columns), slot=columns[0])


def _ordered(rules: list[Rule], columns: Sequence[str]) -> tuple[Rule, ...]:
    """The rules in an order in which the sources of each are computed before it."""
    owner: dict[int, Rule] = {}
    for rule in rules:
        for j in rule.determined:
            if j in owner:
                raise InputError(
                    f'Both the rules "{owner[j].text}" and "{rule.text}" determine "{columns[j]}": leave out one of '
                    "them, or write it the other way round."
                )
            owner[j] = rule
    found: list[Rule] = []
    while len(found) < len(rules):
        ready = [r for r in rules if r not in found and all(j not in owner or owner[j] in found for j in r.sources)]
        if not ready:
            circle = " and ".join(f'"{rule.text}"' for rule in rules if rule not in found)
            raise InputError(f"The rules {circle} determine each other in a circle: leave out one of them.")
        found += ready
    return tuple(found)
