"""What a shell completes: servers, apps and secrets, as abra's folder declares them.

Nothing is asked of a server. A name that a shell would take for more than a name is not offered:
bash and zsh evaluate what they are given.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

import typer

from opskit.errors import OpskitError

_INERT = re.compile(r"\w[\w.-]*")


def servers(incomplete: str) -> list[str]:
    """Return the servers whose names begin so."""
    return _beginning(incomplete, _apps())


def apps(incomplete: str) -> list[str]:
    """Return the apps whose names begin so; as ``server/app`` where that is begun or needed."""
    by_server = _apps()
    every = [app for names in by_server.values() for app in names]
    with_server = [
        f"{server}/{app}"
        for server, names in by_server.items()
        if _INERT.fullmatch(server)
        for app in names
        if _INERT.fullmatch(app) and ("/" in incomplete or every.count(app) > 1)
    ]
    alone = [app for app in every if "/" not in incomplete and every.count(app) == 1]
    found = [name for name in with_server if name.startswith(incomplete)]
    return sorted(found + _beginning(incomplete, alone))


def secrets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the secrets of the app on the command line whose names begin so."""
    named = str(ctx.params.get("app") or "")
    given: Collection[str] = ctx.params.get("secrets") or ()
    return [name for name in _beginning(incomplete, _secrets(named)) if name not in given]


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [one for one in names if one.startswith(incomplete) and _INERT.fullmatch(one)]


def _apps() -> dict[str, list[str]]:
    from opskit.abra.layout import app_names, default_root

    try:
        return app_names(default_root())
    except (OpskitError, OSError):
        return {}


def _secrets(named: str) -> list[str]:
    from opskit.abra.app import read_app
    from opskit.abra.layout import default_root, env_path
    from opskit.abra.recipe import Recipes

    server, _, app = named.rpartition("/")
    homes = [server] if server else [one for one, names in _apps().items() if app in names]
    if len(homes) != 1:
        return []
    try:
        root = default_root()
        declared = read_app(Recipes(root), homes[0], env_path(root, homes[0], app))
    except (OpskitError, OSError):
        return []
    return sorted(secret.name for secret in declared.secrets)
