"""Tables as programs export them: each is read at the first try, or refused with what to do."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.random import default_rng

from driftfield.datasets import load
from driftfield.datasets.dialect import Dialect
from driftfield.errors import InputError

VALUES = np.stack(
    [default_rng(0).normal(50, 8, 120).round(2), default_rng(1).normal(1500, 300, 120).round(1)], axis=1
)  # fmt: skip


def lines(row: str, header: str = "", end: str = "\n") -> str:
    """The header, and a line for each row from a format of a and b."""
    return header + "".join(row.format(a=a, b=b) + end for a, b in VALUES)


def german(text: str) -> str:
    return text.translate({ord(","): ".", ord("."): ","})


def savetxt(**options: str) -> bytes:
    file = io.BytesIO()
    np.savetxt(file, VALUES, **options)  # type: ignore[call-overload]
    return file.getvalue()


NAMED = pd.DataFrame(VALUES, columns=["x", "y"])
ROW_NAMES = "".join(f'"{i}" {a:g} {b:.10g}\n' for i, (a, b) in enumerate(VALUES, 1))
READ: dict[str, tuple[str | bytes, tuple[str, ...], tuple[str, ...]]] = {  # content, columns, notes
    "a German Excel": (
        ("Größe;Umsatz €\r\n" + german(lines("{a:,.2f};{b:,.1f}", end="\r\n"))).encode("cp1252"),
        ("Größe", "Umsatz €"),
        ("in cp1252", "separated by semicolons", "with decimal commas", "with thousands marks"),
    ),
    "a German Excel that says its separator": (
        "\ufeffsep=;\r\nx;y\r\n" + german(lines("{a};{b}", end="\r\n")),
        ("x", "y"),
        ("separated by semicolons", "with decimal commas"),
    ),
    "an English Excel": (
        lines('{a},"{b:,.1f}"', "x,y\r\n", "\r\n") + ",\r\n,\r\n",
        ("x", "y"),
        ("with thousands marks",),
    ),
    "a Swiss spreadsheet": (
        lines("{a};{b:,.1f}", "x;y\n").replace(",", "’"),
        ("x", "y"),
        ("separated by semicolons", "with thousands marks"),
    ),
    "a French spreadsheet": (
        lines("{a};{b:,.1f}", "x;y\n").replace(",", "\u202f").replace(".", ","),
        ("x", "y"),
        ("separated by semicolons", "with decimal commas", "with thousands marks"),
    ),
    "Unicode text of Excel": (
        lines("{a}\t{b}", "x\ty\n").encode("utf-16"),
        ("x", "y"),
        ("in utf-16-le", "separated by tabs"),
    ),
    "an old Macintosh": (lines("{a},{b}", "x,y\r", "\r"), ("x", "y"), ("with lines that end in CR",)),
    "R's write.table": ('"x" "y"\n' + ROW_NAMES, ("x", "y"), ("separated by spaces", "without its row names")),
    "R's write.csv": ('"","x","y"\n' + ROW_NAMES.replace(" ", ","), ("x1", "x", "y"), ()),
    "numpy.savetxt": (savetxt(), ("x1", "x2"), ("separated by spaces", "without a header")),
    "numpy.savetxt with a header": (savetxt(header="x y"), ("x", "y"), ("separated by spaces",)),
    "numpy.savetxt with commas": (savetxt(header="x,y", delimiter=","), ("x", "y"), ()),
    "pandas with its index": (NAMED.to_csv(), ("x1", "x", "y"), ()),
    "pandas without names": (
        pd.DataFrame(VALUES).to_csv(),
        ("x1", "0", "1"),
        ("with a header of numbers (0, 1)",),
    ),
    "psql --csv": (NAMED.to_csv(index=False), ("x", "y"), ()),
    "mysql --batch": (lines("{a}\t{b}", "x\ty\n"), ("x", "y"), ("separated by tabs",)),
    "sqlite3": (lines("{a}|{b}"), ("x1", "x2"), ("separated by bars", "without a header")),
    "an instrument": (
        "# made by instrument 7\n# units: mm\n" + lines("{a},{b}", "x,y\n"),
        ("x", "y"),
        ("without 2 comment lines above the table",),
    ),
    "Matlab": (lines("  {a:.7e}  {b:.7e}"), ("x1", "x2"), ("separated by spaces", "without a header")),
    "a trailing separator": (lines("{a},{b},", "x,y\n"), ("x", "y"), ("without 1 empty column",)),
    "blank lines": (
        lines("{a},{b}", "x,y\n") + "\n,\n" + lines("{a},{b}"),
        ("x", "y"),
        ("without 1 empty row",),
    ),
}


@pytest.mark.parametrize("program", READ)
def test_an_export_is_read_at_the_first_try(program: str, tmp_path: Path) -> None:
    content, columns, notes = READ[program]
    (tmp_path / "t.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    table = load(tmp_path / "t.txt")
    assert (table.columns, table.notes) == (columns, notes)
    wanted = np.concatenate([VALUES, VALUES]) if program == "blank lines" else VALUES
    np.testing.assert_allclose(table.values[:, -2:], wanted, rtol=1e-7)  # %.7e keeps eight digits


REFUSED: dict[str, tuple[str, str]] = {
    "psql": (
        "   x   |    y\n-------+---------\n" + lines(" {a} | {b}"),
        "ruled lines, .+ export it as CSV",
    ),
    "mysql": ("+-----+----+\n| x | y |\n+-----+----+\n" + lines("| {a} | {b} |"), "a table with ruled lines"),
    "Markdown": ("| x | y |\n|---|---|\n" + lines("| {a} | {b} |"), "a table with ruled lines"),
    "a note below": (lines("{a}|{b}", "x|y\n") + "(120 rows)\n", r"row 121 \(line 122\).+remove the last line if"),
    "a title above": (
        "Report\n\n" + lines("{a},{b}", "x,y\n"),
        "1 field in its first line and 2 .+ remove lines",
    ),
    "units below the header": ("x,y\nmm,kg\n" + lines("{a},{b}"), r'holds text, for example "mm" in row 1 \(line 2\)'),
    "a missing cell": (
        lines("{a}\t{b}", "x\ty\n") + "NULL\t5\n",
        "has 1 missing cell, .+ row 121",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_table_of_numbers_is_refused_with_what_to_do(what: str, tmp_path: Path) -> None:
    content, message = REFUSED[what]
    (tmp_path / "t.txt").write_text(content)
    with pytest.raises(InputError) as caught:
        load(tmp_path / "t.txt")
    assert re.search(message, str(caught.value))


HEADERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "a frame without names": ("0,1,2\n" + "1.5,2.5,3.5\n2,3,4.5\n" * 9, ("0", "1", "2")),
    "years": ("2019,2020,2021\n" + "95.1,101.2,91.7\n" * 9, ("2019", "2020", "2021")),
    "wavelengths": ("400.5,401.0,401.5\n" + "0.1,0.2,0.05\n" * 9, ("400.5", "401.0", "401.5")),
    "names that are no numbers": ("nan,inf\n" + "1,2\n" * 9, ("nan", "inf")),
    "data": ("1.5,2.5\n" + "2.5,3.5\n" * 9, ("x1", "x2")),
    "whole numbers": ("3,7,5\n" + "4,8,1\n6,2,9\n" * 9, ("x1", "x2", "x3")),
    "flags": ("0,1\n" + "1,0\n0,1\n1,1\n" * 9, ("x1", "x2")),
    "data with a missing cell": ("50.01,NA\n" + "52.9,24.7\n" * 9, ("x1", "x2")),
    "a name as of a line that says the separator": ('"sep="\n' + "1.5\n2.5\n" * 9, ("sep=",)),
    "data with words": ("39,State-gov,7\n" + "41,Private,5\n39,State-gov,8\n" * 9, ("x1", "x2", "x3")),
}


@pytest.mark.parametrize("what", HEADERS)
def test_a_header_of_numbers_is_told_from_data(what: str) -> None:
    from driftfield.datasets.text_files import text_table

    content, columns = HEADERS[what]
    assert text_table(content.encode(), "t.csv", "t.csv").columns == columns


@pytest.mark.parametrize(
    ("content", "dialect", "columns", "first"),
    [
        ("1,2\n" * 3 + "3,4\n", Dialect(header=True), ("1", "2"), [1, 2]),
        ("a;b\n1,234;5\n2,345;7\n", Dialect(decimal=","), ("a", "b"), [1.234, 5]),
        ("a;b\n1,234;5\n2,345;7\n", Dialect(decimal="."), ("a", "b"), [1234, 5]),
        ("a\n1,5\n2,7\n", Dialect(separator=";"), ("a",), [1.5]),
        ("a b\n1\n2\n", Dialect(separator="tab"), ("a b",), [1]),
        ("a,b\n1,99999\n2,5\n3,6\n", Dialect(missing=("99999",)), ("a", "b"), None),
        ("имя,b\n1,2\n3,4\n".encode("cp1251"), Dialect(encoding="cp1251"), ("имя", "b"), [1, 2]),
    ],
)  # fmt: skip
def test_each_decision_can_be_overridden(
    content: str | bytes, dialect: Dialect, columns: tuple[str, ...], first: list[float] | None, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    if first is None:
        with pytest.raises(InputError, match="1 missing cell"):
            load(tmp_path / "t.csv", dialect=dialect)
        return
    table = load(tmp_path / "t.csv", dialect=dialect)
    assert table.columns == columns
    assert table.values[0].tolist() == first


def test_a_dialect_of_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    pl.DataFrame(VALUES, schema=["x", "y"]).write_parquet(tmp_path / "t.parquet")
    for data in (tmp_path / "t.parquet", VALUES, NAMED, "moons", "sklearn:wine"):
        with pytest.raises(InputError, match=r"not a text file, .+ leave them out"):
            load(data, dialect=Dialect(missing=("99999",)))
        load(data, dialect=Dialect())


@pytest.mark.parametrize("columns", [1_500, 10_000])
def test_lines_longer_than_a_sample_are_read_whole(columns: int, tmp_path: Path) -> None:
    values = default_rng(0).standard_normal((30, columns))
    for header in ([f"c{i}" for i in range(columns)], list(range(columns))):  # names, and a frame without names
        pd.DataFrame(values, columns=header).to_csv(tmp_path / "t.csv", index=False)
        table = load(f"{tmp_path / 't.csv'}:{header[7]},{header[-1]}")
        assert table.columns == (str(header[7]), str(header[-1]))
        np.testing.assert_array_equal(table.values, values[:, [7, -1]])


@pytest.mark.parametrize("options", [{"separator": "x"}, {"decimal": "'"}, {"encoding": "utf-99"}])
def test_an_unknown_dialect_is_refused(options: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(InputError, match="Unknown"):
        load(tmp_path / "t.csv", dialect=Dialect(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: io.StringIO("x,y\n1,2\n3,4\n"), None),
        (lambda: io.BytesIO(b"x;y\n1,5;2\n3;4,5\n"), None),
        (lambda: __import__("torch").eye(30).to_sparse(), "torch.sparse_coo"),
        (lambda: __import__("torch").empty(3, 2, device="meta"), "on meta"),
    ],
)
def test_open_files_are_read_and_sparse_tensors_refused(make: Callable[[], object], message: str | None) -> None:
    if message is None:
        assert load(make()).columns == ("x", "y")
        return
    with pytest.raises(InputError, match=message):
        load(make())
