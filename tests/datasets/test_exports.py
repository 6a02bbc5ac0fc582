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
    "spaces at the end of lines": (lines("{a} {b} ", "x y \n", " \r\n"), ("x", "y"), ("separated by spaces",)),
    "R's write.table with decimal commas": (
        '"x" "my y"\n' + ROW_NAMES.replace(".", ","),
        ("x", "my y"),
        ("separated by spaces", "without its row names", "with decimal commas"),
    ),
    "numpy.savetxt with another comment": (savetxt(header="x y", comments="% "), ("x", "y"), ("separated by spaces",)),
    "a second byte-order mark": ("\ufeff\ufeff" + lines("{a},{b}", "x,y\n"), ("x", "y"), ()),
    "an instrument of a town": (
        "# made in Berlin, at noon\n" + lines("{a},{b}"),
        ("made in Berlin", "at noon"),
        ("with names from the comment # made in Berlin, at noon",),
    ),
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
    "sqlite's columns": ("x      y    \n-----  -----\n" + lines("{a}  {b}  "), "a table with ruled lines"),
    "sqlite's narrow columns": ("x  y\n-  -\n1  2\n3  4\n", "a table with ruled lines"),
    "reStructuredText": ("===  ====\nx    y\n===  ====\n1    2\n3    4\n", "a table with ruled lines"),
    "psql's records": ("-[ RECORD 1 ]\nx | 1\ny | 2\n", "a table with ruled lines"),
    "ARFF": ("@relation t\n@attribute x numeric\n@data\n1\n", "is ARFF, not a table"),
    "polars": ("shape: (2, 1)\n┌─────┐\n│ x   │\n", "a table with ruled lines"),
    "duckdb": ("┌───────┬───────┐\n│   x   │   y   │\n", "a table with ruled lines"),
    "JSON": ('[{"x": 1},\n {"x": 2}]\n', "is JSON, not a table"),
    "a list of lists": ("[[1, 2],\n [3, 4]]\n", "is JSON, not a table"),
    "SQL": ("-- dump\nINSERT INTO t VALUES (1, 2);\nINSERT INTO t VALUES (3, 4);\n", "is SQL, not a table"),
    "HTML": ("<!DOCTYPE html>\n<table>\n", "is HTML or XML, not a table"),
    "colons": (lines("{a}:{b}", "x:y\n"), "seems to be separated by colons: export it"),
    "the character 1": (lines("{a}\x01{b}", "x\x01y\n"), "seems to be separated by the character 1"),
    "carets": (lines("{a}^{b}"), r'seems to be separated by "\^"'),
    "times": ("t\n12:30\n12:45\n", "holds text"),
    "decimal commas between commas": (
        "price,qty\n56,91,32\n12,10,31\n56,20,35\n",
        "2 names in its header but 3 fields .+ names of rows or with decimal commas: give .+ or export",
    ),
    "few decimal commas between commas": ("price,qty\n56,91,32\n12,10,31\n", "names of rows or with decimal commas"),
    "a first column that names no rows": ("x;y\n1;2;3\n1;3;4\n2;4;5\n", '"1" occurs twice: give each column a name'),
    "two decimal commas": (
        "x,y,z\n1,5,2,7,3\n2,5,3,7,4\n",
        "where commas are decimal marks, export it with semicolons",
    ),
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
    "0 and 1 above decimals": ("0,1\n" + "0.5,2.5\n2.5,3.5\n" * 9, ("x1", "x2")),
    "two years": ("2019,2020\n" + "95.1,101.2\n94.2,100.3\n" * 9, ("2019", "2020")),
    "equal steps among whole numbers": ("2,4,6\n" + "4,8,1\n6,2,9\n" * 9, ("x1", "x2", "x3")),
    "a first cell that is an error": ("#N/A,5\n" + "1,2\n3,4\n" * 9, ("x1", "x2")),
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
    ("content", "columns"),
    [
        ("name;town;x\nfoo;Bern;1,5\nbar;Rom;2,5\nbaz;Ulm;3,5\n", ("name", "town", "x")),
        ("name;x\nfoo;1,5\nbar;2,5\n", ("name", "x")),
        ("My house,The floor\nApt 5,Floor 3\nApt 6,Floor 2\n", ("My house", "The floor")),
        ("name, x\nNew York, 2\nLos Angeles, 3\n", ("name", "x")),
        ("x y\n1,5 2\n2,5 3\n", ("x", "y")),
    ],
)
def test_the_separator_is_that_of_all_lines(content: str, columns: tuple[str, ...]) -> None:
    from driftfield.datasets.text_files import text_table

    assert text_table(content.encode(), "t.csv", "t.csv").columns == columns


@pytest.mark.parametrize("error", ["#N/A", "#REF!", "#DIV/0!", "#VALUE!", "#NAME?", "########", "#NV", "#WERT!"])
def test_the_errors_of_a_spreadsheet_are_cells_and_not_comments(error: str) -> None:
    from driftfield.datasets.text_files import text_table

    for content in ("# note\nx,y\n1,2\n{},3\n4,5\n", "x\n1\n{}\n4\n", '# note\nx;y\n1;"2"\n{};3\n4;5\n'):
        raw = text_table(content.format(error).encode(), "t.csv", "t.csv")
        assert list(raw.text(0)) == ["1", None if error == "#N/A" else error, "4"]


def test_a_quoted_cell_is_no_comment() -> None:
    from driftfield.datasets.text_files import text_table

    raw = text_table(b'# note\nn,y\n"#1 item",2\n#1 item,3\n"b",4\n', "t.csv", "t.csv")
    assert list(raw.text(0)) == ["#1 item", "b"]
    assert "without 1 comment line in the table" in raw.notes


@pytest.mark.parametrize("D", [2, 3, 4, 5])
def test_a_first_row_of_random_whole_numbers_is_no_header(D: int) -> None:
    from driftfield.datasets.header import judge_header

    tables = default_rng(D).integers(0, 10, (1_500, 50, D)).astype(str)
    judged = [judge_header(first, others, ()) for first, *others in tables.tolist()]
    assert sum(each.header for each in judged) <= 1  # a row 0, 1, 2, .. comes by chance in at most one of 1,000
    assert sum(each.doubtful for each in judged) <= 30  # a warning, in at most 2 %


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("0 1\n" + "0.5 2.5\n2.5 3.5\n" * 9, r"Line 1 of .+ \(0, 1\) is taken for a row of data: say --header yes"),
        ("0,5,10\n" + "31,22,47\n25,60,31\n" * 9, r"Line 1 of .+ \(0, 5, 10\) is taken for a row of data"),
        ("2019,2020\n" + "9.1,10.2\n9.2,10.3\n" * 9, r"Line 1 .+ is taken for its header: say --header no if"),
        ("x;y\n73.778;14\n12.300;15\n", r'Column "x" has three digits .+ "73.778", which is read .+ --decimal ,'),
        ("x,y\na,1,2\nb,3,4\nc,5,6\n", 'The first fields of .+, for example "a", are taken for names of rows'),
        ("0,1,2\n" + "1.5,2.5,3.5\n2,3,4.5\n" * 9, None),
        ("2019,2020,2021\n" + "95.1,101.2,91.7\n" * 9, None),
        ("x;y\n73.778;1.5\n12.300;15\n", None),
        ("x,y\n73.778,1\n12.300,15\n", None),
    ],
)  # fmt: skip
def test_what_may_have_been_misread_is_said(content: str, wanted: str | None, tmp_path: Path) -> None:
    from driftfield.datasets.text_files import text_table

    (tmp_path / "t.csv").write_text(content)
    found = text_table(tmp_path / "t.csv", "t.csv", "t.csv").warnings
    assert len(found) == (wanted is not None)
    assert wanted is None or re.match(wanted, found[0])
    for dialect in (Dialect(header=False), Dialect(header=True)):
        if wanted and "--header" in wanted:
            assert not any("taken" in w for w in load(tmp_path / "t.csv", dialect=dialect).warnings)


@pytest.mark.parametrize(
    ("content", "mark"),
    [
        ("x,y\n1.5,2\n-999.0,3\n2.5,4\n", "-999"),
        ("x;y\n1,5;2\n-999,0;3\n2,5;4\n", "-999"),
        ("x;y\n1,5;2\n-999.0;3\n2,5;4\n", "-999"),
        ("x;y\n1,5;2\n-999;3\n2,5;4\n", "-999,0"),
        ("x,y\n1.5,2\n-9.99e2,3\n2.5,4\n", "-999.00"),
        ("x,y\n1.5,2\nabsent,3\n2.5,4\n", "absent"),
    ],
)
def test_a_mark_that_is_a_number_is_found_however_it_is_written(content: str, mark: str) -> None:
    from driftfield.datasets.text_files import text_table

    raw = text_table(content.encode(), "t.csv", "t.csv", Dialect(missing=(mark, "-998")))
    np.testing.assert_array_equal(next(iter(raw.read([0]))), [1.5, np.nan, 2.5])
    assert list(raw.text(0))[1] is None
    assert raw.warnings == ('No cell of t.csv is "-998", which --missing names: correct it or leave it out.',)


def test_thousands_are_no_mark_of_one() -> None:
    from driftfield.datasets.text_files import text_table

    raw = text_table(b"x;y\n1,000;2.5\n2,000;3.5\n1;4.5\n", "t.csv", "t.csv", Dialect(missing=("1",)))
    np.testing.assert_array_equal(next(iter(raw.read([0]))), [1000, 2000, np.nan])


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("値,b\n1,2\n", "shift_jis"), ("体重,b\n1,2\n", "shift_jis"), ("値,b\n1,2\n", "gbk"), ("값,b\n1,2\n", "euc_kr"),
        ("да,b\n1,2\n", "cp1251"), ("łąka,b\n1,2\n", "iso8859-2"),
    ],
)  # fmt: skip
def test_letters_that_western_europe_does_not_write_are_not_guessed(text: str, encoding: str) -> None:
    from driftfield.datasets.text_files import text_table

    with pytest.raises(InputError, match="encoding is not clear: name it, as in --encoding"):
        text_table(text.encode(encoding), "t.csv", "t.csv")


@pytest.mark.parametrize(
    "text",
    [
        "Größe,Umsatz €",
        "Über,naïve,créée",
        "où,là,São João",
        "temp °C,µm,m²,§5,½",
        "“x”,don’t,l’été,5–7",
        "Ål,øy,rød grød",
        "W/m²·K,a×b,§§ 5",
        "’s-Hertogenbosch," + "é," * 20 + "à",
    ],
)
def test_western_european_text_is_read_without_its_encoding(text: str) -> None:
    from driftfield.datasets.text_files import text_table

    numbers = ",".join("1" * len(text.split(",")))
    raw = text_table(f"{text}\n{numbers}\n".encode("cp1252"), "t.csv", "t.csv")
    assert ",".join(raw.columns) == text


@pytest.mark.parametrize("bad", [b"\xe9", b"\xff"])
def test_a_bad_byte_in_utf8_is_named_with_its_line(bad: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("größe,b\n1,2\n".encode() + b"3" + bad + b",4\n")
    with pytest.raises(
        InputError, match=r"in UTF-8, but for 1 byte, the first in line 3: correct .+ --encoding cp1252"
    ):
        load(tmp_path / "t.csv")


def test_a_blank_line_of_a_single_column_is_said_and_a_null_of_sql_is_missing() -> None:
    from driftfield.datasets.text_files import text_table

    assert text_table(b"x\n1\n\n3\n\n", "t.csv", "t.csv").notes == ("without 1 blank line",)
    assert list(text_table(b"x\ty\n1\t\\N\n3\t4\n", "t.csv", "t.csv").text(1)) == [None, "4"]


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
    values = default_rng(0).standard_normal((8, columns))
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


@pytest.mark.parametrize("decimal", [".", ","])
def test_a_word_among_numbers_does_not_make_them_text(decimal: str, tmp_path: Path) -> None:
    rows = [f"{i}.5;{i * i}.25" for i in range(30)]
    rows[20] = "oops;3.5"
    (tmp_path / "t.csv").write_text("\n".join(["a;b", *rows]).replace(".", decimal))
    with pytest.raises(InputError, match=r'Column "a" .+ holds numbers, but "oops" in row 21'):
        load(tmp_path / "t.csv", as_mixed=True)
