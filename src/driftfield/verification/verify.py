"""Verify: run all checks of a model, in seconds, and name the most likely cause of failures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from driftfield.codecs import TableCodec
from driftfield.errors import InputError
from driftfield.files import plain
from driftfield.model.model import Model
from driftfield.model.variants import without_rules
from driftfield.verification import truth
from driftfield.verification.cause import conclusion, likely_cause
from driftfield.verification.check import Check, Question
from driftfield.verification.questions import QUESTIONS
from driftfield.verification.subject import Subject
from driftfield.verification.table_questions import TABLE_QUESTIONS

ROWS = 4_000
FEWEST_ROWS = 20


@dataclass(frozen=True)
class Verification:
    """The checks of a model and their conclusion.

    Attributes:
        conclusion: one sentence, with the most likely cause if a check fails.
        cause: its key (see :mod:`driftfield.verification.cause`), "nothing" if all pass.
        checks: one line each.
        map: the error of the score in the plane; None if the distribution is not known.
        rows, seed, seconds: how many rows were used, with which seed, and how long it took.
    """

    conclusion: str
    cause: str
    checks: Sequence[Check]
    map: truth.ErrorMap | None
    rows: int
    seed: int
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether no check fails."""
        return not any(check.failed for check in self.checks)

    def __getitem__(self, name: str) -> Check:
        return next(check for check in self.checks if check.name == name)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; numbers that are not finite become null."""
        found: dict[str, Any] = plain(
            {
                "passed": self.passed,
                "conclusion": self.conclusion,
                "cause": self.cause,
                "rows": self.rows,
                "seed": self.seed,
                "seconds": self.seconds,
                "checks": [check.as_dict() for check in self.checks],
            }
        )
        return found


def questions_of(model: Model) -> tuple[Question, ...]:
    """What a verification asks of a model."""
    return TABLE_QUESTIONS if isinstance(model.codec, TableCodec) else QUESTIONS


def verify(
    model: Model, rows: int | None = None, seed: int = 0, observe: Callable[[str], None] | None = None
) -> Verification:
    """Check a model as a scientific instrument; one of a table with rules as a model of what stands in their place.

    Args:
        rows: of each side, at most; 4,000 by default. Held-out rows, or fresh ones of a known distribution.
        seed: of every draw.
        observe: called with the name of each check before it runs.

    Raises:
        InputError: ``rows`` is below 20, or fewer rows are held out.
    """
    rows = ROWS if rows is None else rows
    if rows < FEWEST_ROWS:
        raise InputError(f"A verification needs at least {FEWEST_ROWS} rows, got {rows}.")
    started, model = time.monotonic(), without_rules(model)
    subject = Subject(model, rows, seed)
    if len(subject.real) < FEWEST_ROWS:
        raise InputError(f"Only {len(subject.real)} rows are held out: a verification needs at least {FEWEST_ROWS}.")
    checks = []
    for question in questions_of(model):
        if observe is not None:
            observe(question.label)
        checks.append(question.answer(subject))
    return Verification(
        conclusion(checks),
        likely_cause(checks),
        checks,
        None if subject.cells is not None else truth.error_map(subject),
        len(subject.real),
        seed,
        time.monotonic() - started,
    )
