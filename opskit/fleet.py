"""All servers of one operator: where reading starts and where changes are planned."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from opskit.apps import Apps
from opskit.audit.exposure import known_to
from opskit.audit.stored import compare_store, in_store
from opskit.facts import Facts
from opskit.operations.lock import locks_among
from opskit.operations.options import Options
from opskit.operations.plan import is_creation
from opskit.operations.planner import Planner
from opskit.operations.run import Plan, Run, open_journal, resume, roll_back
from opskit.operations.select import Chosen, Selection
from opskit.reading import entry_paths
from opskit.secrets.passstore import PassStore, entry_path, listed, store_folder
from opskit.secrets.recipients import openable
from opskit.secrets.value import Secret
from opskit.settings import read_settings
from opskit.snapshot import Snapshot
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


class Fleet(Apps):
    """The servers of an ``~/.abra`` folder, each reached by the Docker context of its name.

    Parameters
    ----------
    root
        abra's folder; it holds ``servers/`` and usually ``recipes/``.
    servers
        Only these servers; all when ``None``.
    deadline
        Seconds for each server, whatever hangs; by default what the settings say.
    """

    # -- looking beyond the swarms -------------------------------------------------------------

    def compare_pass(self, snap: Snapshot) -> View:
        """List what is in the password store, in the swarms, or in only one of them.

        Entries outside the part of the store where opskit's path template leads are left alone.
        """
        ours = read_settings().pass_template.partition("{")[0]
        entries = frozenset(path for path in listed() if path.startswith(ours))
        return compare_store(snap, entries, entry_paths())

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
        readable = in_store(snap.facts, entries, entry_paths())
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

    def plan_remove(
        self,
        selection: Selection,
        options: Options | None = None,
        *,
        may_be_empty: bool = False,
    ) -> Plan:
        """Plan to remove secrets that nothing uses; there is no way back.

        Parameters
        ----------
        selection
            (server, app, secret) triples or rows of a secrets view: every version of these is
            removed. Of rows whose state is ``orphan`` exactly these are, and those somebody still
            needs stay, as the plan says.
        options
            How it is to be done.
        may_be_empty
            When nothing can go, give a plan of nothing that says why, and is false.

        Raises
        ------
        InputError
            What an app declares is in use, or all that was selected stays; says why.
        """
        return self._plan(
            options, lambda planner: planner.remove(selection, may_be_empty=may_be_empty)
        )

    def plan_prune(
        self,
        selection: Selection | None = None,
        *,
        keep: int | None = None,
        options: Options | None = None,
        may_be_empty: bool = False,
    ) -> Plan:
        """Plan to remove superseded versions, keeping the newest `keep` of each secret.

        By default as many are kept as the settings say. What a previous spec or a live task
        needs stays, as the plan says; with `may_be_empty` also where that is all of them.

        Raises
        ------
        InputError
            All of them stay; says why, and when they can go.
        """
        kept = read_settings().keep if keep is None else keep
        return self._plan(
            options,
            lambda planner: planner.prune(selection, keep=kept, may_be_empty=may_be_empty),
        )

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
