"""Files are written whole or not at all, for whom they are meant."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from opskit.errors import InputError
from opskit.files.atomic import create_file, private_folder, replace_file, write_new, write_private
from tests.disk import Disk


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_private_file_is_for_its_owner_alone_whatever_was_there(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert (path.read_text(), mode(path)) == ("new", 0o600)
    assert names(tmp_path) == ["report.html"]


def test_a_private_file_in_place_of_a_link_leaves_what_the_link_leads_to(tmp_path: Path) -> None:
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "report.html"
    elsewhere.write_text("of somebody else")
    path.symlink_to(elsewhere)
    write_private(path, "new")
    assert (elsewhere.read_text(), path.read_text()) == ("of somebody else", "new")
    assert not path.is_symlink()


def test_a_name_as_long_as_can_be_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    write_private(path, b"\0\xff")
    assert path.read_bytes() == b"\0\xff"


def test_a_text_that_is_no_utf_8_is_written_with_its_bytes_named(tmp_path: Path) -> None:
    write_private(tmp_path / "a", os.fsdecode(b"caf\xe9"))
    assert (tmp_path / "a").read_text() == "caf\\udce9"


def test_a_new_file_takes_the_next_name_that_nobody_has(tmp_path: Path) -> None:
    paths = [write_new(tmp_path, "run", ".ipynb", text) for text in ("one", "two", "three")]
    assert [path.name for path in paths] == ["run.ipynb", "run-2.ipynb", "run-3.ipynb"]
    assert [path.read_text() for path in paths] == ["one", "two", "three"]
    assert {mode(path) for path in paths} == {0o600}
    assert len(names(tmp_path)) == 3


def test_creating_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(FileExistsError):
        create_file(path, b"new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_a_file_that_is_not_private_follows_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        create_file(tmp_path / "a.env", b"", mode=0o660)
    finally:
        os.umask(before)
    assert mode(tmp_path / "a.env") == 0o660 & ~umask


def test_what_is_refused_last_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def refuse() -> None:
        raise ValueError("it changed meanwhile")

    with pytest.raises(ValueError, match="meanwhile"):
        replace_file(path, b"new", like=path, before=refuse)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(disk: Disk) -> None:
    path = disk.path / "a"
    path.write_text("old")
    with pytest.raises(InputError, match="No space left on device"):
        write_private(path, b"x" * 2_000_000)
    with pytest.raises(InputError, match="No space left on device"):
        write_new(disk.path, "b", "", "x" * 2_000_000)
    assert path.read_text() == "old"
    assert names(disk.path) == ["a"]


@pytest.mark.parametrize("where", ["missing/a", "file/a", "nul\0/a"])
def test_where_nothing_can_be_written_the_path_is_named(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_private(tmp_path / where, "new")


def test_a_private_folder_is_made_once_and_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "monday"
    assert mode(private_folder(folder)) == 0o700
    folder.chmod(0o750)
    assert mode(private_folder(folder)) == 0o750
    with pytest.raises(InputError, match="cannot be written"):
        private_folder(tmp_path / "a" / "chain", parents=False)
