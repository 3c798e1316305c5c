"""Checks of servers and their swarms: what can be read, what leads to which, how they are kept.

The numbers of the CIS Docker Benchmark are those of version 1.6, then those up to 1.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from shlex import quote

from opskit.audit.registry import Finding, check
from opskit.swarm.model import Cluster
from opskit.swarm.observe import Observation
from opskit.views.apps import colliding_stacks
from opskit.views.views import Views


@check("server-unreachable", severity="critical", title="A server cannot be reached")
def unreachable(views: Views) -> Iterator[Finding]:
    """Find servers that did not answer: nothing is known of their swarms."""
    for seen in views.facts.observed:
        if not seen.reachable:
            yield Finding(
                server=seen.server,
                what=_why(seen),
                remedy=seen.remedy or f"Try it by hand: docker --context {quote(seen.server)} info",
            )


@check("server-not-manager", severity="high", title="A server cannot manage its swarm")
def not_manager(views: Views) -> Iterator[Finding]:
    """Find servers that answer but cannot show their swarm."""
    for seen in views.facts.observed:
        if seen.reachable and not seen.manager:
            yield Finding(
                server=seen.server,
                what=_why(seen),
                remedy=seen.remedy or f"Look there: docker --context {quote(seen.server)} info",
            )


def _why(seen: Observation) -> str:
    return seen.error.removesuffix(seen.remedy).rstrip()


@check("server-partly-read", severity="high", title="A list could not be read")
def partly_read(views: Views) -> Iterator[Finding]:
    """Find servers of which some lists are missing."""
    for seen in views.facts.observed:
        for name, why in seen.unread.items():
            yield Finding(
                server=seen.server,
                subject=name,
                what=f"its {name} could not be read: {why}",
                remedy=f"Try it by hand: docker --context {quote(seen.server)} "
                f"{name.rstrip('s')} ls",
            )


@check("stack-collision", severity="high", title="Two apps share one stack name")
def collision(views: Views) -> Iterator[Finding]:
    """Find apps that would overwrite each other's services and secrets."""
    for (server, stack), apps in colliding_stacks(views.facts).items():
        yield Finding(
            server=server,
            app=apps[0],
            subject=stack,
            what=f"shares the stack name {stack} with {' and '.join(apps[1:])}.",
            remedy="Set a different STACK_NAME in one of the .env files before deploying either.",
        )


@check("swarm-shared", severity="medium", title="Two servers are one swarm")
def shared_swarm(views: Views) -> Iterator[Finding]:
    """Find servers whose contexts lead to one swarm: each change of one is one of the others."""
    facts = views.facts
    for server in facts.apps_by_server:
        together = facts.together(server)
        if len(together) > 1 and server == together[0]:
            yield Finding(
                server=server,
                what=f"{' and '.join(together)} lead to one swarm, so what the apps of one declare "
                "is there for all.",
                remedy=f"Move the .env files into one folder, such as servers/{server}, and remove "
                f"the {'other' if len(together) == 2 else 'others'}.",
            )


_LONGEST_CERTIFICATE = timedelta(days=90)
"""Docker's own default."""


def _swarms(views: Views) -> Iterator[tuple[Observation, Cluster]]:
    for seen in views.facts.observed:
        cluster = seen.info.swarm.cluster
        if seen.manager and cluster is not None:
            yield seen, cluster


@check(
    "swarm-managers-even",
    severity="medium",
    title="A swarm has an even number of managers",
    reference="CIS Docker Benchmark 7.1 (up to 1.5: 7.2)",
)
def managers_even(views: Views) -> Iterator[Finding]:
    """Find swarms whose last manager adds no safety: the quorum is as large as with one more."""
    for seen, _ in _swarms(views):
        managers = seen.info.swarm.managers
        if managers and managers % 2 == 0:
            yield Finding(
                server=seen.server,
                what=f"its swarm has {managers} managers: no more may fail than with one less.",
                remedy="Make it an odd number: docker node promote or demote one.",
            )


@check(
    "swarm-not-locked",
    severity="info",
    title="Managers start without a key",
    reference="CIS Docker Benchmark 7.5 (up to 1.5: 7.6)",
    background="autolock",
)
def not_locked(views: Views) -> Iterator[Finding]:
    """Return which swarms give their secrets to whoever has the disk.

    A choice and no fault: with one node, a locked swarm stays down after a reboot until
    somebody comes.
    """
    for seen, cluster in _swarms(views):
        if not cluster.spec.encryption_config.auto_lock_managers:
            yield Finding(
                server=seen.server,
                what="autolock is off: a stolen disk holds the key to the swarm's secrets.",
                remedy="If somebody can unlock it after each reboot: "
                "docker swarm update --autolock=true",
            )


@check(
    "swarm-certificates-long",
    severity="low",
    title=f"Nodes keep one certificate for more than {_LONGEST_CERTIFICATE.days} days",
    reference="CIS Docker Benchmark 7.7 (up to 1.5: 7.8)",
)
def certificates_long(views: Views) -> Iterator[Finding]:
    """Find swarms whose nodes renew their certificates more seldom than Docker's default."""
    for seen, cluster in _swarms(views):
        expiry = timedelta(microseconds=cluster.spec.ca_config.node_cert_expiry // 1000)
        if expiry > _LONGEST_CERTIFICATE:
            yield Finding(
                server=seen.server,
                what=f"its nodes' certificates last {expiry.days:,} days.",
                remedy="docker swarm update --cert-expiry 2160h0m0s",
            )


@check(
    "network-not-encrypted",
    severity="medium",
    title="Traffic between nodes is not encrypted",
    reference="CIS Docker Benchmark 7.3 (up to 1.5: 7.4)",
)
def not_encrypted(views: Views) -> Iterator[Finding]:
    """Find overlay networks in clear, in swarms whose traffic leaves the one node."""
    several = {seen.server for seen, _ in _swarms(views) if len(seen.nodes) > 1}
    for row in views.networks.records(views.networks["driver"] == "overlay"):
        if row.server in several and not row.encrypted and not row.ingress:
            yield Finding(
                server=row.server,
                subject=row.network,
                what=f"the network {row.network} carries traffic between nodes in clear.",
                remedy="Make it with driver_opts: encrypted in the compose file, in a quiet hour: "
                "its services must leave it.",
            )
