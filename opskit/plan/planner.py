"""From a snapshot and an operator's wish to a plan: pure, except for reading ``.env`` files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from opskit.abra.model import DeclaredApp
from opskit.errors import InputError
from opskit.facts import Facts
from opskit.plan.assemble import Assembler, Renewal, check_name, next_free_version
from opskit.plan.data import PlanData, Unit
from opskit.plan.deploy import StackPlanner
from opskit.plan.hooks import choose_hook
from opskit.plan.options import Options
from opskit.plan.remove import RemovalPlanner
from opskit.plan.selection import Lookup, Selection, Target, check_read
from opskit.plan.variables import check_variables
from opskit.secrets.generate import Policy, policy_for


@dataclass(slots=True)
class Planner:
    """Plans over one snapshot.

    Parameters
    ----------
    facts
        What was read.
    options
        How the change is to be made.
    """

    facts: Facts
    options: Options
    lookup: Lookup = field(init=False)
    assembler: Assembler = field(init=False)

    def __post_init__(self) -> None:
        self.lookup = Lookup(self.facts)
        self.assembler = Assembler(self.lookup, self.options)

    def rotate(self, selection: Selection) -> PlanData:
        """Plan a new, generated version for each selected secret.

        Raises
        ------
        InputError
            Something selected cannot be rotated; the text names it and says what to do.
        """
        grouped: defaultdict[tuple[str, str], list[Renewal]] = defaultdict(list)
        targets = self.lookup.targets(selection)
        check_variables(targets)
        chosen: dict[tuple[str, str, str], str] = {}
        # Of one app only: two that share a secret are refused below.
        taken: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        counted = Counter((target.app.server, target.app.name) for target in targets)
        for target in targets:
            self.lookup.server(target.app.server)
            _refuse_missing(target)
            if not target.declared.generate and self.options.policy is None:
                raise InputError(
                    f"{target.app.name} {target.declared.name} is marked generate=false: its "
                    "value comes from elsewhere.",
                    remedy=f"Insert the new value: opskit secret insert {target.app.name} "
                    f"{target.declared.name}. In bulk, leave it out with --where 'generate'.",
                )
            swarm = self.lookup.swarm(target.app.server)
            shared = _variable(target)
            if shared not in chosen or not target.declared.env_key:
                same = [one for one in targets if _variable(one) == shared]
                chosen[shared] = self._next(*same, taken=taken[shared[:2]])
            taken[shared[:2]].add(target.declared.prefix + chosen[shared])
            renewal = self._renewal(
                target,
                self._policy(target),
                chosen[shared],
                alone=counted[target.app.server, target.app.name] == 1,
            )
            grouped[swarm, target.app.stack].append(renewal)
        _refuse_shared(grouped)
        return self._plan("rotate", [self.assembler.renew(group) for group in grouped.values()])

    def generate(self, app: str, secrets: Sequence[str] | None = None) -> PlanData:
        """Plan the declared versions that are not in the swarm yet.

        Parameters
        ----------
        app
            The app's name.
        secrets
            These secrets; ``None`` for all that are absent and may be generated.
        """
        named = None if secrets is None else [one for *_, one in self.lookup.named(app, secrets)]
        found = self.lookup.app(app)
        check_read(found)
        self.lookup.server(found.server)
        targets = [self.lookup.target(found, s.name) for s in found.secrets]
        absent = [t for t in targets if t.in_force.stored is None]
        if named is None:
            wanted = [t for t in absent if t.declared.generate and t.declared.version]
        else:
            wanted = [self.lookup.target(found, name) for name in named]
            for target in wanted:
                if target.in_force.stored is not None:
                    raise InputError(
                        f"{target.in_force.swarm_name} exists, and existing versions are never "
                        "overwritten.",
                        remedy=f"For a new version: opskit secret rotate {app} "
                        f"{target.declared.name} (→ {self._next(target)})",
                    )
        if not wanted:
            left = ", ".join(t.declared.name for t in absent)
            raise InputError(
                f"{app} has nothing to generate.",
                remedy=f"Insert by hand: {left}" if left else "All its secrets exist.",
            )
        made = [
            Renewal(target=t, version=t.declared.version, policy=self._policy(t)) for t in wanted
        ]
        return self._plan("generate", [self.assembler.create(made)])

    def restore(self, selection: Selection, given: frozenset[str]) -> PlanData:
        """Plan declared versions that are not in the swarm, of any number of apps.

        Parameters
        ----------
        selection
            Which; those that exist are left alone.
        given
            Swarm names whose value is given; the others are generated.

        Raises
        ------
        InputError
            A value is neither given nor may be generated, or nothing is absent.
        """
        grouped: defaultdict[tuple[str, str], list[Renewal]] = defaultdict(list)
        lacking: list[str] = []
        for target in self.lookup.targets(selection):
            self.lookup.server(target.app.server)
            declared = target.declared
            if target.in_force.stored is not None or not declared.version:
                continue
            policy = None if declared.swarm_name in given else self._policy(target)
            if policy and not declared.generate:
                lacking.append(f"{target.app.name} {declared.name}")
            renewal = Renewal(target=target, version=declared.version, policy=policy)
            grouped[self.lookup.swarm(target.app.server), target.app.stack].append(renewal)
        if lacking:
            raise InputError(
                f"there is no value for {', '.join(lacking)}, and it comes from elsewhere.",
                remedy="Insert it by hand: opskit secret insert APP SECRET. "
                "Leave it out of the selection meanwhile.",
            )
        if not grouped:
            raise InputError("nothing selected is absent.", remedy="All of it exists.")
        _refuse_shared(grouped)
        return self._plan("restore", [self.assembler.create(group) for group in grouped.values()])

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
        absent = target.in_force.stored is None
        if absent and version in ("", target.declared.version):
            made = Renewal(target=target, version=target.declared.version, policy=None)
            check_name(made.new_name)
            return self._plan("insert", [self.assembler.create([made])])
        check_variables([target])
        name = target.declared.prefix + version
        if version and any(secret.spec.name == name for secret in seen.secrets):
            raise InputError(
                f"{name} exists, and existing versions are never overwritten.",
                remedy=f"The next free version is {self._next(target)}.",
            )
        return self._plan("insert", [self.assembler.renew([self._renewal(target, None, version)])])

    def remove(self, selection: Selection, *, may_be_empty: bool = False) -> PlanData:
        """Plan to remove secrets that nothing uses, every version of them, and orphans."""
        return RemovalPlanner(self.facts, self.assembler, may_be_empty).remove(selection)

    def prune(
        self, selection: Selection | None = None, *, keep: int = 1, may_be_empty: bool = False
    ) -> PlanData:
        """Plan to remove superseded versions, keeping the newest `keep` of each secret."""
        return RemovalPlanner(self.facts, self.assembler, may_be_empty).prune(selection, keep)

    def deploy(self, app: str, version: str = "") -> PlanData:
        """Plan to deploy an app as its files declare it, or at another version."""
        return self._plan("deploy", [StackPlanner(self.assembler).deploy(app, version)])

    def upgrade(self, app: str) -> PlanData:
        """Plan to pin and deploy the latest release of an app's recipe."""
        releases = self.facts.declared.releases.get(self.lookup.app(app).recipe, ())
        return self._plan("upgrade", [StackPlanner(self.assembler).upgrade(app, releases)])

    def undeploy(self, app: str) -> PlanData:
        """Plan to take an app down; its volumes and secrets stay."""
        return self._plan("undeploy", [StackPlanner(self.assembler).undeploy(app)])

    def restart(self, app: str, services: list[str] | None = None) -> PlanData:
        """Plan new tasks for all or some services of an app."""
        return self._plan("restart", [StackPlanner(self.assembler).restart(app, services)])

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

    def _policy(self, target: Target) -> Policy:
        return self.options.policy or policy_for(
            length=target.declared.length, charset=target.declared.charset
        )

    def _plan(self, kind: str, units: list[Unit]) -> PlanData:
        return PlanData(kind=kind, made_at=datetime.now(UTC), units=tuple(units))


def _refuse_shared(grouped: Mapping[tuple[str, str], list[Renewal]]) -> None:
    """Refuse two apps of one stack, whose files would not both change, or of one secret."""
    owners: defaultdict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for (server, stack), renewals in grouped.items():
        names = list(dict.fromkeys(_shown(one.target.app, server) for one in renewals))
        if len(names) > 1:
            raise InputError(
                f"{' and '.join(names)} are one stack, {stack}, on {server}.",
                remedy="Give all but one of them another STACK_NAME.",
            )
        for one in renewals:
            owners[server, one.new_name][_shown(one.target.app, server)] = None
    for (server, name), of in owners.items():
        apps = list(of)
        if len(apps) > 1:
            raise InputError(
                f"{' and '.join(apps)} would each make {name} on {server}, which they share.",
                remedy=f"Select it for {apps[0]} only, and let the others name the same version.",
            )


def _shown(app: DeclaredApp, server: str) -> str:
    return app.name if app.server == server else f"{app.server}/{app.name}"


def _variable(target: Target) -> tuple[str, str, str]:
    return target.app.server, target.app.name, target.declared.env_key


def _refuse_missing(target: Target) -> None:
    if target.in_force.stored is None and not any(row.stored for row in target.versions):
        raise InputError(
            f"{target.declared.swarm_name} is not in the swarm, so there is nothing to rotate.",
            remedy=f"opskit secret generate {target.app.name} {target.declared.name}",
        )
