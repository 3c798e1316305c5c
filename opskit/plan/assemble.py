"""The steps of one stack, put in order.

Undoing goes through the steps in reverse, so what must happen late on the way back stands early
on the way there: `ConvergeBack`, the `back` half of `Deploy`, `RecommitEnv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from opskit.abra.deployment import Deployment
from opskit.abra.model import DeclaredApp
from opskit.errors import InputError
from opskit.facts.join import stack_of
from opskit.kinds.modes import MODES, StackMode
from opskit.plan.data import Change, Unit
from opskit.plan.hooks import find_service, mounted_at
from opskit.plan.options import Options
from opskit.plan.redeploy import (
    TAGS_ASKED_ANEW,
    Along,
    Read,
    Redeploy,
    check_deployable,
    redeployed,
    renewed_files,
    unknown_redeploy,
)
from opskit.plan.selection import Lookup, Target
from opskit.plan.switches import moving, switches_of, version_before, watched_by
from opskit.plan.versions import Renewal, about_value, declaring, left_behind
from opskit.plan.waits import Waits, about_jobs, rescaled, waits
from opskit.secrets.passstore import PassStore, entry_path
from opskit.steps import (
    AnyStep,
    CommitEnv,
    ConvergeBack,
    CreateSecret,
    Deploy,
    PromotePassword,
    PutBack,
    RecommitEnv,
    ReleaseLock,
    RunHook,
    StagePassword,
    SwitchService,
    TakeLock,
    Verify,
    VerifyStack,
    Was,
)
from opskit.steps.deploy import check_installed
from opskit.steps.pacing import ran
from opskit.steps.secrets import Preserved
from opskit.steps.stack import Declared
from opskit.steps.tasks import about_lost, lost
from opskit.swarm import model


@dataclass(frozen=True, slots=True)
class Assembler:
    """Puts the steps of one stack in order.

    Parameters
    ----------
    lookup
        Looks things up in the snapshot.
    options
        How the change is to be made.
    """

    lookup: Lookup
    options: Options

    def renew(self, renewals: list[Renewal]) -> Unit:
        """Create new versions, declare them, switch the services, verify."""
        app = renewals[0].target.app
        switches = switches_of(renewals, self.lookup, acts=MODES[self.options.deploy].acts)
        seen = self.lookup.server(app.server)
        services = {s.id: s for s in seen.services}
        touched = [services[switch.service_id] for switch in switches]
        watched = tuple(
            watched_by(switch, service) for switch, service in zip(switches, touched, strict=True)
        )
        declare = declaring(app, renewals)
        names = ", ".join(f"{r.target.declared.name} {r.version}" for r in renewals)
        message = f"{app.name}: rotate {names}"
        found: Deployment | None = None
        read: Read = {}
        along: Along = {}
        if switches:
            found, read, along = renewed_files(app, self.options, declare)
        wait = waits(seen, app.stack, float(self.options.timeout), touched, found)
        back: list[AnyStep] = []
        forward: list[AnyStep] = []
        redeploy: Redeploy | None = None
        mode = MODES[self.options.deploy]
        if mode.switches:
            forward = list(switches)
        elif not mode.deploys:
            watched = ()
        elif switches:
            redeploy = self._redeploy(app, found, read, along)
            back_by_files = self.deploy_step(
                app, mode.whole, wait, redeploy, found, back=True, keep_images=True
            )
            back = [self.put_back(app, wait, otherwise=back_by_files)]
            forward = [self.deploy_step(app, mode.whole, wait, redeploy, found, keep_images=True)]
        settle: list[AnyStep] = [
            ConvergeBack(watched=watched, timeout=wait.timeout, planned=wait.planned)
        ]
        verify = Verify(
            watched=watched,
            timeout=wait.timeout,
            planned=wait.planned,
            stable=float(self.options.stable),
            probe=self.options.probe,
        )
        switched = {switch.service for switch in switches}
        others = tuple(n for n in redeploy.restarts if n not in switched) if redeploy else ()
        steps: list[AnyStep] = [
            TakeLock(stack=app.stack),
            *self._creations(renewals, switches),
            *(settle if watched else []),
            *self._hooks(renewals, wait),
            *back,
            *([RecommitEnv(path=app.env_file, message=message)] if self.options.commit else []),
            declare,
            *([CommitEnv(path=app.env_file, message=message)] if self.options.commit else []),
            *forward,
            *([verify] if watched or self.options.probe else []),
            # The probe is asked once, when the services that changed have converged.
            *([self.verify_stack(app, wait, others, probes=False)] if others else []),
            *self._promotions(renewals),
            ReleaseLock(stack=app.stack),
        ]
        users = {
            r.new_name: tuple(
                s.service for s in switches for swap in s.swaps if swap.to_name == r.new_name
            )
            for r in renewals
        }
        before = {r.new_name: version_before(r, switches) for r in renewals}
        changes = [
            _change(
                r,
                services=users[r.new_name] if watched else (),
                from_version=before[r.new_name],
                undone_by=f"back to {before[r.new_name]}, {self._fate(r)}",
                more=(
                    about_jobs(seen, app.stack, users[r.new_name] if watched else ()),
                    left_behind(r, self.lookup),
                    self._about_dead_nodes(app.server, switches),
                ),
            )
            for r in renewals
        ]
        if redeploy and (others or redeploy.note or redeploy.parts):
            changes.append(
                Change(secret="", services=others, note=redeploy.note, undone_by="the specs before")
            )
        return unit(app, changes, steps)

    def create(self, made: list[Renewal]) -> Unit:
        """Create declared versions that no service uses yet."""
        app = made[0].target.app
        # Two keys of one app may name one version.
        made = list({one.new_name: one for one in made}.values())
        steps: list[AnyStep] = [
            TakeLock(stack=app.stack),
            *self._creations(made),
            *self._promotions(made),
            ReleaseLock(stack=app.stack),
        ]
        changes = [_change(one, undone_by=self._fate(one)) for one in made]
        return unit(app, changes, steps)

    def _redeploy(
        self, app: DeclaredApp, found: Deployment | None, read: Read, along: Along
    ) -> Redeploy:
        """Return what else deploying the stack does."""
        if found is None:
            return unknown_redeploy()
        seen, mode = self.lookup.server(app.server), MODES[self.options.deploy].whole
        check_deployable(found, seen, mode)
        known = redeployed(found, seen, mode, read, along)
        if mode == "stack":
            return known
        return replace(known, note="; ".join(filter(None, [known.note, TAGS_ASKED_ANEW])))

    def deploy_step(
        self,
        app: DeclaredApp,
        mode: StackMode,
        wait: Waits,
        redeploy: Redeploy | None = None,
        found: Deployment | None = None,
        *,
        back: bool = False,
        keep_images: bool = False,
        news: tuple[str, ...] = (),
    ) -> Deploy:
        """Return the step that deploys the app, or its other half for the way back.

        `found` is what it deploys, where that is known, and `redeploy` what that does; `news` is
        what there is to read of it before.
        """
        check_installed(mode)
        return Deploy(
            mode=mode,
            root=str(self.options.root),
            server=app.server,
            app=app.name,
            stack=app.stack,
            # docker does not wait for what it deploys, and abra does.
            timeout=wait.planned if mode == "abra" else float(self.options.timeout),
            back=back,
            keep_images=keep_images,
            registries=redeploy.registries if redeploy else (),
            scaled=rescaled(self.services_of(app), found) if found else (),
            news=news,
            differences=redeploy.parts if redeploy else (),
            data=redeploy.data if redeploy else (),
        )

    def verify_stack(
        self, app: DeclaredApp, wait: Waits, services: tuple[str, ...] = (), *, probes: bool = True
    ) -> VerifyStack:
        """Return the step that waits for services of a stack, or for all of it."""
        return VerifyStack(
            stack=app.stack,
            services=services,
            timeout=wait.timeout,
            planned=wait.planned,
            stable=float(self.options.stable),
            probe=self.options.probe if probes else None,
        )

    def put_back(
        self,
        app: DeclaredApp,
        wait: Waits,
        *,
        declared: tuple[Declared, ...] = (),
        otherwise: Deploy | None = None,
    ) -> PutBack:
        """Return the way back of what deploys an app, as `PutBack` describes it."""
        before = tuple(
            Was(service=s.spec.name, service_id=s.id, spec_digest=s.spec_digest, ran=ran(s))
            for s in self.services_of(app)
        )
        return PutBack(
            stack=app.stack,
            before=before,
            timeout=wait.timeout,
            planned=wait.planned,
            path=app.env_file,
            declared=declared,
            otherwise=otherwise,
        )

    def services_of(self, app: DeclaredApp) -> list[model.Service]:
        """Return the services of an app's stack, by name."""
        seen = self.lookup.server(app.server)
        found = [s for s in seen.services if stack_of(s.spec.labels) == app.stack]
        # Engines list them by their ids, which say nothing to a reader and differ at each deploy.
        return sorted(found, key=lambda service: service.spec.name)

    def _about_dead_nodes(self, server: str, switches: list[SwitchService]) -> str:
        """Warn when a node is down on which tasks of these services may still run."""
        seen = self.lookup.server(server)
        services = {switch.service_id for switch in switches}
        tasks = [task for task in seen.tasks if task.service_id in services]
        return about_lost(lost(tasks, seen.nodes))

    def entry(self, target: Target) -> str:
        """Return where a secret's value lives in the password store."""
        return entry_path(
            self.options.pass_template,
            server=target.app.server,
            app=target.app.name,
            secret=target.declared.name,
        )

    def entry_to_change(self, target: Target) -> str:
        """Return where a secret's value is to be stored or removed.

        Raises
        ------
        MissingToolError
            Neither ``pass`` nor ``gopass`` is installed.
        InputError
            The store cannot take it: found now rather than in the middle of a run.
        """
        path = self.entry(target)
        PassStore().check_ready(path)
        return path

    def _fate(self, one: Renewal) -> str:
        fate = "kept and labelled failed" if self.options.keep_failed else "removed"
        return f"{one.version} {fate}"

    def _creations(
        self, renewals: list[Renewal], switches: Sequence[SwitchService] = ()
    ) -> list[AnyStep]:
        before = {(swap.to_name, swap.from_name) for one in switches for swap in one.swaps}
        before |= {(one.new_name, one.target.declared.swarm_name) for one in renewals}
        steps: list[AnyStep] = []
        for one in renewals:
            if self.options.use_pass:
                steps.append(
                    StagePassword(
                        path=self.entry_to_change(one.target),
                        swarm_name=one.new_name,
                        policy=one.policy,
                    )
                )
            steps.append(
                CreateSecret(
                    swarm_name=one.new_name,
                    policy=one.policy,
                    entry=self.entry(one.target) if self.options.use_pass else "",
                    keep_failed=self.options.keep_failed,
                    preserved=Preserved.of(one.target.origin),
                    replaces=tuple(
                        sorted(old for new, old in before if new == one.new_name != old)
                    ),
                )
            )
        return steps

    def _hooks(self, renewals: list[Renewal], wait: Waits) -> list[AnyStep]:
        mode = MODES[self.options.deploy]
        steps: list[AnyStep] = []
        for one in renewals:
            if one.hook is None:
                continue
            if not mode.acts:
                raise InputError(
                    f"{one.target.app.name} {one.target.declared.name}: its database would have "
                    "the new password and the app the old one until you deploy.",
                    remedy="Let opskit deploy (--deploy), or choose no database hook (--no-hook).",
                )
            app = one.target.app
            seen = self.lookup.server(app.server)
            found = find_service(one.hook, seen, app.stack, moving(one.target, seen))
            steps.append(
                RunHook(
                    hook=one.hook,
                    service=found.service.spec.name,
                    service_id=found.service.id,
                    file=mounted_at(found),
                    old_id=found.reference.secret_id,
                    swarm_name=one.new_name,
                    policy=one.policy,
                    entry=self.entry(one.target) if self.options.use_pass else "",
                    preserved=Preserved.of(one.target.origin),
                    timeout=wait.planned,
                )
            )
        return steps

    def _promotions(self, renewals: list[Renewal]) -> list[AnyStep]:
        if not self.options.use_pass:
            return []
        return [PromotePassword(path=self.entry(one.target)) for one in renewals]


def unit(app: DeclaredApp, changes: list[Change], steps: list[AnyStep]) -> Unit:
    """Make the unit of an app's stack."""
    return Unit(
        server=app.server,
        app=app.name,
        stack=app.stack,
        changes=tuple(changes),
        steps=tuple(steps),
    )


def _change(
    one: Renewal,
    *,
    undone_by: str,
    services: tuple[str, ...] = (),
    from_version: str = "",
    more: tuple[str, ...] = (),
) -> Change:
    notes = [f"{one.hook.kind} hook"] if one.hook else []
    notes += about_value(one)
    notes += [note for note in more if note]
    return Change(
        secret=one.target.declared.name,
        from_version=from_version,
        to_version=one.version,
        services=services,
        bits=one.policy.entropy_bits() if one.policy else None,
        undone_by=undone_by,
        note=", ".join(notes),
    )
