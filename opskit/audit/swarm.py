"""Checks of the swarms themselves, most of them of the CIS Docker Benchmark.

Its numbers are those of version 1.6, then those up to 1.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from opskit.audit.registry import Finding, check
from opskit.swarm.model import Cluster
from opskit.swarm.observe import Observation
from opskit.views.views import Views

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
