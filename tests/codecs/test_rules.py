"""Rules: rows are mapped to what is modelled and back, and whatever comes back obeys the rules."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftfield.codecs import TableCodec
from driftfield.codecs.columns import ColumnOptions
from driftfield.codecs.rule_texts import read_rules
from driftfield.codecs.rules import Rules
from driftfield.datasets.dates import Dates
from driftfield.errors import InputError
from driftfield.recipes.schema import load_recipe

N = 400
NAMES = ("start", "end", "last", "net", "tax", "total", "is_a", "is_b", "is_c", "x")
HOLD = ("start <= end", "end < last", "total = net + tax", "one of: is_a, is_b, is_c")
PLACES = (0, 0, 0, 2, 1, 2, 0, 0, 0, None)


def rows(n: int = N) -> np.ndarray:
    rng = np.random.default_rng(0)
    start = rng.integers(0, 100, n)
    end = start + rng.geometric(0.1, n) - 1
    last = end + rng.geometric(0.05, n)
    net, tax = rng.gamma(2, 50, n).round(2), rng.gamma(2, 5, n).round(1)
    group = np.eye(3)[rng.integers(0, 3, n)]
    return np.column_stack([start, end, last, net, tax, (net + tax).round(2), group, rng.normal(size=n)])


RULES = read_rules(HOLD, NAMES, PLACES)
CODEC = TableCodec.fit(rows(), NAMES, ((),) * len(NAMES), hold=HOLD)


def test_rows_come_back_as_they_were() -> None:
    inner = RULES.inward(rows())
    assert inner.shape == (N, 7)  # without the total and two of the group
    assert np.allclose(RULES.outward(inner), rows(), rtol=1e-12)
    assert (inner[:, 2] >= 1).all()  # end < last, in whole numbers


@given(
    st.lists(st.lists(st.floats(-3e3, 3e3), min_size=7, max_size=7), min_size=1, max_size=5),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_whatever_is_modelled_obeys_the_rules(values: list[list[float]], rounded: bool) -> None:
    inner = np.array(values)
    inner[:, 5] = np.abs(inner[:, 5]).astype(int) % 3  # which of the group
    found = RULES.outward(inner, rounded)
    RULES.check(found)
    assert (found[:, 0] <= found[:, 1]).all()
    assert (found[:, 1] < found[:, 2]).all()
    assert np.allclose(found[:, 3] + found[:, 4], found[:, 5], rtol=1e-9, atol=0.005 if rounded else 0)
    assert (found[:, 6:9].sum(1) == 1).all()


@given(st.integers(0, N - 1), st.sets(st.integers(0, 9)))
@settings(max_examples=200, deadline=None)
def test_missing_cells_are_computed_or_stay_missing_and_the_rest_is_kept(row: int, missing: set[int]) -> None:
    whole = rows()[[row]]
    holes = whole.copy()
    holes[0, list(missing)] = np.nan
    completed = RULES.completed(holes)
    there = ~np.isnan(completed)
    assert np.allclose(completed[there], whole[there], rtol=1e-9)
    assert there[~np.isnan(holes)].all()
    unused = RULES.lost(holes)
    usable = np.where(unused, np.nan, holes)
    while RULES.lost(usable).any():  # a cell that cannot be used may have been the base of another
        usable = np.where(RULES.lost(usable), np.nan, usable)
    inner = RULES.inward(usable)
    assert np.allclose(RULES.inward(whole)[~np.isnan(inner)], inner[~np.isnan(inner)], rtol=1e-9)
    if unused.any():
        with pytest.raises(InputError, match="makes nothing without its other columns"):
            RULES.inward(holes)


@pytest.mark.parametrize(
    ("text", "broken", "whole"),
    [
        ("a <= b", [[2.0, 1.0, 0.0]], [[1.0, 1.0, 0.0]]),
        ("a < b", [[1.0, 1.0, 0.0]], [[1.0, 2.0, 0.0]]),
        ("b >= a", [[2.0, 1.0, 0.0]], [[1.0, 2.0, 0.0]]),
        ("b > a", [[1.0, 1.0, 0.0]], [[1.0, 2.0, 0.0]]),
        ("c = a + b", [[1.0, 2.0, 4.0]], [[1.0, 2.0, 3.0]]),
        ("c = a - b", [[1.0, 2.0, 3.0]], [[1.0, 2.0, -1.0]]),
        ("c = - a - b", [[1.0, 2.0, 3.0]], [[1.0, 2.0, -3.0]]),
        ("c = a", [[1.0, 2.0, 3.0]], [[1.0, 2.0, 1.0]]),
        ("One of: a, b ,c", [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 2.0, 0.0]], [[0.0, 1.0, 0.0]]),
    ],
)
def test_a_broken_rule_is_named_with_its_row(text: str, broken: list[list[float]], whole: list[list[float]]) -> None:
    rules = read_rules([text], ("a", "b", "c"), (0, 0, 0))
    assert np.array_equal(rules.outward(rules.inward(np.array(whole))), whole)
    for row in broken:
        with pytest.raises(InputError, match=re.escape(f'Row 2 of t breaks the rule "{text}", with ') + ".*a = "):
            rules.check(np.array([*whole, row]), " of t")


def test_sums_are_compared_at_the_decimals_of_the_column() -> None:
    sums = np.array([[0.1, 0.2, 0.3], [1.14, 1.13, 2.3]])
    read_rules(["c = a + b"], ("a", "b", "c"), (2, 2, 1)).check(sums)
    with pytest.raises(InputError, match="Row 2"):
        read_rules(["c = a + b"], ("a", "b", "c"), (2, 2, 2)).check(sums)
    real = np.array([[0.1, 0.2, 0.1 + 0.2], [1e9 / 3, 1e-9, 1e9 / 3]])
    read_rules(["c = a + b"], ("a", "b", "c"), (None, None, None)).check(real)


def test_a_given_base_with_more_decimals_is_not_undercut_by_rounding() -> None:
    rules = read_rules(["a <= b"], ("a", "b"), (1, 1))
    found = rules.outward(np.array([[12.345, 0.0], [12.345, 0.4]]))
    assert found[:, 1].tolist() == [12.345, 12.7]


def test_dates_are_compared_where_they_count_in_the_same_or_finer_units() -> None:
    day, minute = Dates("%Y-%m-%d %H:%M"), Dates("%Y-%m-%d %H:%M", 60)
    rules = read_rules(["a <= b"], ("a", "b"), (0, 0), (), (day, minute))
    rows = np.array([[19_844.0, 19_844 * 1_440 + 75]])
    assert rules.inward(rows).tolist() == [[19_844, 75]]
    assert np.array_equal(rules.outward(rules.inward(rows)), rows)
    with pytest.raises(InputError, match="a = 2024-05-01 00:00, b = 2024-04-30 22:40"):
        rules.check(np.array([[19_844.0, 19_844 * 1_440 - 80]]))
    for dates in ((minute, day), (day, None), (day, Dates("%H:%M", 60))):
        with pytest.raises(InputError, match="count in different units"):
            read_rules(["a <= b"], ("a", "b"), (0, 0), (), dates)
    read_rules(["b >= a"], ("a", "b"), (0, 0), (), (minute, day))


def test_what_is_modelled_has_its_bounds_and_levels() -> None:
    assert CODEC.core.columns == ("start", "end", "last", "net", "tax", "is_a", "x")
    end, last, group = (CODEC.core.parts[j] for j in (1, 2, 5))
    assert (end.low, last.low) == (-0.5, 0.5)
    assert group.texts == ("is_a", "is_b", "is_c")
    assert CODEC.shape == (len(CODEC.core.numbers),)
    assert CODEC.columns == NAMES
    encoded = CODEC.encoded(rows())
    assert np.array_equal(encoded.codes[:, -1], rows()[:, 6:9].argmax(1))


def test_real_distances_have_0_as_a_value_of_its_own() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=N)
    b = a + np.where(rng.random(N) < 0.2, 0, rng.exponential(size=N))
    codec = TableCodec.fit(np.column_stack([a, b]), ("a", "b"), ((), ()), hold=["a <= b"])
    assert codec.core.parts[1].values == (0.0,)
    assert codec.core.parts[1].low == 0
    drawn = codec.core.decoded(np.full((2, 2), -50.0), np.array([[0], [1]]))
    assert drawn[0, 1] == 0
    assert 0 <= drawn[1, 1] < 0.1


def test_the_description_restores_the_rules() -> None:
    again = TableCodec.restored(json.loads(json.dumps(CODEC.description())))
    assert again == CODEC
    assert again.rules == CODEC.rules


def test_the_middle_of_draws_obeys_the_rules() -> None:
    draws = np.stack([rows(50), rows(100)[50:], rows(150)[100:]])
    draws[:, :, 9] = 0.123456789
    middle = CODEC.middle(draws)
    assert isinstance(CODEC.rules, Rules)
    CODEC.rules.check(middle)
    assert np.allclose(middle[:, 0], draws[:, :, 0].mean(0).round())
    assert (middle[:, 9] == 0.123456789).all()  # where all draws are the same


@pytest.mark.parametrize(
    ("hold", "words"),
    [
        (["start == end"], ["cannot be read", "a <= b"]),
        (["start"], ["cannot be read"]),
        (["start <= stop"], ["column of a rule", '"stop"']),
        (["start <= start"], ["names a column twice"]),
        (["one of: is_a"], ["two columns or more"]),
        (["total = net + tax", "total = net - tax"], ["Both the rules", '"total"']),
        (["start <= end", "end <= start"], ["in a circle"]),
        (["start <= colour"], ["is one of numbers", '"colour" holds text']),
        (["one of: is_a, colour"], ["columns of 0 and 1", '"colour" holds text']),
        (["when = net + tax"], ['"when" holds dates']),
    ],
)
def test_rules_that_cannot_be_are_refused(hold: list[str], words: list[str]) -> None:
    names = (*NAMES, "colour", "when")
    texts = (*((),) * len(NAMES), ("blue", "red"), ())
    dates = (*(None,) * (len(NAMES) + 1), Dates("%Y-%m-%d"))
    with pytest.raises(InputError) as caught:
        read_rules(hold, names, (*PLACES, None, 0), texts, dates)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"end": ColumnOptions(low=-1.0)}, ['"start <= end" says what "end" is', "columns.end"]),
        ({"net": ColumnOptions(missing="model")}, ['holes of "net"', "columns.net.missing"]),
    ],
)
def test_what_contradicts_a_rule_is_refused(declared: dict[str, ColumnOptions], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        TableCodec.fit(rows(), NAMES, ((),) * len(NAMES), declared=declared, hold=HOLD)
    for word in words:
        assert word in str(caught.value)


def test_rules_stand_in_a_recipe_as_a_list_or_between_semicolons() -> None:
    recipe = load_recipe({"rules": {"hold": "a <= b; c = a + b"}})
    assert recipe.rules.hold == ("a <= b", "c = a + b")
    assert load_recipe({"rules": {"hold": ["a <= b", "c = a + b"]}}) == recipe
    assert 'hold = ["a <= b", "c = a + b"]' in recipe.toml()
