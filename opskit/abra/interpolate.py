"""Variable interpolation as Compose does it, and where each piece of the result came from.

The forms are those of https://docs.docker.com/reference/compose-file/interpolation/. Where
``docker stack deploy``, which reads a stack's files in the end, refuses a form the Compose
specification has (``:+``, ``+``, a variable within a default), the specification is followed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_OPENING = re.compile(
    r"""
    \$ (?:
        (?P<escaped> \$ )
      | (?P<brace> \{ )
      | (?P<plain> [A-Za-z_][A-Za-z0-9_]* (?: :?[-?] [^}]* )? )
    )
    """,
    re.VERBOSE,
)
_EXPRESSION = re.compile(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<operator>:?[-?+])(?P<word>.*))?", re.DOTALL
)
_DEPTH = 20
"""Defaults within defaults; deeper is no recipe."""

_OF_DOCKER = re.compile(
    r"""
    \$ (?:
        \$
      | (?P<plain> [A-Za-z_][A-Za-z0-9_]* (?: :?[-?] [^}]* )? )
      | \{ (?P<braced> [A-Za-z_][A-Za-z0-9_]* (?: :?[-?] [^}]* )? ) \}
    )
    """,
    re.VERBOSE,
)
_MARKS = (":-", "-", ":?", "?")
"""Where docker splits an expression: at the first of these that is anywhere in it."""
_REQUIRED = re.compile(r"\$\{?[A-Za-z_][A-Za-z0-9_]*:?\?")

_NAME_ONLY = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_NAME = re.compile(r"\$(?:\$|\{?([A-Za-z_][A-Za-z0-9_]*))")

NO_TEMPLATE = "it is no valid template; write $$ for a dollar sign, and close every ${."
TOO_LONG = "with its variables filled in it is longer than any field of a compose file."
_LONGEST = 1024**2
_REFUSED = (
    "docker cannot interpolate this: write $$ for a dollar sign, ${NAME} or ${NAME:-default}."
)
_NESTED = "docker ends this default at its first brace: put no variable into a default."
_SPLIT = (
    "docker splits this at {mark!r} and looks up {name!r}, with the rest for its default or "
    "message: leave {mark!r} out of the text behind the variable's name."
)


def refused_by_docker(template: str) -> str:
    """Return why ``docker stack deploy`` refuses a text, or reads it as nobody wants; or nothing.

    It knows no ``${NAME:+other}``, no variable within a default, and of ``${NAME:?why - and how}``
    it takes ``NAME:?why`` for the name. So do the template functions of docker/cli.
    """
    at = 0
    while (at := template.find("$", at)) >= 0:
        match = _OF_DOCKER.match(template, at)
        if match is None:
            return _REFUSED
        expression = match["plain"] or match["braced"] or ""
        mark = next((one for one in _MARKS if one in expression), "")
        name, _, word = expression.partition(mark) if mark else (expression, "", "")
        if _NAME_ONLY.fullmatch(name) is None and expression:
            return _NESTED if "${" in name else _SPLIT.format(mark=mark, name=name)
        if "${" in word:
            return _NESTED
        at = match.end()
    return ""


def requires(template: str) -> bool:
    """Return whether a text seems to have variables that must be set: ``${NAME:?why}``."""
    return "$" in template and _REQUIRED.search(template) is not None


def variables_in(text: str) -> list[str]:
    """Return the names of the variables that a text looks up, as often as it does."""
    return [match[1] for match in _NAME.finditer(text) if match[1]] if "$" in text else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of an interpolated text.

    `variable` names the variable that would replace the piece if it were set to something
    else; empty for literal text.
    """

    text: str
    variable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpolated:
    """The result: its pieces in order, and in `faults` a sentence for each thing wrong."""

    pieces: tuple[Piece, ...]
    faults: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(piece.text for piece in self.pieces)


def interpolate(template: str, variables: Mapping[str, str]) -> Interpolated:
    """Interpolate a Compose value.

    Parameters
    ----------
    template
        With ``$VAR``, ``${VAR}``, ``${VAR:-default}``, ``${VAR-default}``, ``${VAR:?why}``,
        ``${VAR?why}``, ``${VAR:+other}``, ``${VAR+other}`` and ``$$``.
    variables
        What they stand for; anything absent is empty.

    Returns
    -------
    Interpolated
        What Compose would refuse stands in its `faults`: a required variable that is not set
        is then empty, a text that is no template stays as it is.
    """
    if "$" not in template:
        return Interpolated(pieces=(Piece(text=template),) if template else ())
    reading = _Reading(variables)
    try:
        pieces = reading.pieces(template, 0)
    except _NoTemplateError:
        return Interpolated(pieces=(Piece(text=template),), faults=(NO_TEMPLATE,))
    except _TooLongError:
        return Interpolated(pieces=(Piece(text=template),), faults=(TOO_LONG,))
    return Interpolated(pieces=tuple(pieces), faults=tuple(reading.faults))


class _NoTemplateError(Exception):
    """A lone dollar sign, an open brace, an unknown operator."""


class _TooLongError(Exception):
    """More than any field of a compose file is."""


class _Reading:
    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._left = _LONGEST
        self.faults: list[str] = []

    def pieces(self, template: str, depth: int) -> list[Piece]:
        if depth > _DEPTH:
            raise _NoTemplateError
        found: list[Piece] = []
        at = 0
        while (dollar := template.find("$", at)) >= 0:
            if dollar > at:
                found.append(Piece(text=template[at:dollar]))
            match = _OPENING.match(template, dollar)
            if match is None:
                raise _NoTemplateError
            at = match.end()
            if match["escaped"]:
                found.append(Piece(text="$"))
            elif match["brace"]:
                end = _closing(template, at)
                found.append(self._counted(template[at:end], depth))
                at = end + 1
            else:
                # docker's CLI takes $VAR-word for a default even without braces.
                found.append(self._counted(match["plain"], depth))
        if at < len(template):
            found.append(Piece(text=template[at:]))
        return found

    def _counted(self, expression: str, depth: int) -> Piece:
        piece = self._value(expression, depth)
        self._left -= len(piece.text)
        if self._left < 0:
            raise _TooLongError
        return piece

    def _value(self, expression: str, depth: int) -> Piece:
        match = _EXPRESSION.fullmatch(expression)
        if match is None:
            raise _NoTemplateError
        name, operator, word = match["name"], match["operator"], match["word"]
        value = self._variables.get(name)
        if operator is None:
            return Piece(text=value or "", variable=name)
        # With a colon an empty variable counts as unset.
        is_set = bool(value) if operator.startswith(":") else value is not None
        if operator.endswith("+"):
            return Piece(text=self._word(word, depth) if is_set else "")
        if is_set:
            return Piece(text=value or "", variable=name)
        if operator.endswith("-"):
            return Piece(text=self._word(word, depth), variable=name)
        self.faults.append(f"the variable {name} must be set.")
        return Piece(text="", variable=name)

    def _word(self, word: str, depth: int) -> str:
        return (
            "".join(piece.text for piece in self.pieces(word, depth + 1)) if "$" in word else word
        )


def _closing(template: str, start: int) -> int:
    """Find the brace that closes the expression, past those of nested ones."""
    depth = 1
    for match in re.compile(r"\$\{|\}").finditer(template, start):
        depth += 1 if match[0] == "${" else -1
        if depth == 0:
            return match.start()
    raise _NoTemplateError
