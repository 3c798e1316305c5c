"""The demo fleet's password store: entries that can be listed and never opened.

It also keeps whoever tries the demo away from their own store.
"""

from __future__ import annotations

from pathlib import Path

from opskit.abra.layout import read_tree

_EVERYBODY = "ops@coop.example\n"
_WITH_SOL = f"{_EVERYBODY}sol@mutual.example\n"
_LEFT_OVER = "hosts/coop.example/wiki.coop.example/secret_key"
_FORGOTTEN = frozenset({"jwt_secret", "session", "oidc_key"})
"""Secrets nobody put into the store."""


def write_store(store: Path, abra: Path) -> None:
    """Write a store for the apps of an abra folder.

    Two people can open everything; ``sol@mutual.example`` what belongs to mutual.example.
    """
    below_mutual = store / "hosts" / "mutual.example"
    below_mutual.mkdir(parents=True)
    (store / ".gpg-id").write_text(_EVERYBODY)
    (below_mutual / ".gpg-id").write_text(_WITH_SOL)
    paths = [
        f"hosts/{server.name}/{app.name}/{secret.name}"
        for server in read_tree(abra).servers
        for app in server.apps
        for secret in app.secrets
        if secret.name not in _FORGOTTEN
    ]
    for path in (*paths, _LEFT_OVER):
        entry = store / f"{path}.gpg"
        entry.parent.mkdir(parents=True, exist_ok=True)
        entry.write_text("made up for the demo; there is nothing to open\n")
