"""Commands that are shown may be pasted: what others named cannot add to them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import opskit

ROOT = Path(opskit.__file__).parent
COMMAND = re.compile(
    r"(?:\b|(?=\0))(?:opskit (?:app|secret|config|journal|rollback|resume|give-up|break-lock"
    r"|run|lab)\b"
    r"|docker (?:--?\w|(?:app|config|context|login|network|node|pull|secret|service|stack|swarm"
    r"|tag|volume|rm|run|exec|logs|inspect|update)\b)"
    r"|git (?:-C|--?\w|(?:add|clone|commit|config|fetch|log|push|pull|status)\b)"
    r"|(?:pass|gopass|\0) (?:init|show|rm|mv|cp|insert|git|edit|cat|ls)\b"
    r"|gpg --|ssh -|abra (?:app|recipe|server)\b"
    r"|(?:echo|chown|chmod|df|findmnt|mkdir|cp|mv|rm|kill|curl|ls) (?=[-\0/]))"
    # To the end of the sentence or of the bracket around it.
    r"(?:(?!\. |[()\n]|: ).)*",
)
QUOTED = re.compile(r"(?:shlex\.)?(?:quote|join)\(")


def texts(tree: ast.AST) -> Iterator[tuple[int, str, list[str]]]:
    """Yield each text that is filled in: its line, the text with ``\\0`` for values, and those."""
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr(values=parts):
                text = "".join(
                    one.value if isinstance(one, ast.Constant) else "\0" for one in parts
                )  # type: ignore[misc]
                yield (
                    node.lineno,
                    text,
                    [
                        ast.unparse(one.value)
                        for one in parts
                        if isinstance(one, ast.FormattedValue)
                    ],
                )
            case ast.Constant(value=str(text)):
                # Filled in by str.format.
                yield node.lineno, re.sub(r"{\w+}", "\0", text), re.findall(r"{\w+}", text)
            case _:
                pass


def bare(source: str) -> Iterator[tuple[int, str]]:
    """Yield each value that stands in a command as it is, with its line."""
    for line, text, values in texts(ast.parse(source)):
        for command in COMMAND.finditer(text):
            first = text[: command.start()].count("\0")
            for value in values[first : first + command[0].count("\0")]:
                if not QUOTED.match(value):
                    yield line, value


QUOTES = {
    # What `Lookup.shown` gives, and lists of words that each are quoted.
    "cli/apps.py": {"shown"},
    "doctor/files.py": {"name", "os.geteuid()"},
    "swarm/refusal.py": {"{server}"},
    "plan/deploy.py": {"shown", "self.assembler.lookup.shown(app)", "' '.join(made)"},
    "plan/hooks.py": {"shown", "target.shown", "verb"},
    "plan/remove.py": {"apps"},
    "plan/renew.py": {"target.shown", "self._verb(target)"},
    "plan/selection.py": {"self.shown(found)", "' '.join(words)"},
    "plan/switches.py": {"name"},
    "plan/versions.py": {"app", "' '.join(made)", "'; '.join(ways)"},
    "secrets/refusals.py": {"entry.program", "{program}", "{path}", "{store}", "{folder}"},
    "widgets/kinds.py": {"{app}", "{secret}"},
    # Words and numbers of opskit's own.
    "audit/fleet.py": {"name.rstrip('s')"},
    "audit/remedies.py": {"too", "self.plan"},
    "jupyter/lab.py": {"self.port"},
    "run/recovery.py": {"last"},
    "run/ways.py": {"record.run", "leave"},
    "secrets/passstore.py": {"self.program"},
    "settings.py": {"os.geteuid()"},
    "steps/deploy.py": {"options"},
}
"""Values that a command takes as they are: they are quoted before, or can be nothing else."""


def test_what_others_named_is_quoted_in_every_command_that_is_shown() -> None:
    found = {
        (str(path.relative_to(ROOT)), value): line
        for path in ROOT.rglob("*.py")
        for line, value in bare(path.read_text())
    }
    known = {(path, value) for path, values in QUOTES.items() for value in values}
    assert [f"{path}:{found[path, value]}: {value}" for path, value in found.keys() - known] == []
    assert known - found.keys() == set()


@pytest.mark.parametrize(
    ("source", "values"),
    [
        ("f'Deploy it: opskit app deploy {app}'", ["app"]),
        ("f'Deploy it: opskit app deploy {quote(app)}'", []),
        ("f'docker --context {quote(a)} network create {b}'", ["b"]),
        ("f'{x} first: echo {registry} | docker-credential-{helper} get'", ["registry", "helper"]),
        ("f'{program} show {path}'", ["program", "path"]),
        ("'ls -la {folder}'", ["{folder}"]),
        ("f'docker refuses it: {fault}'", []),
        ("f'(git log) {app} of {server}'", []),
    ],
)
def test_a_bare_value_in_a_command_is_found(source: str, values: list[str]) -> None:
    assert [value for _, value in bare(source)] == values
