"""A well-trained model passes; one that is broken on purpose fails, in the right checks and for the right reason."""

from collections.abc import Callable

import pytest
from broken_models import (
    small_checks,  # noqa: F401
    with_exact_score,
    with_memorised_rows,
    with_perturbed_weights,
    with_swapped_schedule,
    with_wrong_jacobian,
    with_wrong_scale,
    with_wrong_sign,
)

import driftfield
from driftfield.errors import InputError
from driftfield.model.model import Model
from driftfield.verification import QUESTIONS, Verification, verify
from driftfield.verification.subject import Subject

ROWS = 600
LIKELIHOOD = {"steps": 20}  # half of the default
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def moons() -> Model:
    """By the default recipe, at half its width for speed."""
    return driftfield.fit("moons", steps=1_000, network={"width": 48}, likelihood=LIKELIHOOD)


@pytest.fixture(scope="module")
def eight_gaussians() -> Model:
    return driftfield.fit("8-gaussians", steps=1_000, network={"width": 48}, likelihood=LIKELIHOOD)


@pytest.fixture(scope="module")
def told_t() -> Model:
    """A network that gets t itself, on a linear chain."""
    return driftfield.fit(
        "moons",
        steps=600,
        head="eps",
        schedule={"kind": "linear", "T": 50, "beta_end": 0.25},
        network={"embedding": "sine-time"},
        train={"prior": "standard"},
        sample={"sampler": "ddim", "grid": "uniform", "steps": 50},
        likelihood=LIKELIHOOD,
    )


def failures(found: Verification) -> set[str]:
    return {check.name for check in found.checks if check.failed}


def applicable(found: Verification) -> set[str]:
    return {check.name for check in found.checks if check.passed is not None}


def test_a_well_trained_model_of_moons_passes_every_check(moons: Model) -> None:
    found = verify(moons, ROWS)
    assert failures(found) == set()
    assert found.cause == "nothing"
    assert applicable(found) == {question.name for question in QUESTIONS}
    assert found.map is not None


def test_a_well_trained_model_of_eight_gaussians_passes_every_check(eight_gaussians: Model) -> None:
    found = verify(eight_gaussians, ROWS)
    assert failures(found) == set()
    assert applicable(found) == {question.name for question in QUESTIONS}


def test_a_well_trained_model_of_a_table_passes_every_check_that_applies() -> None:
    found = verify(driftfield.fit("sklearn:diabetes", steps=600, likelihood=LIKELIHOOD))
    assert failures(found) == set()
    # The distribution is unknown, so the exact score is; all else applies, the mass by importance sampling in ten
    # columns.
    assert {check.name for check in found.checks if check.passed is None} == {"exact_score"}


def test_an_exact_model_has_the_values_of_theory(eight_gaussians: Model) -> None:
    found = verify(with_exact_score(eight_gaussians), ROWS)
    value = {check.name: check.finding.value for check in found.checks if check.finding is not None}
    assert failures(found) == set()
    assert value["mass"] == pytest.approx(1, abs=2e-3)  # Runge-Kutta with 16 steps
    assert value["score"] == pytest.approx(1, abs=0.01)  # differences over a tenth of the noise: 0.1^2 / 6 and float32
    assert value["calibration"] == pytest.approx(1, abs=0.06)  # four standard errors
    assert value["exact_score"] == pytest.approx(0, abs=1e-6)  # float32


def test_perturbed_weights_accuse_the_network(moons: Model) -> None:
    found = verify(with_perturbed_weights(moons), ROWS)
    assert "exact_score" in failures(found)
    assert found.cause == "network"
    # What no weight can spoil: a flow has mass 1 whatever its network, and units and prior are not the network's.
    assert not failures(found) & {"units", "prior", "mass", "memorisation", "sampler"}


@pytest.mark.parametrize("break_", [with_wrong_scale, with_wrong_jacobian])
def test_wrong_units_accuse_the_units(moons: Model, break_: Callable[[Model], Model]) -> None:
    found = verify(break_(moons), ROWS)
    assert "units" in failures(found)
    assert found.cause == "units"
    # A wrong Jacobian shifts densities and nothing else; a wrong scale is a consistent change of units, of mass 1.
    assert ("mass" in failures(found)) == (break_ is with_wrong_jacobian)
    assert ("latents" in failures(found)) == (break_ is with_wrong_scale)


def test_a_wrong_sign_accuses_the_sign(moons: Model) -> None:
    found = verify(with_wrong_sign(moons), ROWS)
    assert {"calibration", "score", "latents", "exact_score", "network"} <= failures(found)
    assert found.cause == "sign"
    slopes = found["calibration"].finding.details["by_noise"].values()
    assert max(slopes) < 0


def test_a_swapped_schedule_accuses_the_schedule(told_t: Model) -> None:
    clock = next(question for question in QUESTIONS if question.name == "clock")
    assert clock.answer(Subject(told_t, ROWS, 0)).passed
    found = verify(with_swapped_schedule(told_t), ROWS)
    assert {"clock", "latents", "exact_score"} <= failures(found)
    assert found.cause == "schedule"


def test_memorised_rows_accuse_memorisation(moons: Model) -> None:
    found = verify(with_memorised_rows(moons), 500)
    assert {"memorisation", "calibration", "exact_score"} <= failures(found)
    assert found.cause == "memorised"


def test_the_same_seed_gives_the_same_numbers_and_another_one_others(moons: Model) -> None:
    chosen = [question for question in QUESTIONS if question.name in ("calibration", "latents", "network", "bound")]
    first, second, other = (
        [question.answer(Subject(moons, 100, seed)).as_dict() for question in chosen] for seed in (3, 3, 4)
    )
    assert first == second
    assert all(one["value"] != two["value"] for one, two in zip(first, other, strict=True))


def test_too_few_rows_are_refused(moons: Model) -> None:
    with pytest.raises(InputError, match="20"):
        verify(moons, 19)
