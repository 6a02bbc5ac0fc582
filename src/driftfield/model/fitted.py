"""Fitted: what a fitted model is made of, and what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from driftfield.codecs.scaling import FloatArray, Scaler
from driftfield.datasets import DISTRIBUTIONS, Distribution, load_like
from driftfield.diffusion import (
    BaseDenoiser,
    Gaussian,
    LearnedKernel,
    correlated_prior,
    matched_prior,
    standard_prior,
)
from driftfield.diffusion.basics.schedules import PriorMismatch
from driftfield.diffusion.further.likelihood import Prior
from driftfield.errors import InputError, unknown_name
from driftfield.recipes.building import Parts
from driftfield.recipes.schema import Recipe

FADED = 0.01  # of the variance at t = 1: a signal that is left, with its correlations, and that no sample shows


@dataclass
class Fitted:
    """The parts of a fitted model.

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
        return next(chain(self.denoiser.parameters(), self.denoiser.buffers())).device

    @property
    def distribution(self) -> Distribution | None:
        """The distribution that the data were drawn from, if it is known."""
        return DISTRIBUTIONS.get(self.source)

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
    def density_prior(self) -> Prior:
        """What stands for x_1 in a density: a matched prior with what is left of the data's correlations.

        They are so faint that samples do not show them, KL = 1/4 sum_{i != j} (rho_ij / 401)^2 at sigma(1) = 20, but a
        row of five columns has an error of thousandths of a nat without them. Where more is left it is the prior that
        sampling starts with.
        """
        schedule, one = self.denoiser.schedule, torch.ones((), dtype=torch.float64, device=self.device)
        signal = 1 / (1 + float(schedule.kappa(one)) ** 2)
        white = self.recipe.data.scaling == "whiten" or self.dimensions == 1
        if white or signal > FADED or self.recipe.train.prior != "matched":
            return self.prior
        z = torch.from_numpy(self.scaler.forward(self.train)).double().to(self.device)
        return correlated_prior(schedule, z.mean(0), z.T.cov())

    @property
    def spread(self) -> float:
        """Standard deviation of the data in the network's units, of the widest column."""
        if self.recipe.data.scaling != "none":
            return 1.0
        widest = float(self.train.std(0).max())
        return widest if widest > 0 else 1.0

    @property
    def density_is_bound(self) -> bool:
        """Whether ``log_prob`` is a lower bound on the log-density in the mean, as it is for a learned kernel."""
        return isinstance(self.denoiser, LearnedKernel)

    def at(self, step: int) -> Self:
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

    def _scaled(self, x: ArrayLike | Tensor) -> Tensor:
        """Rows in the network's units, (n, D) on its device; see :meth:`_checked`."""
        return torch.from_numpy(self.scaler.forward(self._checked(x))).to(self.device)

    def _checked(self, x: ArrayLike | Tensor) -> FloatArray:
        """Rows (n, D) as float64; refuses another number of columns, and values that are not finite."""
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
