"""Checks of servers: whether they can be read, and what leads to which."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from opskit.audit.registry import Finding, check
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
