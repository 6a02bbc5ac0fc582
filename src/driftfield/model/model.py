"""Model: what a user holds; it takes and gives rows in the user's units, under the user's column names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from driftfield.codecs import Codec, FloatArray, TableCodec
from driftfield.datasets import DISTRIBUTIONS, Distribution
from driftfield.diffusion import BaseDenoiser, BoundTerms, Gaussian, LearnedKernel, Schedule, Step
from driftfield.diffusion.basics.heads import Head
from driftfield.diffusion.basics.schedules import PriorMismatch
from driftfield.model import bounds, densities, files, priors, sampling, table_densities, tables, variants, whole_rows
from driftfield.model.densities import Observe, Solving
from driftfield.model.labels import Label, class_names, drawn_labels
from driftfield.model.sampling import How, Trajectory
from driftfield.model.tensors import Tensors
from driftfield.recipes.building import Parts
from driftfield.recipes.schema import Recipe

if TYPE_CHECKING:
    import polars as pl

    from driftfield.evaluation import Evaluation


@dataclass(kw_only=True)
class Model:
    """A fitted diffusion model; make one with :func:`driftfield.fit` or :func:`driftfield.load`.

    Attributes:
        recipe: what was done, with every choice filled in.
        codec: the map between the user's rows and the network's tensors.
        denoiser: the learned denoiser, in the network's units.
        source: DATA as the user named it.
        train, held_out: rows kept for judging (n, D), in the user's units.
        train_weights, held_out_weights: what each of these rows counts (n,); None where all count the same.
        classes: names of the class labels; empty for a model without classes.
        class_counts: how many training rows each class has, counted by their weights; empty where that is not known.
        snapshots: weights at earlier steps, by step; see :meth:`at`.
        history: the course of training.
        facts: versions, device, times, the command.
        parts: the user's own parts, in place of those that the recipe names.
    """

    recipe: Recipe
    codec: Codec
    denoiser: BaseDenoiser
    source: str
    train: FloatArray
    held_out: FloatArray
    train_weights: FloatArray | None = None
    held_out_weights: FloatArray | None = None
    classes: tuple[str, ...] = ()
    class_counts: tuple[float, ...] = ()
    snapshots: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    parts: Parts = field(default_factory=Parts)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.codec.columns

    @property
    def dimensions(self) -> int:
        """D, how many numbers a row has."""
        return math.prod(self.codec.shape)

    @property
    def device(self) -> torch.device:
        """Where the network lives."""
        return next(chain(self.denoiser.parameters(), self.denoiser.buffers())).device

    @property
    def distribution(self) -> Distribution | None:
        """The distribution that the data were drawn from, if it is known."""
        return DISTRIBUTIONS.get(self.source)

    @property
    def density_is_bound(self) -> bool:
        """Whether ``log_prob`` is in the mean a lower bound on the log-density, as it is for a learned kernel."""
        return isinstance(self.denoiser, LearnedKernel)

    @property
    def prior_mismatch(self) -> PriorMismatch:
        """How far x_1 is from the prior, for the moments of the training rows; see :class:`PriorMismatch`."""
        return priors.prior_mismatch(self)

    @property
    def prior(self) -> Gaussian:
        """The Gaussian that approximates x_1, in the network's units; mean and log variance (D,)."""
        return priors.prior(self)

    def encoded(self, x: ArrayLike | Tensor) -> Tensor:
        """Rows of the user as the network sees them; (n, *shape) float32 on its device.

        Raises:
            InputError: the rows do not fit the model.
        """
        return torch.from_numpy(self.codec.encode(self.codec.read(x))).to(self.device)

    def sample(
        self,
        n: int,
        seed: int = 0,
        *,
        sampler: str | Step | None = None,
        steps: int | None = None,
        grid: str | None = None,
        label: Label = None,
        guidance: float | None = None,
        last_noise: bool | None = None,
        start: int = 0,
        given: Mapping[str, Any] | None = None,
        observe: Callable[[int], None] | None = None,
        **options: float | None,
    ) -> FloatArray:
        """n new rows in the user's units, with as many decimals as the data; (n, D) float64.

        In a table with text, a cell of text is the number of its level: :meth:`frame` has the text.

        Row i depends on the seed and on start + i alone, so parts of a sample can be drawn apart and put together.

        Args:
            sampler, steps, grid, last_noise: beat the recipe's [sample]; the sampler may be a step function.
            label: the class to draw from, by name or number, or one for each row; by default rows of all classes.
            guidance: weight of the class: 0 ignores it, 1 is as learned, larger values exaggerate it (classifier-free).
            start: number of the first row.
            given: cells by the names of their columns, the same in all rows; the others are drawn given these.
            observe: called with the number of rows done.
            options: of the sampler, such as eta of ddim or tolerance of rk45.

        Raises:
            InputError: a negative n, an unknown name, or a step count below 1; the samples are not finite.
        """
        how = How(sampler, steps, grid, last_noise, guidance, options)
        if given or isinstance(self.codec, TableCodec):
            tables.check_no_label(label)
            return tables.sample_rows(self, n, given, seed, how, start, observe)
        return sampling.sample_rows(self, n, seed, how, label, start, observe)

    def impute(
        self, x: Any, seed: int = 0, *, draws: int = 1, observe: Observe | None = None, **options: Any
    ) -> FloatArray:
        """Rows x (n, D) with their missing cells drawn given the others, unseen levels left out: (draws, n, D).

        Args:
            x: a frame, or an array with NaN for missing cells; a frame may lack columns altogether.
            draws: how often each row is filled, each time anew.
            options: as in :meth:`sample`, such as steps.

        Raises:
            InputError: the rows do not fit the model, or it knows only whole rows.
        """
        return tables.impute(self, x, draws, seed, tables.how_of(options), observe)

    def frame(self, rows: FloatArray) -> pl.DataFrame:
        """Rows (n, D) as a polars frame, with text and empty cells as the user writes them."""
        return self.codec.frame(rows)

    def sample_labelled(
        self, n: int, seed: int = 0, *, label: Label = None, start: int = 0, **options: Any
    ) -> tuple[FloatArray, list[str]]:
        """n new rows (n, D) and the name of each row's class, drawn as often as in the training rows.

        Args:
            label: the class of all rows, or one for each, in place of drawn ones.
            options: and the rest, as in :meth:`sample`.

        Raises:
            InputError: a model without classes, or one that does not know how often they occur; or as :meth:`sample`.
        """
        known = label is not None or not self.classes  # the latter is refused by class_names
        names = class_names(self, "" if label is None else label, n) if known else drawn_labels(self, n, seed, start)
        return self.sample(n, seed, label=names, start=start, **options), names

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
        return sampling.trajectory(self, n, seed, direction, frames, How(sampler, grid=grid))

    def log_prob(
        self,
        x: ArrayLike | Tensor,
        t: float | None = None,
        noise: float | None = None,
        *,
        steps: int | None = None,
        tolerance: float | None = None,
        divergence: str | None = None,
        probes: int | None = None,
        seed: int = 0,
        label: Label = None,
        given: str | Sequence[str] = (),
        of: str | Sequence[str] | None = None,
        observe: Observe | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Log-density of each row of x (n, D) in nats, in the user's units, and the estimate of its error; (n,) each.

        log p(x) = log p(z) + log |det dz/dx|, by the ODE (:mod:`driftfield.diffusion.further.likelihood`). At a time or
        noise level it is the density of x_t / alpha_t, whose gradient is :meth:`score`; without either, that of the
        data at the schedule's smallest noise level.

        The error is an estimate, not a bound. It joins three parts as independent ones: that of the integration; that
        of the prior, whose moments are those of the training rows (:mod:`driftfield.diffusion.further.prior_error`; of
        all classes together); and the standard error over the probes where these are random. How often it is exceeded
        stands in docs/densities.md. A row more than 1e15 standard deviations away has -inf, with an infinite error.

        Of a table with text or missing cells it is that of a mass for categories and whole numbers, times a density for
        other numbers. What is missing (where holes are not modelled) or in neither ``given`` nor ``of`` is left out.
        A row with a level that no training row has is given -inf, unless that cell is given: then it is left out.

        A learned kernel has no such equation: its value is the importance-weighted bound on the data's density
        (:mod:`driftfield.diffusion.further.chain_bound`), with its standard error.

        Args:
            t, noise: the time, or the noise level sigma / alpha in standard deviations of the data.
            steps: Runge-Kutta steps; or
            tolerance: of steps that each row chooses for itself, such as 1e-5.
            divergence: "exact", the default up to 64 columns, or "hutchinson".
            probes: for each row, of Hutchinson's estimate; the first row is number 0 of the seed.
            seed: of all that is random.
            label: the class given, or one for each row: log p(x | class).
            given: name or names of the columns that are given: log p(others | given), for a model of a table.
            of: name or names of the columns that are asked for, all that are not given by default.
            observe: called with the number of rows done.

        Raises:
            InputError: x has other columns, or values that are not finite; an option is out of range; a density is NaN.
        """
        solving = Solving(steps, tolerance, divergence, probes)
        if given or of is not None or isinstance(self.codec, TableCodec):
            tables.check_no_label(label)
            table_densities.check_no_noise(t, noise)
            return table_densities.score(self, x, given, of, solving, seed, observe)
        return densities.log_prob(self, x, t, noise, solving, seed, label, observe)

    def score(
        self, x: ArrayLike | Tensor, t: float | None = None, noise: float | None = None, *, label: Label = None
    ) -> FloatArray:
        """The score grad log p_t at x (n, D), in one over the user's units, of the distribution of x_t / alpha_t.

        Args:
            t: the time; or
            noise: the noise level sigma / alpha, in standard deviations of the data, or the nearest that the schedule
                has; 0.05 by default. Smaller ones are nearer to the score of the data themselves, and noisier: the
                network's error is divided by sigma.
            label: the class given, or one for each row.

        Raises:
            InputError: both are given, or one that is out of range.
        """
        return densities.score(self, x, t, noise, label)

    def latent(
        self, x: ArrayLike | Tensor, *, steps: int | None = None, tolerance: float | None = None, label: Label = None
    ) -> FloatArray:
        """The code of each row of x (n, D): its x_1 under the ODE in standard deviations of the prior, about its mean.

        The codes of the model's own rows are standard normal numbers, (n, D).
        """
        return densities.latent(self, x, Solving(steps, tolerance), label)

    def decode(
        self, z: ArrayLike | Tensor, *, steps: int | None = None, tolerance: float | None = None, label: Label = None
    ) -> FloatArray:
        """The row whose code is z (n, D): :meth:`latent` backward; (n, D) in the user's units."""
        return densities.decoded(self, z, Solving(steps, tolerance), label)

    def bound(self, x: ArrayLike | Tensor, **options: Any) -> tuple[FloatArray, FloatArray]:
        """The variational lower bound on the log-density of each row of x (n, D), in nats and the user's units; (n,).

        The second number is its standard error over the draws. Options as in :meth:`bound_terms`, which has each term.
        """
        rows = self.codec.read(x)
        terms = self.bound_terms(rows, **options)
        return self.codec.log_det(rows) - terms.total.numpy(), terms.row_error.numpy()

    def bound_terms(
        self,
        x: ArrayLike | Tensor,
        *,
        times: ArrayLike | None = None,
        variance: str | None = None,
        draws: int = 2,
        seed: int = 0,
        label: Label = None,
    ) -> BoundTerms:
        """The terms L_0 .. L_n of the bound on -log p(z) of each row of x (n, D), in nats and the network's units.

        Args:
            times: increasing from 0 to 1; by default those of the chain, or 400 steps of equal log-SNR.
            variance: of the reverse steps: "small", "large" or "learned"; by default what was learned, or small.
            draws: of x_t for each row and time.
            seed, label: as in :meth:`log_prob`.

        Raises:
            InputError: the times or the variance do not fit the model.
        """
        return bounds.bound_terms(self, x, times, variance, draws, seed, label)

    def importance_bound(
        self,
        x: ArrayLike | Tensor,
        paths: int = 64,
        *,
        times: ArrayLike | None = None,
        variance: str | None = None,
        seed: int = 0,
        label: Label = None,
    ) -> tuple[FloatArray, FloatArray]:
        """A tighter lower bound on the log-density of each row (n, D), from the mean over some paths, and its error.

        It rises to the log-density of the reverse process with the number of paths (Burda et al. 2016). Arguments as in
        :meth:`bound_terms`.
        """
        return bounds.importance_bound(self, x, paths, times, variance, seed, label)

    def bits_per_dimension(
        self, x: ArrayLike | Tensor, levels: int, *, draws: int = 4, seed: int = 0, **options: Any
    ) -> tuple[FloatArray, FloatArray]:
        """An upper bound on the bits per dimension of integer rows x (n, D) by uniform dequantisation, and its error.

        -E_u log2 p(x + u) / D (:mod:`~driftfield.diffusion.further.dequantisation`), for a model trained on x + u.

        Args:
            levels: the numbers are 0 .. levels - 1.
            draws: of u for each row.
            options: of :meth:`log_prob`.

        Raises:
            InputError: a number is not an integer in that range.
        """
        return densities.bits_per_dimension(self, x, levels, draws, seed, **options)

    def converted(self, *, schedule: str | Schedule | None = None, head: str | Head | None = None) -> Model:
        """The same model under another schedule, or head (:mod:`driftfield.diffusion.further.conversion`).

        Args:
            schedule: a name, for its standard options, or a schedule. Within the noise levels that both know, samples
                along the same ones and densities do not change. A learned variance belongs to the steps of the old
                schedule: the new model's bounds need one of the fixed variances.
            head: a name or a function (schedule, t) -> (a, b); no estimate changes.

        Raises:
            InputError: an unknown name, or a learned kernel.
        """
        return variants.converted(self, schedule, head)

    def at(self, step: int) -> Model:
        """The model as it was after a training step whose weights were kept (``train.snapshots``).

        Raises:
            InputError: there are no weights of that step.
        """
        return variants.at(self, step)

    def as_torch(self) -> Tensors:
        """The same methods, with torch tensors for results, of the same shapes."""
        return Tensors(self)

    def evaluate(self, rows: int | None = None, seed: int = 0) -> Evaluation:
        """Every metric beside its floor, on held-out rows, without which InputError is raised."""
        from driftfield.evaluation import evaluate

        whole_rows.check_held_out(self)
        return evaluate(self, rows or self.recipe.evaluate.rows, seed)

    def save(self, path: str | Path) -> Path:
        """Write the model as a run folder; an existing run is refused.

        Raises:
            InputError: the folder exists or cannot be written, or the model was converted.
        """
        return files.save_model(self, Path(path))
