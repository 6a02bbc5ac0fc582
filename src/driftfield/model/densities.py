"""Densities: what a model says of given rows, in the user's units: log-densities, scores, codes and bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from driftfield.codecs.scaling import FloatArray
from driftfield.diffusion import (
    GRIDS,
    SCHEDULES,
    BoundTerms,
    Kernel,
    LearnedKernel,
    ReparametrisedDenoiser,
    RescheduledDenoiser,
    Schedule,
    bound_terms,
    decode,
    dequantised_log_prob,
    encode,
    importance_bound,
    log_prob,
    reverse_kernel,
)
from driftfield.diffusion.basics.heads import Head
from driftfield.diffusion.further.likelihood import MOST_EXACT
from driftfield.diffusion.further.probability_flow import MOST_NUMBERS
from driftfield.diffusion.further.row_noise import BLOCK, BlockNoise
from driftfield.errors import InputError, unknown_name
from driftfield.model.fitted import Fitted
from driftfield.seeds import derive

SCORE_NOISE = 0.05  # of a standard deviation
BOUND_STEPS = 400  # of a bound in continuous time; what it leaves to the density goes with one over the steps
_ROUNDING = 1e-3  # of a noise level at the end of those that a model knows

Label = str | Sequence[str] | None
Observe = Callable[[int], None]


@dataclass
class Densities(Fitted):
    """A fitted model that judges rows."""

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
        observe: Observe | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Log-density of each row of x (n, D) in nats, in the user's units, and the estimate of its error.

        log p(x) = log p(z) + log |det A|, by the ODE (see :mod:`driftfield.diffusion.further.likelihood`). At a time or
        noise level it is the density of the distribution of x_t / alpha_t, whose gradient is :meth:`score`; without
        either, that of the data at the schedule's smallest noise level. The error is that of the integration, joined
        with the standard error over the probes where these are random.

        A learned kernel has no such equation: its value is the importance-weighted bound on the data's density
        (:mod:`driftfield.diffusion.further.chain_bound`), with its standard error.

        Args:
            t, noise: the time, or the noise level sigma / alpha in standard deviations of the data.
            steps: Runge-Kutta steps; or
            tolerance: of steps that each row chooses for itself; 1e-5 is a good one.
            divergence: "exact", the default up to 64 columns, or "hutchinson".
            probes: for each row, of Hutchinson's estimate; the first row is number 0 of the seed.
            seed: of all that is random.
            label: the class given, or one for each row: log p(x | class).
            observe: called with the number of rows done.

        Raises:
            InputError: x has another number of columns, or values that are not finite; an option is out of range.
        """
        rows = self._scaled(x)
        cond, time = self._cond(label, len(rows)), self._time(t, noise)
        self._check_known(noise)
        if isinstance(self.denoiser, LearnedKernel):
            if time is not None:
                raise self._no_ode("density at other noise levels")
            return self.importance_bound(x, self.recipe.likelihood.paths, seed=seed)
        options = self._solving(steps, tolerance, divergence, probes) | {"seed": seed, "spread": self.spread}
        alpha = 1.0 if time is None else float(self.denoiser.schedule.alpha(time))
        prior = self.density_prior
        log_volume = self.scaler.log_det + self.dimensions * float(np.log(alpha))
        values, errors = np.empty(len(rows)), np.empty(len(rows))
        for part in _slices(len(rows), max(1, MOST_NUMBERS // self.dimensions)):
            own = None if cond is None else cond[part]
            found = log_prob(
                self.denoiser, alpha * rows[part], prior, cond=own, start=time, first=part.start, **options
            )
            values[part] = found.value.cpu().numpy() + log_volume
            errors[part] = found.total_error.cpu().numpy()
            if observe is not None:
                observe(part.stop)
        return values, errors

    def score(
        self,
        x: ArrayLike | Tensor,
        t: float | None = None,
        noise: float | None = None,
        *,
        label: Label = None,
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
        z = self._scaled(x)
        time = self._time(t, SCORE_NOISE if t is None and noise is None else noise)
        assert time is not None
        alpha = float(self.denoiser.schedule.alpha(time))
        with torch.no_grad():
            score = self.denoiser(alpha * z, time, self._cond(label, len(z))).score * alpha
        return self.scaler.score_back(score.cpu().numpy())

    def latent(
        self,
        x: ArrayLike | Tensor,
        *,
        steps: int | None = None,
        tolerance: float | None = None,
        label: Label = None,
    ) -> FloatArray:
        """The code of each row of x (n, D): its x_1 under the ODE in standard deviations of the prior, about its mean.

        The codes of the model's own rows are standard normal numbers, (n, D).
        """
        z = self._scaled(x)
        x_1 = encode(self.denoiser, z, cond=self._cond(label, len(z)), **self._way(steps, tolerance))
        prior = self.prior
        code = (x_1 - prior.mean) * (-prior.log_var / 2).exp()
        codes: FloatArray = code.cpu().numpy().astype(np.float64)
        return codes

    def decode(
        self,
        z: ArrayLike | Tensor,
        *,
        steps: int | None = None,
        tolerance: float | None = None,
        label: Label = None,
    ) -> FloatArray:
        """The row whose code is z (n, D): :meth:`latent` backward; (n, D) in the user's units."""
        codes = torch.from_numpy(self._checked(z).astype(np.float32)).to(self.device)
        x_1 = self.prior.sample(codes)
        rows = decode(self.denoiser, x_1, cond=self._cond(label, len(codes)), **self._way(steps, tolerance))
        return self.scaler.back(rows.cpu().numpy())

    def bound(self, x: ArrayLike | Tensor, **options: Any) -> tuple[FloatArray, FloatArray]:
        """The variational lower bound on the log-density of each row of x (n, D), in nats and the user's units.

        The second number is its standard error over the draws. Options as in :meth:`bound_terms`, which has each term.
        """
        terms = self.bound_terms(x, **options)
        return self.scaler.log_det - terms.total.numpy(), terms.row_error.numpy()

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
            times: increasing from 0 to 1; without, those of the chain, or 400 steps of equal log-SNR.
            variance: of the reverse steps: "small", "large" or "learned"; what was learned, or small.
            draws: of x_t for each row and time.
            seed, label: as in :meth:`log_prob`.

        Raises:
            InputError: the times or the variance do not fit the model.
        """
        z, kernel, grid = self._scaled(x), self._kernel(variance), self._times(times)
        cond, found = self._cond(label, len(z)), []
        for part in _slices(len(z), BLOCK) or [slice(0, 0)]:
            own, noise = None if cond is None else cond[part], self._noise(seed, "bound", part)
            found.append(bound_terms(kernel, z[part], self.prior, noise, own, times=grid, draws=draws))
        rows = zip(*((b.prior, b.transitions, b.decoder, b.row_error) for b in found), strict=True)
        prior, transitions, decoder, error = (torch.cat(parts).cpu() for parts in rows)
        return BoundTerms(prior, transitions, decoder, grid.cpu(), error)

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
        z, kernel, grid = self._scaled(x), self._kernel(variance), self._times(times)
        cond = self._cond(label, len(z))
        values, errors = np.empty(len(z)), np.empty(len(z))
        for part in _slices(len(z), BLOCK):

            def noise(path: int, part: slice = part) -> Callable[[], Tensor]:
                return self._noise(seed, f"path {path} of the importance bound", part)

            own = None if cond is None else cond[part]
            found = importance_bound(kernel, z[part], self.prior, noise, paths, own, times=grid)
            values[part], errors[part] = found.value.cpu().numpy(), found.error.cpu().numpy()
        return values + self.scaler.log_det, errors

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
            InputError: a number is no such integer.
        """
        rows = torch.from_numpy(self._checked(x))
        noise = self._noise(seed, "dequantisation", slice(0, len(rows)))
        seeds = (derive(seed, "density of a dequantised row", draw) for draw in range(draws))
        found = dequantised_log_prob(
            lambda x: torch.from_numpy(self.log_prob(x, seed=next(seeds), **options)[0]),
            rows,
            levels,
            lambda: torch.special.ndtr(noise().double()).to(rows),  # uniform
            draws,
        )
        bits, error = found.bits(self.dimensions)
        return bits.numpy(), error.numpy()

    def converted(self, *, schedule: str | Schedule | None = None, head: str | Head | None = None) -> Self:
        """The same model under another schedule, or head (:mod:`driftfield.diffusion.further.conversion`).

        Args:
            schedule: a name, for its standard options, or a schedule. Within the noise levels that both know, samples
                along the same ones and densities do not change.
            head: a name or a function (schedule, t) -> (a, b); no estimate changes.

        Raises:
            InputError: an unknown name, or a learned kernel.
        """
        if isinstance(self.denoiser, LearnedKernel):
            raise InputError("A learned kernel knows the steps of its own chain alone: it cannot be converted.")
        denoiser = self.denoiser
        if isinstance(schedule, str):
            if schedule not in SCHEDULES:
                raise unknown_name("schedule", schedule, SCHEDULES)
            schedule = SCHEDULES[schedule]()
        if schedule is not None:
            denoiser = RescheduledDenoiser(denoiser, schedule.to(self.device))
        if head is not None:
            denoiser = ReparametrisedDenoiser(denoiser, head)
        return replace(self, denoiser=denoiser, snapshots={})

    def _noise(self, seed: int, purpose: str, part: slice) -> Callable[[], Tensor]:
        """The noise of these rows for one purpose."""
        n = part.stop - part.start
        noise = BlockNoise(seed, purpose, part.start, max(1, n), (self.dimensions,), self.device)
        return lambda: noise()[:n]

    def _time(self, t: float | None, noise: float | None) -> Tensor | None:
        """The nearest time () at which the network may be asked, of a time or a noise level; None for neither."""
        schedule = self.denoiser.schedule
        if t is not None and noise is not None:
            raise InputError("A noise level is named by a time t or by the noise, not by both.")
        if noise is not None:
            if not noise > 0:
                raise InputError(f"The noise level must be positive, but it is {noise:g}.")
            return schedule.clamp(schedule.time(2 * torch.log(self._time_of(noise))))
        if t is None:
            return None
        if not 0 <= t <= 1:
            raise InputError(f"The time must lie between 0 and 1, but it is {t:g}.")
        return schedule.clamp(self._time_of(t))

    def _check_known(self, noise: float | None) -> None:
        """Refuse a noise level beyond those of the schedule, whose density would be that of another."""
        schedule = self.denoiser.schedule
        low, high = (float(schedule.kappa(self._time_of(end))) for end in (schedule.t_low, schedule.t_high))
        if noise is not None and not low * (1 - _ROUNDING) <= noise <= high * (1 + _ROUNDING):
            raise InputError(
                f"The model knows noise levels from {low:.3g} to {high:.3g} standard deviations of the data, but "
                f"{noise:g} is asked for: choose one of these."
            )

    def _time_of(self, value: float) -> Tensor:
        return torch.tensor(value, dtype=torch.float64, device=self.device)

    def _solving(
        self, steps: int | None, tolerance: float | None, divergence: str | None, probes: int | None
    ) -> dict[str, Any]:
        """How a density is computed: as asked, or as the recipe says; options that contradict are refused."""
        section = self.recipe.likelihood
        if steps is not None and tolerance is not None:
            raise InputError("Densities take a number of steps or a tolerance, but not both: each says how to solve.")
        if probes is not None and (divergence or section.divergence) != "hutchinson" and self.dimensions <= MOST_EXACT:
            raise InputError("Probes are those of Hutchinson's divergence, but this one is exact: leave them out.")
        if steps is None and tolerance is None:
            steps, tolerance = section.steps, section.tolerance
        return {
            "steps": section.steps if steps is None else steps,
            "tolerance": tolerance,
            "divergence": divergence or section.divergence,
            "probes": section.probes if probes is None else probes,
        }

    def _way(self, steps: int | None, tolerance: float | None) -> dict[str, Any]:
        """How to solve the ODE: as asked, or as the recipe says."""
        if isinstance(self.denoiser, LearnedKernel):
            raise self._no_ode("latent code")
        section = self.recipe.likelihood
        if steps is None and tolerance is None:
            steps, tolerance = section.steps, section.tolerance
        return {"steps": steps or section.steps, "tolerance": tolerance, "spread": self.spread}

    def _no_ode(self, what: str) -> InputError:
        return InputError(f"A learned kernel has no probability-flow ODE, so no {what}: ask another model.")

    def _kernel(self, variance: str | None) -> Kernel:
        if isinstance(self.denoiser, LearnedKernel):
            return self.denoiser
        return reverse_kernel(self.denoiser, variance)

    def _times(self, times: ArrayLike | None) -> Tensor:
        """The times of a bound, increasing from 0 to 1; (n + 1,)."""
        schedule = self.denoiser.schedule
        if times is not None:
            return torch.as_tensor(np.array(times, dtype=np.float64)).to(self.device)
        steps, name = (BOUND_STEPS, "log-snr") if schedule.T is None else (schedule.T, "uniform")
        return GRIDS[name](schedule, steps).flip(0).to(self.device)


def _slices(n: int, size: int) -> list[slice]:
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]
