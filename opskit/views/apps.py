"""The servers and apps views."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

from opskit.abra.model import DeclaredApp
from opskit.abra.names import label
from opskit.abra.releases import newer
from opskit.facts.facts import Facts, Part
from opskit.facts.join import stack_of
from opskit.facts.places import Tally, tally
from opskit.swarm.observe import Observation
from opskit.views.columns import Column, Row
from opskit.views.services import tasks_by_service
from opskit.views.table import Table, about


class ServersRow(Row, frozen=True, kw_only=True):
    """A row of the servers view: one server, readable or not; counts are NA where unknown."""

    server: Annotated[str, Column("The server, as abra names it.")]
    reachable: Annotated[bool, Column("Whether its engine answered.")]
    manager: Annotated[bool, Column("Whether its swarm could be read.")]
    error: Annotated[str | None, Column("Why not, or which of its lists is missing.")]
    host: Annotated[str | None, Column("The address its Docker context leads to.")]
    engine: Annotated[str | None, Column("The version of its Docker Engine.")]
    nodes: Annotated[int | None, Column("How many nodes its swarm has.")]
    managers: Annotated[int | None, Column("How many of the nodes are managers.")]
    apps: Annotated[int, Column("How many apps abra's files declare on it.")]
    services: Annotated[int | None, Column("How many services run in its swarm.")]
    secrets: Annotated[int | None, Column("How many secrets its swarm stores.")]
    autolock: Annotated[bool | None, Column("Whether a manager that restarts asks for a key.")]
    swarm_since: Annotated[datetime | None, Column("When the swarm was made.")]
    taken_at: Annotated[datetime | None, Column("When it was read.")]


class AppsRow(Row, frozen=True, kw_only=True):
    """A row of the apps view: one ``.env`` file, and what runs of it.

    What abra's labels ``coop-cloud.<stack>.version``, ``.chaos`` and ``.chaos-version`` say is as
    the last deploy wrote it.
    """

    server: Annotated[str, Column("The server, as abra names it.")]
    app: Annotated[str, Column("The app's name: that of its .env file.")]
    domain: Annotated[str | None, Column("What DOMAIN says.")]
    recipe: Annotated[str | None, Column("What TYPE says, without a version.")]
    recipe_version: Annotated[str | None, Column("The release that TYPE pins.")]
    revision: Annotated[str | None, Column("The recipe's checkout that the row is computed from.")]
    stack: Annotated[str, Column("The name it is deployed under.")]
    deployed: Annotated[
        bool | None, Column("Whether it runs; NA when its server or its services are unread.")
    ]
    deployed_version: Annotated[str | None, Column("The release that runs, by abra's label.")]
    chaos: Annotated[bool | None, Column("Whether a checkout that is no release was deployed.")]
    chaos_version: Annotated[str | None, Column("The commit of that checkout.")]
    upgrades: Annotated[
        list[str] | None,
        Column("Later releases that tags here and abra's catalogue know; NA if none runs."),
    ]
    services: Annotated[int | None, Column("How many services it has.")]
    running: Annotated[int | None, Column("How many of its tasks run.")]
    desired: Annotated[int | None, Column("How many of its tasks are to run, without those done.")]
    completed: Annotated[
        int | None, Column("How many have done their work, where they are there to end.")
    ]
    secrets: Annotated[int, Column("How many secrets its files declare.")]
    guessed: Annotated[bool, Column("Whether compose files are missing, so that .env decides.")]
    note: Annotated[str | None, Column("Why it is guessed.")]
    problems: Annotated[int, Column("How many places in its files could not be read.")]
    env_file: Annotated[str, Column("The path of its .env file.")]


_LABELS = ("version", "app.version", "chaos", "chaos-version")


def _servers_rows(part: Part) -> list[ServersRow]:
    seen, read = part.seen, part.read
    cluster = read.info.swarm.cluster if read else None
    managers = [node for node in read.nodes if node.manager_status is not None] if read else []
    return [
        ServersRow(
            server=part.server,
            reachable=seen is not None and seen.reachable,
            manager=read is not None,
            error=_error(seen),
            host=(seen.host if seen else None) or None,
            engine=(seen.info.server_version if seen else None) or None,
            nodes=_count(read, "nodes"),
            managers=None if _count(read, "nodes") is None else len(managers),
            apps=len(part.apps),
            services=_count(read, "services"),
            secrets=_count(read, "secrets"),
            autolock=cluster.spec.encryption_config.auto_lock_managers if cluster else None,
            swarm_since=cluster.created_at if cluster else None,
            taken_at=seen.taken_at if seen else None,
        )
    ]


SERVERS = Table(
    row=ServersRow,
    rows=_servers_rows,
    about=lambda facts, _: about(
        facts, "servers", "server", "reachable", "manager", "engine", "nodes", "apps", "services",
        "secrets", "error", key="server",
        goes=("nodes", "engine", "manager", "secrets", "services", "apps"),
    ),
)  # fmt: skip
"""The servers view: one `ServersRow` per server, readable or not."""


def _count(read: Observation | None, name: Literal["nodes", "services", "secrets"]) -> int | None:
    return None if read is None or name in read.unread else len(getattr(read, name))


def _error(seen: Observation | None) -> str | None:
    if seen is None:
        return "not asked"
    unread = "; ".join(f"{name} could not be read: {why}" for name, why in seen.unread.items())
    return seen.error or unread or None


@dataclass(slots=True)
class _Deployment:
    services: int = 0
    counts: Tally = field(default_factory=Tally)
    labels: dict[str, str] = field(default_factory=dict[str, str])


def _deployments(seen: Observation) -> dict[str, _Deployment]:
    found: defaultdict[str, _Deployment] = defaultdict(_Deployment)
    tasks = tasks_by_service(seen)
    for service in seen.services:
        labels = service.spec.labels or {}
        deployment = found[stack_of(labels)]
        deployment.services += 1
        deployment.counts += tally(service, tasks[service.id]) or Tally()
        # abra reads an app's version from the service called "app".
        if service.spec.name == f"{stack_of(labels)}_app" or not deployment.labels:
            deployment.labels = labels
    return found


def _apps_rows(part: Part) -> list[AppsRow]:
    seen = part.read
    deployments = _deployments(seen) if seen is not None and "services" not in seen.unread else None
    return [_app_row(app, deployments, part.releases.get(app.recipe, ())) for app in part.apps]


def _app_row(
    app: DeclaredApp, deployments: dict[str, _Deployment] | None, releases: tuple[str, ...]
) -> AppsRow:
    deployment = deployments.get(app.stack) if deployments is not None else None
    labels = deployment.labels if deployment else {}
    said = {name: labels.get(label(app.stack, name), "") for name in _LABELS}
    version = said["version"] or said["app.version"]
    chaos = said["chaos"].lower() == "true"
    return AppsRow(
        server=app.server,
        app=app.name,
        domain=app.domain or None,
        recipe=app.recipe or None,
        recipe_version=app.recipe_version or None,
        revision=app.revision or None,
        stack=app.stack,
        deployed=deployment is not None if deployments is not None else None,
        deployed_version=version or None,
        chaos=chaos if deployment else None,
        chaos_version=said["chaos-version"] or None,
        upgrades=newer(releases, version) if releases and not chaos else None,
        services=deployment.services if deployment else None,
        running=deployment.counts.running if deployment else None,
        desired=deployment.counts.desired if deployment else None,
        completed=deployment.counts.completed if deployment else None,
        secrets=len(app.secrets),
        guessed=app.guessed,
        note=app.note or None,
        problems=len(app.problems),
        env_file=app.env_file,
    )


APPS = Table(
    row=AppsRow,
    rows=_apps_rows,
    about=lambda facts, _: about(
        facts, "apps", "server", "app", "recipe", "recipe_version", "revision", "deployed",
        "deployed_version", "running", "desired", "secrets", "note",
        key="app",
        goes=("revision", "secrets", "recipe_version", "server", "deployed_version", "desired"),
    ),
)  # fmt: skip
"""The apps view: one `AppsRow` per ``.env`` file."""


def colliding_stacks(facts: Facts) -> dict[tuple[str, str], list[str]]:
    """Return stack names that two apps of one swarm share: (server, stack) → app names.

    Apps of other servers that lead to that swarm are named with theirs.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for server, own in facts.apps_by_server.items():
        if server != facts.together(server)[0]:
            continue
        apps = [*own, *facts.around(server).together]
        counted = Counter(app.stack for app in apps)
        for app in apps:
            if counted[app.stack] > 1:
                name = app.name if app.server == server else f"{app.server}/{app.name}"
                found.setdefault((server, app.stack), []).append(name)
    return found
