"""Where state is kept, and what an operator may set."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest

from opskit.errors import InputError
from opskit.settings import Settings, journal_path, read_settings, state_dir


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def write(environ: dict[str, str], content: bytes) -> Path:
    path = Path(environ["XDG_CONFIG_HOME"]) / "opskit" / "config.toml"
    path.parent.mkdir()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Path.home() / ".local/state/opskit"),
        ({"XDG_STATE_HOME": "/var/lib/me"}, Path("/var/lib/me/opskit")),
        ({"XDG_STATE_HOME": "relative"}, Path.home() / ".local/state/opskit"),
        ({"XDG_STATE_HOME": "/x", "OPSKIT_STATE_DIR": "/srv/state"}, Path("/srv/state")),
        ({"OPSKIT_STATE_DIR": "~/state"}, Path.home() / "state"),
        ({"OPSKIT_STATE_DIR": "state"}, Path.cwd() / "state"),
        ({"OPSKIT_STATE_DIR": ""}, Path.home() / ".local/state/opskit"),
    ],
)
def test_state_is_where_the_environment_says(environ: dict[str, str], expected: Path) -> None:
    assert state_dir(environ) == expected
    assert journal_path(environ).parent == expected


def test_without_a_file_the_defaults_hold(environ: dict[str, str]) -> None:
    assert read_settings(environ) == Settings()


def test_a_file_changes_what_it_names(environ: dict[str, str]) -> None:
    write(environ, b'deadline = 30\nkeep = 0\n[hooks]\nwordpress = "mariadb"\n')
    settings = read_settings(environ)
    assert settings == Settings(deadline=30.0, keep=0, hooks={"wordpress": "mariadb"})


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"deadlin = 1", "unknown field `deadlin`"),
        (b"deadline = 0", "`float` > 0.0"),
        (b'deadline = "15 s"', "got `str`"),
        (b"watch_period = 0.9", ">= 1.0"),
        (b"max_parallel = 0", ">= 1"),
        (b'deploy = "magic"', "'magic'"),
        (b"keep = ", "Invalid value"),
        (b"# caf\xe9", "decode"),
    ],
)
def test_a_mistake_is_told_with_the_file_and_the_known_keys(
    environ: dict[str, str], content: bytes, what: str
) -> None:
    path = write(environ, content)
    with pytest.raises(InputError) as caught:
        read_settings(environ)
    assert str(caught.value).startswith(f"{path}: ")
    assert what in str(caught.value)
    assert "Known keys: deadline, reply_limit" in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(environ: dict[str, str]) -> None:
    path = Path(environ["XDG_CONFIG_HOME"]) / "opskit" / "config.toml"
    path.mkdir(parents=True)
    with pytest.raises(InputError, match="no regular file"):
        read_settings(environ)


def user(name: str, gid: int) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", os.geteuid(), gid, "", "/", "/bin/sh"))


OWN = 4242
KIM, SOL = user("kim", OWN), user("sol", 100)


@pytest.mark.parametrize(
    ("gid", "members", "users", "mode", "is_followed"),
    [
        (OWN, [], [KIM, SOL], 0o664, True),
        (OWN, ["kim"], [KIM, SOL], 0o664, True),
        (OWN, [], [], 0o664, True),
        (OWN, ["kim", "sol"], [KIM, SOL], 0o664, False),
        (OWN, [], [KIM, user("sol", OWN)], 0o664, False),
        (100, ["kim"], [KIM], 0o664, False),
        (OWN, [], [KIM], 0o666, False),
        (OWN, ["sol"], [KIM, SOL], 0o644, True),
    ],
)
def test_only_the_owner_s_own_group_may_write_to_the_file(
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    gid: int,
    members: list[str],
    users: list[pwd.struct_passwd],
    mode: int,
    is_followed: bool,
) -> None:
    path = write(environ, b"keep = 3\n")
    path.chmod(mode)
    status = list(path.stat())
    status[5] = gid
    monkeypatch.setattr(Path, "stat", lambda _: os.stat_result(status))
    monkeypatch.setattr(pwd, "getpwuid", lambda _: KIM)
    monkeypatch.setattr(pwd, "getpwall", lambda: users)
    monkeypatch.setattr(grp, "getgrgid", lambda of: grp.struct_group(("g", "x", of, members)))
    if is_followed:
        assert read_settings(environ).keep == 3
    else:
        with pytest.raises(InputError, match="others may write to it"):
            read_settings(environ)
