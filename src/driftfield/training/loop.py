r"""The training loop: AdamW on the loss of a recipe, an average of the weights, early stopping, checkpoints.

One step: take a batch (:mod:`driftfield.training.batches`), draw times and noise from the trainer's own generator,
minimise the mean loss per dimension, and update the average of the weights (EMA), with decay
d_i = min(ema, (1 + i) / (10 + i)) at step i = 0, 1, ..:

    average <- d_i average + (1 - d_i) weights.

What training returns is an average, by default the one that early stopping judges best
(:mod:`driftfield.training.early_stopping`). Everything that a step depends on is in the checkpoint, so an interrupted
and resumed training ends with the same weights, bit for bit.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from driftfield.errors import Interrupted, TrainingError
from driftfield.files import write_atomically
from driftfield.modes import threads
from driftfield.recipes.schema import TrainSection
from driftfield.seeds import derive
from driftfield.training.batches import Batch, Batches, drawn
from driftfield.training.callbacks import Callbacks, report
from driftfield.training.checkpoint import Progress, optimizer_tensors, pack, restore_optimizer, unpack
from driftfield.training.early_stopping import Loss, mean_losses, note_bound, out_of_patience

MakeLoss = Callable[[Any], Loss]  # the loss of a model, from the model
CHECKPOINT_SECONDS = 10.0
REPORT_SECONDS = 0.2
FIRST_JUDGED = (10, 20, 40, 80, 160)  # steps at which the weights are judged before the first interval is over
RECORDS = 200  # lines of history in a training
SNAPSHOT = "snapshot-"
SMALL = 1 << 19  # rows per step times width: below it, a second thread costs more time than it saves


class Trainer:
    """Trains ``model`` in place on rows (n, *D).

    Args:
        model: the module to train.
        loss: model -> a function (rows, generator) -> one loss per row, already per dimension;
            (rows, generator, labels) where there are labels.
        rows: training rows, on the device of the model; (rows, labels), where there are labels.
        validation: rows, or rows and labels, for early stopping, or None; ``validation_weights`` (n,) are theirs.
        settings: the [train] section of a recipe, with every choice made.
        seed: of the rows, times and noise.
        judge: like ``loss``, the function whose mean early stopping compares; by default ``loss`` itself.
        batches: the rows of each step; by default they are drawn with replacement.
        every: number of steps between two records of the loss; by default chosen from the number of steps.
        work: rows per evaluation of the network, by default the batch; much work is shared between threads.

    Attributes:
        snapshots: the average of the weights after each step of ``settings.snapshots`` that was reached.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        loss: MakeLoss,
        rows: Tensor | Batch,
        settings: TrainSection,
        seed: int,
        validation: Tensor | Batch | None = None,
        validation_weights: Tensor | None = None,
        judge: MakeLoss | None = None,
        batches: Batches | None = None,
        every: int | None = None,
        work: int | None = None,
    ) -> None:
        if settings.steps is None or settings.batch is None or settings.lr is None:
            raise ValueError("A trainer needs train.steps, train.batch and train.lr: set them.")
        table = (rows,) if isinstance(rows, Tensor) else rows
        self.model, self.settings, self.device = model, settings, table[0].device
        self.averaged = deepcopy(model).eval().requires_grad_(False)
        self.loss, self.validation_losses = loss(model), [loss(self.averaged), (judge or loss)(self.averaged)]
        self.batches = batches or drawn(table, settings.batch)
        self.snapshots: dict[int, dict[str, Tensor]] = {}
        self.steps, self.batch, self.lr = settings.steps, settings.batch, settings.lr
        self.work = work or settings.batch
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.average = {name: p for name, p in self.averaged.named_parameters() if name in self.parameters}
        self.best = {name: p.clone() for name, p in self.average.items()}
        self.generator, self.seed = torch.Generator(self.device).manual_seed(seed), seed
        self.drops_out = any(isinstance(layer, _DropoutNd) for layer in model.modules())
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(),
            lr=self.lr,
            betas=(0.9, settings.beta2),
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.progress = Progress()
        self.validation = (validation,) if isinstance(validation, Tensor) else validation
        self.validation_weights = validation_weights
        self.validate_every = max(10, min(self.steps // 50, 250))
        self.record_every = every or max(1, min(self.steps // RECORDS, 50))
        self.losses: list[float] = []

    def run(
        self, callbacks: Callbacks | None = None, *, checkpoint: Path | None = None, seconds: float | None = None
    ) -> Progress:
        """Train until steps, time or patience run out; the model then holds the average that is returned.

        Args:
            checkpoint: file to save to every 10 seconds, and to resume from if it exists.
            seconds: a time budget, beside the number of steps.

        Raises:
            TrainingError: the loss or its gradient is not finite; the weights are those before that step.
            Interrupted: ``interrupted`` returned True; the checkpoint has been written.
        """
        if checkpoint is not None and checkpoint.exists():
            self.load(checkpoint)
        with threads(1 if self._is_small() else torch.get_num_threads()):
            self._train(callbacks or Callbacks(), checkpoint, seconds)
        self._finish()
        return self.progress

    def _train(self, callbacks: Callbacks, checkpoint: Path | None, seconds: float | None) -> None:
        started = time.monotonic() - self.progress.seconds
        saved = reported = time.monotonic()
        self.model.train()
        while not self._is_done(seconds):
            self._step(seconds)
            now = time.monotonic()
            self.progress.seconds = now - started
            self._record()
            if callbacks.observe is not None and now - reported > REPORT_SECONDS:
                reported = now
                loss = self.losses[-1] if self.losses else None
                callbacks.observe(report(self.progress, loss, self.steps, self.batch, seconds))
            stop = callbacks.interrupted()
            if checkpoint is not None and (stop or now - saved > CHECKPOINT_SECONDS):
                self.save(checkpoint)
                saved = now
            if stop:
                end = "" if seconds is not None else f" of {self.steps}"
                end += ", and saved" if checkpoint is not None else ""
                raise Interrupted(f"Training was interrupted at step {self.progress.step}{end}.")

    def _is_done(self, seconds: float | None) -> bool:
        if self.progress.step >= self.steps or (seconds is not None and self.progress.seconds >= seconds):
            return True
        patience = self.settings.patience and max(self.settings.patience * self.steps, 2 * self.validate_every)
        return self.validation is not None and out_of_patience(self.progress, patience)

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        groups: dict[str, dict[str, Tensor]] = {
            "weights": {**self.parameters},
            "average": {**self.average},
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

    def _step(self, seconds: float | None = None) -> None:
        i = self.progress.step
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * self._rate(i, seconds)
        rows, *labels = self.batches(i, self.generator)
        with self._dropout(i):
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
        with torch.no_grad():  # as torch's AveragedModel does, at a tenth of its time per step
            torch._foreach_lerp_(list(self.average.values()), list(self.parameters.values()), 1 - decay)
        self.losses.append(value)
        self.progress.step = i + 1
        if i + 1 in self.settings.snapshots:
            self.snapshots[i + 1] = {name: p.clone() for name, p in self.average.items()}

    @contextmanager
    def _dropout(self, step: int) -> Iterator[None]:
        """Draw what layers leave out from a seed of the step: they know only the global generator."""
        if not self.drops_out:
            yield
            return
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(derive(self.seed, "dropout", step))
            yield

    def _is_judged(self, step: int) -> bool:
        """Whether the weights of a step are judged: at equal intervals, and at 10, 20, 40, .. before the first.

        A table of few rows may be learned by heart before a long training first looks.
        """
        return step % self.validate_every == 0 or (step < self.validate_every and step in FIRST_JUDGED)

    def _rate(self, i: int, seconds: float | None) -> float:
        """Factor of the learning rate: linear warm-up, then half a cosine over the steps or the time."""
        done = i / self.steps
        if seconds is not None:
            done = max(done, min(self.progress.seconds / seconds, 1.0))
        warm = min(1.0, (i + 1) / self.settings.warmup) if self.settings.warmup else 1.0
        return warm * (0.5 * (1 + math.cos(math.pi * done)) if self.settings.decay == "cosine" else 1.0)

    def _record(self) -> None:
        step = self.progress.step
        last = step == self.steps
        judged = self.validation is not None and self._is_judged(step)
        if not last and step % self.record_every and not judged:
            return
        record: dict[str, float | None] = {
            "step": step,
            "loss": sum(self.losses) / len(self.losses),
            "seconds": round(self.progress.seconds, 3),
        }
        self.losses = []
        if last or self._is_judged(step):
            record["validation"] = self._validate()
        self.progress.history.append(record)

    def _validate(self) -> float | None:
        """Judge the average, keep it if it is the best; its loss on the validation rows, if there are any."""
        if self.validation is None:
            return None
        self._share_buffers()
        loss, bound = mean_losses(self.validation_losses, self.validation, self.validation_weights)
        if note_bound(self.progress, bound):
            for name, p in self.average.items():
                self.best[name].copy_(p)
        return loss

    def _share_buffers(self) -> None:
        """Give the average the buffers of the model, such as the running statistics of a batch norm."""
        for own, buffer in zip(self.averaged.buffers(), self.model.buffers(), strict=True):
            own.copy_(buffer)

    def _finish(self) -> None:
        if not self._is_judged(self.progress.step):
            self._validate()
        chosen = self.average if self.validation is None else self.best
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(chosen[name])
        self.model.eval()

    def _is_small(self) -> bool:
        widest = max((size for p in self.parameters.values() for size in p.shape), default=1)
        return self.device.type == "cpu" and self.work * widest < SMALL

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
