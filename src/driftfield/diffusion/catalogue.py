"""The schedules by name: a class, or a function that returns one, with the options that a recipe may set."""

from collections.abc import Callable

from driftfield.diffusion.chains import constant, cosine_chain, linear, quadratic, sigmoid
from driftfield.diffusion.learned_schedule import Learned
from driftfield.diffusion.schedules import VE, VP, Cosine, RectifiedFlow, Schedule, SubVP

SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "linear": linear,
    "quadratic": quadratic,
    "sigmoid": sigmoid,
    "cosine-chain": cosine_chain,
    "vp": VP,
    "sub-vp": SubVP,
    "ve": VE,
    "cosine": Cosine,
    "rectified-flow": RectifiedFlow,
    "learned": Learned,
}
