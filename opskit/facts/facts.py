"""What one look at the fleet found, as plain data: what is declared and what was observed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import msgspec

from opskit.abra.model import Declared, DeclaredApp
from opskit.facts.around import Around, Perhaps, are_alike
from opskit.swarm.observe import Observation

_ANY_TIME = datetime.fromtimestamp(0, UTC)


class Part(NamedTuple):
    """All that the rows about one server are made of: two equal parts make equal rows."""

    server: str
    apps: tuple[DeclaredApp, ...]
    seen: Observation | None
    """What it said, if it was asked."""
    around: Around
    releases: Mapping[str, tuple[str, ...]]
    """By recipe."""

    @property
    def read(self) -> Observation | None:
        """What it said, if its swarm could be read."""
        return self.seen if self.seen is not None and self.seen.manager else None


class Held:
    """What one server said, as a snapshot holds it: in memory, or its long lists in a file.

    Parameters
    ----------
    head
        All of it but its long lists, at least.
    """

    def __init__(self, head: Observation) -> None:
        self.head = head

    def whole(self) -> Observation:
        """Return all of it."""
        return self.head

    def is_alike(self, other: Held) -> bool:
        """Return whether another one says the same, whenever each was asked."""
        return said(self.whole()) == said(other.whole())

    def secret_names(self) -> Iterable[str]:
        """Return the names of the secrets that are in its swarm."""
        return (one.spec.name for one in self.head.secrets)


class _Seen(Mapping[str, Observation]):
    """Observations by server name, each read when it is asked for."""

    def __init__(self, held: Mapping[str, Held]) -> None:
        self._held = held

    def __getitem__(self, server: str) -> Observation:
        return self._held[server].whole()

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, server: object) -> bool:
        return server in self._held


class Facts:
    """What a snapshot holds: plain data, no values of secrets, no environment variables.

    Parameters
    ----------
    taken_at
        When the reading began (UTC).
    declared
        Servers, apps and secrets as abra's files declare them.
    observed
        One observation per server that was asked, or what holds it.
    saved
        Whether they were read from a file, which lacks what a plan compares with.
    bare
        The servers that workers read (see `opskit.reading.errands`), of which the same is lacking.
    """

    def __init__(
        self,
        *,
        taken_at: datetime,
        declared: Declared,
        observed: Iterable[Observation | Held],
        saved: bool = False,
        bare: frozenset[str] = frozenset(),
    ) -> None:
        self.taken_at, self.declared, self.saved, self.bare = taken_at, declared, saved, bare
        self._held = tuple(one if isinstance(one, Held) else Held(one) for one in observed)

    @cached_property
    def observed(self) -> tuple[Observation, ...]:
        """What each server said that was asked."""
        return tuple(one.whole() for one in self._held)

    @cached_property
    def seen(self) -> Mapping[str, Observation]:
        """Observations by server name."""
        return _Seen(self._held_by_server)

    @cached_property
    def _held_by_server(self) -> dict[str, Held]:
        return {one.head.server: one for one in self._held}

    @cached_property
    def _heads(self) -> dict[str, Observation]:
        return {server: one.head for server, one in self._held_by_server.items()}

    @property
    def oldest(self) -> datetime:
        """When the server was read that was read first: after another look at some, not now."""
        return min((one.head.taken_at for one in self._held), default=self.taken_at)

    @cached_property
    def apps_by_server(self) -> dict[str, tuple[DeclaredApp, ...]]:
        """Declared apps by server name, for every server known from either side."""
        found: dict[str, tuple[DeclaredApp, ...]] = {
            server.name: server.apps for server in self.declared.servers
        }
        for server in self._heads:
            found.setdefault(server, ())
        return dict(sorted(found.items()))

    @cached_property
    def swarms(self) -> dict[str, str]:
        """The id of the swarm that each server leads to, for all of which it is known.

        Only a manager knows it; a worker's is that of the manager that lists it as a node. It is
        empty for a server that is part of none.
        """
        found: dict[str, str] = {}
        nodes: dict[str, str] = {}
        for seen in self._heads.values():
            cluster = seen.info.swarm.cluster
            if cluster is not None and cluster.id:
                found[seen.server] = cluster.id
                nodes |= {node.id: cluster.id for node in seen.nodes}
        for seen in self._heads.values():
            swarm = seen.info.swarm
            if seen.server not in found and swarm.node_id in nodes:
                found[seen.server] = nodes[swarm.node_id]
            elif seen.reachable and swarm.local_node_state == "inactive":
                found.setdefault(seen.server, "")
        return found

    def together(self, server: str) -> tuple[str, ...]:
        """Return the servers that lead to one swarm, this one among them, in order."""
        swarm = self.swarms.get(server)
        return self._by_swarm[swarm] if swarm else (server,)

    @cached_property
    def _by_swarm(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for server, swarm in sorted(self.swarms.items()):
            found.setdefault(swarm, []).append(server)
        return {swarm: tuple(servers) for swarm, servers in found.items()}

    @cached_property
    def parts(self) -> dict[str, Part]:
        """What the rows about each server are made of, by server name."""
        releases = self.declared.releases
        return {
            server: Part(server, apps, self.seen.get(server), self.around(server), releases)
            for server, apps in self.apps_by_server.items()
        }

    def part(self, server: str) -> Part | None:
        """Return what the rows about one server are made of, if it is known here."""
        if (apps := self.apps_by_server.get(server)) is None:
            return None
        around, releases = self.around(server), self.declared.releases
        return Part(server, apps, self.seen.get(server), around, releases)

    def differing(self, other: Facts) -> Iterator[str]:
        """Yield the servers of either whose parts differ, but for releases and digests, in order.

        Of one that a file holds as it is in the other's file nothing is made. Each part of a file
        is unpacked once if what is asked of a server is asked before the next one.
        """
        ours, theirs = self.apps_by_server, other.apps_by_server
        unsure = self._of_unknown_swarms.unlike(other._of_unknown_swarms)
        for server in sorted(ours.keys() | theirs.keys()):
            mine, its = self._held_by_server.get(server), other._held_by_server.get(server)
            if (
                not are_alike(ours.get(server), theirs.get(server))
                or not _say_alike(mine, its)
                or not self.around(server).is_alike(other.around(server))
                or (mine and unsure and unsure.declares_any(mine.secret_names()))
            ):
                yield server

    def around(self, server: str) -> Around:
        """Return what other servers declare that may be meant for this server's swarm."""
        together = self.together(server)
        readable = [name for name in together if (head := self._heads.get(name)) and head.manager]
        return Around(
            together=self._apps_of(name for name in together if name != server),
            perhaps=self._of_unknown_swarms,
            unread=self._unread_folder({*together, *self._unknown}),
            first=server == next(iter(readable), server),
        )

    @cached_property
    def _unknown(self) -> frozenset[str]:
        """Servers of which nobody knows to which swarm they lead."""
        others = (one.name for one in self.declared.others)
        return frozenset({*self.apps_by_server, *others} - self.swarms.keys())

    @cached_property
    def _of_unknown_swarms(self) -> Perhaps:
        others = (app for one in self.declared.others for app in one.apps)
        return Perhaps((*self._apps_of(sorted(self._unknown)), *others))

    def _apps_of(self, servers: Iterable[str]) -> tuple[DeclaredApp, ...]:
        return tuple(app for name in servers for app in self.apps_by_server.get(name, ()))

    def _unread_folder(self, servers: Collection[str]) -> str:
        """Return which unread folder may hold apps of these servers, or of one not known."""
        folders, top = self._folders, str(Path(self.declared.root) / "servers")
        for problem in self.declared.problems:
            path, parent = problem.path, str(Path(problem.path).parent)
            server = folders.get(path) or folders.get(parent)
            if (server in servers) if server else top in (path, parent):
                return f"an app may declare it, as {path} cannot be read"
        return ""

    @cached_property
    def _folders(self) -> dict[str, str]:
        servers = (*self.declared.servers, *self.declared.others)
        return {server.folder: server.name for server in servers}

    def unknown(self, name: str) -> dict[str, str]:
        """Servers of which one list, such as ``services``, was not read, each with the reason."""
        heads = self._heads.values()
        partly = {o.server: o.unread[name] for o in heads if name in o.unread}
        return dict(sorted((self.missing() | partly).items()))

    def missing(self) -> dict[str, str]:
        """Servers whose swarm could not be read, each with the reason."""
        heads = self._heads
        gone = {o.server: o.error or "not read" for o in heads.values() if not o.manager}
        gone |= {s: "not asked" for s in self.apps_by_server if s not in heads}
        return dict(sorted(gone.items()))


def said(seen: Observation) -> Observation:
    """Return what a server said, without what is another at each look, or not in a file."""
    info = msgspec.structs.replace(seen.info, system_time=None, containers_running=0)
    return msgspec.structs.replace(without_digests(seen), taken_at=_ANY_TIME, info=info)


def without_digests(seen: Observation) -> Observation:
    """Return what a server said, without that by which a value in a spec could be guessed."""
    services = tuple(
        msgspec.structs.replace(one, spec_digest="", pieces={}) for one in seen.services
    )
    return msgspec.structs.replace(seen, services=services)


def _say_alike(one: Held | None, other: Held | None) -> bool:
    return one is other if one is None or other is None else one.is_alike(other)
