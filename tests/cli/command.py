"""The command: inside this process, where only what it computes and says matters, and in a process of its own."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from driftfield.cli import main

COMMAND = str(Path(sys.executable).with_name("driftfield"))
Run = Callable[..., "subprocess.CompletedProcess[str]"]
TINY = ["--steps", "60", "--set", "network.width=16", "--set", "train.batch=128", "--set", "likelihood.steps=10"]
TERMINAL = {"OMP_NUM_THREADS": "1", "COLUMNS": "120", "NO_COLOR": "1"}  # one thread, and a plain terminal


def run_process(*arguments: str, cwd: Path, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Run the installed command in a process of its own."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, **TERMINAL},
        timeout=300,
    )


def run_here(*arguments: str, cwd: Path, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Run the same entry point with the same arguments, folder, input and exit code, without starting Python anew."""
    streams = [io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8") for text in (stdin or "", "", "")]
    with (
        _as_a_program(arguments, cwd),
        mock.patch("sys.stdin", streams[0]),
        contextlib.redirect_stdout(streams[1]),
        contextlib.redirect_stderr(streams[2]),
        _warnings_on_stderr(),
    ):
        code = _exit_code()
    output, errors = (_text_of(stream) for stream in streams[1:])
    assert "a bug in driftfield" not in errors, errors  # which has the exit code of a verification that fails
    return subprocess.CompletedProcess([COMMAND, *arguments], code, output, errors)


def _exit_code() -> int:
    """What Python would end with; an exception that the entry point lets through is a failure of the test."""
    try:
        main()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _text_of(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode(errors="surrogateescape")  # type: ignore[attr-defined]


@contextlib.contextmanager
def _as_a_program(arguments: tuple[str, ...], cwd: Path) -> Iterator[None]:
    """Arguments, folder and environment of a program; afterwards all is as it was, handlers of signals included."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with (
            contextlib.chdir(cwd),
            mock.patch("sys.argv", [COMMAND, *arguments]),
            mock.patch.dict(os.environ, TERMINAL),
        ):
            yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _warnings_on_stderr() -> Iterator[None]:
    """Print warnings as Python does on its own; pytest would keep them, and a user sees them."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: object = None,
        line: str | None = None,
    ) -> None:
        print(warnings.formatwarning(message, category, filename, lineno, line), end="", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.resetwarnings()
        for hidden in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", hidden)
        warnings.filterwarnings("error", category=DeprecationWarning, module="driftfield")
        warnings.showwarning = show
        yield
