"""Evaluation: two-sample metrics with their floors, memorisation, baselines, and a verdict.

scikit-learn and POT are imported on first use, so that this package is fast to import.
"""

from driftfield.evaluation.baselines import Baseline, baselines, best
from driftfield.evaluation.evaluate import Evaluation, evaluate
from driftfield.evaluation.memorisation import Memorisation, memorisation
from driftfield.evaluation.metrics import Metric, nll, two_sample
from driftfield.evaluation.verdict import verdict

__all__ = [
    "Baseline",
    "Evaluation",
    "Memorisation",
    "Metric",
    "baselines",
    "best",
    "evaluate",
    "memorisation",
    "nll",
    "two_sample",
    "verdict",
]
