"""Where sockets of ssh connections may lie, and what is done with those that lie there: no sshd."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from opskit.swarm import masters

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
    assert masters.kept_folder() == (root / RUN, "")


@pytest.mark.parametrize("name", ["a b", "50%", "$HOME", '"', "a,b#", "${x}", "a=b", "é\n"])
def test_a_path_that_ssh_reads_otherwise_is_passed_over(
    root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    point(monkeypatch, root / name, root / "state")
    assert masters.kept_folder() == (root / STATE, "")
    point(monkeypatch, root / name, root / name / "state")
    assert masters.kept_folder() == (None, f"ssh cannot read the path of {root}/{name}/{STATE}")


def test_a_path_with_letters_of_any_language_is_taken(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point(monkeypatch, root / "Zoë_1.2-a@b+c", root / "state")
    assert masters.kept_folder()[0] == root / "Zoë_1.2-a@b+c" / "opskit"


@pytest.mark.parametrize(
    ("mode", "fault"), [(0o700, ""), (0o750, "others have rights"), (0o701, "others have rights")]
)
def test_a_folder_is_the_users_alone(root: Path, mode: int, fault: str) -> None:
    folder = root / "folder"
    folder.mkdir()
    folder.chmod(mode)
    assert masters._unfit(folder).startswith(fault)
    assert bool(masters._unfit(folder)) == bool(fault)


def test_a_link_a_file_and_a_long_path_are_no_folders_of_the_users(root: Path) -> None:
    (root / "link").symlink_to(root / "run")
    (root / "file").touch(mode=0o600)
    for name in ("link", "file"):
        assert masters._unfit(root / name) == f"{root}/{name} is no folder of yours"
    assert "too long for a socket" in masters._unfit(root / ("x" * 100))


def test_where_no_socket_can_be_made_none_is_kept(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    (root / STATE).mkdir(parents=True, mode=0o700)
    (root / RUN).mkdir(mode=0o700)
    # As on file systems without hard links, such as VirtualBox's.
    monkeypatch.setattr(os, "link", refuse)
    assert not masters._is_made(root / RUN)
    assert masters.kept_folder() == (
        None,
        f"no socket can be made in {root}/{RUN} (Operation not permitted)",
    )
    assert not [*(root / RUN).iterdir()]


def test_a_folder_that_takes_sockets_is_left_as_it_was(root: Path) -> None:
    assert masters._is_made(root / RUN)
    assert masters.kept_folder() == (root / RUN, "")
    assert not [*(root / RUN).iterdir()]
