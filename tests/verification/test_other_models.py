"""Models of every kind can be verified: what does not apply to one says why."""

import numpy as np
import pytest
from broken_models import small_checks  # noqa: F401

import driftfield
from driftfield.verification import Verification, verify


def reasons(found: Verification) -> dict[str, str]:
    return {check.name: check.reason for check in found.checks if check.passed is None}


def test_a_learned_kernel_is_judged_by_its_rows_and_says_that_it_has_no_ode() -> None:
    found = verify(driftfield.fit(None, "swiss-roll-elbo", epochs=1), 200)
    assert set(reasons(found)) == {
        "calibration", "clock", "mass", "score", "round_trip", "latents", "bound", "exact_score", "sampler",
    }  # fmt: skip
    assert all("learned kernel" in reason or "network" in reason for reason in reasons(found).values())
    assert found["network"].failed  # after one epoch
    assert found.map is None


@pytest.mark.parametrize("recipe", ["moons-classes", "moons-ddpm"])
def test_chains_and_models_with_classes_answer_every_question(recipe: str) -> None:
    found = verify(driftfield.fit(None, recipe, epochs=2, likelihood={"steps": 20}), 100)
    assert reasons(found) == {}
    assert found.cause == "network"  # after two epochs
    # The tutorial's chain ends with a signal variance of 0.78; that of the classes ends in its prior.
    assert found["prior"].failed == (recipe == "moons-ddpm")
    assert ("In addition" in found.conclusion) == (recipe == "moons-ddpm")


def test_a_single_column_is_integrated_on_a_line() -> None:
    rows = np.random.default_rng(0).normal(3, 2, (2_000, 1))
    found = verify(driftfield.fit(rows, steps=200), 400)
    assert found["mass"].finding.value == pytest.approx(1, abs=5e-3)  # Runge-Kutta with 24 steps
    assert found["exact_score"].passed is None
