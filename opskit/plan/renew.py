"""Plans that give secrets a version: rotate, generate, restore, insert."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from opskit.abra.model import DeclaredApp
from opskit.errors import InputError
from opskit.plan.assemble import Assembler
from opskit.plan.data import PlanData
from opskit.plan.hooks import choose_hook
from opskit.plan.options import Options
from opskit.plan.selection import Lookup, Selection, Target, check_read
from opskit.plan.variables import check_variables
from opskit.plan.versions import Renewal, check_name, next_free_version
from opskit.secrets.generate import Policy, policy_for


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
            self._check_may_be_made(target)
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
        return PlanData.made_now(
            "rotate", [self.assembler.renew(group) for group in grouped.values()]
        )

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
            wanted = [
                t
                for t in absent
                if self._may_be_made(t) and not t.why_no_value(made_up=True) and t.declared.version
            ]
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
                self._check_may_be_made(target)
        if not wanted:
            left = ", ".join(t.declared.name for t in absent)
            raise InputError(
                f"{app} has nothing to generate.",
                remedy=f"Insert by hand: {left}" if left else "All its secrets exist.",
            )
        made = [
            Renewal(target=t, version=t.declared.version, policy=self._policy(t)) for t in wanted
        ]
        return PlanData.made_now("generate", [self.assembler.create(made)])

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
            is_given = declared.swarm_name in given
            target.check_source(made_up=not is_given)
            if not (is_given or self._may_be_made(target)):
                lacking.append(f"{target.app.name} {declared.name}")
                continue
            policy = None if is_given else self._policy(target)
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
        return PlanData.made_now(
            "restore", [self.assembler.create(group) for group in grouped.values()]
        )

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
            made = Renewal(target=target, version=target.declared.version, policy=None)
            check_name(made.new_name)
            return PlanData.made_now("insert", [self.assembler.create([made])])
        check_variables([target])
        name = target.declared.prefix + version
        if version and any(secret.spec.name == name for secret in seen.secrets):
            raise InputError(
                f"{name} exists, and existing versions are never overwritten.",
                remedy=f"The next free version is {self._next(target)}.",
            )
        return PlanData.made_now(
            "insert", [self.assembler.renew([self._renewal(target, None, version)])]
        )

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
            raise InputError(
                f"{name} is marked generate=false: its value comes from elsewhere.",
                remedy=f"Insert it: opskit secret insert {name}. In bulk, leave it out with "
                "--where 'generate'. To make up a value all the same, say --anyway.",
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
