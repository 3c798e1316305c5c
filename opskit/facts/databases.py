"""Which secrets a database keeps a copy of, and when a change would lock their apps out.

Database images read the mounted file when they first make their data, and never again. Whatever
gives a service another version of such a file asks here first.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from opskit.abra.model import DeclaredApp
from opskit.facts.join import split_version, stack_of
from opskit.kinds.hooks import HOOKS, OFFERED
from opskit.swarm import model
from opskit.swarm.observe import Observation

_NAMES = "|".join((*OFFERED, "db", "database", "pg", "postgresql", "mysql", "mongo", "mongodb"))
_DATABASE = re.compile(rf"(?:^|[_-])(?:{_NAMES})(?:[_-]|$)")
_PASSWORD = re.compile(r"pass(?:word|wd)?|pwd|pw(?:[_-]|$)|secret")


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A secret that a database keeps inside, and of which services would get another version.

    `old` and `new` are names in the swarm.
    """

    secret: str
    old: str
    new: str


def looks_like_database_password(name: str) -> bool:
    """Return whether a secret's name says it is a database's password."""
    return bool(_DATABASE.search(name) and _PASSWORD.search(name))


def is_stored_inside(app: DeclaredApp, secret: str, hooks: Mapping[str, str]) -> bool:
    """Return whether a database keeps a copy, by the secret's name or as the settings say."""
    return looks_like_database_password(secret) or f"{app.recipe}/{secret}" in hooks


def moves(
    app: DeclaredApp, seen: Observation, needed: Collection[str], hooks: Mapping[str, str]
) -> list[Move]:
    """Return what a deploy would move to another version without the database being told.

    A first deploy moves nothing: no service of the stack mounts a version yet.

    Parameters
    ----------
    app, seen
        The app, and what its server said.
    needed
        Names of the secrets that the services will mount.
    hooks
        Credential hooks by recipe or ``recipe/secret``, as the settings have them.
    """
    wanted: defaultdict[str, list[str]] = defaultdict(list)
    for name in needed:
        wanted[_secret_of(app, name)].append(name)
    mounted = dict.fromkeys(
        reference.secret_name
        for service in seen.services
        if stack_of(service.spec.labels) == app.stack
        for reference in references(service)
    )
    return [
        Move(secret=secret, old=name, new=wanted[secret][0])
        for name in mounted
        if name not in needed
        and (secret := _secret_of(app, name)) in wanted
        and is_stored_inside(app, secret, hooks)
    ]


def declared_moves(app: DeclaredApp, seen: Observation, hooks: Mapping[str, str]) -> list[Move]:
    """Return what deploying an app as it is declared would move; see `moves`."""
    return moves(app, seen, [secret.swarm_name for secret in app.secrets], hooks)


def kept_data(app: DeclaredApp, secret: str, seen: Observation, hooks: Mapping[str, str]) -> str:
    """Return the volume whose database would know no new value of a secret; nothing without one.

    It is one that the app left, which does not run.
    """
    runs = any(stack_of(service.spec.labels) == app.stack for service in seen.services)
    if runs or not is_stored_inside(app, secret, hooks):
        return ""
    return min((one.name for one in seen.volumes if stack_of(one.labels) == app.stack), default="")


def suggested_hook(app: DeclaredApp, seen: Observation, mounted: Collection[str]) -> str:
    """Return the hook for the one database of the app that runs and mounts one of these secrets.

    Nothing when there is none or several, or its container cannot be reached from the manager.

    Parameters
    ----------
    app, seen
        The app, and what its server said.
    mounted
        Names of the versions in use.
    """
    found: list[str] = []
    for service in seen.services:
        kind = next((kind for kind in HOOKS if runs_kind(service, kind)), "")
        uses = any(reference.secret_name in mounted for reference in references(service))
        if kind and uses and stack_of(service.spec.labels) == app.stack:
            name = service.spec.name.removeprefix(f"{app.stack}_")
            found.append(f"{kind}:{name}" if is_reachable(service, seen) else "")
    return found[0] if len(found) == 1 else ""


def references(service: model.Service) -> tuple[model.SecretReference, ...]:
    """Return what a service mounts of secrets."""
    container = service.spec.task_template.container_spec
    return (container and container.secrets) or ()


def runs_kind(service: model.Service, kind: str) -> bool:
    """Return whether a service's image is that of a kind of database."""
    container = service.spec.task_template.container_spec
    image = container.image.partition("@")[0] if container else ""
    pattern = HOOKS[kind].images
    return bool(pattern and pattern.search(image.rpartition("/")[2]))


def running_nodes(service: model.Service, tasks: Iterable[model.Task]) -> set[str]:
    """Return the nodes that tasks of a service run on."""
    return {
        task.node_id
        for task in tasks
        if task.service_id == service.id and task.status.state == "running"
    }


def is_reachable(service: model.Service, seen: Observation) -> bool:
    """Return whether a container of a service runs on the node that is asked."""
    return seen.info.swarm.node_id in running_nodes(service, seen.tasks)


def _secret_of(app: DeclaredApp, name: str) -> str:
    """Return which of an app's secrets a name in the swarm is a version of."""
    stems = {secret.prefix: secret.name for secret in app.secrets if secret.version}
    known = max((stem for stem in stems if name.startswith(stem)), key=len, default="")
    if known and "_" not in name[len(known) :]:
        return stems[known]
    names = frozenset(secret.name for secret in app.secrets)
    return split_version(name.removeprefix(f"{app.stack}_"), names)[0]
