"""Angles: within their range, the short way round, and on the line there and back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import circmean

from driftfield.codecs import TableCodec
from driftfield.codecs.angles import angle_map, mean_angle, read_period, within, wrapped
from driftfield.codecs.columns import ColumnOptions
from driftfield.datasets.dates import Dates
from driftfield.errors import InputError

RNG = np.random.default_rng(0)
DEGREES = np.round(np.degrees(RNG.vonmises(0.1, 2, 500)) % 360, 1) % 360
OPTIONS = {"d": ColumnOptions(kind="angle", period=360.0)}


def codec(cells: np.ndarray, **said: object) -> TableCodec:
    options = ColumnOptions.model_validate_json(json.dumps({"kind": "angle", "period": 360} | said))
    return TableCodec.fit(cells[:, None], ("d",), ((),), declared={"d": options})


@given(st.floats(-1e6, 1e6), st.floats(-400, 400), st.floats(1e-3, 1e3))
def test_an_angle_is_within_its_range_and_differs_by_whole_turns(value: float, low: float, period: float) -> None:
    found = within(np.array([value]), low, period)[0]
    assert low <= found < low + period
    turns = (found - value) / period
    assert abs(turns - round(turns)) < 1e-9 * max(1, abs(value - low) / period)


@given(st.floats(-1e4, 1e4))
def test_a_difference_is_the_short_way_round(difference: float) -> None:
    found = wrapped(np.array([difference]), 360.0)[0]
    assert -180 <= found < 180
    assert np.cos(np.radians(found)) == pytest.approx(np.cos(np.radians(difference)), abs=1e-9)


def test_the_mean_is_that_of_directions() -> None:
    assert mean_angle(np.array([350.0, 20.0]), 360.0) == pytest.approx(5)
    assert mean_angle(DEGREES, 360.0) == pytest.approx(wrapped(np.array(circmean(DEGREES, 360)), 360.0))


def test_the_map_gives_the_places_on_the_line_mean_0_and_variance_1() -> None:
    for angles in (DEGREES, RNG.uniform(0, 360, 2_000), RNG.normal(180, 3, 500)):
        map_ = angle_map(angles, 360.0)
        d = wrapped(angles - map_.x[0], 360.0)
        chance = np.cos(np.pi * d / 720) ** 2
        places, chances = np.concatenate([d, d - np.sign(d) * 360]), np.concatenate([chance, 1 - chance])
        z = map_.forward(map_.x[0] + places)
        mean = np.average(z, weights=chances)
        assert np.average((z - mean) ** 2, weights=chances) == pytest.approx(1)


def test_rows_come_back_within_their_range() -> None:
    found = codec(DEGREES)
    encoded = found.encoded(DEGREES[:, None])
    turn = -encoded.width[:, 0]
    assert (turn == turn[0]).all()
    assert (np.abs(encoded.z[:, 0]) <= turn / 2 * 1.000001).all()
    codes = np.zeros((len(DEGREES), 0), dtype=np.int64)
    for k in range(-2, 3):  # whichever place on the line
        back = found.finish(found.decoded(encoded.z + k * turn[:, None], codes))[:, 0]
        assert (np.abs(wrapped(back - DEGREES, 360.0)) < 1e-9).all()
        assert ((back >= 0) & (back < 360)).all()


def test_rounding_does_not_leave_the_range() -> None:
    found = codec(DEGREES)
    assert found.finish(np.array([[359.96], [-0.04]])).tolist() == [[0.0], [0.0]]


def test_a_range_may_begin_anywhere() -> None:
    signed = wrapped(DEGREES, 360.0)
    found = codec(signed, low=-180)
    back = found.decoded(np.linspace(-9, 9, 400)[:, None], np.zeros((400, 0), dtype=np.int64))
    assert -180 <= back.min() < -175
    assert 175 < back.max() < 180
    assert TableCodec.restored(json.loads(json.dumps(found.description()))) == found


def test_features_are_cosine_and_sine() -> None:
    found = codec(DEGREES).numeric(np.array([[0.0], [90.0], [359.999], [np.nan]]))
    assert codec(DEGREES).features == ("d cosine", "d sine", "d missing")
    assert np.allclose(found, [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-4)


def test_the_middle_of_draws_is_their_direction() -> None:
    draws = np.array([[[350.0]], [[20.0]]])
    assert codec(DEGREES).middle(draws).tolist() == [[5.0]]


def test_a_time_of_day_has_the_period_of_a_day() -> None:
    cells = np.round(RNG.normal(1_430, 60, 300)) % 1_440
    dates = Dates("%H:%M", 60)
    said = {"at": ColumnOptions(kind="angle")}
    found = TableCodec.fit(cells[:, None], ("at",), ((),), declared=said, dates=(dates,)).parts[0]
    assert found.period == 1_440
    assert found.shown == "time of day on a circle"


@pytest.mark.parametrize(("text", "period"), [("360", 360), ("2pi", 2 * np.pi), ("2 * pi", 2 * np.pi), ("π", np.pi)])
def test_a_period_may_be_said_in_pi(text: str, period: float) -> None:
    assert read_period(text) == pytest.approx(period)
    assert ColumnOptions.model_validate_json(json.dumps({"period": text})).period == pytest.approx(period)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"period": None}, ["said to be an angle", "columns.d.period"]),
        ({"kind": "number"}, ["Only an angle has a period", "columns.d"]),
        ({"kind": None}, ["Only an angle has a period"]),
        ({"high": 360}, ["no high or atoms"]),
        ({"period": "2pi"}, ["beyond the period from 0 to 6.28", "columns.d.low"]),
    ],
)
def test_what_no_angle_can_be_is_refused(said: dict[str, object], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        codec(DEGREES, **said)
    for word in words:
        assert word in str(caught.value)
