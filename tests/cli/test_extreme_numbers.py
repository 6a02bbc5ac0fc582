"""Columns of very small and very large numbers: they work, or are refused in a sentence, without a warning of NumPy."""

import json
from pathlib import Path

import numpy as np
import pytest
from command import Run

X = np.random.default_rng(0).normal(size=(80, 2))
SETTINGS = ["--steps", "2", "-q", "--set", "network.width=16", "--set", "sample.steps=2", "--set", "likelihood.steps=2"]


def write(folder: Path, scale: str, text: bool) -> None:
    lines = (f"{a:.3f}{scale},{b:.3f}" + f",{'uv'[i % 2]}" * text for i, (a, b) in enumerate(X))
    (folder / "t.csv").write_text("a,b" + ",k" * text + "\n" + "\n".join(lines) + "\n")


@pytest.mark.parametrize("scale", ["e-320", "e-160", "e290"])
def test_a_table_with_text_refuses_them(driftfield: Run, tmp_path: Path, scale: str) -> None:
    write(tmp_path, scale, text=True)
    for arguments in (["data", "t.csv"], ["fit", "t.csv", "-o", "run", *SETTINGS]):
        done = driftfield(*arguments)
        assert "RuntimeWarning" not in done.stderr
        said = " ".join((done.stdout + done.stderr).split())
        assert 'Column "a" has numbers from' in said
        assert "multiply it by" in said
    assert done.returncode == 2


@pytest.mark.parametrize("scale", ["e-300", "e160", "e290"])
def test_a_table_of_numbers_takes_them(driftfield: Run, tmp_path: Path, scale: str) -> None:
    write(tmp_path, scale, text=False)
    found = json.loads(driftfield("data", "t.csv", "--json").stdout)["columns"][0]
    unit = float("1" + scale)
    assert found["std"] / unit == pytest.approx(X[:, 0].std(), abs=1e-3)  # cells have three decimals
    done = driftfield("fit", "t.csv", "-o", "run", *SETTINGS)
    assert done.returncode == 0, done.stderr
    assert "RuntimeWarning" not in done.stderr
    for command in (["sample", "run", "-n", "3", "-q"], ["score", "run", "t.csv", "-q"], ["evaluate", "run"]):
        done = driftfield(*command)
        assert done.returncode == 0, done.stderr
        assert "RuntimeWarning" not in done.stderr


@pytest.mark.parametrize("scale", ["e-80", "e80"])
def test_a_table_with_text_takes_what_it_can_compute_with(driftfield: Run, tmp_path: Path, scale: str) -> None:
    write(tmp_path, scale, text=True)
    done = driftfield("fit", "t.csv", "-o", "run", *SETTINGS)
    assert done.returncode == 0, done.stderr
    for command in (["sample", "run", "-n", "3", "-q"], ["score", "run", "t.csv", "-q"]):
        done = driftfield(*command)
        assert done.returncode == 0, done.stderr
        assert "RuntimeWarning" not in done.stderr
