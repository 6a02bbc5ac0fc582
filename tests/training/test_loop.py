import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import driftfield
from driftfield.errors import Interrupted, TrainingError
from driftfield.recipes.building import Parts, build_denoiser, build_judge, build_loss
from driftfield.recipes.schema import Recipe, TrainSection
from driftfield.training import loop
from driftfield.training.batches import shuffled
from driftfield.training.callbacks import Callbacks
from driftfield.training.checkpoint import optimizer_tensors, unpack
from driftfield.training.loop import Trainer

STEPS = 60
SECTIONS = {
    "network": {"width": 8, "depth": 2},
    "objective": {"mean": -0.5, "std": 1.2},
    "train": {"steps": STEPS, "batch": 32, "lr": 1e-2, "warmup": 10},
}


class Number(nn.Module):
    """One weight, from 0."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))


class Pair(nn.Module):
    """Two parameters of different size."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(()))


def rows(n: int = 200, seed: int = 0) -> Tensor:
    """Two clusters in the plane."""
    generator = torch.Generator().manual_seed(seed)
    sign = torch.randint(2, (n, 1), generator=generator) * 2.0 - 1
    return sign + 0.3 * torch.randn(n, 2, generator=generator)


def trainer(seed: int = 0, **train: object) -> Trainer:
    """A small diffusion model in training, as fit makes it."""
    recipe = Recipe.parse({**SECTIONS, "train": {**SECTIONS["train"], **train}})
    denoiser = build_denoiser(recipe, 2, Parts(), seed)
    return Trainer(
        denoiser,
        loss=lambda of: build_loss(recipe, of, Parts()),
        rows=rows(),
        validation=rows(40, seed=1),
        settings=recipe.train,
        seed=seed,
        judge=lambda of: build_judge(recipe, of, Parts()),
    )


def number_trainer(
    loss: Callable[[nn.Module, Tensor], Tensor],
    validation: Tensor | None = None,
    model: nn.Module | None = None,
    **train: object,
) -> Trainer:
    """A model of one weight, or another, trained on rows of ones."""
    model = model or Number()
    options = {"steps": 50, "batch": 4, "lr": 1e-2, "warmup": 0, "decay": "none", "ema": 0.0, "clip": None, **train}
    settings = TrainSection.model_validate(options)
    return Trainer(
        model,
        loss=lambda of: lambda x, generator: loss(of, x),
        rows=torch.ones(10, 1),
        validation=validation,
        settings=settings,
        seed=0,
    )


def watch(on_step: Callable[[], None]) -> Callbacks:
    """Callbacks that call a function after each step."""

    def after() -> bool:
        on_step()
        return False

    return Callbacks(interrupted=after)


def stop_at(step: int, of: Trainer) -> Callbacks:
    return Callbacks(interrupted=lambda: of.progress.step == step)


def state_of(of: Trainer) -> dict[str, Tensor]:
    """All tensors of a training, and its plain numbers."""
    return {
        **{f"weights/{name}": p.detach() for name, p in of.parameters.items()},
        **{f"average/{name}": p for name, p in of.average.items()},
        **{f"best/{name}": p for name, p in of.best.items()},
        **{f"optimizer/{name}": value for name, value in optimizer_tensors(of.optimizer).items()},
        "generator": of.generator.get_state(),
        "progress": torch.tensor([of.progress.step, of.progress.best_step, of.progress.lowest], dtype=torch.float64),
        "losses": torch.tensor(of.losses, dtype=torch.float64),
    }


def history_of(of: Trainer) -> list[dict[str, object]]:
    return [{key: value for key, value in record.items() if key != "seconds"} for record in of.progress.history]


def assert_same(a: Trainer, b: Trainer) -> None:
    """Bit for bit, but for the clock."""
    first, second = state_of(a), state_of(b)
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name
    assert history_of(a) == history_of(b)


@pytest.mark.parametrize("k", [1, 7, 30, STEPS - 1])
def test_a_training_that_was_cut_off_and_resumed_ends_with_the_same_bits(tmp_path: Path, k: int) -> None:
    whole = trainer()
    whole.run()
    first = trainer()
    with pytest.raises(Interrupted):
        first.run(stop_at(k, first), checkpoint=tmp_path / "state")
    second = trainer(seed=0)
    with torch.no_grad():
        for p in second.parameters.values():
            p.fill_(math.nan)  # nothing of the fresh weights may survive
    second.run(checkpoint=tmp_path / "state")
    assert_same(second, whole)


def test_a_training_may_be_cut_off_again_and_again(tmp_path: Path) -> None:
    whole = trainer()
    whole.run()
    for k in (3, 4, 21, 59):
        part = trainer()
        with pytest.raises(Interrupted, match=f"at step {k} of {STEPS}"):
            part.run(stop_at(k, part), checkpoint=tmp_path / "state")
    last = trainer()
    last.run(checkpoint=tmp_path / "state")
    assert_same(last, whole)


def test_the_checkpoint_of_an_interruption_is_the_whole_state_at_that_step(tmp_path: Path) -> None:
    first, second = trainer(), trainer(seed=5)
    with pytest.raises(Interrupted, match="interrupted at step 17 of 60"):
        first.run(stop_at(17, first), checkpoint=tmp_path / "state")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state"]  # no temporary file is left
    second.load(tmp_path / "state")
    assert second.progress.step == 17
    assert_same(second, first)
    moments = {name: value for name, value in optimizer_tensors(second.optimizer).items() if "exp_avg" in name}
    assert moments
    assert any((value != 0).any() for value in moments.values())
    assert all(float(v) == 17 for name, v in optimizer_tensors(second.optimizer).items() if name.endswith("step"))


def test_training_depends_on_its_seed_alone() -> None:
    torch.manual_seed(1)
    first = trainer()
    first.run()
    torch.manual_seed(2)
    second = trainer()
    second.run()
    assert_same(first, second)
    third = trainer(seed=1)
    third.run()
    assert not torch.equal(first.average["network.out.weight"], third.average["network.out.weight"])


@pytest.mark.parametrize("ema", [0.0, 0.5, 0.9, 0.999])
def test_the_average_of_the_weights_is_its_closed_form(ema: float) -> None:
    of = number_trainer(lambda model, x: (model.w - x[:, 0]) ** 2, ema=ema)
    weights: list[float] = []
    of.run(watch(lambda: weights.append(of.parameters["w"].item())))
    decays = [min(ema, (1 + i) / (10 + i)) for i in range(50)]
    # average_n = sum_i (1 - d_i) prod_{j > i} d_j w_i, from a first average of 0.
    expected = sum((1 - decays[i]) * math.prod(decays[i + 1 :]) * w for i, w in enumerate(weights))
    assert len(set(weights)) == 50
    assert float(of.average["w"]) == pytest.approx(expected, rel=1e-5)  # 50 roundings of float32
    assert of.model.w.item() == float(of.average["w"])  # without validation rows the average is what training returns


def test_the_average_goes_on_after_a_resume(tmp_path: Path) -> None:
    def make() -> Trainer:
        return number_trainer(lambda model, x: (model.w - x[:, 0]) ** 2, ema=0.9)

    weights: list[float] = []
    whole = make()
    whole.run(watch(lambda: weights.append(whole.parameters["w"].item())))
    part = make()
    with pytest.raises(Interrupted):
        part.run(stop_at(5, part), checkpoint=tmp_path / "state")
    part = make()
    part.run(checkpoint=tmp_path / "state")
    assert torch.equal(part.average["w"], whole.average["w"])


def gradients_of(of: Trainer) -> list[Tensor]:
    """What the optimiser is given at each step, all parameters in one vector."""
    seen: list[Tensor] = []

    def look(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        seen.append(torch.cat([p.grad.flatten() for p in of.parameters.values() if p.grad is not None]).clone())

    of.optimizer.register_step_pre_hook(look)
    return seen


def steep(model: nn.Module, x: Tensor) -> Tensor:
    """A loss with the gradient (30, 40, 0, 120) for (a, b), of norm 130."""
    return (30 * model.a[0] + 40 * model.a[1] + 120 * model.b).expand(len(x))


def test_clipping_sees_every_parameter_and_cuts_the_norm_of_all_together() -> None:
    of = number_trainer(steep, model=Pair(), clip=1.3, steps=3)
    seen = gradients_of(of)
    of.run()
    assert len(seen) == 3
    for gradient in seen:
        # clip_grad_norm_ divides by norm + 1e-6.
        torch.testing.assert_close(gradient, torch.tensor([0.3, 0.4, 0.0, 1.2]), rtol=1e-6, atol=0)


@pytest.mark.parametrize("clip", [None, 200.0])
def test_a_gradient_below_the_limit_is_left_as_it_is(clip: float | None) -> None:
    of = number_trainer(steep, model=Pair(), clip=clip, steps=2)
    seen = gradients_of(of)
    of.run()
    assert torch.equal(seen[0], torch.tensor([30.0, 40.0, 0.0, 120.0]))


def test_the_gradient_is_that_of_the_mean_loss_and_not_scaled_by_the_loss() -> None:
    """``loss.backward(loss)`` would multiply every gradient by the loss, here 1,000 + 3 w."""
    of = number_trainer(lambda model, x: 1000 + 3 * model.w.expand(len(x)), steps=2)
    seen = gradients_of(of)
    of.run()
    assert [g.item() for g in seen] == [3.0, 3.0]


def test_clip_zero_never_clips() -> None:
    of = number_trainer(steep, model=Pair(), clip=0.0, steps=2)
    seen = gradients_of(of)
    of.run()
    assert torch.equal(seen[0], torch.tensor([30.0, 40.0, 0.0, 120.0]))


def test_a_squared_loss_has_the_gradient_of_half_the_square_of_the_mean_loss() -> None:
    """Which is the mean loss times its gradient, here (1,000 + 3 w) 3; the loss that is recorded is the mean itself."""
    of = number_trainer(lambda model, x: 1000 + 3 * model.w + torch.arange(-1.5, 2), steps=2, square_loss=True, batch=4)
    seen, weights = gradients_of(of), [0.0]
    of.run(watch(lambda: weights.append(of.parameters["w"].item())))
    for gradient, w in zip(seen, weights, strict=False):
        assert gradient.item() == pytest.approx(3 * (1000 + 3 * w), rel=1e-6)  # float32
    assert of.progress.history[0]["loss"] == 1000


@pytest.mark.parametrize("beta2", [0.5, 0.99])
def test_beta2_is_that_of_adam(beta2: float) -> None:
    """Gradients 1 and 4 in turn: v = (1 - b) sum b^(n - i) g_i^2, whose root and mean the optimiser keeps."""
    count = iter(range(10))
    of = number_trainer(
        lambda model, x: (1.0 if next(count) % 2 == 0 else 4.0) * model.w.expand(len(x)), steps=2, beta2=beta2
    )
    of.run()
    v = (1 - beta2) * (beta2 * 1 + 16)
    state = optimizer_tensors(of.optimizer)
    assert float(state["0/exp_avg_sq"]) == pytest.approx(v, rel=1e-6)
    m_hat, v_hat = (0.9 * 0.1 * 1 + 0.1 * 4) / (1 - 0.9**2), v / (1 - beta2**2)
    expected = -1e-2 * (1 + m_hat / math.sqrt(v_hat))  # the first step of Adam is the learning rate
    assert of.parameters["w"].item() == pytest.approx(expected, rel=1e-5)  # eps = 1e-8 beside a root of about 1


def test_a_step_is_one_of_adamw_on_rows_that_the_generator_draws() -> None:
    of = trainer(clip=None, ema=0.0, warmup=0, decay="none", weight_decay=0.01)
    reference = trainer(clip=None)
    optimizer = torch.optim.AdamW(reference.parameters.values(), lr=1e-2, betas=(0.9, 0.99), weight_decay=0.01)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        of._step()
        chosen = torch.randint(len(rows()), (32,), generator=generator)
        loss = reference.loss(rows()[chosen], generator).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, p in reference.parameters.items():
        torch.testing.assert_close(of.parameters[name], p, rtol=1e-5, atol=1e-7)  # fused or not: other roundings


@pytest.mark.parametrize("decay", ["cosine", "none"])
@pytest.mark.parametrize("warmup", [0, 10])
def test_the_learning_rate_warms_up_and_follows_half_a_cosine(warmup: int, decay: str) -> None:
    of = number_trainer(lambda model, x: (model.w - x[:, 0]) ** 2, warmup=warmup, decay=decay)
    rates: list[float] = []
    of.optimizer.register_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    of.run()
    for i, rate in enumerate(rates):
        warm = min(1.0, (i + 1) / warmup) if warmup else 1.0
        assert rate == pytest.approx(1e-2 * warm * (0.5 + 0.5 * math.cos(math.pi * i / 50) if decay == "cosine" else 1))


def towards_one(model: nn.Module, x: Tensor) -> Tensor:
    """Least at the value of the rows: 1 for training rows, and what the validation rows hold."""
    return (model.w - x[:, 0]) ** 2


@pytest.mark.parametrize("patience", [0.0, 0.2])
def test_early_stopping_returns_the_weights_before_the_overfitting(patience: float) -> None:
    """Adam moves w by 0.002 a step from 0 to 1, past 0.5, where the validation rows have their least loss."""
    of = number_trainer(towards_one, torch.full((8, 1), 0.5), steps=1000, lr=2e-3, patience=patience)
    weights: list[float] = []
    progress = of.run(watch(lambda: weights.append(of.parameters["w"].item())))
    assert max(weights) > 0.8
    assert 200 < progress.best_step < 320
    # A tie of 2e-3 in the loss is one of sqrt(2e-3) = 0.045 in w; beside it one validation interval, 20 steps or 0.04.
    assert of.model.w.item() == pytest.approx(0.5, abs=0.09)
    assert progress.step == 1000 if patience == 0 else 400 < progress.step < 560
    best = [record["validation"] for record in progress.history if record["step"] == progress.best_step]
    assert best == [pytest.approx((of.model.w.item() - 0.5) ** 2, abs=1e-6)]


def test_early_stopping_takes_the_later_of_two_that_tie() -> None:
    of = number_trainer(towards_one, torch.ones(8, 1), steps=300, lr=2e-2)
    progress = of.run()
    assert progress.best_step == 300
    assert of.model.w.item() == pytest.approx(1, abs=1e-3)


def test_early_stopping_goes_on_where_it_stood(tmp_path: Path) -> None:
    def make() -> Trainer:
        return number_trainer(towards_one, torch.full((8, 1), 0.5), steps=1000, lr=2e-3, patience=0.2)

    whole, part = make(), make()
    whole.run()
    with pytest.raises(Interrupted):  # after the best weights, before patience ends
        part.run(stop_at(350, part), checkpoint=tmp_path / "state")
    part = make()
    part.run(checkpoint=tmp_path / "state")
    assert_same(part, whole)


def test_validation_changes_nothing_but_what_is_returned() -> None:
    with_rows, without = trainer(patience=0.0), trainer(patience=0.0)
    without.validation = None
    weights: dict[str, list[Tensor]] = {"with": [], "without": []}
    for key, of in (("with", with_rows), ("without", without)):
        of.run(watch(lambda of=of, key=key: weights[key].append(of.parameters["network.out.weight"].detach().clone())))
    for a, b in zip(weights["with"], weights["without"], strict=True):
        assert torch.equal(a, b)


def test_the_recorded_loss_is_the_mean_since_the_last_record() -> None:
    of = number_trainer(towards_one, steps=450)
    losses: list[float] = []
    of.run(watch(lambda: losses.append((of.parameters["w"].item() - 1) ** 2)))
    before = [1.0, *losses[:-1]]  # the loss of a step is taken before it
    start = 0
    assert of.progress.history[-1]["step"] == 450
    for record in of.progress.history:
        assert record["loss"] == pytest.approx(np.mean(before[start : record["step"]]), rel=1e-4)
        start = record["step"]


def test_a_record_of_a_shuffled_training_is_the_mean_over_the_batches_of_an_epoch() -> None:
    values = torch.arange(10.0)[:, None] ** 2
    settings = TrainSection.model_validate({"steps": 9, "batch": 4, "lr": 1e-9, "warmup": 0, "clip": None})
    batches = shuffled((values,), 4, seed=3)
    model = Number()
    of = Trainer(
        model,
        loss=lambda of: lambda x, generator: x[:, 0] + of.w,
        rows=values,
        settings=settings,
        seed=0,
        batches=batches,
        every=3,
    )
    of.run()
    assert [record["step"] for record in of.progress.history] == [3, 6, 9]
    for epoch, record in enumerate(of.progress.history):
        means = [batches(3 * epoch + i, of.generator)[0].mean().item() for i in range(3)]
        assert record["loss"] == pytest.approx(np.mean(means), rel=1e-6)  # w is below 1e-8


def test_snapshots_are_the_averages_after_their_steps_and_survive_being_cut_off(tmp_path: Path) -> None:
    whole, kept = trainer(snapshots=(1, 20, 45, STEPS, 500)), {}

    def keep() -> None:
        kept[whole.progress.step] = {name: p.clone() for name, p in whole.average.items()}

    whole.run(watch(keep))
    assert sorted(whole.snapshots) == [1, 20, 45, STEPS]  # 500 is never reached
    first = trainer(snapshots=(1, 20, 45, STEPS, 500))
    with pytest.raises(Interrupted):
        first.run(stop_at(30, first), checkpoint=tmp_path / "state")
    second = trainer(snapshots=(1, 20, 45, STEPS, 500))
    second.run(checkpoint=tmp_path / "state")
    for step, weights in whole.snapshots.items():
        for name, value in weights.items():
            assert torch.equal(value, kept[step][name])
            assert torch.equal(value, second.snapshots[step][name])
    assert_same(second, whole)


def test_a_loss_that_is_not_finite_names_the_step_the_cause_and_what_to_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)  # a checkpoint after every step
    count = iter(range(100))
    of = number_trainer(lambda model, x: (model.w - x[:, 0]) ** 2 + (math.inf if next(count) == 6 else 0.0))
    with pytest.raises(TrainingError, match=r"inf at step 7 of 50: .*finite weights.*train\.lr=0\.001") as error:
        of.run(checkpoint=tmp_path / "state")
    assert error.value.exit_code == 1
    groups, progress = unpack(tmp_path / "state")
    assert progress.step == 6
    # Six steps of Adam under a gradient of one sign: 0.01 each, less what the shrinking gradient takes off.
    assert float(groups["weights"]["w"]) == pytest.approx(0.06, rel=0.02)
    assert of.parameters["w"].item() == float(groups["weights"]["w"])


def test_weights_that_overflow_are_blamed_on_the_learning_rate() -> None:
    of = number_trainer(lambda model, x: 0 * x[:, 0] + torch.exp(model.w), lr=1e38, clip=None)
    with torch.no_grad():
        of.parameters["w"].fill_(math.inf)
    with pytest.raises(TrainingError, match=r"weights of w had already overflowed, so the learning rate of 1e\+38"):
        of.run()


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_gradient_that_is_not_finite_never_reaches_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: float | None
) -> None:
    """The loss sqrt(w - w) is 0, and its gradient is infinite."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    count = iter(range(100))

    def loss(model: nn.Module, x: Tensor) -> Tensor:
        plain = (model.w - x[:, 0]) ** 2
        return plain + torch.sqrt(model.w - model.w.detach()) if next(count) == 4 else plain

    of = number_trainer(loss, torch.ones(4, 1), clip=clip)
    of._validate = lambda: None  # validation would take its own turn of the count
    with pytest.raises(TrainingError, match="gradient became inf at step 5 of 50"):
        of.run(checkpoint=tmp_path / "state")
    assert math.isfinite(of.parameters["w"].item())
    assert math.isfinite(float(unpack(tmp_path / "state")[0]["weights"]["w"]))


def test_settings_with_open_choices_are_refused() -> None:
    with pytest.raises(ValueError, match=r"needs train\.steps"):
        Trainer(Number(), loss=lambda of: lambda x, g: x, rows=torch.ones(3, 1), settings=TrainSection(), seed=0)


def test_the_number_of_threads_is_put_back_even_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(TrainingError):
        number_trainer(lambda model, x: x[:, 0] * math.nan + model.w).run()
    assert torch.get_num_threads() == before


def test_fitting_and_sampling_leave_every_global_generator_alone() -> None:
    import sklearn.neighbors  # noqa: F401 - the first import of rich, which it brings, draws a number for its links

    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    model = driftfield.fit(rows(300).numpy(), steps=20, seed=3)
    model.sample(10, sampler="ancestral")
    model.log_prob(model.train[:3])
    model.score(model.train[:3])
    model.trajectory(3, frames=5)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("T", "head", "options"),
    [
        (1, "eps", {"beta_start": 0.9}),
        (7, "edm", {"beta_start": 0.004, "beta_end": 0.95}),
        (50, "v", {"beta_start": 0.004, "beta_end": 0.35}),
    ],
)
def test_a_chain_of_one_seven_or_fifty_steps_goes_from_rows_to_rows(
    T: int, head: str, options: dict[str, float]
) -> None:
    data = rows(600).double().numpy() * [2.0, 0.5] + [10.0, -3.0]
    model = driftfield.fit(
        data,
        steps=200,
        head=head,
        schedule={"kind": "quadratic", "T": T, **options},
        network={"width": 16, "depth": 2},
        train={"lr": 5e-3, "validation": 0.0},
    )
    assert model.denoiser.schedule.T == T
    for sampler, grid in (("ancestral", "trailing"), ("ddim", "uniform"), ("dpmpp-2m", "karras"), ("heun", "log-snr")):
        new = model.sample(500, sampler=sampler, grid=grid, steps=min(T, 10))
        assert np.isfinite(new).all()
        # Whatever is lost over few steps, the centre stays: five standard errors of 0.045, and the rest for training.
        np.testing.assert_allclose(new.mean(0), data.mean(0), atol=0.35 * data.std(0).max())
    values, errors = model.log_prob(data[:5])
    assert np.isfinite(values).all()
    assert np.isfinite(errors).all()
