"""The codec of a table: what each column is, and rows there and back."""

import json

import numpy as np
import polars as pl
import pytest

from driftfield.codecs import TableCodec
from driftfield.codecs.columns import ColumnOptions
from driftfield.codecs.finding import bounds
from driftfield.errors import DriftfieldError, InputError

N = 400
NAMES = ("height", "visits", "colour", "gain", "grade")
TEXTS = ((), (), ("blue", "green", "red"), (), ())


def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    gain = np.where(rng.random(N) < 0.6, 0.0, rng.exponential(1_000, N))
    table = np.stack(
        [rng.normal(170, 10, N), rng.poisson(30, N), rng.integers(0, 3, N), gain, rng.integers(1, 4, N)], 1
    ).astype(float)
    table[rng.random(table.shape) < 0.1] = np.nan
    return table


CODEC = TableCodec.fit(rows(), NAMES, TEXTS)


def test_kinds_are_found() -> None:
    kinds = {part.name: (part.kind, part.levels) for part in CODEC.parts}
    assert kinds == {
        "height": ("number", 0),
        "visits": ("whole number", 0),
        "colour": ("category", 3),
        "gain": ("number", 2),  # the atom 0, and any other number
        "grade": ("category", 3),
    }
    assert CODEC.shape == (3,)
    assert CODEC.levels == (3, 2, 3)


def test_rows_come_back_with_their_holes() -> None:
    encoded = CODEC.encoded(rows())
    codes = np.where(encoded.codes < 0, 0, encoded.codes)
    back = CODEC.finish(CODEC.decoded(encoded.z, codes))
    there = ~np.isnan(rows())
    assert np.allclose(back[there], rows()[there], rtol=1e-5)  # z is float32
    assert (encoded.codes[:, 0] < 0).tolist() == np.isnan(rows()[:, 2]).tolist()


def test_an_atom_has_a_level_and_no_number() -> None:
    encoded = CODEC.encoded(rows())
    zero, other = rows()[:, 3] == 0, rows()[:, 3] > 0
    assert (encoded.codes[zero, 1] == 0).all()
    assert not encoded.present[zero, 2].any()
    assert (encoded.codes[other, 1] == 1).all()
    assert encoded.present[other, 2].all()


def test_a_whole_number_is_an_interval_and_all_intervals_fill_the_line() -> None:
    table = np.full((20, 5), np.nan)
    table[:, 1] = np.arange(20, 40)
    encoded = CODEC.encoded(table)
    low, high = encoded.z[:, 1] - encoded.width[:, 1] / 2, encoded.z[:, 1] + encoded.width[:, 1] / 2
    assert np.allclose(high[:-1], low[1:], atol=1e-5)
    assert (encoded.width[:, [0, 2]] == 0).all()


def test_the_description_is_plain_data_and_restores_the_codec() -> None:
    restored = TableCodec.restored(json.loads(json.dumps(CODEC.description())))
    assert restored == CODEC


@pytest.mark.parametrize("key", ["kind", "x", "z", "texts"])
def test_a_damaged_description_is_refused(key: str) -> None:
    description = json.loads(json.dumps(CODEC.description()))
    for part in description["table"]:
        part.pop(key, None)
    if key == "texts":
        description["columns"] = ["another"]
    with pytest.raises(DriftfieldError):
        TableCodec.restored(description)


def test_features_are_numbers_levels_and_holes() -> None:
    found = CODEC.numeric(rows())
    assert found.shape == (N, len(CODEC.features))
    assert np.isfinite(found).all()
    blue = CODEC.features.index("colour = blue")
    assert found[:, blue].sum() == (rows()[:, 2] == 0).sum()
    missing = CODEC.features.index("gain missing")
    assert found[:, missing].sum() == np.isnan(rows()[:, 3]).sum()


def test_a_frame_has_text_whole_numbers_and_nulls() -> None:
    frame = CODEC.frame(rows())
    assert frame.dtypes == [pl.Float64, pl.Int64, pl.String, pl.Float64, pl.Int64]
    assert frame["colour"].null_count() == np.isnan(rows()[:, 2]).sum()
    assert np.array_equal(CODEC.read(frame), CODEC.finish(rows()), equal_nan=True)


def test_a_frame_may_lack_columns() -> None:
    found = CODEC.read(pl.DataFrame({"colour": ["red", None], "other": [1, 2]}))
    assert np.array_equal(found[:, 2], [2, np.nan], equal_nan=True)
    assert np.isnan(found[:, [0, 1, 3, 4]]).all()


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({"colour": ["pink", "red"]}, ['"colour"', '"pink"', "none of its 3 values"]),
        ({"visits": ["many", "2"]}, ['"visits"', '"many"']),
        ({"strange": [1, 2]}, ["none of the model's columns", "height"]),
    ],
)
def test_what_does_not_fit_is_refused(frame: dict[str, list[object]], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        CODEC.read(pl.DataFrame(frame, strict=False))
    for word in words:
        assert word in str(caught.value)


def test_a_number_that_is_no_level_is_refused() -> None:
    table = rows()[:1]
    table[0, 4] = 7
    with pytest.raises(InputError, match=r'7 in the column "grade"'):
        CODEC.encoded(table)


def test_levels_are_those_of_all_rows() -> None:
    few = rows()
    few[few[:, 4] == 3, 4] = 1
    codec = TableCodec.fit(few, NAMES, TEXTS, beside=rows())
    assert codec.parts[4].values == (1.0, 2.0, 3.0)


def test_values_that_pile_up_at_an_end_have_a_bound_there() -> None:
    rng = np.random.default_rng(0)
    assert bounds(rng.normal(size=2_000)) == (None, None)
    low, high = bounds(rng.exponential(size=2_000))
    assert low is not None
    assert -0.01 < low < 0.001  # 5/n of the median 0.7
    assert high is None
    low, high = bounds(rng.uniform(3, 5, 2_000))
    assert low == pytest.approx(3, abs=0.01)
    assert high == pytest.approx(5, abs=0.01)
    assert bounds(rng.poisson(1.5, 2_000).astype(float), whole=True)[0] == -0.5


def test_the_outermost_of_whole_numbers_that_lie_far_apart_is_no_bound() -> None:
    rng = np.random.default_rng(1)
    assert bounds(np.array([0.0, 400.0]).repeat(130) + 25 * rng.integers(0, 60, 260), whole=True) == (None, None)
    low, high = bounds(rng.integers(0, 1_001, 2_000).astype(float), whole=True)
    assert low is not None
    assert high is not None
    assert -3 < low <= -0.5  # 5/2000 of the 500 to the median is more than one whole number
    assert 1_000.5 <= high < 1_003


def test_rows_stay_within_bounds() -> None:
    rng = np.random.default_rng(0)
    table = np.stack([rng.exponential(size=500), rng.geometric(0.02, 500) - 1.0], 1)
    codec = TableCodec.fit(table, ("x", "n"), ((), ()))
    z = np.linspace(-6, 6, 200)[:, None] * np.ones(2)
    rows = codec.finish(codec.decoded(z, np.zeros((200, 0), dtype=np.int64)))
    assert rows[:, 0].min() >= -0.01
    assert rows[:, 1].min() >= 0


def test_round_numbers_are_atoms_and_even_counts_are_not() -> None:
    rng = np.random.default_rng(0)
    amounts = np.where(
        rng.random(3_000) < 0.3, rng.choice([1_000, 1_500, 2_000], 3_000), rng.integers(500, 3_000, 3_000)
    )
    ages = rng.integers(18, 80, 3_000)
    codec = TableCodec.fit(np.stack([amounts, ages], 1).astype(float), ("amount", "age"), ((), ()))
    assert codec.parts[0].values == (1_000, 1_500, 2_000)
    assert codec.parts[1].values == ()


@pytest.mark.parametrize(
    ("declared", "kinds"),
    [
        ({"grade": {"kind": "number"}}, {"grade": ("number", 0)}),
        ({"grade": {"kind": "whole number"}}, {"grade": ("whole number", 0)}),
        (
            {"visits": {"kind": "category"}},
            {"visits": ("category", len(np.unique(rows()[~np.isnan(rows()[:, 1]), 1])))},
        ),
        ({"gain": {"atoms": []}}, {"gain": ("number", 0)}),
        ({"visits": {"atoms": [30]}}, {"visits": ("whole number", 2)}),
    ],
)
def test_a_column_is_what_it_is_said_to_be(
    declared: dict[str, dict[str, object]], kinds: dict[str, tuple[str, int]]
) -> None:
    options = {name: ColumnOptions.model_validate_json(json.dumps(given)) for name, given in declared.items()}
    codec = TableCodec.fit(rows(), NAMES, TEXTS, declared=options)
    for name, (kind, levels) in kinds.items():
        part = codec.parts[NAMES.index(name)]
        assert part.kind == kind
        assert part.levels == levels


def test_bounds_that_are_said_hold() -> None:
    codec = TableCodec.fit(rows(), NAMES, TEXTS, declared={"height": ColumnOptions(low=100.0, high=220.0)})
    drawn = codec.decoded(np.full((3, 3), [[-30.0], [0.0], [30.0]]), np.array([[0, 1, 0]] * 3))
    height = codec.finish(drawn)[:, 0]
    assert height.min() >= 100
    assert height.max() <= 220


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("colour", ColumnOptions(kind="number"), ["holds text", "columns.colour.kind"]),
        ("height", ColumnOptions(kind="whole number"), ["not whole", "columns.height.kind"]),
        ("height", ColumnOptions(low=170.0), ["beyond the bounds", "columns.height"]),
        ("width", ColumnOptions(low=0.0), ["column", "width"]),
    ],
)
def test_what_a_column_cannot_be_is_refused(name: str, options: ColumnOptions, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        TableCodec.fit(rows(), NAMES, TEXTS, declared={name: options})
    for word in words:
        assert word in str(caught.value)


def test_counts_that_are_skewed_have_normal_scores() -> None:
    """As whole numbers stand for intervals, few distinct ones say as much of the map as many others."""
    counts = np.random.default_rng(0).geometric(0.15, 2_000) - 1.0
    part = TableCodec.fit(counts[:, None], ("n",), ((),)).parts[0]
    assert (part.kind, part.low) == ("whole number", -0.5)
    assert part.map is not None
    z = part.map.forward(counts + np.random.default_rng(1).uniform(-0.5, 0.5, 2_000))
    skewness = ((z - z.mean()) ** 3).mean() / z.std() ** 3
    assert abs(skewness) < 0.5  # 2.0 of the counts
