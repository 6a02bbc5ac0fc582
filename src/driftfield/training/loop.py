r"""The training loop: Adam on the denoising loss, an average of the weights, early stopping, checkpoints.

One step: take a batch (see :mod:`driftfield.training.batches`), draw times and noise from the trainer's own generator,
minimise the mean loss per dimension, and update the average of the weights (EMA), with decay
d_i = min(ema, (1 + i) / (10 + i)) at step i = 0, 1, ..:

    average <- d_i average + (1 - d_i) weights.

Early stopping judges the average by the bound on the negative log-likelihood of rows never trained on, over the noise
levels that are trained, with times and noise drawn once and kept, so that two values differ by the weights alone.
Training returns the last average whose bound is within 2e-3 nats per dimension of the lowest: near-ties go to the
later weights, which were trained with a smaller learning rate. Everything that a step depends on is in the checkpoint,
so an interrupted and resumed training ends with the same weights, bit for bit.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from driftfield.errors import Interrupted, TrainingError
from driftfield.files import write_atomically
from driftfield.recipes.schema import TrainSection
from driftfield.seeds import derive
from driftfield.training.batches import Batch, Batches, drawn
from driftfield.training.checkpoint import (
    Progress,
    optimizer_tensors,
    pack,
    restore_optimizer,
    unpack,
)

Loss = Callable[..., Tensor]  # (rows (B, *D), generator, labels (B,) if there are any) -> (B,)
CHECKPOINT_SECONDS = 10.0
VALIDATION_DRAWS = 8_192  # pairs of time and noise, whatever the number of validation rows
RECORDS = 200  # lines of history in a training
EARLY = 0.1  # fraction of the steps: weights from further before the last step are reported
SNAPSHOT = "snapshot-"
TIE = 2e-3  # nats per dimension: bounds closer than this count as equal
SMALL = 1 << 19  # rows per step times width: below it, a second thread costs more time than it saves


@dataclass(frozen=True)
class Report:
    """What an observer receives a few times a second."""

    step: int
    steps: int
    loss: float
    validation: float | None
    rows_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class Surroundings:
    """What connects a training to its caller; all optional.

    Args:
        checkpoint: file to save to every 10 seconds, and to resume from if it exists.
        observe: called a few times a second with a :class:`Report`.
        interrupted: called after each step; True means save and stop.
        seconds: a time budget, in place of a number of steps.
    """

    checkpoint: Path | None = None
    observe: Callable[[Report], None] | None = None
    interrupted: Callable[[], bool] | None = None
    seconds: float | None = None


class Trainer:
    """Trains ``model`` in place on rows (n, *D).

    Args:
        model: the module to train.
        loss: (rows, generator) -> one loss per row, already per dimension; (rows, generator, labels) where there are
            labels.
        rows: training rows, on the device of the model; (rows, labels), where there are labels.
        validation: rows, or rows and labels, for early stopping, or None.
        settings: the [train] section of a recipe, with every choice made.
        seed: of the rows, times and noise.
        judge: a function like ``loss`` whose mean early stopping compares; by default ``loss`` itself.
        batches: the rows of each step; by default they are drawn with replacement.
        every: number of steps between two records of the loss; by default chosen from the number of steps.
        work: rows per evaluation of the network, by default the batch; much work is shared between threads.

    Attributes:
        snapshots: the average of the weights after each step of ``settings.snapshots`` that was reached.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        rows: Tensor | Batch,
        validation: Tensor | Batch | None,
        settings: TrainSection,
        seed: int,
        judge: Loss | None = None,
        batches: Batches | None = None,
        every: int | None = None,
        work: int | None = None,
    ) -> None:
        if settings.steps is None or settings.batch is None or settings.lr is None:
            raise ValueError("A trainer needs train.steps, train.batch and train.lr: set them.")
        table = (rows,) if isinstance(rows, Tensor) else rows
        self.model, self.loss, self.device, self.settings = model, loss, table[0].device, settings
        self.rows = table[0]
        self.judge = judge or loss
        self.batches = batches or drawn(table, settings.batch)
        self.snapshots: dict[int, dict[str, Tensor]] = {}
        self.steps, self.batch, self.lr = settings.steps, settings.batch, settings.lr
        self.work = work or settings.batch
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.best = {name: p.clone() for name, p in self.average.items()}
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(),
            lr=self.lr,
            betas=(0.9, settings.beta2),
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.progress = Progress()
        self.validation = (validation,) if isinstance(validation, Tensor) else validation
        self.validate_every = max(10, min(self.steps // 50, 250))
        self.record_every = every or max(1, min(self.steps // RECORDS, 50))
        self.losses: list[float] = []

    def run(self, surroundings: Surroundings | None = None) -> Progress:
        """Train until steps, time or patience run out; the model then holds the best average.

        Raises:
            TrainingError: the loss or its gradient is not finite; the weights are those before that step.
            Interrupted: ``interrupted`` returned True; the checkpoint has been written.
        """
        around = surroundings or Surroundings()
        if around.checkpoint is not None and around.checkpoint.exists():
            self.load(around.checkpoint)
        with _threads(1 if self._is_small() else torch.get_num_threads()):
            self._train(around)
        self._finish()
        return self.progress

    def _train(self, around: Surroundings) -> None:
        started = time.monotonic() - self.progress.seconds
        saved = told = time.monotonic()
        self.model.train()
        while self.progress.step < self.steps and not self._out_of_patience():
            if around.seconds is not None and self.progress.seconds >= around.seconds:
                break
            self._step(around)
            now = time.monotonic()
            self.progress.seconds = now - started
            self._record()
            if around.observe is not None and now - told > 0.2:
                told = now
                around.observe(self._report(around))
            stop = around.interrupted is not None and around.interrupted()
            if around.checkpoint is not None and (stop or now - saved > CHECKPOINT_SECONDS):
                self.save(around.checkpoint)
                saved = now
            if stop:
                end = "" if around.seconds is not None else f" of {self.steps}"
                end += ", and saved" if around.checkpoint is not None else ""
                raise Interrupted(f"Training was interrupted at step {self.progress.step}{end}.")

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        groups: dict[str, dict[str, Tensor]] = {
            "weights": {**self.parameters},
            "average": self.average,
            "best": self.best,
            "optimizer": optimizer_tensors(self.optimizer),
            "generator": {"state": self.generator.get_state()},
            "losses": {"recent": torch.tensor(self.losses, dtype=torch.float64)},
        }
        groups |= {f"{SNAPSHOT}{step}": weights for step, weights in self.snapshots.items()}
        write_atomically(path, pack(groups, self.progress))

    def load(self, path: Path) -> None:
        """Continue from a checkpoint."""
        groups, self.progress = unpack(path)
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(groups["weights"][name])
                self.average[name].copy_(groups["average"][name])
                self.best[name].copy_(groups["best"][name])
        restore_optimizer(self.optimizer, groups["optimizer"])
        self.generator.set_state(groups["generator"]["state"])
        self.losses = groups["losses"]["recent"].tolist()
        self.snapshots = {
            int(name.removeprefix(SNAPSHOT)): {key: tensor.to(self.device) for key, tensor in weights.items()}
            for name, weights in groups.items()
            if name.startswith(SNAPSHOT)
        }

    def _step(self, around: Surroundings) -> None:
        i = self.progress.step
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * self._rate(i, around)
        rows, *labels = self.batches(i, self.generator)
        loss = self.loss(rows, self.generator, *labels).mean()
        value = loss.item()
        if self.settings.square_loss:
            loss = 0.5 * loss**2
        if not math.isfinite(value):
            raise TrainingError(self._not_finite("loss", value))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), self.settings.clip or math.inf).item()
        if not math.isfinite(norm):  # a finite loss can have an infinite gradient, which ruins the weights
            raise TrainingError(self._not_finite("gradient", norm))
        self.optimizer.step()
        decay = min(self.settings.ema, (1 + i) / (10 + i))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), list(self.parameters.values()), 1 - decay)
        self.losses.append(value)
        self.progress.step = i + 1
        if i + 1 in self.settings.snapshots:
            self.snapshots[i + 1] = {name: p.clone() for name, p in self.average.items()}

    def _rate(self, i: int, around: Surroundings) -> float:
        """Factor of the learning rate: linear warm-up, then half a cosine over the steps or the time."""
        done = i / self.steps
        if around.seconds is not None:
            done = max(done, min(self.progress.seconds / around.seconds, 1.0))
        warm = min(1.0, (i + 1) / self.settings.warmup) if self.settings.warmup else 1.0
        return warm * (0.5 * (1 + math.cos(math.pi * done)) if self.settings.decay == "cosine" else 1.0)

    def _record(self) -> None:
        step = self.progress.step
        last = step == self.steps
        judged = self.validation is not None and step % self.validate_every == 0
        if not last and step % self.record_every and not judged:
            return
        record: dict[str, float | None] = {
            "step": step,
            "loss": sum(self.losses) / len(self.losses),
            "seconds": round(self.progress.seconds, 3),
        }
        self.losses = []
        if last or step % self.validate_every == 0:
            record["validation"] = self._validate()
        self.progress.history.append(record)

    def _validate(self) -> float | None:
        if self.validation is None:
            return None
        repeats = math.ceil(VALIDATION_DRAWS / len(self.validation[0]))
        rows, *labels = (column.repeat(repeats, *[1] * (column.ndim - 1)) for column in self.validation)
        with self._averaged(), torch.no_grad():
            loss = self.loss(rows, self._fixed(), *labels).mean().item()
            bound = self.judge(rows, self._fixed(), *labels).double().mean().item()
        self.progress.lowest, self.progress.last = min(self.progress.lowest, bound), bound
        if bound <= self.progress.lowest + TIE:
            self.progress.best_step, self.progress.best = self.progress.step, bound
            for name, p in self.average.items():
                self.best[name].copy_(p)
        return loss

    def _fixed(self) -> torch.Generator:
        """A generator that gives every validation the same times and noise."""
        return torch.Generator(self.device).manual_seed(derive(0, "times and noise of validation"))

    def _out_of_patience(self) -> bool:
        if self.validation is None or self.settings.patience == 0 or self.progress.best_step == 0:
            return False
        return self.progress.step - self.progress.best_step > max(
            self.settings.patience * self.steps, 2 * self.validate_every
        )

    def _finish(self) -> None:
        if self.progress.step % self.validate_every:
            self._validate()
        chosen = self.average if self.validation is None else self.best
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(chosen[name])
        self.model.eval()

    def _is_small(self) -> bool:
        widest = max((size for p in self.parameters.values() for size in p.shape), default=1)
        return self.device.type == "cpu" and self.work * widest < SMALL

    def _averaged(self) -> "_Swapped":
        return _Swapped(self.model, self.parameters, self.average)

    def _report(self, around: Surroundings) -> Report:
        done = self.progress
        per_step = done.seconds / max(done.step, 1)
        left = per_step * (self.steps - done.step)
        if around.seconds is not None:
            left = min(left, around.seconds - done.seconds)
        recent = done.history[-1] if done.history else {}
        validation = next((r["validation"] for r in reversed(done.history) if "validation" in r), None)
        loss = self.losses[-1] if self.losses else recent.get("loss", math.nan)
        steps = min(self.steps, done.step + round(left / max(per_step, 1e-9)))
        return Report(done.step, steps, loss, validation, self.batch / max(per_step, 1e-9), left)

    def _not_finite(self, what: str, value: float) -> str:
        i = self.progress.step + 1
        bad = [name for name, p in self.parameters.items() if not torch.isfinite(p).all()]
        cause = (
            f"the weights of {bad[0]} had already overflowed, so the learning rate of {self.lr:g} is probably too high"
            if bad
            else f"the {what} overflowed with finite weights, so the data or the loss weights are probably very large"
        )
        return (
            f"The {what} became {value} at step {i} of {self.steps}: {cause}; "
            f"try --set train.lr={self.lr / 10:.2g} or --set train.clip=0.1."
        )


def early_weights(progress: Progress) -> str | None:
    """One sentence when the weights returned are from well before the last step, else None."""
    if not math.isfinite(progress.best) or progress.step - progress.best_step <= EARLY * progress.step:
        return None
    return (
        f"The model has the weights of step {progress.best_step:,} of {progress.step:,}: later weights were worse on "
        f"the validation rows, by {progress.last - progress.best:.2g} at the last step; --set train.validation=0 keeps "
        "the last weights."
    )


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """Run the block with n threads of torch."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Swapped:
    """Run the block with other values of the parameters."""

    def __init__(self, model: nn.Module, parameters: dict[str, nn.Parameter], values: dict[str, Tensor]) -> None:
        self.model, self.parameters, self.values = model, parameters, values

    def __enter__(self) -> None:
        self.kept = {name: p.detach().clone() for name, p in self.parameters.items()}
        self._put(self.values)
        self.model.eval()

    def __exit__(self, *exception: object) -> None:
        self._put(self.kept)
        self.model.train()

    def _put(self, values: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(values[name])
