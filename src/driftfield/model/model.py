"""Model: what a user holds; it speaks the user's units and column names, and the network's stay inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from driftfield.codecs.scaling import FloatArray
from driftfield.datasets import rounded
from driftfield.diffusion import GRIDS, GuidedDenoiser, Schedule, State, sample
from driftfield.diffusion.basics.loop import Step
from driftfield.diffusion.further.row_noise import BLOCK, SAMPLES, BlockNoise
from driftfield.errors import DriftfieldError, InputError, unknown_name
from driftfield.model import run as runs
from driftfield.model.densities import Densities
from driftfield.model.files import check_writable, read_model, write_model
from driftfield.recipes.building import build_sampling
from driftfield.recipes.defaults import walks_chain
from driftfield.seeds import stream

if TYPE_CHECKING:
    from driftfield.evaluation import Evaluation


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
class Model(Densities):
    """A fitted diffusion model; make one with :func:`driftfield.fit` or :func:`driftfield.load`.

    What it holds is in :class:`driftfield.model.fitted.Fitted`; what it says of given rows (``log_prob``, ``score``,
    ``latent``, ``decode``, ``bound``, ..) in :class:`driftfield.model.densities.Densities`.
    """

    def sample(
        self,
        n: int,
        seed: int = 0,
        *,
        sampler: str | Step | None = None,
        steps: int | None = None,
        grid: str | None = None,
        eta: float | None = None,
        tolerance: float | None = None,
        churn: float | None = None,
        langevin: float | None = None,
        label: str | Sequence[str] | None = None,
        guidance: float | None = None,
        last_noise: bool | None = None,
        start: int = 0,
        observe: Callable[[int], None] | None = None,
    ) -> FloatArray:
        """n new rows in the user's units, with as many decimals as the data; (n, D) float64.

        Row i depends on the seed and on start + i alone, so parts of a sample can be drawn apart and put together.

        Args:
            sampler, steps, grid, last_noise: beat the recipe's [sample]; the sampler may be a step function.
            eta, tolerance, churn, langevin: of the samplers ddim, rk45, churn and predictor-corrector.
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
        options = {"eta": eta, "tolerance": tolerance, "churn": churn, "langevin": langevin}
        chunk = 4 * BLOCK
        for first in range(start, start + n, chunk):
            count = min(chunk, start + n - first)
            own = None if cond is None else cond[first - start : first - start + count]
            *_, last = self._reverse(
                count, seed, first, sampler, steps, grid, options, cond=own, guidance=guidance, last_noise=last_noise
            )
            rows.append(self.scaler.back(last.x.cpu().numpy()))
            if observe is not None:
                observe(first + count - start)
        result = np.concatenate(rows)
        if not np.isfinite(result).all():
            raise DriftfieldError("Some samples are not finite: the model has not been trained well; try more steps.")
        return rounded(result, self.places) if self.recipe.sample.round else result

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
            walks = T is not None and walks_chain(sampler or section.sampler)
            steps = section.steps if walks else max(section.steps or 1, frames - 1)
            states = [(float(t), x) for t, x in self._reverse(n, seed, 0, sampler, steps, grid, {})]
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
            InputError: the folder exists or cannot be written, or the model was converted.
        """
        check_writable(self)
        folder = Path(path)
        runs.check_free(folder, force=False)
        new = runs.start(folder) / "new"
        new.mkdir()
        self._write(new)
        runs.finish(folder, new)
        return folder

    def _write(self, folder: Path) -> None:
        write_model(self, folder)

    def _reverse(
        self,
        n: int,
        seed: int,
        start: int,
        sampler: str | Step | None,
        steps: int | None,
        grid: str | None,
        options: Mapping[str, float | None],
        cond: Tensor | None = None,
        guidance: float | None = None,
        last_noise: bool | None = None,
    ) -> Iterator[State]:
        section = self.recipe.sample
        denoiser = self.denoiser
        step, times = build_sampling(
            section,
            denoiser.schedule,
            sampler=sampler,
            steps=steps,
            grid=grid,
            options=options,
            last_noise=last_noise,
        )
        if guidance is not None and cond is None:
            raise InputError("Guidance follows a class: name one with label (--class on the command line).")
        if cond is not None:
            guidance = guidance if guidance is not None else section.guidance
            denoiser = GuidedDenoiser(denoiser, 1.0 if guidance is None else guidance)
        noise = BlockNoise(seed, SAMPLES, start, n, (self.dimensions,), self.device)
        return sample(denoiser, self.prior.sample(noise()), times.to(self.device), step, noise, cond)

    def _forward(self, n: int, seed: int, frames: int, grid: str | None = None) -> Iterator[tuple[float, Tensor]]:
        rows = self.held_out[stream(seed, "rows on their way to noise").permutation(len(self.held_out))[:n]]
        z = torch.from_numpy(self.scaler.forward(rows)).to(self.device)
        eps = BlockNoise(seed, "noise of the forward process", 0, len(z), (self.dimensions,), self.device)()
        with torch.no_grad():
            name = grid or self.recipe.sample.grid
            times = GRIDS[name](self.denoiser.schedule, frames - 1).flip(0).to(self.device)
        for t in times:
            yield float(t), self.denoiser.schedule.perturb(z, t, eps)


@dataclass(frozen=True)
class Tensors:
    """The numbers of a model as float64 tensors on its device; take it from :meth:`Model.as_torch`."""

    model: Model

    def sample(self, n: int, seed: int = 0, **options: Any) -> Tensor:
        """As :meth:`Model.sample`; (n, D)."""
        return torch.from_numpy(self.model.sample(n, seed, **options)).to(self.model.device)

    def log_prob(self, x: ArrayLike | Tensor, t: float | None = None, **options: Any) -> tuple[Tensor, Tensor]:
        """As :meth:`Model.log_prob`; two of (n,)."""
        value, error = (self._tensor(found) for found in self.model.log_prob(x, t, **options))
        return value, error

    def score(self, x: ArrayLike | Tensor, t: float | None = None, **options: Any) -> Tensor:
        """As :meth:`Model.score`; (n, D)."""
        return self._tensor(self.model.score(x, t, **options))

    def latent(self, x: ArrayLike | Tensor, **options: Any) -> Tensor:
        """As :meth:`Model.latent`; (n, D)."""
        return self._tensor(self.model.latent(x, **options))

    def decode(self, z: ArrayLike | Tensor, **options: Any) -> Tensor:
        """As :meth:`Model.decode`; (n, D)."""
        return self._tensor(self.model.decode(z, **options))

    def _tensor(self, found: FloatArray) -> Tensor:
        return torch.from_numpy(found).to(self.model.device)


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
    return read_model(Model, path, network, schedule, device)
