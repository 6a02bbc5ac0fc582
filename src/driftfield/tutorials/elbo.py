"""The Swiss roll by a learned mean and spread of every reverse step, trained on the bound of the whole chain."""

from collections.abc import Iterator

from driftfield.report.section import Section
from driftfield.tutorials.common import beside_section, data_section, loss_section, process_sections
from driftfield.tutorials.tutorial import Fault, Idea, Lesson, Tutorial

PRINTED = {  # the loss of the last batch of an epoch
    1: 0.805, 10: 0.0239, 20: 0.0257, 50: 0.0235, 100: 0.0160, 200: 0.0157, 300: 0.0164, 400: 0.00551,
    500: 0.00771, 600: 0.00899, 700: 0.00563, 800: 0.00914, 900: 0.00460, 1000: 0.00372,
}  # fmt: skip
PANELS = 11


def chapters(lesson: Lesson) -> Iterator[Section]:
    """The tutorial's figures in its order."""
    yield data_section(lesson)
    yield from process_sections(lesson, PANELS)
    yield loss_section(
        lesson,
        (
            "The negative bound of the whole chain by Monte Carlo, per dimension and divided by T, as the tutorial "
            "counts it; without the transition out of t = T unless objective.last_transition is set.",
            "What the tutorial prints is the loss of one batch of 512 rows, with a Monte Carlo error of about 0.004. "
            "No chain of 50 steps can go below −0.0007 in the mean: the guide computes it.",
        ),
        PRINTED,
    )
    yield beside_section(lesson)


SWISS_ROLL_ELBO = Tutorial(
    name="swiss-roll-elbo",
    source="000, an introduction to diffusion models",
    title="Swiss roll: a mean and a spread learned for every step",
    summary="a learned kernel, trained on the evidence lower bound of all 50 steps",
    chapters=chapters,
    ideas=(
        Idea(
            "q(x_t given x_{t-1}), the forward chain of T betas", "Chain, walk", "driftfield.diffusion.basics.forward"
        ),
        Idea("constant beta", "constant", "driftfield.diffusion.basics.chains"),
        Idea(
            "two networks for the mean and the spread of a reverse step",
            "LearnedKernel",
            "driftfield.diffusion.basics.kernels",
        ),
        Idea("the negative ELBO by Monte Carlo", "chain_loss", "driftfield.diffusion.further.chain_loss"),
        Idea(
            "the log-likelihood that it bounds",
            "bound_terms, importance_bound",
            "driftfield.diffusion.further.chain_bound",
        ),
        Idea("ReLU layers with t / T appended", "MLP", "driftfield.networks.mlp"),
    ),
    faults=(
        Fault(
            "The chain ends at a signal variance of 0.88 but sampling starts from N(0, I)",
            "samples start where training never was; see the prior above",
            "schedule.beta = 0.117 mends it",
        ),
        Fault(
            "The sum of the loss leaves out the transition out of t = T",
            "the first reverse step is never trained: the networks extrapolate there",
            "objective.last_transition = false is the recipe; true mends it",
        ),
        Fault(
            "The optimiser consumes the generator of parameters, so that clipping sees none",
            "gradients are never clipped; here they are, and the loss falls more slowly: 0.036 at epoch 10, not 0.026",
            "train.clip = 0",
        ),
        Fault(
            "Every step walks the whole chain, one network call at a time",
            "time: see the measured ratios of terms in the guide",
            "objective.terms = stepwise; random is the fastest",
        ),
    ),
)
