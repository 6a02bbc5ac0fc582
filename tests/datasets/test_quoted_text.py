"""Quotes inside of quoted text: they are read and written as they are."""

import csv
import io
from pathlib import Path

import polars as pl

from driftfield.datasets import load
from driftfield.datasets.filled import whole_of
from driftfield.datasets.tables import raw_table
from driftfield.datasets.writing import csv_text

CELLS = ['6"', 'say "hi"', "plain", 'b "c", d', '"whole"', 'a "b', "two\nlines"]
TEXT = "name,x\n" + "".join('"{}",{}.5\n'.format(CELLS[i % 7].replace('"', '""'), i) for i in range(70))


def test_quotes_in_text_are_read_and_written_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text(TEXT)
    table = load(str(path), as_mixed=True)
    assert table.levels[0] == tuple(sorted(CELLS))
    again = csv_text(table.values, table.columns, levels={"name": table.levels[0]})
    assert list(csv.reader(io.StringIO(again))) == list(csv.reader(io.StringIO(TEXT)))
    whole = whole_of(*raw_table(str(path))[:2]).unique().write_csv()
    assert list(csv.reader(io.StringIO(whole))) == list(csv.reader(io.StringIO(TEXT)))


def test_quotes_in_names_of_columns_are_read(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(
        '"length ""l""",k\n' + "".join(f"{i * 7 % 31}.5,{'ab'[i % 2]}\n" for i in range(40))
    )
    assert load(str(tmp_path / "q.csv"), as_mixed=True).columns == ('length "l"', "k")


def test_polars_reads_what_is_written() -> None:
    text = csv_text(pl.DataFrame({"x": [0.0, 1.0]}).to_numpy(), ["x"], levels={"x": ('a "b"', "c, d")})
    assert pl.read_csv(text.encode())["x"].to_list() == ['a "b"', "c, d"]
