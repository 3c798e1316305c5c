"""Which secrets are changed together or not at all, and which stand in each other's way.

Those of one variable get one version. Two apps of one stack, or that share a secret, would each
change what is the other's too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from opskit.abra.model import DeclaredApp
from opskit.errors import InputError
from opskit.plan.obstacles import Bulk, Row
from opskit.plan.selection import Target
from opskit.plan.versions import Renewal


def row_of(target: Target) -> Row:
    """Return how a selection names a secret."""
    return target.app.server, target.app.name, target.declared.name


def by_variable(targets: Iterable[Target]) -> list[list[Target]]:
    """Group secrets by the variable that gives them their version."""
    found: defaultdict[tuple[str, str, str, str], list[Target]] = defaultdict(list)
    for target in targets:
        found[_variable(target)].append(target)
    return list(found.values())


def in_step(renewals: Iterable[Renewal]) -> list[list[Renewal]]:
    """Group new versions by the variable that names them."""
    found: defaultdict[tuple[str, str, str, str], list[Renewal]] = defaultdict(list)
    for one in renewals:
        found[_variable(one.target)].append(one)
    return list(found.values())


def disputes(
    grouped: Mapping[tuple[str, str], list[Renewal]],
) -> Iterator[tuple[int, InputError]]:
    """Return the ids of renewals of two apps of one stack, whose files would not both change.

    So too of two apps that would make one secret.
    """
    owners: defaultdict[tuple[str, str], list[Renewal]] = defaultdict(list)
    for (server, stack), renewals in grouped.items():
        names = list(dict.fromkeys(_shown(one.target.app, server) for one in renewals))
        if len(names) > 1:
            error = InputError(
                f"{' and '.join(names)} are one stack, {stack}, on {server}.",
                remedy="Give all but one of them another STACK_NAME.",
            )
            yield from ((id(one), error) for one in renewals)
        for one in renewals:
            owners[server, one.new_name].append(one)
    for (server, name), renewals in owners.items():
        apps = list(dict.fromkeys(_shown(one.target.app, server) for one in renewals))
        if len(apps) > 1:
            error = InputError(
                f"{' and '.join(apps)} would each make {name} on {server}, which they share.",
                remedy=f"Select it for {apps[0]} only, and let the others name the same version.",
            )
            yield from ((id(one), error) for one in renewals)


def undisputed(
    renewals: list[Renewal], disputed: Mapping[int, InputError], bulk: Bulk
) -> list[Renewal]:
    """Return those of a stack that no other app of the selection would change too."""
    left: list[Renewal] = []
    for together in in_step(renewals):
        error = next((disputed[id(one)] for one in together if id(one) in disputed), None)
        if error is None:
            left += together
            continue
        for one in together:
            bulk.add(row_of(one.target), error)
    return left


def _variable(target: Target) -> tuple[str, str, str, str]:
    """Return what is alike for secrets that get their version from one variable."""
    key = target.declared.env_key
    return target.app.server, target.app.name, key, "" if key else target.declared.name


def _shown(app: DeclaredApp, server: str) -> str:
    return app.name if app.server == server else f"{app.server}/{app.name}"
