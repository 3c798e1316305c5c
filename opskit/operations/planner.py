"""From a snapshot and an operator's wish to a plan: pure, except for reading ``.env`` files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from opskit.abra.edit import set_value
from opskit.abra.model import DeclaredApp
from opskit.errors import InputError
from opskit.facts import Facts
from opskit.join import SecretRow, uses
from opskit.operations.credentials import refuse_database_password
from opskit.operations.options import Options
from opskit.operations.plan import Change, PlanData, Unit
from opskit.operations.select import Chosen, Selection, Target
from opskit.operations.steps import (
    AnyStep,
    CommitEnv,
    ConvergeBack,
    CreateSecret,
    Declaration,
    Declare,
    Deploy,
    PromotePassword,
    RecommitEnv,
    ReleaseLock,
    RemovePassword,
    RemoveSecret,
    StagePassword,
    Swap,
    SwitchService,
    TakeLock,
    Verify,
    Watched,
)
from opskit.operations.steps.env import digest
from opskit.operations.versions import check_name, next_free_version
from opskit.secrets.generate import Policy, policy_for
from opskit.secrets.passstore import entry_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """A secret that gets a new version; `policy` is ``None`` when the operator gives the value."""

    target: Target
    version: str
    policy: Policy | None

    @property
    def new_name(self) -> str:
        """The new version's swarm name."""
        return _prefix(self.target) + self.version

    @property
    def replaced(self) -> dict[str, str]:
        """Ids and names of the versions that services use now."""
        return {
            row.stored.id: row.swarm_name
            for row in self.target.versions
            if row.stored is not None and row.used_by
        }


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
    chosen: Chosen = field(init=False)

    def __post_init__(self) -> None:
        self.chosen = Chosen(self.facts)

    def rotate(self, selection: Selection) -> PlanData:
        """Plan a new, generated version for each selected secret.

        Raises
        ------
        InputError
            Something selected cannot be rotated; the text names it and says what to do.
        """
        grouped: defaultdict[tuple[str, str], list[Renewal]] = defaultdict(list)
        for target in self.chosen.targets(selection):
            _refuse_missing(target)
            if not target.declared.generate and self.options.policy is None:
                raise InputError(
                    f"{target.app.name} {target.declared.name} is marked generate=false: its "
                    "value comes from elsewhere.",
                    remedy=f"Insert the new value: opskit secret insert {target.app.name} "
                    f"{target.declared.name}. In bulk, leave it out with --where 'generate'.",
                )
            renewal = self._renewal(target, self._policy(target), "")
            grouped[target.app.server, target.app.stack].append(renewal)
        return self._plan("rotate", [self._renew(group) for group in grouped.values()])

    def generate(self, app: str, secrets: list[str] | None = None) -> PlanData:
        """Plan the declared versions that are not in the swarm yet.

        Parameters
        ----------
        app
            The app's name.
        secrets
            These secrets; ``None`` for all that are absent and may be generated.
        """
        found = self.chosen.app(app)
        self.chosen.server(found.server)
        targets = [self.chosen.target(found, s.name) for s in found.secrets]
        absent = [t for t in targets if t.in_force.stored is None]
        if secrets is None:
            wanted = [t for t in absent if t.declared.generate and t.declared.version]
        else:
            wanted = [self.chosen.target(found, name) for name in secrets]
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
        return self._plan("generate", [self._create(made)])

    def insert(self, app: str, secret: str, version: str = "") -> PlanData:
        """Plan to store a given value: at the declared version when that is absent, else a new one.

        Parameters
        ----------
        app, secret
            Which.
        version
            At exactly this version; by default the declared one, or the next free one.
        """
        found = self.chosen.app(app)
        seen = self.chosen.server(found.server)
        target = self.chosen.target(found, secret)
        absent = target.in_force.stored is None
        if absent and version in ("", target.declared.version):
            made = Renewal(target=target, version=target.declared.version, policy=None)
            check_name(made.new_name)
            return self._plan("insert", [self._create([made])])
        if version and any(s.spec.name == _prefix(target) + version for s in seen.secrets):
            raise InputError(
                f"{_prefix(target)}{version} exists, and existing versions are never overwritten.",
                remedy=f"The next free version is {self._next(target)}.",
            )
        return self._plan("insert", [self._renew([self._renewal(target, None, version)])])

    def remove(self, selection: Selection) -> PlanData:
        """Plan to remove secrets that nothing uses, every version of them."""
        steps: dict[tuple[str, str], list[SecretRow]] = {}
        apps: dict[tuple[str, str], DeclaredApp] = {}
        for target in self.chosen.targets(selection):
            self.chosen.server(target.app.server)
            there = [row for row in target.versions if row.stored is not None]
            for row in there:
                if row.used_by:
                    raise InputError(
                        f"{row.swarm_name} is in use by {', '.join(row.used_by)}.",
                        remedy="Undeploy the app first, or rotate the secret and prune.",
                    )
            steps.setdefault((target.app.server, target.app.stack), []).extend(there)
            apps[target.app.server, target.app.stack] = target.app
        return self._removal("remove", steps, apps, from_store=self.options.use_pass)

    def prune(self, selection: Selection | None = None, *, keep: int = 1) -> PlanData:
        """Plan to remove superseded versions, keeping the newest `keep` of each secret."""
        wanted = None
        if selection is not None:
            wanted = {(t.app.server, t.app.stack, t.declared.name)
                      for t in self.chosen.targets(selection)}  # fmt: skip
        steps: dict[tuple[str, str], list[SecretRow]] = {}
        apps: dict[tuple[str, str], DeclaredApp] = {}
        for server in self.facts.apps_by_server:
            seen = self.facts.seen.get(server)
            if seen is None or not seen.manager:
                continue
            needed = uses(seen.services, seen.tasks)
            old: defaultdict[tuple[str, str], list[SecretRow]] = defaultdict(list)
            for row in self.chosen.rows(server):
                key = (server, row.stack, row.secret)
                if row.state == "superseded" and (wanted is None or key in wanted):
                    old[row.stack, row.secret].append(row)
            for (stack, _), rows in old.items():
                rows.sort(key=_created, reverse=True)
                free = [r for r in rows[keep:] if r.stored and not needed.needed_by(r.stored.id)]
                if free and rows[0].app is not None:
                    steps.setdefault((server, stack), []).extend(free)
                    apps[server, stack] = rows[0].app
        return self._removal("prune", steps, apps, from_store=False)

    def deploy(self, app: str) -> PlanData:
        """Plan to deploy an app as its files declare it."""
        found = self.chosen.app(app)
        self.chosen.server(found.server)
        mode = "abra" if self.options.deploy == "abra" else "stack"
        absent = [
            s.swarm_name
            for s in found.secrets
            if self.chosen.target(found, s.name).in_force.stored is None
        ]
        if absent:
            raise InputError(
                f"{app} cannot be deployed: {', '.join(absent)} does not exist.",
                remedy=f"opskit secret generate {app}",
            )
        steps: list[AnyStep] = [
            TakeLock(stack=found.stack),
            self._deploy(found, mode),
            ReleaseLock(stack=found.stack),
        ]
        change = Change(secret="", note="the whole stack", undone_by="deploying again")
        return self._plan("deploy", [_unit(found, [change], steps)])

    # -- one unit per stack ---------------------------------------------------------------

    def _renewal(self, target: Target, policy: Policy | None, version: str) -> Renewal:
        self.chosen.server(target.app.server)
        if not target.declared.env_key:
            raise InputError(
                f"{target.declared.swarm_name} has no version variable in its recipe's name:, so "
                "no .env can name another version.",
                remedy="Give the recipe a name: with ${SECRET_…_VERSION}.",
            )
        chosen = version or self._next(target)
        check_name(_prefix(target) + chosen)
        if not self.options.no_hook:
            refuse_database_password(target)
        return Renewal(target=target, version=chosen, policy=policy)

    def _next(self, target: Target) -> str:
        seen = self.chosen.server(target.app.server)
        taken = {secret.spec.name for secret in seen.secrets}
        return next_free_version(_prefix(target), target.declared.version, taken)

    def _policy(self, target: Target) -> Policy:
        return self.options.policy or policy_for(
            length=target.declared.length, charset=target.declared.charset
        )

    def _renew(self, renewals: list[Renewal]) -> Unit:
        app = renewals[0].target.app
        switches = self._switches(app.server, renewals)
        watched = tuple(_watched(switch) for switch in switches)
        declare = self._declare(app, renewals)
        names = ", ".join(f"{r.target.declared.name} {r.version}" for r in renewals)
        message = f"{app.name}: rotate {names}"
        timeout = self.options.timeout
        back: list[AnyStep] = []
        forward: list[AnyStep] = []
        match self.options.deploy:
            case "services":
                back, forward = [], list(switches)
            case "stack" | "abra" as mode if switches:
                back, forward = [self._deploy(app, mode, back=True)], [self._deploy(app, mode)]
            case _:
                watched = ()
        settle: list[AnyStep] = [ConvergeBack(watched=watched, timeout=timeout)] if watched else []
        verify = Verify(
            watched=watched, timeout=timeout, stable=self.options.stable, probe=self.options.probe
        )
        steps: list[AnyStep] = [
            TakeLock(stack=app.stack),
            *self._creations(renewals),
            *settle,
            *back,
            *([RecommitEnv(path=app.env_file, message=message)] if self.options.commit else []),
            declare,
            *([CommitEnv(path=app.env_file, message=message)] if self.options.commit else []),
            *forward,
            *([verify] if watched or self.options.probe else []),
            *self._promotions(renewals),
            ReleaseLock(stack=app.stack),
        ]
        restarts = {
            r.new_name: tuple(
                s.service for s in switches for swap in s.swaps if swap.to_name == r.new_name
            )
            for r in renewals
        }
        changes = [
            _change(
                r,
                restarts=restarts[r.new_name] if self.options.deploy != "none" else (),
                from_version=r.target.declared.version,
                undone_by=f"back to {r.target.declared.version}, {r.version} removed",
            )
            for r in renewals
        ]
        return _unit(app, changes, steps)

    def _create(self, made: list[Renewal]) -> Unit:
        app = made[0].target.app
        for one in made:
            check_name(one.new_name)
        steps: list[AnyStep] = [
            TakeLock(stack=app.stack),
            *self._creations(made),
            *self._promotions(made),
            ReleaseLock(stack=app.stack),
        ]
        changes = [_change(one, undone_by=f"{one.version} removed") for one in made]
        return _unit(app, changes, steps)

    def _deploy(
        self, app: DeclaredApp, mode: Literal["stack", "abra"], *, back: bool = False
    ) -> Deploy:
        return Deploy(
            mode=mode,
            root=str(self.options.root),
            server=app.server,
            app=app.name,
            stack=app.stack,
            timeout=self.options.timeout,
            back=back,
        )

    def _creations(self, renewals: list[Renewal]) -> list[AnyStep]:
        steps: list[AnyStep] = []
        for one in renewals:
            if self.options.use_pass:
                steps.append(
                    StagePassword(
                        path=self._entry(one.target),
                        swarm_name=one.new_name,
                        policy=one.policy,
                    )
                )
            steps.append(CreateSecret(swarm_name=one.new_name, policy=one.policy))
        return steps

    def _promotions(self, renewals: list[Renewal]) -> list[AnyStep]:
        if not self.options.use_pass:
            return []
        return [PromotePassword(path=self._entry(one.target)) for one in renewals]

    def _entry(self, target: Target) -> str:
        return entry_path(
            self.options.pass_template,
            server=target.app.server,
            app=target.app.name,
            secret=target.declared.name,
        )

    def _declare(self, app: DeclaredApp, renewals: list[Renewal]) -> Declare:
        content = Path(app.env_file).read_bytes()
        before = digest(content)
        if before != app.env_sha256:
            raise InputError(
                "the file changed since the snapshot was taken.",
                path=Path(app.env_file),
                remedy="Take a new snapshot and plan again.",
            )
        declarations: list[Declaration] = []
        for one in renewals:
            declared = one.target.declared
            old = declared.version if declared.env_line else None
            content = set_value(content, declared.env_key, one.version, Path(app.env_file))
            declarations.append(Declaration(key=declared.env_key, old=old, new=one.version))
        return Declare(
            path=app.env_file,
            before=before,
            after=digest(content),
            declarations=tuple(declarations),
        )

    def _switches(self, server: str, renewals: list[Renewal]) -> list[SwitchService]:
        swaps = {
            ident: Swap(from_id=ident, from_name=name, to_name=one.new_name)
            for one in renewals
            for ident, name in one.replaced.items()
        }
        switches: list[SwitchService] = []
        for service in self.chosen.server(server).services:
            container = service.spec.task_template.container_spec
            used = {r.secret_id for r in (container and container.secrets) or ()} & swaps.keys()
            if used:
                switches.append(
                    SwitchService(
                        service=service.spec.name,
                        service_id=service.id,
                        spec_digest=service.spec_digest,
                        swaps=tuple(swaps[ident] for ident in sorted(used)),
                    )
                )
        return switches

    def _removal(
        self,
        kind: str,
        rows: Mapping[tuple[str, str], list[SecretRow]],
        apps: Mapping[tuple[str, str], DeclaredApp],
        *,
        from_store: bool,
    ) -> PlanData:
        units: list[Unit] = []
        for key, group in rows.items():
            if not group:
                continue
            app = apps[key]
            steps: list[AnyStep] = [TakeLock(stack=app.stack)]
            steps += [
                RemoveSecret(swarm_name=row.swarm_name, secret_id=row.stored.id)
                for row in group
                if row.stored is not None
            ]
            if from_store:
                names = dict.fromkeys(row.secret for row in group)
                steps += [
                    RemovePassword(path=self._entry(self.chosen.target(app, name)))
                    for name in names
                ]
            changes = [
                Change(
                    secret=row.secret,
                    from_version=row.version,
                    undone_by="nothing: the value cannot be read back",
                )
                for row in group
            ]
            units.append(_unit(app, changes, [*steps, ReleaseLock(stack=app.stack)]))
        if not units:
            raise InputError(
                f"there is nothing to {kind}.", remedy="See: opskit secrets --where observed"
            )
        return self._plan(kind, units)

    def _plan(self, kind: str, units: list[Unit]) -> PlanData:
        return PlanData(kind=kind, made_at=datetime.now(UTC), units=tuple(units))


def _unit(app: DeclaredApp, changes: list[Change], steps: list[AnyStep]) -> Unit:
    return Unit(
        server=app.server,
        app=app.name,
        stack=app.stack,
        changes=tuple(changes),
        steps=tuple(steps),
    )


def _change(
    one: Renewal, *, undone_by: str, restarts: tuple[str, ...] = (), from_version: str = ""
) -> Change:
    return Change(
        secret=one.target.declared.name,
        from_version=from_version,
        to_version=one.version,
        restarts=restarts,
        bits=one.policy.entropy_bits() if one.policy else None,
        undone_by=undone_by,
        note="weaker than 128 bits" if one.policy and one.policy.is_weak() else "",
    )


def _watched(switch: SwitchService) -> Watched:
    return Watched(
        service=switch.service,
        service_id=switch.service_id,
        new=tuple(sorted({swap.to_name for swap in switch.swaps})),
        old_ids=tuple(swap.from_id for swap in switch.swaps),
    )


def _prefix(target: Target) -> str:
    name, version = target.declared.swarm_name, target.declared.version
    return name[: len(name) - len(version)] if version else name


def _created(row: SecretRow) -> datetime:
    assert row.stored is not None, "superseded versions exist"
    return row.stored.created_at


def _refuse_missing(target: Target) -> None:
    if target.in_force.stored is None and not any(row.stored for row in target.versions):
        raise InputError(
            f"{target.declared.swarm_name} is not in the swarm, so there is nothing to rotate.",
            remedy=f"opskit secret generate {target.app.name} {target.declared.name}",
        )
