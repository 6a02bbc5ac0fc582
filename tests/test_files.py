"""Files are written whole or not at all, and nowhere but where they were meant; texts are read within bounds."""

import errno
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from driftfield.errors import DriftfieldError, InputError
from driftfield.files import check_no_input, check_writable, open_regular, plain, read_text, replacing, write_atomically


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@dataclass
class Pair:
    value: float
    places: tuple[float, ...]


def test_plain_data_is_what_json_holds_and_has_null_for_what_it_does_not() -> None:
    found = {"a": np.inf, "b": Pair(float("nan"), (1.5, -np.inf)), "c": np.array([[0.1, np.nan]]), "d": np.float32(2)}
    read = {"a": None, "b": {"value": None, "places": [1.5, None]}, "c": [[0.1, None]], "d": 2.0}
    assert plain(found) == read
    assert json.loads(json.dumps(plain(found), allow_nan=False)) == read


@pytest.mark.parametrize("name", ["a" * 251 + ".csv", "a" * 255, "x." + "e" * 253, "é" * 127, "b\udcff.csv"])
def test_any_name_that_the_system_allows_can_be_written(name: str) -> None:
    write_atomically(name, b"1")
    assert Path(name).read_bytes() == b"1"
    assert [path.name for path in Path().iterdir()] == [name]


def test_a_symbolic_link_stays_and_its_target_is_replaced() -> None:
    Path("far").mkdir()
    Path("far/old.csv").write_text("old")
    Path("one.csv").symlink_to("two.csv")
    Path("two.csv").symlink_to("far/old.csv")
    Path("new.csv").symlink_to("far/new.csv")
    write_atomically("one.csv", b"1")
    write_atomically("new.csv", b"2")
    assert all(Path(name).is_symlink() for name in ("one.csv", "two.csv", "new.csv"))
    assert Path("far/old.csv").read_text() == "1"
    assert Path("far/new.csv").read_text() == "2"
    assert sorted(os.listdir("far")) == ["new.csv", "old.csv"]


def test_the_ending_of_a_link_is_that_of_the_temporary_file() -> None:
    Path("page.png").symlink_to("stored")
    with replacing("page.png") as temporary:
        assert temporary.suffix == ".png"
        temporary.write_bytes(b"1")
    assert Path("stored").read_bytes() == b"1"


def test_a_file_that_is_replaced_keeps_its_permissions() -> None:
    Path("a").write_text("old")
    Path("a").chmod(0o640)
    write_atomically("a", b"new")
    assert stat.S_IMODE(Path("a").stat().st_mode) == 0o640


def test_what_is_no_place_for_a_file_is_refused_and_left_as_it_was() -> None:
    os.mkfifo("pipe")
    Path("file").touch()
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    Path("nowhere").symlink_to("none/file")
    Path("null.csv").symlink_to("/dev/null")
    for name, message in {
        "pipe": "a pipe or a device",
        "/dev/null": "a pipe or a device",
        "null.csv": "a pipe or a device",
        "folder": "it is a folder",
        "": "it is a folder",
        "file/x": "file is a file, so choose another folder",
        "nowhere": "there is no folder .*none",
        "loop": "Too many levels",
        "a" * 256: "name too long",
        "a/" * 3_000: "name too long",
        "a\0b": "null byte",
    }.items():
        for refuse in (check_writable, lambda path: write_atomically(path, b"1")):
            with pytest.raises(InputError, match=message) as raised:
                refuse(name)
            assert str(raised.value).isprintable()
    assert sorted(os.listdir()) == ["file", "folder", "loop", "nowhere", "null.csv", "pipe"]
    assert Path("/dev/null").is_char_device()


def test_an_ending_must_be_one_of_those_allowed() -> None:
    assert check_writable("x.HTML", (".html",)) == Path("x.HTML").absolute()
    with pytest.raises(InputError, match=r"Cannot write x\.png: end its name in \.gif, \.mp4 or \.html\."):
        check_writable("x.png", (".gif", ".mp4", ".html"))


@pytest.mark.parametrize("unwritable", ["folder", "file"])
def test_a_place_without_permission_is_refused(unwritable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a").write_text("old")
    allowed = Path("a" if unwritable == "folder" else ".").absolute()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) == allowed)  # as for anyone but root
    with pytest.raises(InputError, match="not writable" if unwritable == "folder" else "read-only"):
        write_atomically("a", b"new")
    assert Path("a").read_text() == "old"


@pytest.mark.parametrize(("code", "exit_code"), [(errno.EROFS, 2), (errno.ENOENT, 2), (errno.ENOSPC, 1)])
def test_a_folder_that_takes_no_file_is_refused_before_the_work_whatever_its_permissions_say(
    code: int, exit_code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", refused)  # as for root, and in /proc
    with pytest.raises(DriftfieldError, match=r"Cannot write a\.csv \(.+\): .*choose another folder\.") as raised:
        check_writable("a.csv")
    assert raised.value.exit_code == exit_code


def test_a_place_that_can_be_written_is_left_as_it_was() -> None:
    Path("old.csv").write_text("1")
    for name in ("old.csv", "new.csv"):
        check_writable(name)
    assert os.listdir() == ["old.csv"]
    assert Path("old.csv").read_text() == "1"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="of Linux")
def test_a_file_in_proc_is_refused() -> None:
    with pytest.raises(InputError, match=r"Cannot write /proc/x\.csv"):
        check_writable("/proc/x.csv")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_is_no_fault_of_the_input_and_leaves_the_old_file(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("a").write_text("old")

    def full(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DriftfieldError, match="Cannot write a ") as raised:
        write_atomically("a", b"new")
    assert raised.value.exit_code == 1
    assert Path("a").read_text() == "old"
    assert os.listdir() == ["a"]


def test_an_output_may_not_be_an_input_under_any_name() -> None:
    Path("in.csv").write_text("1")
    os.link("in.csv", "hard.csv")
    Path("soft.csv").symlink_to("in.csv")
    Path("other.csv").write_text("1")
    for name in ("in.csv", "./in.csv", str(Path("in.csv").absolute()), "hard.csv", "soft.csv"):
        with pytest.raises(InputError, match=r"it is the file in\.csv, which is read"):
            check_no_input(name, ["none.csv", "in.csv"])
    for name in ("other.csv", "none.csv", "new.csv"):
        check_no_input(name, ["none.csv", "in.csv"])


def test_a_text_is_read_within_bounds_and_never_waited_for() -> None:
    Path("a").write_text("größe", "utf-8")
    assert read_text("a", 7) == "größe"
    os.mkfifo("pipe")
    for name, most, message in (("a", 6, "longer than 6 bytes"), ("pipe", 9, "pipe"), ("/dev/zero", 9, "device")):
        with pytest.raises(ValueError, match=message):
            read_text(name, most)
    with pytest.raises(ValueError, match="pipe"):
        open_regular("pipe")
    with pytest.raises(OSError, match="No such file"):
        read_text("none")
