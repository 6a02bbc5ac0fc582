"""A sampler of an order that no other has, in the table for a moment: whatever reads the table works."""

import json

import pytest
from benchmarks import truth
from tests.cli.command import run_here
from tests.diffusion.rk5 import rk5

from driftfield.diffusion import SAMPLERS, Sampler
from driftfield.report.convergence import convergence_png
from driftfield.verification import convergence
from driftfield.verification.convergence import enough_steps, measure


@pytest.fixture(autouse=True)
def row_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Sampler(
        rk5,
        "Runge-Kutta of six stages in the angle",
        "Hairer et al. 1993, II.5",
        order=5,
        evaluations=6,
        fewest_steps=2,
    )
    monkeypatch.setitem(SAMPLERS, "rk5", row)
    monkeypatch.setattr(convergence, "ROWS", 100)
    monkeypatch.setattr(convergence, "DRAWS", 1)


def test_its_order_is_measured_drawn_and_compared_with_the_stated_one() -> None:
    (found,) = measure(("rk5",))
    # Between 64 and 256 steps the error falls from 4e-8 to 3e-11; the reference is a solution to 1e-11.
    assert found.order == pytest.approx(5, abs=0.3)
    assert found.steps_errors[0] < 1e-3
    assert convergence_png([found], 0.1)
    row = truth._sampler_row(found, SAMPLERS["rk5"], 0.1)
    assert row[:2] == ["rk5", "5"]


def test_it_may_be_used_from_its_fewest_steps_on() -> None:
    assert not enough_steps(SAMPLERS["rk5"], 1)
    assert all(enough_steps(SAMPLERS["rk5"], n) for n in (2, 3, 8))


def test_it_is_listed_and_measured_by_the_command(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = json.loads(run_here("samplers", "--json", cwd=tmp_path).stdout)
    assert {"name": "rk5", "order": 5}.items() <= entries[-1].items()
    listed = run_here("samplers", cwd=tmp_path)
    (line,) = [line for line in listed.stdout.splitlines() if line.startswith("rk5 ")]
    assert line.split()[1:4] == ["5", "6", "2"]
    monkeypatch.setattr(convergence, "SAMPLERS", {"rk5": SAMPLERS["rk5"]})
    done = run_here("samplers", "--measure", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[:2] == ["rk5", "5"]
