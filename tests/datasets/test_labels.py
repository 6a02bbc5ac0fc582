"""Class labels: of a column of a table, and of the parts of a distribution."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from driftfield.datasets import DISTRIBUTIONS, load, split
from driftfield.errors import InputError

LABELLED = sorted(name for name, distribution in DISTRIBUTIONS.items() if distribution.classes)
KINDS = ["cat", "dog", "ant"]


@pytest.fixture
def animals(tmp_path: Path) -> str:
    """Rows whose x says which class they belong to, 60 of them."""
    rows = [(3 * i + k, i * i % 11, KINDS[k], k + 1) for i in range(20) for k in range(3)]
    path = tmp_path / "animals.csv"
    path.write_text("x,y,kind,number\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return str(path)


def names_of(table) -> list[str]:  # type: ignore[no-untyped-def]
    return [table.classes[i] for i in table.labels]


def test_a_column_of_text_makes_classes_in_order_and_is_no_part_of_the_rows(animals: str) -> None:
    table = load(f"{animals}:x,y", label="kind")
    assert table.columns == ("x", "y")
    assert table.classes == ("ant", "cat", "dog")
    assert names_of(table) == [KINDS[int(x) % 3] for x in table.values[:, 0]]
    # With no columns picked, all the others are the rows.
    assert load(animals, label="kind").columns == ("x", "y", "number")
    assert load(f"{animals}:x,y,kind", label="kind").columns == ("x", "y")


def test_a_column_of_numbers_makes_classes_too(animals: str) -> None:
    table = load(f"{animals}:x,y", label="number")
    assert table.classes == ("1", "2", "3")
    assert [int(name) for name in names_of(table)] == [int(x) % 3 + 1 for x in table.values[:, 0]]


def test_numbers_that_share_their_first_digits_are_classes_of_different_names(tmp_path: Path) -> None:
    numbers = [1234567, 1234568, 0.1, 0.1000001, -2.5, 1e22]
    frame = pl.DataFrame({"x": range(12), "id": [float(n) for n in 2 * numbers]})
    table = load(frame, label="id")
    assert len(set(table.classes)) == 6
    assert [float(name) for name in names_of(table)] == 2 * numbers


def test_the_labels_of_a_frame_of_a_parquet_file_and_of_an_array_are_those_of_a_csv(
    animals: str, tmp_path: Path
) -> None:
    frame = pl.read_csv(animals)
    frame.write_parquet(tmp_path / "animals.parquet")
    expected = load(animals, label="kind")
    for data in (frame, pd.DataFrame(frame.to_dict(as_series=False)), str(tmp_path / "animals.parquet")):
        found = load(data, label="kind")
        assert (found.classes, found.columns) == (expected.classes, expected.columns)
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_array_equal(found.values, expected.values)
    found = load(frame.select("x", "y", "number").to_numpy(), label="x3")
    np.testing.assert_array_equal(found.labels, expected.values[:, 2] - 1)
    assert found.columns == ("x1", "x2")


def test_labels_stay_with_their_rows_in_a_subset_and_in_both_parts_of_a_split(animals: str) -> None:
    some = load(f"{animals}:x,y", rows=40, seed=5, label="kind")
    assert len(some.labels) == 40
    for part in (some, *split(some, 0.3, seed=2)):
        assert len(part.labels) == len(part.values)
        assert part.classes == ("ant", "cat", "dog")
        assert names_of(part) == [KINDS[int(x) % 3] for x in part.values[:, 0]]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["a", "b", "", "a"], ["empty cell", "row 3 (line 4)"]),
        (["1", "2", "", "1"], ["empty cell", "row 3 (line 4)"]),
        (["a"] * 4, ["1 different values", "2 to 1,000 values"]),
        (["7"] * 4, ["1 different values"]),
        ([f"name {i}" for i in range(1001)], ["1,001 different values"]),
        ([str(i) for i in range(1001)], ["1,001 different values"]),
    ],
)
def test_a_column_that_makes_no_classes_is_refused(tmp_path: Path, cells: list[str], words: list[str]) -> None:
    path = tmp_path / "some.csv"
    path.write_text("x,kind\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells)))
    with pytest.raises(InputError) as raised:
        load(str(path), label="kind")
    for word in ['"kind"', *words]:
        assert word in str(raised.value)


def test_a_thousand_classes_are_not_too_many() -> None:
    frame = pl.DataFrame({"x": range(1000), "kind": [f"name {i}" for i in range(1000)]})
    assert len(load(frame, label="kind").classes) == 1000


def test_an_unknown_label_is_refused(animals: str) -> None:
    with pytest.raises(InputError, match='did you mean "kind"'):
        load(animals, label="knid")
    with pytest.raises(InputError, match='did you mean "class"'):
        load("moons", label="clas")
    with pytest.raises(InputError, match='"swiss-roll" has no classes'):
        load("swiss-roll", label="class")


def test_the_distributions_with_classes_are_those_that_have_parts() -> None:
    mixtures = {"8-gaussians", "mixture-5d", "mixture-10d", "mixture-30d"}
    assert set(LABELLED) == {"circles", "moons", "moons-circles"} | mixtures
    assert [part.name for part in DISTRIBUTIONS["moons"].classes] == ["upper", "lower"]
    assert load("circles", rows=10, label="class").classes == ("outer", "inner")


@pytest.mark.parametrize("name", LABELLED)
def test_the_density_of_a_distribution_is_the_mean_of_those_of_its_classes(name: str) -> None:
    distribution = DISTRIBUTIONS[name]
    x = distribution.sample(400, 3)
    parts = np.mean([np.exp(part.log_prob(x)) for part in distribution.classes], axis=0)
    np.testing.assert_allclose(np.exp(distribution.log_prob(x)), parts, rtol=1e-9)


@pytest.mark.parametrize("name", LABELLED)
def test_classes_are_equally_likely(name: str) -> None:
    distribution, n = DISTRIBUTIONS[name], 8_000
    counts = np.bincount(distribution.sample_labelled(n, 1)[1], minlength=len(distribution.classes))
    p = 1 / len(distribution.classes)
    assert len(counts) == len(distribution.classes)
    assert np.abs(counts - n * p).max() < 4 * np.sqrt(n * p * (1 - p))  # four standard deviations of a count


@pytest.mark.parametrize("name", LABELLED)
def test_the_rows_of_a_class_are_drawn_from_its_distribution(name: str) -> None:
    distribution = DISTRIBUTIONS[name]
    rows, labels = distribution.sample_labelled(
        3_000 * len(distribution.classes) if len(distribution.classes) < 3 else 6_000, 2
    )
    for number, part in enumerate(distribution.classes):
        log_p = part.log_prob(rows[labels == number])
        # The mean log-density is minus the entropy: four standard errors, and 1e-3 for its quadrature.
        error = log_p.std() / np.sqrt(len(log_p))
        assert log_p.mean() == pytest.approx(-part.entropy, abs=4 * error + 1e-3), part.name


@pytest.mark.parametrize("name", LABELLED)
def test_labelled_rows_depend_on_the_seed_alone_and_come_in_no_order(name: str) -> None:
    distribution = DISTRIBUTIONS[name]
    (rows, labels), (again, same), (other, _) = (distribution.sample_labelled(500, seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(rows, again)
    np.testing.assert_array_equal(labels, same)
    assert not (rows == other).all(1).any()
    assert len(np.unique(rows, axis=0)) == 500  # no row of a class is one of another
    # Of neighbours, a share of 1 / K has the same class: four standard errors.
    p = 1 / len(distribution.classes)
    assert np.mean(labels[1:] == labels[:-1]) == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 499))
