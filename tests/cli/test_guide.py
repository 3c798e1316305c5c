"""``--help``: commands in groups, and examples that are never stale."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from opskit.cli.app import app, run
from opskit.cli.guide import CHANGE, DEMO, GUIDES, LOOK, NOTEBOOKS, RECOVER
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet

Use = Callable[[DemoFleet | DockerdFleet], Path]
TREE: Any = typer.main.get_command(app)
WIDTH = 80
EXAMPLES = [one for guide in GUIDES.values() for one in guide.examples]


def commands(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in tree.commands.items():
        yield f"{path}{name}", command
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")


COMMANDS = dict(commands(TREE))


def parsed(example: str) -> str:
    """Parse a command line as the CLI does, and give the command that it calls."""
    program, *words = shlex.split(example)
    assert program == "opskit"
    command, path = TREE, []
    while hasattr(command, "commands"):
        path.append(words[0])
        command, words = command.commands[words[0]], words[1:]
    command.make_context(" ".join(path), words)
    return " ".join(path)


def test_every_command_has_its_group_and_no_other_is_named() -> None:
    assert GUIDES.keys() == COMMANDS.keys()
    for path, guide in GUIDES.items():
        assert bool(guide.group) == (" " not in path), path
    assert {one.group for one in GUIDES.values()} - {""} == {
        LOOK, CHANGE, RECOVER, NOTEBOOKS, DEMO
    }  # fmt: skip


def test_every_command_but_the_mere_groups_has_an_example_of_its_own() -> None:
    for path, guide in GUIDES.items():
        called = [parsed(one) for one in guide.examples]
        assert path in called or hasattr(COMMANDS[path], "commands"), path


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_command_line_that_the_parser_takes(example: str) -> None:
    assert parsed(example) in COMMANDS
    assert len(example) <= WIDTH - 2, "it would be broken where a terminal is 80 columns wide"
    assert "[" not in example, "help texts are markup"


@pytest.mark.parametrize(
    "example",
    [
        one
        for one in EXAMPLES
        if GUIDES[parsed(one)].group == LOOK and "monday" not in one and " watch " not in one
    ],
)
def test_an_example_that_only_looks_is_true(
    example: str, use: Use, demo_fleet: DemoFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    use(demo_fleet)
    assert run(shlex.split(example)[1:]) == (1 if "audit" in example or "doctor" in example else 0)


@pytest.mark.slow
def test_help_shows_the_groups_in_order_and_the_examples(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    places = [out.index(f"─ {name} ─") for name in (LOOK, CHANGE, RECOVER, NOTEBOOKS, DEMO)]
    assert places == sorted(places)
    assert out.index("│ doctor ") < out.index("│ servers ")
    for path, guide in GUIDES.items():
        assert run([*path.split(), "--help"]) == 0
        shown = capsys.readouterr().out
        for example in guide.examples:
            assert f"{example} " in shown, path
