"""Dates with years of two digits, and with an offset from UTC: read, and written back in their format."""

from typing import Any

import numpy as np
import pytest

from driftfield.datasets import load
from driftfield.datasets.dates import DAY, Dates, find_dates


@pytest.mark.parametrize(
    ("format_", "cells", "iso"),
    [
        ("%d.%m.%y", ["01.05.23", "31.12.99"], ["2023-05-01", "1999-12-31"]),
        ("%-d.%-m.%y", ["1.5.23", "31.12.69"], ["2023-05-01", "2069-12-31"]),
        ("%d/%m/%y", ["01/05/23", "31/12/23"], ["2023-05-01", "2023-12-31"]),
        ("%-m/%-d/%y %-I:%M %p", ["5/1/23 1:07 PM", "12/31/23 9:00 AM"], ["2023-05-01 13:07", "2023-12-31 09:00"]),
        ("%d-%b-%y", ["01-May-23", "31-Dec-05"], ["2023-05-01", "2005-12-31"]),
        ("%Y-%m-%dT%H:%M:%S+02:00", ["2024-05-01T10:00:00+02:00"] * 2, ["2024-05-01 10:00"] * 2),
        ("%Y-%m-%d %H:%M-0530", ["2024-05-01 10:00-0530", "2024-05-02 11:30-0530"], ["2024-05-01 10:00"]),
        ("%Y-%m-%dT%H:%M:%S%.3fZ", ["2024-05-01T10:00:00.250Z"], ["2024-05-01 10:00:00.250"]),
        ("%Y-%m-%d %H:%M:%S UTC", ["2024-05-01 10:00:00 UTC"], ["2024-05-01 10:00"]),
        ("%d.%m.%y %H:%M +01", ["01.05.23 10:00 +01", "31.05.23 11:00 +01"], ["2023-05-01 10:00", "2023-05-31 11:00"]),
    ],
)
def test_a_format_is_found_read_and_written_back(format_: str, cells: list[str], iso: list[str]) -> None:
    found = find_dates([None, *cells]).dates
    assert found is not None
    assert found.format == format_
    numbers = found.read(cells)
    assert [found.written(number) for number in numbers] == cells
    plain = Dates("%Y-%m-%d %H:%M" if "%M" in format_ else "%Y-%m-%d", found.unit)
    assert np.array_equal(plain.read(iso), numbers[: len(iso)])


def test_years_of_two_digits_stay_within_a_century() -> None:
    dates = Dates("%d.%m.%y")
    ends = dates.series(np.array([-1e9, 1e9])).to_list()
    assert ends == ["01.01.70", "31.12.69"]
    assert dates.read(["01.01.70", "31.12.69"]).tolist() == [0, 36_524]  # 100 years with 25 leap days, less one
    assert dates.read(["2024-05-01"]) == Dates("%Y-%m-%d").read(["2024-05-01"])


@pytest.mark.parametrize("cells", [["23-05-01", "23-06-14"], ["01/05/23", "02/06/23"], ["01-05-11", "14-06-23"]])
def test_an_order_that_cannot_be_told_is_not_guessed(cells: list[str]) -> None:
    assert find_dates(cells).doubtful == cells[0]
    assert find_dates(["05/31/23", "06/01/23"]).dates == Dates("%m/%d/%y")


def test_other_offsets_are_converted_where_rows_are_given() -> None:
    dates = Dates("%Y-%m-%dT%H:%M:%S+02:00", 60)
    noon = dates.read(["2024-05-01T12:00:00+02:00"])
    for cell in ("2024-05-01T10:00:00Z", "2024-05-01 12:00", "2024-05-01T06:30:00-03:30"):
        assert dates.read([cell]) == noon
    assert dates.written(noon[0]) == "2024-05-01T12:00:00+02:00"
    assert np.isnan(Dates("%Y-%m-%d %H:%M", 60).read(["2024-05-01T10:00:00+02:00"])).all()  # no offset is known
    assert Dates("%d.%m.%Y", DAY).read(["01.05.2024"]) == 19_844


def test_offsets_that_differ_are_told_of_and_the_column_is_text(tmp_path: Any) -> None:
    rows = "".join(
        f"2024-0{3 + i % 2}-01T10:00:00+0{1 + i % 2}:00,{'01.05.23' if i % 2 else '02.05.24'},{i % 7}\n"
        for i in range(60)
    )
    (tmp_path / "t.csv").write_text("a,b,c\n" + rows)
    table = load(tmp_path / "t.csv", as_mixed=True)
    assert table.dates == (None, Dates("%d.%m.%y"), None)
    assert any('"a"' in text and '"+01:00" and "+02:00"' in text and "text" in text for text in table.warnings)
    assert any('"b"' in text and "1970 to 2069" in text for text in table.warnings)
