"""Checks of servers and of the files that declare apps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from shlex import quote

from opskit.abra.model import Problem, ProblemKind
from opskit.audit.registry import Finding, check
from opskit.views.apps import colliding_stacks
from opskit.views.views import Views


@check("server-unreachable", severity="critical", title="A server cannot be reached")
def unreachable(views: Views) -> Iterator[Finding]:
    """Find servers that did not answer: nothing is known of their swarms."""
    for seen in views.facts.observed:
        if not seen.reachable:
            yield Finding(
                server=seen.server,
                what=seen.error,
                remedy=f"Try it by hand: docker --context {quote(seen.server)} info",
            )


@check("server-not-manager", severity="high", title="A server cannot manage its swarm")
def not_manager(views: Views) -> Iterator[Finding]:
    """Find servers that answer but cannot show their swarm."""
    for seen in views.facts.observed:
        if seen.reachable and not seen.manager:
            yield Finding(
                server=seen.server,
                what=seen.error,
                remedy=f"Look there: docker --context {quote(seen.server)} info",
            )


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


@check("file-conflict", severity="high", title="A merge conflict was left in a file")
def conflict(views: Views) -> Iterator[Finding]:
    """Find files with the marks of a merge: no plan goes by them or writes to them."""
    return _problems(views, "conflict")


@check("file-locked", severity="high", title="A file is encrypted")
def locked(views: Views) -> Iterator[Finding]:
    """Find files of which nothing is known before they are decrypted."""
    return _problems(views, "locked")


@check("file-unreadable", severity="medium", title="A line or file could not be read")
def unreadable(views: Views) -> Iterator[Finding]:
    """Find lines of ``.env`` and recipe files that opskit passed over, or read with doubts."""
    return _problems(views, "unread", "amiss")


def _problems(views: Views, *kinds: ProblemKind) -> Iterator[Finding]:
    declared = views.facts.declared
    for server in declared.servers:
        for app in server.apps:
            for problem in app.problems:
                if problem.kind in kinds:
                    yield _problem(problem, declared.root, server.name, app.name)
    for problem in declared.problems:
        if problem.kind in kinds:
            yield _problem(problem, declared.root)


@check("acknowledged-unread", severity="medium", title="What was acknowledged could not be read")
def acknowledged_unread(views: Views) -> Iterator[Finding]:
    """Find files of acknowledgements with a fault: what they let be is shown."""
    for server, problem in views.facts.declared.unacknowledged:
        yield _problem(problem, views.facts.declared.root, server)


@check("stack-unsupported", severity="medium", title="A compose file has what no stack can have")
def stack_unsupported(views: Views) -> Iterator[Finding]:
    """Find what Compose knows and ``docker stack deploy`` refuses, before somebody deploys it."""
    for server in views.facts.declared.servers:
        for app in server.apps:
            for problem in app.unsupported:
                yield _problem(problem, views.facts.declared.root, server.name, app.name)


def _problem(problem: Problem, root: str, server: str = "", app: str | None = None) -> Finding:
    """Return a finding about a place in a file, named from abra's folder on where it is there."""
    path = PurePath(problem.path)
    path = path.relative_to(root) if path.is_relative_to(root) else path
    where = f"{path}:{problem.line}" if problem.line else str(path)
    # Not its line, which moves with each change above it, nor its folder, which is another
    # one on another machine.
    return Finding(
        server=server,
        app=app,
        subject=f"{path.name}: {problem.what}",
        what=f"{where}: {problem.what}",
        remedy=problem.remedy,
    )
