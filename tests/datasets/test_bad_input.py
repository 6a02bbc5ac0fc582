"""Every input that cannot be used ends in one sentence that says what, where, and what to do; nothing is written."""

import datetime
import io
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from driftfield.datasets import load
from driftfield.errors import InputError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(data: object, **arguments: int) -> str:
    """The message with which `data` is refused; checked to be one line, a sentence, and to leave no file behind."""
    before = {path: path.stat().st_mtime_ns for path in Path().iterdir()}
    with pytest.raises(InputError) as caught:
        load(data, **arguments)
    assert {path: path.stat().st_mtime_ns for path in Path().iterdir()} == before
    message = str(caught.value)
    assert "\n" not in message
    assert re.search(r"[.?]$", message)
    assert caught.value.exit_code == 2
    return message


CSV_CASES: dict[str, tuple[str | bytes, str, str]] = {  # what is wrong: (content, picked columns, message)
    "empty": ("", "", "t.csv is empty: give it a header line and rows of numbers."),
    "only blank lines": ("\n\n", "", "t.csv is empty: give it a header line and rows of numbers."),
    "a header alone": ("a,b\n", "", "t.csv has no rows of data: at least 2 are needed."),
    "one row": ("a,b\n1,2\n", "", "t.csv has one row of data: at least 2 are needed."),
    "text": (
        "a,b,c,d\n1,5,2,1\n2,red,3,1\n",
        "",
        'Column "b" of t.csv holds text, for example "red" in row 2 (line 3): '
        "turn it into numbers, or pick numeric columns, as in t.csv:a,c.",
    ),
    "text in a picked column": (
        'a,"b, or c",d\n1,5,x\n2,6,y\n',
        ":d",
        'Column "d" of t.csv holds text, for example "x" in row 1 (line 2): '
        'turn it into numbers, or pick numeric columns, as in t.csv:a,"b, or c".',
    ),
    "text alone": (
        "a\nx\ny\n",
        "",
        'Column "a" of t.csv holds text, for example "x" in row 1 (line 2): '
        "turn it into numbers, as no other column can be used.",
    ),
    "text after a quoted line break": (
        '"a\nunit",b\n1,2\n2,"n\na"\n3,NA\n',
        "",
        'Column "b" of t.csv holds text, for example "n a" in row 2 (line 4): '
        "turn it into numbers, or pick numeric columns, as in t.csv:a unit.",
    ),
    "dates": (
        "day,b\n2020-01-01,2\n2020-01-02,3\n",
        "",
        'Column "day" of t.csv holds text, for example "2020-01-01" in row 1 (line 2): '
        "turn it into numbers, or pick numeric columns, as in t.csv:b.",
    ),
    "an empty cell": (
        "a,b\n1,2\n,3\n5,\n",
        "",
        't.csv has 2 missing cells, the first in column "a", row 2 (line 3): fill or remove such rows.',
    ),
    "NaN": (
        "a,b\n1,2\nnan,3\n5,6\n",
        "",
        't.csv has 1 missing cell, the first in column "a", row 2 (line 3): '
        "fill or remove such rows, or pick complete columns, as in t.csv:b.",
    ),
    "infinity": (
        "a,b\n1,2\n2,3\n3,-inf\n4,1e400\n",
        "",
        't.csv has 2 infinite cells, the first in column "b", row 3 (line 4): '
        "fill or remove such rows, or pick complete columns, as in t.csv:a.",
    ),
    "an empty cell without a header": (
        "1,2\n2,\n3,4\n",
        "",
        't.csv has 1 missing cell, the first in column "x2", row 2 (line 2): '
        "fill or remove such rows, or pick complete columns, as in t.csv:x1.",
    ),
    "a constant column": (
        "a,b,c\n1,3,5\n2,3,6\n",
        "",
        'Column "b" of t.csv has the same value, 3, in every row, so there is nothing to learn from it: '
        "leave it out, as in t.csv:a,c.",
    ),
    "a column that is constant in float64": (
        "a,b\n1000000000000000000000000000000,1\n1000000000000000000000000000001,2\n",
        "",
        'Column "a" of t.csv has whole numbers beyond 2^53, which float64 cannot tell apart: subtract a constant '
        "first, or leave it out, as in t.csv:b.",
    ),
    "constant columns alone": (
        "a,b\n1,2\n1,2\n",
        "",
        'Column "a" (and 1 more) of t.csv has the same value, 1, in every row, so there is nothing to learn '
        "from it: leave it out.",
    ),
    "names that occur twice": (
        "a,b,a\n1,2,3\n3,4,5\n",
        "",
        't.csv has 2 columns called "a": rename them, or pick others, as in t.csv:b.',
    ),
    "a picked name that occurs twice": (
        "a,b,a\n1,2,3\n3,4,5\n",
        ":b,a",
        't.csv has 2 columns called "a": rename them, or pick others, as in t.csv:b.',
    ),
    "an unknown column": (
        "alcohol,ash\n1,2\n3,4\n",
        ":alchol",
        'Unknown column of t.csv "alchol": did you mean "alcohol"?',
    ),
    "a column unlike any": ("a,b\n1,2\n3,4\n", ":zzz", 'Unknown column of t.csv "zzz": choose one of a, b.'),
    "a column picked twice": (
        "a,b\n1,2\n3,4\n",
        ":a,b,a",
        'Column "a" of t.csv is picked more than once: name it once.',
    ),
    "no column after the colon": (
        "a,b\n1,2\n3,4\n",
        ":",
        '"t.csv:" names no column after the colon: write names with commas between them.',
    ),
    "a row that is too short": (
        "a,b\n1,2\n3\n4,5\n",
        "",
        "t.csv has 1 field in row 2 (line 3), not 2 as in most lines: correct it, or remove the lines above the table.",
    ),
    "a row that is too long": (
        "a,b\n1,2\n3,4,5\n",
        "",
        "t.csv has 3 fields in row 2 (line 3), not 2 as in most lines: correct it.",
    ),
    "a row that is too short without a header": (
        "1,2\n3\n4,5\n",
        "",
        "t.csv has 1 field in row 2 (line 2), not 2 as in most lines: correct it, or remove the lines above the table.",
    ),
    "an Excel workbook": (
        b"PK\x03\x04\x00\x00" + bytes(range(256)),
        "",
        "t.csv is a ZIP archive or an Excel workbook, not text: export it as CSV.",
    ),
    "binary": (bytes(range(256)), "", "t.csv holds zero bytes, so it is not text: export it as CSV in UTF-8."),
    "Cyrillic in one byte a letter": (
        "имя,b\n1,2\n3,4\n".encode("cp1251"),
        "",
        "t.csv is not in UTF-8, and its encoding is not clear: name it, as in --encoding cp1251.",
    ),
    "decimal commas without quotes": (
        "a,b\n1,5,2,5\n3,5,4,5\n",
        "",
        "t.csv has 2 fields in its first line (line 1), but 4 in most others: where commas are decimal marks, "
        "export it with semicolons between the columns.",
    ),
    "two ways to read a number": (
        "a;b\n1,234;5\n2,345;7\n",
        "",
        'Column "a" of t.csv can be read in two ways, for example "1,234": say whether the decimal mark is a point '
        "or a comma, with --decimal.",
    ),
    "decimal commas and points": (
        "a;b\n1,5;2.5\n2,5;3.5\n",
        "",
        't.csv has decimal commas in column "a" and decimal points in column "b": say which with --decimal.',
    ),
    "a header that is repeated": (
        "a,b\n1,2\na,b\n3,4\n",
        "",
        'Column "a" of t.csv holds text, for example "a" in row 2 (line 3): the header is repeated there, so remove '
        "that line.",
    ),
    "a total": (
        "a,b\n1,2\n3,4\n4,5\n5,6\nTotal,17\n",
        "",
        'Column "a" of t.csv holds text, for example "Total" in row 5 (line 6): it stands in the last row alone, so '
        "remove that row if it is a total or a note.",
    ),
    "2,001 columns": (
        "\n".join(
            [",".join(f"c{i}" for i in range(2001)), *(",".join(f"{i * j}" for i in range(2001)) for j in (1, 2))]
        ),
        "",
        "t.csv has 2,001 columns, more than the 2,000 that can be learned together: pick some, as in t.csv:c0,c1.",
    ),
}


@pytest.mark.parametrize("case", CSV_CASES)
def test_a_bad_csv_is_refused_in_one_sentence(case: str) -> None:
    content, picks, message = CSV_CASES[case]
    Path("t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refusal(f"t.csv{picks}") == message


def test_a_quote_that_is_never_closed_is_refused() -> None:
    Path("t.csv").write_text('a,b\n1,"2\n3,4\n')
    assert re.fullmatch(
        r"t.csv has a quote that is never closed in line 2 or after it: correct the quotes\.", refusal("t.csv")
    )


def test_a_long_text_is_cut_in_the_message() -> None:
    Path("t.csv").write_text("a,b\n1," + "x" * 5000 + "\n2,y\n")
    assert len(refusal("t.csv")) < 250


def test_only_some_of_many_columns_are_suggested() -> None:
    Path("t.csv").write_text(
        ",".join(f"c{i}" for i in range(30)) + ",t\n" + "\n".join(f"{j}," * 30 + "x" for j in (1, 2))
    )
    assert refusal("t.csv").endswith("as in t.csv:c0,c1,c2,c3,c4,c5,c6,c7 (22 more can be used).")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("mons", 'There is no file or built-in data "mons": did you mean "moons"?'),
        ("Moons", 'There is no file or built-in data "Moons": did you mean "moons"?'),
        ("wne.csv", 'There is no file or built-in data "wne.csv": did you mean "wine.csv"?'),
        ("wne.csv:a,b", 'There is no file or built-in data "wne.csv": did you mean "wine.csv"?'),
        ("sub/wine.csv", "There is no file sub/wine.csv: the folder sub does not exist."),
        ("./wne.csv", 'There is no file or built-in data "wne.csv": did you mean "wine.csv"?'),
        ("sklearn:wien", 'Unknown scikit-learn data set "wien": did you mean "wine"?'),
        ("skleran:wine", 'There is no file or built-in data "skleran:wine": did you mean "sklearn:wine"?'),
        ("sklearn:wine:", '"sklearn:wine:" names no column after the colon: write names with commas between them.'),
        ("sklearn:wine:hu", 'Unknown column of sklearn:wine "hu": did you mean "hue"?'),
        (".", ". is a folder: name a file in it that ends in .csv, .parquet or .npy."),
        (
            "t.odt",
            "t.odt does not end in .csv, .tsv, .tab, .txt, .dat, .data, .parquet or .npy: convert it to one of these "
            "formats, or rename it.",
        ),
    ],
)
def test_a_name_that_means_nothing_is_refused(data: str, message: str) -> None:
    Path("wine.csv").write_text("a,b\n1,2\n3,4\n")
    Path("t.odt").write_text("a,b\n1,2\n3,4\n")
    assert refusal(data) == message.replace(
        '"wne.csv": did', '"wne.csv": did' if data[0] != "." else '"./wne.csv": did'
    )


def test_a_name_unlike_any_lists_what_there_is() -> None:
    message = refusal("xyzzy")
    assert message.startswith('There is no built-in data "xyzzy": choose one of moons, swiss-roll')
    assert "sklearn:wine" in message
    assert refusal("quux.parquet").startswith("There is no file quux.parquet: check the path (looked in ")


@pytest.mark.parametrize("data", ["x" * 300, "a/" * 5_000, "y/" + "x" * 300 + ".csv", "a\0b"])
def test_a_name_that_no_file_can_have_is_refused(data: str) -> None:
    assert refusal(data).startswith("There is no ")


def test_a_text_of_several_lines_is_no_name() -> None:
    assert refusal("a,b\n1,2\n" * 500).startswith("The data are a text of several lines, not a name: pass io.StringIO")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.quint8),
            "The tensor is quantized: pass a dense",
        ),
        (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "The tensor is nested: pass a dense one"),
        (lambda: torch.ones(5, 2, dtype=torch.complex64).conj(), "The tensor holds values of type complex64: convert"),
        (lambda: np.array([[2**63 + i, i] for i in range(30)], dtype=np.uint64), 'Column "x1" of the array has whole'),
        (lambda: pl.DataFrame({"a": [2**60, 2**60 + 1], "b": [1, 2]}), 'Column "a" of the frame has whole numbers bey'),
    ],
)
@pytest.mark.filterwarnings("ignore")  # of torch, about quantized and nested tensors
def test_odd_tensors_and_large_whole_numbers_say_what_they_are(make: Callable[[], object], message: str) -> None:
    assert refusal(make()).startswith(message)


def test_open_files_that_are_no_text_say_what_they_are() -> None:
    np.save("t.npy", np.eye(3))
    pl.DataFrame({"a": [1.0, 2.0]}).write_parquet("t.parquet")
    for name, kind in (("t.npy", "an NPY file"), ("t.parquet", "a Parquet file")):
        assert refusal(io.BytesIO(Path(name).read_bytes())).startswith(f"The open file is {kind}: pass its path")
        with Path(name).open("rb") as file:
            assert kind in refusal(file)


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ('a,b\n1,2\n3,4\n5,6\n7,8\n9,10"\n', "a quote is left over there, so correct the quotes."),
        (",a,b\n,x,y\n0,1,2\n1,2,4\n2,3,8\n", "only the first row is text there, so make one header of its lines."),
    ],
)
def test_a_single_cell_of_text_says_what_it_may_be(content: str, hint: str) -> None:
    Path("t.csv").write_text(content)
    assert refusal("t.csv").endswith(hint)


def test_arrow_tables_have_the_usual_sentences() -> None:
    pa = pytest.importorskip("pyarrow")
    large = pa.array([2**60 + i for i in range(30)])
    assert "beyond 2^53" in refusal(pa.table({"a": np.arange(30.0), "k": large}))
    assert "beyond 2^53" in refusal(pd.DataFrame({"a": np.arange(30.0), "k": pd.array(large, dtype="int64[pyarrow]")}))
    twice = pa.Table.from_arrays([pa.array([1.0, 2.0])] * 2, names=["a", "a"])
    assert refusal(twice) == 'The frame has 2 columns called "a": rename them.'
    spread = pa.table({"k": pa.array([2**60 + i * 10**15 for i in range(30)])})
    assert load(spread).values[0, 0] == 2**60


def test_the_na_of_pandas_is_a_missing_cell() -> None:
    frame = pd.DataFrame({"a": pd.array([None, *range(9)], dtype="Int64"), "t": ["x", pd.NA, "y", "x", pd.NA] * 2})
    assert "missing cell" in refusal(frame.drop(columns="t"))
    values = load(frame, as_mixed=True).values
    assert np.isnan(values).sum(0).tolist() == [1, 4]


@pytest.mark.parametrize("rows", [1, 0, -3])
def test_fewer_than_two_rows_cannot_be_asked_for(rows: int) -> None:
    assert refusal("moons", rows=rows).endswith("of data: at least 2 are needed.")


def test_a_subset_in_which_a_column_is_constant_is_refused() -> None:
    values = np.stack([np.arange(100.0), np.arange(100) == 50], axis=1)
    message = refusal(values, rows=2)
    assert message == (
        'Column "x2" of array has the same value, 0, in all 2 rows that were taken, '
        "so there is nothing to learn from it: take more rows, or leave it out."
    )


def test_an_empty_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert refusal("-") == "Standard input is empty: give it a header line and rows of numbers."
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a,b\n1,x\n2,y\n")))
    assert refusal("-").endswith("as in -:a.")


class Exploding:
    """Unpickling it leaves a file behind."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, ("exploded", "w")


def objects() -> None:
    np.save("t.npy", np.array([[1, Exploding()], [2, None]], dtype=object), allow_pickle=True)


def pickled() -> None:
    Path("t.npy").write_bytes(pickle.dumps(Exploding()))


def shortened(by: int) -> Callable[[], None]:
    def write() -> None:
        np.save("t.npy", np.arange(6.0).reshape(3, 2))
        content = Path("t.npy").read_bytes()
        Path("t.npy").write_bytes(content[: len(content) - by])

    return write


def boastful() -> None:
    """A header that claims 1.4 petabytes."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999, 2), }".ljust(117) + b"\n"
    Path("t.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(80))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (objects, r"t.npy holds pickled Python objects, which are not loaded: save an array of numbers\."),
        (pickled, r"t.npy is damaged or not a valid NPY file \(.+\): write it again\."),
        (shortened(8), r"t.npy is damaged or not a valid NPY file \(.+\): write it again\."),
        (shortened(100), r"t.npy is damaged or not a valid NPY file \(.+\): write it again\."),
        (boastful, r"t.npy is damaged or not a valid NPY file \(.+\): write it again\."),
        (lambda: Path("t.npy").write_bytes(b""), r"t.npy is damaged or not a valid NPY file \(.+\): write it again\."),
        (
            lambda: np.save("t.npy", np.zeros((2, 3, 4))),
            r"t.npy has the shape \(2, 3, 4\): give an array of shape .+\.",
        ),
        (lambda: np.save("t.npy", np.array(3.0)), r"t.npy has the shape \(\): give an array of shape .+\."),
        (lambda: np.save("t.npy", np.ones((2, 2)) * 1j), r"t.npy holds values of type complex128: convert .+\."),
        (
            lambda: np.save("t.npy", np.array(["a"])),
            r"t.npy holds values of type <U1: convert them to real numbers\.",
        ),
        (
            lambda: np.save("t.npy", np.zeros((2, 2001))),
            r"t.npy has 2,001 columns, more .+: pick some, as in t.npy:x1,x2\.",
        ),
        (lambda: np.save("t.npy", np.zeros((0, 2))), r"t.npy has no rows of data: at least 2 are needed\."),
        (
            lambda: np.save("t.npy", np.zeros((2, 0))),
            r"t.npy has no columns: at least one column of numbers is needed\.",
        ),
        (
            lambda: np.save("t.npy", np.array([[1, 2], [3, np.inf]])),
            r't.npy has 1 infinite cell, .+ in column "x2", row 2: fill or remove .+, as in t.npy:x1\.',
        ),
    ],
)
def test_a_bad_npy_is_refused_and_never_unpickled(write: Callable[[], None], message: str) -> None:
    write()
    assert re.fullmatch(message, refusal("t.npy"))
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            {"a": [1, 2], "b": ["x", "y"]},
            'Column "b" of t.parquet holds text, for example "x" in row 1: .+ t.parquet:a.',
        ),
        (
            {"a": [1, 2], "b": [datetime.date(2020, 1, 2)] * 2},
            'Column "b" .+ dates or times, for example "2020-01-02" .+',
        ),
        ({"a": [[1], [2]]}, r'Column "a" .+ lists, for example "\[1\]" in row 1: .+'),
        (
            {"a": [1, None], "b": [1, 2]},
            't.parquet has 1 missing cell, the first in column "a", row 2: .+ t.parquet:b.',
        ),
        (
            {"a": [1, 2], "b": [None, None]},
            't.parquet has 2 missing cells, the first in column "b", row 1: .+ t.parquet:a.',
        ),
        ({"a": [5]}, "t.parquet has one row of data: at least 2 are needed."),
        ({}, "t.parquet has no columns: at least one column of numbers is needed."),
    ],
)
def test_a_bad_parquet_is_refused(frame: dict[str, list[object]], message: str) -> None:
    pl.DataFrame(frame).write_parquet("t.parquet")
    assert re.fullmatch(message, refusal("t.parquet"))


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:4] + b"\xff" * 40 + b[44:]])
def test_a_damaged_parquet_is_refused(damage: Callable[[bytes], bytes]) -> None:
    pl.DataFrame({"a": np.random.default_rng(0).random(1000)}).write_parquet("t.parquet")
    Path("t.parquet").write_bytes(damage(Path("t.parquet").read_bytes()))
    assert re.fullmatch(
        r"t.parquet is damaged or not a valid Parquet file \(.+\): write it again\.", refusal("t.parquet")
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((2, 2, 2)), "The array has the shape (2, 2, 2): give an array of shape (n, D) or (n,)."),
        (np.array(1.0), "The array has the shape (): give an array of shape (n, D) or (n,)."),
        (np.ones(3) * 1j, "The array holds values of type complex128: convert them to real numbers."),
        (torch.ones(3) * 1j, "The tensor holds values of type complex64: convert them to real numbers."),
        (np.array([1, None]), "The array holds values of type object: convert them to real numbers."),
        (np.array([[1.0, 2.0]]), "The array has one row of data: at least 2 are needed."),
        (
            torch.tensor([[1.0, 2.0], [float("nan"), 3.0]]),
            'The tensor has 1 missing cell, the first in column "x1", row 1 (counting from 0)'
            ": fill or remove such rows, or pick complete columns, as in data[:, [1]].",
        ),
        (
            np.ma.array([[1, 2], [3, 4]], mask=[[False, False], [False, True]]),
            'The array has 1 missing cell, the first in column "x2", row 1 (counting from 0): '
            "fill or remove such rows, or pick complete columns, as in data[:, [0]].",
        ),
        (
            pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
            'Column "b" of the frame holds text, for example "x" in row 0 (counting from 0): '
            "turn it into numbers, or pick numeric columns, as in data[['a']].",
        ),
        (
            pd.DataFrame({5: [1, 2], 6: [3, 3]}),
            'Column "6" of the frame has the same value, 3, in every row, so there is nothing to learn from it: '
            "leave it out, as in data[[5]].",
        ),
        (
            pd.DataFrame([[1, 2, 3], [3, 4, 5]], columns=["a", "a", "b"]),
            "The frame has 2 columns called \"a\": rename them, or pick others, as in data[['b']].",
        ),
        (pd.DataFrame(), "The frame has no columns: at least one column of numbers is needed."),
        (
            [[1, 2], [3, 4]],
            "Data of type list cannot be read: pass a name, a path, an array, a tensor, or a pandas or polars frame.",
        ),
    ],
)
def test_bad_data_in_memory_is_refused(data: object, message: str) -> None:
    assert refusal(data) == message
