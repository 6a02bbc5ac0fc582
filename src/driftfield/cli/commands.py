"""What each command does, once its arguments are parsed."""

import json
import re
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from driftfield.cli import tables
from driftfield.cli.progress import Bar
from driftfield.cli.rows import levels_of, open_run, put, read_asked, sample_given, show
from driftfield.cli.streams import say
from driftfield.cli.unseen import warn_of_bounds
from driftfield.datasets import write_rows
from driftfield.datasets.files import path_and_columns
from driftfield.errors import InputError, Interrupted, TrainingError
from driftfield.files import check_no_input, plain
from driftfield.memory import require
from driftfield.model import run as runs
from driftfield.recipes.schema import Recipe, load_recipe, recipe_names
from driftfield.recipes.settings import parse_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftfield.fitting.preparation import Preparation
    from driftfield.model.model import Model
    from driftfield.training.callbacks import Callbacks

_COPIES = 5  # of rows that are written, text among them


@dataclass(frozen=True)
class Request:
    """The arguments of ``fit``."""

    data: str | None
    out: Path | None = None
    recipe: str | None = None
    steps: int | None = None
    epochs: int | None = None
    time: str | None = None
    seed: int = 0
    device: str = "auto"
    settings: Sequence[str] = ()
    resume: bool = False
    force: bool = False
    quiet: bool = False
    dialect: Mapping[str, Any] = field(default_factory=dict)  # keys of [data] that say how a text file is written
    weight: str | None = None


def demo(out: Path, seed: int, force: bool, settings: list[str]) -> None:
    """Fit two moons, sample, evaluate, report."""
    if not runs.is_complete(out) or force:
        resume = runs.is_started(out) and not force
        train(Request("moons", out, seed=seed, settings=settings, resume=resume, force=force))
    else:
        say(f"Using the finished run {out}; --force trains it again.")
    if (out / runs.REPORT).exists():
        print(out / runs.REPORT)
    else:
        report(out, None, None, None, seed)


def fit(request: Request) -> None:
    """Fit, and print the next command."""
    out = train(request)
    say(f"Next: driftfield report {shlex.quote(str(out))}")
    print(out)


def train(request: Request) -> Path:
    """Train with a bar; Ctrl-C and SIGTERM save. Returns the run's folder."""
    from driftfield.fitting import fit as fitting
    from driftfield.training.callbacks import Callbacks

    requested = requested_recipe(request)
    out = request.out or Path("runs") / _name_of(request.data or requested.data.name or "")
    ready = None if request.resume else prepared(request, requested, out)
    with Bar("training", request.quiet) as bar, _saving_signals() as interrupted:
        callbacks = Callbacks(
            observe=bar.training,
            interrupted=lambda: interrupted.happened,
            message=lambda text: say(f"Warning: {text}"),
        )
        try:
            if ready is not None:
                model = fitting.carry_out(ready, out, request.device, callbacks)
            else:
                model = _resume(request, out, callbacks)
        except Interrupted as error:
            raise Interrupted(f"{error} Continue with: {fitting.resume_command(out)}") from None
        except TrainingError as error:
            state = out / runs.CHECKPOINT / runs.STATE
            kept = f" The last good checkpoint is kept in {state}." if state.exists() else ""
            raise TrainingError(f"{error}{kept}") from None
    facts = model.facts
    say(
        f"Trained {facts['steps']} steps in {facts['training seconds']:.1f} s "
        f"({facts['rows per second']:,} rows/s, {facts['parameters']:,} parameters)."
    )
    return out


def prepared(request: Request, requested: Recipe | None = None, out: Path | None = None) -> "Preparation":
    """What a request of ``fit`` trains, with a line on the data; in a run folder, or in memory."""
    from driftfield.fitting.devices import choose_device
    from driftfield.fitting.preparation import prepare

    requested = requested or requested_recipe(request)
    if out is not None:
        runs.check_free(out, request.force)
        if request.data is not None:
            runs.check_outside(path_and_columns(request.data)[0], out)
    choose_device(request.device)
    seconds = None if request.time is None else _seconds(request.time)
    ready = prepare(request.data, requested, request.seed, seconds, _command_line())
    plan = ready.plan
    steps = requested.train.steps or plan.recipe.train.steps
    chosen = requested.train.steps is not None or request.epochs is not None
    length = f"{steps} steps" if seconds is None else f"{seconds:g} s"
    if seconds is not None and chosen:
        length += f", at most {steps} steps"
    if ready.notes:
        say(f"Read {plan.source} {', '.join(ready.notes)}; --header, --separator, --decimal, .. change it.")
    weighted = "" if plan.weights is None else f" weighted by {plan.recipe.data.weight}"
    say(f"Fitting {plan.source}: {len(plan.rows):,} rows{weighted}, {len(plan.columns)} columns, {length}.")
    return ready


def _resume(request: Request, out: Path, callbacks: "Callbacks") -> "Model":
    from driftfield.fitting import fit as fitting

    given = (request.recipe, request.steps, request.epochs, request.time, request.weight, request.settings)
    if any(given) or request.dialect:
        raise InputError(
            "A resumed training keeps its recipe and data: leave out --recipe, --steps, --epochs, --time, --weight, "
            "--set and the flags for text files."
        )
    if request.data is not None and runs.is_started(out):
        source = runs.read_json(out / runs.CHECKPOINT / runs.SETUP)["source"]
        if source != request.data:
            raise InputError(f"The training in {out} is on {source}, not {request.data}: leave out DATA to resume it.")
    return fitting.resume(out, device=None if request.device == "auto" else request.device, callbacks=callbacks)


def sample(
    run: Path,
    n: int,
    out: Path | None,
    options: Mapping[str, Any],
    seed: int,
    device: str,
    quiet: bool,
    with_class: bool | None = None,
    given: Mapping[str, str] | None = None,
    given_file: str | None = None,
) -> None:
    """New rows to a file or stdout, with their classes if there are any; ``options`` are of :meth:`Model.sample`.

    ``given`` are cells of all rows, and ``given_file`` has rows with given cells, n draws for each.
    """
    from driftfield.recipes.sampling import too_few_steps

    if out is not None and given_file is not None:
        check_no_input(out, [path_and_columns(given_file)[0]])
    model = open_run(run, device, out)
    schedule = model.denoiser.schedule
    warning = too_few_steps(model.recipe.sample, schedule.T, options.get("sampler"), options.get("steps"))
    if warning:
        say(f"Warning: {warning}")
    require(8 * _COPIES * n * model.dimensions, f"{n:,} rows", "draw fewer at a time, each time with another --seed")
    if given_file is not None:
        with Bar("sampling", quiet) as bar:
            rows, number = sample_given(model, given_file, n, given or {}, seed, options, bar)
        show(model, rows, out, {"row": number})
        return
    options = {**options, "given": given} if given else options
    with Bar("sampling", quiet) as bar:
        draw = model.sample_labelled if _wants_classes(model, out, with_class) else model.sample
        drawn = draw(n, seed, observe=lambda done: bar.rows(done, n), **options)
    rows, names = drawn if isinstance(drawn, tuple) else (drawn, [])
    show(model, rows, out, texts={model.recipe.data.label or "class": names} if names else {})


def _wants_classes(model: "Model", out: Path | None, asked: bool | None) -> bool:
    """Whether sampled rows carry their class: as asked, else where the model has some and the file can hold text."""
    only_numbers = out is not None and out.suffix.lower() == ".npy"
    if asked and only_numbers:
        raise InputError(f"{out} can hold numbers alone: write .csv or .parquet, or leave out --with-class.")
    return bool(model.class_counts) and not only_numbers if asked is None else asked


def score(
    run: Path,
    data: str,
    out: Path | None,
    options: Mapping[str, Any],
    bound: bool,
    latent: bool,
    device: str,
    json_: bool,
    quiet: bool,
) -> None:
    """Log-densities to a file or stdout, also bounds and latent codes; ``options`` are those of Model.log_prob."""
    if out is not None:
        check_no_input(out, [path_and_columns(data)[0]])
    model = open_run(run, device, out)
    if (bound or latent) and (options["t"] is not None or options["noise"] is not None):
        what = "--bound" if bound else "--latent"
        raise InputError(f"Bounds and latent codes are for data without noise: leave out {what}, or --noise and --t.")
    rows, of, _ = read_asked(model, data, options["given"], options["of"])
    options = {**options, "of": of}
    with Bar("scoring", quiet) as bar:
        value, error = model.log_prob(rows, observe=lambda done: bar.rows(done, len(rows)), **options)
    whole, computed = bool(np.isfinite(value).all()), np.isfinite(error)
    if not computed.all():
        say(f"Warning: {_not_computed(computed)}")
    warn_of_bounds(model.codec, rows, computed & ~np.isfinite(value))
    found = {"log_density": value, "error": error}
    if bound:
        found["bound"], found["bound_error"] = model.bound(rows, seed=options["seed"], label=options["label"])
    if latent:
        way = {key: options[key] for key in ("steps", "tolerance", "label")}
        found |= {f"z_{name}": z for name, z in zip(model.columns, model.latent(rows, **way).T, strict=True)}
    if json_:
        summary = {
            "rows": len(rows),
            "mean_log_density": float(value.mean()),
            "standard_error": float(value.std() / max(len(value), 1) ** 0.5) if whole else None,
            "rows_of_probability_0": int((computed & ~np.isfinite(value)).sum()),
            "mean_log_density_of_others": float(value[np.isfinite(value)].mean()) if np.isfinite(value).any() else None,
            "largest_error": float(error.max()),
            "unit": "nats",
        }
        if out is None:
            summary |= {name: column.tolist() for name, column in found.items()}
        print(json.dumps(plain(summary)))
    value[~computed] = error[~computed] = np.nan
    table = np.stack(list(found.values()), 1)
    if out is not None:
        write_rows(out, table, tuple(found))
    elif not json_:
        put(table, tuple(found), out)
    if out is not None and not json_:
        print(out)


def _not_computed(computed: "NDArray[np.bool_]") -> str:
    """One sentence on rows without a density."""
    bad = ~computed
    rows = "1 row has" if bad.sum() == 1 else f"{bad.sum():,} rows have"
    where = f"{rows} a density too small to compute, the first in row {int(bad.argmax()) + 1} of the data"
    return f"{where}: its cells are empty; check it for a mark of missing values."


def evaluate(run: Path, out: Path | None, rows: int | None, seed: int, json_: bool) -> None:
    """Print every metric with its floor, and write the samples that were judged."""
    model = open_run(run, "auto", out)
    if out is None:
        runs.check_writable(run, runs.SAMPLES)
    judged = model.evaluate(rows, seed)
    write_rows(out or run / runs.SAMPLES, judged.samples, model.columns, levels=levels_of(model))
    if json_:
        print(json.dumps(judged.as_dict(), indent=2))
    else:
        tables.print_evaluation(judged)


def report(run: Path, out: Path | None, rows: int | None, theme: str | None, seed: int) -> None:
    """Evaluate a run and write its report."""
    from driftfield.report import write_pictures, write_report
    from driftfield.report.gather import gather
    from driftfield.report.style import find_theme

    if theme is not None:
        find_theme(theme)
    model = open_run(run, "auto", out, runs.PAGES)
    of_a_tutorial = str(model.facts.get("command")).startswith("driftfield tutorial")
    path = out or run / (runs.PLAIN_REPORT if of_a_tutorial else runs.REPORT)
    if out is None:
        runs.check_writable(run, runs.SAMPLES, path.name, runs.FIGURES)
    say("Evaluating ..")
    judged = model.evaluate(rows, seed)
    contents = gather(model, judged, str(run))
    write_report(contents, path, theme)
    if out is None:
        write_rows(run / runs.SAMPLES, judged.samples, model.columns, levels=levels_of(model))
        (run / runs.FIGURES).mkdir(exist_ok=True)
        write_pictures(contents, run / runs.FIGURES, theme or "light")
    say(judged.verdict)
    print(path)


def animate(run: Path, out: Path, view: str, theme: str | None, seed: int) -> None:
    """Write the animation."""
    from driftfield.report import animate as write_animation
    from driftfield.report import check_animation
    from driftfield.report.gather import gather_process

    check_animation(out, view, theme)
    model = open_run(run, "auto", out, ())
    write_animation(gather_process(model, seed), out, view=view, theme=theme)
    print(out)


def recipes(name: str | None, json_: bool) -> None:
    """List the built-in recipes, or print one."""
    if name is not None:
        chosen = load_recipe(name)
        print(chosen.model_dump_json(indent=2) if json_ else chosen.toml())
    elif json_:
        print(json.dumps({"recipes": recipe_names(), "schema": Recipe.model_json_schema()}))
    else:
        for known in recipe_names():
            print(known)


def requested_recipe(request: Request) -> Recipe:
    """The recipe that a request of ``fit`` names, with its settings."""
    settings = parse_settings(list(request.settings))
    requested = load_recipe(request.recipe).updated(settings, "--set").updated({"data": request.dialect}, "flags")
    if request.weight is not None:
        requested = requested.updated({"data": {"weight": request.weight}}, "--weight")
    if request.steps is not None:
        train: dict[str, Any] = {"steps": request.steps, "epochs": request.epochs}
        if requested.train.epochs is not None and "snapshots" not in settings.get("train", {}):
            train["snapshots"] = ()  # those of the recipe count epochs
        return requested.updated({"train": train}, "--steps")
    if request.epochs is not None:
        return requested.updated({"train": {"epochs": request.epochs, "steps": None}}, "--epochs")
    return requested


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h)?", text.strip())
    if not found or float(found[1]) <= 0:
        raise InputError(f'The time "{text}" is not understood: write 30s, 5m or 1h.')
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, None: 1}[found[2]]


def _name_of(source: str) -> str:
    if source == "-":
        return "stdin"
    stem = Path(source.split(":")[1] if source.startswith("sklearn:") else source.split(":")[0]).stem
    return re.sub(r"[^\w.-]+", "-", stem) or "run"


def _command_line() -> str:
    return shlex.join(["driftfield", *sys.argv[1:]])


class _Flag:
    happened = False


@contextmanager
def _saving_signals() -> Iterator[_Flag]:
    """The first SIGINT or SIGTERM makes the training save and stop; a second one ends it at once."""
    flag = _Flag()
    before: dict[int, Any] = {}

    def handle(number: int, frame: object) -> None:
        flag.happened = True
        say("Saving ..")
        for each, old in before.items():
            signal.signal(each, old)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, handle)
    try:
        yield flag
    finally:
        for each, old in before.items():
            signal.signal(each, old)
