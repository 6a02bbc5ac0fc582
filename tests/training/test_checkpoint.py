import json
import math
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from driftfield.errors import DriftfieldError
from driftfield.training.checkpoint import Progress, optimizer_tensors, pack, restore_optimizer, unpack

floats = st.floats(allow_nan=False)


def written(tmp_path: Path, blob: bytes) -> Path:
    path = tmp_path / "state.safetensors"
    path.write_bytes(blob)
    return path


@settings(deadline=None, derandomize=True, max_examples=40, database=None)
@given(
    step=st.integers(0, 10**9),
    numbers=st.tuples(floats, floats),
    history=st.lists(st.fixed_dictionaries({"step": st.integers(), "loss": floats, "validation": st.none() | floats})),
)
def test_progress_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, step: int, numbers: tuple[float, float], history: list[dict[str, object]]
) -> None:
    progress = Progress(step, numbers[0], numbers[1], step // 2, history)
    _, back = unpack(written(tmp_path_factory.mktemp("state"), pack({}, progress)))
    assert back == progress


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8, torch.int64])
def test_tensors_come_back_bit_for_bit_in_their_groups(tmp_path: Path, dtype: torch.dtype) -> None:
    numbers = (torch.arange(-6, 6) * 7).to(dtype).reshape(3, 4)
    groups = {
        "weights": {"network.hidden/odd.weight": numbers, "scalar": numbers[0, 0].clone()},
        "optimizer": {"0/exp_avg": numbers.T.contiguous().T, "1/step": torch.tensor(17.0)},
        "losses": {"recent": torch.empty(0, dtype=torch.float64)},
    }
    back, _ = unpack(written(tmp_path, pack(groups, Progress())))
    assert {group: set(tensors) for group, tensors in back.items()} == {g: set(t) for g, t in groups.items()}
    for group, tensors in groups.items():
        for name, tensor in tensors.items():
            assert back[group][name].dtype == tensor.dtype
            assert torch.equal(back[group][name], tensor)


def test_numbers_that_are_not_finite_are_kept(tmp_path: Path) -> None:
    tensor = torch.tensor([math.nan, math.inf, -math.inf, -0.0])
    back, progress = unpack(written(tmp_path, pack({"weights": {"w": tensor}}, Progress())))
    assert torch.equal(back["weights"]["w"].view(torch.int32), tensor.view(torch.int32))
    assert progress == Progress()


def test_a_checkpoint_is_a_plain_safetensors_file_with_json_inside(tmp_path: Path) -> None:
    blob = pack({"weights": {"w": torch.ones(2)}}, Progress(step=3))
    (size,) = struct.unpack("<Q", blob[:8])
    header = json.loads(blob[8 : 8 + size])
    assert json.loads(header["__metadata__"]["progress"])["step"] == 3
    assert header["weights/w"]["dtype"] == "F32"


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "pickle", "other", "missing", "keys"])
def test_a_damaged_checkpoint_is_refused_in_one_sentence(tmp_path: Path, damage: str) -> None:
    blob = pack({"weights": {"w": torch.ones(200)}}, Progress(step=3))
    torch.save({"w": torch.ones(2)}, tmp_path / "pickle")
    blobs = {
        "cut": blob[: len(blob) // 2],
        "empty": b"",
        "text": b"not a checkpoint",
        "pickle": (tmp_path / "pickle").read_bytes(),
        "other": pack({}, Progress()).replace(b"progress", b"nothings"),
        "keys": pack({}, Progress()).replace(b"best_step", b"beststeps"),
    }
    path = tmp_path / "none" if damage == "missing" else written(tmp_path, blobs[damage])
    with pytest.raises(DriftfieldError, match=r"cannot be read .*start again with --force\.$"):
        unpack(path)


def quadratic_step(optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter], target: float) -> None:
    optimizer.zero_grad()
    sum((p - target).square().sum() for p in parameters).backward()
    optimizer.step()


def test_an_optimiser_that_was_restored_takes_the_same_steps() -> None:
    def make() -> tuple[list[torch.nn.Parameter], torch.optim.Optimizer]:
        parameters = [torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.zeros(()))]
        return parameters, torch.optim.AdamW(parameters, lr=0.1, betas=(0.9, 0.99), weight_decay=0.01, fused=True)

    old_parameters, old = make()
    for i in range(5):
        quadratic_step(old, old_parameters, target=float(i))
    new_parameters, new = make()
    with torch.no_grad():
        for p, q in zip(new_parameters, old_parameters, strict=True):
            p.copy_(q)
    restore_optimizer(new, {name: t.clone() for name, t in optimizer_tensors(old).items()})
    for i in range(5):
        quadratic_step(old, old_parameters, target=float(-i))
        quadratic_step(new, new_parameters, target=float(-i))
    for p, q in zip(new_parameters, old_parameters, strict=True):
        assert torch.equal(p, q)
    assert set(optimizer_tensors(new)) == {f"{i}/{key}" for i in (0, 1) for key in ("step", "exp_avg", "exp_avg_sq")}
