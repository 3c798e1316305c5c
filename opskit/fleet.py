"""All servers of one operator: where reading starts and where changes are planned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, assert_never

from opskit.acknowledge import Acknowledging
from opskit.apps.apps import Apps
from opskit.arguments import check_flag, check_kind, check_text
from opskit.audit.exposure import known_to
from opskit.audit.stored import compare_store, in_store
from opskit.errors import InputError
from opskit.journal.runs import open_journal
from opskit.mending import Mend
from opskit.plan.assemble import Assembler
from opskit.plan.data import PlanData, is_creation
from opskit.plan.options import Options
from opskit.plan.remove import RemovalPlanner
from opskit.plan.renew import RenewalPlanner
from opskit.plan.selection import SAY_APP, Names, Request, Selection, Target, may_be_orphan
from opskit.reading.reading import entry_paths
from opskit.run.apply import Of
from opskit.run.recovery import break_lock, give_up, plan_rollback, resume, roll_back
from opskit.run.run import Plan
from opskit.secrets.passstore import PassStore, listed
from opskit.secrets.recipients import openable, store_folder
from opskit.secrets.value import Secret
from opskit.settings import read_settings
from opskit.snapshot import Snapshot
from opskit.steps.lock import locks_view
from opskit.views.frame import View

_TAKE = "Give what fleet.snapshot() gave."


class Fleet(Apps, Acknowledging):
    """The servers of an ``~/.abra`` folder, each reached by the Docker context of its name.

    Parameters
    ----------
    root
        abra's folder; it holds ``servers/`` and usually ``recipes/``.
    servers
        Only these servers; all when ``None``.
    deadline
        Seconds for each server, whatever hangs; by default what the settings say.
    executor
        Who reads snapshots: any ``concurrent.futures`` executor (Dask's
        ``client.get_executor()``, ipyparallel's ``client.load_balanced_view().executor``), or
        by server's name one whose workers are near it; threads here by default. A worker has
        opskit, and Docker contexts under the servers' names; it is sent names and settings, and
        sends back what engines said. The servers of one that is gone, and ``default``, are read
        from here. Plans, changes and all else that asks an engine work from here, too, and a
        fleet with an executor is not watched.

    Examples
    --------
    >>> fleet = opskit.Fleet.from_abra()
    >>> fleet.apps().query("recipe == 'traefik'")["app"].tolist()
    ['traefik.coop.example', 'traefik.garden.example', 'stream.radio.example']
    >>> snap = fleet.snapshot()
    >>> known = snap.secrets.query("secret == 'macaroon' and state == 'current'")
    >>> fleet.plan_rotate(known, snapshot=snap)
    <Plan to rotate: 1 change of 1 stack on 1 server, ...>
    """

    # -- looking beyond the swarms -------------------------------------------------------------

    def compare_pass(self, snap: Snapshot) -> View:
        """Return what is in the password store, in the swarms, or in only one of them.

        Entries outside the part of the store where opskit's path template leads are left alone.
        """
        check_kind("snap", snap, Snapshot, _TAKE)
        ours = read_settings().pass_template.partition("{")[0]
        entries = frozenset(path for path in listed() if path.startswith(ours))
        return compare_store(snap, entries, entry_paths())

    def known_to(self, person: str, snap: Snapshot) -> View:
        """Return what a person could know, in the order in which to renew it.

        Parameters
        ----------
        person
            An address or key id, as in the store's ``.gpg-id`` files and in the journal.
        snap
            The snapshot whose secrets to consider.
        """
        check_text("person", person, "Name an address or a key id.")
        check_kind("snap", snap, Snapshot, _TAKE)
        entries = openable(listed(), store_folder(), person)
        readable = in_store(snap.facts, entries, entry_paths())
        with open_journal() as journal:
            made = journal.created_by(person)
        return known_to(snap, readable=readable, made=made)

    # -- changes: each plans and changes nothing; Plan.apply does -----------------------------

    def plan_rotate(
        self,
        selection: Selection | str,
        secrets: Names | Options | None = None,
        options: Options | None = None,
        *,
        skip: bool = False,
        may_be_empty: bool = False,
        snapshot: Snapshot | None = None,
    ) -> Plan:
        """Plan a new, generated version for each selected secret.

        Parameters
        ----------
        selection
            An app's name, or ``server/app``; or rows of a secrets view, or
            (server, app, secret) triples.
        secrets
            Which of the app's: one name or several.
        options
            How it is to be done; after a selection it may come second.
        skip
            Leave out what cannot be rotated, as the plan says. What belongs to an app that is not
            deployed is left out of a selection anyhow.
        may_be_empty
            Where all of it is to be left out, return a plan of nothing that says why.
        snapshot
            What to plan over; else the servers that are concerned are read now, and no others.

        Raises
        ------
        InputError
            Something selected cannot be rotated; names all of it, by why.

        Examples
        --------
        >>> plan = fleet.plan_rotate("matrix.mutual.example", "macaroon")
        >>> plan.changes[["secret", "from", "to"]].to_numpy().tolist()
        [['macaroon', 'v2', 'v3']]
        """
        check_flag("skip", skip)
        check_flag("may_be_empty", may_be_empty)
        wanted = Request.of(selection, secrets, options, name_them=True)
        return self._plan(
            wanted.options,
            snapshot,
            lambda over: RenewalPlanner(over).rotate(
                wanted.rows(over.lookup), skip=skip, may_be_empty=may_be_empty
            ),
            wanted.servers,
        )

    def plan_generate(
        self,
        app: str,
        secrets: Names | None = None,
        options: Options | None = None,
        *,
        skip: bool = False,
        snapshot: Snapshot | None = None,
    ) -> Plan:
        """Plan an app's declared versions that are not in the swarm yet.

        Parameters
        ----------
        app
            The app's name, or ``server/app``.
        secrets
            One name or several; by default all that are absent and may be generated, and the
            plan names the others.
        options, skip, snapshot
            See `plan_rotate`.

        Raises
        ------
        InputError
            One of them exists or is not generated, or there is nothing to generate.

        Examples
        --------
        >>> fleet.plan_generate("notes.garden.example").changes["secret"].tolist()
        ['session']
        """
        check_text("app", app, SAY_APP)
        check_flag("skip", skip)
        wanted = Request.of(app, secrets, options)
        return self._plan(
            wanted.options,
            snapshot,
            lambda over: RenewalPlanner(over).generate(wanted.app, wanted.secrets, skip=skip),
            wanted.servers,
        )

    def plan_insert(
        self,
        app: str,
        secret: str,
        value: Secret,
        *,
        version: str = "",
        options: Options | None = None,
        snapshot: Snapshot | None = None,
    ) -> Plan:
        """Plan to store a given value, at the declared version if absent, else at a new one.

        Parameters
        ----------
        app, secret
            Which.
        value
            Made with ``opskit.Secret``, so that it shows nowhere.
        version
            At exactly this version.
        options, snapshot
            See `plan_rotate`.

        Raises
        ------
        InputError
            The version exists, or the value is no `Secret`.

        Examples
        --------
        >>> key = opskit.Secret("what the provider's page showed")
        >>> fleet.plan_insert("matrix.mutual.example", "keycloak_client_secret", key)
        <Plan to insert: 1 change of 1 stack on 1 server, ...>
        """
        check_text("secret", secret, "Name one that the app declares.")
        check_kind("value", value, Secret, "Give opskit.Secret(…), which shows nowhere.")
        check_text("version", version, "Name one, such as v2.", empty=True)
        plan = self._plan_app(
            app, options, snapshot, lambda over: RenewalPlanner(over).insert(app, secret, version)
        )
        return replace(plan, values=dict.fromkeys(_made(plan.data), value))

    def plan_restore(
        self,
        selection: Selection | str,
        secrets: Names | None = None,
        *,
        from_pass: bool = True,
        options: Options | None = None,
        skip: bool = False,
        may_be_empty: bool = False,
        snapshot: Snapshot | None = None,
    ) -> Plan:
        """Plan the selected secrets' declared versions that are not in the swarm.

        Parameters
        ----------
        selection, secrets
            See `plan_rotate`; all of an app's when none is named.
        from_pass
            Take values from the password store, which is opened for them now, and generate only
            those that have no entry; else generate all.
        options, skip, snapshot
            See `plan_rotate`.
        may_be_empty
            When nothing can be made, give a plan of nothing that says why, and is false.

        Raises
        ------
        InputError
            A value has no entry and may not be generated, or nothing selected is absent.

        Examples
        --------
        >>> plan = fleet.plan_restore("notes.garden.example", from_pass=False)
        >>> plan.changes[["secret", "to"]].to_numpy().tolist()
        [['session', 'v1']]
        """
        check_flag("from_pass", from_pass)
        check_flag("skip", skip)
        check_flag("may_be_empty", may_be_empty)
        wanted = Request.of(selection, secrets, options)
        entries = listed() if from_pass else frozenset[str]()
        given: dict[Of, str] = {}

        def restore(over: Assembler) -> PlanData:
            def is_given(target: Target) -> bool:
                entry = over.entry(target)
                if entry in entries:
                    given[target.app.server, target.app.stack, target.declared.swarm_name] = entry
                return entry in entries

            rows = wanted.rows(over.lookup)
            return RenewalPlanner(over).restore(
                rows, is_given, skip=skip, may_be_empty=may_be_empty
            )

        plan = self._plan(wanted.options, snapshot, restore, wanted.servers)
        store = PassStore() if given else None
        values = (
            {key: store.read(given[key]) for key in _made(plan.data) & given.keys()}
            if store
            else {}
        )
        return replace(plan, values=values)

    def plan_remove(
        self,
        selection: Selection | str,
        secrets: Names | Options | None = None,
        options: Options | None = None,
        *,
        skip: bool = False,
        may_be_empty: bool = False,
        snapshot: Snapshot | None = None,
    ) -> Plan:
        """Plan to remove secrets that nothing uses; there is no way back.

        Parameters
        ----------
        selection, secrets
            See `plan_rotate`: every version of these is removed. Of rows whose state is
            ``orphan`` exactly these are, and those somebody still needs stay, as the plan says.
        options
            How it is to be done; after a selection it may come second.
        skip
            Leave out what services need, as the plan says.
        may_be_empty
            When nothing can go, give a plan of nothing that says why, and is false.
        snapshot
            What to plan over; else the servers that are concerned are read now. For orphans
            that is every server: another one of the same swarm may declare them.

        Raises
        ------
        InputError
            What an app declares is in use, or all that was selected stays; says why.

        Examples
        --------
        >>> snap = fleet.snapshot()
        >>> orphans = snap.secrets.query("state == 'orphan' and server == 'garden.example'")
        >>> fleet.plan_remove(orphans, may_be_empty=True)
        <Plan to remove: ...>
        """
        check_flag("skip", skip)
        check_flag("may_be_empty", may_be_empty)
        wanted = Request.of(selection, secrets, options, name_them=True)
        return self._plan(
            wanted.options,
            snapshot,
            lambda over: RemovalPlanner(over, may_be_empty).remove(
                wanted.rows(over.lookup), skip=skip
            ),
            None if wanted.has_orphans() else wanted.servers,
        )

    def plan_prune(
        self,
        selection: Selection | str | None = None,
        secrets: Names | None = None,
        *,
        keep: int | None = None,
        options: Options | None = None,
        may_be_empty: bool = False,
        snapshot: Snapshot | None = None,
    ) -> Plan:
        """Plan to remove superseded versions, keeping the newest `keep` of each secret.

        By default as many are kept as the settings say. What a previous spec or a live task
        needs stays, as the plan says; with `may_be_empty` also where that is all of them.

        Parameters
        ----------
        selection, secrets
            See `plan_rotate`; everything when left out, all of an app's when none is named.
        keep
            So many superseded versions of each stay.
        options
            How it is to be done; with `use_pass`, values of before that no version has any more
            go from the password store, too.
        may_be_empty
            When nothing can go, give a plan of nothing that says why, and is false.
        snapshot
            What to plan over; else every server is read now: that nobody declares a version is
            known only when all were asked.

        Raises
        ------
        InputError
            All of them stay; says why, and when they can go.

        Examples
        --------
        >>> plan = fleet.plan_prune("cloud.coop.example", "admin_password", keep=1)
        >>> plan.changes[["secret", "from"]].to_numpy().tolist()
        [['admin_password', 'v1']]
        """
        check_flag("may_be_empty", may_be_empty)
        wanted = None if selection is None else Request.of(selection, secrets, options)
        if selection is None and secrets is not None:
            raise InputError("secrets are named, and no app.", remedy=SAY_APP)
        kept = read_settings().keep if keep is None else keep
        return self._plan(
            wanted.options if wanted else options,
            snapshot,
            lambda over: RemovalPlanner(over, may_be_empty).prune(
                wanted and wanted.rows(over.lookup), kept
            ),
            None,
        )

    def plan_remedy(
        self, finding: Any, value: Secret | None = None, *, snapshot: Snapshot | None = None
    ) -> Plan:
        """Plan what mends a finding.

        Parameters
        ----------
        finding
            A row of ``snap.audit()``, or what its column ``plan`` holds.
        value
            To insert, where somebody has to give it; made with ``opskit.Secret``.
        snapshot
            What to plan over; else the servers that are concerned are read now.

        Raises
        ------
        InputError
            It is for a person to mend, it needs a value, or it cannot be planned any more.

        Examples
        --------
        >>> findings = fleet.snapshot().audit()
        >>> stale = findings.query("id == 'secret-stale' and app == 'git.coop.example'").iloc[0]
        >>> fleet.plan_remedy(stale)
        <Plan to deploy: ...>
        """
        return plan_mend(self, Mend.of(finding), value, snapshot=snapshot)

    def journal(self, run: str = "") -> View:
        """Return every run this operator's journal knows, or the steps of one.

        Parameters
        ----------
        run
            The id of a run, or its beginning.
        """
        check_text("run", run, "Give the id of a run, or its beginning.", empty=True)
        with open_journal() as journal:
            return journal.steps_frame(run) if run else journal.runs_frame()

    def locks(self) -> View:
        """Read who works on which stack, on every server: nothing but the locks."""
        return locks_view([one.name for one in self.declared().servers], seconds=self.deadline)

    break_lock = staticmethod(break_lock)
    resume = staticmethod(resume)
    plan_rollback = staticmethod(plan_rollback)
    rollback = staticmethod(roll_back)
    give_up = staticmethod(give_up)


def plan_mend(
    fleet: Fleet, mend: Mend, value: Secret | None = None, *, snapshot: Snapshot | None = None
) -> Plan:
    """Plan what mends a finding, or several that `rounds` has put together."""
    options = Options(hook=mend.hook, use_pass=mend.use_pass)
    match mend.plan:
        case "rotate":
            return fleet.plan_rotate(mend.app, list(mend.secrets), options, snapshot=snapshot)
        case "generate":
            return fleet.plan_generate(mend.app, list(mend.secrets), options, snapshot=snapshot)
        case "insert":
            if value is None:
                raise InputError(
                    f"{mend.secrets[0]} of {mend.app} needs a value that somebody has.",
                    remedy="Give it: value=opskit.Secret(…).",
                )
            return fleet.plan_insert(
                mend.app, mend.secrets[0], value, options=options, snapshot=snapshot
            )
        case "deploy":
            return fleet.plan_deploy(mend.app, options, snapshot=snapshot)
        case "prune":
            return fleet.plan_prune(
                mend.app, list(mend.secrets), options=options, snapshot=snapshot
            )
        case "remove":
            snap = snapshot or fleet.snapshot()
            rows = snap.secrets.keep(may_be_orphan(snap.secrets)).select(mend.where)
            rows = rows.keep(rows["server"] == mend.server)
            return fleet.plan_remove(rows, snapshot=snap)
        case _ as unknown:
            assert_never(unknown)


def _made(data: PlanData) -> set[Of]:
    """Return whose the values are of the secrets that a plan creates."""
    return {
        (unit.server, unit.stack, step.swarm_name)
        for unit in data.units
        for step in unit.steps
        if is_creation(step)
    }
