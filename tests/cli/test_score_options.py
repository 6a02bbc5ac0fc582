"""Options of ``score`` and ``sample`` that ask for other noise levels, bounds, codes, and solvers."""

import io
import json
from pathlib import Path

import polars as pl
import pytest
from command import Run

ROWS = "x,y\n0.0,1.0\n1.0,-0.5\n"


def test_bounds_and_latent_codes_stand_beside_the_density(driftfield: Run, tiny_run: Path) -> None:
    done = driftfield("score", str(tiny_run), "-", "--bound", "--latent", "--steps", "8", stdin=ROWS)
    assert done.returncode == 0, done.stderr
    table = pl.read_csv(io.StringIO(done.stdout))
    assert table.columns == ["log_density", "error", "bound", "bound_error", "z_x", "z_y"]
    assert len(table) == 2
    summary = json.loads(driftfield("score", str(tiny_run), "-", "--latent", "--json", stdin=ROWS).stdout)
    assert len(summary["z_x"]) == 2


def test_densities_at_a_noise_level_and_by_tolerance(driftfield: Run, tiny_run: Path) -> None:
    plain, noisy, close = (
        pl.read_csv(io.StringIO(driftfield("score", str(tiny_run), "-", *options, stdin=ROWS).stdout))["log_density"]
        for options in ((), ("--noise", "2"), ("--tolerance", "1e-5"))
    )
    assert (plain - close).abs().max() < 0.05  # a network that is hardly trained is rough: the default's own error
    assert (plain - noisy).abs().max() > 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--noise", "0.1", "--bound"), "leave out --bound"),
        (("--noise", "0.1", "--t", "0.5"), "not both"),
        (("--tolerance", "3"), "must lie between 0 and 1"),
        (("--divergence", "hutch"), 'did you mean "hutchinson"'),
    ],
)
def test_options_that_make_no_sense_are_refused(
    driftfield: Run, tiny_run: Path, options: tuple[str, ...], message: str
) -> None:
    done = driftfield("score", str(tiny_run), "-", *options, stdin=ROWS)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_rows_are_drawn_to_a_tolerance(driftfield: Run, tiny_run: Path) -> None:
    done = driftfield("sample", str(tiny_run), "-n", "3", "--sampler", "rk45", "--tolerance", "1e-4")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4
    refused = driftfield("sample", str(tiny_run), "-n", "3", "--tolerance", "1e-4")
    assert refused.returncode == 2
    assert 'it belongs to "rk45"' in refused.stderr


def test_the_bound_takes_the_seed_of_the_command(driftfield: Run, tiny_run: Path) -> None:
    first, again, other = (
        pl.read_csv(io.StringIO(driftfield("score", str(tiny_run), "-", "--bound", *seed, stdin=ROWS).stdout))
        for seed in (("--seed", "1"), ("--seed", "1"), ("--seed", "2"))
    )
    assert first.equals(again)
    assert (first["bound"] != other["bound"]).all()
    assert first["log_density"].equals(other["log_density"])  # in two dimensions nothing random is in it


def test_rows_out_of_reach_are_null_in_json_and_empty_in_csv_with_a_word_on_stderr(
    driftfield: Run, tiny_run: Path
) -> None:
    rows = "x,y\n0.5,0.5\n-3.4028235e38,0\n1e30,0.5\n"
    done = driftfield("score", str(tiny_run), "-", "--json", "--steps", "8", stdin=rows)

    def refuse(name: str) -> None:
        raise ValueError(name)

    found = json.loads(done.stdout, parse_constant=refuse)
    assert found["log_density"][1:] == found["error"][1:] == [None, None]
    assert found["mean_log_density"] is None
    table = driftfield("score", str(tiny_run), "-", "--steps", "8", stdin=rows)
    assert table.returncode == 0
    assert table.stdout.splitlines()[2:] == [",", ","]
    assert table.stderr.count("2 rows have a density too small to compute, the first in row 2") == 1
    assert "RuntimeWarning" not in table.stderr
