"""Declared meets observed: which swarm secret is which version of which app's secret.

Docker gives a secret one flat name; ``<stack>_<secret>_<version>`` can only be taken apart by
knowing the stacks, since underscores may stand in every part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from opskit.abra.model import DeclaredApp, DeclaredSecret
from opskit.facts.around import ALONE, Around, is_in_part
from opskit.swarm import model
from opskit.swarm.observe import Observation

State = Literal[
    "current", "pending", "missing", "superseded", "stale", "orphan", "undeployed", "unknown"
]
"""How a version stands.

``current``: declared, exists, used by the running services. ``pending``: declared, exists,
services do not use it yet. ``missing``: declared, not in the swarm. ``superseded``: exists,
another version is declared, unused. ``stale``: still used though another version is declared.
``orphan``: no app declares its stack or secret. ``undeployed``: the app is not deployed.
``unknown``: an app may declare it, or another version of it, whose files were not read whole or
whose server may be one with this swarm.
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


class SecretRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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
    doubt: str = ""
    """Why the state is unknown."""


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


def split_version(
    rest: str, secrets: Mapping[str, object] | frozenset[str] = frozenset()
) -> tuple[str, str]:
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


def secret_rows(
    apps: Iterable[DeclaredApp], seen: Observation | None, around: Around = ALONE
) -> list[SecretRow]:
    """Join one server's apps with what its swarm holds.

    Of a swarm that several servers lead to each version is told once: with the server whose app
    it is, else with the first.

    Parameters
    ----------
    apps
        The apps declared for this server.
    seen
        What the server said; ``None`` or an observation without a readable swarm leaves the
        declared versions without a state.
    around
        What other servers declare.
    """
    apps = list(apps)
    readable = seen is not None and seen.manager and "secrets" not in seen.unread
    if seen is None or not readable:
        return [_declared_row(app, secret, None) for app, secret in _declared(apps)]
    return _Join(apps, seen, around).rows()


def _declared(apps: Iterable[DeclaredApp]) -> list[tuple[DeclaredApp, DeclaredSecret]]:
    """Return what is declared: of one name the first app, with each of its keys for it."""
    found: dict[str, tuple[DeclaredApp, list[DeclaredSecret]]] = {}
    for app in apps:
        for secret in app.secrets:
            owner, secrets = found.setdefault(secret.swarm_name, (app, []))
            if owner is app:
                secrets.append(secret)
    return [(app, secret) for app, secrets in found.values() for secret in secrets]


def _declared_row(
    app: DeclaredApp, secret: DeclaredSecret, state: State | None, doubt: str = ""
) -> SecretRow:
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
        doubt=doubt,
    )


class _Join:
    def __init__(self, apps: list[DeclaredApp], seen: Observation, around: Around) -> None:
        self._seen, self._around = seen, around
        self._uses = uses(seen.services, seen.tasks)
        self._all = [*apps, *around.together]
        self._own: dict[str, list[tuple[DeclaredApp, DeclaredSecret]]] = {}
        for app, secret in _declared(apps):
            self._own.setdefault(secret.swarm_name, []).append((app, secret))
        self._elsewhere = {s.swarm_name for app in around.together for s in app.secrets}
        self._mine = {app.stack for app in apps}
        self._apps: dict[str, DeclaredApp] = {}
        for app in self._all:
            self._apps.setdefault(app.stack, app)
        self._deployed = {stack_of(service.spec.labels) for service in seen.services} - {""}
        self._stacks = frozenset(self._apps) | self._deployed
        self._in_part = next(filter(is_in_part, self._all), None)
        self._stems = _stems(self._all)
        self._shared = [
            (app, secret) for app in self._all for secret in app.secrets if secret.shared
        ]
        self._stored = {secret.spec.name: secret for secret in seen.secrets}

    def rows(self) -> list[SecretRow]:
        rows = [row for secret in self._seen.secrets for row in self._stored_rows(secret)]
        rows += [
            self._missing_row(app, secret)
            for name, found in self._own.items()
            if name not in self._stored
            for app, secret in found
        ]
        return rows

    def _missing_row(self, app: DeclaredApp, secret: DeclaredSecret) -> SecretRow:
        if doubt := about_unread(app):
            return _declared_row(app, secret, "unknown", doubt)
        deployed = app.stack in self._deployed
        if not deployed and (why := self._seen.unread.get("services")):
            return _declared_row(app, secret, "unknown", f"its services could not be read: {why}")
        return _declared_row(app, secret, "missing" if deployed else "undeployed")

    def _stored_rows(self, stored: model.StoredObject) -> list[SecretRow]:
        name = stored.spec.name
        used_by = self._uses.running(stored.id)
        rows: list[SecretRow] = []
        for app, declared in self._own.get(name, ()):
            doubt = about_unread(app) or self._unseen(used_by)
            rows.append(
                SecretRow(
                    stack=app.stack,
                    secret=declared.name,
                    version=declared.version,
                    swarm_name=name,
                    app=app,
                    declared=declared,
                    stored=stored,
                    used_by=used_by,
                    state="unknown" if doubt else self._declared_state(app, used_by),
                    doubt=doubt,
                )
            )
        if rows or name in self._elsewhere:
            return rows
        return self._undeclared_rows(stored, used_by)

    def _undeclared_rows(self, stored: model.StoredObject, used_by: list[str]) -> list[SecretRow]:
        name = stored.spec.name
        app, stack, secret, version, known = self._taken_apart(name)
        told_here = stack in self._mine if app else self._around.first
        if not told_here:
            return []
        state: State = "orphan" if not known else "stale" if used_by else "superseded"
        doubt = self._doubt(name, app, certain=known) or self._unseen(used_by)
        return [
            SecretRow(
                stack=stack,
                secret=secret,
                version=version,
                swarm_name=name,
                app=app,
                declared=None,
                stored=stored,
                used_by=used_by,
                state="unknown" if doubt else state,
                doubt=doubt,
            )
        ]

    def _unseen(self, used_by: list[str]) -> str:
        """Return why it may be used though nothing that was read uses it."""
        unread = self._seen.unread
        if not unread:
            return ""
        lists = () if used_by else (one for one in ("services", "tasks") if one in unread)
        return next((f"its {one} could not be read: {unread[one]}" for one in lists), "")

    def _taken_apart(self, name: str) -> tuple[DeclaredApp | None, str, str, str, bool]:
        """Return app, stack, secret and version of a name, and whether the secret is declared."""
        for app, declared in self._shared:
            rest = name.removeprefix(declared.prefix)
            if declared.prefix and rest != name and _LOOKS_LIKE_VERSION.match(rest):
                return app, app.stack, declared.name, rest, True
        stack = longest_prefix(name, self._stacks)
        stems = self._stems.get(stack, {})
        rest = name[len(stack) + 1 :] if stack else name
        stem, version = split_version(rest, stems)
        known = stem in stems
        return self._apps.get(stack), stack, stems.get(stem, stem), version, known

    def _doubt(self, name: str, app: DeclaredApp | None, *, certain: bool) -> str:
        """Return why some app may declare what none seems to; nothing when none can.

        Parameters
        ----------
        name
            Its swarm name.
        app
            The app of the stack that it begins with.
        certain
            Whether that app declares another version of it.
        """
        perhaps = self._around.perhaps
        if other := perhaps.declarer(name, certain=certain):
            return (
                f"{other.server}/{other.name} may declare it, and nobody knows whether "
                f"{other.server} leads to this swarm"
            )
        if app is not None:
            # Of a stack that has an app, that one's files tell.
            owners = [other for other in self._all if other.stack == app.stack]
            if certain:
                return next((why for one in owners if (why := about_unread(one))), "")
            in_part = next((other for other in owners if other.guessed or other.problems), None)
        else:
            # Any recipe may name a secret so, and any .env a stack.
            in_part = self._in_part or perhaps.in_part
        if in_part:
            return f"{in_part.name} may declare it, whose files cannot be read whole"
        return self._around.unread

    def _declared_state(self, app: DeclaredApp, used_by: list[str]) -> State:
        if app.stack not in self._deployed and not used_by:
            return "undeployed"
        return "current" if used_by else "pending"


def about_unread(app: DeclaredApp) -> str:
    """Return why nobody can tell what an app declares; nothing when its ``.env`` was read whole."""
    problem = app.unread
    if problem is None:
        return ""
    where = f"{problem.path}:{problem.line}" if problem.line else problem.path
    return f"{where}: {problem.what.rstrip('.')}"


def _stems(apps: Iterable[DeclaredApp]) -> dict[str, dict[str, str]]:
    """Return by stack what stands in a swarm name before the version, and which secret that is.

    Of two keys with one such name it is the key that is called so, else the first.
    """
    found: dict[str, dict[str, str]] = {}
    for app in apps:
        stems = found.setdefault(app.stack, {})
        for secret in app.secrets:
            stem = secret.prefix.removeprefix(f"{app.stack}_").removesuffix("_")
            if stem == secret.key:
                stems[stem] = secret.name
            else:
                stems.setdefault(stem, secret.name)
    return found
