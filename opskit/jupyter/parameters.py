"""A notebook's parameters: declared by plain assignments in its cell tagged ``parameters``.

The default says of which kind a value is. Texts that look like a secret are refused: a parameter
stands in the process list, the shell's history, crontabs and the executed copy.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never, cast

import msgspec

from opskit.decoding import decode_json, parse_python
from opskit.errors import InputError
from opskit.jupyter.notebook import Notebook, cells, source, tags

TAG = "parameters"
Value = bool | int | float | str | list[Any]

_KINDS = {"bool": bool, "int": int, "float": float, "str": str, "list": list}
_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}

_SECRET_NAME = re.compile(
    r"(?i)passw|passphrase|passwd|secret|token|credential|private|api_?key|(^|_)(key|pass|pw)($|_)"
)
_SECRET_VALUE = re.compile(
    r"""
    -----BEGIN\ |                                  # a key or certificate in PEM
    \bAGE-SECRET-KEY-1|
    \b(ghp|gho|ghs|github_pat|glpat|hvs|sk|rk|pk|xox[abeprs])[_-][\w-]{12,}|
    \b(AKIA|ASIA)[A-Z0-9]{16}\b|
    \beyJ[\w-]{8,}\.[\w-]+\.|                      # a JSON web token
    \bSWMTKN-|\bSWMKEY-|                           # a swarm's own
    \$(2[aby]|apr1|argon2\w*|[156y])\$|            # a hashed password
    ^[0-9a-fA-F]{32,}$|
    ://[^/\s:@]*:[^/\s@]+@                         # a password in an address
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter as the notebook declares it."""

    name: str
    default: Value

    @property
    def kind(self) -> str:
        """The name of its type."""
        return type(self.default).__name__

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}, {self.default!r})"


def declared_parameters(notebook: Notebook) -> dict[str, Parameter]:
    """Return the parameters a notebook declares, by name.

    Those with another default than a literal bool, int, float, str or list cannot be given from
    outside, and are left out.
    """
    found: dict[str, Parameter] = {}
    for cell in cells(notebook):
        if cell["cell_type"] == "code" and TAG in tags(cell):
            for name, default in _assignments(source(cell)):
                if type(default) in _KINDS.values():
                    found[name] = Parameter(name=name, default=default)
    return found


def parse_arguments(
    arguments: Iterable[str], known: Mapping[str, Parameter], path: Path
) -> dict[str, Value]:
    """Return the values of ``name=value`` arguments, each of the kind its default has.

    No message repeats a value: it may be a secret that was typed into the wrong place.

    Raises
    ------
    InputError
        An argument is not ``name=value``, names nothing that is declared, has a value of another
        kind, or looks like a secret.
    """
    values: dict[str, Value] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise InputError(
                "a parameter is not of the form name=value.", remedy=f"{_declared_list(known)}."
            )
        parameter = known.get(name)
        if _is_secret(name, text, parameter):
            raise InputError(
                f"the parameter {name} looks like a secret, and parameters stand in the process "
                "list, the shell's history and the executed copy.",
                remedy="Store it with `opskit secret insert APP SECRET` or `pass insert`, let the "
                "notebook use it from there, and renew it if it was real.",
            )
        if parameter is None:
            raise InputError(
                f"declares no parameter {name}.", path=path, remedy=f"{_declared_list(known)}."
            )
        values[name] = _parse(parameter, text, known)
    return values


def _assignments(text: str) -> Iterator[tuple[str, Any]]:
    try:
        parsed = parse_python(text, "exec")
    except SyntaxError:
        return
    for statement in cast("ast.Module", parsed).body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                try:
                    yield name, ast.literal_eval(value)
                except (ValueError, TypeError, MemoryError, RecursionError):
                    continue
            case _:
                continue


def _is_secret(name: str, text: str, parameter: Parameter | None) -> bool:
    if parameter is not None and parameter.kind not in ("str", "list"):
        return False
    return names_secret(name) or is_secret_like(text)


def names_secret(name: str) -> bool:
    """Return whether a name says that its value is a secret."""
    return _SECRET_NAME.search(name) is not None


def is_secret_like(text: str) -> bool:
    """Return whether a text holds what looks like a key, a token or a generated password."""
    return _SECRET_VALUE.search(text) is not None or any(
        _is_random(word) for word in re.split(r"[\s,;\"'\[\]]+", text)
    )


def _is_random(word: str) -> bool:
    """Return whether a word looks drawn at random, as a generated password does.

    Paths and names are made of shorter pieces, ids of lower case alone.
    """
    for piece in re.split(r"[-/._]", word):
        mixed = all(re.search(kind, piece) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
        if len(piece) >= 16 and mixed:
            shares = [piece.count(character) / len(piece) for character in set(piece)]
            if -sum(share * math.log2(share) for share in shares) > 3:
                return True
    return False


def _parse(parameter: Parameter, text: str, known: Mapping[str, Parameter]) -> Value:
    try:
        match parameter.default:
            case bool():
                return _TRUTHS[text.strip().lower()]
            case int():
                return int(text)
            case float():
                number = float(text)
                if math.isfinite(number):
                    return number
                raise ValueError
            case str():
                return text
            case list() as default:
                return _list(text, default)
            case _ as unknown:
                assert_never(unknown)
    except (KeyError, ValueError, OverflowError, msgspec.MsgspecError):
        raise InputError(
            f"the parameter {parameter.name} takes {_EXPECTED[parameter.kind]}.",
            remedy=f"{_declared_list(known)}.",
        ) from None


_EXPECTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "list": 'values of the kind of its default, as a,b or as JSON: ["a", "b"]',
}


def _list(text: str, default: list[Any]) -> list[Any]:
    kind = cast("type[Any]", type(default[0]) if default else str)
    if text.lstrip().startswith("["):
        values = decode_json(text, list[Any])
        if kind is float:
            values = [float(value) if type(value) is int else value for value in values]
    else:
        parts = [part.strip() for part in text.split(",")] if text.strip() else []
        values = [_TRUTHS[part.lower()] if kind is bool else kind(part) for part in parts]
    if any(type(value) is not kind for value in values):
        raise ValueError
    return values


def _declared_list(known: Mapping[str, Parameter]) -> str:
    if not known:
        return "This notebook declares none: tag the cell that assigns them `parameters`"
    return f"Declared: {', '.join(map(str, known.values()))}"
