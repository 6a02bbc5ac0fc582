"""Whatever is wrong ends with exit code 2 and one sentence, and nothing is written."""

from pathlib import Path

import numpy as np
import pytest
from command import TINY, Run

GOOD = "x,y\n" + "".join(f"{i},{i * i % 7}\n" for i in range(30))


def files(folder: Path) -> None:
    (folder / "good.csv").write_text(GOOD)
    (folder / "empty.csv").write_text("")
    (folder / "header.csv").write_text("x,y\n")
    (folder / "one.csv").write_text("x,y\n1,2\n")
    (folder / "text.csv").write_text(GOOD + "3,4.5 kg\n" + GOOD.split("\n", 1)[1])
    (folder / "names.csv").write_text("name\n" + "".join(f"name{i}\n" for i in range(30)))
    (folder / "inf.csv").write_text(GOOD + "3,inf\n")
    (folder / "constant.csv").write_text("x,y\n" + "".join(f"{i},5\n" for i in range(30)))
    (folder / "twice.csv").write_text("x,x\n1,2\n3,4\n5,7\n")
    (folder / "ragged.csv").write_text(GOOD + "1,2,3\n")
    np.save(folder / "objects.npy", np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    np.save(folder / "cube.npy", np.zeros((3, 3, 3)))
    np.save(folder / "wide.npy", np.random.default_rng(0).normal(size=(3, 2001)))
    (folder / "bad.toml").write_text("[train]\nstpes = 5\n")
    (folder / "type.toml").write_text('[train]\nsteps = "many"\n')
    (folder / "negative.toml").write_text("[train]\nsteps = -5\n")
    (folder / "notes").mkdir()
    (folder / "notes" / "keep.txt").write_text("mine")


CASES = {
    "a missing file": (["fit", "god.csv"], ["god.csv"]),
    "an empty file": (["fit", "empty.csv"], ["empty.csv"]),
    "a header alone": (["fit", "header.csv"], ["header.csv", "no rows"]),
    "one row": (["fit", "one.csv"], ["one.csv", "one row"]),
    "text in a numeric column": (["fit", "text.csv"], ['"y"', '"4.5 kg"', "row 31 (line 32)", "--missing"]),
    "a column of names alone": (["fit", "names.csv"], ["no column to learn from", '"name"', "30 different texts"]),
    "infinity": (["fit", "inf.csv"], ["infinite cell", '"y"', "row 31 (line 32)"]),
    "a constant column alone": (["fit", "constant.csv:y"], ['"y"', "one value, 5,"]),
    "duplicate column names": (["fit", "twice.csv"], ['"x"']),
    "an unknown column": (["fit", "good.csv:x,z"], ['"z"']),
    "ragged rows": (["fit", "ragged.csv"], ["line 32"]),
    "an array of objects": (["fit", "objects.npy"], ["objects.npy"]),
    "a cube": (["fit", "cube.npy"], ["(3, 3, 3)"]),
    "too many columns": (["fit", "wide.npy"], ["2,001", "2,000"]),
    "an unknown name": (["fit", "mons"], ['did you mean "moons"?']),
    "an unknown set": (["fit", "sklearn:wines"], ['did you mean "wine"?']),
    "an unknown recipe": (["fit", "moons", "-r", "defalt"], ['did you mean "default"?']),
    "an unknown key": (["fit", "moons", "-r", "bad.toml"], ["bad.toml", "train.stpes", 'did you mean "steps"?']),
    "a wrong type": (["fit", "moons", "-r", "type.toml"], ["train.steps", "integer", "many"]),
    "a negative step count": (["fit", "moons", "-r", "negative.toml"], ["train.steps", "-5"]),
    "an unknown key on the command line": (["fit", "moons", "--set", "train.lrate=1"], ["lrate"]),
    "a malformed setting": (["fit", "moons", "--set", "train=1"], ["section.key=value"]),
    "an unknown schedule": (["fit", "moons", "--set", "schedule.kind=linaer"], ['did you mean "linear"?']),
    "an option that a schedule does not take": (
        ["fit", "moons", "--set", "schedule.T=20"],
        ['"ve"', "no T", '"linear"'],
    ),
    "an unknown sampler": (["fit", "moons", "--set", "sample.sampler=heum"], ['did you mean "heun"?']),
    "an unknown head": (["fit", "moons", "--set", "denoiser.head=epsilon"], ["head"]),
    "an unknown weight": (["fit", "moons", "--set", "objective.weight=vbl"], ['did you mean "vlb"?']),
    "an unreadable time": (["fit", "moons", "--time", "soon"], ["30s"]),
    "an unknown device": (["fit", "moons", "--device", "tpu9"], ["tpu9"]),
    "no data": (["fit"], ["DATA"]),
    "a folder that is no run": (["fit", "good.csv", "-o", "notes"], ["notes", "not a run"]),
    "nothing to resume": (["fit", "--resume", "-o", "nowhere"], ["nowhere"]),
    "a run that does not exist": (["sample", "nowhere", "-n", "3"], ["nowhere", "driftfield fit"]),
    "an animation of unknown kind": (["animate", "nowhere", "-o", "x.avi"], ["x.avi", ".gif"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_ends_with_one_sentence_and_nothing_written(driftfield: Run, tmp_path: Path, case: str) -> None:
    arguments, words = CASES[case]
    files(tmp_path)
    before = sorted(str(item) for item in tmp_path.rglob("*"))
    done = driftfield(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    message = done.stderr.strip()
    assert message.startswith("Error: ")
    assert "\n" not in message
    assert "Traceback" not in message
    for word in words:
        assert word in message
    assert sorted(str(item) for item in tmp_path.rglob("*")) == before
    assert (tmp_path / "notes" / "keep.txt").read_text() == "mine"


def test_usage_errors_end_with_exit_code_2(driftfield: Run) -> None:
    assert driftfield("fitt", "moons").returncode == 2
    assert driftfield("sample", "run").returncode == 2
    assert driftfield("sample", "run", "-n", "0").returncode == 2


def test_an_existing_run_is_not_overwritten_without_force(driftfield: Run, tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text(GOOD)
    assert driftfield("fit", "good.csv", "-o", "run", *TINY).returncode == 0
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    again = driftfield("fit", "good.csv", "-o", "run", *TINY)
    assert again.returncode == 2
    assert "--force" in again.stderr
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    assert driftfield("fit", "good.csv", "-o", "run", "--seed", "3", "--force", *TINY).returncode == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() != before


def test_samples_are_not_written_where_they_cannot_be(driftfield: Run, tiny_run: Path, tmp_path: Path) -> None:
    for target, word in (("new.xlsx", ".csv"), ("nowhere/new.csv", "nowhere")):
        done = driftfield("sample", str(tiny_run), "-n", "3", "-o", target)
        assert done.returncode == 2
        assert word in done.stderr
    assert list(tmp_path.iterdir()) == []
