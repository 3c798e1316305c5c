"""Where sockets of ssh connections may lie, and what is done with those that lie there: no sshd."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from opskit.cli.app import run as opskit
from opskit.swarm import masters, sockets
from opskit.swarm.stream import Deadline

Listen = Callable[[Path], Path]
STATE = "state/ssh"
RUN = "run/opskit"


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folders of a user, whose paths are short enough for sockets in them."""
    made = Path(tempfile.mkdtemp(prefix="ok", dir="/tmp"))
    point(monkeypatch, made / "run", made / "state")
    yield made
    shutil.rmtree(made)


def point(monkeypatch: pytest.MonkeyPatch, runtime: Path, state: Path) -> None:
    runtime.mkdir(mode=0o700, exist_ok=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("OPSKIT_STATE_DIR", str(state))


def test_sockets_lie_in_the_runtime_folder(root: Path) -> None:
    assert sockets.kept_folder() == (root / RUN, "")


@pytest.mark.parametrize("name", ["a b", "50%", "$HOME", '"', "a,b#", "${x}", "a=b", "é\n"])
def test_a_path_that_ssh_reads_otherwise_is_passed_over(
    root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    point(monkeypatch, root / name, root / "state")
    assert sockets.kept_folder() == (root / STATE, "")
    point(monkeypatch, root / name, root / name / "state")
    assert sockets.kept_folder() == (None, f"ssh cannot read the path of {root}/{name}/{STATE}")


def test_a_path_with_letters_of_any_language_is_taken(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point(monkeypatch, root / "Zoë_1.2-a@b+c", root / "state")
    assert sockets.kept_folder()[0] == root / "Zoë_1.2-a@b+c" / "opskit"


@pytest.mark.parametrize(
    ("mode", "fault"), [(0o700, ""), (0o750, "others have rights"), (0o701, "others have rights")]
)
def test_a_folder_is_the_users_alone(root: Path, mode: int, fault: str) -> None:
    folder = root / "folder"
    folder.mkdir()
    folder.chmod(mode)
    assert sockets._unfit(folder).startswith(fault)
    assert bool(sockets._unfit(folder)) == bool(fault)


def test_a_link_a_file_and_a_long_path_are_no_folders_of_the_users(root: Path) -> None:
    (root / "link").symlink_to(root / "run")
    (root / "file").touch(mode=0o600)
    for name in ("link", "file"):
        assert sockets._unfit(root / name) == f"{root}/{name} is no folder of yours"
    assert "too long for a socket" in sockets._unfit(root / ("x" * 100))


def test_where_no_socket_can_be_made_none_is_kept(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    (root / STATE).mkdir(parents=True, mode=0o700)
    (root / RUN).mkdir(mode=0o700)
    # As on file systems without hard links, such as VirtualBox's.
    monkeypatch.setattr(os, "link", refuse)
    assert sockets.make_folder() is None
    assert sockets.kept_folder() == (
        None,
        f"no socket can be made in {root}/{RUN} (Operation not permitted)",
    )
    assert not [*(root / RUN).iterdir()]


def test_a_folder_that_takes_sockets_is_left_as_it_was(root: Path) -> None:
    assert sockets.make_folder() == root / RUN
    assert sockets.kept_folder() == (root / RUN, "")
    assert not [*(root / RUN).iterdir()]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Let something listen at a socket, as a master does that hangs."""
    with ExitStack() as opened:

        def start(control: Path) -> Path:
            control.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
            sock = opened.enter_context(socket.socket(socket.AF_UNIX))
            sock.bind(str(control))
            sock.listen(0)
            return control

        yield start


def install_ssh(root: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this for ``ssh``; `$control` is the socket that it is called for."""
    program = root / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ncontrol="${{2#ControlPath=}}"\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


OBEY = 'rm "$control"'
"""What a master that ends comes to."""


def test_disconnecting_counts_what_has_ended(
    root: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install_ssh(root, OBEY, monkeypatch)
    listen(root / RUN / "one")
    listen(root / STATE / "two")
    assert opskit(["disconnect"]) == 0
    assert capsys.readouterr().out == "2 ssh connections ended.\n"
    assert opskit(["disconnect"]) == 0
    assert capsys.readouterr().out == "No ssh connections ended.\n"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("exec sleep 60", id="a master that hangs"),
        pytest.param("exit 255", id="a faulty configuration"),
        pytest.param(f'test "${{control##*/}}" != stubborn || exit 255\n{OBEY}', id="one of two"),
    ],
)
def test_disconnecting_names_what_goes_on_all_the_same(
    root: Path,
    script: str,
    listen: Listen,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(masters, "_ANSWER_S", 0.3)
    install_ssh(root, script, monkeypatch)
    stubborn = listen(root / RUN / "stubborn")
    others = [listen(root / RUN / "other")] if OBEY in script else []

    assert opskit(["disconnect"]) == 1
    said = capsys.readouterr()
    assert said.out == f"{len(others) or 'No'} ssh connection{'' if others else 's'} ended.\n"
    assert f"1 would not end: ssh still listens at {stubborn}. " in said.err
    assert "ss -xlp | grep -e stubborn" in said.err


def test_a_master_that_takes_no_more_callers_is_there_all_the_same(
    root: Path, listen: Listen
) -> None:
    control = listen(root / "master")
    with ExitStack() as opened:
        for _ in range(4):
            caller = opened.enter_context(socket.socket(socket.AF_UNIX))
            caller.setblocking(False)
            caller.connect_ex(str(control))
        assert masters._listens(control)


def way(control: Path) -> masters.Way:
    return masters.Way(options=(), control=control, master=masters._master(control))


def test_two_that_find_a_master_dead_leave_the_new_one_alone(
    root: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_ssh(root, OBEY, monkeypatch)
    control = listen(root / RUN / "master")
    first, second = way(control), way(control)
    first.retire()
    assert not control.exists()

    listen(control)
    second.retire()
    assert masters._listens(control)


def test_a_master_is_not_retired_while_another_process_makes_or_retires_one(
    root: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masters, "_ANSWER_S", 0.3)
    install_ssh(root, OBEY, monkeypatch)
    control = listen(root / RUN / "master")
    found = way(control)
    with control.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found.retire()
        assert masters._listens(control)
    found.retire()
    assert not control.exists()


def test_agents_that_one_link_leads_to_by_turns_are_two(
    root: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = root / "agent"
    monkeypatch.setenv("SSH_AUTH_SOCK", str(link))
    link.symlink_to(listen(root / "hers"))
    hers = masters._agent()
    assert masters._agent() == hers
    link.unlink()
    link.symlink_to(listen(root / "his"))
    assert masters._agent() != hers


def test_agents_that_come_by_turns_to_one_place_are_two(
    root: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = listen(root / "agent")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    before = masters._agent()
    agent.unlink()
    listen(agent)
    assert masters._agent() != before


def test_without_a_runtime_folder_by_name_the_users_own_is_found(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(sockets, "_RUNTIME", root)
    assert sockets.kept_folder()[0] == root / STATE
    (root / str(os.geteuid())).mkdir(mode=0o700)
    assert sockets.kept_folder()[0] == root / str(os.geteuid()) / "opskit"


def leave(folder: Path, name: str, *, days: int) -> Path:
    """Leave what a master does that was killed so long ago: its socket, and the lock beside it."""
    control, lock = folder / name, folder / f"{name}.lock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(control))
    lock.touch()
    os.utime(lock, (time.time() - days * 86_400,) * 2)
    return control


def test_what_masters_left_long_ago_is_swept_and_nothing_else(root: Path, listen: Listen) -> None:
    folder, key = root / "run", masters._machine_key()
    leave(folder, f"{key}-ended", days=2)
    recent = leave(folder, f"{key}-recent", days=0)
    elsewhere = leave(folder, "of another machine", days=2)
    used = leave(folder, f"{key}-used", days=2)
    used.unlink()
    listen(used)
    begun = leave(folder, f"{key}-begun", days=2)
    with begun.with_suffix(".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        masters._sweep(folder)

    left = {one.name.removesuffix(".lock") for one in folder.iterdir()}
    assert left == {one.name for one in (recent, elsewhere, used, begun)}


def test_a_lock_that_is_taken_is_not_old(root: Path) -> None:
    control = leave(root / "run", f"{masters._machine_key()}-old", days=2)
    lock = control.with_suffix(".lock")
    with masters._turn(lock, Deadline(60)) as is_first:
        assert is_first
    masters._sweep(root / "run")
    assert lock.exists()
