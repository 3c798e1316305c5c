"""Checks of the files that declare apps, and of the marks in them.

Equal faults of one variable in one file are one finding, which names their lines. It is known again
by its file, its fault and the variable, not by a line, which moves with each change above it. Of
lines without a variable nothing may be told, as they may be values: they are one finding, known by
how many they are. So whoever lets one be does not let be the next of its kind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import PurePath

from opskit.abra.model import Problem, ProblemKind
from opskit.audit.registry import Finding, check
from opskit.views.views import Views


@check("file-conflict", severity="high", title="A merge conflict was left in a file")
def conflict(views: Views) -> Iterator[Finding]:
    """Find files with the marks of a merge: no plan goes by them or writes to them."""
    return _of_kinds(views, "conflict")


@check("file-locked", severity="high", title="A file is encrypted")
def locked(views: Views) -> Iterator[Finding]:
    """Find files of which nothing is known before they are decrypted."""
    return _of_kinds(views, "locked")


@check("file-unreadable", severity="medium", title="A line or file could not be read")
def unreadable(views: Views) -> Iterator[Finding]:
    """Find lines of ``.env`` and recipe files that opskit passed over, or read with doubts."""
    return _of_kinds(views, "unread", "amiss")


def _of_kinds(views: Views, *kinds: ProblemKind) -> Iterator[Finding]:
    declared = views.facts.declared
    for server in declared.servers:
        for app in server.apps:
            found = (one for one in app.problems if one.kind in kinds)
            yield from _joined(found, declared.root, server=server.name, app=app.name)
    yield from _joined((one for one in declared.problems if one.kind in kinds), declared.root)


@check("acknowledged-unread", severity="medium", title="What was acknowledged could not be read")
def acknowledged_unread(views: Views) -> Iterator[Finding]:
    """Find files of acknowledgements with a fault: what they let be is shown."""
    for server, problem in views.facts.declared.unacknowledged:
        yield from _joined([problem], views.facts.declared.root, server=server)


@check("stack-unsupported", severity="medium", title="A compose file has what no stack can have")
def stack_unsupported(views: Views) -> Iterator[Finding]:
    """Find what Compose knows and ``docker stack deploy`` refuses, before somebody deploys it."""
    root = views.facts.declared.root
    for server in views.facts.declared.servers:
        for app in server.apps:
            yield from _joined(app.unsupported, root, server=server.name, app=app.name)


@check("secret-marks", severity="medium", title="A mark of a secret cannot be read")
def marks(views: Views) -> Iterator[Finding]:
    """Find what an ``.env`` or a recipe's sample asks of a value in words nobody knows."""
    root = views.facts.declared.root
    for server, apps in views.facts.apps_by_server.items():
        for app in apps:
            for secret in app.secrets:
                yield from _joined(
                    secret.problems, root, server=server, app=app.name, secret=secret.name
                )


def _joined(
    problems: Iterable[Problem],
    root: str,
    *,
    server: str = "",
    app: str | None = None,
    secret: str | None = None,
) -> Iterator[Finding]:
    """Return a finding for each fault of each file, named from abra's folder on if it is there."""
    alike: defaultdict[tuple[str, str, str], list[Problem]] = defaultdict(list)
    for problem in problems:
        # What is wrong with a conflict names its lines.
        fault = "conflict" if problem.kind == "conflict" else problem.what
        alike[_from_root(problem.path, root), fault, problem.about].append(problem)
    for (path, fault, variable), found in alike.items():
        number = f"{len(found)} times" if len(found) > 1 else ""
        yield Finding(
            server=server,
            app=app,
            secret=secret,
            # Abra's folder is another one on another machine.
            subject=": ".join(filter(None, (path, fault, variable, number))),
            what=f"{path}{_at({one.line for one in found})}: {found[0].what}",
            remedy=" ".join(dict.fromkeys(one.remedy for one in found)),
        )


def _from_root(path: str, root: str) -> str:
    place = PurePath(path)
    return str(place.relative_to(root) if place.is_relative_to(root) else place)


def _at(lines: set[int]) -> str:
    *others, last = sorted(lines)
    if others:
        return f", lines {', '.join(map(str, others))} and {last}"
    return f":{last}" if last else ""
