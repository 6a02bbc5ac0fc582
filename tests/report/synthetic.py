"""A report's contents made of nothing but a few random numbers: no network, no fit."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import make_moons

from driftfield.diffusion import SCHEDULES
from driftfield.diffusion.basics.schedules import PriorMismatch
from driftfield.model.sampling import Trajectory
from driftfield.report import (
    Contents,
    Grid,
    Process,
    ScoreField,
)

Array = NDArray[np.float64]
SIGMA_LOW, SIGMA_HIGH = 0.002, 80.0


@dataclass(frozen=True)
class FakeMetric:
    name: str
    label: str
    value: float
    floor: float | None
    error: float | None = None
    floor_error: float | None = None
    unit: str = ""
    best: float | None = None
    rows: int = 10_000
    note: str = ""


METRICS = (
    FakeMetric("c2st_knn", "C2ST, k-NN(30)", 0.5132, 0.5004, 0.0035, 0.0034, "accuracy", 0.5, note="0.5: a coin toss."),
    FakeMetric("c2st_boosting", "C2ST, boosting", 0.5087, 0.4991, 0.0036, 0.0035, "accuracy", 0.5),
    FakeMetric("w2", "Wasserstein-2", 0.0912, 0.0788, 0.0041, 0.0032, "standard deviations", 0.0, 2000),
    FakeMetric("sliced", "Sliced Wasserstein-2", 0.0171, 0.0122, 0.002, 0.0015, "standard deviations", 0.0),
    FakeMetric(
        "energy", "Energy distance", 0.00041, 0.00022, 0.0001, 0.00008, note="Zero only if the distributions agree."
    ),
    FakeMetric("mmd", "MMD, squared", -0.00002, 0.00001, 0.00003, 0.00003, note="May be negative by chance."),
    FakeMetric("memorisation_ratio", "Distance to training rows", 0.982, 1.0, 0.02, 0.02, "ratio", 1.0),
    FakeMetric("duplicates", "Copies of training rows", 0.0, 0.0, 0.0, 0.0, "fraction", 0.0),
    FakeMetric("nll", "NLL", 1.0192, 1.0101, 0.0062, None, "nats", note="The floor is the distribution's entropy."),
)


def moons(rows: int, noise: float, seed: int) -> Array:
    points, _ = make_moons(rows, noise=noise, random_state=seed)
    return np.asarray(points[np.random.default_rng(seed + 1).permutation(rows)], dtype=float)


def film(x: Array, seed: int, frames: int = 45, reverse: bool = False) -> Trajectory:
    """Noised rows of a VE process, each frame scaled back to the data's spread."""
    t = np.linspace(0, 1, frames)
    sigma = np.exp(np.log(SIGMA_LOW) + t * np.log(SIGMA_HIGH / SIGMA_LOW))
    scale = 1 / np.sqrt(1 + sigma**2)
    mean, spread = x.mean(axis=0), x.std(axis=0)
    noise = np.random.default_rng(seed).standard_normal(x.shape) * spread
    drawn = scale[:, None, None] * (x - mean + sigma[:, None, None] * noise) + mean
    order = slice(None, None, -1) if reverse else slice(None)
    return Trajectory(t[order], drawn[order], sigma[order], scale[order])


def schedule(signal: float = 0.0) -> dict[str, Any]:
    """What a report shows of a schedule, and of a chain that leaves a signal."""
    return {"schedule": ("ve (log-linear)", SCHEDULES["ve"]()), "prior": PriorMismatch(7.8e-5 + signal, 6.1e-9, signal)}


def history(steps: int = 4000, seed: int = 3) -> list[dict[str, float | None]]:
    generator = np.random.default_rng(seed)
    records: list[dict[str, float | None]] = []
    for step in range(20, steps + 1, 20):
        mean = 0.205 + 0.9 * np.exp(-step / 150) + 0.06 * np.exp(-step / 1500)
        validation = float(mean + 0.002) if step % 200 == 0 else None
        records.append(
            {
                "step": step,
                "loss": float(mean * np.exp(0.05 * generator.standard_normal())),
                "validation": validation,
                "seconds": step * 0.003,
            }
        )
    return records


def gaussian_mixture(centres: Array, width: float, at: Array) -> tuple[Array, Array]:
    """The log-density of equal round Gaussians, and its gradient, at some positions of (M, 2)."""
    away = at[:, None, :] - centres
    exponents = -0.5 * (away**2).sum(axis=2) / width**2
    peak = exponents.max(axis=1, keepdims=True)
    weights = np.exp(exponents - peak)
    total = weights.sum(axis=1, keepdims=True)
    log_density = (peak + np.log(total / len(centres)))[:, 0] - np.log(2 * np.pi * width**2)
    gradient = -((weights / total)[:, :, None] * away).sum(axis=1) / width**2
    return log_density, gradient


def lattice(x: tuple[float, float], y: tuple[float, float], cells: int) -> tuple[Array, Array, Array]:
    across, up = np.linspace(*x, cells), np.linspace(*y, cells)
    return across, up, np.stack(np.meshgrid(across, up), axis=2).reshape(-1, 2)


def score_fields(centres: Array) -> list[ScoreField]:
    fields = []
    for noise, reach in ((0.1, 0.4), (0.5, 0.9), (2.0, 3.0)):
        _, _, at = lattice((-1.2 - reach, 2.2 + reach), (-0.8 - reach, 1.2 + reach), 20)
        fields.append(ScoreField(noise, at, gaussian_mixture(centres, float(np.hypot(noise, 0.1)), at)[1]))
    return fields


@cache
def synthetic(rows: int = 8000, points: int = 1200, frames: int = 45) -> Contents:
    """Two moons, and a model that makes them a little too blurred."""
    train, held_out, samples = moons(rows, 0.1, 0), moons(rows // 4, 0.1, 10), moons(rows, 0.115, 20)
    centres = moons(300, 0.0, 5)
    x, y, at = lattice((-1.8, 2.8), (-1.3, 1.8), 90)
    columns = ("x", "y")
    generator = np.random.default_rng(8)
    process = Process(columns, film(train[:points], 1, frames), film(samples[:points], 2, frames, reverse=True))
    return Contents(
        title="Two moons",
        verdict="The samples are nearly indistinguishable from real rows: a classifier is right 51.3 % of the time, "
        "where it is right 50.0 % on two halves of the real data.",
        source="moons (built in, 10,000 rows, noise 0.1)",
        command="driftfield demo --seed 0",
        columns=columns,
        train=train,
        held_out=held_out,
        samples=samples,
        process=process,
        density=Grid(x, y, gaussian_mixture(centres, 0.11, at)[0].reshape(90, 90)),
        scores=score_fields(centres),
        history=history(),
        **schedule(),
        metrics=METRICS,
        baselines=(
            ("this model", -1.0192, 0.0062),
            ("Gaussian mixture (BIC, 16 parts)", -1.112, 0.007),
            ("kernel density", -1.094, 0.0068),
            ("Gaussian, full covariance", -1.962, 0.0075),
        ),
        neighbours=(generator.gamma(2, 0.011, 2000), generator.gamma(2, 0.0108, 2000)),
        recipe='[data]\nname = "moons"\nrows = 10000\n\n[schedule]\nkind = "ve"\n\n[train]\nsteps = 4000\nlr = 7e-3\n',
        facts={
            "training rows": "8,000",
            "held-out rows": "2,000",
            "parameters": "21,314",
            "steps": "4,000",
            "training seconds": "11.9",
            "device": "cpu, 2 threads",
            "driftfield": "0.1.0",
            "torch": "2.13.0",
        },
        next_steps=(
            ("driftfield sample runs/moons -n 100000 -o new.csv", "write 100,000 new rows to a file"),
            ("driftfield score runs/moons moons -o scores.csv", "the log-density of each row, with its error"),
            ("driftfield animate runs/moons -o moons.gif", "the process above as a GIF"),
        ),
    )


def synthetic_table(columns: tuple[str, ...], rows: int = 400, scale: float = 1.0, seed: int = 0) -> Contents:
    """A correlated table of any width; it has no score field and no density."""
    generator = np.random.default_rng(seed)
    width = len(columns)
    mixing = np.eye(width) + 0.5 * generator.standard_normal((width, width)) / np.sqrt(width)
    scales = np.geomspace(1, 40, width)
    scales[0] *= scale

    def table(count: int, spread: float) -> Array:
        rows_of = generator.standard_normal((count, width)) @ mixing * spread
        rows_of[:, 0] = np.exp(rows_of[:, 0] / 2)
        return np.asarray(rows_of * scales)

    train, held_out, samples = table(rows, 1.0), table(max(rows // 4, 2), 1.0), table(rows, 1.04)
    shown = min(rows, 300)
    process = Process(columns, film(train[:shown], 1), film(samples[:shown], 2, reverse=True))
    return replace(
        synthetic(rows=200, points=20, frames=3),
        title=f"A table of {width} columns",
        source="wine.csv",
        columns=columns,
        train=train,
        held_out=held_out,
        samples=samples,
        process=process,
        density=None,
        scores=(),
    )
