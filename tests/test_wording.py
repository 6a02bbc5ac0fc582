"""Numbers, errors and names as text."""

import numpy as np
import pytest

from driftfield.wording import noise_level, number, plus_minus, share, shorten, within


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5125, "0.512"),
        (0.9999, "1.00"),
        (-1.8349, "−1.83"),
        (12400, "12,400"),
        (3.1e-7, "3.10·10⁻⁷"),
        (1e30, "1.00·10³⁰"),
    ],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.51318, 0.00354, "0.5132 ± 0.0035"),
        (-1.0192, 0.0062, "−1.0192 ± 0.0062"),
        (2.2e-4, 8e-5, "(2.20 ± 0.80)·10⁻⁴"),
        (0.0, 9.999e-5, "(0.0 ± 1.0)·10⁻⁴"),
        (1234567.0, 120.0, "1,234,567 ± 120"),
        (1.0, None, "1.00"),
        (1.0, 1e-12, "1.00 ± 1.0·10⁻¹²"),
        (float("inf"), 1.0, "–"),
        (None, None, "–"),
    ],
)
def test_a_value_and_its_error_end_at_the_same_digit(value: float | None, error: float | None, text: str) -> None:
    assert plus_minus(value, error) == text


def test_names_are_cut_and_cleaned() -> None:
    assert shorten("a\tname\nwith   gaps") == "a name with gaps"
    assert shorten("x" * 50, 10) == "x" * 9 + "…"
    assert shorten("a\u202eb\x00") == "a\ufffdb\ufffd"
    assert (noise_level(0.5), noise_level(80.0), noise_level(np.inf), noise_level(100.0)) == ("0.5", "80", "∞", "100")


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(None, None, ""), (None, 0.05, "at most 0.0500"), (-0.1, None, "at least −0.100"), (0.98, 1.02, "0.980 to 1.02")],
)
def test_an_interval_says_which_of_its_ends_are_closed(low: float | None, high: float | None, text: str) -> None:
    assert within(low, high) == text


@pytest.mark.parametrize(
    ("fraction", "n", "what", "text"),
    [
        (0.6, 5, "", "3 of 5"),
        (1 / 3, 12, "rows", "4 of 12 rows"),
        (1 / 3, 30, "rows", "33.3 % of rows"),
        (0.0, 1000, "", "0.0 %"),
    ],
)
def test_a_fraction_of_few_things_is_a_count(fraction: float, n: int, what: str, text: str) -> None:
    assert share(fraction, n, what) == text
