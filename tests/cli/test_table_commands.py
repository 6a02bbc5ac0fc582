"""Tables with text and missing cells on the command line: fit, sample --given, impute, score --given, outliers."""

import json
from pathlib import Path

import polars as pl
import pytest
from command import Run, run_here

HEAD = "kind,colour,height,n\n"
# A moment of training, and densities whose last digits nobody reads.
FIT = ["-o", "run", "--steps", "20", "-q", "--set", "network.width=16", "--set", "likelihood.steps=8"]
REPORT = ["report", "run", "-o", "report.html", "--theme", "light"]  # each figure once


@pytest.fixture(scope="module")
def table() -> str:
    lines = []
    for i in range(200):
        kind = "cat" if i % 2 else "dog"
        colour = "" if i % 11 == 0 else ("red, dark" if (i // 3) % 2 else "blue")
        height = "NA" if i % 13 == 0 else f"{(-2 if i % 2 else 2) + (i % 7) / 10:.1f}"
        lines.append(f'{kind},"{colour}",{height},{10 + (i * 7) % 31}\n')
    return HEAD + "".join(lines)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, table: str) -> Path:
    folder = tmp_path_factory.mktemp("table")
    (folder / "t.csv").write_text(table)
    done = run_here("fit", "t.csv", *FIT, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_rows_are_drawn_given_some_cells(driftfield: Run, run: Path) -> None:
    done = driftfield("sample", "run", "-n", "5", "--given", "colour=red, dark,n=17", "-q")
    frame = pl.read_csv(done.stdout.encode())
    assert frame.columns == ["kind", "colour", "height", "n"]
    assert set(frame["colour"]) == {"red, dark"}
    assert set(frame["n"]) == {17}
    assert frame["kind"].null_count() == frame["height"].null_count() == 0


def test_rows_of_a_file_are_completed_so_often_each(driftfield: Run, run: Path, tmp_path: Path) -> None:
    (tmp_path / "given.csv").write_text("height,kind\n-1.5,\n,dog\n")
    done = driftfield("sample", "run", "-n", "3", "--given-file", "given.csv", "--given", "n=12", "-o", "out.csv", "-q")
    assert done.returncode == 0, done.stderr
    frame = pl.read_csv(tmp_path / "out.csv")
    assert frame["row"].to_list() == [1, 1, 1, 2, 2, 2]
    assert frame["height"][:3].to_list() == [-1.5] * 3
    assert frame["kind"][3:].to_list() == ["dog"] * 3
    assert set(frame["n"]) == {12}


@pytest.mark.parametrize("source", [("run", "t.csv"), ("t.csv", "--set", "train.steps=20")], ids=["run", "file"])
def test_holes_are_filled_and_the_rest_stays(driftfield: Run, run: Path, tmp_path: Path, source: tuple[str]) -> None:
    done = driftfield("impute", *source, "-o", "full.csv", "-q")
    assert done.returncode == 0, done.stderr
    before, after = pl.read_csv(tmp_path / "t.csv", null_values=["NA", ""]), pl.read_csv(tmp_path / "full.csv")
    assert after.null_count().sum_horizontal().item() == 0
    for name in before.columns:
        there = before[name].is_not_null()
        assert after[name].filter(there).to_list() == before[name].filter(there).to_list()


def test_several_draws_are_numbered_and_a_point_is_one_table(driftfield: Run, run: Path) -> None:
    draws = pl.read_csv(driftfield("impute", "run", "t.csv", "--draws", "2", "-q").stdout.encode())
    assert draws["draw"].to_list() == [1] * 200 + [2] * 200
    point = pl.read_csv(driftfield("impute", "run", "t.csv", "--point", "-q").stdout.encode())
    assert point.shape == (200, 4)
    assert set(point["colour"]) == {"red, dark", "blue"}


def test_conditional_scores(driftfield: Run, run: Path) -> None:
    whole = json.loads(driftfield("score", "run", "t.csv", "--json", "-q").stdout)
    assert whole["rows"] == 200
    parts = [
        json.loads(driftfield("score", "run", "t.csv", "--json", "-q", *flags).stdout)["mean_log_density"]
        for flags in (["--of", "kind,colour"], ["--given", "kind,colour"])
    ]
    assert whole["mean_log_density"] == pytest.approx(sum(parts), abs=1e-5)


def test_outliers_are_ranked_and_name_a_cell(driftfield: Run, run: Path, tmp_path: Path, table: str) -> None:
    (tmp_path / "odd.csv").write_text(table + "cat,blue,60.0,12\n")
    found = pl.read_csv(driftfield("outliers", "run", "odd.csv", "-n", "3", "-q").stdout.encode())
    assert found["row"][0] == 201
    assert found["cell"][0] == "height"
    assert found["surprise"].is_sorted(descending=True)
    assert len(found) == 3


def test_a_table_is_verified_and_its_report_says_so(driftfield: Run, run: Path) -> None:
    done = driftfield("verify", "run", "--rows", "100", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == any(
        check["status"] == "fail" for check in checks.values()
    )  # after 20 steps some may fail
    assert {checks[name]["status"] for name in ("units", "sums", "masses")} == {"pass"}
    assert "no latent codes" in checks["latents"]["reason"]
    done = driftfield("report", "run", "--rows", "100", "--theme", "light")
    assert done.returncode == 0, done.stderr
    page = (run / "report.html").read_text()
    assert "Conditionals against ratios of joints" in page
    assert "Do probabilities and masses sum to 1" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sample", "run", "-n", "2", "--given", "kind=cow"], ["value of kind", "cow"]),
        (["sample", "run", "-n", "2", "--given", "nothing"], ["--given nothing", "column=value"]),
        (["sample", "run", "-n", "2", "--given", "kind=cat", "-o", "out.npy"], ["numbers alone", "kind"]),
        (["impute", "run"], ["Name the file"]),
        (["impute", "run", "t.csv", "--point", "--draws", "3"], ["--point", "--draws"]),
        (["impute", "run", "t.csv", "-o", "t.csv"], ["t.csv"]),
        (["score", "run", "t.csv", "--given", "kind", "--of", "kind"], ['"kind" is both']),
        (["score", "run", "t.csv", "--of", "size"], ["column", "size"]),
        (["score", "run", "t.csv", "--noise", "0.1"], ["density of a table"]),
        (["animate", "run", "-o", "a.gif"], ["no path between noise and data"]),
        (["score", "run", "t.csv", "--bound"], ["no bound"]),
        (["score", "run", "t.csv", "--latent"], ["no latent code"]),
        (["sample", "run", "-n", "2", "--guidance", "2"], ["Guidance needs a model with classes"]),
        (["sample", "run", "-n", "2", "--class", "cat"], ["no classes", "cat", "given"]),
    ],
)
def test_bad_input_is_refused(driftfield: Run, run: Path, arguments: list[str], words: list[str]) -> None:
    done = driftfield(*arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_what_is_left_out_is_said(driftfield: Run, tmp_path: Path, table: str) -> None:
    lines = table.splitlines()
    text = "\n".join(f"{line},{'id,one' if not i else f'row {i},5'}" for i, line in enumerate(lines))
    (tmp_path / "ids.csv").write_text(text + "\n")
    done = driftfield("fit", "ids.csv", "-o", "ids", "--steps", "2", "-q")
    assert done.returncode == 0, done.stderr
    assert '"id" has 200 different texts' in done.stderr
    assert '"one" has one value, 5,' in done.stderr
    assert driftfield("sample", "ids", "-n", "1", "-q").stdout.splitlines()[0] == "kind,colour,height,n"


def test_the_kind_of_a_column_is_shown_and_can_be_changed(driftfield: Run, tmp_path: Path, table: str) -> None:
    (tmp_path / "t.csv").write_text(table)
    found = {column["name"]: column for column in json.loads(driftfield("data", "t.csv", "--json").stdout)["columns"]}
    assert found["kind"]["kind"] == "category"
    assert found["n"]["kind"] == "whole number"
    setting = ["--set", "columns.n.kind=number", "--set", "columns.n.low=0"]
    done = driftfield("fit", "t.csv", "-o", "run", "--steps", "2", "-q", *setting)
    assert done.returncode == 0, done.stderr
    assert '[columns."n"]\nkind = "number"\nlow = 0.0\n' in (tmp_path / "run" / "recipe.toml").read_text()
    again = driftfield("fit", "t.csv", "-o", "again", "--steps", "2", "-q", "-r", "run/recipe.toml")
    assert again.returncode == 0, again.stderr
    for wrong, word in (("columns.n=3", "takes keys"), ("columns.n.kinds=x", "kind"), ("columns.m.kind=number", "m")):
        done = driftfield("fit", "t.csv", "-o", "no", "--steps", "2", "-q", "--set", wrong)
        assert done.returncode == 2
        assert word in done.stderr


def test_dates_are_shown_given_filled_and_written_as_dates(driftfield: Run, tmp_path: Path) -> None:
    lines = [
        f"{'' if i % 9 == 0 else f'{1 + i % 28:02d}.{1 + i % 12:02d}.2023'},{i % 24:02d}:{i % 60:02d}"
        for i in range(200)
    ]
    (tmp_path / "d.csv").write_text("when,at\n" + "\n".join(lines) + "\n")
    shown = driftfield("data", "d.csv")
    assert "01.01.2023" in shown.stdout
    assert "time of day" in shown.stdout
    found = json.loads(driftfield("data", "d.csv", "--json").stdout)["columns"][0]
    assert (found["kind"], found["max"]) == ("date", "28.12.2023")
    done = driftfield("fit", "d.csv", *FIT)
    assert done.returncode == 0, done.stderr
    full = pl.read_csv(driftfield("impute", "run", "d.csv", "-q").stdout.encode())
    assert full["when"].str.to_date("%d.%m.%Y", strict=True).null_count() == 0
    given = pl.read_csv(driftfield("sample", "run", "-n", "2", "--given", "when=29.02.2024", "-q").stdout.encode())
    assert given["when"].to_list() == ["29.02.2024"] * 2
    for wrong in ("30.02.2024", "7"):
        done = driftfield("sample", "run", "-n", "2", "--given", f"when={wrong}")
        assert done.returncode == 2
        assert f"must be a date like 01.05.2024, got {wrong}" in done.stderr
    done = driftfield("sample", "run", "-n", "2", "-o", "out.npy", "-q")
    assert done.returncode == 2
    odd = driftfield("outliers", "run", "d.csv", "-n", "1", "-q").stdout.splitlines()[1]
    assert ".2023," in odd
    assert driftfield(*REPORT).returncode == 0


def test_holes_that_are_modelled_are_drawn_given_and_filled(driftfield: Run, tmp_path: Path, table: str) -> None:
    (tmp_path / "t.csv").write_text(table)
    setting = ["--set", 'columns."*".missing=model']
    found = json.loads(driftfield("data", "t.csv", "--json", *setting).stdout)["columns"]
    assert [column["kind"] for column in found] == [
        "category",
        "category or empty",
        "number or empty",
        "whole number",
    ]
    done = driftfield("fit", "t.csv", *FIT, *setting)
    assert done.returncode == 0, done.stderr
    drawn = pl.read_csv(driftfield("sample", "run", "-n", "400", "-q").stdout.encode())
    assert all(drawn[name].null_count() > 0 for name in ("colour", "height"))
    given = pl.read_csv(driftfield("sample", "run", "-n", "9", "--given", "height=,colour=blue", "-q").stdout.encode())
    assert given["height"].null_count() == 9
    (tmp_path / "given.csv").write_text("kind\ncat\n")
    rows = pl.read_csv(driftfield("sample", "run", "-n", "400", "--given-file", "given.csv", "-q").stdout.encode())
    assert rows["height"].null_count() > 0
    full = pl.read_csv(driftfield("impute", "run", "t.csv", "-q").stdout.encode())
    assert full.null_count().sum_horizontal().item() == 0
    whole, some = (
        json.loads(driftfield("score", "run", file, "--json", "-q").stdout)["mean_log_density"]
        for file in ("t.csv", "t.csv:kind,n")
    )
    assert whole < some  # by the columns that are not there
    odd = driftfield("outliers", "run", "given.csv", "-n", "1", "-q")
    assert odd.stdout.splitlines()[1].endswith(",cat,,,,kind")


def test_angles_are_shown_drawn_and_given_within_their_period(driftfield: Run, tmp_path: Path) -> None:
    lines = [f"{'' if i % 11 == 0 else (350 + 7 * i % 40) % 360},{i % 17 / 4},{'ab'[i % 2]}" for i in range(200)]
    (tmp_path / "w.csv").write_text("direction,speed,kind\n" + "\n".join(lines) + "\n")
    setting = ["--set", "columns.direction.kind=angle", "--set", "columns.direction.period=360"]
    found = json.loads(driftfield("data", "w.csv", "--json", *setting).stdout)["columns"]
    assert found[0]["kind"] == "angle"
    done = driftfield("fit", "w.csv", *FIT, *setting)
    assert done.returncode == 0, done.stderr
    assert 'kind = "angle"\nlow = 0.0\nperiod' not in (tmp_path / "run" / "recipe.toml").read_text()
    for command in (["sample", "run", "-n", "300"], ["impute", "run", "w.csv"], ["impute", "run", "w.csv", "--point"]):
        rows = pl.read_csv(driftfield(*command, "-q").stdout.encode())
        assert rows["direction"].is_between(0, 360, closed="left").all()
    given = driftfield("sample", "run", "-n", "2", "--given", "direction=359.5", "-q")
    assert pl.read_csv(given.stdout.encode())["direction"].to_list() == [359.5] * 2
    for command in ("score", "outliers"):
        assert driftfield(command, "run", "w.csv", "-q").returncode == 0
    assert driftfield(*REPORT).returncode == 0
    done = driftfield("fit", "w.csv", "-o", "x", "--set", "columns.direction.kind=angle")
    assert done.returncode == 2
    assert "columns.direction.period" in done.stderr


def test_rules_hold_in_what_is_drawn_and_filled(driftfield: Run, tmp_path: Path) -> None:
    lines = [f"{i % 9},{i % 9 + i % 5},{'' if i % 7 == 0 else i % 11 / 10},{i % 13 / 10}" for i in range(200)]
    lines = [f"{line},{i % 11 / 10 + i % 13 / 10:.1f}" for i, line in enumerate(lines)]
    (tmp_path / "r.csv").write_text("start,end,net,tax,total\n" + "\n".join(lines) + "\n")
    setting = ["--set", "rules.hold=start <= end; total = net + tax"]
    assert "In every row: start <= end" in driftfield("data", "r.csv", *setting).stdout
    done = driftfield("fit", "r.csv", *FIT, *setting)
    assert done.returncode == 0, done.stderr
    assert "samples break the rule" not in done.stderr
    assert 'hold = ["start <= end", "total = net + tax"]' in (tmp_path / "run" / "recipe.toml").read_text()
    for command in (["sample", "run", "-n", "200"], ["impute", "run", "r.csv"], ["impute", "run", "r.csv", "--point"]):
        found = pl.read_csv(driftfield(*command, "-q").stdout.encode())
        assert (found["start"] <= found["end"]).all()
        assert (found["total"] - found["net"] - found["tax"]).abs().max() < 1e-9
    for command in ("score", "outliers"):
        assert driftfield(command, "run", "r.csv", "-q").returncode == 0
    assert driftfield(*REPORT).returncode == 0
    broken = ["start,end,net,tax,total", lines[0], "3,2,1,1,2", *lines[2:]]
    (tmp_path / "broken.csv").write_text("\n".join(broken) + "\n")
    for arguments, words in (
        (["sample", "run", "-n", "3", "--given", "end=3"], ["Row 1 has", '"end"', '"start <= end"']),
        (["score", "run", "broken.csv"], ['Row 2 breaks the rule "start <= end", with start = 3, end = 2']),
        (["fit", "broken.csv", "-o", "x", *setting], ["Row 2 of broken.csv breaks the rule"]),
        (["fit", "r.csv", "-o", "x", "--set", "rules.hold=a = b"], ["column of a rule", '"a"']),
        (["fit", "r.csv", "-o", "x", "--set", "rules.holds=a = b"], ["rules.holds"]),
    ):
        done = driftfield(*arguments)
        assert done.returncode == 2
        for word in words:
            assert word in done.stderr
