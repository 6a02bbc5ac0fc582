"""Subject: the model under test, with the rows and draws that several checks use.

Noised rows are x_t / alpha_t = z + kappa eps in the network's units, at a noise level kappa = sigma / alpha; in these
units the noise is isotropic. A row of a table gets noise in the numbers that are there, given its categories. All draws
come from streams of (seed, purpose), so that no check changes the numbers of another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from driftfield.codecs import FloatArray, NumericCodec, Scaler, TableCodec
from driftfield.datasets.distribution import Distribution
from driftfield.diffusion import GRIDS, SAMPLERS, BaseDenoiser, Cells, LearnedKernel, sample
from driftfield.diffusion.basics.loop import Step
from driftfield.diffusion.further.cells import ABSENT, GENERATED
from driftfield.diffusion.further.places import placed
from driftfield.errors import DriftfieldError
from driftfield.evaluation.rows import choose
from driftfield.model.model import Model
from driftfield.model.sampling import How
from driftfield.model.whole_rows import check_held_out
from driftfield.recipes.sampling import build_sampling
from driftfield.seeds import derive, stream
from driftfield.verification.table_draws import new_rows

REFERENCE_STEPS = 100  # of Heun's method: halving them moves samples of the default recipe by less than 0.01 std


@dataclass
class Subject:
    """The model, with at most ``rows`` real rows to compare with, and the seed of all draws."""

    model: Model
    rows: int
    seed: int

    @property
    def distribution(self) -> Distribution | None:
        """The distribution of the data, if it is known."""
        return self.model.distribution

    @property
    def is_kernel(self) -> bool:
        """Whether the model is a learned kernel, which has no ODE and no score of its own."""
        return isinstance(self.model.denoiser, LearnedKernel)

    def stream(self, purpose: str) -> np.random.Generator:
        """A random stream of this verification."""
        return stream(self.seed, f"verify {purpose}")

    @cached_property
    def real(self) -> FloatArray:
        """Rows that training never saw, in the user's units (n, D): fresh ones if the distribution is known."""
        if self.distribution is not None:
            return self.distribution.sample(self.rows, derive(self.seed, "verify real"))
        check_held_out(self.model)
        return choose(self.model.held_out, self.rows, self.stream("held out"), self.model.held_out_weights)

    @cached_property
    def other(self) -> FloatArray:
        """A second real sample (m, D), for floors: fresh rows of the distribution, else training rows."""
        if self.distribution is not None:
            return self.distribution.sample(self.rows, derive(self.seed, "verify second real sample"))
        return choose(self.model.train, len(self.real), self.stream("training"), self.model.train_weights)

    @cached_property
    def training(self) -> FloatArray:
        """All training rows that the model keeps, in the user's units (m, D); rows with weights as often as these."""
        rows = self.model.train
        return choose(rows, len(rows), self.stream("weighted training rows"), self.model.train_weights)

    @cached_property
    def cells(self) -> Cells | None:
        """The real rows of a table: every category given, every number that is there generated; else None."""
        codec = self.model.codec
        if not isinstance(codec, TableCodec):
            return None
        encoded = codec.encoded(self.real)
        there = encoded.present & ~codec.outside(self.real)
        u = torch.from_numpy(self.stream("places of angles").random(there.shape)).float()
        turn = torch.from_numpy(np.minimum(encoded.width, 0))
        z = np.where(
            there, placed(torch.from_numpy(encoded.z), turn, u, torch.from_numpy(encoded.tail)).numpy(), np.float32(0)
        )
        state = np.where(there, GENERATED, ABSENT).astype(np.float32)
        return Cells(*(torch.from_numpy(part).to(self.model.device) for part in (state, z, encoded.codes)))

    @cached_property
    def z(self) -> FloatArray:
        """The real rows in the network's units (n, D); of a table, its numbers, 0 where there is none."""
        rows = self.model.codec.encode(self.real) if self.cells is None else self.cells.values.cpu().numpy()
        return rows.astype(np.float64)

    @cached_property
    def free(self) -> FloatArray | float:
        """1 for numbers that get noise, 0 for those of a table that are not there (n, D)."""
        return 1.0 if self.cells is None else self.cells.free.double().cpu().numpy()

    @property
    def scaler(self) -> Scaler:
        """The affine map between the user's units and the network's."""
        codec = self.model.codec
        assert isinstance(codec, NumericCodec), "only tables of numbers are verified"
        return codec.scaler

    def time(self, noise: float) -> Tensor:
        """The time at which sigma / alpha is ``noise``, () float64."""
        schedule = self.model.denoiser.schedule
        return schedule.time(2 * torch.log(torch.tensor(noise, dtype=torch.float64, device=self.model.device)))

    def noise_at(self, t: Tensor) -> float:
        """sigma / alpha at a time."""
        return float(self.model.denoiser.schedule.kappa(t))

    def level(self, noise: float) -> float:
        """The nearest noise level at which the network may be evaluated; on a chain, that of one of its steps."""
        schedule = self.model.denoiser.schedule
        t = self.time(noise)
        if schedule.T is not None:
            t = (t * schedule.T).round().clamp(min=1) / schedule.T
        return self.noise_at(t)

    def levels(self, wanted: tuple[float, ...]) -> list[float]:
        """The levels nearest to those wanted, without repetition."""
        return sorted({round(self.level(noise), 12) for noise in wanted})

    def noisy(self, noise: float, purpose: str, rows: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """(z + noise eps, eps), both (n, D), of the real rows in the network's units, or of ``rows`` in those."""
        z = self.z if rows is None else rows
        eps = self.free * self.stream(f"{purpose} {noise:.6g}").standard_normal(z.shape)
        return z + noise * eps, eps

    def eps_hat(self, y: FloatArray, noise: float, denoiser: BaseDenoiser | None = None) -> FloatArray:
        """The estimate of the noise in y (n, D) = x_t / alpha_t by the model's denoiser, or by another; float64."""
        denoiser = denoiser or self.model.denoiser
        t = self.time(noise)
        alpha, cond = float(denoiser.schedule.alpha(t)), None if self.cells is None else self.cells.packed
        with torch.no_grad():
            x_t = torch.as_tensor(alpha * y, dtype=torch.float32, device=self.model.device)
            found: FloatArray = denoiser(x_t, t, cond).eps.double().cpu().numpy()
        return self.free * found

    @cached_property
    def samples(self) -> FloatArray:
        """Samples of the model, as a user would draw them (n, D)."""
        return self.model.sample(len(self.real), self.seed)

    @cached_property
    def start(self) -> Tensor:
        """Draws from the prior (n, D), in the network's units, from which all samplers here start."""
        eps = self.stream("start").standard_normal((len(self.real), self.model.dimensions))
        prior = self.model.prior
        return prior.sample(torch.as_tensor(eps, dtype=torch.float32, device=self.model.device))

    @cached_property
    def log_prob(self) -> FloatArray:
        """The log-density of the real rows by the ODE, in nats and the user's units (n,)."""
        return self.model.log_prob(self.real)[0]

    @cached_property
    def latents(self) -> FloatArray:
        """The codes of the real rows by the ODE (n, D)."""
        codes: FloatArray = self.model.latent(self.real)
        return codes

    def own_sampler(self) -> tuple[Step, Tensor]:
        """The step function and the times of the recipe."""
        step, times = build_sampling(self.model.recipe.sample, self.model.denoiser.schedule)
        return step, times.to(self.model.device)

    def reference_sampler(self) -> tuple[Step, Tensor]:
        """Heun's method in 100 steps, or in all steps of a chain, as its network is not trained between them."""
        schedule = self.model.denoiser.schedule
        name, steps = ("karras", REFERENCE_STEPS) if schedule.T is None else ("uniform", schedule.T)
        return SAMPLERS["heun"], GRIDS[name](schedule, steps).to(self.model.device)

    def draw(
        self, denoiser: BaseDenoiser, sampler: tuple[Step, Tensor], n: int | None = None, purpose: str = "steps"
    ) -> FloatArray:
        """Samples of a denoiser from ``start``, in the user's units (n, D).

        Raises:
            DriftfieldError: they are not finite.
        """
        step, times = sampler
        start = self.start[:n]
        noise = _normal(start, derive(self.seed, f"verify noise of {purpose}"))
        *_, last = sample(denoiser, start, times, step, noise)
        if not last.x.isfinite().all():
            raise DriftfieldError("some samples are not finite.")
        return self.model.codec.decode(last.x.cpu().numpy())

    @cached_property
    def reference(self) -> FloatArray:
        """Samples of the model's denoiser by the reference sampler (n, D); of a table new rows (n, C), not rounded."""
        if self.cells is not None:
            T = self.model.denoiser.schedule.T
            grid, steps = ("karras", REFERENCE_STEPS) if T is None else ("uniform", T)
            return new_rows(self.model, len(self.real), How(sampler="heun", steps=steps, grid=grid), self.seed)
        return self.draw(self.model.denoiser, self.reference_sampler())


def _normal(like: Tensor, seed: int) -> Callable[[], Tensor]:
    generator = torch.Generator(like.device).manual_seed(seed)
    return lambda: torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)
