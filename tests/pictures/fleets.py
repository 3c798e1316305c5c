"""Fleets that are hard to draw, made of a snapshot of the demo fleet."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

import opskit
from opskit.facts.facts import Facts


def tenfold(snap: opskit.Snapshot) -> opskit.Snapshot:
    """Give forty servers and over two hundred apps: what could be read, ten times."""
    facts = snap.facts
    read = [one for one in facts.declared.servers if facts.seen[one.name].manager]
    names = [(server, f"{copy}.{server.name}") for copy in range(10) for server in read]
    observed = [replace(facts.seen[server.name], server=name) for server, name in names]
    servers = [
        replace(server, name=name, apps=tuple(replace(app, server=name) for app in server.apps))
        for server, name in names
    ]
    declared = replace(facts.declared, servers=tuple(servers))
    return opskit.Snapshot(
        Facts(taken_at=facts.taken_at, declared=declared, observed=tuple(observed))
    )


def nothing(snap: opskit.Snapshot) -> opskit.Snapshot:
    """Give a fleet without servers."""
    declared = type(snap.facts.declared)(root="", servers=(), problems=())
    return opskit.Snapshot(Facts(taken_at=snap.facts.taken_at, declared=declared, observed=()))


def without(snap: opskit.Snapshot, *servers: str, week: int = 0) -> opskit.Snapshot:
    """Give the same without some servers, some weeks later."""
    facts = snap.facts
    kept = tuple(one for one in facts.declared.servers if one.name not in servers)
    seen = tuple(one for one in facts.observed if one.server not in servers)
    return opskit.Snapshot(
        Facts(
            taken_at=facts.taken_at + timedelta(weeks=week),
            declared=replace(facts.declared, servers=kept),
            observed=seen,
        )
    )


def weeks(snap: opskit.Snapshot) -> list[opskit.Snapshot]:
    """Give weekly snapshots in which servers come and go."""
    names = [one.name for one in snap.facts.declared.servers]
    gone = (names[2:], names[2:], names[3:], names[1:4], names[5:], names[4:5], [], names[:1], [])
    return [without(snap, *servers, week=week - 8) for week, servers in enumerate(gone)]
