"""Variable interpolation as Compose does it, and where each piece of the result came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_OPEN = re.compile(r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_][A-Za-z0-9_]*)|(?P<brace>\{))")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")


class InterpolationError(ValueError):
    """The text is not a valid template, or a required variable is not set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of an interpolated text; `variable` is empty for literal text."""

    text: str
    variable: str = ""


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Interpolate a Compose value.

    Parameters
    ----------
    text
        With ``$VAR``, ``${VAR}``, ``${VAR:-default}``, ``${VAR-default}``, ``${VAR:?error}``,
        ``${VAR?error}``, ``${VAR:+other}``, ``${VAR+other}`` and ``$$``.
    variables
        What they stand for; anything absent is empty.

    Raises
    ------
    InterpolationError
        A brace is not closed, or a required variable is not set.
    """
    return "".join(piece.text for piece in pieces(text, variables))


def pieces(text: str, variables: Mapping[str, str]) -> list[Piece]:
    """Interpolate, and tell which variable each piece of the result came from."""
    found: list[Piece] = []
    at = 0
    while at < len(text):
        match = _OPEN.search(text, at)
        if match is None:
            if "$" in text[at:]:
                raise InterpolationError(f"a lone $ in {text!r}; write $$ for a dollar sign")
            found.append(Piece(text=text[at:]))
            break
        literal = text[at : match.start()]
        if "$" in literal:
            raise InterpolationError(f"a lone $ in {text!r}; write $$ for a dollar sign")
        if literal:
            found.append(Piece(text=literal))
        at = match.end()
        if match["escaped"]:
            found.append(Piece(text="$"))
        elif match["plain"]:
            name = match["plain"]
            found.append(Piece(text=variables.get(name, ""), variable=name))
        else:
            end = _closing(text, at)
            found.append(_braced(text[at:end], variables))
            at = end + 1
    return found


def _closing(text: str, start: int) -> int:
    depth = 1
    at = start
    while at < len(text):
        if text.startswith("${", at):
            depth += 1
            at += 2
            continue
        if text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    raise InterpolationError(f"a brace is not closed in {text!r}")


def _braced(inner: str, variables: Mapping[str, str]) -> Piece:
    match = _NAME.match(inner)
    if match is None:
        raise InterpolationError(f"'${{{inner}}}' names no variable")
    name, rest = match[0], inner[match.end() :]
    value = variables.get(name)
    if not rest:
        return Piece(text=value or "", variable=name)
    operator = next((o for o in _OPERATORS if rest.startswith(o)), "")
    if not operator:
        raise InterpolationError(f"'${{{inner}}}' has an operator Compose does not know")
    word = rest[len(operator) :]
    # A colon makes an empty variable count as unset.
    is_set = bool(value) if operator.startswith(":") else value is not None
    match operator[-1]:
        case "-":
            text = value or "" if is_set else interpolate(word, variables)
        case "+":
            text = interpolate(word, variables) if is_set else ""
        case _:
            if not is_set:
                why = interpolate(word, variables)
                raise InterpolationError(
                    f"the variable {name} is required and not set" + (f": {why}" if why else "")
                )
            text = value or ""
    return Piece(text=text, variable=name)
