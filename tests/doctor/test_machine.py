"""What a check-up says of this machine: each fault with the one command that mends it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opskit.demo.fleet import write_contexts
from opskit.doctor.examine import examine
from opskit.errors import InputError
from opskit.secrets.passstore import PassStore
from opskit.settings import journal_path, state_dir

Rows = Callable[..., dict[str, Any]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A newcomer's home: nothing is there."""
    home = tmp_path / "home"
    home.mkdir()
    names = ("ABRA_DIR", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "OPSKIT_STATE_DIR")
    for name in (*names, "XDG_STATE_HOME", "XDG_CONFIG_HOME", "PASSWORD_STORE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def rows(home: Path) -> Rows:
    """Look at this machine, and give the rows by what was looked at."""

    def look(check: str) -> Any:
        found = [row for row in examine().records() if row.check == check]
        return found[-1]

    return look


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Leave only these programs in the search path."""

    def leave(*names: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).symlink_to(str(shutil.which(name)))
        monkeypatch.setenv("PATH", str(folder))
        return folder

    return leave


def program(path: Path, says: str) -> None:
    path.write_text(f"#!/bin/sh\necho {shlex.quote(says)}\n")
    path.chmod(0o755)


def test_without_anything_the_first_step_is_a_folder_for_a_server(rows: Rows, home: Path) -> None:
    row = rows("abra's folder")
    assert row.state == "mend"
    assert row.what == f"{home}/.abra has no servers/ folder."
    assert row.remedy.endswith(f": mkdir -p {home}/.abra/servers/SERVER")


def test_the_first_server_is_named_as_a_docker_context_that_is_there(
    rows: Rows, home: Path
) -> None:
    write_contexts(home / ".docker", {"coop.example": "ssh://coop.example"})
    assert rows("abra's folder").remedy.endswith(f"mkdir -p {home}/.abra/servers/coop.example")


def test_where_abra_is_installed_it_makes_the_first_server(
    rows: Rows, only: Callable[..., Path], home: Path
) -> None:
    program(only("git") / "abra", "abra 0.13")
    (home / ".abra" / "servers").mkdir(parents=True)
    row = rows("abra's folder")
    assert "has no server in it" in row.what
    assert row.remedy == "Let abra make it: abra server add SERVER"


def test_a_variable_that_leads_elsewhere_is_named(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABRA_DIR", str(tmp_path))
    assert rows("abra's folder").remedy.endswith("unset ABRA_DIR")


def test_a_recipe_that_apps_name_and_nobody_fetched_is_cloned(rows: Rows, home: Path) -> None:
    server = home / ".abra" / "servers" / "coop.example"
    server.mkdir(parents=True)
    (server / "pad.coop.example.env").write_text("TYPE=hedgedoc:1.0.0\n")
    row = rows("recipes")
    assert row.state == "mend"
    assert row.remedy == (
        "Fetch it: git clone https://git.coopcloud.tech/coop-cloud/hedgedoc.git "
        f"{home}/.abra/recipes/hedgedoc"
    )
    (home / ".abra" / "recipes" / "hedgedoc").mkdir(parents=True)
    assert rows("recipes").state == "well"


@pytest.mark.parametrize("recipe", ["hedgedoc", "https://bot:s3cr3t-t0ken@git.example/hedgedoc"])
@pytest.mark.parametrize("login", ["bot:s3cr3t-t0ken", "s3cr3t-t0ken"])
def test_a_token_in_a_recipe_s_address_is_shown_nowhere(
    login: str, recipe: str, home: Path
) -> None:
    server = home / ".abra" / "servers" / "coop.example"
    server.mkdir(parents=True)
    (server / "pad.coop.example.env").write_text(f"TYPE={recipe}:1.0.0\n")
    settings = home / ".config" / "opskit" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'recipe_url = "https://{login}@git.example/{{recipe}}"\n')
    settings.chmod(0o600)
    view = examine()
    (row,) = (row for row in view.records() if row.check == "recipes")
    assert "Fetch it: git clone https://git.example/hedgedoc " in row.remedy
    assert "s3cr3t" not in view.to_json()


@pytest.mark.parametrize(
    ("check", "package"), [("git", "git"), ("docker", "docker.io"), ("ssh", "openssh-client")]
)
def test_a_program_that_is_missing_is_named_with_its_package(
    check: str, package: str, rows: Rows, only: Callable[..., Path]
) -> None:
    only()
    assert rows(check).remedy == f"Install it: sudo apt-get install {package}"


def test_a_machine_without_a_password_store_may_be_well_all_the_same(
    rows: Rows, only: Callable[..., Path]
) -> None:
    only("git")
    row = rows("password store")
    assert row.state == "note"
    assert row.remedy.endswith("apt-get install pass")


def test_the_other_program_called_gopass_is_told_from_the_right_one(
    rows: Rows, only: Callable[..., Path]
) -> None:
    program(only("git") / "gopass", "GoPass 1.5.0")
    row = rows("password store")
    assert row.state == "note"
    assert "another program of that name" in row.what
    assert "apt-get install pass" in row.remedy


def test_a_store_that_was_never_initialised_says_how(rows: Rows, only: Callable[..., Path]) -> None:
    program(only("git") / "pass", "pass 1.7.4")
    assert rows("password store").remedy == "Go on with: pass init YOUR-KEY"


def test_a_store_for_somebody_whose_key_is_not_here_is_named(
    password_store: PassStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def store() -> Any:
        return next(row for row in examine().records() if row.check == "password store")

    monkeypatch.setenv("ABRA_DIR", str(tmp_path))
    assert store().what == f"pass, 0 entries in {tmp_path}/store"
    (tmp_path / "store" / ".gpg-id").write_text("gone@coop.example\n")
    assert "no key of gone@coop.example" in store().what


def test_settings_that_cannot_be_followed_come_before_any_server(rows: Rows, home: Path) -> None:
    (home / ".abra" / "servers" / "coop.example").mkdir(parents=True)
    settings = home / ".config" / "opskit" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("deadlin = 3\n")
    row = rows("settings")
    assert row.state == "mend"
    assert "deadlin" in row.what
    assert "deadline" in row.remedy
    assert rows("servers").what == "not looked at: the settings come first."
    settings.write_text("deadline = 3\n")
    settings.chmod(0o666)
    assert "chmod go-w" in rows("settings").remedy


def test_a_journal_is_not_begun_by_looking(rows: Rows) -> None:
    assert rows("state folder").state == "well"
    assert not state_dir().exists()


def test_what_others_could_change_or_read_of_the_state_is_closed(rows: Rows) -> None:
    state_dir().mkdir(parents=True)
    state_dir().chmod(0o777)
    remedy = rows("state folder").remedy
    subprocess.run(["bash", "-c", remedy.partition(": ")[2]], check=True)
    journal_path().touch(0o644)
    remedy = rows("state folder").remedy
    assert "chmod 600" in remedy
    subprocess.run(["bash", "-c", remedy.partition(": ")[2]], check=True)
    assert rows("state folder").state == "well"


def test_a_journal_that_is_none_is_named(rows: Rows) -> None:
    state_dir().mkdir(parents=True)
    journal_path().write_text("no database at all, but long enough to be taken for one\n" * 9)
    journal_path().chmod(0o600)
    row = rows("state folder")
    assert row.state == "mend"
    assert "is damaged" in row.what


def test_a_server_that_is_asked_for_must_be_there(home: Path) -> None:
    (home / ".abra" / "servers" / "coop.example").mkdir(parents=True)
    with pytest.raises(InputError, match=r"Choose from: coop\.example"):
        examine(servers=["coop.exmaple"])


def test_what_is_installed_is_told_with_its_versions(rows: Rows) -> None:
    assert rows("opskit").what.startswith("opskit 0.")
    assert rows("JupyterLab").what[0].isdigit()


def test_no_place_for_connections_that_stay_is_a_note(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("ssh") is None:
        pytest.skip("ssh is not installed")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setenv("OPSKIT_STATE_DIR", str(tmp_path / ("s" * 100)))
    row = rows("ssh")
    assert row.state == "note"
    assert row.what.endswith("/ssh is too long for a socket.")
    assert "XDG_RUNTIME_DIR" in row.remedy
