"""One damaged file, the commands that it is given to, and what must hold of each."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.torch import save_file

import driftfield
from benchmarks.damage import KINDS, MUTATIONS, Rng, damaged, kind_of
from driftfield.cli import main as command_line
from driftfield.model import run as runs

SECONDS, MEMORY = 30, 2 << 30  # at most, for the commands of one case; a worker cannot take twice that memory
LONGEST_LINE = 1_100  # characters on standard error: a message is cut at 1,000
STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
ONE_AS_PROCESSES, ONE_UNTOUCHED = 100, 30
RUNS = ("run", "run, forged sums", "run, no sums")
ORDER = (  # of the kinds, so that each comes as often as it matters
    *("CSV", "recipe", "NPY", "TSV", "run", "CSV ; and 1,5", "Parquet", "CSV", "recipe", "run, forged sums"),
    *("CSV within gzip", "NPY", "text in columns", "run, no sums", "CSV", "CSV ; and 1,5", "recipe", "gzip", "CSV"),
)
NAMES = list(MUTATIONS)
TINY = ("--steps", "2", "--quiet", "--set", "network.width=16")
_DIVERGED = re.compile(r"^Error: The [a-z ]+ became \S+ at step", re.MULTILINE)  # of a valid recipe, such as lr = 1e18
_BAD = (  # on standard error
    (re.compile(r"^Traceback|a bug in driftfield", re.MULTILINE), "a traceback, or a bug"),
    (re.compile(r"panicked at"), "a panic"),
    (re.compile(r"\.py:\d+: \w*Warning"), "a warning of Python"),
    (re.compile(r"[^\n\t\x20-\x7e\x80-\U0010ffff]|[\x80-\x9f\u2028\u202e]"), "control characters"),
)


@dataclass(frozen=True)
class Outcome:
    """How a case ended: read, refused or failed, and what was wrong."""

    kind: str
    mutation: str
    end: str
    problem: str = ""


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str


def names_of(index: int) -> tuple[str, str]:
    """The kind and the mutation of a case."""
    turn = index // len(ORDER)
    kind = ORDER[index % len(ORDER)]
    return kind, NAMES[0] if turn % ONE_UNTOUCHED == 0 else NAMES[1 + turn % (len(NAMES) - 1)]


def prepare(seed: int, index: int, folder: Path, originals: Path) -> list[tuple[str, ...]]:
    """Write the damaged file of a case into an empty folder; returns the commands to run there."""
    kind, mutation = names_of(index)
    rng = np.random.default_rng([seed, index])
    if kind in RUNS:
        return _prepare_run(kind, mutation, rng, folder, originals)
    name = "damaged" + KINDS[kind].ending
    (folder / name).write_bytes(damaged(KINDS[kind].write(rng), KINDS[kind], mutation, rng))
    draws = rng.random(4)
    if kind == "recipe":
        data = ("moons",) if draws[0] < 0.5 else ()
        return [("fit", *data, "-r", name, "-o", "new", "--steps", "2", "--quiet", "--set", "data.rows=200")]
    label = ("--set", "data.label=species") if draws[3] < 0.1 else ()
    found: list[tuple[str, ...]] = [("data", name, *(("--json",) if draws[0] < 0.3 else ()))]
    found += [("data", name, "-o", "rows.csv")] * bool(draws[1] < 0.2)
    return [*found, *([("fit", name, "-o", "new", *TINY, *label)] * bool(draws[2] < 0.5))]


def _prepare_run(kind: str, mutation: str, rng: Rng, folder: Path, originals: Path) -> list[tuple[str, ...]]:
    shutil.copytree(originals / str(rng.choice(["plain", "classes"])), folder / "run")
    shutil.copy(originals / "rows.csv", folder / "rows.csv")
    if kind == "run, no sums":
        _without_checksums(folder / "run")
    names = sorted(path.name for path in (folder / "run").iterdir())
    # Rows with forged sums are read as what they say they are, in the same process: see datasets/parquet.py.
    names = [name for name in names if kind != "run, forged sums" or not name.endswith((".parquet", "SUMS"))]
    file = folder / "run" / str(rng.choice([*names, runs.MODEL, runs.RECIPE]))
    file.write_bytes(damaged(file.read_bytes(), kind_of(file.name), mutation, rng))
    if kind == "run, forged sums":
        runs.write_checksums(folder / "run")
    few = ("--steps", "4", "--quiet")
    return [("sample", "run", "-n", "5", "-o", "new.csv", "--quiet"), ("score", "run", "rows.csv", "-o", "s.csv", *few)]


def _without_checksums(run: Path) -> None:
    """Make a run such as it was before runs had checksums."""
    (run / runs.CHECKSUMS).unlink()
    with safe_open(run / runs.MODEL, framework="pt") as file:
        about = {"model": file.metadata()["model"].replace('"checksums": true', '"checksums": false')}
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    save_file(tensors, run / runs.MODEL, metadata=about)


def write_originals(folder: Path) -> None:
    """Two runs of a moment, with and without classes, and rows to score."""
    small: dict[str, Any] = {"network": {"width": 8, "depth": 1}, "train": {"steps": 2, "epochs": None}}
    small["train"]["snapshots"] = [1]
    driftfield.fit("moons", small, rows=60).save(folder / "plain")
    driftfield.fit(None, "moons-classes", rows=60, **small).save(folder / "classes")
    (folder / "rows.csv").write_text("x,y\n0.5,0.25\n1,-0.5\n-0.75,0.5\n")


def trial(seed: int, index: int, folder: Path, originals: Path) -> Outcome:
    """Run a case in this process, and sometimes once more in processes of its own."""
    here, problems = _commands(seed, index, folder, originals, _here)
    if index % ONE_AS_PROCESSES == ONE_AS_PROCESSES - 1:
        there, more = _commands(seed, index, folder, originals, _process)
        problems += [f"in a process of its own: {each}" for each in more]
        ends = [[(each.code, each.err if each.code == 2 else "") for each in run] for run in (here, there)]
        problems += [f"ends with {b}, in a worker with {a}" for a, b in zip(*ends, strict=True) if a != b]
    end = "failed" if problems else "refused" if any(each.code for each in here) else "read"
    return Outcome(*names_of(index), end, "; ".join(problems))


def _commands(
    seed: int, index: int, folder: Path, originals: Path, run: Callable[[Sequence[str]], Ended]
) -> tuple[list[Ended], list[str]]:
    """How each command of a case ended, in a new folder, and what was wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.chdir(folder)
    tempfile.tempdir = str(folder)
    ends, problems = [], []
    for command in prepare(seed, index, folder, originals):
        before = _contents(folder)
        _forget_peak()
        ends.append(run(command))
        found = [*_problems(command, ends[-1], before, _contents(folder))]
        found += [f"{_peak() >> 20:,} MB of memory"] * (_peak() > MEMORY)
        problems += [f"{' '.join(command)}: {each}" for each in found]
    return ends, problems


def _problems(command: Sequence[str], ended: Ended, before: dict[str, bytes], after: dict[str, bytes]) -> Iterator[str]:
    """What must not be, of all that a command did."""
    if ended.code not in (0, 2) and not (ended.code == 1 and _DIVERGED.search(ended.err)):
        yield f"exit code {ended.code}: {ended.err[-1_000:].strip()}"
    for pattern, what in _BAD:
        if pattern.search(ended.err):
            yield f"{what} on standard error: {ended.err[-1_000:]!r}"
    if max(map(len, ended.err.splitlines()), default=0) > LONGEST_LINE:
        yield "a long line on standard error"
    new = sorted(name for name in after if after[name] != before.get(name)) + sorted(before.keys() - after.keys())
    if ended.code == 2 and (ended.out or not ended.err):
        yield f"refused with {ended.out[:200]!r} on standard output and {ended.err[:200]!r} on standard error"
    if ended.code == 2 and new:
        yield f"refused, but changed {', '.join(new)}"
    out = command[command.index("-o") + 1] if "-o" in command else ""
    wrong = [name for name in new if not out or name.split("/")[0] != out or "/." in name]
    if ended.code == 0 and (wrong or bool(out) > bool(new)):
        yield f"ended well, but changed {', '.join(wrong) or 'nothing'}"


def _contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder; a folder counts as an empty file, so that an empty one is seen too."""
    found = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in found}


def _here(command: Sequence[str]) -> Ended:
    """Run a command in this process, whose standard output and error are files."""
    for stream in (1, 2):
        os.ftruncate(stream, 0)
        os.lseek(stream, 0, os.SEEK_SET)
    sys.argv = ["driftfield", *command]
    code: object = 0
    try:
        command_line()
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:  # of a library, which no command may let through
        traceback.print_exc()
        code = -1
    sys.stdout.flush()
    sys.stderr.flush()
    texts = [os.pread(stream, 1 << 24, 0).decode(errors="surrogateescape") for stream in (1, 2)]
    return Ended(code if isinstance(code, int) else 1, *texts)


def _process(command: Sequence[str]) -> Ended:
    done = subprocess.run(
        [sys.executable, "-m", "driftfield", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=SECONDS,
    )
    out, err = (text.decode(errors="surrogateescape") for text in (done.stdout, done.stderr))
    return Ended(done.returncode, out, err)


def _forget_peak() -> None:
    """Let the peak memory of this process begin anew; on Linux alone, as the limit."""
    if _CLEAR.exists():
        _CLEAR.write_text("5")


def _peak() -> int:
    """The most bytes that this process had since."""
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), 0)
