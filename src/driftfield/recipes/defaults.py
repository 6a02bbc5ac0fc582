r"""What the default recipe chooses from the data.

The one quantity that matters is the *resolution* of the data: the width of the thinnest structure that n rows can show.
Around each of some rows, the smallest standard deviation of its nearest neighbours along any axis measures how thin
the data are there; where the rows are too few to show a structure, it measures their spacing instead, and nothing finer
is attempted. From it follow the smallest noise level, the noise levels that are trained on, and the highest frequency
of the network's positional features.
"""

import math

import numpy as np
from numpy.typing import NDArray

from driftfield.diffusion import SAMPLERS, Sampler, Step
from driftfield.errors import InputError
from driftfield.options import Options
from driftfield.recipes.combinations import takes_mixture
from driftfield.recipes.schema import Recipe, TrainSection

FINEST = 1e-3  # of a standard deviation: structure below this is ignored
NEIGHBOURS = 30
FEW_COLUMNS = 8
MOST_FEATURES = 52  # columns times frequencies
DROPOUT, DROPOUT_ROWS = 0.3, range(1_000, 5_000)  # of a table; fewer rows of curves are learned worse with it
MIXTURE_COLUMNS = 5  # from which a network starts from a mixture of Gaussians
MOST_MIXTURE_COLUMNS = 32  # of numbers of a table, as each row whose cells are given has D^3 operations of its own
FEW_ROWS = 2_000
SAMPLING_STEPS = 28
SCALED_HEADS = ("score", "flow")  # whose targets may be thousands of times larger at one time than at another


def resolution(rows: NDArray[np.float32], seed: int = 0) -> float:
    """Width of the thinnest structure of scaled rows (n, D), in standard deviations; between 1e-3 and 1.

    The lower quartile, over at most 1,000 rows, of the smallest local standard deviation among 30 neighbours or 5 D; 1
    where the rows are too few to show any structure in D dimensions.
    """
    from scipy.spatial import KDTree

    if rows.shape[1] == 0:
        return 1.0
    rng = np.random.default_rng(seed)
    rows = rows[rng.permutation(len(rows))[:20_000]]
    k = min(max(NEIGHBOURS, 5 * rows.shape[1]), len(rows) // 3)  # enough to see all D axes, few enough to be local
    if k < 2 or k < 2 * rows.shape[1]:
        return 1.0
    probes = rows[:1_000].astype(np.float64)
    _, index = KDTree(rows).query(probes, k + 1)
    around = rows[index].astype(np.float64)  # (m, k + 1, D)
    around -= around.mean(1, keepdims=True)
    spread = np.linalg.svd(around, compute_uv=False)[:, -1] / math.sqrt(k)  # (m,)
    return float(np.clip(np.quantile(spread, 0.25), FINEST, 1.0))


def choose_scaling(n: int, D: int) -> str:
    """Choose "whiten" where rows are few or columns many: an untrained denoiser is then the full-covariance Gaussian.

    With many rows of few columns there is more to see than a covariance, and per-column scales keep it undistorted.
    """
    return "standard" if D <= FEW_COLUMNS and n >= FEW_ROWS else "whiten"


def as_table(recipe: Recipe) -> Recipe:
    """The recipe with the network and the objective of a table, where it has the default ones."""
    changes: dict[str, dict[str, object]] = {}
    if recipe.network.kind == "mlp":
        widths = recipe.network.widths
        size = {"width": recipe.network.width, "depth": recipe.network.depth}
        if widths is not None:
            raise InputError("A table of numbers and categories takes network.width and depth: leave out widths.")
        changes["network"] = {"kind": "table", **{key: value for key, value in size.items() if value is not None}}
    if recipe.objective.kind == "denoising":
        changes["objective"] = {"kind": "table"}
    return recipe.updated(changes)


def resolve(recipe: Recipe, rows: NDArray[np.float32], n: int) -> Recipe:
    """The recipe with every open choice made, for n scaled training rows of which ``rows`` (m, D) are some."""
    D = rows.shape[1]
    delta = resolution(rows)
    network, objective, train = recipe.network, recipe.objective, recipe.train
    changes: dict[str, dict[str, object]] = {name: {} for name in ("denoiser", "network", "train", "schedule")}
    changes["objective"] = _weight(recipe)

    kappa_min, kappa_max = float(f"{min(max(delta / 12, 2e-4), 1e-2):.1g}"), 20.0
    if recipe.schedule.kind == "ve":
        changes["schedule"]["sigma_min"] = recipe.schedule.sigma_min or kappa_min
        changes["schedule"]["sigma_max"] = recipe.schedule.sigma_max or kappa_max
    elif _noise_levels_are_open(recipe):
        low, high = (recipe.schedule.part().gamma_ends() / 2).exp().tolist()
        changes["denoiser"]["kappa_min"] = recipe.denoiser.kappa_min or min(kappa_min, high)
        changes["denoiser"]["kappa_max"] = recipe.denoiser.kappa_max or max(kappa_max, low)
    if recipe.denoiser.scale_output is None:
        changes["denoiser"]["scale_output"] = recipe.denoiser.head in SCALED_HEADS
    if network.kind in ("mlp", "table"):
        changes["network"] = _network(recipe, delta, n, D)
    times = objective.get("times")
    if times is not None and times.kind == "log-normal":
        middle = min(0.5 * math.log(delta) + 0.3, -0.5)
        spread = max(1.4, -math.log(delta) / 2.6)
        changes["objective"]["mean"] = times.mean if times.mean is not None else round(middle, 2)
        changes["objective"]["std"] = times.std or round(spread, 2)
    batch = train.batch or (_table_batch(n) if network.kind == "table" else _batch(n))
    changes["train"]["batch"] = batch
    changes["train"] |= _length(train, 1 if recipe.data.fresh else steps_of_a_pass(n, batch), n)
    changes["train"]["lr"] = train.lr or _learning_rate(n, _width(n, D))
    changes["train"]["validation"] = train.validation if train.validation is not None else 0.1
    if recipe.sample.steps is None:
        changes["sample"] = {"steps": sampling_steps(recipe.sample.sampler, recipe.schedule.get("T"))}
    return recipe.updated(changes)


def steps_of_a_pass(n: int, size: int) -> int:
    """Number of batches of ``size`` in an epoch of n rows."""
    return math.ceil(n / size)


def _weight(recipe: Recipe) -> dict[str, object]:
    """The weight of a denoising loss where the recipe leaves it open: with "edm" every head has the loss of that head.

    Under "simple" the heads x0, score and flow would be trained at hardly any but the largest or the smallest noise.
    """
    objective = recipe.objective
    takes_weight = objective.get("weight") is not None
    is_open = takes_weight and "weight" not in objective.model_fields_set and recipe.denoiser.head != "edm"
    return {"weight": "edm"} if is_open else {}


def _noise_levels_are_open(recipe: Recipe) -> bool:
    """Whether the default recipe chooses the noise levels that are trained, under another schedule than VE."""
    objective, times = recipe.objective, recipe.objective.get("times")
    return objective.kind in ("denoising", "table") and times.kind == "log-normal" and times.mean is times.std is None


def sampling_steps(sampler: str | Step | Options, T: int | None) -> int:
    """How many steps a sampler takes by default: 1 where it chooses its own, all T of a chain that it walks, or 28."""
    if chooses_steps(sampler):
        return 1
    return T if T is not None and walks_chain(sampler) else SAMPLING_STEPS


def chooses_steps(sampler: str | Step | Options) -> bool:
    """Whether a sampler takes the steps that each row needs, so that a grid of one step will do."""
    row = sampler_row(sampler)
    return row is not None and row.chooses_steps


def walks_chain(sampler: str | Step | Options) -> bool:
    """Whether a sampler takes every step of a chain in turn."""
    row = sampler_row(sampler)
    return row is not None and row.walks_chain


def sampler_row(sampler: str | Step | Options) -> Sampler | None:
    """The row of a sampler in the table; None for a step function of the user's own."""
    if isinstance(sampler, Options):
        sampler = type(sampler).source
    if isinstance(sampler, Sampler):
        return sampler
    return SAMPLERS.get(sampler) if isinstance(sampler, str) else None


def _length(train: TrainSection, a_pass: int, n: int) -> dict[str, object]:
    """Steps, and the steps of snapshots, where the recipe counts epochs of so many steps; fresh rows have one each."""
    if train.epochs is None:
        return {"steps": train.steps or _steps(n)}
    if train.steps is not None:
        raise InputError("The recipe gives both train.steps and train.epochs: leave one of them out.")
    return {
        "steps": train.epochs * a_pass,
        "epochs": None,
        "snapshots": [epoch * a_pass for epoch in train.snapshots],
    }


def _network(recipe: Recipe, delta: float, n: int, D: int) -> dict[str, object]:
    network = recipe.network
    chosen: dict[str, object] = {}
    if network.get("widths") is None:
        chosen |= {"width": network.width or _width(n, D), "depth": network.depth or 3}
    if network.frequencies is None:
        chosen["frequencies"] = _frequencies(recipe, delta, D)
    if network.kind == "table" and network.dropout is None:
        chosen["dropout"] = DROPOUT if n in DROPOUT_ROWS else 0.0
    many = n >= FEW_ROWS and D >= MIXTURE_COLUMNS
    takes = many and takes_mixture(recipe) if network.kind == "mlp" else D <= MOST_MIXTURE_COLUMNS
    if network.components is None and not takes:
        chosen["components"] = 0
    return chosen


def _frequencies(recipe: Recipe, delta: float, D: int) -> list[float]:
    """1, 2, 4, .. up to 1 / (4 delta), as a feature sin(k x) is straight over 1 / k, and not too many in all."""
    plain = recipe.network.get("embedding", "sine") != "sine" or not recipe.denoiser.scale_input
    if plain or D == 0:
        return []
    resolved = 1 + int(math.log2(max(1.0, 0.25 / delta)))
    # In many columns delta says what can be seen in all of them at once; a single column shows more.
    wanted = resolved if D <= FEW_COLUMNS else 4
    return [2.0**i for i in range(min(wanted, MOST_FEATURES // D))]


def _width(n: int, D: int) -> int:
    if n < FEW_ROWS:
        return 64
    return 96 if D <= 4 else 128 if D <= 16 else 256


def _batch(n: int) -> int:
    return 256 if n < 1_000 else 1_024 if n < 100_000 else 2_048


def _table_batch(n: int) -> int:
    return 256 if n < 2_000 else 512


def _steps(n: int) -> int:
    return 1_500 if n < 1_000 else 2_500 if n < 5_000 else 4_000 if n < 100_000 else 6_000


def _learning_rate(n: int, width: int) -> float:
    return 2e-3 if n < FEW_ROWS else round(7e-3 * math.sqrt(96 / width), 4)
