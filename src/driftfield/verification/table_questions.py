"""The questions of the verification of a table, in order. To add a check, write its function and add a row here.

Those of plain models that keep their meaning are asked with the same words; the others say why they do not apply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from driftfield.verification import chances, conditionals, masses, table_rows
from driftfield.verification.check import DoesNotApply, Finding, Question
from driftfield.verification.questions import QUESTIONS
from driftfield.verification.subject import Subject

Find = Callable[[Subject], Finding]
PLAIN = {question.name: question for question in QUESTIONS}
UNITS = (
    "The map between your cells and the network's numbers and levels is not the one that the model was trained with: "
    "samples and log-probabilities are in wrong units."
)
CODES = "the rows of a table have no latent codes, as their categories are drawn from probabilities"
NO_MEANING = {
    "clock": "the network of a table is told the noise level itself, whatever its schedule",
    "score": "the rows of a table have no score, as their categories have no gradient",
    "round_trip": CODES,
    "latents": CODES,
    "bound": "the log-probability of a table has no lower bound beside it",
    "exact_score": "the distribution of the data is not known",
}


def _asked(name: str, find: Find, failure: str | None = None) -> Question:
    """A question of plain models, answered for a table."""
    plain = PLAIN[name]
    return replace(plain, find=find, failure=failure or plain.failure)


def _no_meaning(name: str, reason: str) -> Question:
    def find(subject: Subject) -> Finding:
        raise DoesNotApply(reason)

    return replace(PLAIN[name], find=find)


TABLE_QUESTIONS: tuple[Question, ...] = (
    _asked("units", table_rows.units, UNITS),
    PLAIN["prior"],
    Question(
        "sums",
        "Probabilities of categories",
        "",
        "The probabilities of the levels of a category do not sum to 1: two levels have the same code, or the "
        "probability of a row depends on other rows.",
        chances.sums,
    ),
    Question(
        "order",
        "Order of the categories",
        "nats",
        "The log-probability of a row's categories depends on the order in which they are taken: the network's "
        "conditionals contradict each other; train longer, on more rows, or with more width.",
        chances.order,
    ),
    Question(
        "masses",
        "Masses of numbers",
        "",
        "The masses of whole numbers, or a density with its atoms, do not add up to 1: the map of the column or the "
        "width of its intervals is wrong, or the ODE is solved too coarsely.",
        masses.masses,
    ),
    Question(
        "ratios",
        "Conditionals against ratios of joints",
        "nats",
        "Conditional log-probabilities differ from the ratios of joint ones: the network contradicts itself, or it "
        "ignores given cells; train longer, on more rows, or with more width.",
        conditionals.ratios,
    ),
    _asked("calibration", table_rows.calibration),
    _asked("network", table_rows.network),
    _asked("sampler", table_rows.sampler),
    _asked("memorisation", table_rows.copies),
    *(_no_meaning(name, reason) for name, reason in NO_MEANING.items()),
)
