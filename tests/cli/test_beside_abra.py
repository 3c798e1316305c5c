"""The README's table of abra's commands tells of commands, functions and forms that exist."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import opskit
from opskit.cli.app import run
from opskit.demo.dockerd import DockerdFleet
from opskit.secrets.passstore import PassStore
from tests.abra.releases import Releases
from tests.run.test_stacks import NEW, OLD, files
from tests.stage import APP, SERVER, Stage, staged

README = Path(__file__).parents[2] / "README.md"
HOMES = {"Fleet": opskit.Fleet, "Snapshot": opskit.Snapshot, "forms": opskit.forms}


def rows() -> list[list[str]]:
    section = README.read_text().partition("## Beside abra\n")[2].partition("\n## ")[0]
    lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    assert lines[0] == [" abra ", " opskit ", " Python ", " form "]
    return [[cell.strip() for cell in line] for line in lines[2:]]


def quoted(column: int) -> list[str]:
    found = [name for row in rows() for name in re.findall(r"`([^`]+)`", row[column])]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("command", quoted(1))
def test_the_command_and_its_options_are_there(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    program, *words = command.split()
    assert program == "opskit"
    options = [word for word in words if word.startswith("-")]
    names = [word for word in words if not word.startswith("-")]
    assert run([*names, "--help"]) == 0
    told = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    for option in options:
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", told), f"{command} has no {option}"


@pytest.mark.parametrize("name", [*quoted(2), *quoted(3)])
def test_the_function_or_form_is_there(name: str) -> None:
    home, _, attribute = name.partition(".")
    assert getattr(HOMES[home], attribute).__doc__


def test_every_row_names_what_replaces_the_command() -> None:
    assert len(rows()) >= 15
    for row in rows():
        assert len(row) == 4
        assert all(re.search(r"`[^`]+`", cell) for cell in row[1:3]), row


SAMPLE = "TYPE=blog\nDOMAIN=blog.example.com\nSECRET_TOKEN_VERSION=v1 # length=20\n"
QUICK = ("--stable", "0.2", "--timeout", "180", "--yes")


@pytest.fixture
def stage(
    tmp_path: Path, real_fleet: DockerdFleet, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    """A server without an app, and a recipe that is yet to be fetched."""
    upstream = Releases(tmp_path / "upstream" / "blog")
    for version in (OLD, NEW):
        upstream.release(version, {**files(version), ".env.sample": SAMPLE})
    config = tmp_path / "config" / "opskit"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(f'recipe_url = "{tmp_path}/upstream/{{recipe}}"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for stage in staged(tmp_path, real_fleet.host("srv1"), monkeypatch):
        stage.write_files()
        stage.env_file.unlink()
        stage.stack = APP.replace(".", "_")
        yield stage


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The table's functions that were called."""
    found: set[str] = set()

    def recorded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            found.add(name)
            return function(*arguments, **more)

        return call

    for name in quoted(2):
        home, _, attribute = name.partition(".")
        if home == "Fleet":
            function = getattr(opskit.Fleet, attribute)
            monkeypatch.setattr(opskit.Fleet, attribute, recorded(name, function))
    return found


@pytest.mark.nightly
@pytest.mark.swarm
def test_every_command_of_the_table_does_it_and_through_the_function_beside_it(
    stage: Stage,
    called: set[str],
    password_store: PassStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDITOR", "sed -i '$ a # edited'")
    value = tmp_path / "value"
    value.write_text("typed by hand")
    new = ("new", f"blog:{OLD}", "--server", SERVER, "--domain", APP, "--secrets", "--pass")
    left = quoted(1)

    def do(*words: str, status: int = 0) -> None:
        assert run(list(words)) == status, words
        # What is in capitals stands for something of the operator's.
        done = [c for c in left if {w for w in c.split()[1:] if not w.isupper()} <= set(words)]
        left[:] = [cell for cell in left if cell not in done]
        for commands, functions in ((row[1], row[2]) for row in rows()):
            if any(f"`{cell}`" in commands for cell in done) and "Fleet." in functions:
                assert called & set(re.findall(r"`([^`]+)`", functions)), commands

    def follow_once(_: float) -> None:
        raise KeyboardInterrupt

    do("servers")
    do("app", *new, "--fetch", "--yes")
    do("app", "config", APP, "--yes")
    do("app", "deploy", APP, *QUICK)
    do("app", "ls", "-S")
    do("app", "upgrade", APP, *QUICK)
    assert f"TYPE=blog:{NEW}\n" in stage.env_file.read_text()
    upgraded = opskit.Fleet.from_abra().journal()["run"].iloc[-1]
    do("rollback", str(upgraded), "--yes")
    assert f"TYPE=blog:{OLD}\n" in stage.env_file.read_text()
    do("app", "ps", APP)
    do("app", "show", APP, "--probe")
    monkeypatch.setattr("opskit.cli.apps.time", SimpleNamespace(sleep=follow_once))
    do("app", "logs", APP, "--follow", "--tail", "5", "--since", "2020-01-01", status=130)
    do("volumes")
    do("secrets")
    do("secret", "rotate", APP, "token", "--deploy", "stack", *QUICK)
    # Until then the spec before, to which Swarm may go back, needs the old version.
    do("app", "restart", APP, *QUICK)
    do("secret", "prune", APP, "--keep", "0", "--yes")
    do("app", "undeploy", APP, "--yes")
    do("secret", "remove", APP, "--all", "--pass", "--yes")
    do("secret", "insert", APP, "token", "--file", str(value), "--pass", "--yes")
    entry = f"hosts/{SERVER}/{APP}/token"
    assert password_store.read(entry).reveal() == b"typed by hand"
    do("secret", "remove", APP, "--all", "--pass", "--yes")
    do("secret", "generate", APP, "--all", "--pass", "--yes")
    assert len(password_store.read(entry).reveal()) == 20
    assert left == []
    # `opskit rollback` needs no fleet: the journal says where to go.
    fleets = {name for name in quoted(2) if name.startswith("Fleet.")}
    assert called == fleets - {"Fleet.rollback"}
