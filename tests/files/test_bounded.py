"""Files that are none, that never end, or that are far larger than they look."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import opskit
from opskit.errors import InputError
from opskit.files.bounded import read_regular, unzipped
from opskit.settings import read_settings

MIB = 1024**2


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_a_file_may_have_as_many_bytes_as_are_allowed_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(MIB))
    assert read_regular(path, MIB) == bytes(MIB)
    path.write_bytes(bytes(MIB + 1))
    with pytest.raises(InputError, match="larger than 1 MiB"):
        read_regular(path, MIB)


@pytest.mark.parametrize("path", [Path("/dev/zero"), Path("/dev/null"), Path("/proc")])
def test_what_is_no_file_is_not_read(path: Path) -> None:
    with pytest.raises(InputError, match="no regular file"):
        read_regular(path, MIB)


def test_a_fifo_is_not_waited_for(fifo: Path) -> None:
    with pytest.raises(InputError, match="no regular file"):
        read_regular(fifo, MIB)


def test_what_was_zipped_is_unzipped_up_to_its_limit() -> None:
    assert unzipped(gzip.compress(bytes(3 * MIB)), 3 * MIB) == bytes(3 * MIB)
    assert unzipped(gzip.compress(bytes(3 * MIB)), 3 * MIB - 1) is None
    with pytest.raises(EOFError):
        unzipped(gzip.compress(os.urandom(1000))[:-20], MIB)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: gzip.compress(bytes(300 * MIB)), "unpacks to more than 256 MiB"),
        (lambda: gzip.compress(b"[" * 500_000), "no(t a)? whole opskit snapshot"),
        (lambda: b"PK\3\4", "not a whole opskit snapshot"),
    ],
    ids=["a bomb", "brackets", "a zip file"],
)
def test_a_snapshot_that_is_none_is_refused_in_one_sentence(
    tmp_path: Path, made: Callable[[], bytes], said: str
) -> None:
    path = tmp_path / "monday.opskit"
    path.write_bytes(made())
    with pytest.raises(InputError, match=said):
        opskit.Snapshot.load(path)


def test_a_snapshot_that_never_ends_is_refused(fifo: Path) -> None:
    for path in (fifo, Path("/dev/zero")):
        with pytest.raises(InputError, match="no regular file"):
            opskit.Snapshot.load(path)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "opskit").mkdir()
    path = tmp_path / "opskit" / "config.toml"
    path.write_text("keep = 2\n")
    path.chmod(0o644)
    return path


@pytest.mark.parametrize("mode", [0o666, 0o646, 0o602])
def test_settings_that_others_may_write_are_not_followed(config: Path, mode: int) -> None:
    assert read_settings(os.environ).keep == 2
    config.chmod(mode)
    with pytest.raises(InputError, match=r"config\.toml: others may write to it.*chmod go-w"):
        read_settings(os.environ)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_settings_of_somebody_else_are_not_followed(config: Path) -> None:
    os.chown(config, 65534, -1)
    with pytest.raises(InputError, match="belongs to somebody else"):
        read_settings(os.environ)


@pytest.mark.parametrize("seconds", ["1e308", "1e7", "inf", "nan", "-1", "0"])
def test_a_deadline_that_is_no_wish_of_anybodys_is_refused(config: Path, seconds: str) -> None:
    config.write_text(f"deadline = {seconds}\n")
    with pytest.raises(InputError, match="deadline"):
        read_settings(os.environ)


def test_a_setting_that_is_a_device_is_refused(config: Path) -> None:
    config.unlink()
    config.symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"no regular file|others may write to it"):
        read_settings(os.environ)
