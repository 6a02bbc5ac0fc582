"""Small tables, written by every writer that people use and read back: equal, or refused in a sentence.

A table may come back without empty rows and columns, and its first line may be taken for a header, or a header for
data, but then the notes say so.
"""

import csv
import gzip
import io
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftfield.datasets.raw_table import NotNumeric
from driftfield.datasets.text_files import text_table
from driftfield.errors import InputError

Cell = float | int | str | None


@dataclass
class Written:
    """What a writer was given, the bytes that it wrote, and whether it wrote the names of the columns."""

    names: list[str]
    columns: list[list[Cell]]
    content: bytes
    header: bool = True


names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8) | st.sampled_from(
    [
        "x",
        "y",
        "id",
        "größe",
        "temp [c]",
        "a b",
        "a,b",
        "a;b",
        'a"b',
        "x^2",
        "#",
        "# n",
        "1",
        "0",
        "2019",
        "nan",
        "NA",
        "sep=",
    ]
)
whole = st.integers(-5, 40) | st.integers(-(10**6), 10**6) | st.sampled_from([0, 1000, 1234, 1234567, 99999])
real = st.floats(allow_nan=False, allow_infinity=False, width=32).map(float) | st.floats(-2000, 2000).map(
    lambda x: round(x, 2)
)
thousandths = st.integers(-2_000_000, 2_000_000).map(lambda x: x / 1000)
words = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=6).filter(str.strip) | (
    st.sampled_from(["yes", "no", "Bachelors", "a, b", 'say "hi"', "1st", "Total", "12-03-2020", "1.5", "007", "True"])
)


@st.composite
def tables(draw: st.DrawFn, texts: bool = True) -> tuple[list[str], list[list[Cell]]]:
    """(names, columns): one to five columns of one to twelve cells."""
    D, n = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    found = draw(st.lists(names, min_size=D, max_size=D, unique_by=lambda name: " ".join(name.split())))
    columns: list[list[Cell]] = []
    for _ in range(D):
        kinds = [whole, real, thousandths, *([words] if texts else [])]
        kind = draw(st.sampled_from(kinds))
        cell = kind | st.none() if draw(st.integers(0, 4)) == 0 else kind
        columns.append(draw(st.lists(cell, min_size=n, max_size=n)))
    return found, columns


def without_numerals(columns: list[list[Cell]]) -> list[list[Cell]]:
    """Columns without texts such as "0." and "1,5": in a file of another notation they would be evidence against it."""
    numeral = re.compile(r"[^\w]*\d*[.,]\d*[^\w]*")
    return [["text" if isinstance(c, str) and numeral.fullmatch(c) else c for c in column] for column in columns]


def frame(table: tuple[list[str], list[list[Cell]]]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in zip(*table, strict=True)})


@st.composite
def by_pandas(draw: st.DrawFn) -> Written:
    table = draw(tables())
    separator = draw(st.sampled_from([",", ";", "\t", "|"]))
    decimal = "," if separator != "," and draw(st.booleans()) else "."
    table = (table[0], without_numerals(table[1])) if decimal == "," else table
    table = (
        table[0],
        [[float(c) if isinstance(c, int) and decimal == "," else c for c in column] for column in table[1]],
    )
    data, header, index = frame(table), draw(st.booleans()), draw(st.booleans())
    index = index or len(table[0]) == 1  # or decimal commas in a single column could not be told from two columns
    if all(isinstance(c, float | int | None) for column in table[1] for c in column):
        data = data.astype(float)
    text = data.to_csv(
        sep=separator, decimal=decimal, header=header, index=index,
        na_rep=draw(st.sampled_from(["", "NA", "NaN", "?", "null", "N/A"])),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC, csv.QUOTE_ALL])),
        lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
    )  # fmt: skip
    found, columns = table
    if index:
        found, columns = ["", *found], [list(range(len(columns[0]))), *columns]
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-8"]))
    content = text.encode(encoding)
    return Written(found, columns, gzip.compress(content) if draw(st.integers(0, 5)) == 0 else content, header)


@st.composite
def by_polars(draw: st.DrawFn) -> Written:
    found, columns = draw(tables())
    kinds = [pl.String if any(isinstance(c, str) for c in column) else pl.Float64 for column in columns]
    cast = [
        [c if c is None or isinstance(c, str) == (kind == pl.String) else str(c) for c in column]
        for column, kind in zip(columns, kinds, strict=True)
    ]
    data = pl.DataFrame([pl.Series(n, c, dtype=k) for n, c, k in zip(found, cast, kinds, strict=True)])
    header = draw(st.booleans())
    text = data.write_csv(
        separator=draw(st.sampled_from([",", ";", "\t"])),
        include_header=header,
        include_bom=draw(st.booleans()),
        null_value=draw(st.sampled_from(["", "NA", "null"])),
        quote_style=draw(st.sampled_from(["necessary", "always", "non_numeric"])),
        line_terminator=draw(st.sampled_from(["\n", "\r\n"])),
    )
    return Written(found, [list(column) for column in cast], text.encode(), header)


@st.composite
def by_csv(draw: st.DrawFn) -> Written:
    found, columns = draw(tables())
    file = io.StringIO()
    writer = csv.writer(file, draw(st.sampled_from(["excel", "excel-tab", "unix"])))
    header = draw(st.booleans())
    writer.writerows(([found] if header else []) + [list(row) for row in zip(*columns, strict=True)])
    return Written(found, columns, file.getvalue().encode(), header)


@st.composite
def by_savetxt(draw: st.DrawFn) -> Written:
    found, columns = draw(tables(texts=False))
    values = np.array([[np.nan if c is None else c for c in column] for column in columns], dtype=np.float64).T
    separator, header = draw(st.sampled_from([" ", ",", "\t", ";"])), draw(st.booleans())
    found = [re.sub(r"[\s,;\"]", "_", name) for name in found]
    file = io.StringIO()
    np.savetxt(
        file, values, delimiter=separator, header=separator.join(found) if header else "",
        comments=draw(st.sampled_from(["# ", ""])), fmt=draw(st.sampled_from(["%.18e", "%.17g"])),
    )  # fmt: skip
    return Written(found, values.T.tolist(), file.getvalue().encode(), header)


@st.composite
def by_r(draw: st.DrawFn) -> Written:
    """As R's write.table exports: with the names of rows, which the header leaves out, or without them."""
    quote = draw(st.booleans())
    found, columns = draw(tables(texts=quote))
    separator, decimal = draw(st.sampled_from([(" ", "."), (" ", ","), ("\t", "."), (";", ","), (",", ".")]))
    columns = without_numerals(columns)
    found = [re.sub(r"[\s,;\"#]", "_", name) for name in found]
    columns = [column * 2 if len(column) == 1 else column for column in columns]  # one row shows no separator
    n = len(columns[0])
    kinds = [[str(i + 1) for i in range(n)], [str(7 * i % 31) for i in range(n)], [f"r{i}" for i in range(n)]]
    names = draw(st.sampled_from([*kinds, None]))

    def shown(cell: Cell) -> str:
        if isinstance(cell, str):
            return '"' + cell.replace('"', '""') + '"'
        return "NA" if cell is None else f"{cell:.15g}".replace(".", decimal)

    quoted = [[f'"{name}"' if quote else name for name in group] for group in (found, names or [])]
    rows = [[shown(c) for c in row] for row in zip(*columns, strict=True)]
    if names is not None:
        rows = [[name, *row] for name, row in zip(quoted[1], rows, strict=True)]
    text = "".join(separator.join(row) + "\n" for row in [quoted[0], *rows])
    rounded = [[float(f"{c:.15g}") if isinstance(c, float) else c for c in column] for column in columns]
    return Written(found, rounded, text.encode())


@st.composite
def by_spreadsheet(draw: st.DrawFn) -> Written:
    """As spreadsheets of several locales export: German, French, Swiss, English with thousands marks."""
    found, columns = draw(tables())
    columns = without_numerals(columns)
    found = [re.sub("[,;\t]", "_", name) for name in found] if len(found) == 1 else found
    separator, decimal, thousands = draw(
        st.sampled_from(
            [(";", ",", "."), (";", ",", ""), (";", ",", "\u202f"), (";", ".", "’"), (",", ".", ","), ("\t", ",", ".")]
        )
    )

    def shown(cell: Cell) -> str:
        if cell is None or isinstance(cell, str):
            return cell or ""
        text = f"{cell:,}" if isinstance(cell, int) else f"{cell:,.3f}"
        return text.translate({ord(","): thousands, ord("."): decimal})

    rounded = [[round(c, 3) if isinstance(c, float) else c for c in column] for column in columns]
    rows = [found, *([shown(c) for c in row] for row in zip(*rounded, strict=True))]
    rows += [[""] * len(found)] * draw(st.integers(0, 2))
    file = io.StringIO()
    csv.writer(file, delimiter=separator, lineterminator=draw(st.sampled_from(["\r\n", "\n", "\r"]))).writerows(rows)
    text = ("sep=;\r\n" if separator == ";" and draw(st.booleans()) else "") + file.getvalue()
    content = text.encode("utf-8-sig")
    if draw(st.booleans()):
        try:
            content = text.encode("cp1252")
        except UnicodeError:
            content = text.encode("utf-16")
    return Written(found, rounded, content)


def read(content: bytes) -> tuple[list[str], list[list[Cell]], tuple[str, ...]]:
    raw = text_table(content, "t.csv", "t.csv")
    columns: list[list[Cell]] = []
    for i, column in enumerate(raw.read(range(len(raw.columns)))):
        columns.append(list(raw.text(i)) if isinstance(column, NotNumeric) else column.tolist())
    return list(raw.columns), columns, raw.notes


def same(cell: Cell, read: Cell) -> bool:
    if isinstance(cell, str):
        stripped = " ".join(cell.split())
        if isinstance(read, str):
            return " ".join(read.split()) == stripped.replace("−", "-") or read.strip() == cell.strip()
        truth = {"true": 1.0, "false": 0.0}.get(stripped.lower())
        return read == truth or _number(stripped) == read or (read is None and _is_missing(stripped)) or read != read
    if cell is None or cell != cell:
        return read is None or read != read
    if isinstance(read, str):
        return _number(read) == cell
    return read == cell


def _number(text: str) -> float | None:
    try:
        return float(text.replace("−", "-"))
    except ValueError:
        try:
            return float(text.replace(",", "."))
        except ValueError:
            return None


def _is_missing(text: str) -> bool:
    return text in ("", "NA", "?", "-", ".", "--")


def check(written: Written) -> None:
    try:
        found, columns, notes = read(written.content)
    except InputError as refused:
        sentence = str(refused)
        if not re.search(r"[.?]$", sentence) or "\n" in sentence:
            raise AssertionError(sentence) from refused
        return
    said = " ".join(notes)
    expected, rows = list(written.columns), list(zip(*written.columns, strict=True))
    rows = (
        [row for row in rows if any(c is not None and c != "" and c == c for c in row)]
        if "empty row" in said or (len(columns[0] if columns else []) != len(rows))
        else rows
    )
    if not columns or not columns[0]:
        return  # load refuses a table without rows
    if (written.header and "without a header" in said) or "with decimal points" in said or "comment line" in said:
        return
    if not written.header and "without a header" not in said:
        assert "header" in said or any(isinstance(c, str) for row in rows[:1] for c in row), (written, found)
        return
    expected = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in written.columns]
    empty = [all(c is None or c == "" or c != c for c in column) for column in expected]
    kept = [i for i in range(len(expected)) if not (empty[i] and "empty column" in said)]
    assert len(columns) == len(kept), (found, notes)
    for i, column in zip(kept, columns, strict=True):
        assert len(column) == len(expected[i]), (found, notes)
        for cell, back in zip(expected[i], column, strict=True):
            assert same(cell, back), (cell, back, found, notes)


WRITERS: list[Callable[[], st.SearchStrategy[Written]]] = [
    by_pandas,
    by_polars,
    by_csv,
    by_savetxt,
    by_r,
    by_spreadsheet,
]


@given(st.one_of([writer() for writer in WRITERS]))
@settings(max_examples=800, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_a_table_is_read_back_as_it_was_written_or_refused_in_a_sentence(written: Written) -> None:
    check(written)
