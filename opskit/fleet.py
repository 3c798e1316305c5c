"""All servers of one operator: where reading starts and where changes are planned."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from opskit.abra.layout import default_root, read_tree
from opskit.abra.model import Declared
from opskit.audit.exposure import known_to
from opskit.audit.stored import compare_store, in_store
from opskit.errors import InputError
from opskit.facts import Facts
from opskit.operations.lock import locks_among
from opskit.operations.options import Options
from opskit.operations.plan import PlanData, is_creation
from opskit.operations.planner import Planner
from opskit.operations.run import Plan, Run, open_journal, resume, roll_back
from opskit.operations.select import Chosen, Selection
from opskit.progress import Progress, default_progress
from opskit.secrets.passstore import PassStore, entry_path, listed, store_folder
from opskit.secrets.recipients import openable
from opskit.secrets.value import Secret
from opskit.settings import read_settings
from opskit.snapshot import Snapshot
from opskit.swarm.observe import Observation, observe_server
from opskit.views.frame import Columns, View, about

LOCKS = {
    "server": "string",
    "stack": "string",
    "identity": "string",
    "owner": "string",
    "run": "string",
    "taken_at": "time",
    "expires_at": "time",
    "expired": "bool",
}

_READERS = 32
"""Servers read at once by default; each waits for the network most of the time."""


class Fleet:
    """The servers of an ``~/.abra`` folder, each reached by the Docker context of its name.

    Parameters
    ----------
    root
        abra's folder; it holds ``servers/`` and usually ``recipes/``.
    servers
        Only these servers; all when ``None``.
    deadline
        Seconds for each server, whatever hangs.
    """

    def __init__(
        self, root: Path, *, servers: Iterable[str] | None = None, deadline: float = 15.0
    ) -> None:
        self.root, self.deadline = root, deadline
        self._only = None if servers is None else frozenset(servers)

    def __repr__(self) -> str:
        return f"<Fleet {self.root}>"

    @classmethod
    def from_abra(
        cls,
        root: str | Path | None = None,
        *,
        servers: Iterable[str] | None = None,
        deadline: float = 15.0,
    ) -> Self:
        """Make a fleet from abra's folder: `root`, else ``ABRA_DIR``, else ``~/.abra``.

        Raises
        ------
        InputError
            The folder has no ``servers/``, or `servers` names one it does not know.
        """
        fleet = cls(
            default_root() if root is None else Path(root), servers=servers, deadline=deadline
        )
        fleet.declared()
        return fleet

    def declared(self) -> Declared:
        """Read what the files declare, now."""
        declared = read_tree(self.root)
        if self._only is None:
            return declared
        known = {server.name for server in declared.servers}
        for name in sorted(self._only - known):
            raise InputError(
                f"there is no server called {name!r} in {self.root / 'servers'}.",
                remedy=f"Choose from: {', '.join(sorted(known)) or 'none is declared'}",
            )
        chosen = tuple(server for server in declared.servers if server.name in self._only)
        return Declared(root=declared.root, servers=chosen, problems=declared.problems)

    def snapshot(
        self,
        *,
        executor: Executor | None = None,
        progress: Progress | None = None,
        with_pass: bool = False,
    ) -> Snapshot:
        """Read every server at once.

        Parameters
        ----------
        executor
            Runs one reading per server; threads by default. Any ``concurrent.futures`` executor
            will do (Dask's ``client.get_executor()``, ipyparallel's ``view.executor``): what
            goes in is a server name and a number, what comes back is plain data.
        progress
            Told of each server read; by default a bar in a terminal or notebook.
        with_pass
            Look up which secrets have an entry in the password store; none is opened.

        Returns
        -------
        Snapshot
            A server that cannot be read is a row saying why, never an exception.
        """
        taken_at = datetime.now(UTC)
        declared = self.declared()
        names = [server.name for server in declared.servers]
        if executor is None:
            with ThreadPoolExecutor(min(_READERS, len(names)) or 1, "opskit-read") as threads:
                observed = self._read(names, threads, progress)
        else:
            observed = self._read(names, executor, progress)
        facts = Facts(taken_at=taken_at, declared=declared, observed=observed)
        in_pass = in_store(facts, listed(), _entry_paths()) if with_pass else None
        return Snapshot(facts, in_pass)

    # -- looking beyond the swarms -------------------------------------------------------------

    def compare_pass(self, snap: Snapshot) -> View:
        """List what is in the password store, in the swarms, or in only one of them.

        Entries outside the part of the store where opskit's path template leads are left alone.
        """
        ours = read_settings().pass_template.partition("{")[0]
        entries = frozenset(path for path in listed() if path.startswith(ours))
        return compare_store(snap, entries, _entry_paths())

    def known_to(self, person: str, snap: Snapshot) -> View:
        """List what a person could know, in the order in which to renew it.

        Parameters
        ----------
        person
            An address or key id, as in the store's ``.gpg-id`` files and in the journal.
        snap
            The snapshot whose secrets to consider.
        """
        entries = openable(listed(), store_folder(), person)
        readable = in_store(snap.facts, entries, _entry_paths())
        with open_journal() as journal:
            made = journal.created_by(person)
        return known_to(snap, readable=readable, made=made)

    # -- changes: each plans and changes nothing; Plan.apply does -----------------------------

    def secrets_of(self, app: str, secrets: list[str] | None) -> list[tuple[str, str, str]]:
        """Give (server, app, secret) for some or all declared secrets of an app.

        Raises
        ------
        InputError
            There is no such app or secret, or several apps are called so.
        """
        chosen = Chosen(Facts(taken_at=datetime.now(UTC), declared=self.declared(), observed=()))
        found = chosen.app(app)
        names = secrets or [secret.name for secret in found.secrets]
        return [(found.server, found.name, chosen.target(found, name).declared.name)
                for name in names]  # fmt: skip

    def plan_rotate(self, selection: Selection, options: Options | None = None) -> Plan:
        """Plan a new, generated version for each selected secret.

        Parameters
        ----------
        selection
            Rows of a secrets view, or (server, app, secret) triples.
        options
            How it is to be done.

        Raises
        ------
        InputError
            Something selected cannot be rotated; names it and says what to do.
        """
        return self._plan(options, lambda planner: planner.rotate(selection))

    def plan_generate(
        self, app: str, secrets: list[str] | None = None, options: Options | None = None
    ) -> Plan:
        """Plan an app's declared versions that are not in the swarm yet."""
        return self._plan(options, lambda planner: planner.generate(app, secrets))

    def plan_insert(
        self,
        app: str,
        secret: str,
        value: Secret,
        *,
        version: str = "",
        options: Options | None = None,
    ) -> Plan:
        """Plan to store a given value, at the declared version if absent, else at a new one."""
        plan = self._plan(options, lambda planner: planner.insert(app, secret, version))
        names = [s.swarm_name for u in plan.data.units for s in u.steps if is_creation(s)]
        return replace(plan, values=dict.fromkeys(names, value))

    def plan_restore(
        self, selection: Selection, *, from_pass: bool = True, options: Options | None = None
    ) -> Plan:
        """Plan the selected secrets' declared versions that are not in the swarm.

        Parameters
        ----------
        selection
            Rows of a secrets view, or (server, app, secret) triples.
        from_pass
            Take values from the password store, which is opened for them now, and generate only
            those that have no entry; else generate all.

        Raises
        ------
        InputError
            A value has no entry and may not be generated, or nothing selected is absent.
        """
        chosen = options or Options()
        facts = self.snapshot().facts
        entries = listed() if from_pass else frozenset[str]()
        paths = {
            one.declared.swarm_name: entry_path(
                chosen.pass_template, server=one.app.server, app=one.app.name,
                secret=one.declared.name,
            )
            for one in Chosen(facts).targets(selection)
            if one.in_force.stored is None
        }  # fmt: skip
        given = {name: path for name, path in paths.items() if path in entries}
        planner = Planner(facts, replace(chosen, root=self.root))
        data = planner.restore(selection, frozenset(given))
        store = PassStore() if given else None
        values = {name: store.read(path) for name, path in given.items()} if store else {}
        return Plan(data=data, values=values, use_pass=chosen.use_pass)

    def plan_remove(self, selection: Selection, options: Options | None = None) -> Plan:
        """Plan to remove secrets that nothing uses, every version of them."""
        return self._plan(options, lambda planner: planner.remove(selection))

    def plan_prune(
        self,
        selection: Selection | None = None,
        *,
        keep: int = 1,
        options: Options | None = None,
    ) -> Plan:
        """Plan to remove superseded versions, keeping the newest `keep` of each secret."""
        return self._plan(options, lambda planner: planner.prune(selection, keep=keep))

    def plan_deploy(self, app: str, options: Options | None = None) -> Plan:
        """Plan to deploy an app as its files declare it, with ``docker stack deploy`` or abra."""
        return self._plan(options, lambda planner: planner.deploy(app))

    def plan_undeploy(self, app: str, options: Options | None = None) -> Plan:
        """Plan to take an app down; its volumes and secrets stay."""
        return self._plan(options, lambda planner: planner.undeploy(app))

    def plan_restart(
        self, app: str, services: list[str] | None = None, options: Options | None = None
    ) -> Plan:
        """Plan new tasks for all or some services of an app, with the specs they have."""
        return self._plan(options, lambda planner: planner.restart(app, services))

    def journal(self) -> View:
        """List every run this operator's journal knows."""
        with open_journal() as journal:
            return journal.runs_frame()

    def locks(self) -> View:
        """List who works on which stack, on every server."""
        facts = self.snapshot().facts
        columns = Columns(LOCKS)
        for seen in facts.observed:
            for one in locks_among(seen.server, seen.configs):
                columns.add(
                    one.server, one.stack, one.identity or None, f"{one.owner}@{one.host}",
                    one.run, one.taken_at, one.expires_at, one.is_expired,
                )  # fmt: skip
        return columns.view(about(facts, "locks"))

    def resume(self, run: str = "", **settings: Any) -> Run:
        """Carry on a run that stopped; the last unfinished one when none is named.

        `settings` are those of `Plan.apply`: ``identity``, ``on_progress`` and the like.
        """
        return resume(run, **settings)

    def rollback(self, run: str = "", **settings: Any) -> Run:
        """Undo a run, finished or not; the last unfinished one when none is named.

        `settings` are those of `Plan.apply`: ``identity``, ``on_progress`` and the like.
        """
        return roll_back(run, **settings)

    def _plan(self, options: Options | None, make: Callable[[Planner], PlanData]) -> Plan:
        chosen = replace(options or Options(), root=self.root)
        # A plan is exact only over a look taken now.
        planner = Planner(self.snapshot().facts, chosen)
        return Plan(data=make(planner), use_pass=chosen.use_pass)

    def _read(
        self, names: list[str], executor: Executor, progress: Progress | None
    ) -> tuple[Observation, ...]:
        read: Callable[[str, float], Observation] = observe_server
        waiting: dict[Future[Observation], str] = {
            executor.submit(read, name, self.deadline): name for name in names
        }
        found: dict[str, Observation] = {}
        with progress or default_progress("Reading servers", len(names)) as shown:
            for future in as_completed(waiting):
                name = waiting[future]
                found[name] = future.result()
                shown.advance(name if found[name].manager else f"{name} (missing)")
        return tuple(found[name] for name in names)


def _entry_paths() -> Callable[[str, str, str], str]:
    template = read_settings().pass_template
    return lambda server, app, secret: entry_path(template, server=server, app=app, secret=secret)
