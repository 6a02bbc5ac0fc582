"""The parabola, and moons beside circles, by predicting the data with an hourglass; then classes and striding."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from driftfield.codecs import FloatArray
from driftfield.datasets import CLASS_COLUMN
from driftfield.diffusion import (
    SCHEDULES,
    WEIGHTS,
    Denoiser,
    bound_terms,
    bound_variance,
    reverse_kernel,
)
from driftfield.model.model import Model
from driftfield.report.clouds import field_of_clouds
from driftfield.report.curves import Curve, lines
from driftfield.report.section import Section, Table
from driftfield.report.style import Role
from driftfield.tutorials.common import (
    beside_section,
    data_section,
    film_section,
    loss_section,
    process_sections,
)
from driftfield.tutorials.measure import ROWS, accuracy, distribution_of, floor, fresh_rows, sampled_accuracy
from driftfield.tutorials.tutorial import Companion, Fault, Idea, Lesson, Settings, Tutorial
from driftfield.wording import number, plus_minus

PANELS = 11
BOUND_ROWS = 2_000
GUIDANCE = (0.0, 1.0, 2.0, 4.0)
STRIDES = (200, 50, 20, 10)
ROLES: tuple[Role, ...] = ("data", "generated")
VARIANCES: dict[str, Role] = {"learned": "generated", "small": "data", "large": "muted"}
METHODS: dict[str, Role] = {"ancestral": "generated", "ddim": "data", "dpmpp-2m": "ink"}


def chapters(lesson: Lesson) -> Iterator[Section]:
    """The figures of the first part, then learned variance and, for the parabola, the learned schedule."""
    yield data_section(lesson)
    yield _schedules_and_weight(lesson.model)
    yield from process_sections(lesson, PANELS)
    yield loss_section(
        lesson,
        (
            "Huber's loss of the data, each residual multiplied by the root of half the difference of neighbouring "
            "signal-to-noise ratios. At t = 1 that difference is infinite: the step takes the weight of t = 2.",
        ),
    )
    yield beside_section(lesson)
    yield film_section(lesson)
    yield _learned_variance(lesson)
    if "schedule" in lesson.companions:
        yield _learned_schedule(lesson)


def _schedules_and_weight(model: Model) -> Section:
    T = model.denoiser.schedule.T or 200
    i = np.arange(1, T + 1, dtype=float)
    t = torch.as_tensor(i / T)
    kinds = {
        "linear": SCHEDULES["linear"](T=T, beta_start=1e-4, beta_end=0.02),
        "cosine": SCHEDULES["cosine-chain"](T=T, s=0.008, beta_min=1e-4, beta_max=0.1),
    }
    signal = [
        Curve(kind, schedule.alpha(t).numpy() ** 2, role=role)
        for (kind, schedule), role in zip(kinds.items(), ROLES, strict=True)
    ]
    weight = [
        Curve(kind, WEIGHTS["half-snr"](schedule, t, torch.ones_like(t)).sqrt().numpy(), role=role)
        for (kind, schedule), role in zip(kinds.items(), ROLES, strict=True)
    ]
    panels = (
        lines("x0-signal", "Signal that is left", i, signal, "step", "signal variance ᾱ"),
        lines("x0-weight", "Weight of the residual", i, weight, "step", "√(½ ΔSNR)", log_y=True),
    )
    rows = tuple(
        (kind, number(schedule.prior_kl().signal), number(schedule.prior_kl().bound))
        for kind, schedule in kinds.items()
    )
    m2 = float(np.square(model.codec.encode(model.train)).mean())
    prose = (
        f"{T} steps: linear from 1e-4 to 0.02, and cosine with s = 0.008, its betas cut to 1e-4 and 0.1.",
        f"The table is for data of unit variance. The rows here are not scaled: their mean square is {number(m2)}, by "
        "which the signal that is left counts.",
    )
    header = ("schedule", "signal variance at the end", "L_T, nats per dimension")
    return Section(
        "tutorial-schedules", "Two schedules and the weight", prose, panels, across=2, table=Table(header, rows)
    )


def bound_of(model: Model, variance: str, seed: int = 0, rows: int = BOUND_ROWS) -> tuple[float, float, FloatArray]:
    """The bound on the NLL of fresh rows in the user's units, its standard error, and its terms; nats."""
    x = torch.from_numpy(model.codec.encode(fresh_rows(distribution_of(model), rows, seed)))
    generator = torch.Generator().manual_seed(seed)
    terms = bound_terms(reverse_kernel(model.denoiser, variance), x, model.prior, generator)
    mean, error = terms.mean_total()
    return mean - model.codec.log_det(model.train[:1])[0], error, terms.means().numpy()


def _learned_variance(lesson: Lesson) -> Section:
    learned = lesson.companions["variance"]
    T = learned.denoiser.schedule.T or 1
    curves: list[Curve] = []
    rows = []
    for variance, role in VARIANCES.items():
        bound, error, terms = bound_of(learned, variance, lesson.seed)
        sampler = "ancestral" if variance == "small" else f"ancestral-{variance}"
        found = [
            sampled_accuracy(learned, lesson.seed, sampler=sampler, grid="uniform", steps=n) for n in (T, T // 10 or 1)
        ]
        rows.append((variance, plus_minus(bound, error), *(f"{value:.3f}" for value in found)))
        curves.insert(0, Curve(variance, terms[1:-1], role=role, dashed=variance == "learned"))  # that one on top
    panel = lines(
        "variance-terms",
        "Terms of the bound",
        np.arange(2, T + 1, dtype=float),
        curves,
        "step t",
        "KL of the step (nats)",
        log_x=True,
        log_y=True,
    )
    prose = (
        "The network returns a second number for each column, v: the log variance of a step lies a share (v + 1) / 2 "
        "of the way from that of the bridge (small) to β (large). It is trained by the hybrid loss: the loss above "
        "plus a thousandth of the bound, whose gradient does not reach the mean.",
        f"One network that predicts the noise of scaled rows, trained for "
        f"{number(float(learned.facts['training seconds']))} s, sampled and bounded with each of the three variances.",
    )
    header = ("variance", "bound on the NLL, nats", f"C2ST, {T} steps", f"C2ST, {T // 10 or 1} steps")
    return Section(
        "learned-variance", "A learned variance", prose, (panel,), beside=True, table=Table(header, tuple(rows))
    )


def _learned_schedule(lesson: Lesson) -> Section:
    model = lesson.companions["schedule"]
    learned = model.denoiser.schedule
    section = model.recipe.schedule
    straight = SCHEDULES["learned"](gamma_min=section.gamma_min, gamma_max=section.gamma_max).requires_grad_(False)
    t = np.linspace(1e-3, 1, 201)
    x = torch.from_numpy(model.codec.encode(fresh_rows(distribution_of(model), 20_000, lesson.seed)))
    rows, curves = [], []
    for (name, schedule), role in zip({"straight line": straight, "learned": learned}.items(), ROLES, strict=True):
        assert isinstance(model.denoiser, Denoiser)
        denoiser = Denoiser(model.denoiser.network, schedule, "edm", "log-sigma")  # told of the noise, not of t
        mean, variance = bound_variance(denoiser, x, torch.Generator().manual_seed(lesson.seed))
        error = (variance / len(x)) ** 0.5
        rows.append((name, f"{mean:.3f} ± {error:.3f}", number(variance), number(variance**0.5)))
        curves.append(Curve(name, -schedule.gamma(torch.from_numpy(t)).numpy(), role=role))
    panel = lines("learned-schedule", "Log signal-to-noise ratio", t, curves, "t (0: data, 1: noise)", "log-SNR")
    prose = (
        "In continuous time the bound depends on the schedule through its two ends alone; in between, the schedule "
        "only changes how noisy an estimate from one random t is. A monotone network for −log-SNR, with its ends "
        "fixed, is trained to make the estimate less noisy, while the denoiser is trained on the estimate itself.",
        "One draw of the diffusion term for each of 20,000 fresh rows, with the same denoiser:",
    )
    header = ("schedule", "diffusion term, nats", "variance of one draw", "its root")
    return Section(
        "learned-schedule", "A learned schedule", prose, (panel,), beside=True, table=Table(header, tuple(rows))
    )


def class_chapters(lesson: Lesson) -> Iterator[Section]:
    """The figures of the second part: classes, guidance and striding."""
    yield data_section(lesson)
    yield from process_sections(lesson, PANELS)
    yield loss_section(lesson, ("Squared error of the noise; a tenth of the labels is hidden in each step.",))
    yield beside_section(lesson)
    yield film_section(lesson)
    yield _guidance(lesson)
    yield _striding(lesson)


def _guidance(lesson: Lesson) -> Section:
    model, distribution = lesson.model, distribution_of(lesson.model)
    clouds, rows = [], []
    n = 500
    real, truth = distribution.sample_labelled(2 * n, lesson.seed + 1)
    rows.append(("the distribution", "", f"{_obeyed(model, real, truth):.3f}", "", number(_spread(real, truth))))
    numbers = np.repeat(np.arange(len(model.classes)), n)
    names = [model.classes[i] for i in numbers]
    for guidance in GUIDANCE:
        made = model.sample(len(names), lesson.seed, label=names, guidance=guidance)
        clouds.append((f"guidance {guidance:g}", made, numbers))
        judged = [
            accuracy(made[numbers == i], part, lesson.seed)
            for i, part in enumerate(distribution.classes)
            if part.log_prob
        ]
        rows.append(
            (
                f"{guidance:g}",
                ", ".join(f"{value:.3f}" for value in judged),
                f"{_obeyed(model, made, numbers):.3f}",
                f"{accuracy(made, distribution, lesson.seed):.3f}",
                number(_spread(made, numbers)),
            )
        )
    panel = field_of_clouds("guidance", "Guidance", clouds, model.columns)
    classes = " and ".join(model.classes)
    prose = (
        f"Colours are the class that was asked for, {classes}. The guided noise is ε(none) + w (ε(class) − ε(none)): "
        "w = 0 ignores the class, w = 1 is the conditional model, more exaggerates what distinguishes a class.",
        "Obedience is the mean posterior probability of the class asked for, by the exact densities of the classes.",
    )
    header = ("guidance w", "C2ST against each class", "obedience", "C2ST against all", "spread within a class")
    return Section("guidance", "Classes and guidance", prose, (panel,), table=Table(header, tuple(rows)))


def _spread(x: FloatArray, numbers: NDArray[np.int64]) -> float:
    """Standard deviation within a class, mean over columns and classes."""
    return float(np.mean([x[numbers == i].std(0).mean() for i in np.unique(numbers)]))


def _obeyed(model: Model, x: FloatArray, numbers: NDArray[np.int64]) -> float:
    """Mean exact posterior probability of the given classes of rows."""
    parts = distribution_of(model).classes
    log_p = np.stack([part.log_prob(x) for part in parts if part.log_prob is not None], 1)
    posterior = np.exp(log_p - np.logaddexp.reduce(log_p, axis=1, keepdims=True))
    return float(posterior[np.arange(len(x)), numbers].mean())


def _striding(lesson: Lesson) -> Section:
    model = lesson.model
    T = model.denoiser.schedule.T or 1
    strides = [n for n in STRIDES if n <= T] or [T]
    names = [model.classes[i % len(model.classes)] for i in range(ROWS)]
    curves, table = [], []
    for method, role in METHODS.items():
        found = np.array(
            [
                sampled_accuracy(model, lesson.seed, sampler=method, grid="trailing", steps=n, label=names)
                for n in strides
            ]
        )
        curves.append(Curve(method, found, role=role))
        table.append((method, *(f"{value:.3f}" for value in found)))
    base = floor(distribution_of(model), lesson.seed, ROWS)
    panel = lines(
        "striding",
        "Fewer steps",
        np.array(strides, dtype=float),
        curves,
        "steps",
        "C2ST accuracy",
        log_x=True,
        references=[("floor", base)],
        markers=True,
    )
    prose = (
        "Every stride is a coarser grid over the same chain: the reverse step takes the exact posterior for its own "
        "two times, so no step reads the beta of another.",
        "Rows of both classes in equal shares, at guidance 1.",
    )
    header = ("sampler", *(f"{n} steps" for n in strides))
    return Section("striding", "Striding", prose, (panel,), beside=True, table=Table(header, tuple(table)))


IDEAS = (
    Idea("linear and cosine betas, cut to a range", "linear, cosine_chain", "driftfield.diffusion.basics.chains"),
    Idea("predicting the data", "the head x0", "driftfield.diffusion.basics.heads"),
    Idea("half the difference of signal-to-noise ratios", "weight half-snr", "driftfield.diffusion.basics.denoising"),
    Idea("Huber's loss", "metric huber", "driftfield.diffusion.basics.denoising"),
    Idea("the posterior with a fixed variance", "DenoiserKernel", "driftfield.diffusion.basics.kernels"),
    Idea("a learned variance", "LearnedVarianceDenoiser, hybrid_loss", "driftfield.diffusion.further.learned_variance"),
    Idea("a schedule learned by a monotone network", "Learned", "driftfield.diffusion.further.learned_schedule"),
    Idea("an hourglass of GELU layers", "MLP, widths", "driftfield.networks.mlp"),
    Idea("time-step striding", "uniform and trailing grids", "driftfield.diffusion.basics.grids"),
)
FAULTS = (
    Fault(
        "The posterior variance is divided by 1 − αₜ in place of 1 − ᾱₜ: it is 1 − ᾱₜ₋₁",
        "each step adds far more noise than it should, so fine structure is lost",
        "sample.sampler = ancestral-marginal",
        {"sampler": "ancestral-marginal"},
    ),
    Fault(
        "The chain ends at a signal variance of 0.13 but sampling starts from N(0, I)",
        "rows are not scaled: L_T is 2.1 nats per dimension for the parabola, 7.8 for moons beside circles",
        "data.scaling = standard mends most of it",
    ),
    Fault(
        "The network is given the step as a number up to 199, beside x",
        "its first layer sees little else; not carried over, here it is t in [0, 1]",
    ),
    Fault(
        "The weight is infinite at the first step, which training and sampling leave out",
        "samples keep the noise of that step, β = 1e-4",
        "",
    ),
    Fault(
        "Two sets of points are joined by columns, not by rows", "it would make rows of four columns; not carried over"
    ),
)


def _learned_variance_of(name: str) -> Companion:
    """The same data and chain, with rows that are scaled and a network that predicts the noise and the variance."""
    changes: Settings = {
        "data": {"scaling": "standard"},
        "network": {"widths": None, "width": 64, "depth": 3, "activation": "silu", "embedding": "sine", "init": "zero"},
        "denoiser": {"variance": "learned", "head": "eps", "scale_input": True},
        "objective": {"kind": "hybrid", "weight": "simple", "metric": "squared"},
        "train": {"batch": 512, "lr": 3e-3, "snapshots": ()},
        "sample": {"sampler": "ancestral-learned"},
    }
    return Companion("variance", "a learned variance", name, changes, shared=("data", "schedule"))


PARABOLA_X0 = Tutorial(
    name="parabola-x0",
    source="004, the vanilla diffusion model",
    title="Parabola: predicting the data",
    summary="x0-prediction with an hourglass; learned variance; a learned schedule",
    chapters=chapters,
    ideas=IDEAS,
    faults=FAULTS,
    companions=(
        _learned_variance_of("parabola-x0"),
        Companion("schedule", "a learned schedule", "parabola-learned-schedule"),
    ),
)
MOONS_CIRCLES_X0 = Tutorial(
    name="moons-circles-x0",
    source="004, the vanilla diffusion model",
    title="Moons beside circles: predicting the data",
    summary="x0-prediction with an hourglass on a distribution of two scales",
    chapters=chapters,
    ideas=IDEAS,
    faults=FAULTS,
    companions=(_learned_variance_of("moons-circles-x0"),),
)
MOONS_CLASSES = Tutorial(
    name="moons-classes",
    source="004, the vanilla diffusion model, part 2",
    title="Moons by class: guidance and striding",
    summary="eps-prediction told the class, classifier-free guidance, fewer steps",
    chapters=class_chapters,
    ideas=(
        Idea("predicting the noise", "the head eps", "driftfield.diffusion.basics.heads"),
        Idea("sine and cosine of the step", "sine_time", "driftfield.networks.embeddings"),
        Idea(
            f"class labels, hidden now and then (data.label = {CLASS_COLUMN})",
            "MLP, classes",
            "driftfield.networks.mlp",
        ),
        Idea("classifier-free guidance", "GuidedDenoiser", "driftfield.diffusion.further.guidance"),
        Idea("time-step striding", "trailing", "driftfield.diffusion.basics.grids"),
        Idea("cosine betas", "cosine_chain", "driftfield.diffusion.basics.chains"),
    ),
    faults=(
        Fault(
            "The betas of the cosine chain are cut at 0.1",
            "little: a signal variance of 0.0029 is left, 0.0015 nats per dimension",
            "schedule.beta_max = 0.999 mends it",
        ),
    ),
)
