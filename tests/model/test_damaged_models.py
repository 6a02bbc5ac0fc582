"""A model file that is damaged is named as such, whatever is wrong inside it; the data are not to blame."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import driftfield
from driftfield.errors import DriftfieldError, InputError
from driftfield.model.run import write_checksums

Change = Callable[[dict[str, np.ndarray]], None]


def no_weights(tensors: dict[str, np.ndarray]) -> None:
    del tensors[next(name for name in tensors if name.startswith("denoiser.network"))]


def not_a_number(tensors: dict[str, np.ndarray]) -> None:
    next(t for name, t in tensors.items() if name.startswith("denoiser.network"))[...] = np.nan


def no_scale(tensors: dict[str, np.ndarray]) -> None:
    tensors["scaler.scale"][...] = 0


def flat_rotation(tensors: dict[str, np.ndarray]) -> None:
    tensors["scaler.rotation"] = np.ones(2)


def no_scaler(tensors: dict[str, np.ndarray]) -> None:
    del tensors["scaler.mean"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_weights, "does not fit its recipe"),
        (not_a_number, "weights that are not finite"),
        (no_scale, "a scale that is not positive"),
        (flat_rotation, "wrong shape"),
        (no_scaler, "does not fit its recipe"),
    ],
)
def test_a_damaged_model_is_named_in_one_sentence(change: Change, message: str, tmp_path: Path) -> None:
    tiny = {"network": {"width": 8}, "train": {"steps": 3}}
    path = driftfield.fit("moons", tiny, rows=200).save(tmp_path / "run") / "model.safetensors"
    with safe_open(path, framework="np") as file:
        about, tensors = file.metadata(), {key: file.get_tensor(key).copy() for key in file.keys()}  # noqa: SIM118
    change(tensors)
    save_file(tensors, path, metadata=about)
    write_checksums(path.parent)
    with pytest.raises(DriftfieldError, match=message) as raised:
        driftfield.load(tmp_path / "run")
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2


def test_a_model_that_computes_nothing_finite_is_named_in_one_sentence(tmp_path: Path) -> None:
    tiny = {"network": {"width": 8}, "train": {"steps": 3}}
    path = driftfield.fit("moons", tiny, rows=200).save(tmp_path / "run") / "model.safetensors"
    with safe_open(path, framework="np") as file:
        about, tensors = file.metadata(), {key: file.get_tensor(key).copy() for key in file.keys()}  # noqa: SIM118
    for name, tensor in tensors.items():
        if name.startswith("denoiser.network"):
            tensor += 1e37  # finite, but no sum of their products is
    save_file(tensors, path, metadata=about)
    write_checksums(path.parent)
    model = driftfield.load(tmp_path / "run")
    x = np.zeros((3, 2))
    works = (lambda: model.sample(4), lambda: model.log_prob(x), lambda: model.latent(x), lambda: model.decode(x))
    for work in works:
        with pytest.raises(DriftfieldError, match="not finite: the model is not trained well enough") as raised:
            work()
        assert raised.value.exit_code == 2
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("file", ["train.parquet", "held_out.parquet"])
def test_rows_that_do_not_fit_the_scaling_are_named(file: str, tmp_path: Path) -> None:
    path = driftfield.fit("moons", {"network": {"width": 8}, "train": {"steps": 3}}, rows=200).save(tmp_path / "run")
    rows = pl.read_parquet(path / file)
    rows.with_columns(pl.when(pl.arange(pl.len()) == 3).then(1e200).otherwise(pl.first()).alias("x")).write_parquet(
        path / file
    )
    write_checksums(path)
    with pytest.raises(InputError, match=f"The rows of .*{file} do not fit the scaling of the model"):
        driftfield.load(path)


def test_rows_that_were_damaged_before_their_checksum_was_taken_are_named(tmp_path: Path) -> None:
    path = driftfield.fit("moons", {"network": {"width": 8}, "train": {"steps": 3}}, rows=200).save(tmp_path / "run")
    content = (path / "train.parquet").read_bytes()
    damages = [content[:-9], b"", content[:4] + content[60:]]
    for damaged in damages:
        (path / "train.parquet").write_bytes(damaged)
        write_checksums(path)
        with pytest.raises(InputError, match=r"train\.parquet is damaged or not a valid Parquet file") as raised:
            driftfield.load(path)
        assert "\n" not in str(raised.value)
