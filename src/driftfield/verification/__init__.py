"""Verify: a trained model checked as a scientific instrument, each number beside what is allowed.

A question (:mod:`driftfield.verification.questions`) has a name and says what a failure means; what answers it is a
function of the subject, the model with the rows and draws that checks share. The pattern of failures names a cause
(:mod:`driftfield.verification.cause`). Every slack was measured, on models that are well trained and on broken ones.
"""

from driftfield.verification.cause import SENTENCES
from driftfield.verification.check import Check, Finding, Question
from driftfield.verification.questions import QUESTIONS
from driftfield.verification.truth import ErrorMap
from driftfield.verification.verify import Verification, verify

__all__ = ["QUESTIONS", "SENTENCES", "Check", "ErrorMap", "Finding", "Question", "Verification", "verify"]
