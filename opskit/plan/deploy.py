"""Plans about whole stacks: deploy, upgrade, undeploy, restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import msgspec

from opskit.abra.deployment import Deployment
from opskit.abra.env import SampleLine
from opskit.abra.model import DeclaredApp, DeclaredSecret
from opskit.abra.names import APP_SERVICE, label
from opskit.abra.recipe import Recipes
from opskit.abra.releases import newer
from opskit.errors import InputError, MissingToolError
from opskit.facts.databases import moves
from opskit.kinds.modes import MODES, WHOLE
from opskit.plan.assemble import Assembler, unit
from opskit.plan.data import Change, PlanData, Unit
from opskit.plan.hooks import refuse_moves
from opskit.plan.redeploy import (
    CHOSEN_BY_ABRA,
    Read,
    check_deployable,
    files_of,
    line_for,
    news,
    redeployed,
)
from opskit.plan.selection import check_read
from opskit.plan.waits import Waits, about_jobs, waits
from opskit.steps import (
    AnyStep,
    CommitEnv,
    RecommitEnv,
    ReleaseLock,
    RestartService,
    TakeLock,
    Undeploy,
)
from opskit.steps.convergence import secrets_of
from opskit.steps.deploy import on_other_versions
from opskit.steps.env import pin
from opskit.steps.envfile import check_replaceable
from opskit.steps.pacing import ran
from opskit.steps.stack import Declared
from opskit.swarm import model

_COMMANDS = ("POST_DEPLOY_CMDS", "POST_UPGRADE_CMDS")
_UNPINNED = "; no version is pinned: the recipe as it is on disk"
"""abra would take the version that runs, or the latest: the operator has to see the difference."""


@dataclass(frozen=True, slots=True)
class StackPlanner:
    """Plans over one snapshot, as `RenewalPlanner` does for secrets.

    Parameters
    ----------
    assembler
        Knows the snapshot and the options.
    """

    assembler: Assembler

    def deploy(self, name: str, version: str = "") -> PlanData:
        """Plan to deploy an app from its files, and to put the services back if that fails.

        With `version` that one is pinned in the ``.env`` first.
        """
        return PlanData.made_now("deploy", [self._deploy(name, version)])

    def _deploy(self, name: str, version: str) -> Unit:
        options = self.assembler.options
        app = self.assembler.lookup.app(name)
        self._check_alone(app)
        services = self.assembler.services_of(app)
        if not MODES[options.deploy].acts:
            raise InputError(
                f'nothing is deployed with deploy = "{options.deploy}".',
                remedy=f"Say which deploys {app.name}: --with {' or --with '.join(WHOLE)}; in "
                f"Python, Options(deploy=…).",
            )
        mode = MODES[options.deploy].whole
        shown, needed = version, tuple(app.secrets)
        found: Deployment | None = None
        read: Read = {}
        # Services that an older version left behind are none of this deploy's business.
        names: tuple[str, ...] = ()
        note, redeploy = "the whole stack", None
        if mode == "stack" or version or app.recipe_version:
            found, read = files_of(app, options.root, mode, version)
            shown, needed = _shown(found), found.needed
            names = tuple(f"{app.stack}_{name}" for name in found.services)
        seen = self.assembler.lookup.server(app.server)
        if not options.no_hook:
            names_needed = [one.swarm_name for one in needed]
            found_moves = moves(app, seen, names_needed, options.hooks)
            refuse_moves(app, self.assembler.lookup.shown(app), found_moves, seen)
        self._check_secrets(app, needed, version, found.origin.sample if found else {})
        if found is None:
            note += f"; {CHOSEN_BY_ABRA}"
        else:
            check_deployable(found, seen, mode)
            redeploy = redeployed(found, seen, mode, read)
            note += "" if version or app.recipe_version else _UNPINNED
            note += _left_to_abra(found) if mode == "stack" else ""
            note += f"; {redeploy.note}" if redeploy.note else ""
        wait = self._waits(app, services, found)
        pinning = self._pinning(app, version) if version else []
        steps: list[AnyStep] = [
            TakeLock(stack=app.stack),
            self.assembler.put_back(app, wait, declared=_declared(app, pinned=bool(pinning))),
            *pinning,
            self.assembler.deploy_step(
                app,
                mode,
                wait,
                redeploy,
                found,
                news=self._news(app, found, _deployed(app, services)) if found else (),
            ),
            self.assembler.verify_stack(app, wait, names),
            ReleaseLock(stack=app.stack),
        ]
        change = Change(
            secret="",
            from_version=_deployed(app, services),
            to_version=shown,
            services=redeploy.restarts if redeploy else (),
            note=note,
            undone_by=_undone_by(found, services),
        )
        return unit(app, [change], steps)

    def upgrade(self, name: str) -> PlanData:
        """Plan to pin and deploy the latest release of an app's recipe.

        Raises
        ------
        InputError
            There is none later than what runs, or nobody knows which version runs.
        """
        app = self.assembler.lookup.app(name)
        check_read(app)
        shown = self.assembler.lookup.shown(app)
        running = _deployed(app, self._deployed_services(app))
        releases = self.assembler.lookup.facts.declared.releases.get(app.recipe, ())
        later = newer(releases, running)
        if not later:
            raise InputError(
                f"{app.name} runs {running or 'an unknown version'}, "
                + ("and no later release is known here." if later == [] else "which is none."),
                remedy=f"Fetch its tags, or name one: opskit app deploy {shown} VERSION",
            )
        return PlanData.made_now("upgrade", [self._deploy(name, later[-1])])

    def undeploy(self, name: str) -> PlanData:
        """Plan to take an app down; its volumes and secrets stay.

        Raises
        ------
        InputError
            It is not deployed.
        """
        app = self.assembler.lookup.app(name)
        self._check_alone(app)
        services = self._deployed_services(app)
        found, why = None, ""
        try:
            found, _ = files_of(app, self.assembler.options.root, "abra")
        except (InputError, MissingToolError) as error:
            why = str(error)
        wait = self._waits(app, services, found)
        back: list[AnyStep] = [
            msgspec.structs.replace(
                self.assembler.verify_stack(app, wait),
                probe=None,
                back=True,
                idle=tuple(one.spec.name for one in services if not ran(one)),
            ),
            self.assembler.deploy_step(app, "stack", wait, found=found, back=True),
        ]
        names = tuple(service.spec.name for service in services)
        steps: list[AnyStep] = [
            TakeLock(stack=app.stack),
            *([] if why else back),
            Undeploy(
                app=app.name,
                stack=app.stack,
                services=names,
                timeout=wait.planned,
                returns=not why,
                secrets=tuple(sorted({name for s in services for name in secrets_of(s).values()})),
                why=why,
            ),
            ReleaseLock(stack=app.stack),
        ]
        change = Change(
            secret="",
            from_version=_deployed(app, services),
            services=names,
            note="removed; volumes and secrets stay",
            undone_by=f"nothing: {why}" if why else "deploying again",
        )
        return PlanData.made_now("undeploy", [unit(app, [change], steps)])

    def restart(self, name: str, services: list[str] | None = None) -> PlanData:
        """Plan new tasks for all or some services of an app.

        Raises
        ------
        InputError
            It is not deployed, or has no such service.
        """
        app = self.assembler.lookup.app(name)
        check_read(app)
        there = {s.spec.name.removeprefix(f"{app.stack}_"): s for s in self._deployed_services(app)}
        wanted = sorted(there) if services is None else services
        if not wanted:
            raise InputError(
                f"no service of {app.name} is named.",
                remedy=f"It has: {', '.join(sorted(there))}.",
            )
        for one in wanted:
            if one not in there:
                raise InputError(
                    f"{app.name} has no service called {one!r}.",
                    remedy=f"It has: {', '.join(sorted(there))}.",
                )
        chosen = [there[one] for one in wanted]
        names = tuple(service.spec.name for service in chosen)
        steps: list[AnyStep] = [
            TakeLock(stack=app.stack),
            *(
                RestartService(
                    service=service.spec.name,
                    service_id=service.id,
                    spec_digest=service.spec_digest,
                    forced=service.spec.task_template.force_update + 1,
                )
                for service in chosen
            ),
            self.assembler.verify_stack(app, self._waits(app, chosen), names),
            ReleaseLock(stack=app.stack),
        ]
        jobs = about_jobs(self.assembler.lookup.server(app.server), app.stack, names)
        change = Change(
            secret="",
            services=names,
            note="; ".join(text for text in ("new tasks, same spec", jobs) if text),
            undone_by="nothing to undo",
        )
        return PlanData.made_now("restart", [unit(app, [change], steps)])

    def _check_alone(self, app: DeclaredApp) -> None:
        """Refuse a stack that another app has too: what runs may be that one's."""
        check_read(app)
        name = f"{app.server}/{app.name}"
        for other in self.assembler.lookup.apps(app.server):
            theirs = f"{other.server}/{other.name}"
            if other.stack == app.stack and theirs != name:
                shown = other.name if other.server == app.server else theirs
                raise InputError(
                    f"{app.name} and {shown} share the stack name {app.stack} on "
                    f"{app.server}: what happens to one happens to the other.",
                    remedy=f"Give one its own STACK_NAME: opskit app config {quote(name)}",
                )

    def _deployed_services(self, app: DeclaredApp) -> list[model.Service]:
        services = self.assembler.services_of(app)
        if not services:
            raise InputError(
                f"{app.name} is not deployed on {app.server}.",
                remedy=f"Deploy it: opskit app deploy {self.assembler.lookup.shown(app)}",
            )
        return services

    def _pinning(self, app: DeclaredApp, version: str) -> list[AnyStep]:
        change = pin(Path(app.env_file), version, app.env_sha256)
        if change.before == change.after:
            return []
        check_replaceable(Path(app.env_file))
        if not self.assembler.options.commit:
            return [change]
        message = f"{app.name}: {change.new}"
        return [
            RecommitEnv(path=app.env_file, message=message),
            change,
            CommitEnv(path=app.env_file, message=message),
        ]

    def _news(self, app: DeclaredApp, found: Deployment, running: str) -> tuple[str, ...]:
        releases = self.assembler.lookup.facts.declared.releases.get(app.recipe, ())
        return news(app, found, running, releases, Recipes(self.assembler.options.root))

    def _check_secrets(
        self,
        app: DeclaredApp,
        needed: tuple[DeclaredSecret, ...],
        version: str,
        sample: Mapping[str, SampleLine],
    ) -> None:
        there = {s.spec.name for s in self.assembler.lookup.server(app.server).secrets}
        absent = [one for one in needed if one.swarm_name not in there]
        if not absent:
            return
        lines = [line_for(one, sample) for one in absent if one.env_key and not one.version]
        edits = [f"pin {version}"] if version and version != app.recipe_version else []
        edits += [f"add {' and '.join(lines)}"] if lines else []
        shown = self.assembler.lookup.shown(app)
        ways = [f"opskit app config {shown} ({' and '.join(edits)})"] if edits else []
        made = [quote(one.name) for one in absent if one.generate]
        if made and not edits:
            ways.append(f"opskit secret generate {shown} --all")
        elif made:
            ways.append(f"opskit secret generate {shown} {' '.join(made)}")
        ways += [f"opskit secret insert {shown} {quote(s.name)}" for s in absent if not s.generate]
        ways += [f"opskit app deploy {shown}"] if edits else []
        named = [one.swarm_name if one.version else f"the secret {one.name}" for one in absent]
        raise InputError(
            f"{app.name} cannot be deployed: {', '.join(named)} "
            f"{'does' if len(absent) == 1 else 'do'} not exist"
            + (f", and the .env names no version: {', '.join(lines)}." if lines else "."),
            path=Path(app.env_file) if lines else None,
            remedy="; ".join(ways),
        )

    def _waits(
        self, app: DeclaredApp, services: list[model.Service], found: Deployment | None = None
    ) -> Waits:
        seen = self.assembler.lookup.server(app.server)
        return waits(seen, app.stack, float(self.assembler.options.timeout), services, found)


def _left_to_abra(found: Deployment) -> str:
    """Name the commands of the ``.env`` that abra would run when all is deployed."""
    left = [name for name in _COMMANDS if found.environment.get(name)]
    return f"; not run: {', '.join(left)} (use abra app cmd)" if left else ""


def _undone_by(found: Deployment | None, services: list[model.Service]) -> str:
    """Return what the way back brings back, and where that is not what the ``.env`` declares."""
    if not services:
        return "removing what was made"
    other = found and [one for service in services for one in on_other_versions(found, service)]
    return f"the specs before, where {'; '.join(other)}" if other else "the specs before"


def _shown(found: Deployment) -> str:
    return f"{found.version} (chaos)".strip() if found.chaos else found.version


def _declared(app: DeclaredApp, *, pinned: bool) -> tuple[Declared, ...]:
    """Return which versions the ``.env`` names, but for one that the plan itself changes."""
    recipe = [] if pinned else [Declared(version=app.recipe_version)]
    secrets = (
        Declared(version=one.version, key=one.env_key, prefix=one.prefix)
        for one in app.secrets
        if one.env_line
    )
    return (*recipe, *secrets)


def _deployed(app: DeclaredApp, services: list[model.Service]) -> str:
    """Return the version that the labels of the running app name."""
    for service in services:
        labels = service.spec.labels or {}
        if service.spec.name == f"{app.stack}_{APP_SERVICE}":
            return labels.get(label(app.stack, "version"), "")
    return ""
