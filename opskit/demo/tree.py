"""The demo fleet's files: recipes, servers and apps as abra keeps them, and a password store.

The store's entries can be listed and never opened; it also keeps whoever tries the demo away from
their own.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from opskit.abra.layout import read_tree
from opskit.demo.sample import APPS, CHECKOUTS, EDITED, NOT_FETCHED, SERVERS, SampleApp
from opskit.errors import StepError
from opskit.git import SECONDS, run_git

RECIPES = Path(__file__).parent / "recipes"

_GIT_ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "Demo",
    "GIT_AUTHOR_EMAIL": "demo@coop.example",
    "GIT_AUTHOR_DATE": "2026-01-05T09:00:00Z",
    "GIT_COMMITTER_NAME": "Demo",
    "GIT_COMMITTER_EMAIL": "demo@coop.example",
    "GIT_COMMITTER_DATE": "2026-01-05T09:00:00Z",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
}
"""Alike on every machine, so that the commits are."""

_EVERYBODY = "ops@coop.example\n"
_WITH_SOL = f"{_EVERYBODY}sol@mutual.example\n"
_LEFT_OVER = "hosts/coop.example/wiki.coop.example/secret_key"
_FORGOTTEN = frozenset({"jwt_secret", "session", "oidc_key"})
"""Secrets nobody put into the store."""


def write_abra(root: Path, servers: Iterable[str] = SERVERS) -> None:
    """Write the demo fleet's ``~/.abra``.

    Parameters
    ----------
    root
        The folder to make.
    servers
        Those of the sample to have.
    """
    recipes = root / "recipes"
    shutil.copytree(RECIPES, recipes, ignore=shutil.ignore_patterns(NOT_FETCHED))
    for server in servers:
        (root / "servers" / server).mkdir(parents=True)
    for app in APPS:
        path = root / env_path(app)
        if path.parent.is_dir():
            path.write_text(env_text(app))
    if shutil.which("git", path=_GIT_ENVIRONMENT["PATH"]):
        with ThreadPoolExecutor() as threads:
            list(threads.map(_make_checkout, [recipes / recipe for recipe in CHECKOUTS]))
    with (recipes / EDITED / "abra.sh").open("a") as script:
        script.write("\n# TODO: send the fix for multisite upstream\n")


def env_path(app: SampleApp) -> Path:
    """Return the place of an app's ``.env`` below the abra folder."""
    return Path("servers", app.server, f"{app.name}.env")


def env_text(app: SampleApp) -> str:
    """Return an app's ``.env``: its recipe's sample, edited as an operator does."""
    text = (RECIPES / app.recipe / ".env.sample").read_text()
    for overlay in app.overlays:
        text = _enabled(text, overlay)
    text = _set(text, "TYPE", f"{app.recipe}:{app.pinned}" if app.pinned else app.recipe)
    text = _set(text, "DOMAIN", app.name)
    for secret, versions in app.secrets.items():
        text = _set(text, rf"(?:SECRET_)?{secret.upper()}_VERSION", versions.declared)
    return "\n".join([text.rstrip("\n"), *app.lines, ""])


def _enabled(text: str, overlay: str) -> str:
    """Take the ``#`` from the lines of the paragraph that names an overlay."""
    paragraphs = text.split("\n\n")
    for at, paragraph in enumerate(paragraphs):
        if overlay in paragraph:
            paragraphs[at] = re.sub(r"^#(?=\w+=)", "", paragraph, flags=re.MULTILINE)
    return "\n\n".join(paragraphs)


def _set(text: str, key: str, value: str) -> str:
    return re.sub(rf"^({key}=)\S+", rf"\g<1>{value}", text, flags=re.MULTILINE)


def _make_checkout(folder: Path) -> None:
    """Make a recipe a checkout of its newest release, with tags for those that apps pin."""
    version = CHECKOUTS[folder.name]
    for command in (
        ("init", "--quiet", "--template=", "--initial-branch=main"),
        ("add", "--all"),
        ("commit", "--quiet", "--message", f"Release {version}"),
        ("tag", version),
    ):
        _git(folder, *command)
    pinned = {app.pinned for app in APPS if app.recipe == folder.name}
    for older in sorted(pinned - {"", version}):
        commit = _git(folder, "commit-tree", "HEAD^{tree}", "-m", f"Release {older}")
        _git(folder, "tag", older, commit)


def _git(folder: Path, *command: str) -> str:
    ended = run_git(folder, *command, environment=_GIT_ENVIRONMENT, seconds=SECONDS)
    if ended.status:
        raise StepError(f"git could not {command[0]} {folder}: {ended.reason}")
    return ended.text


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
