"""The README's table of abra's commands tells of commands, functions and forms that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import opskit
from opskit.cli.app import run

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
