"""Reading one ``.env`` file: ordered expansion, line numbers, modifiers, problems.

Values may be secrets: they stay in the `EnvFile`, whose repr shows keys only.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from opskit.abra.model import Problem

_VARIABLE = re.compile(
    r"(?P<escape>\\)?\$(?:\{(?P<braced>[A-Za-z_]\w*)(?::?-(?P<default>[^}]*))?\}|(?P<plain>[A-Za-z_]\w*))"
)
_BACKSLASHES = re.compile(r"\\\$")
_START = re.compile(r"\s*(?:export[^\S\r\n]+)?[^=\r\n]*=[^\S\r\n]*(?P<quote>['\"]?)")
_COMMENT_AFTER_QUOTE = re.compile(r"""(?:'[^']*'|"(?:\\.|[^"\\])*")[^\S\r\n]*#(?P<comment>.*)""")
_COMMENT_AFTER_BARE = re.compile(r"[^\S\r\n]#(?P<comment>.*)")
_MODIFIER = re.compile(r"([A-Za-z][\w-]*)=(\S+)")
_NEWLINE = re.compile(r"\r\n|\n|\r")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
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
        Of the file's bytes.
    """

    path: Path
    values: Mapping[str, str] = field(repr=False)
    lines: Mapping[str, int]
    modifiers: Mapping[str, Mapping[str, str]]
    problems: tuple[Problem, ...]
    sha256: str


def read_env(path: Path) -> EnvFile:
    """Read a ``.env`` file; what cannot be read is a problem in the result, never an exception."""
    try:
        content = path.read_bytes()
    except OSError as error:
        why = error.strerror or str(error)
        problem = Problem(
            path=str(path),
            line=0,
            what=f"the file cannot be read ({why}).",
            remedy="Check that it exists and that you may read it.",
        )
        return EnvFile(path=path, values={}, lines={}, modifiers={}, problems=(problem,), sha256="")
    return parse_env(content, path)


def parse_env(content: bytes, path: Path) -> EnvFile:
    """Parse the bytes of a ``.env`` file; `path` is only named in problems."""
    problems: list[Problem] = []
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    modifiers: dict[str, Mapping[str, str]] = {}

    def report(line: int, what: str, remedy: str) -> None:
        problems.append(Problem(path=str(path), line=line, what=what, remedy=remedy))

    for number in _undecodable_lines(content):
        report(number, "the line holds bytes that are not UTF-8.", "Save the file as UTF-8.")
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    if "\0" in text:
        report(text[: text.index("\0")].count("\n") + 1, "the line holds a NUL byte.", "Remove it.")
    for binding in parse_stream(io.StringIO(text, newline="")):
        line = _line_of(binding)
        if binding.error:
            report(line, "the line cannot be read.", "Close its quotes, or write KEY=value.")
            continue
        if binding.key is None:
            continue
        if binding.value is None:
            report(line, f"{binding.key!r} has no value.", "Write KEY=value, or comment it out.")
            continue
        if not _NAME.fullmatch(binding.key):
            report(line, "the line's name is not a variable's.", "Write KEY=value.")
            continue
        values[binding.key] = _expanded(binding, values)
        lines[binding.key] = line
        modifiers[binding.key] = _modifiers(binding)
    return EnvFile(
        path=path,
        values=values,
        lines=lines,
        modifiers=modifiers,
        problems=tuple(problems),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _undecodable_lines(content: bytes) -> list[int]:
    found: list[int] = []
    for number, line in enumerate(content.split(b"\n"), 1):
        try:
            line.decode()
        except UnicodeDecodeError:
            found.append(number)
    return found


def _line_of(binding: Binding) -> int:
    text = binding.original.string
    leading = text[: len(text) - len(text.lstrip())]
    return binding.original.line + len(_NEWLINE.findall(leading))


def _quote(binding: Binding) -> str:
    match = _START.match(binding.original.string)
    return match["quote"] if match else ""


def _expanded(binding: Binding, before: Mapping[str, str]) -> str:
    value = binding.value or ""
    if _quote(binding) == "'":
        return value

    def replace(match: re.Match[str]) -> str:
        if match["escape"]:
            return match[0][1:]
        name = match["braced"] or match["plain"]
        return before.get(name) or match["default"] or ""

    return _BACKSLASHES.sub("$", _VARIABLE.sub(replace, value))


def _modifiers(binding: Binding) -> Mapping[str, str]:
    text = binding.original.string.rstrip("\r\n")
    start = _START.match(text)
    if start is None:
        return {}
    if start["quote"]:
        match = _COMMENT_AFTER_QUOTE.match(text, start.end() - 1)
    else:
        match = _COMMENT_AFTER_BARE.search(text, start.end() - 1)
    return dict(_MODIFIER.findall(match["comment"])) if match else {}
