"""What one look at the fleet found, as plain data: what is declared and what was observed."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import msgspec

from opskit.abra.model import Declared, DeclaredApp, DeclaredServer
from opskit.atomic import private_folder, write_private
from opskit.bounded import read_regular, unzipped
from opskit.decoding import decode_json
from opskit.errors import InputError
from opskit.join import Around, Perhaps
from opskit.swarm.observe import Observation

_FORMAT = 1
_SIZE_LIMIT, _CONTENT_LIMIT = 64 * 1024**2, 256 * 1024**2
"""Bytes of a file and what it unpacks to: more than the largest fleet's."""
_ANY_TIME = datetime.fromtimestamp(0, UTC)
_SAVE_AGAIN = "Save a new one with: opskit snapshot FILE"


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    opskit_snapshot: int
    taken_at: datetime
    declared: Declared
    observed: tuple[Observation, ...]


class _Envelope(msgspec.Struct):
    opskit_snapshot: int


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


class Facts:
    """What a snapshot holds: plain data, no values of secrets, no environment variables.

    Parameters
    ----------
    taken_at
        When the reading began (UTC).
    declared
        Servers, apps and secrets as abra's files declare them.
    observed
        One observation per server that was asked.
    saved
        Whether they were read from a file, which lacks what a plan compares with.
    bare
        The servers that workers read (see `opskit.errands`), of which the same is lacking.
    """

    def __init__(
        self,
        *,
        taken_at: datetime,
        declared: Declared,
        observed: tuple[Observation, ...],
        saved: bool = False,
        bare: frozenset[str] = frozenset(),
    ) -> None:
        self.taken_at, self.declared, self.observed = taken_at, declared, observed
        self.saved, self.bare = saved, bare

    @cached_property
    def seen(self) -> dict[str, Observation]:
        """Observations by server name."""
        return {observation.server: observation for observation in self.observed}

    @property
    def oldest(self) -> datetime:
        """When the server was read that was read first: after another look at some, not now."""
        return min((one.taken_at for one in self.observed), default=self.taken_at)

    @cached_property
    def apps_by_server(self) -> dict[str, tuple[DeclaredApp, ...]]:
        """Declared apps by server name, for every server known from either side."""
        found: dict[str, tuple[DeclaredApp, ...]] = {
            server.name: server.apps for server in self.declared.servers
        }
        for observation in self.observed:
            found.setdefault(observation.server, ())
        return dict(sorted(found.items()))

    @cached_property
    def swarms(self) -> dict[str, str]:
        """The id of the swarm that each server leads to, for all of which it is known.

        Only a manager knows it; a worker's is that of the manager that lists it as a node. It is
        empty for a server that is part of none.
        """
        found: dict[str, str] = {}
        nodes: dict[str, str] = {}
        for seen in self.observed:
            cluster = seen.info.swarm.cluster
            if cluster is not None and cluster.id:
                found[seen.server] = cluster.id
                nodes |= {node.id: cluster.id for node in seen.nodes}
        for seen in self.observed:
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

    def around(self, server: str) -> Around:
        """Return what other servers declare that may be meant for this server's swarm."""
        together = self.together(server)
        readable = [name for name in together if name in self.seen and self.seen[name].manager]
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
        partly = {o.server: o.unread[name] for o in self.observed if name in o.unread}
        return dict(sorted((self.missing() | partly).items()))

    def missing(self) -> dict[str, str]:
        """Servers whose swarm could not be read, each with the reason."""
        gone = {o.server: o.error or "not read" for o in self.observed if not o.manager}
        gone |= {s: "not asked" for s in self.apps_by_server if s not in self.seen}
        return dict(sorted(gone.items()))


def said(seen: Observation) -> Observation:
    """Return what a server said, without what is another at each look."""
    info = msgspec.structs.replace(seen.info, system_time=None, containers_running=0)
    return msgspec.structs.replace(seen, taken_at=_ANY_TIME, info=info)


def save_facts(facts: Facts, path: Path) -> None:
    """Write a snapshot to a gzipped JSON file readable by its owner only, all or nothing.

    Raises
    ------
    InputError
        The file cannot be written there.
    """
    content = msgspec.json.encode(
        _Saved(
            opskit_snapshot=_FORMAT,
            taken_at=facts.taken_at,
            declared=msgspec.structs.replace(
                facts.declared,
                servers=tuple(map(_without_file_hashes, facts.declared.servers)),
                others=tuple(map(_without_file_hashes, facts.declared.others)),
            ),
            observed=tuple(map(without_digests, facts.observed)),
        )
    )
    # Its own folder, not a chain of them: that is rather a mistyped path.
    private_folder(path.parent, parents=False)
    write_private(path, gzip.compress(content, compresslevel=3))


def load_facts(path: Path) -> Facts:
    """Read a snapshot file.

    Raises
    ------
    InputError
        There is none, it is damaged, or another opskit wrote it.
    """
    try:
        content = unzipped(read_regular(path, _SIZE_LIMIT), _CONTENT_LIMIT)
        if content is None:
            raise InputError(
                f"it unpacks to more than {_CONTENT_LIMIT // 1024**2} MiB.",
                path=path,
                remedy=_SAVE_AGAIN,
            )
        version = decode_json(content, _Envelope).opskit_snapshot
    except (zlib.error, EOFError, msgspec.MsgspecError) as error:
        raise InputError(
            f"this is not a whole opskit snapshot ({error}).", path=path, remedy=_SAVE_AGAIN
        ) from error
    except OSError as error:
        raise InputError(
            f"the snapshot cannot be read ({error.strerror}).", path=path, remedy=_SAVE_AGAIN
        ) from error
    if version != _FORMAT:
        raise InputError(
            f"this snapshot has format {version}, and this opskit reads {_FORMAT}.",
            path=path,
            remedy="Use the opskit that wrote it, or save a new one.",
        )
    try:
        saved = decode_json(content, _Saved)
    except msgspec.MsgspecError as error:
        raise InputError(
            f"this snapshot is damaged ({error}).", path=path, remedy=_SAVE_AGAIN
        ) from error
    return Facts(
        taken_at=saved.taken_at, declared=saved.declared, observed=saved.observed, saved=True
    )


# Only a plan needs them, and it is made over a look of its own: a password that stands in a `.env`
# or a spec could be guessed with them.


def _without_file_hashes(server: DeclaredServer) -> DeclaredServer:
    apps = tuple(msgspec.structs.replace(app, env_sha256="") for app in server.apps)
    return msgspec.structs.replace(server, apps=apps)


def without_digests(seen: Observation) -> Observation:
    """Return what a server said, without that by which a value in a spec could be guessed."""
    services = tuple(
        msgspec.structs.replace(one, spec_digest="", pieces={}) for one in seen.services
    )
    return msgspec.structs.replace(seen, services=services)
