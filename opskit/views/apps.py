"""The servers and apps views."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from opskit.abra.model import DeclaredApp
from opskit.abra.names import label
from opskit.abra.releases import newer
from opskit.facts import Facts
from opskit.join import stack_of
from opskit.swarm.observe import Observation
from opskit.views.frame import Columns, View, about

SERVERS = {
    "server": "string",
    "reachable": "bool",
    "manager": "bool",
    "error": "string",
    "host": "string",
    "engine": "string",
    "nodes": "Int64",
    "managers": "Int64",
    "apps": "Int64",
    "services": "Int64",
    "secrets": "Int64",
    "autolock": "boolean",
    "swarm_since": "time",
    "taken_at": "time",
}

APPS = {
    "server": "string",
    "app": "string",
    "domain": "string",
    "recipe": "string",
    "recipe_version": "string",
    "revision": "string",
    "stack": "string",
    "deployed": "boolean",
    "deployed_version": "string",
    "chaos": "boolean",
    "chaos_version": "string",
    "upgrades": "object",
    "services": "Int64",
    "running": "Int64",
    "desired": "Int64",
    "secrets": "Int64",
    "guessed": "bool",
    "note": "string",
    "problems": "Int64",
    "env_file": "string",
}


_LABELS = ("version", "app.version", "chaos", "chaos-version")


def servers_view(facts: Facts) -> View:
    """Build the servers view: one row per server, readable or not.

    Returns
    -------
    View
        ``reachable`` and ``manager`` (bool) tell whether the engine answered and whether its
        swarm could be read; ``error`` (string) is the plain sentence when not. Counts are
        ``Int64``, NA where unknown.
    """
    columns = Columns(SERVERS)
    for server, apps in facts.apps_by_server.items():
        seen = facts.seen.get(server)
        read = seen if seen is not None and seen.manager else None
        cluster = read.info.swarm.cluster if read else None
        columns.add(
            server,
            seen is not None and seen.reachable,
            read is not None,
            _error(seen),
            (seen.host if seen else None) or None,
            (seen.info.server_version if seen else None) or None,
            len(read.nodes) if read else None,
            sum(node.manager_status is not None for node in read.nodes) if read else None,
            len(apps),
            len(read.services) if read else None,
            len(read.secrets) if read else None,
            cluster.spec.encryption_config.auto_lock_managers if cluster else None,
            cluster.created_at if cluster else None,
            seen.taken_at if seen else None,
        )
    return columns.view(
        about(
            facts, "servers", "server", "reachable", "manager", "engine", "nodes", "apps",
            "services", "secrets", "error",
        )
    )  # fmt: skip


def _error(seen: Observation | None) -> str | None:
    if seen is None:
        return "not asked"
    unread = "; ".join(f"{name} could not be read: {why}" for name, why in seen.unread.items())
    return seen.error or unread or None


@dataclass(slots=True)
class _Deployment:
    services: int = 0
    running: int = 0
    desired: int = 0
    labels: dict[str, str] = field(default_factory=dict[str, str])


def _deployments(seen: Observation) -> dict[str, _Deployment]:
    found: defaultdict[str, _Deployment] = defaultdict(_Deployment)
    for service in seen.services:
        labels = service.spec.labels or {}
        deployment = found[stack_of(labels)]
        deployment.services += 1
        if service.service_status:
            deployment.running += service.service_status.running_tasks
            deployment.desired += service.service_status.desired_tasks
        # abra reads an app's version from the service called "app".
        if service.spec.name == f"{stack_of(labels)}_app" or not deployment.labels:
            deployment.labels = labels
    return found


def apps_view(facts: Facts) -> View:
    """Build the apps view: one row per ``.env`` file.

    Returns
    -------
    View
        ``deployed`` (boolean) is NA where the server could not be read. ``deployed_version``
        and ``chaos`` come from the labels abra writes (``coop-cloud.<stack>.version``,
        ``.chaos``, ``.chaos-version``). ``upgrades`` lists the recipe's later releases, as far
        as its tags here and abra's catalogue know them; NA when what runs is no release.
        ``revision`` is the recipe checkout the row was computed from; ``guessed``
        with ``note`` says that the recipe was not on disk. ``problems`` counts what could not
        be read in the app's files.
    """
    columns = Columns(APPS)
    for server, apps in facts.apps_by_server.items():
        seen = facts.seen.get(server)
        deployments = _deployments(seen) if seen is not None and seen.manager else None
        for app in apps:
            known = facts.declared.releases.get(app.recipe, ())
            columns.add(*_app_row(app, deployments, known))
    return columns.view(
        about(
            facts, "apps", "server", "app", "recipe", "recipe_version", "revision", "deployed",
            "deployed_version", "running", "desired", "secrets", "note",
        )
    )  # fmt: skip


def _app_row(
    app: DeclaredApp, deployments: dict[str, _Deployment] | None, releases: tuple[str, ...]
) -> list[object]:
    deployment = deployments.get(app.stack) if deployments is not None else None
    labels = deployment.labels if deployment else {}
    said = {name: labels.get(label(app.stack, name), "") for name in _LABELS}
    version = said["version"] or said["app.version"]
    chaos = said["chaos"].lower() == "true"
    return [
        app.server,
        app.name,
        app.domain or None,
        app.recipe or None,
        app.recipe_version or None,
        app.revision or None,
        app.stack,
        deployment is not None if deployments is not None else None,
        version or None,
        chaos if deployment else None,
        said["chaos-version"] or None,
        newer(releases, version) if releases and not chaos else None,
        deployment.services if deployment else None,
        deployment.running if deployment else None,
        deployment.desired if deployment else None,
        len(app.secrets),
        app.guessed,
        app.note or None,
        len(app.problems),
        app.env_file,
    ]


def colliding_stacks(facts: Facts) -> dict[tuple[str, str], list[str]]:
    """Find stack names that two apps of one server share: (server, stack) → app names."""
    found: dict[tuple[str, str], list[str]] = {}
    for server, apps in facts.apps_by_server.items():
        counted = Counter(app.stack for app in apps)
        for app in apps:
            if counted[app.stack] > 1:
                found.setdefault((server, app.stack), []).append(app.name)
    return found
