"""A run is the files that were written together: one that was changed, cut, exchanged or lost is named, never used."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import driftfield
from driftfield.errors import InputError

TINY = {"network": {"width": 8}, "train": {"steps": 3, "snapshots": [2]}}
FILES = (
    "model.safetensors",
    "recipe.toml",
    "train.parquet",
    "held_out.parquet",
    "environment.json",
    "metrics.jsonl",
    "snapshots.safetensors",
)


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models of the same shape on the same data."""
    folder = tmp_path_factory.mktemp("runs")
    first, second = (driftfield.fit("moons", TINY, seed, rows=200).save(folder / str(seed)) for seed in (0, 1))
    return first, second


def flipped(file: Path, other: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def truncated(file: Path, other: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


def exchanged(file: Path, other: Path) -> None:
    if file.name == "recipe.toml":  # which is the same in both runs
        file.write_text(file.read_text().replace("width = 8", "width = 9"))
    else:
        shutil.copy(other / file.name, file)


def removed(file: Path, other: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("change", [flipped, truncated, exchanged, removed])
def test_a_changed_file_of_a_run_is_named_in_one_sentence(
    change: Callable[[Path, Path], None], two_runs: tuple[Path, Path], tmp_path: Path
) -> None:
    run, other = two_runs
    for name in (*FILES, "SHA256SUMS"):
        copy = Path(shutil.copytree(run, tmp_path / name))
        change(copy / name, other)
        with pytest.raises(InputError) as raised:
            driftfield.load(copy)
        message = str(raised.value)
        assert str(copy) in message
        assert message.endswith(".")
        if name != "SHA256SUMS" and not (change is removed and name in ("model.safetensors", "recipe.toml")):
            assert name in message


def test_checksums_are_those_of_sha256sum(two_runs: tuple[Path, Path]) -> None:
    listed = {line.split("  ")[1] for line in (two_runs[0] / "SHA256SUMS").read_text().splitlines()}
    assert listed == set(FILES)
    program = shutil.which("sha256sum")
    if program:
        subprocess.run([program, "--check", "--quiet", "SHA256SUMS"], cwd=two_runs[0], check=True)


def test_a_run_of_an_earlier_version_has_no_checksums_and_loads(two_runs: tuple[Path, Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(two_runs[0], tmp_path / "old"))
    without_checksums(run)
    assert np.array_equal(driftfield.load(run).sample(5), driftfield.load(two_runs[0]).sample(5))


def without_checksums(run: Path) -> None:
    """As earlier versions wrote runs."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    (run / "SHA256SUMS").unlink()
    path = run / "model.safetensors"
    with safe_open(path, framework="np") as file:
        about, tensors = json.loads(file.metadata()["model"]), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    del about["checksums"]
    save_file(tensors, path, metadata={"model": json.dumps(about)})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b"\xff" * 8 + b"{}"),
        ("model.safetensors", (2).to_bytes(8, "little") + b"{}"),
        ("environment.json", b"[1]"),
        ("environment.json", b"[" * 100_000),
        ("metrics.jsonl", b"{\n"),
        ("metrics.jsonl", b"\xff\n"),
        ("recipe.toml", b"[network\n"),
        ("train.parquet", b"PAR1PAR1"),
        ("held_out.parquet", b""),
        ("snapshots.safetensors", b"x"),
    ],
)
def test_without_checksums_a_damaged_file_is_still_named(
    name: str, content: bytes, two_runs: tuple[Path, Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(two_runs[0], tmp_path / "old"))
    without_checksums(run)
    (run / name).write_bytes(content)
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        driftfield.load(run)


def test_without_checksums_rows_of_other_columns_are_refused(two_runs: tuple[Path, Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(two_runs[0], tmp_path / "old"))
    without_checksums(run)
    driftfield.datasets.write_rows(run / "train.parquet", np.eye(3), ["x", "y", "z"])
    with pytest.raises(InputError, match=r"train\.parquet has other columns"):
        driftfield.load(run)
