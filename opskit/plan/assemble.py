"""The steps of one stack, put in order.

Undoing goes through the steps in reverse, so what must happen late on the way back stands early
on the way there: `ConvergeBack`, the `back` half of `Deploy`, `RecommitEnv`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from opskit.abra.deployment import Deployment, deployment
from opskit.abra.edit import has_line, set_value
from opskit.abra.env import parse_env
from opskit.abra.model import DeclaredApp
from opskit.databases import references
from opskit.errors import InputError
from opskit.join import digests_among, stack_of
from opskit.modes import MODES, StackMode
from opskit.plan.data import Change, Unit
from opskit.plan.hooks import find_service, mounted_at
from opskit.plan.options import Options
from opskit.plan.redeploy import Redeploy, check_deployable, redeployed
from opskit.plan.references import file_of, moving
from opskit.plan.selection import Lookup, Target
from opskit.plan.variables import check_no_other_changes
from opskit.plan.versions import Renewal, check_name
from opskit.plan.waits import Waits, about_jobs, rescaled, waits
from opskit.secrets.generate import FLOOR_BITS
from opskit.secrets.passstore import PassStore, entry_path
from opskit.steps import (
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
    RunHook,
    StagePassword,
    Swap,
    SwitchService,
    TakeLock,
    Verify,
    VerifyStack,
    Watched,
)
from opskit.steps.deploy import check_installed
from opskit.steps.env import digest, read_unchanged
from opskit.steps.envfile import check_replaceable
from opskit.steps.pacing import ran
from opskit.steps.secrets import Kept
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
        switches = self._switches(app, renewals)
        seen = self.lookup.server(app.server)
        services = {s.id: s for s in seen.services}
        touched = [services[switch.service_id] for switch in switches]
        watched = tuple(
            _watched(switch, service) for switch, service in zip(switches, touched, strict=True)
        )
        declare = self._declare(app, renewals)
        names = ", ".join(f"{r.target.declared.name} {r.version}" for r in renewals)
        message = f"{app.name}: rotate {names}"
        found = self._files(app) if switches else None
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
            redeploy = self._redeploy(app, found)
            back = [self.deploy_step(app, mode.whole, wait, redeploy, back=True, keep_images=True)]
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
        beside = VerifyStack(
            stack=app.stack,
            services=others,
            timeout=wait.timeout,
            planned=wait.planned,
            stable=float(self.options.stable),
        )
        steps: list[AnyStep] = [
            TakeLock(stack=app.stack),
            *self._creations(renewals),
            *(settle if watched else []),
            *self._hooks(renewals, wait),
            *back,
            *([RecommitEnv(path=app.env_file, message=message)] if self.options.commit else []),
            declare,
            *([CommitEnv(path=app.env_file, message=message)] if self.options.commit else []),
            *forward,
            *([verify] if watched or self.options.probe else []),
            *([beside] if others else []),
            *self._promotions(renewals),
            ReleaseLock(stack=app.stack),
        ]
        users = {
            r.new_name: tuple(
                s.service for s in switches for swap in s.swaps if swap.to_name == r.new_name
            )
            for r in renewals
        }
        changes = [
            _change(
                r,
                services=users[r.new_name] if watched else (),
                from_version=r.target.declared.version,
                undone_by=f"back to {r.target.declared.version}, {self._fate(r)}",
                more=(
                    about_jobs(seen, app.stack, users[r.new_name] if watched else ()),
                    self._left_behind(r),
                    self._about_dead_nodes(app.server, switches),
                ),
            )
            for r in renewals
        ]
        if redeploy and (others or redeploy.note):
            notes = [note for note in (redeploy.note, about_jobs(seen, app.stack, others)) if note]
            changes.append(
                Change(
                    secret="", services=others, note="; ".join(notes), undone_by="deploying again"
                )
            )
        return unit(app, changes, steps)

    def create(self, made: list[Renewal]) -> Unit:
        """Create declared versions that no service uses yet."""
        app = made[0].target.app
        # Two keys of one app may name one version.
        made = list({one.new_name: one for one in made}.values())
        for one in made:
            check_name(one.new_name)
        steps: list[AnyStep] = [
            TakeLock(stack=app.stack),
            *self._creations(made),
            *self._promotions(made),
            ReleaseLock(stack=app.stack),
        ]
        changes = [_change(one, undone_by=self._fate(one)) for one in made]
        return unit(app, changes, steps)

    def _redeploy(self, app: DeclaredApp, found: Deployment | None) -> Redeploy | None:
        """Return what else deploying the stack does, unless abra does it."""
        if found is None:
            return None
        seen = self.lookup.server(app.server)
        check_deployable(found, seen)
        return redeployed(found, seen, renewed=True)

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
    ) -> Deploy:
        """Return the step that deploys the app, or its other half for the way back.

        `found` is what it deploys, where that is known, and `redeploy` what that does.
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
        )

    def services_of(self, app: DeclaredApp) -> list[model.Service]:
        """Return the services of an app's stack, by name."""
        seen = self.lookup.server(app.server)
        found = [s for s in seen.services if stack_of(s.spec.labels) == app.stack]
        # Engines list them by their ids, which say nothing to a reader and differ at each deploy.
        return sorted(found, key=lambda service: service.spec.name)

    def _files(self, app: DeclaredApp) -> Deployment | None:
        """Return what deploying the stack deploys, where opskit does so itself."""
        mode = MODES[self.options.deploy]
        if not mode.deploys or mode.whole != "stack":
            return None
        with deployment(self.options.root, app.server, app.name) as found:
            return found

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
        kept = "kept and labelled failed" if self.options.keep_failed else "removed"
        return f"{one.version} {kept}"

    def _creations(self, renewals: list[Renewal]) -> list[AnyStep]:
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
                    kept=Kept.of(one.target.origin),
                )
            )
        return steps

    def _hooks(self, renewals: list[Renewal], wait: Waits) -> list[AnyStep]:
        mode = MODES[self.options.deploy]
        steps: list[AnyStep] = []
        for one in renewals:
            if one.hook is None:
                continue
            if not (mode.switches or mode.deploys):
                raise InputError(
                    f"{one.target.app.name} {one.target.declared.name}: its database would have "
                    "the new password and the app the old one until you deploy.",
                    remedy="Leave --deploy none, or say --no-hook.",
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
                    kept=Kept.of(one.target.origin),
                    timeout=wait.planned,
                )
            )
        return steps

    def _promotions(self, renewals: list[Renewal]) -> list[AnyStep]:
        if not self.options.use_pass:
            return []
        return [PromotePassword(path=self.entry(one.target)) for one in renewals]

    def _declare(self, app: DeclaredApp, renewals: list[Renewal]) -> Declare:
        path = Path(app.env_file)
        content = read_unchanged(path, app.env_sha256)
        check_replaceable(path)
        before = parse_env(content, path).values
        declarations: list[Declaration] = []
        # Secrets that share a variable share its line.
        for one in {one.target.declared.env_key: one for one in renewals}.values():
            declared = one.target.declared
            old = declared.version if declared.env_line else None
            if old is None and has_line(content, declared.env_key):
                old = ""
            content = set_value(content, declared.env_key, one.version, path)
            declarations.append(Declaration(key=declared.env_key, old=old, new=one.version))
        keys = [one.key for one in declarations]
        check_no_other_changes(path, keys, before, parse_env(content, path).values)
        return Declare(
            path=app.env_file,
            before=app.env_sha256,
            after=digest(content),
            declarations=tuple(declarations),
        )

    def _left_behind(self, one: Renewal) -> str:
        """Name the other apps whose ``.env`` goes on naming the version that is replaced."""
        app, declared = one.target.app, one.target.declared
        names = [
            other.name if other.server == app.server else f"{other.server}/{other.name}"
            for other in self.lookup.apps(app.server)
            if (other.server, other.name) != (app.server, app.name)
            and any(
                secret.swarm_name == declared.swarm_name
                or (other.stack == app.stack and secret.name == declared.name)
                for secret in other.secrets
            )
        ]
        if not names:
            return ""
        does = "declares it too and keeps" if len(names) == 1 else "declare it too and keep"
        return f"{' and '.join(names)} {does} {declared.version}"

    def _switches(self, app: DeclaredApp, renewals: list[Renewal]) -> list[SwitchService]:
        seen = self.lookup.server(app.server)
        files: defaultdict[str, defaultdict[tuple[str, str, str], list[str]]] = defaultdict(
            lambda: defaultdict(list)
        )
        others: dict[str, str] = {}
        theirs: dict[str, None] = {}
        for one in renewals:
            for mounted in moving(one.target, seen):
                service, reference = mounted.service, mounted.reference
                stack = stack_of(service.spec.labels)
                if stack not in ("", app.stack):
                    others[service.spec.name] = stack
                    theirs[reference.secret_name] = None
                    continue
                swap = (reference.secret_id, reference.secret_name, one.new_name)
                files[service.id][swap].append(mounted.file)
        switches = [
            SwitchService(
                service=service.spec.name,
                service_id=service.id,
                spec_digest=service.spec_digest,
                swaps=tuple(
                    Swap(from_id=ident, from_name=old, to_name=new, files=tuple(sorted(names)))
                    for (ident, old, new), names in sorted(files[service.id].items())
                ),
            )
            for service in seen.services
            if service.id in files
        ]
        mode = MODES[self.options.deploy]
        if others and (mode.switches or mode.deploys):
            raise self._refusal(app, others, list(theirs))
        return switches

    def _refusal(
        self, app: DeclaredApp, others: Mapping[str, str], names: Sequence[str]
    ) -> InputError:
        """Refuse what would leave the files of another stack behind, and say how it is done."""
        stacks = sorted(set(others.values()))
        apps = [one.name for one in self.lookup.apps(app.server) if one.stack in stacks]
        theirs = f"{' and '.join(apps)} (opskit app config)" if apps else "the files of these"
        deploys = "; ".join(f"opskit app deploy {name}" for name in (app.name, *apps))
        return InputError(
            f"{', '.join(names)} on {app.server} is used by {', '.join(sorted(others))} too, of "
            f"{' and '.join(stacks)}: their own files would bring the old version back.",
            remedy="Say --deploy none, which makes the new version and lets the services be. "
            f"Name it in {theirs} too, then: {deploys}",
        )


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
    notes += _about_value(one)
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


def _about_value(one: Renewal) -> list[str]:
    """Return what is out of the ordinary about how a value is made and what it is stored with."""
    policy, declared = one.policy, one.target.declared
    spec = one.target.origin.spec if one.target.origin else model.Spec()
    left = digests_among(spec.labels)
    notes: list[str] = []
    if policy and policy.is_weak():
        notes.append(f"weaker than {FLOOR_BITS:.0f} bits")
    if policy and policy.command and (declared.length or declared.charset):
        notes.append(f"{policy.command[0]} decides length and characters")
    if spec.templating:
        notes.append("a template")
    if left:
        notes.append(f"without the label {', '.join(left)}, a digest of the old value")
    return notes


def _watched(switch: SwitchService, service: model.Service) -> Watched:
    """Return what must be mounted afterwards and what no more; other files may keep theirs."""
    moved = {(swap.from_id, file) for swap in switch.swaps for file in swap.files}
    staying = {
        reference.secret_id
        for reference in references(service)
        if (reference.secret_id, file_of(reference)) not in moved
    }
    return Watched(
        service=switch.service,
        service_id=switch.service_id,
        new=tuple(sorted({swap.to_name for swap in switch.swaps})),
        old_ids=tuple(dict.fromkeys(s.from_id for s in switch.swaps if s.from_id not in staying)),
        ran=ran(service),
    )
