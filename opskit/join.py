"""Declared meets observed: which swarm secret is which version of which app's secret.

Docker gives a secret one flat name; ``<stack>_<secret>_<version>`` can only be taken apart by
knowing the stacks, since underscores may stand in every part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from opskit.abra.model import DeclaredApp, DeclaredSecret
from opskit.swarm import model
from opskit.swarm.observe import Observation

State = Literal["current", "pending", "missing", "superseded", "stale", "orphan", "undeployed"]
"""How a version stands.

``current``: declared, exists, used by the running services. ``pending``: declared, exists,
services do not use it yet. ``missing``: declared, not in the swarm. ``superseded``: exists,
another version is declared, unused. ``stale``: still used though another version is declared.
``orphan``: no app declares its stack or secret. ``undeployed``: the app is not deployed.
"""

STACK_LABEL = "com.docker.stack.namespace"

_LIVE_STATES = frozenset({"new", "allocated", "pending", "assigned", "accepted", "preparing",
                          "ready", "starting", "running"})  # fmt: skip

_LOOKS_LIKE_VERSION = re.compile(r"v?[0-9]")
_DIGEST = re.compile(
    r"""
      (?: sha\d+ [:-] )? (?: [0-9a-f]{32,128} | [a-z0-9+/_-]{43}= | [a-z0-9+/_-]{86}== )
    | \$ \w+ \$ \S+                                                    # as crypt(3) writes them
    """,
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """Which services need a secret, by secret id.

    `spec`: named by the current spec; `tasks`: mounted by a task that still lives;
    `previous`: named by the spec a rollback would return to.
    """

    spec: Mapping[str, frozenset[str]]
    tasks: Mapping[str, frozenset[str]]
    previous: Mapping[str, frozenset[str]]

    def running(self, secret_id: str) -> list[str]:
        """Return the services that use the secret now, by their spec or by a live task."""
        empty = frozenset[str]()
        return sorted(self.spec.get(secret_id, empty) | self.tasks.get(secret_id, empty))

    def needed_by(self, secret_id: str) -> list[str]:
        """Return who would miss the secret: running services, and those that could roll back."""
        running = self.running(secret_id)
        previous = self.previous.get(secret_id, frozenset[str]()) - set(running)
        return running + [f"{name} (its previous spec)" for name in sorted(previous)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRow:
    """One version of one secret on one server: what is declared, what is there, or both."""

    stack: str
    secret: str
    version: str
    swarm_name: str
    app: DeclaredApp | None
    declared: DeclaredSecret | None
    stored: model.StoredObject | None
    used_by: list[str]
    state: State | None


def stack_of(labels: Mapping[str, str] | None) -> str:
    """Return the stack an object is labelled with, or nothing."""
    return (labels or {}).get(STACK_LABEL, "")


def digests_among(labels: Mapping[str, str] | None) -> list[str]:
    """Return the labels that seem to hold a digest, with which guesses at a value can be tested."""
    found = (key for key, text in (labels or {}).items() if _DIGEST.fullmatch(text.strip()))
    return sorted(found)


def origin(versions: Iterable[SecretRow]) -> model.StoredObject | None:
    """Return the version of a secret that a new one takes after: that in force, else the newest."""
    there = [(row.declared is not None, row.stored) for row in versions if row.stored]
    newest = max(there, key=lambda one: (one[0], one[1].created_at), default=(False, None))
    return newest[1]


def not_generated(driver: str | None, template: str | None) -> str:
    """Return why no value can be made for a secret, as the end of a sentence about it, or nothing.

    Parameters
    ----------
    driver, template
        The driver its value comes from, and the one that renders it.
    """
    if driver:
        return f"its value comes from the driver {driver}; change it there"
    return "it is a template; insert a new one" if template else ""


def uses(services: Iterable[model.Service], tasks: Iterable[model.Task]) -> Uses:
    """Return who needs which secret, from current specs, previous specs and live tasks."""
    spec: dict[str, set[str]] = {}
    previous: dict[str, set[str]] = {}
    live: dict[str, set[str]] = {}
    names: dict[str, str] = {}
    for service in services:
        names[service.id] = service.spec.name
        _add(spec, service.spec.task_template.container_spec, service.spec.name)
        if service.previous_spec is not None:
            _add(previous, service.previous_spec.task_template.container_spec, service.spec.name)
    for task in tasks:
        if task.status.state in _LIVE_STATES:
            _add(live, task.spec.container_spec, names.get(task.service_id, task.service_id))
    return Uses(spec=_frozen(spec), tasks=_frozen(live), previous=_frozen(previous))


def _add(found: dict[str, set[str]], container: model.ContainerSpec | None, name: str) -> None:
    for reference in (container and container.secrets) or ():
        found.setdefault(reference.secret_id, set()).add(name)


def _frozen(found: dict[str, set[str]]) -> dict[str, frozenset[str]]:
    return {key: frozenset(value) for key, value in found.items()}


def longest_prefix(name: str, known: Mapping[str, object] | frozenset[str]) -> str:
    """Return the longest known name that `name` starts with, up to an underscore.

    With both ``app`` and ``app_dev`` known, ``app_dev_db_v1`` belongs to ``app_dev``.
    """
    cut = name.rfind("_")
    while cut > 0:
        if name[:cut] in known:
            return name[:cut]
        cut = name.rfind("_", 0, cut)
    return ""


def split_version(rest: str, secrets: frozenset[str] = frozenset()) -> tuple[str, str]:
    """Take ``<secret>_<version>`` apart.

    At the last underscore, as abra does, unless the names the recipe knows say otherwise: a
    secret may be called ``x_v2``, and a version ``2024_a``.
    """
    secret, _, version = rest.rpartition("_")
    if secret in secrets or not secrets:
        return (secret, version) if secret else (rest, "")
    if rest in secrets:
        return rest, ""
    known = longest_prefix(rest, secrets)
    if known and _LOOKS_LIKE_VERSION.match(rest, len(known) + 1):
        return known, rest[len(known) + 1 :]
    return (secret, version) if secret else (rest, "")


def secret_rows(apps: Iterable[DeclaredApp], seen: Observation | None) -> list[SecretRow]:
    """Join one server's apps with what its swarm holds.

    Parameters
    ----------
    apps
        The apps declared for this server.
    seen
        What the server said; ``None`` or an observation without a readable swarm leaves the
        declared versions with an unknown state.
    """
    apps = list(apps)
    readable = seen is not None and seen.manager and "secrets" not in seen.unread
    if seen is None or not readable:
        return [_declared_row(app, secret, None) for app, secret in _declared(apps).values()]
    return _Join(apps, seen).rows()


def _declared(apps: Iterable[DeclaredApp]) -> dict[str, tuple[DeclaredApp, DeclaredSecret]]:
    found: dict[str, tuple[DeclaredApp, DeclaredSecret]] = {}
    for app in apps:
        for secret in app.secrets:
            found.setdefault(secret.swarm_name, (app, secret))
    return found


def _declared_row(app: DeclaredApp, secret: DeclaredSecret, state: State | None) -> SecretRow:
    return SecretRow(
        stack=app.stack,
        secret=secret.name,
        version=secret.version,
        swarm_name=secret.swarm_name,
        app=app,
        declared=secret,
        stored=None,
        used_by=[],
        state=state,
    )


class _Join:
    def __init__(self, apps: list[DeclaredApp], seen: Observation) -> None:
        self._seen = seen
        self._uses = uses(seen.services, seen.tasks)
        self._declared = _declared(apps)
        self._apps: dict[str, DeclaredApp] = {}
        for app in apps:
            self._apps.setdefault(app.stack, app)
        self._deployed = {stack_of(service.spec.labels) for service in seen.services} - {""}
        self._stacks = frozenset(self._apps) | self._deployed
        self._names = {app.stack: frozenset(secret.name for secret in app.secrets) for app in apps}
        self._current = {
            (app.stack, secret.name): secret for app, secret in self._declared.values()
        }
        self._stored = {secret.spec.name: secret for secret in seen.secrets}

    def rows(self) -> list[SecretRow]:
        rows = [self._stored_row(secret) for secret in self._seen.secrets]
        rows += [
            self._missing_row(app, secret)
            for name, (app, secret) in self._declared.items()
            if name not in self._stored
        ]
        return rows

    def _missing_row(self, app: DeclaredApp, secret: DeclaredSecret) -> SecretRow:
        deployed = app.stack in self._deployed
        return _declared_row(app, secret, "missing" if deployed else "undeployed")

    def _stored_row(self, stored: model.StoredObject) -> SecretRow:
        name = stored.spec.name
        used_by = self._uses.running(stored.id)
        if name in self._declared:
            app, declared = self._declared[name]
            stack, secret, version = app.stack, declared.name, declared.version
            state = self._declared_state(app, used_by)
        else:
            declared = None
            stack = longest_prefix(name, self._stacks)
            app = self._apps.get(stack)
            rest = name[len(stack) + 1 :] if stack else name
            secret, version = split_version(rest, self._names.get(stack, frozenset()))
            state = self._undeclared_state(self._current.get((stack, secret)), used_by)
        return SecretRow(
            stack=stack,
            secret=secret,
            version=version,
            swarm_name=name,
            app=app,
            declared=declared,
            stored=stored,
            used_by=used_by,
            state=state,
        )

    def _declared_state(self, app: DeclaredApp, used_by: list[str]) -> State:
        if app.stack not in self._deployed and not used_by:
            return "undeployed"
        return "current" if used_by else "pending"

    def _undeclared_state(self, current: DeclaredSecret | None, used_by: list[str]) -> State:
        if current is None:
            return "orphan"
        return "stale" if used_by else "superseded"
