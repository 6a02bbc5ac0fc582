"""What the command ``verify`` does: all checks of a run, a table or JSON, its page, and the exit code."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from driftfield.cli import tables
from driftfield.cli.progress import Bar
from driftfield.cli.streams import say
from driftfield.files import check_writable, write_atomically
from driftfield.model import run as runs

if TYPE_CHECKING:
    from driftfield.verification import Verification


def verify(run: Path, out: Path | None, rows: int | None, theme: str | None, seed: int, json_: bool) -> None:
    """Check a run; ends with exit code 1 if a check fails."""
    runs.find(run)
    if out is None:
        runs.check_writable(run, runs.VERIFY, runs.VERIFY_PAGE)
    else:
        check_writable(out, runs.PAGES)
    from driftfield.fitting.devices import choose_device
    from driftfield.model.loading import load_model
    from driftfield.report import render_verification
    from driftfield.report.style import find_theme
    from driftfield.verification import questions_of
    from driftfield.verification import verify as verify_model

    chosen = None if theme is None else find_theme(theme)
    model = load_model(run, device=str(choose_device("auto")))
    with Bar("verifying") as bar:
        places = {question.label: place for place, question in enumerate(questions_of(model))}
        found = verify_model(model, rows, seed, lambda label: bar.show(places[label], len(places), label))
    whole = _with_map(found)
    page = render_verification(whole, model.columns, model.source, chosen)
    write_atomically(out or run / runs.VERIFY_PAGE, page.encode())
    if out is None:
        runs.write_json(run / runs.VERIFY, whole)
    if json_:
        print(json.dumps(found.as_dict(), indent=2))
    else:
        tables.print_verification(whole)
    if out is None:
        say(f"Details in {run / runs.VERIFY_PAGE}; driftfield report {run} shows them too.")
    else:
        say(f"Details in {out}.")
    if not found.passed:
        raise typer.Exit(1)


def _with_map(found: "Verification") -> dict[str, Any]:
    """What verify.json holds: the JSON of the command, and the map that the page draws."""
    error_map = None
    if found.map is not None:
        error_map = {
            name: value if isinstance(value, float) else value.round(5).tolist()
            for name, value in asdict(found.map).items()
        }
    return {**found.as_dict(), "map": error_map}
