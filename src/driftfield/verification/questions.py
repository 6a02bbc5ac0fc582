"""The questions of a verification, in order. To add a check, write the function that measures it and add a row here."""

from driftfield.verification import denoising, density, latents, sampling, truth, units
from driftfield.verification.check import Question

STD = "standard deviations"

QUESTIONS: tuple[Question, ...] = (
    Question(
        "units",
        "Units",
        "of the tolerance",
        "The map between your units and the network's is not the one that the model was trained with: samples, scores "
        "and densities are in wrong units.",
        units.units,
    ),
    Question(
        "prior",
        "Prior",
        "nats per dimension",
        "The forward process does not reach its prior: sampling starts from a distribution that the network was not "
        "trained on; more steps or larger betas would fix it, training cannot.",
        units.prior,
    ),
    Question(
        "calibration",
        "Estimated against true noise",
        "slope",
        "The estimated noise is not the conditional mean of the true noise: at that noise level the score is too "
        "strong, too weak or of the wrong sign.",
        denoising.calibration,
    ),
    Question(
        "clock",
        "Noise level given to the network",
        "fraction of the error",
        "The network does better with another noise level as its input than the true one: its schedule is not the one "
        "that it was trained with.",
        denoising.clock,
    ),
    Question(
        "mass",
        "Mass of the density",
        "",
        "The density is not normalised, so that all log-densities are shifted: the units' Jacobian is wrong, the ODE "
        "is solved too coarsely, or some of the mass lies far from all data.",
        density.mass,
    ),
    Question(
        "score",
        "Score against the density",
        "slope",
        "Score and density disagree by a sign or a factor: one of the two is in wrong units, or the scores of "
        "different noise levels do not belong to one process.",
        density.score,
    ),
    Question(
        "round_trip",
        "Round trip through the ODE",
        STD,
        "The ODE is solved too coarsely: codes do not lead back to their rows, and log-densities have that error too.",
        density.round_trip,
    ),
    Question(
        "latents",
        "Latent codes are normal",
        "KS distance",
        "The flow does not carry held-out rows to the prior: the model's distribution is not that of the data, in its "
        "shape or its scale, or it has no mass where they lie.",
        latents.latents,
    ),
    Question(
        "bound",
        "Density above its bound",
        "nats",
        "The density by the ODE lies below its own lower bound: the ODE and the reverse process disagree, so that one "
        "of the two log-densities is wrong.",
        density.bound,
    ),
    Question(
        "exact_score",
        "Learned against exact score",
        "nats",
        "The learned score is far from the exact one, at the noise levels that the curve shows: train longer, or give "
        "the network more width; or its weights are damaged.",
        truth.exact_score,
    ),
    Question(
        "network",
        "Network with a fine sampler",
        STD,
        "Even with a fine sampler the rows of this network differ from the data: train longer, or its weights are "
        "damaged.",
        sampling.network,
    ),
    Question(
        "sampler",
        "Sampler apart from the network",
        STD,
        "The sampler of the recipe adds an error that does not come from the network: take more steps, or another "
        "sampler or grid; if the prior fails too, sampling starts from the wrong distribution.",
        sampling.sampler,
    ),
    Question(
        "memorisation",
        "Memorisation",
        "fraction",
        "Samples are closer to training rows than fresh rows are: the model repeats its training rows; train for fewer "
        "steps, on more rows, or with a smaller network.",
        sampling.copies,
    ),
)
