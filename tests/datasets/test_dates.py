"""Dates and times: which format a column is in, and numbers there and back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftfield.datasets.dates import DAY, Dates, Found, find_dates
from driftfield.datasets.frames import frame_table
from driftfield.datasets.mixed import mixed
from driftfield.datasets.tables import load
from driftfield.errors import InputError

MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.replace(microsecond=0))


@pytest.mark.parametrize(
    ("format_", "cells"),
    [
        ("%Y-%m-%d", ["2024-05-01", "1899-12-31"]),
        ("%d.%m.%Y", ["01.05.2024", "31.12.2023"]),
        ("%-d.%-m.%Y", ["1.5.2024", "31.12.2023"]),
        ("%d/%m/%Y", ["01/05/2024", "31/12/2023"]),
        ("%m/%d/%Y", ["05/01/2024", "12/31/2023"]),
        ("%-m/%-d/%Y %-I:%M %p", ["5/1/2024 3:04 PM", "12/31/2023 12:00 AM"]),
        ("%d %b %Y", ["01 May 2024", "31 Dec 2023"]),
        ("%B %-d, %Y", ["May 1, 2024", "December 31, 2023"]),
        ("%Y-%m-%d %H:%M", ["2024-05-01 13:07", "2023-12-31 00:00"]),
        ("%Y-%m-%dT%H:%M:%SZ", ["2024-05-01T13:07:59Z", "2023-12-31T00:00:00Z"]),
        ("%Y-%m-%d %H:%M:%S%.3f", ["2024-05-01 13:07:59.250", "2023-12-31 00:00:00.000"]),
        ("%Y-%m-%d %H:%M:%S%.6f", ["2024-05-01 13:07:59.250001", "2023-12-31 00:00:00.000000"]),
        ("%H:%M", ["13:07", "00:00"]),
        ("%-H:%M", ["9:07", "23:59"]),
        ("%H:%M:%S", ["13:07:59", "00:00:00"]),
        ("%H:%M:%S%.9f", ["13:07:59.000000000", "00:00:00.250000000"]),
    ],
)
def test_a_format_is_found_and_written_back(format_: str, cells: list[str]) -> None:
    found = find_dates([None, *cells]).dates
    assert found is not None
    assert found.format == format_
    numbers = found.read([*cells, None])
    assert found.series(numbers).to_list() == [*cells, None]
    assert [found.written(number) for number in numbers[:-1]] == cells


@pytest.mark.parametrize(
    "cells",
    [
        ["red", "blue"],
        ["1.2.3", "1.2.4"],
        ["2024-05-01", "red", "blue"],
        ["2024-13-01", "2024-14-01"],
        ["24:30", "25:10"],
        ["2024-05", "2023-12"],
        [None, None],
        [],
    ],
)
def test_other_text_is_left_alone(cells: list[str | None]) -> None:
    assert find_dates(cells) == Found()


def test_the_order_of_day_and_month_is_not_guessed() -> None:
    assert find_dates(["03/04/2024", "05/06/2024"]).doubtful == "03/04/2024"
    assert find_dates(["03/03/2024", "05/05/2024"]).dates == Dates("%d/%m/%Y")  # the same dates either way
    assert find_dates(["03.04.2024", "05.06.2024"]).dates == Dates("%d.%m.%Y")


@pytest.mark.parametrize(
    ("cells", "unit"),
    [
        (["2024-05-01 00:00:00", "2024-05-02 00:00:00"], DAY),
        (["2024-05-01 10:00:00", "2024-05-02 00:00:00"], 3_600),
        (["2024-05-01 10:30:00", "2024-05-02 00:00:00"], 60),
        (["2024-05-01 10:30:01", "2024-05-02 00:00:00"], 1),
        (["10:00:00.001", "10:00:00.000"], 1e-3),
    ],
)
def test_the_unit_is_the_longest_that_all_cells_are_whole_numbers_of(cells: list[str], unit: float) -> None:
    found = find_dates(cells).dates
    assert found is not None
    assert found.unit == unit
    assert (found.read(cells) % 1 == 0).all()


@given(MOMENTS)
@settings(max_examples=50, deadline=None)
def test_numbers_are_those_of_the_calendar(moment: datetime) -> None:
    seconds = (moment - datetime(1970, 1, 1)) / timedelta(seconds=1)
    for dates, text, number in (
        (Dates("%d.%m.%Y"), moment.strftime("%d.%m.%Y"), np.floor(seconds / DAY)),
        (Dates("%Y-%m-%d %H:%M:%S", 1), moment.isoformat(" "), seconds),
        (Dates("%H:%M:%S", 1), moment.strftime("%H:%M:%S"), seconds % DAY),
    ):
        assert dates.read([text]) == [number]
        assert dates.written(number) == text


@pytest.mark.parametrize(
    "cell", ["2024-05-01T13:07", "2024-05-01 13:07:00.5", "2024-05-01T13:07:00.500000000Z", "01.05.2024 13:07:00"]
)
def test_a_model_reads_its_own_format_and_that_of_iso(cell: str) -> None:
    dates = Dates("%d.%m.%Y %H:%M:%S", 60)
    assert np.floor(dates.read([cell])) == [19_844 * 1_440 + 13 * 60 + 7]
    assert Dates("%d.%m.%Y").read(["2024-05-01", "2024-5-31", "2024-02-31"]).tolist()[:2] == [19_844, 19_874]


def test_whatever_is_written_is_a_date() -> None:
    far = np.array([-1e12, 1e12, 0.4, np.inf])
    assert Dates("%Y-%m-%d").series(far).to_list() == ["0001-01-01", "9999-12-31", "1970-01-01", None]
    assert Dates("%H:%M", 60).series(np.array([-1.0, 1_440.0, 61.0])).to_list() == ["23:59", "00:00", "01:01"]


def column(cells: list[Any]) -> Any:
    return mixed(frame_table(pl.DataFrame({"when": cells, "x": range(len(cells))})), None)


def test_one_bad_cell_in_many_dates_is_named_with_its_row() -> None:
    cells = [f"2024-01-{1 + i % 31:02d}" for i in range(99)]
    with pytest.raises(InputError, match=r'holds dates like 2024-05-01, but "2024-02-31" in row 99 .* --missing'):
        column([*cells, "2024-02-31"])
    assert column([*cells[:3], "2024-02-31"]).dates == (None, None)  # one of four is not rare, as for numbers


@pytest.mark.parametrize(
    ("dtype", "cell", "name"),
    [
        (pl.Date, datetime(2024, 5, 1).date(), "date"),
        (pl.Time, datetime(2024, 5, 1, 13, 7).time(), "time"),
        (pl.Datetime("us"), datetime(2024, 5, 1, 13, 7), "datetime us"),
        (pl.Datetime("ms"), datetime(2024, 5, 1, 13, 7, 9, 250_000), "datetime ms"),
        (pl.Datetime("ns", "Europe/Berlin"), datetime(2024, 5, 1, 13, 7, tzinfo=UTC), "datetime ns Europe/Berlin"),
    ],
)
def test_the_types_of_frames_come_back(dtype: Any, cell: Any, name: str) -> None:
    series = pl.Series([cell, None], dtype=dtype)
    found = mixed(frame_table(pl.DataFrame({"when": series})), None)
    (dates,) = found.dates
    assert dates is not None
    assert dates.dtype == name
    again = dates.series(found.values[:, 0])
    assert again.dtype == dtype
    assert again.to_list() == series.to_list()


def test_dates_of_pandas_and_parquet(tmp_path: Any) -> None:
    pandas = pytest.importorskip("pandas")
    moments = pandas.to_datetime(["2024-05-01", None, "2024-05-03"])
    table = load(pandas.DataFrame({"when": moments, "x": [1.5, 2.5, 3.0]}), as_mixed=True)
    assert table.values[:, 0].tolist()[::2] == [19_844, 19_846]
    pl.DataFrame({"when": [datetime(2024, 5, 1), datetime(2024, 5, 3)], "x": [1, 2]}).write_parquet(
        tmp_path / "t.parquet"
    )
    table = load(tmp_path / "t.parquet", as_mixed=True)
    assert table.values[:, 0].tolist() == [19_844, 19_846]
    assert table.dates[0] == Dates("%Y-%m-%d %H:%M:%S", DAY, "datetime us")


def test_a_doubtful_column_and_a_constant_one_are_told_of(tmp_path: Any) -> None:
    rows = "".join(f"0{1 + i % 9}/04/2024,2024-05-01,{i % 7}\n" for i in range(40))
    (tmp_path / "t.csv").write_text("a,b,c\n" + rows)
    table = load(tmp_path / "t.csv", as_mixed=True)
    assert table.columns == ("a", "c")
    assert any('"a" can be read with the day or the month first' in warning for warning in table.warnings)
    assert any('"b" has one value, 2024-05-01,' in warning for warning in table.warnings)
