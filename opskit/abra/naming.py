"""The swarm name of a secret or config, and which part of it is what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from opskit.abra.compose import Entry
from opskit.abra.conventions import VERSION
from opskit.abra.files import printable
from opskit.abra.interpolate import Piece, interpolate

_ENDS_IN_VERSION = re.compile(r".+_(v?[0-9][A-Za-z0-9.-]*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A swarm name taken apart.

    Parameters
    ----------
    full
        The whole name; it ends with `version`.
    name
        What stands between the stack and the version.
    version
        Empty when there is none.
    variable
        The variable that gives the version, empty when the name gives it itself.
    own
        Whether the name begins with the stack's.
    faults
        What is wrong, as sentences about the name.
    """

    full: str
    name: str
    version: str
    variable: str
    own: bool
    faults: tuple[str, ...] = ()


def take_apart(key: str, entry: Entry, stack: str, variables: Mapping[str, str]) -> Named:
    """Work out the swarm name of a top-level entry.

    The version is what the variable behind the last underscore of ``name:`` gives, whatever the
    variable is called; without one, what looks like a version there.
    """
    if entry.name:
        interpolated = interpolate(entry.name, variables)
        pieces, faults = list(interpolated.pieces), list(interpolated.faults)
    else:
        pieces, faults = [Piece(text=key if entry.external else f"{stack}_{key}")], []
    *before, last = pieces or [Piece(text="")]
    prefix = "".join(piece.text for piece in before)
    variable = last.variable if prefix.endswith("_") else ""
    if variable:
        version = last.text if VERSION.fullmatch(last.text) else ""
        if not version and not faults:
            faults.append(_unusable(variable, last.text))
        full = printable(prefix) + version
    else:
        full = printable(prefix + last.text)
        match = _ENDS_IN_VERSION.fullmatch(full)
        version = match[1] if match else ""
    own = full.startswith(f"{stack}_")
    name = full.removeprefix(f"{stack}_") if own else full
    return Named(
        full=full,
        name=name.removesuffix(version).removesuffix("_") or key,
        version=version,
        variable=variable,
        own=own,
        faults=tuple(faults),
    )


def _unusable(variable: str, version: str) -> str:
    if version:
        # Not shown: a value put there by mistake would be.
        return f"{variable} is set to what cannot be a version, so the name has none."
    return f"{variable} is not set, so the name has no version."
