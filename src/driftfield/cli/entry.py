"""The entry point: runs a command; every error becomes one sentence on stderr and an exit code."""

import errno
import io
import signal
import sys

import typer

from driftfield.cli import streams
from driftfield.cli.app import app
from driftfield.errors import DriftfieldError, Interrupted

_UNSENT = (errno.ENOSPC, errno.EBADF, errno.EIO)  # files that are written name themselves
# What is wrong with a name that the user gave.
_NAMES = (errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EACCES, errno.EROFS)


def main() -> None:
    """The entry point: every error becomes one sentence and an exit code."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    streams.open_closed()
    if isinstance(sys.stdout, io.TextIOWrapper):  # results are UTF-8 in every locale, and paths the bytes they are
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    code, problem = 0, None
    try:
        command = typer.main.get_command(app)
        with command.make_context("driftfield", arguments) as context:
            command.invoke(context)
    except typer.Exit as ended:
        code = ended.exit_code
    except Exception as error:
        if debug:
            raise
        problem = error
    unsent = streams.output_error()
    problem = problem or unsent
    sys.exit(max(code, 0 if problem is None else _explain(problem)))


def _interrupt(number: int, frame: object) -> None:
    raise Interrupted("Interrupted.")


def _explain(error: Exception) -> int:
    """Say what went wrong on stderr; returns the exit code."""
    if isinstance(error, Interrupted):
        streams.say(str(error))
        return error.exit_code
    if hasattr(error, "show"):  # an error in the usage, of whichever class typer raises
        text = io.StringIO()
        error.show(text)
        for line in text.getvalue().rstrip().splitlines():
            streams.say(line)
        return 2
    if isinstance(error, DriftfieldError):
        message, code = str(error), error.exit_code
    elif isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error)):  # of torch
        message, code = "Not enough memory: use fewer rows, a smaller batch or a smaller network.", 1
    elif isinstance(error, BrokenPipeError):
        return 0  # whoever reads the results has seen enough
    elif isinstance(error, OSError):
        where = "standard output" if error.errno in _UNSENT and error.filename is None else error.filename or "no file"
        message, code = f"{error.strerror or error} ({where}).", 2 if error.errno in _NAMES else 1
    else:
        message, code = f"{type(error).__name__}: {error} (a bug in driftfield; --debug shows where).", 1
    streams.say(f"Error: {message}")
    return code
