"""Replacing an app's ``.env``: wholly old or wholly new, and otherwise as it was."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import struct
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from opskit.errors import (
    InputError,
    LockHeldError,
    LockLostError,
    StalePlanError,
    StepError,
)
from opskit.files import atomic
from opskit.files.atomic import staging_prefix
from opskit.steps import envfile
from opskit.steps.envfile import path_lock, replace_env
from tests.disk import Disk

OLD = b"TYPE=blog\r\n# kept\nSECRET_DB_PASSWORD_VERSION=v1 # length=32\nLAST=no newline"
NEW = OLD.replace(b"=v1", b"=v2")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    state = tmp_path / "state"
    monkeypatch.setenv("OPSKIT_STATE_DIR", str(state))
    return state


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "servers" / "coop.example"
    folder.mkdir(parents=True)
    path = folder / "blog.coop.example.env"
    path.write_bytes(OLD)
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def replace(path: Path, content: bytes = NEW, old: bytes = OLD) -> str:
    return replace_env(path, expected_sha256=sha256(old), content=content)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# -- what is kept -------------------------------------------------------------------------


def test_the_content_is_replaced_and_its_digest_given(path: Path) -> None:
    assert replace(path) == sha256(NEW)
    assert path.read_bytes() == NEW
    assert names(path.parent) == [path.name]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664, 0o2640])
def test_the_mode_is_kept(path: Path, mode: int) -> None:
    path.chmod(mode)
    replace(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
def test_owner_and_group_are_kept(path: Path) -> None:
    os.chown(path, 1234, 4321)
    path.chmod(0o640)
    replace(path)
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 4321, 0o640)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
def test_a_group_given_by_the_folder_does_not_stick(path: Path) -> None:
    os.chown(path.parent, -1, 4321)
    path.parent.chmod(0o2775)
    replace(path)
    assert path.stat().st_gid == os.getegid()


def set_attribute(path: Path, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            pytest.skip(f"this file system has no {name}")
        raise


def acl(user: int) -> bytes:
    """Let one more user read: the kernel's form of ``u::rw-,u:USER:r--,g::---,m::r--,o::---``."""
    anyone = 0xFFFFFFFF
    entries = [(1, 6, anyone), (2, 4, user), (4, 0, anyone), (16, 4, anyone), (32, 0, anyone)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def test_attributes_are_kept(path: Path) -> None:
    set_attribute(path, "user.origin", b"backup 7")
    replace(path)
    assert os.getxattr(path, "user.origin") == b"backup 7"


def test_the_access_control_list_is_kept(path: Path) -> None:
    set_attribute(path, "system.posix_acl_access", acl(1234))
    mode = path.stat().st_mode
    replace(path)
    assert os.getxattr(path, "system.posix_acl_access") == acl(1234)
    assert path.stat().st_mode == mode


def test_a_default_access_control_list_of_the_folder_gives_nobody_access(path: Path) -> None:
    set_attribute(path.parent, "system.posix_acl_default", acl(1234))
    path.chmod(0o640)
    replace(path)
    assert "system.posix_acl_access" not in os.listxattr(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


# -- links --------------------------------------------------------------------------------


def test_a_link_stays_a_link_and_its_target_is_replaced(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.env"
    link.symlink_to(os.path.relpath(path, tmp_path))
    replace(link)
    assert link.is_symlink()
    assert path.read_bytes() == NEW
    assert not path.is_symlink()


def test_a_linked_folder_is_followed(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "linked"
    folder.symlink_to(path.parent)
    replace(folder / path.name)
    assert path.read_bytes() == NEW


def test_a_link_that_leads_nowhere_is_said_to_be_gone(tmp_path: Path) -> None:
    link = tmp_path / "link.env"
    link.symlink_to("missing")
    with pytest.raises(StalePlanError, match="gone or leads nowhere"):
        replace(link)


def test_a_file_with_a_second_name_is_refused(path: Path) -> None:
    os.link(path, path.parent / "same.env")
    with pytest.raises(InputError, match="2 hard links"):
        replace(path)
    assert path.read_bytes() == OLD


# -- what is refused ----------------------------------------------------------------------


def test_a_file_that_changed_is_left_alone(path: Path) -> None:
    path.write_bytes(b"edited meanwhile")
    with pytest.raises(StalePlanError, match="changed since the plan"):
        replace(path)
    assert path.read_bytes() == b"edited meanwhile"
    assert names(path.parent) == [path.name]


def test_a_file_that_is_gone_is_not_made_again(path: Path) -> None:
    path.unlink()
    with pytest.raises(StalePlanError, match="gone"):
        replace(path)
    assert names(path.parent) == []


def test_a_pipe_is_refused_without_waiting_for_its_writer(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="not a regular file"):
        replace(path)


def test_a_read_only_file_is_left_alone_even_by_root(path: Path) -> None:
    path.chmod(0o444)
    with pytest.raises(InputError, match="read-only"):
        replace(path)
    assert path.read_bytes() == OLD


def test_a_read_only_disk_leaves_the_file_alone(disk: Disk) -> None:
    path = disk.path / "a.env"
    path.write_bytes(OLD)
    disk.make_read_only()
    with pytest.raises(InputError, match="read-only"):
        replace(path)
    assert path.read_bytes() == OLD


def test_a_full_disk_leaves_the_old_content_and_nothing_else(disk: Disk) -> None:
    path = disk.path / "a.env"
    path.write_bytes(OLD)
    disk.fill()
    with pytest.raises(StepError, match="No space left on device; the old content is in place"):
        replace(path)
    assert path.read_bytes() == OLD
    assert names(disk.path) == ["a.env", "ballast"]


def test_a_disk_that_fills_half_way_leaves_the_old_content(disk: Disk) -> None:
    path = disk.path / "a.env"
    path.write_bytes(OLD)
    with pytest.raises(StepError, match="the old content is in place"):
        replace(path, content=b"x" * 2_000_000)
    assert path.read_bytes() == OLD
    assert names(disk.path) == ["a.env"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_file_mounted_by_itself_is_left_alone(disk: Disk, path: Path) -> None:
    mounted = disk.path / "a.env"
    mounted.touch()
    subprocess.run(["mount", "--bind", path, mounted], check=True)
    try:
        with pytest.raises(StepError, match="old content is in place"):
            replace(mounted)
        assert path.read_bytes() == OLD
        assert names(disk.path) == ["a.env"]
    finally:
        subprocess.run(["umount", mounted], check=True)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
@pytest.mark.parametrize("owner", [(1234, 0), (0, 4321)], ids=["owner", "group"])
def test_who_cannot_keep_the_owner_changes_nothing(path: Path, owner: tuple[int, int]) -> None:
    os.chown(path, *owner)
    ended = run_replacement(path, "setpriv", "--bounding-set=-chown")
    assert f"belongs to user {owner[0]} and group {owner[1]}" in ended.stderr
    assert path.read_bytes() == OLD
    assert names(path.parent) == [path.name]


def run_replacement(path: Path, *wrapper: str | Path) -> subprocess.CompletedProcess[str]:
    """Replace the file in a process of its own, started through another program."""
    program = (
        "import pathlib; from opskit.steps.envfile import replace_env;"
        f"replace_env(pathlib.Path({str(path)!r}),"
        f" expected_sha256={sha256(OLD)!r}, content={NEW!r})"
    )
    command = [*wrapper, sys.executable, "-B", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# -- at the same time ---------------------------------------------------------------------


def test_the_lock_lies_outside_the_servers_folder(path: Path, state: Path) -> None:
    replace(path)
    assert names(path.parent) == [path.name]
    assert len(names(state / "locks")) == 1
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_two_links_to_one_file_share_its_lock(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link.env"
    link.symlink_to(path)
    monkeypatch.setattr(envfile, "_FILE_PATIENCE_S", 0.1)
    with path_lock(path, patience=1), pytest.raises(LockHeldError, match="another opskit"):
        replace(link)
    assert path.read_bytes() == OLD


def test_of_many_at_once_exactly_one_replaces_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each waits for all before it to sync, on a disk that may be busy.
    monkeypatch.setattr(envfile, "_FILE_PATIENCE_S", 120.0)
    told: list[str] = []

    def work(number: int) -> None:
        try:
            told.append(replace(path, content=f"by {number}".encode()))
        except StalePlanError:
            told.append("stale")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(told) == {"stale": 7, sha256(path.read_bytes()): 1}


def test_a_state_folder_that_cannot_be_made_is_named(path: Path, state: Path) -> None:
    state.write_text("a file is in its place")
    with pytest.raises(StepError, match="OPSKIT_STATE_DIR"):
        replace(path)
    assert path.read_bytes() == OLD


# -- crashes ------------------------------------------------------------------------------


def test_leftovers_of_a_killed_run_are_removed_and_others_kept(path: Path) -> None:
    mine = path.parent / f"{staging_prefix(path)}0badcafe.tmp"
    of_another_app = path.parent / f"{staging_prefix(path.with_name('b.env'))}0badcafe.tmp"
    for file in (mine, of_another_app, path.parent / "mine.tmp"):
        file.touch()
    replace(path)
    assert names(path.parent) == sorted([path.name, of_another_app.name, "mine.tmp"])


# Forks a child for each moment before and after each function that makes system calls, has it
# killed there, and looks at the folder as the next process finds it.
KILL_EVERYWHERE = f"""
import hashlib, itertools, os, pathlib, signal, sys
from opskit.steps.envfile import replace_env

OLD, NEW = {OLD!r}, {NEW!r}
path = pathlib.Path(sys.argv[1])
moments = {{OLD: 0, NEW: 0}}

def replace(old):
    replace_env(path, expected_sha256=hashlib.sha256(old).hexdigest(), content=NEW)

for moment in itertools.count():
    path.write_bytes(OLD)
    child = os.fork()
    if child == 0:
        left = moment
        def kill(frame, event, called):
            global left
            owner = type(getattr(called, "__self__", None)).__module__
            modules = {{owner, getattr(called, "__module__", "")}}
            if event.startswith("c_") and modules & {{"posix", "fcntl", "_io", "io"}}:
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
        sys.setprofile(kill)
        replace(OLD)
        sys.setprofile(None)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found = path.read_bytes()
    assert found in moments, (moment, found)
    if ended == 0:
        break
    assert ended == -signal.SIGKILL, (moment, ended)
    assert list(path.parent.glob("*.env")) == [path], moment
    moments[found] += 1
    replace(found)
    assert [file.name for file in path.parent.iterdir()] == [path.name], moment
print(moments[OLD], moments[NEW])
"""


@pytest.mark.slow
def test_killed_at_any_moment_the_file_is_wholly_old_or_wholly_new(path: Path) -> None:
    # Since 3.12 Python warns of a fork beside threads: those of NumPy and PyArrow only wait here.
    quiet = ("-W", "ignore:This process:DeprecationWarning")
    ended = subprocess.run(
        [sys.executable, *quiet, "-c", KILL_EVERYWHERE, path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.stderr == ""
    killed_before, killed_after = map(int, ended.stdout.split())
    assert killed_before > 50
    assert killed_after > 5


@pytest.fixture
def strace() -> str:
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is not installed")
    tried = subprocess.run([program, "-o", os.devnull, "true"], capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip("strace may not trace here")
    return program


@pytest.mark.slow
def test_content_is_on_the_disk_before_the_rename_and_the_rename_before_the_return(
    path: Path, tmp_path: Path, strace: str
) -> None:
    log = tmp_path / "calls"
    run_replacement(path, strace, "-y", "-e", "trace=write,fchmod,fsync,renameat2", "-o", log)
    own = [line for line in log.read_text().splitlines() if str(path.parent) in line]
    calls = [line.partition("(")[0] for line in own]
    assert calls == ["write", "fchmod", "fsync", "renameat2", "fsync"]
    assert f"<{path.parent}>" in own[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "left", "said"),
    [
        ("fchmod:error=EPERM", OLD, "Operation not permitted; the old content is in place"),
        ("fsync:error=EIO:when=1", OLD, "Input/output error; the old content is in place"),
        ("rename,renameat2:error=EROFS", OLD, "Read-only file system; the old content is in place"),
        ("fsync:error=EIO:when=2", NEW, "Input/output error; the new content is in place"),
    ],
)
def test_a_fault_of_the_disk_is_told_with_what_is_in_place(
    path: Path, tmp_path: Path, strace: str, fault: str, left: bytes, said: str
) -> None:
    # An interpreter that writes no bytecode makes none of these calls by itself.
    ended = run_replacement(path, strace, "-o", tmp_path / "calls", "-e", f"inject={fault}")
    assert said in ended.stderr
    assert path.read_bytes() == left
    assert names(path.parent) == [path.name]


def test_what_another_wrote_in_the_last_moment_is_put_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = atomic._exchange

    def late(one: Path, other: Path) -> bool:
        monkeypatch.setattr(atomic, "_exchange", exchange)
        path.write_bytes(b"LATER=yes")
        return exchange(one, other)

    monkeypatch.setattr(atomic, "_exchange", late)
    with pytest.raises(StalePlanError, match="changed since the plan"):
        replace(path)
    assert path.read_bytes() == b"LATER=yes"
    assert names(path.parent) == [path.name]


def test_where_files_cannot_be_exchanged_the_new_one_takes_the_olds_place(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    replace(path)
    assert path.read_bytes() == NEW
    assert names(path.parent) == [path.name]


@pytest.mark.parametrize("time", [1, 2])
def test_who_lost_the_lock_writes_nothing_or_says_that_it_was_written(
    path: Path, time: int
) -> None:
    asked: list[None] = []

    def fence() -> None:
        asked.append(None)
        if len(asked) == time:
            raise LockLostError("lost.")

    with pytest.raises(LockLostError, match="lost." if time == 1 else "changed at that moment"):
        replace_env(path, expected_sha256=sha256(OLD), content=NEW, fence=fence)
    assert path.read_bytes() == (OLD if time == 1 else NEW)
