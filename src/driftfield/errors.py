"""The exceptions a user can see; each carries the exit code of the command line.

Every message is one sentence: what is wrong, where, and what to do.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class DriftfieldError(Exception):
    """The work failed (exit code 1)."""

    exit_code = 1


class InputError(DriftfieldError, ValueError):
    """The arguments, the recipe or the data cannot be used as they are (exit code 2)."""

    exit_code = 2


class TrainingError(DriftfieldError):
    """Training cannot go on, for example because the loss is not finite (exit code 1)."""


class Interrupted(DriftfieldError):
    """A signal ended the work; a training has saved its state and can be resumed (exit code 130)."""

    exit_code = 130


def unknown_name(what: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not in a table: 'unknown sampler "heum": did you mean "heun"?'."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    advice = f'did you mean "{close[0]}"?' if close else f"choose one of {', '.join(names)}."
    return InputError(f'Unknown {what} "{name}": {advice}')
