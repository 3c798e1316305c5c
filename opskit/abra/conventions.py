"""abra's conventions about names, each in one place.

Those without published documentation follow abra 0.13: they are the ones to look at first when a
newer abra disagrees.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

ENV_SUFFIX = ".env"
CHAOS_MARK = "+U"
"""abra's mark for a checkout with changes of its own."""

DEFAULT_SERVER = "default"
"""abra's name for the engine of this machine; ``servers/*.env`` of old layouts belong to it."""

AUTO_UPDATE = "ENABLE_AUTO_UPDATE"
"""[?] The variable that abra hands on as the label ``autoupdate``, which its updater reads."""

STACK_LIMIT = 45
"""abra cuts longer stack names here."""

VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What can stand for a version in a secret's name. Anything else may be a value, put there by
mistake, and is not shown."""

_FALSE = frozenset({"false", "f", "0"})
_SECRET_KEY = re.compile(r"SECRET_(?P<inner>\w+)_VERSION|(?P<outer>\w+_SECRET)_VERSION")
_BARE_SECRET_KEY = re.compile(r"SECRET_(?P<inner>\w+)")
_BARE_VERSION = re.compile(r"v[0-9]+")
_EXPORT = re.compile(
    r"""
    ^export [ \t]+ (\w+) =
    (?: "([^"$`\\]*)" | '([^']*)' | ([^\s\#;&|$`\\"'()]*) )
    [ \t]* (?: \r?$ | [;\#] )
    """,
    re.MULTILINE | re.VERBOSE,
)


def app_name(file_name: str) -> str:
    """Give the app a ``.env`` file is about."""
    return file_name.removesuffix(ENV_SUFFIX)


def is_app_file(file_name: str) -> bool:
    """Tell an app's file from the others there; hidden files are none."""
    return file_name.endswith(ENV_SUFFIX) and not file_name.startswith(".")


def stack_name(app: str, values: Mapping[str, str]) -> str:
    """Give an app's stack name: ``STACK_NAME``, else its name with dots as underscores, cut."""
    return values.get("STACK_NAME") or app.replace(".", "_")[:STACK_LIMIT]


def recipe_of(values: Mapping[str, str]) -> tuple[str, str]:
    """Give recipe and pinned version of ``RECIPE=`` or ``TYPE=``, a name or ``name:version``."""
    named = (values.get("RECIPE") or values.get("TYPE") or "").strip()
    scheme, separator, rest = named.rpartition("://")
    name, _, version = rest.partition(":")
    return scheme + separator + name, version.removesuffix(CHAOS_MARK)


def recipe_key(values: Mapping[str, str]) -> str:
    """Give the variable that names the recipe."""
    return "RECIPE" if values.get("RECIPE") else "TYPE"


def is_chaos(values: Mapping[str, str]) -> bool:
    """Tell whether the pinned version bears abra's mark for changes that no commit holds."""
    return (values.get("RECIPE") or values.get("TYPE") or "").strip().endswith(CHAOS_MARK)


def pinned_version(values: Mapping[str, str]) -> str:
    """Return the version to read a recipe at; empty for the working tree, as with abra's mark."""
    return "" if is_chaos(values) else recipe_of(values)[1]


def recipe_line(lines: Mapping[str, int]) -> int | None:
    """Give the line that names the recipe."""
    return lines.get("RECIPE") or lines.get("TYPE")


def recipe_folders(recipe: str) -> tuple[str, ...]:
    """Give the folder names a recipe may have; one named by its address has them escaped."""
    plain = (recipe,) if "/" not in recipe and recipe not in {"", ".", ".."} else ()
    address = recipe.rpartition("://")[2].removesuffix(".git")
    escaped = re.sub(r"[/.]", "_", address)
    return tuple(dict.fromkeys((*plain, *((escaped,) if escaped else ()))))


def compose_files(values: Mapping[str, str]) -> tuple[str, ...]:
    """Give the enabled compose files, relative to the recipe's folder, each once."""
    parts = (part.strip() for part in values.get("COMPOSE_FILE", "").split(":"))
    return tuple(dict.fromkeys(part for part in parts if part)) or ("compose.yml",)


def exported(script: str) -> dict[str, str]:
    """Give the plain ``export NAME=value`` lines of an ``abra.sh``, without running it.

    Only those that begin their line count, as for abra: an indented one stands in a function,
    which may set ``DOMAIN`` or the like for itself alone.
    """
    return {m[1]: m[2] or m[3] or m[4] or "" for m in _EXPORT.finditer(script)}


def generates(modifiers: Mapping[str, str]) -> bool:
    """Tell whether abra may generate the secret: not with ``generate=false``."""
    return modifiers.get("generate", "").lower() not in _FALSE


def guessed_secret(key: str, value: str) -> str:
    """Give the secret whose version a ``.env`` line seems to name, or nothing.

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
