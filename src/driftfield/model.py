"""Model: what a user holds; it speaks the user's units and column names, and the network's stay inside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from driftfield import run as runs
from driftfield.building import Parts, build_denoiser, build_step
from driftfield.datasets import LAWS, Law, load_like, rounded, write_rows
from driftfield.diffusion import (
    GRIDS,
    BaseDenoiser,
    Gaussian,
    GuidedDenoiser,
    LearnedKernel,
    Schedule,
    State,
    importance_bound,
    log_prob,
    matched_prior,
    sample,
    standard_prior,
)
from driftfield.diffusion.noise import BLOCK, BlockNoise
from driftfield.diffusion.samplers.loop import Step
from driftfield.diffusion.schedules import PriorMismatch
from driftfield.errors import DriftfieldError, InputError, unknown_name
from driftfield.files import write_atomically
from driftfield.recipe import Recipe, load_recipe
from driftfield.scaling import FloatArray, Scaler
from driftfield.training.defaults import SAMPLING_STEPS, WALKERS

if TYPE_CHECKING:
    from driftfield.evaluation import Evaluation

SCORE_NOISE = 0.05  # of a standard deviation
MOST_TANGENTS = 1 << 17  # rows times dimensions of one divergence: bounds the memory of log_prob


@dataclass(frozen=True)
class Trajectory:
    """A process on a time axis: ``times`` (K,), ``states`` (K, n, D) in the user's units, ``noise`` (K,) sigma / alpha.

    A state is x_t times ``scale`` (K,) = 1 / sqrt(alpha^2 + sigma^2), so that data and noise have the same size on the
    page; about the mean of the data, which is the origin of the network's units.
    """

    times: FloatArray
    states: FloatArray
    noise: FloatArray
    scale: FloatArray


@dataclass
class Model:
    """A fitted diffusion model; make one with :func:`driftfield.fit` or :func:`driftfield.load`.

    Attributes:
        recipe: what was done, with every choice filled in.
        columns: names of the D columns.
        scaler: the map between the user's units and the network's.
        denoiser: the learned denoiser, in the network's units.
        source: DATA as the user named it.
        train, held_out: rows kept for judging (n, D), in the user's units.
        places: decimals of each column of the training rows, None where they are real numbers.
        classes: names of the class labels that it can be told; none for a model without.
        snapshots: weights at steps on the way, by step; see :meth:`at`.
        history: the course of training.
        facts: versions, device, times, the command.
    """

    recipe: Recipe
    columns: tuple[str, ...]
    scaler: Scaler
    denoiser: BaseDenoiser
    source: str
    train: FloatArray
    held_out: FloatArray
    places: tuple[int | None, ...] = ()
    classes: tuple[str, ...] = ()
    snapshots: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    parts: Parts = field(default_factory=Parts)

    @property
    def dimensions(self) -> int:
        """D, the number of columns."""
        return len(self.columns)

    @property
    def device(self) -> torch.device:
        """Where the network lives."""
        return next(self.denoiser.parameters()).device

    @property
    def law(self) -> Law | None:
        """The law that the data were drawn from, if it is known."""
        return LAWS.get(self.source)

    @property
    def prior(self) -> Gaussian:
        """The Gaussian that stands for x_1, in the network's units."""
        zeros, ones = torch.zeros(self.dimensions, device=self.device), torch.ones(self.dimensions, device=self.device)
        if self.recipe.train.prior == "matched" and self.recipe.data.scaling != "none":
            return matched_prior(self.denoiser.schedule, zeros, ones)
        if self.recipe.train.prior == "matched":
            rows = torch.as_tensor(self.train, dtype=torch.float32, device=self.device)
            return matched_prior(self.denoiser.schedule, rows.mean(0), rows.var(0))
        return standard_prior(self.denoiser.schedule, zeros)

    @property
    def density_is_bound(self) -> bool:
        """Whether :meth:`log_prob` is a lower bound on the log-density in the mean, as it is for a learned kernel."""
        return isinstance(self.denoiser, LearnedKernel)

    def at(self, step: int) -> Model:
        """The model as it was after a training step whose weights were kept (``train.snapshots``).

        Raises:
            InputError: there are no weights of that step.
        """
        if step not in self.snapshots:
            known = ", ".join(str(kept) for kept in sorted(self.snapshots)) or "none"
            raise InputError(f"No weights of step {step} were kept: there are {known} (train.snapshots).")
        denoiser = deepcopy(self.denoiser)
        denoiser.load_state_dict(self.snapshots[step], strict=False)  # buffers are not learned, so not kept
        return replace(self, denoiser=denoiser, snapshots={})

    @property
    def prior_mismatch(self) -> PriorMismatch:
        """How far x_1 is from the prior, for the moments of the training rows; see :class:`PriorMismatch`."""
        schedule = self.denoiser.schedule
        z = self.scaler.forward(self.train).astype(np.float64)
        if self.recipe.train.prior == "standard":
            return schedule.prior_kl(float(np.square(z).mean()))
        variance = float(z.var(0).mean())
        one = torch.ones((), dtype=torch.float64, device=self.device)
        return schedule.prior_kl(variance, float(schedule.alpha(one) ** 2 * variance + schedule.sigma(one) ** 2))

    def sample(
        self,
        n: int,
        seed: int = 0,
        *,
        sampler: str | Step | None = None,
        steps: int | None = None,
        grid: str | None = None,
        eta: float | None = None,
        label: str | Sequence[str] | None = None,
        guidance: float | None = None,
        last_noise: bool | None = None,
        start: int = 0,
        observe: Callable[[int], None] | None = None,
    ) -> FloatArray:
        """n new rows in the user's units, with as many decimals as the data; (n, D) float64.

        Row i depends on the seed and on start + i alone, so parts of a sample can be drawn apart and put together.

        Args:
            sampler, steps, grid, eta, last_noise: beat the recipe's [sample]; the sampler may be a step function.
            label: the class to draw from, or one for each row; without, rows of all classes.
            guidance: how much the class counts: 0 not at all, 1 as learned, more exaggerates (classifier-free).
            start: number of the first row.
            observe: called with the number of rows done.

        Raises:
            InputError: a negative n, an unknown name, or a step count below 1.
            DriftfieldError: the samples are not finite.
        """
        if n < 0:
            raise InputError(f"The number of rows must not be negative, but it is {n}.")
        rows = [np.empty((0, self.dimensions))]
        cond = self._cond(label, n)
        chunk = 4 * BLOCK
        for first in range(start, start + n, chunk):
            count = min(chunk, start + n - first)
            own = None if cond is None else cond[first - start : first - start + count]
            *_, last = self._reverse(
                count, seed, first, sampler, steps, grid, eta, cond=own, guidance=guidance, last_noise=last_noise
            )
            rows.append(self.scaler.back(last.x.cpu().numpy()))
            if observe is not None:
                observe(first + count - start)
        result = np.concatenate(rows)
        if not np.isfinite(result).all():
            raise DriftfieldError("Some samples are not finite: the model has not been trained well; try more steps.")
        return rounded(result, self.places) if self.recipe.sample.round else result

    def log_prob(
        self,
        x: ArrayLike | Tensor,
        *,
        steps: int | None = None,
        label: str | Sequence[str] | None = None,
        observe: Callable[[int], None] | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Log-density of each row of x (n, D) in nats, in the user's units, and the estimate of its integration error.

        log p(x) = log p(z) + log |det A| by the probability-flow ODE (see :mod:`driftfield.diffusion.likelihood`); it
        is the density of the data at the schedule's smallest noise level. A learned kernel has no such equation: its
        value is the importance-weighted bound (:mod:`driftfield.diffusion.elbo`), with its standard error.

        Args:
            steps: Runge-Kutta steps.
            label: the class given, or one for each row: log p(x | class).

        Raises:
            InputError: x has another number of columns, or values that are not finite.
        """
        rows = self._checked(x)
        cond = self._cond(label, len(rows))
        values, errors = np.empty(len(rows)), np.empty(len(rows))
        chunk = max(1, MOST_TANGENTS // self.dimensions)
        for i in range(0, len(rows), chunk):
            part = slice(i, min(i + chunk, len(rows)))
            z = torch.from_numpy(self.scaler.forward(rows[part])).to(self.device)
            with torch.no_grad():
                value, error = self._log_prob(z, steps, None if cond is None else cond[part], i)
            values[part] = value.cpu().numpy() + self.scaler.log_det
            errors[part] = error.cpu().numpy()
            if observe is not None:
                observe(part.stop)
        return values, errors

    def _log_prob(self, z: Tensor, steps: int | None, cond: Tensor | None, first: int) -> tuple[Tensor, Tensor]:
        """The log-density of rows in the network's units, the first of which has that number, and its error."""
        if isinstance(self.denoiser, LearnedKernel):
            generator = torch.Generator(self.device).manual_seed(first)
            bound = importance_bound(self.denoiser, z, self.prior, generator, self.recipe.likelihood.paths)
            return bound.value, bound.error
        density = log_prob(self.denoiser, z, self.prior, steps or self.recipe.likelihood.steps, cond)
        return density.value, density.error

    def score(
        self,
        x: ArrayLike | Tensor,
        t: float | None = None,
        *,
        noise: float | None = None,
        label: str | Sequence[str] | None = None,
    ) -> FloatArray:
        """The score grad log p_t at x (n, D), in one over the user's units, of the law of x_t / alpha_t.

        Args:
            t: the time; or
            noise: the noise level sigma / alpha, in standard deviations of the data; 0.05 by default. Smaller ones are
                nearer to the score of the data themselves, and noisier: the network's error is divided by sigma.
            label: the class given, or one for each row.

        Raises:
            InputError: both are given, or one that is out of range.
        """
        rows = self._checked(x)
        schedule = self.denoiser.schedule
        if t is not None and noise is not None:
            raise InputError("The score takes a time t or a noise level, not both.")
        if t is None:
            noise = SCORE_NOISE if noise is None else noise
            if not noise > 0:
                raise InputError(f"The noise level must be positive, but it is {noise:g}.")
            time = schedule.time(2 * torch.log(torch.tensor(noise, dtype=torch.float64, device=self.device)))
        elif not 0 <= t <= 1:
            raise InputError(f"The time must lie between 0 and 1, but it is {t:g}.")
        else:
            time = torch.tensor(t, dtype=torch.float64, device=self.device)
        time = schedule.clamp(time)
        alpha = float(schedule.alpha(time))
        with torch.no_grad():
            z = torch.from_numpy(self.scaler.forward(rows)).to(self.device)
            score = self.denoiser(alpha * z, time, self._cond(label, len(rows))).score * alpha
        return self.scaler.score_back(score.cpu().numpy())

    def trajectory(
        self,
        n: int,
        seed: int = 0,
        *,
        direction: str = "reverse",
        frames: int = 40,
        sampler: str | Step | None = None,
        grid: str | None = None,
    ) -> Trajectory:
        """n rows on their way from noise to data ("reverse"), or held-out rows on their way to noise ("forward").

        A sampler that walks the steps of a chain gives a frame for each of them, whatever ``frames`` says, and the grid
        "trailing" has no more frames than a chain has times.

        Raises:
            InputError: another direction.
        """
        T = self.denoiser.schedule.T
        if T is not None and (grid or self.recipe.sample.grid) == "trailing":
            frames = min(frames, T + 1)  # this grid knows the steps of a chain alone
        if direction == "reverse":
            section = self.recipe.sample
            walks = str(sampler or section.sampler).startswith(WALKERS) and T is not None
            steps = section.steps if walks else max(section.steps or 1, frames - 1)
            states = [(float(t), x) for t, x in self._reverse(n, seed, 0, sampler, steps, grid, None)]
        elif direction == "forward":
            states = list(self._forward(n, seed, frames, grid))
        else:
            raise unknown_name("direction", direction, ["forward", "reverse"])
        times = torch.tensor([t for t, _ in states], dtype=torch.float64)
        schedule = self.denoiser.schedule.to("cpu")
        alpha, sigma = schedule.alpha(times), schedule.sigma(times)
        self.denoiser.schedule.to(self.device)
        size = torch.hypot(alpha, sigma)
        shown = np.stack([self.scaler.back((x / s).cpu().numpy()) for (_, x), s in zip(states, size, strict=True)])
        return Trajectory(times.numpy(), shown, (sigma / alpha).numpy(), (1 / size).numpy())

    def as_torch(self) -> Tensors:
        """The same methods, with torch tensors for results."""
        return Tensors(self)

    def evaluate(self, rows: int | None = None, seed: int = 0) -> Evaluation:
        """Every metric beside its floor, on rows that training never saw; see :mod:`driftfield.evaluation`."""
        from driftfield.evaluation import evaluate

        return evaluate(self, rows or self.recipe.evaluate.rows, seed)

    def save(self, path: str | Path) -> Path:
        """Write the model as a run folder; an existing run is refused.

        Raises:
            InputError: the folder exists or cannot be written.
        """
        folder = Path(path)
        runs.check_free(folder, force=False)
        new = runs.start(folder) / "new"
        new.mkdir()
        self._write(new)
        runs.finish(folder, new)
        return folder

    def _write(self, folder: Path) -> None:
        tensors = {f"denoiser.{name}": t.detach().cpu().contiguous() for name, t in self.denoiser.state_dict().items()}
        for name in ("mean", "scale", "rotation", "inverse"):
            tensors[f"scaler.{name}"] = torch.from_numpy(np.ascontiguousarray(getattr(self.scaler, name)))
        about = {
            "columns": list(self.columns),
            "source": self.source,
            "parts": self.parts.names,
            "places": self.places,
            "classes": self.classes,
        }
        write_atomically(folder / runs.RECIPE, self.recipe.toml().encode())
        write_rows(folder / runs.TRAIN, self.train, self.columns)
        write_rows(folder / runs.HELD_OUT, self.held_out, self.columns)
        write_atomically(folder / runs.HISTORY, "".join(json.dumps(r) + "\n" for r in self.history).encode())
        runs.write_json(folder / runs.ENVIRONMENT, self.facts)
        if self.snapshots:
            kept = {
                f"{step}/{name}": t.cpu().contiguous() for step, ts in self.snapshots.items() for name, t in ts.items()
            }
            write_atomically(folder / runs.SNAPSHOTS, to_safetensors(kept))
        write_atomically(folder / runs.MODEL, to_safetensors(tensors, metadata={"model": json.dumps(about)}))

    def _reverse(
        self,
        n: int,
        seed: int,
        start: int,
        sampler: str | Step | None,
        steps: int | None,
        grid: str | None,
        eta: float | None,
        cond: Tensor | None = None,
        guidance: float | None = None,
        last_noise: bool | None = None,
    ) -> Iterator[State]:
        section = self.recipe.sample
        noisy_end = section.last_noise if last_noise is None else last_noise
        step = build_step(sampler or section.sampler, eta if eta is not None or sampler else section.eta, noisy_end)
        denoiser = self.denoiser
        if guidance is not None and cond is None:
            raise InputError("Guidance follows a class: name one with label (--class on the command line).")
        if cond is not None:
            guidance = guidance if guidance is not None else section.guidance
            denoiser = GuidedDenoiser(denoiser, 1.0 if guidance is None else guidance)
        name = grid or section.grid
        if name not in GRIDS:
            raise unknown_name("grid", name, GRIDS)
        count = (section.steps or SAMPLING_STEPS) if steps is None else steps
        with torch.no_grad():
            times = GRIDS[name](denoiser.schedule, count).to(self.device)
        noise = BlockNoise(seed, start, n, (self.dimensions,), self.device)
        return sample(denoiser, self.prior.sample(noise()), times, step, noise, cond)

    def _cond(self, label: str | Sequence[str] | None, n: int) -> Tensor | None:
        """Class numbers (n,) of one label for all rows, or one for each.

        Raises:
            InputError: an unknown class, another number of labels, or a model without classes.
        """
        if label is None:
            return None
        if not self.classes:
            raise InputError("This model knows no classes: fit one with data.label, the name of a column of labels.")
        names = [label] * n if isinstance(label, str) else [str(name) for name in label]
        if len(names) != n:
            raise InputError(f"There are {len(names)} labels for {n} rows: give one label, or one for each row.")
        numbers = {name: i for i, name in enumerate(self.classes)}
        for name in names:
            if name not in numbers:
                raise unknown_name("class", name, self.classes)
        return torch.tensor([numbers[name] for name in names], device=self.device)

    def _forward(self, n: int, seed: int, frames: int, grid: str | None = None) -> Iterator[tuple[float, Tensor]]:
        rows = self.held_out[np.random.default_rng(seed).permutation(len(self.held_out))[:n]]
        z = torch.from_numpy(self.scaler.forward(rows)).to(self.device)
        eps = BlockNoise(seed, 0, len(z), (self.dimensions,), self.device)()
        with torch.no_grad():
            name = grid or self.recipe.sample.grid
            times = GRIDS[name](self.denoiser.schedule, frames - 1).flip(0).to(self.device)
        for t in times:
            yield float(t), self.denoiser.schedule.perturb(z, t, eps)

    def _checked(self, x: ArrayLike | Tensor) -> FloatArray:
        if hasattr(x, "columns"):  # a data frame knows its columns by name
            x = load_like(x, self.columns).values
        rows: NDArray[Any] = np.asarray(x.detach().cpu() if isinstance(x, Tensor) else x, dtype=np.float64)
        if rows.ndim == 1:
            rows = rows.reshape(-1, self.dimensions) if self.dimensions == 1 or rows.size == self.dimensions else rows
        if rows.ndim != 2 or rows.shape[1] != self.dimensions:
            names = ", ".join(self.columns[:6]) + (", .." if self.dimensions > 6 else "")
            raise InputError(
                f"The rows have shape {tuple(rows.shape)}, but the model has {self.dimensions} columns: {names}."
            )
        if not np.isfinite(rows).all():
            row, column = np.argwhere(~np.isfinite(rows))[0]
            raise InputError(f"Row {row + 1}, column {self.columns[column]} is not a finite number: mend or drop it.")
        return rows


@dataclass(frozen=True)
class Tensors:
    """The numbers of a model as float64 tensors on its device; take it from :meth:`Model.as_torch`."""

    model: Model

    def sample(self, n: int, seed: int = 0, **options: Any) -> Tensor:
        """As :meth:`Model.sample`; (n, D)."""
        return torch.from_numpy(self.model.sample(n, seed, **options)).to(self.model.device)

    def log_prob(self, x: ArrayLike | Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        """As :meth:`Model.log_prob`; two of (n,)."""
        value, error = (torch.from_numpy(found) for found in self.model.log_prob(x, **options))
        return value.to(self.model.device), error.to(self.model.device)

    def score(self, x: ArrayLike | Tensor, t: float | None = None, **options: Any) -> Tensor:
        """As :meth:`Model.score`; (n, D)."""
        return torch.from_numpy(self.model.score(x, t, **options)).to(self.model.device)


def load_model(
    path: str | Path,
    *,
    network: nn.Module | None = None,
    schedule: Schedule | None = None,
    device: str = "cpu",
) -> Model:
    """The model of a run folder.

    Args:
        network, schedule: those that were passed to fit in person, if any.

    Raises:
        InputError: there is no finished run, or a part is missing.
        DriftfieldError: a file is damaged.
    """
    folder = runs.find(path)
    recipe = load_recipe(folder / runs.RECIPE)
    parts = Parts(network, schedule)
    try:
        with safe_open(folder / runs.MODEL, framework="pt") as file:
            about = json.loads(file.metadata()["model"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, KeyError, OSError, ValueError) as error:
        raise DriftfieldError(f"The model {folder / runs.MODEL} cannot be read: {error}.") from None
    missing = sorted({"network", "schedule"} & set(about["parts"]) - set(parts.names))
    if missing:
        raise InputError(f"The model was made with a {missing[0]} of your own: pass it as load(path, {missing[0]}=..).")
    columns = tuple(about["columns"])
    classes = tuple(about.get("classes", ()))
    denoiser = build_denoiser(recipe, len(columns), parts, seed=0, classes=len(classes))
    denoiser.load_state_dict({k.removeprefix("denoiser."): t for k, t in tensors.items() if k.startswith("denoiser.")})
    scaler = Scaler(*(tensors[f"scaler.{name}"].numpy() for name in ("mean", "scale", "rotation", "inverse")))
    return Model(
        recipe,
        columns,
        scaler,
        denoiser.to(device).eval().requires_grad_(False),
        about["source"],
        runs.read_rows(folder / runs.TRAIN),
        runs.read_rows(folder / runs.HELD_OUT),
        tuple(about["places"]),
        classes,
        _read_snapshots(folder),
        runs.read_history(folder),
        runs.read_json(folder / runs.ENVIRONMENT),
        parts,
    )


def _read_snapshots(folder: Path) -> dict[int, dict[str, Tensor]]:
    """The weights that were kept on the way, by step; none where there is no such file."""
    path = folder / runs.SNAPSHOTS
    kept: dict[int, dict[str, Tensor]] = {}
    if path.exists():
        try:
            with safe_open(path, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118 - not a mapping
                    step, name = key.split("/", 1)
                    kept.setdefault(int(step), {})[name] = file.get_tensor(key)
        except (SafetensorError, OSError, ValueError) as error:
            raise DriftfieldError(f"The weights in {path} cannot be read: {error}.") from None
    return kept
