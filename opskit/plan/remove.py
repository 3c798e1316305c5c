"""Plans that take secrets away for good: unused ones, superseded versions, orphans."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from opskit.arguments import check_count
from opskit.errors import InputError
from opskit.facts import Facts
from opskit.join import SecretRow, Uses, uses
from opskit.plan.assemble import Assembler
from opskit.plan.data import Change, PlanData, Unit
from opskit.plan.selection import Selection, named_in, orphans_in
from opskit.secrets.passstore import NEXT, PREVIOUS, PassStore
from opskit.steps import AnyStep, ReleaseLock, RemovePassword, RemoveSecret, TakeLock
from opskit.steps.secrets import is_failed

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
                self.going[server, row.stack or row.swarm_name].rows.append(row)


@dataclass(frozen=True, slots=True)
class RemovalPlanner:
    """Plans over one snapshot, as `Planner` does for new versions.

    Parameters
    ----------
    facts
        What was read.
    assembler
        Knows the snapshot and the options.
    may_be_empty
        Whether a plan of nothing is one too, which says why everything stays.
    """

    facts: Facts
    assembler: Assembler
    may_be_empty: bool = False

    def remove(self, selection: Selection) -> PlanData:
        """Plan to remove secrets that nothing uses, every version of them.

        Of rows whose state is ``orphan`` exactly these go; those that are needed are left alone.

        Raises
        ------
        InputError
            What an app declares is needed, or all that was selected stays; the text says why.
        """
        lookup = self.assembler.lookup
        orphans, declared = orphans_in(selection)
        found, entries = _Found(), self._entries()
        none_chosen = not declared and (orphans or self.may_be_empty)
        for target in () if none_chosen else lookup.targets(declared):
            server = target.app.server
            seen = lookup.server(server)
            found.add(server, target.versions, uses(seen.services, seen.tasks))
            if found.left_alone:
                raise InputError(
                    f"{found.left_alone[0]}: it is in use by them, or would be if they went back.",
                    remedy="Undeploy the app first, or rotate the secret and prune.",
                )
            going = found.going.get((server, target.app.stack), _Going())
            goes = any(row in going.rows for row in target.versions)
            if self.assembler.options.use_pass and goes:
                entry = self.assembler.entry_to_change(target)
                beside = [entry + end for end in (PREVIOUS, NEXT) if entry + end in entries]
                going.entries[target.declared.name] = [entry, *beside]
        by_server: defaultdict[str, set[str]] = defaultdict(set)
        for server, name in orphans:
            by_server[server].add(name)
        for server, names in by_server.items():
            seen = lookup.server(server)
            rows = {row.swarm_name: row for row in lookup.rows(server)}
            for name in sorted(names):
                if name not in rows or rows[name].state != "orphan":
                    now = f"{rows[name].state} by now" if name in rows else "gone"
                    raise InputError(
                        f"{name} on {server} is {now}, no orphan.",
                        remedy="Take a new snapshot and select again.",
                    )
            undoubted: list[SecretRow] = []
            for row in (rows[name] for name in sorted(names)):
                if doubt := self._doubt(server, row):
                    found.left_alone.append(f"{row.swarm_name} on {server}: {doubt}")
                else:
                    undoubted.append(row)
            found.add(server, undoubted, uses(seen.services, seen.tasks))
        return self._plan("remove", found)

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
        if selection is not None:
            named = list(named_in(selection))
            targets = lookup.targets(named) if named or not self.may_be_empty else ()
            wanted = {(t.app.server, t.app.stack, t.declared.name) for t in targets}
        found, kept, entries = _Found(), 0, self._entries()
        for server in self.facts.apps_by_server:
            if wanted is not None and all(server != where for where, *_ in wanted):
                continue
            try:
                seen = lookup.server(server)
            except InputError as error:
                found.left_alone.append(str(error))
                continue
            replaced: defaultdict[tuple[str, str], list[SecretRow]] = defaultdict(list)
            for row in lookup.rows(server):
                key = (server, row.stack, row.secret)
                if row.state == "superseded" and (wanted is None or key in wanted):
                    replaced[row.stack, row.secret].append(row)
            for rows in replaced.values():
                rows.sort(key=_created, reverse=True)
                failed = [row for row in rows if row.stored and is_failed(row.stored)]
                old = [row for row in rows if row not in failed]
                kept += len(old[:keep])
                found.add(server, failed + old[keep:], uses(seen.services, seen.tasks))
            self._outlived(server, found, wanted, entries)
        return self._plan("prune", found, kept)

    def _entries(self) -> frozenset[str]:
        """Return what the password store has, where it is to be kept in step."""
        return PassStore().entries() if self.assembler.options.use_pass else frozenset()

    def _outlived(
        self,
        server: str,
        found: _Found,
        wanted: set[tuple[str, str, str]] | None,
        entries: frozenset[str],
    ) -> None:
        """Find entries of values before, of secrets of which no version before stays."""
        lookup = self.assembler.lookup
        for app in lookup.apps(server):
            going = found.going.get((server, app.stack), _Going()).rows
            for name in (secret.name for secret in app.secrets):
                target = lookup.target(app, name)
                before = self.assembler.entry(target) + PREVIOUS
                is_wanted = wanted is None or (server, app.stack, name) in wanted
                stays = any(
                    row.stored and not row.declared and row not in going for row in target.versions
                )
                if before in entries and is_wanted and not stays:
                    found.going[server, app.stack].entries[name] = [before]

    def _doubt(self, server: str, row: SecretRow) -> str:
        """Return why some app may declare what seems to be an orphan; nothing when none does."""
        apps = [row.app] if row.app else self.assembler.lookup.apps(server)
        for app in apps:
            unread = app.guessed or app.problems
            if row.app is None:
                # Only a .env could name a stack that is not known.
                unread = any(problem.path == app.env_file for problem in app.problems)
            if unread:
                return f"{app.name} may declare it, whose files cannot be read whole"
        declared = self.facts.declared
        folders = {one.folder for one in declared.servers if one.name == server}
        for problem in declared.problems:
            if folders & {problem.path, str(Path(problem.path).parent)}:
                return f"an app may declare it, as {problem.path} cannot be read"
        return ""

    def _plan(self, kind: str, found: _Found, kept: int = 0) -> PlanData:
        if not found.going and not self.may_be_empty:
            raise _nothing(kind, found, kept)
        units = [self._unit(server, stack, going) for (server, stack), going in found.going.items()]
        return PlanData(
            kind=kind,
            made_at=datetime.now(UTC),
            units=tuple(units),
            left_alone=tuple(found.left_alone),
        )

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


def _nothing(kind: str, found: _Found, kept: int) -> InputError:
    """Return why nothing goes, and when it can."""
    why, ways = list(found.left_alone), list[str]()
    if found.updates:
        apps = " or ".join(sorted(found.updates))
        ways.append(
            "What only a previous spec needs can go when its services were updated once more, by "
            f"the next rotation, a deploy or opskit app restart {apps}; they then cannot go back."
        )
    if kept:
        why.append(f"{kept} kept back, as --keep says")
        ways.append("To keep none back: opskit secret prune --keep 0")
    if not why:
        ways.append("See: opskit secrets --where observed")
    said = f": {_listed(why, '; ')}" if why else ""
    return InputError(f"there is nothing to {kind}{said.rstrip('.')}.", remedy=" ".join(ways))


def _listed(parts: Sequence[str], between: str = ", ") -> str:
    more = len(parts) - _NAMED
    return between.join(parts[:_NAMED]) + (f"{between}and {more} more" if more > 0 else "")


def _created(row: SecretRow) -> datetime:
    assert row.stored is not None, "superseded versions exist"
    return row.stored.created_at
