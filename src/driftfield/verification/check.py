"""Check: one line of a verification, a value with the range that passes, and what a failure means.

A finding is a measured value; a question names it and says what a failure means; its answer is a check.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from driftfield.errors import DriftfieldError, InputError
from driftfield.verification.subject import Subject

PASS, FAIL, SKIPPED = "pass", "fail", "not applicable"


class DoesNotApply(Exception):
    """A check has no meaning for this model; the message says why."""


@dataclass(frozen=True)
class Finding:
    """What was measured.

    Attributes:
        value: the number; nan if it could not be computed.
        low, high: the ends of the range that passes, both included; None for an open end.
        error: standard error of ``value``, if it is an estimate.
        floor: the value of a perfect model.
        note: what was measured and on what.
        details: further numbers, as plain data for JSON and for finding the cause.
    """

    value: float
    low: float | None = None
    high: float | None = None
    error: float | None = None
    floor: float | None = None
    note: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the value is finite and within its range."""
        above = self.low is None or self.value >= self.low
        below = self.high is None or self.value <= self.high
        return math.isfinite(self.value) and above and below


@dataclass(frozen=True)
class Question:
    """A question about a model.

    Attributes:
        name: a key, "mass".
        label: for people, "Mass of the density".
        unit: of the value, "nats", "standard deviations", or "" for a pure number.
        failure: what a failure means, one sentence.
        find: measures the value, or raises :class:`DoesNotApply`.
    """

    name: str
    label: str
    unit: str
    failure: str
    find: Callable[[Subject], Finding]

    def answer(self, subject: Subject) -> Check:
        """The check; a number that cannot be computed is a failure."""
        try:
            return Check(self, self.find(subject))
        except DoesNotApply as why:
            return Check(self, None, str(why))
        except InputError:
            raise
        except DriftfieldError as error:
            return Check(self, Finding(math.nan, note=f"could not be computed: {error}"))


@dataclass(frozen=True)
class Check:
    """A question and its answer: a finding, or the reason why there is none."""

    question: Question
    finding: Finding | None
    reason: str = ""

    @property
    def name(self) -> str:
        """The name of the question."""
        return self.question.name

    @property
    def passed(self) -> bool | None:
        """Whether it passed; None if the check does not apply."""
        return None if self.finding is None else self.finding.passed

    @property
    def failed(self) -> bool:
        """Whether it applies and did not pass."""
        return self.passed is False

    @property
    def status(self) -> str:
        """One of "pass", "fail" and "not applicable"."""
        return {True: PASS, False: FAIL, None: SKIPPED}[self.passed]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        found = self.finding or Finding(math.nan)
        return {
            "name": self.question.name,
            "label": self.question.label,
            "status": self.status,
            "value": found.value,
            "low": found.low,
            "high": found.high,
            "error": found.error,
            "floor": found.floor,
            "unit": self.question.unit,
            "note": found.note,
            "reason": self.reason,
            "failure": self.question.failure,
            "details": dict(found.details),
        }
