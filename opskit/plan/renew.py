"""Plans that give secrets a version: rotate, generate, restore, insert."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from shlex import quote

from opskit.errors import InputError
from opskit.facts.databases import declared_moves
from opskit.facts.join import stack_of
from opskit.kinds.modes import MODES
from opskit.plan.assemble import Assembler
from opskit.plan.data import PlanData, Unit
from opskit.plan.hooks import choose_hook, refuse_moves, refuse_new_value, said_hook
from opskit.plan.obstacles import Bulk, ObstacleError, Row
from opskit.plan.options import Options
from opskit.plan.selection import Lookup, Selection, Target, check_read, named_in
from opskit.plan.versions import (
    Renewal,
    by_variable,
    check_name,
    check_variable,
    disputes,
    in_step,
    next_free_version,
    row_of,
    undisputed,
)
from opskit.secrets.generate import Policy, policy_for
from opskit.swarm.observe import Observation


@dataclass(frozen=True, slots=True)
class RenewalPlanner:
    """Plans over one snapshot; pure, except for reading ``.env`` files.

    Parameters
    ----------
    assembler
        Knows the snapshot and the options.
    """

    assembler: Assembler

    @property
    def lookup(self) -> Lookup:
        """Looks things up in the snapshot."""
        return self.assembler.lookup

    @property
    def options(self) -> Options:
        """How the change is to be made."""
        return self.assembler.options

    def rotate(
        self, selection: Selection, *, skip: bool = False, may_be_empty: bool = False
    ) -> PlanData:
        """Plan a new, generated version for each selected secret.

        Of an app that is not deployed, what cannot be rotated is left alone; with `skip` all
        that cannot be, even everything where the plan `may_be_empty`.

        Raises
        ------
        InputError
            Something selected cannot be rotated; the text names all of it, by why.
        """
        rows = self.lookup.triples(selection)
        counted = Counter((server, app) for server, app, _ in rows)
        bulk = Bulk("rotated", rows, yields=self._is_undeployed)
        grouped: defaultdict[tuple[str, str], list[Renewal]] = defaultdict(list)
        targets: list[Target] = []
        for row in rows:
            with bulk.each(row):
                target = self.lookup.target_of(*row)
                self.lookup.server(target.app.server)
                _refuse_missing(target)
                self._check_may_be_made(target)
                targets.append(target)
        # Of one app only: two that share a secret are refused below.
        taken: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for together in by_variable(targets):
            app = together[0].app
            alone = counted[app.server, app.name] == 1
            try:
                made = self._next_of(together, taken[app.server, app.name], alone=alone)
            except InputError as error:
                for target in together:
                    bulk.add(row_of(target), error)
            else:
                grouped[self.lookup.swarm(app.server), app.stack] += made
        disputed = dict(disputes(grouped))
        for place, renewals in list(grouped.items()):
            grouped[place] = undisputed(renewals, disputed, bulk)
        units = [unit for group in grouped.values() for unit in self._renewed(group, bulk)]
        left_alone = bulk.left_alone(skip=skip, may_be_empty=may_be_empty)
        return PlanData.made_now("rotate", units, left_alone)

    def _next_of(self, together: list[Target], taken: set[str], *, alone: bool) -> list[Renewal]:
        """Return the next version of secrets of one variable, and add its names to `taken`."""
        check_variable(together)
        version = self._next(*together, taken=taken)
        made = [
            self._renewal(target, self._policy(target), version, alone=alone) for target in together
        ]
        taken.update(one.new_name for one in made)
        return made

    def _renewed(self, group: list[Renewal], bulk: Bulk) -> list[Unit]:
        """Return the unit of a stack, without the secrets that keep it from being planned."""
        if not group:
            return []
        try:
            return [self._renew(group)]
        except InputError as error:
            culprits = list[Renewal]()
            for together in in_step(group):
                try:
                    self._renew(together)
                except InputError as own:
                    culprits += together
                    for one in together:
                        bulk.add(row_of(one.target), own)
            if not culprits:
                # Only together they cannot be changed.
                culprits = group
                for one in group:
                    bulk.add(row_of(one.target), error)
            return self._renewed([one for one in group if one not in culprits], bulk)

    def _renew(self, group: list[Renewal]) -> Unit:
        """Return the unit of a stack, unless deploying it would move other secrets along."""
        app = group[0].target.app
        if MODES[self.options.deploy].deploys and not self.options.no_hook:
            seen = self.lookup.server(app.server)
            own = {one.target.declared.name for one in group}
            along = declared_moves(app, seen, self.options.hooks)
            others = [one for one in along if one.secret not in own]
            refuse_moves(app, self.lookup.shown(app), others, seen)
        return self.assembler.renew(group)

    def _is_undeployed(self, row: Row) -> bool:
        """Return whether a row is of an app of which nothing runs."""
        server, name, _ = row
        seen = self.lookup.facts.seen.get(server)
        apps = self.lookup.facts.apps_by_server.get(server, ())
        stacks = {app.stack for app in apps if app.name == name}
        if seen is None or not seen.manager or not stacks:
            return False
        return all(stack_of(service.spec.labels) not in stacks for service in seen.services)

    def generate(
        self, app: str, secrets: Sequence[str] | None = None, *, skip: bool = False
    ) -> PlanData:
        """Plan the declared versions that are not in the swarm yet.

        Parameters
        ----------
        app
            The app's name.
        secrets
            These secrets; ``None`` for all that are absent and may be generated.
        """
        found = self.lookup.app(app)
        check_read(found)
        seen = self.lookup.server(found.server)
        named = None if secrets is None else {name for *_, name in self.lookup.named(app, secrets)}
        wanted = [
            target
            for target in (self.lookup.target(found, secret.name) for secret in found.secrets)
            if (target.in_force.stored is None if named is None else target.declared.name in named)
        ]
        bulk = Bulk("generated", [row_of(target) for target in wanted])
        made: list[Renewal] = []
        for target in wanted:
            with bulk.each(row_of(target)):
                self._refuse_existing(target)
                self._check_may_be_made(target)
                if named is None or target.declared.env_key:
                    _refuse_unversioned(target)
                self._refuse_side_door(target, seen)
                made.append(_as_declared(target, self._policy(target)))
        if not wanted:
            raise InputError(f"{app} has nothing to generate.", remedy="All its secrets exist.")
        # All of an app: what may be made is made, and the rest is named.
        left_alone = bulk.left_alone(skip=skip or named is None)
        return PlanData.made_now("generate", [self.assembler.create(made)], left_alone)

    def _refuse_existing(self, target: Target) -> None:
        if target.in_force.stored is not None:
            raise ObstacleError(
                f"{target.in_force.swarm_name} exists, and existing versions are never "
                "overwritten.",
                why="it exists, and existing versions are never overwritten",
                remedy=f"For a new version: opskit secret {self._verb(target)} "
                f"{target.shown} {quote(target.declared.name)} (→ {self._next(target)})",
            )

    def _verb(self, target: Target) -> str:
        """Return what gives a secret its next version, wherever its value comes from."""
        made_up = self._may_be_made(target) and not target.why_no_value(made_up=True)
        return "rotate" if made_up else "insert"

    def _refuse_side_door(self, target: Target, seen: Observation, *, makes: bool = True) -> None:
        """Refuse a declared version that waits to lock an app out of its database.

        Unless it `makes` the value: somebody may know which the database has.
        """
        if self.options.no_hook:
            return
        found = declared_moves(target.app, seen, self.options.hooks)
        own = [one for one in found if one.secret == target.declared.name]
        refuse_moves(target.app, target.shown, own, seen)
        if makes:
            refuse_new_value(target, seen, self.options.hooks)

    def restore(
        self,
        selection: Selection,
        given: Callable[[Target], bool],
        *,
        skip: bool = False,
        may_be_empty: bool = False,
    ) -> PlanData:
        """Plan declared versions that are not in the swarm, of any number of apps.

        Parameters
        ----------
        selection
            Which; those that exist are left alone.
        given
            Returns whether the value of a secret is given; the others are generated.
        skip
            Leave out what cannot be made.
        may_be_empty
            Whether a plan of nothing is one too.

        Raises
        ------
        InputError
            Something absent cannot be made, as when a value is neither given nor may be generated,
            or nothing is absent; the text names all of it, by why.
        """
        nothing = may_be_empty and not named_in(selection)
        rows = [] if nothing else self.lookup.triples(selection)
        bulk = Bulk("restored", rows)
        targets: dict[Row, Target] = {}
        for row in rows:
            with bulk.each(row):
                target = self.lookup.target_of(*row)
                self.lookup.server(target.app.server)
                targets[row] = target
        there = {
            row for row, one in targets.items() if one.in_force.stored or not one.declared.version
        }
        bulk.rows = [row for row in rows if row not in there]
        if not bulk.rows and not may_be_empty:
            raise InputError("nothing selected is absent.", remedy="All of it exists.")
        grouped: defaultdict[tuple[str, str], list[Renewal]] = defaultdict(list)
        for row, target in targets.items():
            if row in there:
                continue
            with bulk.each(row):
                made = self._restored(target, made_up=not given(target))
                grouped[self.lookup.swarm(target.app.server), target.app.stack].append(made)
        disputed = dict(disputes(grouped))
        for place, renewals in grouped.items():
            for one in renewals:
                if id(one) in disputed:
                    bulk.add(row_of(one.target), disputed[id(one)])
            grouped[place] = [one for one in renewals if id(one) not in disputed]
        left_alone = bulk.left_alone(skip=skip, may_be_empty=may_be_empty)
        units = [self.assembler.create(group) for group in grouped.values() if group]
        return PlanData.made_now("restore", units, left_alone)

    def _restored(self, target: Target, *, made_up: bool) -> Renewal:
        """Return the declared version of a secret, made again."""
        target.check_source(made_up=made_up)
        if made_up and not self._may_be_made(target):
            _refuse_made_up(target)
        policy = self._policy(target) if made_up else None
        self._refuse_side_door(target, self.lookup.server(target.app.server), makes=made_up)
        return _as_declared(target, policy)

    def insert(self, app: str, secret: str, version: str = "") -> PlanData:
        """Plan to store a given value: at the declared version when that is absent, else a new one.

        Parameters
        ----------
        app, secret
            Which.
        version
            At exactly this version; by default the declared one, or the next free one.
        """
        found = self.lookup.app(app)
        seen = self.lookup.server(found.server)
        target = self.lookup.target(found, secret)
        target.check_source(made_up=False)
        absent = target.in_force.stored is None
        if absent and version in ("", target.declared.version):
            there = declared_moves(found, seen, self.options.hooks)
            waits = any(one.secret == secret for one in there)
            if waits and said_hook(target, self.options, alone=True):
                # The declared version is one that services wait for.
                renewal = self._renewal(target, None, target.declared.version)
                return PlanData.made_now("insert", [self._renew([renewal])])
            self._refuse_side_door(target, seen, makes=False)
            if target.declared.env_key:
                _refuse_unversioned(target)
            made = _as_declared(target, None)
            return PlanData.made_now("insert", [self.assembler.create([made])])
        check_variable([target], given=True)
        name = target.declared.prefix + version
        if version and any(secret.spec.name == name for secret in seen.secrets):
            raise InputError(
                f"{name} exists, and existing versions are never overwritten.",
                remedy=f"The next free version is {self._next(target)}.",
            )
        return PlanData.made_now("insert", [self._renew([self._renewal(target, None, version)])])

    def _renewal(
        self, target: Target, policy: Policy | None, version: str, *, alone: bool = True
    ) -> Renewal:
        self.lookup.server(target.app.server)
        if not target.declared.env_key:
            raise InputError(
                f"{target.declared.swarm_name} has no version variable in its recipe's name:, so "
                "no .env can name another version.",
                remedy="Give the recipe a name: with ${SECRET_…_VERSION}.",
            )
        chosen = version or self._next(target)
        check_name(target.declared.prefix + chosen)
        hook = choose_hook(target, self.options, alone=alone)
        return Renewal(target=target, version=chosen, policy=policy, hook=hook)

    def _next(self, *targets: Target, taken: Collection[str] = ()) -> str:
        """Return the next version that is free for all of these, which share their variable."""
        seen = self.lookup.server(targets[0].app.server)
        names = {secret.spec.name for secret in seen.secrets}.union(taken)
        prefixes = [target.declared.prefix for target in targets]
        return next_free_version(prefixes, targets[0].declared.version, names)

    def _may_be_made(self, target: Target) -> bool:
        return target.declared.generate or self.options.generate_anyway

    def _check_may_be_made(self, target: Target) -> None:
        """Refuse to make up a value that comes from elsewhere, unless that is said."""
        target.check_source(made_up=True)
        if not self._may_be_made(target):
            name = f"{target.app.name} {target.declared.name}"
            raise ObstacleError(
                f"{name} is marked generate=false: its value comes from elsewhere.",
                why="marked generate=false, as the value comes from elsewhere",
                remedy="Insert it: opskit secret insert "
                f"{target.shown} {quote(target.declared.name)}. "
                "In bulk, leave it out with --where 'generate'. "
                "To make up a value all the same, say --anyway.",
            )

    def _policy(self, target: Target) -> Policy:
        declared = target.declared
        try:
            return policy_for(
                length=declared.length, charset=declared.charset, wish=self.options.policy
            )
        except InputError as error:
            what = f"{target.app.name} {declared.name}: {error.what}"
            raise InputError(what, remedy=error.remedy) from None


def _as_declared(target: Target, policy: Policy | None) -> Renewal:
    """Return the declared version, to be made.

    Raises
    ------
    InputError
        Swarm would refuse its name.
    """
    made = Renewal(target=target, version=target.declared.version, policy=policy)
    check_name(made.new_name)
    return made


def _refuse_made_up(target: Target) -> None:
    raise ObstacleError(
        f"there is no value for {target.app.name} {target.declared.name}, and it comes from "
        "elsewhere.",
        why="there is no value for it, and it comes from elsewhere",
        remedy="Insert it by hand: opskit secret insert "
        f"{target.shown} {quote(target.declared.name)}. "
        "Leave it out of the selection meanwhile.",
    )


def _refuse_unversioned(target: Target) -> None:
    if not target.declared.version:
        key = target.declared.env_key or "its version variable"
        raise ObstacleError(
            f"{target.app.name} {target.declared.name} has no version.",
            why="it has no version",
            remedy=f"Give {key} one: opskit app config {target.shown}",
        )


def _refuse_missing(target: Target) -> None:
    if target.in_force.stored is None and not any(row.stored for row in target.versions):
        raise ObstacleError(
            f"{target.declared.swarm_name} is not in the swarm, so there is nothing to rotate.",
            why="not in the swarm, so there is nothing to rotate",
            remedy=f"opskit secret generate {target.shown} {quote(target.declared.name)}",
        )
