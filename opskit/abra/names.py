"""The names of apps, stacks, recipes, labels, secrets and configs: abra's conventions in one place.

Those without published documentation follow abra 0.13: they are the ones to look at first when a
newer abra disagrees.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from opskit.abra.compose import Entry
from opskit.abra.files import printable
from opskit.abra.interpolate import Piece, interpolate
from opskit.inert import without_login

ENV_SUFFIX = ".env"
DEFAULT_SERVER = "default"
"""abra's name for the engine of this machine; ``servers/*.env`` of old layouts belong to it."""

CHAOS_MARK = "+U"
"""abra's mark for a checkout with changes of its own."""

AUTO_UPDATE = "ENABLE_AUTO_UPDATE"
"""[?] The variable that abra hands on as the label ``autoupdate``, which its updater reads."""

APP_SERVICE = "app"
"""The service of a recipe that abra reads and writes labels at."""

STACK_LIMIT = 45
"""abra cuts longer stack names here."""

VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What can stand for a version in a secret's name. Anything else may be a value, put there by
mistake, and is not shown."""

_LOGIN = re.compile(r"\A[^/@\s]+@(?=[^/@\s]+\.[^/@\s]+/)")
"""In an address without ``https://``."""

_SECRET_KEY = re.compile(r"SECRET_(?P<inner>\w+)_VERSION|(?P<outer>\w+_SECRET)_VERSION")
_BARE_SECRET_KEY = re.compile(r"SECRET_(?P<inner>\w+)")
_BARE_VERSION = re.compile(r"v[0-9]+")
_ENDS_IN_VERSION = re.compile(r".+_(v?[0-9][A-Za-z0-9.-]*)", re.DOTALL)


def app_name(file_name: str) -> str:
    """Return the app a ``.env`` file is about."""
    return file_name.removesuffix(ENV_SUFFIX)


def is_app_file(file_name: str) -> bool:
    """Return whether this is an app's file; hidden files are none."""
    return file_name.endswith(ENV_SUFFIX) and not file_name.startswith(".")


def stack_name(app: str, values: Mapping[str, str]) -> str:
    """Return an app's stack name: ``STACK_NAME``, else its name with dots as underscores, cut."""
    return values.get("STACK_NAME") or app.replace(".", "_")[:STACK_LIMIT]


def recipe_of(values: Mapping[str, str]) -> tuple[str, str]:
    """Return recipe and pinned version of ``RECIPE=`` or ``TYPE=``, a name or ``name:version``.

    Where the name is an address, a login in it is left out: what it names is shown everywhere.
    """
    named = (values.get("RECIPE") or values.get("TYPE") or "").strip()
    scheme, separator, rest = nameable(named).rpartition("://")
    name, _, version = rest.partition(":")
    return scheme + separator + name, version.removesuffix(CHAOS_MARK)


def nameable(recipe: str) -> str:
    """Return a recipe as it may be named: without a login, if it is an address that has one."""
    return _LOGIN.sub("", without_login(recipe))


def recipe_key(values: Mapping[str, str]) -> str:
    """Return the variable that names the recipe."""
    return "RECIPE" if values.get("RECIPE") else "TYPE"


def is_chaos(values: Mapping[str, str]) -> bool:
    """Return whether the pinned version bears abra's mark for changes that no commit holds."""
    return (values.get("RECIPE") or values.get("TYPE") or "").strip().endswith(CHAOS_MARK)


def pinned_version(values: Mapping[str, str]) -> str:
    """Return the version to read a recipe at; empty for the working tree, as with abra's mark."""
    return "" if is_chaos(values) else recipe_of(values)[1]


def recipe_line(lines: Mapping[str, int]) -> int | None:
    """Return the line that names the recipe."""
    return lines.get("RECIPE") or lines.get("TYPE")


def recipe_folders(recipe: str) -> tuple[str, ...]:
    """Return the folder names a recipe may have; one named by its address has them escaped."""
    plain = (recipe,) if "/" not in recipe and recipe not in {"", ".", ".."} else ()
    address = recipe.rpartition("://")[2].removesuffix(".git")
    escaped = re.sub(r"[/.]", "_", address)
    return tuple(dict.fromkeys((*plain, *((escaped,) if escaped else ()))))


def compose_files(values: Mapping[str, str]) -> tuple[str, ...]:
    """Return the enabled compose files, relative to the recipe's folder, each once."""
    parts = (part.strip() for part in values.get("COMPOSE_FILE", "").split(":"))
    return tuple(dict.fromkeys(part for part in parts if part)) or ("compose.yml",)


def guessed_secret(key: str, value: str) -> str:
    """Return the secret whose version a ``.env`` line seems to name, or nothing.

    ``SECRET_X_VERSION=v1`` and ``X_SECRET_VERSION=v1`` do, ``SECRET_X=v1`` does when the value
    looks like a version. ``X_VERSION`` is a config's or an image's.
    """
    match = _SECRET_KEY.fullmatch(key)
    if match is None and _BARE_VERSION.fullmatch(value):
        match = _BARE_SECRET_KEY.fullmatch(key)
    if match is None or not VERSION.fullmatch(value) or key == "SECRET_VERSION":
        return ""
    parts = match.groupdict()
    return (parts["inner"] or parts.get("outer") or "").lower()


def label(stack: str, name: str) -> str:
    """Return a label's key, such as ``coop-cloud.shop_example.version``."""
    return f"coop-cloud.{stack}.{name}"


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
    """Return the swarm name of a top-level entry, taken apart.

    The version is what the variable behind the last underscore of ``name:`` gives, whatever the
    variable is called; without one, what looks like a version there.
    """
    interpolated = interpolate(entry.name, variables)
    pieces, faults = list(interpolated.pieces), list(interpolated.faults)
    if not interpolated.text:
        # As docker has it; with `faults` it would refuse the file.
        pieces = [Piece(text=key if entry.external else f"{stack}_{key}")]
        if entry.name and not faults:
            faults.append(f"its name: comes to nothing, so docker calls it {pieces[0].text}.")
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
