"""Checks of how services are run, as far as a rotation or a break-in cares.

The numbers of the CIS Docker Benchmark are those of version 1.6, then those up to 1.5.
"""

# pandas ships partial types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from opskit.audit.registry import Finding, check
from opskit.facts.join import digests_among, stack_of
from opskit.swarm.model import ContainerSpec, Service
from opskit.views.views import Views

_SOCKETS = frozenset({"/var/run/docker.sock", "/run/docker.sock"})
_SENSITIVE = frozenset({
    "/", "/boot", "/dev", "/etc", "/lib", "/proc", "/root", "/run", "/sys", "/usr", "/var",
    "/var/lib/docker", "/var/run",
})  # fmt: skip
"""Folders of a node that make a container as good as root there."""


def _services(views: Views) -> Iterator[tuple[str, str | None, Service, ContainerSpec]]:
    """Return server, app, service and container of each service that was read."""
    facts = views.facts
    for seen in facts.observed:
        apps = {app.stack: app.name for app in reversed(facts.apps_by_server.get(seen.server, ()))}
        for service in seen.services:
            container = service.spec.task_template.container_spec
            if container is not None:
                yield seen.server, apps.get(stack_of(service.spec.labels)), service, container


def _bound(container: ContainerSpec) -> Iterator[str]:
    for mount in container.mounts or ():
        if mount.type == "bind":
            yield mount.source.rstrip("/") or "/"


@check(
    "docker-socket-mounted",
    severity="medium",
    title="A container can command its engine",
    reference="CIS Docker Benchmark 5.32 (up to 1.5: 5.31)",
    background="services",
)
def socket_mounted(views: Views) -> Iterator[Finding]:
    """Find services that are given Docker's socket; reading only is no protection."""
    for server, app, service, container in _services(views):
        if not _SOCKETS.isdisjoint(_bound(container)):
            yield Finding(
                server=server,
                app=app,
                subject=service.spec.name,
                what=f"{service.spec.name} has docker.sock: whoever breaks in there has the "
                "server, and on a manager every secret that can be mounted.",
                remedy="Put a socket proxy that allows only what it needs in between.",
            )


@check(
    "folder-sensitive",
    severity="medium",
    title="A container has a folder of the system",
    reference="CIS Docker Benchmark 5.6 (up to 1.5: 5.5)",
)
def sensitive(views: Views) -> Iterator[Finding]:
    """Find binds of folders that make a container as good as root on its node."""
    for server, app, service, container in _services(views):
        for source in sorted(_SENSITIVE.intersection(_bound(container))):
            yield Finding(
                server=server,
                app=app,
                subject=f"{service.spec.name} {source}",
                what=f"{service.spec.name} has the node's {source}.",
                remedy="Bind only the file or folder that it needs, or use a volume.",
            )


@check(
    "image-not-pinned",
    severity="low",
    title="An image is not pinned",
    reference="CIS Docker Benchmark 5.28 (up to 1.5: 5.27)",
)
def not_pinned(views: Views) -> Iterator[Finding]:
    """Find images that may be another one at the next restart, so also at a rotation."""
    for server, app, service, container in _services(views):
        name, _, digest = container.image.partition("@")
        _, _, tag = name.rpartition("/")[2].partition(":")
        if name and not digest and tag in ("", "latest"):
            yield Finding(
                server=server,
                app=app,
                subject=service.spec.name,
                what=f"{service.spec.name} runs {name}, whatever that is when it restarts.",
                remedy="Name a version in the compose file.",
            )


@check(
    "healthcheck-missing",
    severity="info",
    title="Services have no healthcheck of their own",
    reference="CIS Docker Benchmark 5.27 (up to 1.5: 5.26)",
)
def no_healthcheck(views: Views) -> Iterator[Finding]:
    """Find services of which "converged" says only that a process runs; images may have one."""
    found: defaultdict[tuple[str, str | None], list[str]] = defaultdict(list)
    for server, app, service, container in _services(views):
        if container.healthcheck is None:
            stack = stack_of(service.spec.labels)
            found[server, app].append(service.spec.name.removeprefix(f"{stack}_"))
    for (server, app), names in found.items():
        yield Finding(
            server=server,
            app=app,
            subject=" ".join(sorted(names)),
            what=f"no healthcheck is declared for {', '.join(sorted(names))}: after a rotation, "
            "running does not mean working.",
            remedy="Declare one in the compose file, unless the image has one.",
        )


@check("update-goes-on", severity="medium", title="A failing update goes on")
def update_goes_on(views: Views) -> Iterator[Finding]:
    """Find services whose tasks are all replaced though the first new one fails."""
    for server, app, service, _ in _services(views):
        config = service.spec.update_config
        if config is not None and config.failure_action == "continue":
            yield Finding(
                server=server,
                app=app,
                subject=service.spec.name,
                what=f"{service.spec.name} has the failure_action continue: a bad value reaches "
                "every task.",
                remedy="Set update_config.failure_action to rollback in the compose file.",
            )


@check(
    "label-digest",
    severity="medium",
    title="A secret's label holds a digest",
    background="digests",
)
def label_digest(views: Views) -> Iterator[Finding]:
    """Find digests with which whoever lists secrets can test guesses, or see equal values."""
    for row in views.secrets.records(views.secrets["observed"]):
        if named := digests_among(row.labels):
            yield Finding(
                server=row.server,
                app=row.app if isinstance(row.app, str) else None,
                secret=row.secret,
                subject=row.swarm_name,
                what=f"{row.swarm_name} has what looks like a digest in the label "
                f"{', '.join(named)}: guesses can be tested against it.",
                remedy="Rotate it, and have what made it leave that label out.",
            )
