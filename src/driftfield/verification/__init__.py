"""Verification: a trained model is checked like a scientific instrument, each number with the range that passes.

A question (:mod:`driftfield.verification.questions`, and of tables with categories and missing cells
:mod:`driftfield.verification.table_questions`) has a name and says what a failure means. It is answered by a
function of the subject: the model with the rows and draws that several checks use. The pattern of failures points to a
cause (:mod:`driftfield.verification.cause`). All tolerances were measured, on well-trained models and on broken ones.
"""

from driftfield.verification.cause import SENTENCES
from driftfield.verification.check import Check, Finding, Question
from driftfield.verification.questions import QUESTIONS
from driftfield.verification.table_questions import TABLE_QUESTIONS
from driftfield.verification.truth import ErrorMap
from driftfield.verification.verify import Verification, questions_of, verify

__all__ = [
    "QUESTIONS",
    "SENTENCES",
    "TABLE_QUESTIONS",
    "Check",
    "ErrorMap",
    "Finding",
    "Question",
    "Verification",
    "questions_of",
    "verify",
]
