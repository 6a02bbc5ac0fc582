"""Row weights: what is read, what is refused, and rows that stand for all others."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from driftfield.datasets import load, split
from driftfield.datasets.weights import effective_rows, representative
from driftfield.errors import InputError


def rows(n=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 2))


def test_a_weight_column_is_no_feature_and_only_ratios_count(tmp_path):
    path = tmp_path / "survey.csv"
    path.write_text("a,w,b\n" + "".join(f"{i},{10 * i},{i * i}\n" for i in range(5)))
    table = load(str(path), weight="w")
    assert table.columns == ("a", "b")
    assert_array_equal(table.values[:, 0], [1, 2, 3, 4])  # the row of weight 0 is left out
    np.testing.assert_allclose(table.weights, [0.4, 0.8, 1.2, 1.6])
    assert load(f"{path}:a,b", weight="w").columns == ("a", "b")


def test_an_array_a_tensor_and_a_series_are_weights():
    import pandas as pd

    given, weights = rows(4), [1.0, 2.0, 3.0, 6.0]
    for each in (weights, np.array(weights), torch.tensor(weights), pd.Series(weights, index=[9, 8, 7, 6])):
        np.testing.assert_allclose(load(given, weight=each).weights, np.array(weights) / 3)
    assert load(given, weight=[7, 7, 7, 7]).weights is None


def test_huge_and_tiny_weights_do_not_overflow():
    for size in (1e308, 1e-308):
        assert load(rows(3), weight=np.array([1.0, 1.0, 0.5]) * size).weights == pytest.approx([1.2, 1.2, 0.6])


def test_a_bad_weight_of_a_file_is_found_by_its_line(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,w\n1,2,1\n3,5,1\n4,6,-1\n")
    with pytest.raises(InputError, match=r"hold -1, which is negative, in row 3 \(line 4\)"):
        load(tmp_path / "t.csv", weight="w")


def test_every_part_keeps_the_weights_of_its_rows():
    values = np.arange(20.0)
    parts = split(load(np.c_[values, values**2], weight=1 + values), seed=3)
    for part in parts:
        np.testing.assert_allclose(part.weights, (1 + part.values[:, 0]) / 10.5)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 2.0], "The weights of the array are 2 for 4 rows: give one number for each row."),
        ([[1.0]] * 4, r"an array of shape \(4, 1\) for 4 rows"),
        ([1, -1, 1, 1], r"hold -1, which is negative, in row 1 \(counting from 0\)"),
        ([1, 1, np.nan, 1], "hold nan, which is not a finite number, in row 2"),
        ([1, 1, np.inf, 1], "hold inf, which is not a finite number, in row 2"),
        ([0, 0, 0, 0], "The weights of the array are all zero: give at least two rows a positive one."),
        ([0, 5, 0, 0], "Only one row of the array has a positive weight: at least 2 are needed."),
        (["a", "b", "c", "d"], "are not numbers"),
        ("w", 'Unknown column of the array "w"'),
    ],
)
def test_weights_that_cannot_be_used_are_refused_in_one_sentence(weights, message):
    with pytest.raises(InputError, match=message):
        load(rows(4), weight=weights)


def test_rows_that_are_drawn_take_no_weights():
    with pytest.raises(InputError, match='The rows of "moons" are drawn, so that they have no weights'):
        load("moons", weight=[1.0])


def test_a_column_cannot_be_both_label_and_weight(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("a,c\n1,1\n2,2\n")
    with pytest.raises(InputError, match='The column "c" cannot be both the label and the weight'):
        load(str(path), label="c", weight="c")


def test_equal_weights_are_worth_all_rows_and_one_heavy_row_little_more_than_itself():
    assert effective_rows(np.full(7, 3.0)) == pytest.approx(7)
    assert effective_rows(np.array([1e300, 1e298, 1e298])) == pytest.approx(1.02**2 / 1.0002)


def test_representative_rows_occur_once_and_as_often_as_they_weigh():
    weights = np.array([1.0, 2.0, 3.0, 4.0] * 25)
    found = [representative(100, weights, np.random.default_rng(seed)) for seed in range(400)]
    for chosen in found:
        assert len(chosen) == len(set(chosen)) == 62  # 250 / 4, rounded down
    counts = np.bincount(np.concatenate(found), minlength=100).reshape(25, 4).sum(0) / (400 * 25)
    # Systematic sampling scatters less than independent draws, 1/2 / sqrt(10,000); four times that.
    assert counts == pytest.approx(weights[:4] * 62 / 250, abs=0.02)


def test_rows_without_weights_are_all_of_them_in_random_order():
    assert_array_equal(representative(9, None, np.random.default_rng(1)), np.random.default_rng(1).permutation(9))


def test_one_dominating_weight_leaves_some_rows_to_judge_by():
    chosen = representative(50, np.r_[1e6, np.ones(49)], np.random.default_rng(0))
    assert len(set(chosen)) == len(chosen) >= 1
    assert 0 in chosen
