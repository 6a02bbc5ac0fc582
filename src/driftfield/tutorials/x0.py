"""The parabola, and moons beside circles, by predicting the data with an hourglass; a learned variance and schedule."""

import numpy as np
import torch

from driftfield.diffusion import SCHEDULES, WEIGHTS, Denoiser, bound_variance
from driftfield.report.curves import lines
from driftfield.report.section import Section
from driftfield.tutorials.comparison import Variant, comparison, terms_of_bound
from driftfield.tutorials.measure import bound, distribution_of, fresh_rows, mean_square, sampled_accuracy
from driftfield.tutorials.results import Results
from driftfield.wording import number, plus_minus

BOUND_ROWS, SCHEDULE_ROWS = 2_000, 20_000  # fresh rows, of the bound of a chain and of that in continuous time


def two_schedules(results: Results) -> Section:
    """Linear and cosine betas, and the weight of the residual under each."""
    T = results.model.denoiser.schedule.T or 200
    i = np.arange(1, T + 1, dtype=float)
    t = torch.as_tensor(i / T)
    variants = []
    for kind, schedule in (
        ("linear", SCHEDULES["linear"](T=T, beta_start=1e-4, beta_end=0.02)),
        ("cosine", SCHEDULES["cosine-chain"](T=T, s=0.008, beta_min=1e-4, beta_max=0.1)),
    ):
        left, weight = schedule.prior_kl(), WEIGHTS["half-snr"](schedule, t, torch.ones_like(t)).sqrt()
        curves = (schedule.alpha(t).numpy() ** 2, weight.numpy())
        variants.append(Variant(kind, (number(left.signal), number(left.bound)), curves))
    prose = (
        f"{T} steps: linear from 1e-4 to 0.02, and cosine with s = 0.008 and betas clipped to [1e-4, 0.1].",
        f"The table is for data of unit variance. The rows here are not scaled: their mean square is "
        f"{number(mean_square(results.model))}, which multiplies the signal that is left.",
    )
    return comparison(
        "tutorial-schedules",
        "Two schedules and the weight",
        prose,
        ("schedule", "signal variance at the end", "L_T, nats per dimension"),
        variants,
        lambda curves: lines("x0-signal", "Signal that is left", i, curves, "step", "signal variance ᾱ"),
        lambda curves: lines("x0-weight", "Weight of the residual", i, curves, "step", "√(½ ΔSNR)", log_y=True),
    )


def learned_variance(results: Results) -> Section:
    """One network under the learned, the small and the large variance."""
    learned, seed = results.companions["variance"], results.seed
    T = learned.denoiser.schedule.T or 1
    lengths = (T, T // 10 or 1)
    x = fresh_rows(distribution_of(learned), BOUND_ROWS, seed)
    variants = []
    for variance, sampler in (
        ("learned", "ancestral-learned"),
        ("small", "ancestral"),
        ("large", "ancestral-large"),
    ):
        found = bound(learned, variance, x, seed)
        accuracies = [sampled_accuracy(learned, seed, sampler=sampler, grid="uniform", steps=n) for n in lengths]
        cells = (plus_minus(found.value, found.error), *(f"{value:.3f}" for value in accuracies))
        variants.append(Variant(variance, cells, (found.terms[1:-1],), dashed=variance == "learned"))
    prose = (
        "The network returns a second number for each column, v: the log variance of a step is interpolated between "
        "that of the bridge (small, v = −1) and β (large, v = 1). It is trained by the hybrid loss: the loss above "
        "plus a thousandth of the bound, whose gradient does not reach the mean.",
        f"One network that predicts the noise of scaled rows, trained for "
        f"{number(float(learned.facts['training seconds']))} s, sampled and bounded with each of the three variances.",
    )
    return comparison(
        "learned-variance",
        "A learned variance",
        prose,
        ("variance", "bound on the NLL, nats", *(f"C2ST, {n} steps" for n in lengths)),
        variants,
        lambda curves: terms_of_bound("variance-terms", T, curves, "KL of the step (nats)"),
    )


def learned_schedule(results: Results) -> Section:
    """The same bound under a straight line of log-SNR and under the learned one."""
    model = results.companions["schedule"]
    learned, section = model.denoiser.schedule, model.recipe.schedule
    straight = SCHEDULES["learned"](gamma_min=section.gamma_min, gamma_max=section.gamma_max).requires_grad_(False)
    t = np.linspace(1e-3, 1, 201)
    x = torch.from_numpy(model.codec.encode(fresh_rows(distribution_of(model), SCHEDULE_ROWS, results.seed)))
    assert isinstance(model.denoiser, Denoiser)
    variants = []
    for name, schedule in (("straight line", straight), ("learned", learned)):
        denoiser = Denoiser(model.denoiser.network, schedule, "edm", "log-sigma")  # given the noise level, not t
        mean, variance = bound_variance(denoiser, x, torch.Generator().manual_seed(results.seed))
        cells = (plus_minus(mean, (variance / len(x)) ** 0.5), number(variance), number(variance**0.5))
        variants.append(Variant(name, cells, (-schedule.gamma(torch.from_numpy(t)).numpy(),)))
    prose = (
        "In continuous time the bound depends on the schedule only through its two ends; in between, the schedule only "
        "changes the variance of an estimate from one random t. A monotone network for −log-SNR, with its ends fixed, "
        "is trained to reduce that variance, while the denoiser is trained on the estimate itself.",
        f"One draw of the diffusion term for each of {SCHEDULE_ROWS:,} fresh rows, with the same denoiser:",
    )
    return comparison(
        "learned-schedule",
        "A learned schedule",
        prose,
        ("schedule", "diffusion term, nats", "variance of one draw", "standard deviation"),
        variants,
        lambda curves: lines(
            "learned-schedule", "Log signal-to-noise ratio", t, curves, "t (0: data, 1: noise)", "log-SNR"
        ),
    )
