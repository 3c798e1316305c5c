"""One ``.env`` file: values after ordered expansion, line numbers, modifiers, problems.

Values may be secrets: they stay in the `EnvFile`, whose repr shows keys only. A variable is
looked up in the lines above it and nowhere else; in particular not in this process's environment.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from opskit.abra.dialect import expand
from opskit.abra.files import as_problem, decode, is_utf8, is_utf16, printable, read_bytes
from opskit.abra.model import Problem
from opskit.abra.statements import LONG_BLANK, NO_VALUE, TRAILING, UNCLOSED, Statement, statements
from opskit.errors import InputError

_MODIFIER = re.compile(r"(?:^|(?<=\s))([A-Za-z][\w-]*)=(\S*)")
_COMMENTED_OUT = re.compile(r"^[ \t]*#[ \t#]*(?=[A-Za-z_]\w*=)", re.MULTILINE)

_REMEDIES = {
    UNCLOSED: "Close it on the same line.",
    TRAILING: "Put a # before what follows, or quote all of it.",
    LONG_BLANK: "Remove them.",
    NO_VALUE: "Write KEY=value, or put a # before it.",
}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class EnvFile:
    """One ``.env`` file as abra would read it.

    Parameters
    ----------
    path
        Where it was read.
    values
        Key → value after ordered expansion; the last assignment wins.
    lines
        Key → line (from 1) of the winning assignment.
    modifiers
        Key → what the comment behind the winning assignment says (``length=32``).
    problems
        What could not be read.
    sha256
        Of the file's bytes; empty when they could not be read.
    """

    path: Path
    values: Mapping[str, str]
    lines: Mapping[str, int]
    modifiers: Mapping[str, Mapping[str, str]]
    problems: tuple[Problem, ...]
    sha256: str

    @property
    def readable(self) -> bool:
        """Whether it was text at all; single lines may be at fault all the same."""
        return all(problem.line for problem in self.problems)

    def __repr__(self) -> str:
        return f"EnvFile(path={str(self.path)!r}, keys={list(self.values)!r})"


def read_env(path: Path) -> EnvFile:
    """Read a ``.env`` file; what cannot be read is a problem in the result, never an exception."""
    try:
        content = read_bytes(path)
    except InputError as error:
        problems = (as_problem(error, path),)
        return EnvFile(path=path, values={}, lines={}, modifiers={}, problems=problems, sha256="")
    return parse_env(content, path)


def parse_env(content: bytes, path: Path) -> EnvFile:
    """Parse the bytes of a ``.env`` file; `path` is only named in problems."""
    reader = _Reader(path)
    if is_utf16(content):
        reader.report(0, "the file is UTF-16, not UTF-8.", "Save it as UTF-8.")
    else:
        for statement in statements(decode(content)):
            reader.take(statement)
    return EnvFile(
        path=path,
        values=reader.values,
        lines=reader.lines,
        modifiers=reader.modifiers,
        problems=tuple(reader.problems),
        sha256=hashlib.sha256(content).hexdigest(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleLine:
    """A line of a recipe's sample: where it stands, and the modifiers in its comment."""

    line: int
    modifiers: Mapping[str, str]


def sample_lines(content: bytes) -> dict[str, SampleLine]:
    """Return the lines of a recipe's ``.env.sample`` by variable, commented-out ones too."""
    text = decode(content)
    found: dict[str, SampleLine] = {}
    for each in (_COMMENTED_OUT.sub("", text), text):
        for statement in statements(each):
            if not statement.fault:
                found[statement.key] = SampleLine(
                    line=statement.line, modifiers=modifiers(statement.comment)
                )
    return found


def sample_keys(text: str) -> tuple[str, ...]:
    """Return the variables that a recipe's ``.env.sample`` sets; commented-out ones are none."""
    return tuple(dict.fromkeys(one.key for one in statements(text) if not one.fault))


def modifiers(comment: str) -> dict[str, str]:
    """Read the ``key=value`` words of a comment; other words are prose."""
    return dict(_MODIFIER.findall(comment))


class _Reader:
    """Takes statements in order, each seeing the values of those before it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.values: dict[str, str] = {}
        self.lines: dict[str, int] = {}
        self.modifiers: dict[str, Mapping[str, str]] = {}
        self.problems: list[Problem] = []

    def take(self, statement: Statement) -> None:
        key, line = statement.key, statement.line
        if statement.fault:
            self.report(line, statement.fault, _REMEDIES[statement.fault])
            return
        if "\0" in statement.raw:
            self.report(line, "the value holds a NUL byte.", "Remove it.")
            return
        if not is_utf8(statement.raw):
            self.report(line, "the value holds bytes that are not UTF-8.", "Save it as UTF-8.")
        self.values[key], defaulted = expand(statement.raw, statement.quote, self.values)
        if defaulted:
            self.report(
                line,
                "abra does not know ${…:-default} in an .env; it is read here as Compose would.",
                "Write the value out.",
            )
        self.lines[key] = line
        self.modifiers[key] = modifiers(statement.comment)

    def report(self, line: int, what: str, remedy: str) -> None:
        path = printable(str(self._path))
        self.problems.append(Problem(path=path, line=line, what=what, remedy=remedy))
