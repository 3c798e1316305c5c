"""The step that redeploys a whole stack, with the docker CLI or with abra."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Any

import msgspec

from opskit.abra.deployment import Deployment, deployment
from opskit.abra.names import APP_SERVICE, label
from opskit.errors import InputError, MissingToolError, OpskitError, StepError
from opskit.facts.join import stack_of
from opskit.kinds.modes import PROGRAMS, StackMode
from opskit.secrets.redact import redact
from opskit.steps.base import Detail, Step, StepContext
from opskit.steps.byabra import check_deployed, is_same_version, warnings_of
from opskit.steps.convergence import secrets_of
from opskit.steps.dockercli import check_environment, docker_environment, faults_in, warnings_in
from opskit.steps.holding import put_right_if_lost
from opskit.steps.images import decide, running_images
from opskit.steps.made import ACTION, NOTHING, as_left, may_make
from opskit.steps.parts import Part
from opskit.steps.services import replace_spec, services_of
from opskit.swarm import model
from opskit.swarm.context import docker_arguments
from opskit.swarm.engine import RawSpec

_PAUSE_S = 0.5
_GRACE_S = 5.0
_LEAVES_S = 60.0
_HALF_GONE = re.compile(r"network \S+ not found")
"""Swarm lists a network that was just removed until the last task lets go of it: docker takes it
for there, and its services are refused."""


class Scaled(msgspec.Struct, frozen=True, kw_only=True):
    """A service whose number of tasks was set by hand, and what deploying makes of it."""

    service: str
    before: int
    after: int

    def back(self, spec: RawSpec) -> RawSpec:
        """Return a spec with the number before, where it has the one after."""
        mode: dict[str, Any] = spec.get("Mode") or {}
        if (mode.get("Replicated") or {}).get("Replicas") != self.after:
            return spec
        return {**spec, "Mode": {"Replicated": {"Replicas": self.before}}}


class Deploy(Step, frozen=True, kw_only=True, tag=ACTION):
    """Deploy an app from its recipe and ``.env``, as they are at that moment.

    With ``docker`` the recipe's files are those of the pinned version, and the service ``app``
    gets the labels and the environment it has from abra.

    With `back` it is the half that works only when the run is undone: it stands before the
    change of the ``.env``, so that it runs once the old versions are named again. `timeout` is
    in seconds. `scaled` are services whose number of tasks the files set back; the way back sets
    it as it was.

    With `keep_images` a tag that moved at its registry moves no service. `registries` are those
    that the operator is logged in to, and whose credentials go with the services. `news` is what
    there is to read before: release notes, and lines that the ``.env`` lacks. `differences` are
    what the files change of services, as far as it is known; `data` are volumes of those that get
    another image.
    """

    mode: StackMode
    root: str
    server: str
    app: str
    stack: str
    timeout: float = 300.0
    back: bool = False
    scaled: tuple[Scaled, ...] = ()
    keep_images: bool = False
    registries: tuple[str, ...] = ()
    news: tuple[str, ...] = ()
    differences: tuple[Part, ...] = ()
    data: tuple[str, ...] = ()

    def subject(self) -> str:
        """Name the app."""
        return self.app

    def calls(self) -> list[str]:
        """Show the command."""
        if self.back:
            return []
        if self.mode == "abra":
            return [f"abra app deploy --no-input --force --offline {quote(self.app)}"]
        options = "--with-registry-auth " if self.registries else ""
        return [
            f"docker --context {quote(self.server)} stack deploy {options}--compose-file … "
            f"{quote(self.stack)} (compose files and environment of {self.app})"
        ]

    def impact(self) -> str:
        """Say that the files decide what is touched, and what they undo."""
        if self.back:
            return ""
        said = ["Restarts the services whose specs the files change."]
        said += [
            f"Sets {one.service} from {one.before} tasks back to {one.after}, as the files say."
            for one in self.scaled
        ]
        return " ".join(said)

    def parts(self) -> tuple[Part, ...]:
        """Return what the files change."""
        return self.differences

    def lasting(self) -> str:
        """Say that data which another version migrated is not brought back."""
        if not self.data:
            return ""
        return (
            "Undoing it does not bring back data that the other version changes, as by a "
            f"migration, in {', '.join(self.data)}."
        )

    def reading(self) -> tuple[str, ...]:
        """Return release notes, and lines for the ``.env``."""
        return self.news

    def longest_wait(self) -> float:
        """Return the time it has."""
        return 0.0 if self.back else self.timeout

    def do(self, ctx: StepContext) -> Detail:
        """Run it; deploying the same state again changes nothing."""
        return {} if self.back else {**self._run(ctx), **as_left(ctx, self.stack)}

    def intent(self, ctx: StepContext) -> Detail:
        """Say between which moments it may make services."""
        # As long as docker may go on when this process is killed.
        return NOTHING if self.back else may_make(ctx, self.timeout + _LEAVES_S)

    def undo(self, ctx: StepContext) -> Detail:
        """Deploy once more if this is the half that stands before the ``.env`` was changed."""
        if not self.back:
            return {}
        detail = self._run(ctx)
        self._rescale(ctx)
        return detail

    def _rescale(self, ctx: StepContext) -> None:
        """Set the numbers of tasks that somebody had set by hand, where the files set theirs."""
        scaled = {one.service: one for one in self.scaled}
        for service in ctx.patiently(lambda: services_of(ctx, self.stack)):
            if one := scaled.get(service.spec.name):
                replace_spec(ctx, service.id, one.back)

    def _run(self, ctx: StepContext) -> Detail:
        ctx.ask_lock()
        with put_right_if_lost(ctx, self._put_right):
            return self._deploy(ctx)

    def _put_right(self, ctx: StepContext) -> str:
        """Deploy what is declared now, where something else was deployed without the lock.

        That is done whatever is seen to differ: a service's environment or image may have gone
        back, too, and no label tells.
        """
        try:
            with ctx.hold().anew(ctx):
                if not ctx.patiently(lambda: services_of(ctx, self.stack)):
                    return f"Nothing of {self.stack} is deployed now."
                amiss = list[str]()
                with suppress(InputError, MissingToolError):
                    amiss = self._astray(ctx)
                self._deploy(ctx)
        except OpskitError as error:
            return (
                f"{self.stack} may run other versions than its .env declares now, and was not put "
                f"right: {error} When nobody works on it, go on with: opskit app deploy "
                f"{quote(self.app)}"
            )
        if not amiss:
            return f"{self.stack} was deployed again, as declared now."
        return f"Meanwhile {'; '.join(amiss)}: it was deployed again, as declared now."

    def _check_versions(self, ctx: StepContext) -> str:
        """Refuse to call it deployed when services use other versions than are declared now.

        What abra could deploy may be more than can be read here; that is returned to be noted.
        """
        ctx.ask_lock()
        try:
            amiss = self._astray(ctx)
        except (InputError, MissingToolError) as error:
            return f"what runs was not compared with the .env: {error}"
        if amiss:
            raise StepError(
                f"{self.app} on {ctx.engine.server} was deployed, but {'; '.join(amiss)}. "
                f"Deploy it again: opskit app deploy {quote(self.app)}"
            )
        return ""

    def _astray(self, ctx: StepContext) -> list[str]:
        """Name services on another version of a secret, or of the recipe, than is declared now."""
        services = ctx.patiently(ctx.engine.services)
        with deployment(Path(self.root), self.server, self.app) as found:
            return astray(found, [s for s in services if stack_of(s.spec.labels) == self.stack])

    def _deploy(self, ctx: StepContext) -> Detail:
        if self.mode == "abra":
            return self._by_abra(ctx)
        with deployment(Path(self.root), self.server, self.app) as found:
            check_environment(found, self.server)
            # Found before, as the app's own environment may name another PATH.
            docker = shutil.which("docker")
            if docker is None:
                raise _not_installed("docker")
            images = decide(ctx, found, keep=self.keep_images)
            files = [
                word
                for path in found.with_images(images.kept).files
                for word in ("--compose-file", path)
            ]
            options = ["--with-registry-auth"] if images.hand_on else []
            target = docker_arguments(ctx.engine.context.server)
            command = [docker, *target, "stack", "deploy", *options, *files, self.stack]
            environment = docker_environment(found, self.server)
            detail = self._insist(ctx, command, environment, Path(found.folder), found)
            amiss = self._check_versions(ctx)
            said = warnings_in(str(detail.get("note") or ""), found, images.kept.values())
            note = "; ".join(filter(None, [images.note, said, amiss]))
            return {**detail, "version": found.version, "chaos": found.chaos, "note": note}

    def _by_abra(self, ctx: StepContext) -> Detail:
        """Let abra do it, and compare what it made with what the files said."""
        command = ["abra", "app", "deploy", "--no-input", "--force", "--offline", self.app]
        environment = {**os.environ, "ABRA_DIR": self.root}
        found = self._pinned()
        before = running_images(_services(ctx), self.stack) if found else {}
        detail = self._insist(ctx, command, environment, Path(self.root))
        moved = check_deployed(found, _services(ctx), before) if found else ""
        said = [moved, warnings_of(str(detail.get("note") or "")), self._check_versions(ctx)]
        note = "; ".join(filter(None, said))
        return {**detail, "version": found.version if found else "", "note": note}

    def _pinned(self) -> Deployment | None:
        """Return what the files say; nothing where abra chooses, or where they cannot be read."""
        try:
            with deployment(Path(self.root), self.server, self.app) as found:
                return found if found.pinned else None
        except (InputError, MissingToolError):
            # abra may know better; undoing must not end here.
            return None

    def _insist(
        self,
        ctx: StepContext,
        command: list[str],
        environment: Mapping[str, str],
        folder: Path,
        found: Deployment | None = None,
    ) -> Detail:
        """Execute it again for as long as a network of the stack is on its way out."""
        until = time.monotonic() + min(self.timeout, _LEAVES_S)
        while True:
            try:
                return self._execute(ctx, command, environment, folder, found)
            except StepError as error:
                if time.monotonic() >= until or not _HALF_GONE.search(str(error)):
                    raise
            ctx.keep_lock()
            ctx.wait(_PAUSE_S)

    def _execute(
        self,
        ctx: StepContext,
        command: list[str],
        environment: Mapping[str, str],
        folder: Path,
        found: Deployment | None,
    ) -> Detail:
        program = Path(command[0]).name
        try:
            process = subprocess.Popen(
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                # A session of its own: Ctrl-C is for opskit, which then ends it with all it began.
                start_new_session=True,
            )
        except FileNotFoundError:
            raise _not_installed(program) from None
        with process:
            try:
                output, errors = self._wait(ctx, process)
            except BaseException:
                _end(process)
                raise
        if process.returncode:
            # Masked before it is cut, as a part of a value would not be known as one.
            said = faults_in(redact(errors), found) or faults_in(redact(output), found)
            raise StepError(f"{program} could not deploy {self.app}: {' '.join(said[-3:])}")
        # abra tells everything on its standard output.
        return {"status": process.returncode, "note": errors if found else output + errors}

    def _wait(self, ctx: StepContext, process: subprocess.Popen[str]) -> tuple[str, str]:
        """Return what it printed once it has ended, and keep the lock until then."""
        until = time.monotonic() + self.timeout
        while True:
            try:
                return process.communicate(timeout=_PAUSE_S)
            except subprocess.TimeoutExpired:
                pass
            if time.monotonic() >= until:
                raise StepError(
                    f"deploying {self.app} did not end in {self.timeout:g} s, and was stopped."
                )
            ctx.check_stop()
            ctx.keep_lock()


def _services(ctx: StepContext) -> tuple[model.Service, ...]:
    return ctx.patiently(ctx.engine.services)


def astray(found: Deployment, services: Iterable[model.Service]) -> list[str]:
    """Name services on another version of a secret, or of the recipe, than files declare."""
    told: list[str] = []
    version = label(found.stack, "version")
    for service in services:
        runs = (service.spec.labels or {}).get(version, "")
        if (
            runs
            and found.pinned
            and not found.chaos
            and service.spec.name == f"{found.stack}_{APP_SERVICE}"
            and not is_same_version(found.version, runs)
        ):
            told.append(
                f"{service.spec.name} runs {runs} of {found.recipe} and its .env declares "
                f"{found.version}"
            )
        told += on_other_versions(found, service)
    return told


def on_other_versions(found: Deployment, service: model.Service) -> list[str]:
    """Say which versions of secrets a service uses for which files declare others."""
    wanted = found.services.get(service.spec.name.removeprefix(f"{found.stack}_"))
    used = set(secrets_of(service).values())
    if wanted is None:
        return []
    return [
        f"{service.spec.name} uses {name} and its .env declares {one.swarm_name}"
        for one in found.needed
        if one.swarm_name in wanted.secrets - used
        for name in sorted(used - wanted.secrets)
        if name.startswith(one.prefix)
    ]


def _end(process: subprocess.Popen[str]) -> None:
    """End a program and what it began; it may tidy up."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.communicate(timeout=_GRACE_S)
        except subprocess.TimeoutExpired:
            continue
        return


def check_installed(mode: StackMode) -> None:
    """Refuse a plan whose deploys could neither be made nor undone here.

    Raises
    ------
    MissingToolError
        The program is not installed.
    """
    program = PROGRAMS[mode]
    if shutil.which(program) is None:
        raise _not_installed(program)


def _not_installed(program: str) -> MissingToolError:
    return MissingToolError(
        f"{program} is not installed here. Install it, or use another --deploy, such as services."
    )
