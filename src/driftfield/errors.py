"""The exceptions a user can see; each carries the exit code of the command line.

Every message is one sentence: what is wrong, where, and what to do.
"""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

MOST_SHOWN = 1_000  # characters of a message
_LONG_WORD = re.compile(r"\S{301,}")
LIKE = 0.6  # share of letters that two names have in common, in order, where one may be meant by the other
_REASON_SHOWN = 100  # characters of another library's error message


class DriftfieldError(Exception):
    """The work failed (exit code 1)."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class InputError(DriftfieldError, ValueError):
    """The arguments, the recipe or the data cannot be used as they are (exit code 2)."""

    exit_code = 2


class TrainingError(DriftfieldError):
    """Training cannot go on, for example because the loss is not finite (exit code 1)."""


class Interrupted(DriftfieldError):
    """A signal ended the work; a training has saved its state and can be resumed (exit code 130)."""

    exit_code = 130


def printable(text: str) -> str:
    r"""A message that is safe to print: control characters escaped (\x1b), long words and long texts cut in the middle.

    Messages quote names and values of files and arguments, which may hold anything.
    """
    text = _LONG_WORD.sub(lambda word: f"{word[0][:200]}…{word[0][-50:]}", text)
    if len(text) > MOST_SHOWN:
        text = f"{text[: MOST_SHOWN - 301]}…{text[-300:]}"
    return escaped(text)


def escaped(text: str, kept: str = "") -> str:
    r"""A text with its control characters, except those that are kept, as \x1b."""
    return "".join(
        letter if letter.isprintable() or letter in kept else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def reason(error: BaseException) -> str:
    """The start of a library's error message, to be quoted in parentheses."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = (text.strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= _REASON_SHOWN else line[:_REASON_SHOWN] + "…"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: ".csv, .parquet or .npy"."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like one with a typing error, in whatever case; None where none is like it."""
    lower: dict[str, str] = {}
    for each in known:
        lower.setdefault(each.lower(), each)
    close = get_close_matches(name.lower(), lower, n=1, cutoff=LIKE)
    return lower[close[0]] if close else None


def unknown_name(what: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not in a table: 'unknown sampler "heum": did you mean "heun"?'."""
    names = sorted(known)
    near = nearest(name, names)
    advice = f"choose one of {', '.join(names)}." if near is None else f'did you mean "{near}"?'
    return InputError(f'Unknown {what} "{name}": {advice}')
