"""What passes, and which cause a pattern of failures names."""

import math

import numpy as np
import pytest

from driftfield.errors import DriftfieldError
from driftfield.verification import Check, Finding, Question
from driftfield.verification.cause import SENTENCES, conclusion, likely_cause
from driftfield.verification.check import DoesNotApply
from driftfield.verification.latents import latents
from driftfield.verification.subject import Subject


def question(name: str) -> Question:
    return Question(name, name.title(), "", "It is broken.", lambda subject: Finding(0.0))


SWAPPED = {
    "input": "t",
    "best_input": {"0.5": 0.3, "1": 0.6},
    "gain": {"0.5": 0.1, "1": 0.1},
    "beside_linear": {"0.5": 0.8, "1": 0.9},
}


def checks(*failing: str, slopes: tuple[float, ...] = (1.0, 1.0, 1.0), **clock: object) -> list[Check]:
    names = "units", "prior", "calibration", "clock", "mass", "score", "latents", "network", "sampler", "memorisation"
    details = {"by_noise": {str(i): slope for i, slope in enumerate(slopes)}, **SWAPPED, **clock}
    return [Check(question(name), Finding(2.0 * (name in failing), high=1.0, details=details)) for name in names]


@pytest.mark.parametrize(
    ("value", "low", "high", "passed"),
    [
        (1.0, 1.0, 1.0, True),
        (0.9, 1.0, None, False),
        (1.1, None, 1.0, False),
        (math.nan, None, None, False),
        (math.inf, 0.0, None, False),
    ],
)
def test_a_value_passes_between_its_ends_if_it_is_finite(
    value: float, low: float | None, high: float | None, passed: bool
) -> None:
    assert Finding(value, low, high).passed is passed


@pytest.mark.parametrize(
    ("failing", "cause"),
    [
        ((), "nothing"),
        (("units", "calibration", "clock", "latents", "network"), "units"),
        (("memorisation", "calibration", "latents"), "memorised"),
        (("clock", "calibration", "latents", "network", "mass"), "schedule"),
        (("latents", "network"), "network"),
        (("prior", "latents", "network", "sampler"), "prior"),
        (("prior", "calibration", "latents", "network"), "network"),
        (("sampler",), "sampler"),
        (("mass",), "density"),
    ],
)
def test_a_pattern_of_failures_names_its_cause(failing: tuple[str, ...], cause: str) -> None:
    assert likely_cause(checks(*failing)) == cause
    sentence = conclusion(checks(*failing))
    assert SENTENCES.get(cause, "All 10 checks pass") in sentence


def test_negative_slopes_name_the_sign_before_memorisation_and_clock() -> None:
    failing = checks("calibration", "clock", "memorisation", slopes=(-1.0, -0.9, 0.1))
    assert likely_cause(failing) == "sign"


def test_a_network_that_has_learned_nothing_was_not_swapped_but_not_trained() -> None:
    failing = "clock", "calibration", "latents"
    assert likely_cause(checks(*failing)) == "schedule"
    assert likely_cause(checks(*failing, beside_linear={"0.5": 1.0, "1": 0.99})) == "network"
    assert likely_cause(checks(*failing, best_input={"0.5": 0.3, "1": 1.6})) == "network"
    assert likely_cause(checks(*failing, input="log-sigma")) == "network"


def test_what_cannot_be_computed_fails_and_what_does_not_apply_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(subject: Subject) -> Finding:
        raise DriftfieldError("some samples are not finite.")

    def senseless(subject: Subject) -> Finding:
        raise DoesNotApply("there is no ODE")

    subject = None
    failed = Question("a", "A", "", "", broken).answer(subject)  # type: ignore[arg-type]
    skipped = Question("b", "B", "", "", senseless).answer(subject)  # type: ignore[arg-type]
    assert failed.status == "fail"
    assert "not finite" in failed.as_dict()["note"]
    assert skipped.status == "not applicable"
    assert skipped.as_dict()["reason"] == "there is no ODE"


class Codes:
    """A subject that has nothing but latent codes."""

    is_kernel = False

    def __init__(self, codes: np.ndarray) -> None:
        self.latents = codes

    def stream(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng(0)


def test_normal_codes_pass_and_codes_of_another_scale_place_or_radius_fail() -> None:
    rng = np.random.default_rng(1)
    normal = rng.standard_normal((4_000, 3))
    assert latents(Codes(normal)).passed  # type: ignore[arg-type]
    radius = np.linalg.norm(normal, axis=1, keepdims=True)
    correlated = normal @ np.linalg.cholesky(np.eye(3) * 0.3 + 0.7).T  # standard normal in each column, but not beside
    for wrong in (1.25 * normal, normal + 0.2, normal / radius * np.sqrt(3), correlated):
        assert not latents(Codes(wrong)).passed  # type: ignore[arg-type]


def test_normal_codes_of_any_number_of_rows_stay_below_the_floor() -> None:
    rng = np.random.default_rng(2)
    found = [latents(Codes(rng.standard_normal((n, 2)))) for n in (50, 500) for _ in range(100)]  # type: ignore[arg-type]
    # The floor is exceeded in at most one of a hundred verifications, by Bonferroni's bound; four of 200 are allowed.
    assert sum(each.value > each.floor for each in found) <= 4
    assert all(each.passed for each in found)
