"""Streams of (seed, purpose, numbers)."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from driftfield.datasets import DISTRIBUTIONS
from driftfield.errors import InputError
from driftfield.seeds import derive, stream

MOONS_OF_SEED_0 = [[0.663249815393978, 0.6614820418885337], [0.925531150515114, 0.4477179276361424]]
KEYS = [
    ("bound",), ("bounds",), ("bound", 0), ("bound", 1), ("bound", 0, 0), ("bound", 0, 1), ("bound", 1, 0), ("", 98),
    ("b",), ("bound", 115), ("path 1", 1), ("path 11",), ("path", 1, 1), ("path", 11),
]  # fmt: skip


def test_a_stream_is_that_of_numpy_with_the_purpose_for_its_key() -> None:
    # The rows of the built-in distributions, which are published with their seeds, come from this convention.
    own = np.random.default_rng(np.random.SeedSequence(5, spawn_key=tuple(b"law moons")))
    assert_array_equal(stream(5, "law moons").random(8), own.random(8))
    assert_array_equal(DISTRIBUTIONS["moons"].sample(2, 0), MOONS_OF_SEED_0)


def test_seeds_purposes_and_numbers_that_differ_have_streams_that_differ() -> None:
    firsts = {(seed, *key): derive(seed, *key) for seed in (0, 1, 2**32, 2**32 + 1) for key in KEYS}
    assert len(set(firsts.values())) == 4 * len(KEYS)


def test_streams_of_two_purposes_are_independent() -> None:
    draws = [stream(0, *key).standard_normal(4_096) for key in KEYS]
    # Independent columns of 4,096 correlate by 1 / 64; five times that is no chance.
    assert all(abs(np.corrcoef(a, b)[0, 1]) < 5 / 64 for a, b in combinations(draws, 2))


@given(seed=st.integers(0, 2**40), number=st.integers(0, 2**32 - 1), bits=st.integers(1, 64))
@settings(max_examples=50, deadline=None)
def test_a_derived_seed_repeats_and_has_at_most_so_many_bits(seed: int, number: int, bits: int) -> None:
    found = derive(seed, "probes", number, bits=bits)
    assert found == derive(seed, "probes", number, bits=bits)
    assert 0 <= found < 2**bits


def test_derived_seeds_use_all_their_bits() -> None:
    found = [derive(0, "path", number, bits=32) for number in range(1_000)]
    ones = np.mean([[number >> bit & 1 for bit in range(32)] for number in found], axis=0)
    assert np.abs(ones - 0.5).max() < 4 * 0.5 / np.sqrt(1_000)  # four standard errors of a fair coin


def test_a_negative_seed_is_refused() -> None:
    for draw in (stream, derive):
        with pytest.raises(InputError, match="The seed is -1: use a whole number"):
            draw(-1, "bound")


def test_the_global_state_is_not_changed() -> None:
    before = np.random.get_state()[1].copy()
    stream(0, "bound").random()
    derive(0, "bound")
    assert_array_equal(np.random.get_state()[1], before)
