"""Measurements of the tutorials: a table of their runs, the speed of the chain loss, and quality at full length."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

import driftfield
from driftfield.datasets import DISTRIBUTIONS
from driftfield.recipes.building import Parts, build_denoiser, build_loss
from driftfield.recipes.schema import load_recipe
from driftfield.tutorials import TUTORIALS

ROWS = 10_000
FULL = {"moons-ddpm": 0.59, "ring-score-sde": 0.52}  # C2ST at full length, mean of the two judges

Judge = Callable[[str, np.ndarray], tuple[list[float], list[float]]]


def lessons(folder: str) -> Iterator[list[str]]:
    """Every tutorial and the default recipe on the same data, from the runs that ``make tutorials`` wrote."""
    yield [
        "tutorial",
        "training s",
        "signal left",
        "C2ST",
        "W2",
        "NLL",
        "default recipe s",
        "C2ST",
        "W2",
        "NLL",
        "floor C2ST",
        "W2",
        "entropy",
        "to equal C2ST",
    ]
    for name in TUTORIALS:
        path = Path(folder) / name / "lesson.json"
        if not path.exists():
            continue
        lesson = json.loads(path.read_text())
        repair, equal = lesson["repair"], lesson["equal_quality_seconds"]
        yield [
            name,
            f"{lesson['seconds']:.0f}",
            f"{lesson['signal']:.2g}",
            *_three(lesson["metrics"]),
            f"{repair['seconds']:.0f}",
            *_three(repair["metrics"]),
            *_three(lesson["floors"]),
            "not reached" if equal is None else f"{equal:g} s, {lesson['seconds'] / equal:.0f} times faster",
        ]


def _three(metrics: dict[str, float]) -> list[str]:
    accuracy = (metrics["c2st_knn"] + metrics["c2st_boosting"]) / 2
    return [f"{accuracy:.3f}", f"{metrics['wasserstein2']:.3f}", f"{metrics['nll']:.3f}"]


def elbo(repeats: int = 7) -> Iterator[list[str]]:
    """Time of a training step of the chain loss for every choice of its terms, and the loss of one network."""
    yield ["terms", "ms per step, 1 thread", "times faster", ">=", "ms per step, 2 threads", "times faster", "loss"]
    recipe = load_recipe("swiss-roll-elbo")
    rows = torch.from_numpy(DISTRIBUTIONS["swiss-roll"].sample(512, 0)).float()
    denoiser = build_denoiser(recipe, 2, Parts(), 0)
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=1e-3)
    names = ("stepwise", "all", "random")
    losses = {
        name: build_loss(recipe.updated({"objective": {"terms": name}}), denoiser, Parts()) for name in names
    }  # fmt: skip
    start = {name: tensor.clone() for name, tensor in denoiser.state_dict().items()}
    times: dict[tuple[str, int], list[float]] = {key: [] for key in itertools.product(names, (1, 2))}
    before = torch.get_num_threads()
    for _ in range(repeats + 1):  # in turn, so that other load on the machine slows all of them alike
        for name, threads in times:
            torch.set_num_threads(threads)
            generator = torch.Generator().manual_seed(0)
            begun = time.perf_counter()
            for _ in range(1 if name != "random" else 10):
                optimizer.zero_grad()
                losses[name](rows, generator).mean().backward()
                optimizer.step()
            times[name, threads].append((time.perf_counter() - begun) / (1 if name != "random" else 10))
    torch.set_num_threads(before)
    denoiser.load_state_dict(start)
    median = {key: float(np.median(found[1:])) for key, found in times.items()}
    bounds = {"stepwise": "", "all": "2.5", "random": "20"}
    for name in names:
        with torch.no_grad():
            generator = torch.Generator().manual_seed(1)
            value = np.mean([float(losses[name](rows, generator).mean()) for _ in range(20)])
        ratios = [median["stepwise", threads] / median[name, threads] for threads in (1, 2)]
        cells = [f"{1000 * median[name, 1]:.1f}", f"{ratios[0]:.2f}", bounds[name]]
        yield [name, *cells, f"{1000 * median[name, 2]:.1f}", f"{ratios[1]:.2f}", f"{value:.4f}"]


def full_length(judged: Judge, seed: int) -> Iterator[list[str]]:
    """Sample quality of two tutorials at full length; each takes several minutes."""
    yield ["tutorial", "steps", "training s", "C2ST k-NN", "boosting", "mean", "<=", "floor"]
    for name, bound in FULL.items():
        recipe = load_recipe(name)
        model = driftfield.fit(recipe.data.name, recipe, seed)
        accuracy, floor = judged(str(recipe.data.name), model.sample(ROWS, seed))
        yield [
            name,
            f"{model.facts['steps']:,}",
            f"{model.facts['training seconds']:.0f}",
            *(f"{value:.4f}" for value in accuracy),
            f"{np.mean(accuracy):.4f}",
            f"{bound}",
            f"{np.mean(floor):.4f}",
        ]


def printed(run: str) -> Iterator[list[str]]:
    """Mean loss by epoch of a run of swiss-roll-elbo, and the values that the tutorial prints."""
    model = driftfield.load(run)
    steps_per_epoch = model.facts["steps per epoch"]
    means = {
        record["step"] // steps_per_epoch: record["loss"]
        for record in model.history
        if record["step"] % steps_per_epoch == 0
    }
    yield ["epoch", "the tutorial prints (one batch)", "this run, mean of the epoch", "mean of 20 epochs up to it"]
    for epoch, value in TUTORIALS["swiss-roll-elbo"].printed.items():
        if epoch in means:
            recent = [means[i] for i in range(max(1, epoch - 19), epoch + 1)]
            yield [f"{epoch:,}", f"{value:.5f}", f"{means[epoch]:.5f}", f"{np.mean(recent):.5f}"]
