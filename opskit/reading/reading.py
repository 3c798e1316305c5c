"""Looking at all servers of one operator."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Self

import msgspec

from opskit.abra.layout import default_root, read_tree, server_names
from opskit.abra.model import Declared
from opskit.arguments import check_flag, check_function, check_kind, check_number, names_in, path_in
from opskit.errors import InputError
from opskit.facts.facts import Facts
from opskit.lean import without_collecting
from opskit.progress import Progress, default_progress
from opskit.reading.sharing import Near, Shared, check_near, named
from opskit.reading.watching import Live
from opskit.secrets.passstore import PREVIOUS, entry_path, listed
from opskit.settings import read_settings
from opskit.snapshot import Snapshot
from opskit.swarm.observe import Observation


class Reading:
    """Reads the servers of an ``~/.abra`` folder, each by the Docker context of its name.

    Parameters
    ----------
    root, servers, deadline, executor
        See `opskit.Fleet`.

    Raises
    ------
    InputError
        One of them is not what it must be.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        servers: Iterable[str] | None = None,
        deadline: float | None = None,
        executor: Near | None = None,
    ) -> None:
        if deadline is not None:
            check_number("deadline", deadline, above=0)
        self.root = path_in("root", root)
        self.deadline = read_settings().deadline if deadline is None else deadline
        self._only = None if servers is None else frozenset(names_in("servers", servers))
        self.executor = check_near(executor)

    def __repr__(self) -> str:
        only = "" if self._only is None else f", only {', '.join(sorted(self._only)) or 'none'}"
        return f"<{type(self).__name__} {self.root}{only}{named(self.executor)}>"

    @classmethod
    def from_abra(
        cls,
        root: str | Path | None = None,
        *,
        servers: Iterable[str] | None = None,
        deadline: float | None = None,
        executor: Near | None = None,
    ) -> Self:
        """Make a fleet from abra's folder: `root`, else ``ABRA_DIR``, else ``~/.abra``.

        Raises
        ------
        InputError
            The folder has no ``servers/``, or `servers` names one it does not know.
        """
        where = default_root() if root is None else root
        fleet = cls(where, servers=servers, deadline=deadline, executor=executor)
        fleet.declared()
        return fleet

    def declared(self) -> Declared:
        """Read what the files declare, now."""
        declared = read_tree(self.root)
        if self._only is None:
            return declared
        self._check_only(server.name for server in declared.servers)
        chosen = tuple(server for server in declared.servers if server.name in self._only)
        others = tuple(server for server in declared.servers if server.name not in self._only)
        return msgspec.structs.replace(declared, servers=chosen, others=others)

    def _check_only(self, names: Iterable[str]) -> None:
        known = frozenset(names)
        for name in sorted((self._only or frozenset[str]()) - known):
            raise InputError(
                f"there is no server called {name!r} in {self.root / 'servers'}.",
                remedy=f"Choose from: {', '.join(sorted(known)) or 'none is declared'}",
            )

    def snapshot(
        self,
        *,
        executor: Near | None = None,
        progress: Progress | None = None,
        with_pass: bool = False,
    ) -> Snapshot:
        """Read every server at once.

        Parameters
        ----------
        executor
            Who reads, instead of whom the fleet was made with; see `opskit.Fleet`.
        progress
            Told of each server read; by default a bar in a terminal or notebook.
        with_pass
            Look up which secrets have an entry in the password store; none is opened.

        Returns
        -------
        Snapshot
            A server that cannot be read is a row saying why, never an exception.

        Examples
        --------
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> with ThreadPoolExecutor(2) as workers:
        ...     snap = fleet.snapshot(executor={"coop.example": workers})
        >>> sorted(snap.facts.bare)
        ['coop.example']
        """
        near = self.executor if executor is None else check_near(executor)
        if progress is not None:
            check_function("progress.advance", getattr(progress, "advance", None))
        check_flag("with_pass", with_pass)
        return _taken(self._look(None, near=near, progress=progress), with_pass)

    def look(self) -> Facts:
        """Read every server at once, as `snapshot` does, without loading pandas.

        Returns
        -------
        Facts
            What files declare and engines said; ``Snapshot(facts).listing("secrets")`` lists it.

        Examples
        --------
        >>> facts = fleet.look()
        >>> len(facts.apps_by_server) == len(fleet.snapshot().servers)
        True
        """
        return self._look(None, near=self.executor, meanwhile="opskit.views.table")

    def watch(self, period: float | None = None, *, progress: Progress | None = None) -> Live:
        """Read every server at once, and keep the snapshot fresh by what the engines tell.

        Parameters
        ----------
        period
            Seconds, at least 1, after which each server is read though it told of nothing; by
            default what the settings say. Whatever becomes of what it tells, no row is wrong for
            longer.
        progress
            See `snapshot`.

        Returns
        -------
        Live
            Close it, or use it in a ``with`` statement: it has a thread and two connections for
            each server (over ssh one).

        Raises
        ------
        InputError
            `period` is no number of seconds, or less than 1; or the fleet has an executor.

        Examples
        --------
        >>> with fleet.watch(period=60) as live:
        ...     print(len(live.snapshot.servers))
        6
        """
        if period is not None:
            check_number("period", period, least=1)
        if self.executor is not None:
            raise InputError(
                "a fleet with an executor is not watched: engines tell what happens over "
                "connections that stay open, and workers keep none.",
                remedy="Make one without, or take another snapshot() now and then.",
            )
        seconds = read_settings().watch_period if period is None else period
        snapshot = self.snapshot(progress=progress)
        return Live(snapshot, self.root, self.declared, period=seconds, deadline=self.deadline)

    def refresh(
        self, snap: Snapshot, servers: Iterable[str], *, with_pass: bool = False
    ) -> Snapshot:
        """Read all files and some servers once more, from here.

        The others are as a snapshot has them.

        Parameters
        ----------
        snap
            What was read before.
        servers
            Which to read again, and with them all that lead to the same swarm; of none, only what
            the files say is new.
        with_pass
            See `snapshot`; where `snap` was looked up there, so is this.
        """
        check_kind("snap", snap, Snapshot, "Give what fleet.snapshot() gave.")
        check_flag("with_pass", with_pass)
        named = names_in("servers", servers)
        again = frozenset(one for name in named for one in snap.facts.together(name))
        fresh = self._look(lambda _: again)
        known = {one.server: one for one in (*snap.facts.observed, *fresh.observed)}
        observed = tuple(known[one.name] for one in fresh.declared.servers if one.name in known)
        bare = snap.facts.bare.intersection(one.server for one in observed) - fresh.seen.keys()
        facts = Facts(
            taken_at=fresh.taken_at, declared=fresh.declared, observed=observed, bare=bare
        )
        return _taken(facts, with_pass or snap.looked_in_pass, since=snap)

    def _look(
        self,
        where: Callable[[Facts], Collection[str]] | None,
        *,
        near: Near | None = None,
        progress: Progress | None = None,
        meanwhile: str = "opskit.views.frame",
    ) -> Facts:
        """Read what all files declare, and of the servers those that `where` names; else all.

        `where` is given what is declared, and may refuse before any server is asked. Without
        `near` they are read from here, whomever the fleet was made with: a plan compares with
        what workers do not send.
        """
        taken_at = datetime.now(UTC)
        every = server_names(self.root)
        self._check_only(every)
        if isinstance(near, Mapping):
            _check_known(near, every)
        names = [name for name in every if self._only is None or name in self._only]
        declared = None
        if where is not None:
            declared = self.declared()
            wanted = where(Facts(taken_at=taken_at, declared=declared, observed=()))
            names = [name for name in names if name in wanted]
        found: dict[str, Observation] = {}
        with Shared(names, near, self.deadline) as shared:
            # While they answer: together it takes as long as a far server.
            with without_collecting():
                declared = declared or self.declared()
                import_module(meanwhile)
            with progress or default_progress("Reading servers", len(names)) as shown:
                for seen, oddity in shared:
                    found[seen.server] = seen
                    shown.advance(f"{seen.server} ({oddity})" if oddity else seen.server)
        # Files may have come and gone meanwhile: nobody asked a server that is new since.
        declared_now = (server.name for server in declared.servers)
        observed = tuple(found[name] for name in declared_now if name in found)
        bare = frozenset(shared.by_workers)
        return Facts(taken_at=taken_at, declared=declared, observed=observed, bare=bare)


def _check_known(named: Collection[str], known: Collection[str]) -> None:
    for name in sorted(set(named) - set(known)):
        raise InputError(
            f"executor names {name!r}, and no server is called so.",
            remedy=f"Choose from: {', '.join(sorted(known)) or 'none is declared'}",
        )


def _taken(facts: Facts, with_pass: bool, *, since: Snapshot | None = None) -> Snapshot:
    if not with_pass:
        return Snapshot(facts, since=since)
    from opskit.audit.stored import in_store

    entries, path = listed(), entry_paths()
    before = in_store(facts, entries, path, end=PREVIOUS)
    return Snapshot(facts, in_store(facts, entries, path), before, since=since)


def entry_paths() -> Callable[[str, str, str], str]:
    """Return what tells where a secret (server, app, secret) lives in the password store."""
    template = read_settings().pass_template
    return lambda server, app, secret: entry_path(template, server=server, app=app, secret=secret)
