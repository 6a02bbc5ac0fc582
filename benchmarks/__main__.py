"""Measure what the project promises, and print every figure with its bound.

    python -m benchmarks [distributions tables speed elbo schedules full animation lessons printed mutations]
                         [--seed 0] [--files 10000] [--case N]
                         [--distributions moons ring] [--schedules cosine vp] [--heads edm v] [--steps 1000]
                         [--judge two_sample.py] [--runs FOLDER]

`schedules` trains the default recipe under every schedule and every head on four distributions: 264 trainings, a minute
or less each, so name some with --distributions, --schedules and --heads for a part of it. `full` trains two tutorials
at full length. `mutations` gives damaged files to the command line, --files of them, or one --case of a seed again.
`lessons` and `printed` read runs: those of `make tutorials`, and one of swiss-roll-elbo. Without names,
distributions, tables, speed and elbo are measured.

Two-sample accuracies come from the project's own evaluation, or from an independent script given with --judge. It is
run as `python SCRIPT samples.npy --law NAME` and prints JSON with "c2st" and "floor".
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

import driftfield
from benchmarks import animation, mutations, schedules, tutorials
from driftfield.datasets import DISTRIBUTIONS, load
from driftfield.datasets.raw_table import numbers
from driftfield.datasets.text_files import text_table
from driftfield.diffusion import HEADS, SCHEDULES
from driftfield.evaluation.classifiers import c2st

C2ST_BOUNDS = {
    "moons": 0.515,
    "swiss-roll": 0.515,
    "s-curve": 0.515,
    "circles": 0.515,
    "ring": 0.515,
    "parabola": 0.515,
    "8-gaussians": 0.53,
    "checkerboard": 0.53,
    "2-spirals": 0.53,
    "moons-circles": 0.53,
}
NLL_BOUNDS = {"moons": 0.02, "8-gaussians": 0.02, "checkerboard": 0.08, "2-spirals": 0.08}
SECONDS_OF_TRAINING = 15.0
TABLES = ("sklearn:wine", "sklearn:diabetes", "sklearn:breast_cancer")
ROWS = 10_000
DEFAULT = ("distributions", "tables", "speed", "elbo")

Judge = Callable[[str, np.ndarray], tuple[list[float], list[float]]]


def distributions(names: Iterable[str], seed: int, judge: Judge) -> Iterator[list[str]]:
    """Training time, two-sample accuracy and NLL of the default recipe, distribution by distribution."""
    yield [
        "distribution",
        "training s",
        "<=",
        "C2ST k-NN",
        "boosting",
        "mean",
        "<=",
        "floor",
        "NLL",
        "entropy",
        "excess",
        "<=",
    ]
    for name in names:
        model = driftfield.fit(name, seed=seed)
        accuracy, floor = judge(name, model.sample(ROWS, seed=seed))
        distribution = DISTRIBUTIONS[name]
        held_out = distribution.sample(ROWS, 2001)
        nll = -float(model.log_prob(held_out)[0].mean())
        excess = nll - (distribution.entropy or 0.0)
        yield [
            name,
            f"{model.facts['training seconds']:.1f}",
            f"{SECONDS_OF_TRAINING:g}",
            *(f"{value:.4f}" for value in accuracy),
            f"{np.mean(accuracy):.4f}",
            f"{C2ST_BOUNDS.get(name, '')}",
            f"{np.mean(floor):.4f}",
            f"{nll:.4f}",
            f"{distribution.entropy:.4f}",
            f"{excess:+.4f}",
            f"{NLL_BOUNDS.get(name, '')}",
        ]


def judged(name: str, rows: np.ndarray, judge: str | None) -> tuple[list[float], list[float]]:
    """(k-NN, boosting) two-sample accuracies of rows against new rows of a distribution, and their floors."""
    if judge is None:
        real, other = (DISTRIBUTIONS[name].sample(ROWS, stream) for stream in (1001, 1002))
        return [m.value for m in c2st(rows, real, 0)], [m.value for m in c2st(other, real, 0)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.npy"
        np.save(path, rows)
        command = [sys.executable, judge, str(path), "--law", name]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return answer["c2st"], answer["floor"]


def tables(seed: int) -> Iterator[list[str]]:
    """Mean log-density of held-out rows by the default recipe and by the best of some simpler densities, in nats."""
    yield ["table", "rows", "columns", "training s", "model", "best simpler", "which", "verdict"]
    for name in TABLES:
        model = driftfield.fit(name, seed=seed)
        judged_model = model.evaluate(seed=seed)
        (_, own, error), *others = judged_model.densities()
        label, best, _ = max(others, key=lambda entry: entry[1])
        yield [
            name,
            str(model.recipe.data.rows),
            str(model.dimensions),
            f"{model.facts['training seconds']:.1f}",
            f"{own:.3f} ± {error:.2f}",
            f"{best:.3f}",
            label,
            "model" if own > best else "simpler",
        ]


def speed(seed: int) -> Iterator[list[str]]:
    """Times and peak memory, with their bounds."""
    yield ["what", "measured", "<="]
    model = driftfield.fit("moons", seed=seed)
    yield ["sample 100,000 rows, s", f"{median(lambda: model.sample(100_000)):.2f}", "4"]
    rows = DISTRIBUTIONS["moons"].sample(ROWS, 3)
    yield ["log_prob of 10,000 rows, s", f"{median(lambda: model.log_prob(rows)):.2f}", "10"]
    help_command = [str(Path(sys.executable).with_name("driftfield")), "--help"]
    yield ["driftfield --help, s", f"{median(lambda: subprocess.run(help_command, capture_output=True)):.2f}", "0.5"]
    read, loaded = reading(seed)
    yield ["reading a CSV of 1,000,000 x 10, times polars.read_csv", f"{read:.2f}", "1.5"]
    yield ["the same with the checks and warnings of driftfield.datasets.load", f"{loaded:.2f}", ""]
    yield ["peak memory of a 1,000,000 x 10 Parquet fit, MB", f"{peak_memory(seed):.0f}", "2000"]


def median(work: Callable[[], object], repeats: int = 3) -> float:
    """Median time of a few runs, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def reading(seed: int, rows: int = 1_000_000, repeats: int = 5) -> tuple[float, float]:
    """Medians of (time to read a CSV file into an array, time of `load`) over that of polars.read_csv."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.csv"
        values = np.random.default_rng(seed).standard_normal((rows, 10))
        pl.DataFrame({f"c{i}": column for i, column in enumerate(values.T)}).write_csv(path)
        works = (
            lambda: pl.read_csv(path),
            lambda: numbers(text_table(path, "big.csv", "big.csv"), None),
            lambda: load(path),
        )
        turns = np.array([[median(work, 1) for work in works] for _ in range(repeats)])
    read, loaded = np.median(turns[:, 1:] / turns[:, :1], axis=0)
    return float(read), float(loaded)


def peak_memory(seed: int) -> float:
    """Peak resident memory, in MB, of a process that fits a large Parquet file with the default recipe, 200 steps."""
    with tempfile.TemporaryDirectory() as folder:
        script = (
            "import numpy as np; from driftfield.datasets import write_rows; "
            f"r = np.random.default_rng({seed}); x = r.normal(size=(1_000_000, 10)); x[:, 1:] += 0.5 * x[:, :-1]; "
            f"write_rows('{folder}/big.parquet', x, [f'c{{i}}' for i in range(10)])"
        )
        subprocess.run([sys.executable, "-c", script], check=True)
        command = [
            str(Path(sys.executable).with_name("driftfield")),
            *("fit", f"{folder}/big.parquet", "-o", f"{folder}/run", "--steps", "200", "--quiet"),
        ]
        probe = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True); "
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        found = subprocess.run([sys.executable, "-c", probe, *command], check=True, capture_output=True, text=True)
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return int(found.stdout) / unit


def show(title: str, rows: Iterator[list[str]]) -> None:
    """Print a Markdown table row by row, as it is measured."""
    header = next(rows)
    print(f"\n## {title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}", flush=True)
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def tables_to_show(options: argparse.Namespace) -> dict[str, tuple[str, Iterator[list[str]]]]:
    """The title and the rows of every table by its name; nothing is measured before the rows are read."""
    seed, judge = options.seed, partial(judged, judge=options.judge)
    names = options.distributions
    return {
        "distributions": (
            "Distributions: default recipe, 10,000 rows",
            distributions(names or C2ST_BOUNDS, seed, judge),
        ),
        "tables": ("Tables: mean log-density of held-out rows, nats", tables(seed)),
        "speed": ("Speed and memory", speed(seed)),
        "elbo": ("The loss of a chain of 50 steps: batch 512, forward, backward and Adam", tutorials.elbo()),
        "schedules": (
            "Default recipe by schedule and head: NLL of held-out rows, nats",
            schedules.schedules(names or schedules.NAMES, options.schedules, options.heads, seed, options.steps),
        ),
        "full": ("Tutorials at full length", tutorials.full_length(judge, seed)),
        "lessons": ("Each tutorial against the default recipe", tutorials.lessons(options.runs)),
        "animation": ("Animations beside Matplotlib's writers", animation.writers()),
        "mutations": ("Damaged files: read / refused / failed", mutations.table(seed, options.files, options.case)),
        "printed": ("swiss-roll-elbo: the loss", tutorials.printed(options.runs)),
    }


def main() -> None:
    """Run the chosen benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="which tables")
    known = sorted({*C2ST_BOUNDS, *schedules.NAMES})
    parser.add_argument("--distributions", nargs="+", choices=known, metavar="NAME", help="of distributions, schedules")
    parser.add_argument("--schedules", nargs="+", choices=SCHEDULES, default=list(SCHEDULES), metavar="NAME")
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=list(HEADS), metavar="NAME", help="of schedules")
    parser.add_argument("--steps", type=int, help="training steps of schedules, by default the recipe's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=int, default=10_000, help="of mutations: how many")
    parser.add_argument("--case", type=int, help="of mutations: one of them, by its number")
    parser.add_argument("--judge", help="an independent two-sample script")
    parser.add_argument("--runs", default="runs/tutorials", help="the folder of the runs to read")
    options = parser.parse_args()
    known_tables = tables_to_show(options)
    for name in options.what or DEFAULT:
        if name not in known_tables:
            parser.error(f"there is no table {name}: choose from {', '.join(known_tables)}")
    for name in options.what or DEFAULT:
        show(*known_tables[name])


if __name__ == "__main__":
    main()
