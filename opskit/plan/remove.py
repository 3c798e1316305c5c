"""Plans that take secrets away for good: unused ones, superseded versions, orphans."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from shlex import quote

from opskit.arguments import check_count
from opskit.errors import InputError
from opskit.facts.join import SecretRow, Uses, about_unread, uses
from opskit.facts.retention import superseded
from opskit.plan.assemble import Assembler
from opskit.plan.data import Change, PlanData, Unit
from opskit.plan.obstacles import Bulk, ObstacleError
from opskit.plan.selection import Selection, Target, named_in, orphans_in
from opskit.secrets.passstore import NEXT, PREVIOUS, PassStore
from opskit.steps import AnyStep, ReleaseLock, RemovePassword, RemoveSecret, TakeLock

_NAMED = 5
"""So many are named in a sentence."""


@dataclass(slots=True)
class _Going:
    """What goes of one stack: versions, and for each secret entries of the password store."""

    rows: list[SecretRow] = field(default_factory=list[SecretRow])
    entries: dict[str, list[str]] = field(default_factory=dict[str, list[str]])


@dataclass(slots=True)
class _Found:
    """What goes, by server and stack, and what is left alone, each with the reason."""

    going: defaultdict[tuple[str, str], _Going] = field(
        default_factory=lambda: defaultdict[tuple[str, str], _Going](_Going)
    )
    ids: set[str] = field(default_factory=set[str])
    left_alone: list[str] = field(default_factory=list[str])
    updates: set[str] = field(default_factory=set[str])

    def add(self, server: str, rows: Iterable[SecretRow], needed: Uses) -> None:
        """Sort the versions that exist by whether somebody would miss them."""
        for row in rows:
            if row.stored is None:
                continue
            users = needed.needed_by(row.stored.id)
            if users:
                self.left_alone.append(
                    f"{row.swarm_name} on {server} is needed by {_listed(users)}"
                )
                self.updates |= {row.app.name if row.app else "APP"}
            else:
                # What belongs to no stack is locked by its own name.
                # Two keys of one app, or two servers of one swarm, may tell of one version.
                if row.stored.id not in self.ids:
                    self.going[server, row.stack or row.swarm_name].rows.append(row)
                    self.ids.add(row.stored.id)


@dataclass(frozen=True, slots=True)
class RemovalPlanner:
    """Plans over one snapshot, as `RenewalPlanner` does for new versions.

    Parameters
    ----------
    assembler
        Knows the snapshot and the options.
    may_be_empty
        Whether a plan of nothing is one too, which says why everything stays.
    """

    assembler: Assembler
    may_be_empty: bool = False

    def remove(self, selection: Selection, *, skip: bool = False) -> PlanData:
        """Plan to remove secrets that nothing uses, every version of them.

        Of rows whose state is ``orphan`` exactly these go; those that are needed are left alone,
        with `skip` also those that an app declares.

        Raises
        ------
        InputError
            What an app declares is needed, or all that was selected stays; the text says why.
        """
        lookup = self.assembler.lookup
        orphans, declared = orphans_in(selection)
        found, entries = _Found(), self._entries()
        none_chosen = not declared and (orphans or self.may_be_empty)
        targets = [] if none_chosen else lookup.targets(declared)
        chosen = {(t.app.server, t.app.name, t.declared.name) for t in targets}
        bulk = Bulk("removed", [(t.app.server, t.app.name, t.declared.name) for t in targets])
        for target in targets:
            server = target.app.server
            seen = lookup.server(server)
            needed = uses(seen.services, seen.tasks)
            with bulk.each((server, target.app.name, target.declared.name)):
                self._check_unshared(target, chosen)
                _refuse_used(server, target, needed)
                found.add(server, target.versions, needed)
                self._add_entries(found, target, entries)
        found.left_alone += bulk.left_alone(
            skip=skip, may_be_empty=self.may_be_empty or bool(orphans)
        )
        by_server: defaultdict[str, set[str]] = defaultdict(set)
        for server, name in orphans:
            by_server[server].add(name)
        for server, names in by_server.items():
            seen = lookup.server(server)
            rows = {row.swarm_name: row for row in lookup.rows(server)}
            for name in sorted(names):
                if name not in rows or rows[name].state not in ("orphan", "unknown"):
                    now = f"{rows[name].state} by now" if name in rows else "gone"
                    raise InputError(
                        f"{name} on {server} is {now}, no orphan.",
                        remedy="Take a new snapshot and select again.",
                    )
            undoubted: list[SecretRow] = []
            for row in (rows[name] for name in sorted(names)):
                if row.doubt:
                    found.left_alone.append(f"{row.swarm_name} on {server}: {row.doubt}")
                else:
                    undoubted.append(row)
            found.add(server, undoubted, uses(seen.services, seen.tasks))
        return self._plan("remove", found)

    def _check_unshared(self, target: Target, chosen: Collection[tuple[str, str, str]]) -> None:
        """Refuse a version that another app declares, or another key of the same one."""
        names = {row.swarm_name for row in target.versions if row.stored is not None}
        others = [
            f"{app.server}/{app.name} {secret.name}"
            for app in self.assembler.lookup.apps(target.app.server)
            for secret in app.secrets
            if secret.swarm_name in names and (app.server, app.name, secret.name) not in chosen
        ]
        if others:
            raise InputError(
                f"{target.app.name} {target.declared.name} is declared as {_listed(others)} too.",
                remedy="Remove them together, or let the others name another version first.",
            )

    def prune(self, selection: Selection | None, keep: int) -> PlanData:
        """Plan to remove superseded versions, keeping the newest `keep` of each secret.

        A version kept though its rotation failed is none to return to: it does not count.

        Raises
        ------
        InputError
            All of them stay; the text says why, and when they can go.
        """
        check_count("keep", keep, least=0)
        lookup = self.assembler.lookup
        wanted = None
        found, retained = _Found(), list[str]()
        if selection is not None:
            named = self._read_whole(list(named_in(selection)), found)
            targets = lookup.targets(named) if named or not self.may_be_empty else ()
            wanted = {(t.app.server, t.app.stack, t.declared.name) for t in targets}
        entries = self._entries()
        for server in lookup.facts.apps_by_server:
            if wanted is not None and all(server != where for where, *_ in wanted):
                continue
            try:
                seen = lookup.server(server)
            except InputError as error:
                found.left_alone.append(str(error))
                continue
            needed = uses(seen.services, seen.tasks)
            rows = [
                row
                for row in lookup.rows(server)
                if wanted is None or (server, row.stack, row.secret) in wanted
            ]
            for row in rows:
                if row.state == "unknown" and row.declared is None and not row.used_by:
                    found.left_alone.append(f"{row.swarm_name} on {server}: {row.doubt}")
            for one in superseded(rows, needed, keep):
                retained += [row.swarm_name for row in one.kept]
                found.add(server, (*one.needed, *one.surplus), needed)
            self._outlived(server, found, wanted, entries)
        return self._plan("prune", found, retained)

    def _entries(self) -> frozenset[str]:
        """Return what the password store has, where it is to be kept in step."""
        return PassStore().entries() if self.assembler.options.use_pass else frozenset()

    def _add_entries(self, found: _Found, target: Target, entries: frozenset[str]) -> None:
        """Add the password store's entries of a secret of which versions go."""
        going = found.going.get((target.app.server, target.app.stack), _Going())
        goes = any(row in going.rows for row in target.versions)
        if self.assembler.options.use_pass and goes:
            entry = self.assembler.entry_to_change(target)
            beside = [entry + end for end in (PREVIOUS, NEXT) if entry + end in entries]
            going.entries[target.declared.name] = [entry, *beside]

    def _outlived(
        self,
        server: str,
        found: _Found,
        wanted: set[tuple[str, str, str]] | None,
        entries: frozenset[str],
    ) -> None:
        """Find entries of values before, of secrets of which no version before stays."""
        lookup = self.assembler.lookup
        apps = lookup.facts.apps_by_server.get(server, ())
        whole = [app for app in apps if not about_unread(app)]
        for app in whole if entries else ():
            going = found.going.get((server, app.stack), _Going()).rows
            for name in (secret.name for secret in app.secrets):
                target = lookup.target(app, name)
                before = self.assembler.entry(target) + PREVIOUS
                is_wanted = wanted is None or (server, app.stack, name) in wanted
                remains = any(
                    row.stored and not row.declared and row not in going for row in target.versions
                )
                if before in entries and is_wanted and not remains:
                    found.going[server, app.stack].entries[name] = [before]

    def _read_whole(
        self, named: list[tuple[str, str, str]], found: _Found
    ) -> list[tuple[str, str, str]]:
        """Return what is of apps whose files were read whole, unless there is nothing else."""
        apps = {(server, app): self.assembler.lookup.app(f"{server}/{app}")
                for server, app, _ in named if app}  # fmt: skip
        unread = {place: why for place, app in apps.items() if (why := about_unread(app))}
        whole = [one for one in named if one[:2] not in unread]
        if whole:
            found.left_alone += [f"what {app} declares: {why}" for (_, app), why in unread.items()]
        return whole or named

    def _plan(self, kind: str, found: _Found, retained: Sequence[str] = ()) -> PlanData:
        if not found.going and not self.may_be_empty:
            raise _nothing(kind, found, len(retained))
        if retained:
            found.left_alone.append(f"{_listed(retained)}: kept for a way back")
        units = [self._unit(server, stack, going) for (server, stack), going in found.going.items()]
        return PlanData.made_now(kind, units, found.left_alone)

    def _unit(self, server: str, stack: str, going: _Going) -> Unit:
        rows = going.rows
        entries = [path for paths in going.entries.values() for path in paths]
        apps = [one.name for one in self.assembler.lookup.apps(server) if one.stack == stack]
        changes = [
            Change(
                secret=row.secret,
                from_version=row.version,
                undone_by="nothing: the value cannot be read back",
                note="orphan" if row.state == "orphan" else "",
            )
            for row in rows
        ]
        changes += [
            Change(
                secret=secret,
                undone_by="nothing, unless the store is a git checkout",
                note=f"of the password store: {', '.join(paths)}",
            )
            for secret, paths in going.entries.items()
        ]
        steps: list[AnyStep] = [
            TakeLock(stack=stack),
            *(
                RemoveSecret(swarm_name=row.swarm_name, secret_id=row.stored.id)
                for row in rows
                if row.stored is not None
            ),
            *(RemovePassword(path=path) for path in entries),
            ReleaseLock(stack=stack),
        ]
        return Unit(
            server=server,
            app=apps[0] if apps else stack,
            stack=stack,
            changes=tuple(changes),
            steps=tuple(steps),
        )


def check_store_of_orphans(*, use_pass: bool) -> None:
    """Refuse to keep the password store in step with orphans: its entries are of apps.

    Raises
    ------
    InputError
        That was wanted.
    """
    if use_pass:
        raise InputError(
            "an orphan is of no app, so the password store has no entry to keep in step.",
            remedy="Do not keep pass in step for orphans: without --pass.",
        )


def _refuse_used(server: str, target: Target, needed: Uses) -> None:
    for row in target.versions:
        users = needed.needed_by(row.stored.id) if row.stored else []
        if users:
            raise ObstacleError(
                f"{row.swarm_name} on {server} is needed by {_listed(users)}: it is in use by "
                "them, or would be if they went back.",
                why="in use by services, or would be if they went back",
                remedy="Undeploy the app first, or rotate the secret and prune.",
            )


def _nothing(kind: str, found: _Found, retained: int) -> InputError:
    """Return why nothing goes, and when it can."""
    why, ways = list(found.left_alone), list[str]()
    if found.updates:
        apps = " or ".join(map(quote, sorted(found.updates)))
        ways.append(
            "What only a previous spec needs can go when its services were updated once more, by "
            f"the next rotation, a deploy or opskit app restart {apps}; they then cannot go back."
        )
    if retained:
        why.append(f"{retained} kept back, as --keep says")
        ways.append("To keep none back: opskit secret prune --keep 0")
    if not why:
        ways.append("See: opskit secrets --where observed")
    said = f": {_listed(why, '; ')}" if why else ""
    return InputError(f"there is nothing to {kind}{said.rstrip('.')}.", remedy=" ".join(ways))


def _listed(parts: Sequence[str], between: str = ", ") -> str:
    more = len(parts) - _NAMED
    return between.join(parts[:_NAMED]) + (f"{between}and {more} more" if more > 0 else "")
