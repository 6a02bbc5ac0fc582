"""The five tutorials that the project grew from: each a recipe, with a report of all its figures and what is wrong."""

from driftfield.tutorials.ddpm import MOONS_DDPM, S_CURVE_DDPM, SWISS_ROLL_DDPM
from driftfield.tutorials.elbo import SWISS_ROLL_ELBO
from driftfield.tutorials.lesson import study
from driftfield.tutorials.ring import RING_SCORE_SDE, RING_SLICED_SCORE
from driftfield.tutorials.tutorial import Lesson, Tutorial
from driftfield.tutorials.vlb import DDPM_VLB
from driftfield.tutorials.x0 import MOONS_CIRCLES_X0, MOONS_CLASSES, PARABOLA_X0

TUTORIALS: dict[str, Tutorial] = {
    tutorial.name: tutorial
    for tutorial in (
        SWISS_ROLL_ELBO,
        DDPM_VLB,
        MOONS_DDPM,
        S_CURVE_DDPM,
        SWISS_ROLL_DDPM,
        RING_SCORE_SDE,
        RING_SLICED_SCORE,
        PARABOLA_X0,
        MOONS_CIRCLES_X0,
        MOONS_CLASSES,
    )
}

__all__ = ["TUTORIALS", "Lesson", "Tutorial", "study"]
