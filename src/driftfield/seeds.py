"""Seeds: every stream of random numbers is derived from (seed, purpose, numbers).

Two draws that are made with one seed for two purposes, such as the noise of a sample and the noise of the bound that
scores it, come from independent streams. The streams are those of NumPy's ``SeedSequence``: the purpose, and the
numbers behind a zero, form its spawn key. No global random state is read or changed.

Two generators start at the seed itself, so that fits of version 0.1 can be repeated: that of a network's first weights
and that of the draws of its training.
"""

import numpy as np

from driftfield.errors import InputError


def stream(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """The random stream of a seed for one purpose.

    Args:
        seed: the user's; a whole number that is not negative.
        purpose: what the numbers are drawn for, in words.
        numbers: of a block, a step or a path, where each has a stream of its own; not negative, below 2^32.

    Raises:
        InputError: a negative seed.
    """
    return np.random.default_rng(_sequence(seed, purpose, numbers))


def derive(seed: int, purpose: str, *numbers: int, bits: int = 63) -> int:
    """A seed in 0 .. 2^bits - 1 of one purpose, for generators that take a number; arguments as in :func:`stream`.

    The default suits torch; scikit-learn takes 32 bits.
    """
    return int(_sequence(seed, purpose, numbers).generate_state(1, np.uint64)[0]) >> (64 - bits)


def _sequence(seed: int, purpose: str, numbers: tuple[int, ...]) -> np.random.SeedSequence:
    if seed < 0:
        raise InputError(f"The seed is {seed}: use a whole number that is not negative.")
    own = (0, *numbers) if numbers else ()  # no purpose contains a zero byte, so that no two keys are equal
    return np.random.SeedSequence(seed, spawn_key=(*purpose.encode(), *own))
