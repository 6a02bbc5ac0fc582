"""Thousands of damaged files, each given to the command line; what must hold whatever a file says.

Every command ends with exit code 0 or 2, or with 1 where the training of a valid recipe diverges; says so without a
traceback, a panic of a library or a Python warning, in short lines without control characters; writes nothing when it
refuses and leaves no temporary file; and neither dies of a signal nor takes more than ``SECONDS`` or ``MEMORY``.

A case is (seed, index), from which everything else follows. Cases run in two worker processes, which are restarted
if they die or hang; one in a hundred is repeated with a process for each command, and must end as in the worker.
"""

import multiprocessing
import os
import queue
import resource
import shlex
import sys
import tempfile
import threading
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.trials import (
    MEMORY,
    NAMES,
    ONE_AS_PROCESSES,
    ORDER,
    SECONDS,
    STATUS,
    Outcome,
    names_of,
    prepare,
    trial,
    write_originals,
)

STARTING = 120  # seconds that the imports of a worker may take
WORKERS = 2
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "COLUMNS": "120", "NO_COLOR": "1"}


def serve(connection: Connection, seed: int, folder: Path, originals: Path) -> None:
    """A worker: gets indices, and sends outcomes."""
    import torch

    torch.set_num_threads(1)
    for number in (1, 2):
        os.dup2(os.open(folder.with_name(f"{folder.name}.{number}"), os.O_RDWR | os.O_CREAT), number)
    if STATUS.exists():
        lines = STATUS.read_text().splitlines()
        taken = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:"))
        resource.setrlimit(resource.RLIMIT_DATA, (taken + 2 * MEMORY,) * 2)
    for category in (RuntimeWarning, UserWarning, FutureWarning, SyntaxWarning):
        warnings.simplefilter("always", category)
    connection.send(None)  # ready
    while True:
        index = connection.recv()
        try:
            connection.send(trial(seed, index, folder, originals))
        except Exception as error:
            connection.send(Outcome(*names_of(index), "failed", f"no trial: {error!r}"))


class _Worker:
    """A worker process that is started anew when it died or hung."""

    def __init__(self, seed: int, folder: Path, originals: Path) -> None:
        self.arguments = (seed, folder, originals)
        self.process: Any = None

    def outcome(self, index: int) -> Outcome:
        """How a case ends; if not in time, or with the process, that is its failure."""
        seconds = SECONDS * (4 if index % ONE_AS_PROCESSES == ONE_AS_PROCESSES - 1 else 1)
        try:
            if self.process is None:
                self._start()
            self.connection.send(index)
            if self.connection.poll(seconds):
                outcome: Outcome = self.connection.recv()
                return outcome
            problem = f"not done after {seconds} seconds"
        except (EOFError, OSError):
            self.process.join(STARTING)
            problem = f"the process died with code {self.process.exitcode}"
        self.process.kill()
        self.process = None
        return Outcome(*names_of(index), "failed", problem)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, *self.arguments), daemon=True)
        self.process.start()
        other.close()
        if not self.connection.poll(STARTING):
            raise OSError("a worker does not start")
        self.connection.recv()


def outcomes(seed: int, indices: Sequence[int]) -> Iterator[tuple[int, Outcome]]:
    """The outcome of every case, as they end."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Outcome]] = queue.SimpleQueue()
    for index in indices:
        waiting.put(index)

    def work(name: str) -> None:
        worker = _Worker(seed, Path(folder) / name, Path(folder) / "originals")
        while True:
            try:
                index = waiting.get_nowait()
            except queue.Empty:
                return
            done.put((index, worker.outcome(index)))

    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, ENVIRONMENT):
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{folder}/torch"  # made at some time, and no file of a command
        write_originals(Path(folder) / "originals")
        for number in range(WORKERS):
            threading.Thread(target=work, args=(f"case{number}",), daemon=True).start()
        for _ in indices:
            yield done.get()


def table(seed: int, files: int, case: int | None) -> Iterator[list[str]]:
    """Kind by mutation: how many files were read, refused and failed; below it, every failure."""
    yield ["kind", *NAMES, "files"]
    if case is not None:
        _keep(seed, case)
    found: dict[tuple[str, str], Counter[str]] = {}
    failures = []
    indices = range(files) if case is None else [case]
    for done, (index, outcome) in enumerate(outcomes(seed, indices), 1):
        found.setdefault((outcome.kind, outcome.mutation), Counter())[outcome.end] += 1
        if outcome.problem:
            failures.append((index, outcome))
            print(f"case {index}: {outcome.problem}", file=sys.stderr, flush=True)
        if done % 1_000 == 0:
            print(f"{done:,} of {files:,}", file=sys.stderr, flush=True)
    for kind in dict.fromkeys(ORDER):
        counts = [found.get((kind, name), Counter()) for name in NAMES]
        if any(counts):
            yield [kind, *map(_cell, counts), _cell(sum(counts, Counter()))]
    whole = [sum((found[key] for key in found if key[1] == name), Counter()) for name in NAMES]
    yield ["all", *map(_cell, whole), _cell(sum(whole, Counter()))]
    for index, outcome in sorted(failures, key=lambda each: each[0]):
        print(f"\n--seed {seed} --case {index}: {outcome.kind}, {outcome.mutation}: {outcome.problem}")


def _keep(seed: int, case: int) -> None:
    """Leave the file of a case in a folder, and say which commands it was given to."""
    folder = Path(tempfile.mkdtemp(prefix=f"case-{case}-"))
    (folder / "here").mkdir()
    write_originals(folder / "originals")
    for command in prepare(seed, case, folder / "here", folder / "originals"):
        print(f"cd {folder / 'here'}; driftfield {shlex.join(command)}", file=sys.stderr)


def _cell(counts: Counter[str]) -> str:
    return " / ".join(str(counts[end]) for end in ("read", "refused", "failed"))
