"""The built-in distributions, by name; to add one, write a function that returns it and add a row to the table."""

from driftfield.datasets.curves import circles, moons, moons_circles, rings, s_curve, swiss_roll, two_spirals
from driftfield.datasets.distribution import Distribution, FloatArray
from driftfield.datasets.mixtures import eight_gaussians, gaussian, gaussian_mixture, many_columns
from driftfield.datasets.planar import checkerboard, parabola, pinwheel, ring

__all__ = ["DISTRIBUTIONS", "Distribution", "FloatArray"]

DISTRIBUTIONS: dict[str, Distribution] = {
    distribution.name: distribution
    for distribution in (
        moons(),
        swiss_roll(),
        swiss_roll(noise=0.1, name="swiss-roll-fine"),
        s_curve(),
        circles(),
        ring(),
        rings(),
        parabola(),
        moons_circles(),
        eight_gaussians(),
        checkerboard(),
        two_spirals(),
        pinwheel(),
        gaussian_mixture(),
        gaussian(),
        many_columns(5),
        many_columns(10),
        many_columns(30),
    )
}
