"""Standard input, output and error: the caller may have closed them, or connected them to what takes no more.

Messages that nobody can read are dropped, and the work goes on; results that nobody can read are a failure, unless
their reader has seen enough (``driftfield sample .. | head``).
"""

import contextlib
import os
import sys

from driftfield.errors import printable


def open_closed() -> None:
    """Take the places of closed streams, which else would be those of the next files that are opened.

    What is written to standard output then fails, and what is written to standard error is dropped.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def say(text: str) -> None:
    """One message on stderr: on one line, without control characters, and not too long."""
    try:
        print(printable(text), file=sys.stderr, flush=True)
    except OSError:
        _drop(2)


def output_error() -> OSError | None:
    """Send what is left to standard output; returns what is in the way, and drops the rest, so that Python can end."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _drop(1)
        return error
    return None


def _drop(number: int) -> None:
    """Connect a stream to nothing."""
    with contextlib.suppress(OSError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, number)
        os.close(nothing)
