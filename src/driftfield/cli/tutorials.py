"""What the command ``tutorial`` does: a training like any other, then the tutorial's own report."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from driftfield.cli.commands import Request, train
from driftfield.cli.streams import say
from driftfield.datasets import write_rows
from driftfield.errors import InputError, Interrupted, unknown_name
from driftfield.files import write_atomically
from driftfield.model import run as runs

DEFAULT_TIME = "15s"  # for the training, so that the whole command ends within two minutes on two cores


def tutorial(
    name: str | None,
    out: Path | None,
    epochs: int | None,
    time: str | None,
    seed: int,
    settings: Sequence[str],
    force: bool,
    quiet: bool,
    json_: bool,
) -> None:
    """List the tutorials, or train one and write its run and its report."""
    from driftfield.tutorials import TUTORIALS

    if name is None:
        _list(json_)
        return
    if name not in TUTORIALS:
        raise unknown_name("tutorial", name, TUTORIALS)
    if epochs is not None and time is not None:
        raise InputError("Give --epochs or --time, but not both: each sets the length of the training.")
    out = out or Path("runs") / name
    plain = not force and epochs is None and time is None and not settings
    if runs.is_complete(out) and plain:
        say(f"Using the finished run {out}; --force trains it again.")
        print(write_tutorial(name, out, seed))
        return
    resume = runs.is_started(out) and plain
    if epochs is None and time is None and not resume:
        time = DEFAULT_TIME
        say(
            f"Training for {time}; the whole command takes about two minutes on two cores. "
            f"For the full length: driftfield tutorial {name} --epochs {_full_length(name)}"
        )
    if resume:
        request = Request(None, out, seed=seed, resume=True, quiet=quiet)
    else:
        request = Request(None, out, name, None, epochs, time, seed, settings=settings, force=force, quiet=quiet)
    train(request)
    try:
        print(write_tutorial(name, out, seed))
    except Interrupted:
        raise Interrupted(
            f"Interrupted while measuring; the trained run is kept. Continue with: driftfield tutorial {name} -o "
            f"{shlex.quote(str(out))}"
        ) from None


def write_tutorial(name: str, out: Path, seed: int) -> Path:
    """Measure a trained run of a tutorial, write its report and figures, and return the report's path."""
    from driftfield.model.loading import load_model
    from driftfield.report import write_pictures, write_report
    from driftfield.tutorials import TUTORIALS
    from driftfield.tutorials.report import contents_of
    from driftfield.tutorials.results import study

    runs.check_writable(out, runs.SAMPLES, runs.LESSON, runs.REPORT, runs.FIGURES)
    results = study(TUTORIALS[name], load_model(out), seed, say)
    say("Drawing ..")
    write_rows(out / runs.SAMPLES, results.judged.samples, results.model.columns)
    contents = contents_of(results, str(out))
    figures = out / runs.FIGURES
    figures.mkdir(exist_ok=True)
    for section in contents.chapters:
        if section.gif is not None:
            write_atomically(figures / "film.gif", section.gif)
    write_pictures(contents, figures)
    runs.write_json(out / runs.LESSON, results.summary())
    write_report(contents, out / runs.REPORT)
    say(results.judged.verdict)
    return out / runs.REPORT


def _full_length(name: str) -> int:
    """The epochs of a recipe; where every step draws fresh rows, each step counts as an epoch."""
    from driftfield.recipes.defaults import steps_of_a_pass
    from driftfield.recipes.schema import load_recipe

    recipe = load_recipe(name)
    train, rows = recipe.train, recipe.data.rows or 1
    if train.epochs is not None:
        return train.epochs
    return (train.steps or 1) // (1 if recipe.data.fresh else steps_of_a_pass(rows, train.batch or rows))


def _list(json_: bool) -> None:
    from driftfield.tutorials import TUTORIALS

    entries = [
        {"name": each.name, "follows": each.source, "title": each.title, "summary": each.summary}
        for each in TUTORIALS.values()
    ]
    if json_:
        print(json.dumps(entries, indent=2))
        return
    width = max(len(entry["name"]) for entry in entries)
    source = ""
    for entry in entries:
        if entry["follows"] != source:
            source = entry["follows"]
            print(f"{source}")
        print(f"  {entry['name']:<{width}}  {entry['summary']}")
    say(f"Next: driftfield tutorial {shlex.quote(entries[0]['name'])}")
