"""One ``.env`` file: values after ordered expansion, line numbers, modifiers, problems.

Values may be secrets, and so may what stands before a ``=``, which is a variable only as far as a
recipe knows it: both stay in the `EnvFile`, whose repr shows neither. A variable is looked up in
the lines above it and nowhere else; in particular not in this process's environment.

The comment behind a secret's version asks something of its value by its marks: ``length=64``,
``charset=hex``, ``generate=false``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from opskit.abra.dialect import TOO_LONG, TooLongError, expand
from opskit.abra.files import (
    CONFLICT_REMEDY,
    about_conflicts,
    as_problem,
    conflicts,
    decode,
    is_utf8,
    is_utf16,
    lock_of,
    printable,
    read_bytes,
    without_conflicts,
)
from opskit.abra.model import Problem, ProblemKind
from opskit.abra.statements import LONG_BLANK, NO_VALUE, TRAILING, UNCLOSED, Statement, statements
from opskit.errors import InputError

CHARSETS = ("default", "hex", "safespecial", "special")
"""The charsets abra knows; several are joined by commas."""

LONGEST = 511_999
"""Swarm stores no more bytes in a secret."""

MARKS = frozenset({"generate", "length", "charset"})
"""The words that count; those of other keys are prose."""

_LENGTH = re.compile(r"[1-9][0-9]{0,5}")
_TRUE = frozenset({"1", "t", "T", "true", "True", "TRUE"})
_FALSE = frozenset({"0", "f", "F", "false", "False", "FALSE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkFault:
    """A mark that cannot be read: which, what is wrong with it, and what to write instead."""

    mark: str
    what: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What is asked of a value.

    Parameters
    ----------
    generate
        Whether a value may be made up. What cannot be read means no.
    length
        Of how many characters; ``None`` when nothing is said that can be read.
    charset
        Of which; empty when nothing is said.
    faults
        What cannot be read. It is not quoted, as it may be a value in the wrong place.
    """

    generate: bool = True
    length: int | None = None
    charset: str = ""
    faults: tuple[MarkFault, ...] = ()


def joined(own: Mapping[str, str], sample: Mapping[str, str]) -> dict[str, str]:
    """Return the marks that hold for an app: its own line's, else those of the recipe's sample.

    That a value comes from elsewhere holds until the app's own line says otherwise: one that says
    how long it is says nothing of where it comes from.
    """
    marks = {key: word for key, word in own.items() if key in MARKS}
    if not marks:
        return dict(sample)
    if "generate" in sample:
        marks.setdefault("generate", sample["generate"])
    return marks


def read_marks(words: Mapping[str, str]) -> Marks:
    """Read the ``key=value`` words of a comment; words of other keys are no marks."""
    faults: list[MarkFault] = []
    generate = words.get("generate", "true")
    if generate not in _TRUE | _FALSE:
        what = "is neither true nor false, so no value is generated."
        faults.append(
            MarkFault(mark="generate", what=what, remedy="Write generate=true or generate=false.")
        )
    length = words.get("length")
    is_length = length is None or (_LENGTH.fullmatch(length) and int(length) <= LONGEST)
    if not is_length:
        what = f"is no number of characters from 1 to {LONGEST:,}, so none is taken."
        faults.append(MarkFault(mark="length", what=what, remedy="Write length=32."))
    names = [name.strip() for name in words["charset"].split(",")] if "charset" in words else []
    if not set(names) <= set(CHARSETS):
        what = "names one that is not known, for which letters and digits are taken."
        known = ", ".join(CHARSETS)
        faults.append(
            MarkFault(mark="charset", what=what, remedy=f"Write one or several of {known}.")
        )
    known_names = [name if name in CHARSETS else CHARSETS[0] for name in names]
    return Marks(
        generate=generate in _TRUE,
        length=int(length) if length and is_length else None,
        charset=",".join(dict.fromkeys(known_names)),
        faults=tuple(faults),
    )


_MODIFIER = re.compile(r"(?:^|(?<=\s))([A-Za-z][\w-]*)=(\S*)")
_LOOSELY = re.compile(rf"(?:^|(?<=\s))({'|'.join(sorted(MARKS))})\s*=\s*(\S*)", re.IGNORECASE)
_COMMENTED_OUT = re.compile(r"^[ \t]*#[ \t#]*(?=[A-Za-z_]\w*=)", re.MULTILINE)

SHOWN = frozenset({"TYPE", "RECIPE", "DOMAIN", "COMPOSE_FILE", "STACK_NAME", "TIMEOUT"})
"""Variables of abra's own, whose values are names or numbers, and shown."""

_SEVERAL_LINES = "the value goes over several lines, where a name or number stands on one."

_LARGEST = 2_097_152
"""Bytes that Linux hands to a program in all its variables together, unless it is set otherwise."""

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
        """Whether its lines count at all; single ones may be at fault all the same."""
        return all(problem.line and problem.kind != "conflict" for problem in self.problems)

    @property
    def unread(self) -> Problem | None:
        """Why it was not read whole, so that nothing is to be written to it."""
        return next((one for one in self.problems if one.kind != "amiss"), None)

    def told(self, known: Collection[str]) -> tuple[Problem, ...]:
        """Return the problems as they may be shown: only `known` variables are named."""
        return tuple(
            one
            if one.kind == "conflict" or one.about in known
            else msgspec.structs.replace(one, about="")
            for one in self.problems
        )

    def __repr__(self) -> str:
        return f"EnvFile(path={str(self.path)!r}, variables={len(self.values)})"


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
    if lock := lock_of(content):
        what = f"the file is locked by {lock.program}, and nothing of it is known."
        reader.report(0, what, lock.remedy.replace("FILE", path.name), kind="locked")
    elif is_utf16(content):
        reader.report(0, "the file is UTF-16, not UTF-8.", "Save it as UTF-8.", kind="unread")
    else:
        text = decode(content)
        if found := conflicts(text):
            line, count = found[0][0], f"{len(found)} conflicts" if len(found) > 1 else ""
            reader.report(
                line, about_conflicts(found), CONFLICT_REMEDY, kind="conflict", about=count
            )
            text = without_conflicts(text, found)
        for statement in statements(text):
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
    """A line of a recipe's sample: where it stands, what it says, the modifiers in its comment."""

    key: str
    value: str
    comment: str
    line: int
    modifiers: Mapping[str, str]

    def text(self, default: str = "") -> str:
        """Return it as it would stand in a ``.env``, with a `default` for a value that is empty."""
        comment = f"  #{self.comment}" if self.comment else ""
        return f"{self.key}={self.value or default}{comment}"


def sample_lines(content: bytes) -> dict[str, SampleLine]:
    """Return the lines of a recipe's ``.env.sample`` by variable, commented-out ones too."""
    text = decode(content)
    found: dict[str, SampleLine] = {}
    for each in (_COMMENTED_OUT.sub("", text), text):
        for statement in statements(each):
            if not statement.fault:
                found[statement.key] = SampleLine(
                    key=statement.key,
                    value=f"{statement.quote}{statement.raw}{statement.quote}",
                    comment=statement.comment,
                    line=statement.line,
                    modifiers=modifiers(statement.comment),
                )
    return found


def sample_keys(text: str) -> tuple[str, ...]:
    """Return the variables that a recipe's ``.env.sample`` sets; commented-out ones are none."""
    return tuple(dict.fromkeys(one.key for one in statements(text) if not one.fault))


def modifiers(comment: str) -> dict[str, str]:
    """Read the ``key=value`` words of a comment; other words are prose.

    Marks count however they are spaced and capitalised: who wrote ``Generate = false`` meant it.

    >>> from opskit.abra.env import modifiers
    >>> modifiers("seen=once Generate = false")
    {'generate': 'false', 'seen': 'once'}
    """
    loosely = {key.lower(): word for key, word in _LOOSELY.findall(comment)}
    return {**loosely, **dict(_MODIFIER.findall(comment))}


class _Reader:
    """Takes statements in order, each seeing the values of those before it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.values: dict[str, str] = {}
        self.lines: dict[str, int] = {}
        self.modifiers: dict[str, Mapping[str, str]] = {}
        self.problems: list[Problem] = []
        self._size, self._is_full = 0, False

    def take(self, statement: Statement) -> None:
        key, line = statement.key, statement.line
        if statement.fault:
            self.report(line, statement.fault, _REMEDIES[statement.fault], kind="unread", about=key)
            return
        if "\0" in statement.raw:
            self.report(line, "the value holds a NUL byte.", "Remove it.", kind="unread", about=key)
            return
        if not is_utf8(statement.raw):
            what = "the value holds bytes that are not UTF-8."
            self.report(line, what, "Save it as UTF-8.", about=key)
        try:
            value, foreign = expand(statement.raw, statement.quote, self.values)
        except TooLongError:
            self.report(line, TOO_LONG, "Shorten it.", kind="unread", about=key)
            return
        if key in SHOWN and len(value.splitlines()) > 1:
            # A quote that was never closed may have taken values of other lines along.
            self.report(line, _SEVERAL_LINES, "Close its quote.", kind="unread", about=key)
            return
        size = self._size + len(value) - len(self.values.get(key, ""))
        if size > _LARGEST:
            if not self._is_full:
                what = f"the values up to here have more than {_LARGEST:,} bytes together."
                remedy = "No program can be given them: shorten them."
                self.report(line, what, remedy, kind="unread")
            self._is_full = True
            return
        self._size = size
        self.values[key] = value
        if foreign:
            self.report(line, foreign, "Write the value out.", about=key)
        self.lines[key] = line
        self.modifiers[key] = modifiers(statement.comment)

    def report(
        self, line: int, what: str, remedy: str, *, kind: ProblemKind = "amiss", about: str = ""
    ) -> None:
        self.problems.append(
            Problem(
                path=printable(str(self._path)), line=line, what=what, remedy=remedy, kind=kind,
                about=about,
            )
        )  # fmt: skip
