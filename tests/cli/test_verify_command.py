"""driftfield verify: JSON alone on stdout, its files, its exit codes, and the section of the report."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import Run
from safetensors import safe_open
from safetensors.numpy import save_file

from driftfield.model.run import write_checksums
from driftfield.verification import density


@pytest.fixture(autouse=True)
def small_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer points for the checks of the density; what they find is tested in tests/verification."""
    monkeypatch.setattr(density, "SCORE_ROWS", 64)
    monkeypatch.setattr(density, "MOST_POINTS", {1: 501, 2: 64**2})


@pytest.fixture
def own_run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the tiny run, to write into."""
    return Path(shutil.copytree(tiny_run, tmp_path / "tiny"))


def with_wrong_scale(run: Path) -> None:
    path = run / "model.safetensors"
    with safe_open(path, framework="np") as file:
        about, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    tensors["scaler.scale"] = np.ascontiguousarray(2 * tensors["scaler.scale"])
    save_file(tensors, path, metadata=about)
    write_checksums(run)


def test_json_is_alone_on_stdout_and_a_failure_is_exit_code_1(driftfield: Run, own_run: Path) -> None:
    with_wrong_scale(own_run)
    done = driftfield("verify", str(own_run), "--rows", "100", "--json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert found["passed"] is False
    assert found["cause"] == "units"
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["units"]["status"] == "fail"
    assert {"mass", "score", "round_trip", "latents", "bound", "exact_score", "sampler", "network"} <= set(checks)
    assert "verify.html" in done.stderr
    assert "Traceback" not in done.stderr
    kept = json.loads((own_run / "verify.json").read_text())
    assert kept["checks"] == found["checks"]
    assert len(kept["map"]["x"]) == len(kept["map"]["error"]) == 60


def test_the_report_shows_the_checks_once_they_were_made(driftfield: Run, own_run: Path) -> None:
    done = driftfield("verify", str(own_run), "--rows", "50")
    assert done.returncode == 1  # after 60 steps of training the network has not learned the distribution
    assert "Most likely, the network has not learned the distribution" in done.stdout
    page = (own_run / "verify.html").read_text()
    assert driftfield("report", str(own_run), "--rows", "50", "--theme", "light").returncode == 0
    report = (own_run / "report.html").read_text()
    for text in (page, report):
        assert "Latent codes are normal" in text
        assert "Where the score is wrong, at noise 0.20" in text
    assert 'id="verification"' in report
    assert (own_run / "figures" / "verification.png").exists()


def test_a_model_that_passes_is_exit_code_0(driftfield: Run, tmp_path: Path) -> None:
    rows = ["--set", "data.rows=4000", "--set", "network.width=32", "--set", "train.batch=256", "--steps", "300"]
    assert driftfield("fit", "gaussian", "-o", "run", *rows).returncode == 0
    done = driftfield("verify", "run", "--rows", "500")
    assert done.returncode == 0, done.stdout
    assert "All 13 checks pass" in done.stdout


def test_bad_input_is_exit_code_2(driftfield: Run, tiny_run: Path) -> None:
    missing = driftfield("verify", "nowhere")
    assert missing.returncode == 2
    assert "driftfield fit" in missing.stderr
    assert driftfield("verify", str(tiny_run), "--rows", "5").returncode == 2
    unknown = driftfield("verify", str(tiny_run), "--theme", "drak")
    assert unknown.returncode == 2
    assert "dark" in unknown.stderr
    assert not (tiny_run / "verify.json").exists()
