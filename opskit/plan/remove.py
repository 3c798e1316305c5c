"""Plans that take secrets away for good: unused ones, superseded versions, orphans."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from opskit.arguments import check_count
from opskit.errors import InputError
from opskit.join import SecretRow, Uses, uses
from opskit.plan.assemble import Assembler
from opskit.plan.data import Change, PlanData, Unit
from opskit.plan.obstacles import Bulk, ObstacleError
from opskit.plan.selection import Selection, Target, named_in, orphans_in
from opskit.retention import superseded, why_doubted
from opskit.steps import AnyStep, ReleaseLock, RemovePassword, RemoveSecret, TakeLock

_NAMED = 5
"""So many are named in a sentence."""


@dataclass(slots=True)
class _Found:
    """What goes, by server and stack, and what is left alone, each with the reason."""

    going: defaultdict[tuple[str, str], list[SecretRow]] = field(
        default_factory=lambda: defaultdict[tuple[str, str], list[SecretRow]](list)
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
                self.going[server, row.stack or row.swarm_name].append(row)


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
        found = _Found()
        none_chosen = not declared and (orphans or self.may_be_empty)
        targets = [] if none_chosen else lookup.targets(declared)
        bulk = Bulk("removed", [(t.app.server, t.app.name, t.declared.name) for t in targets])
        for target in targets:
            server = target.app.server
            seen = lookup.server(server)
            needed = uses(seen.services, seen.tasks)
            with bulk.each((server, target.app.name, target.declared.name)):
                _refuse_used(server, target, needed)
                found.add(server, target.versions, needed)
        found.left_alone += bulk.left_alone(skip=skip)
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
                if doubt := why_doubted(lookup.facts, server, row.app):
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
        found, kept = _Found(), 0
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
            for one in superseded(rows, needed, keep):
                kept += len(one.kept)
                found.add(server, (*one.needed, *one.surplus), needed)
        return self._plan("prune", found, kept)

    def _plan(self, kind: str, found: _Found, kept: int = 0) -> PlanData:
        if not found.going and not self.may_be_empty:
            raise _nothing(kind, found, kept)
        units = [
            # A prune leaves the store alone: it holds the version in force.
            self._unit(server, stack, rows,
                       from_store=kind == "remove" and self.assembler.options.use_pass)
            for (server, stack), rows in found.going.items()
        ]  # fmt: skip
        return PlanData.made_now(kind, units, found.left_alone)

    def _unit(
        self, server: str, stack: str, rows: Sequence[SecretRow], *, from_store: bool
    ) -> Unit:
        app = rows[0].app
        steps: list[AnyStep] = [TakeLock(stack=stack)]
        steps += [
            RemoveSecret(swarm_name=row.swarm_name, secret_id=row.stored.id)
            for row in rows
            if row.stored is not None
        ]
        if from_store and app is not None:
            # No entry is known to be an orphan's.
            names = dict.fromkeys(row.secret for row in rows if row.state != "orphan")
            steps += [
                RemovePassword(
                    path=self.assembler.entry_to_change(self.assembler.lookup.target(app, name))
                )
                for name in names
            ]  # fmt: skip
        changes = [
            Change(
                secret=row.secret,
                from_version=row.version,
                undone_by="nothing: the value cannot be read back",
                note="orphan" if row.state == "orphan" else "",
            )
            for row in rows
        ]
        return Unit(
            server=server,
            app=app.name if app else stack,
            stack=stack,
            changes=tuple(changes),
            steps=(*steps, ReleaseLock(stack=stack)),
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
