"""The step that redeploys a whole stack, with the docker CLI or with abra."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from opskit.abra.deployment import LOCATORS, TAKEN, Deployment, deployment
from opskit.errors import MissingToolError, StepError
from opskit.modes import PROGRAMS, StackMode
from opskit.secrets.redact import redact
from opskit.steps.base import Detail, Step, StepContext
from opskit.swarm.context import docker_arguments, docker_config_dir

_PAUSE_S = 0.5
_GRACE_S = 5.0
_LEAVES_S = 60.0
_HALF_GONE = re.compile(r"network \S+ not found")
"""Swarm lists a network that was just removed until the last task lets go of it: docker takes it
for there, and its services are refused."""


class Deploy(Step, frozen=True, kw_only=True, tag="deploy"):
    """Deploy an app from its recipe and ``.env``, as they are at that moment.

    With ``docker`` the recipe's files are those of the pinned version, and the service ``app``
    gets the labels and the environment it has from abra.

    With `back` it is the half that works only when the run is undone: it stands before the
    change of the ``.env``, so that it runs once the old versions are named again. `timeout` is
    in seconds.
    """

    mode: StackMode
    root: str
    server: str
    app: str
    stack: str
    timeout: float = 300.0
    back: bool = False

    def subject(self) -> str:
        """Name the app."""
        return self.app

    def calls(self) -> list[str]:
        """Show the command."""
        if self.back:
            return []
        if self.mode == "abra":
            return [f"abra app deploy --no-input --force --offline {self.app}"]
        return [
            f"docker --context {self.server} stack deploy --compose-file … {self.stack} "
            f"(compose files and environment of {self.app})"
        ]

    def impact(self) -> str:
        """Say that the files decide what is touched."""
        return "" if self.back else "Restarts the services whose specs the files change."

    def longest_wait(self) -> float:
        """Return the time it has."""
        return 0.0 if self.back else self.timeout

    def do(self, ctx: StepContext) -> Detail:
        """Run it; deploying the same state again changes nothing."""
        return {} if self.back else self._run(ctx)

    def undo(self, ctx: StepContext) -> Detail:
        """Deploy once more if this is the half that stands before the ``.env`` was changed."""
        return self._run(ctx) if self.back else {}

    def _run(self, ctx: StepContext) -> Detail:
        if self.mode == "abra":
            command = ["abra", "app", "deploy", "--no-input", "--force", "--offline", self.app]
            environment = {**os.environ, "ABRA_DIR": self.root}
            return self._insist(ctx, command, environment, Path(self.root))
        with deployment(Path(self.root), self.server, self.app) as found:
            files = [word for path in found.files for word in ("--compose-file", path)]
            target = docker_arguments(ctx.engine.context.server)
            kept = TAKEN - LOCATORS if target else TAKEN
            self._check_free(found, kept)
            # Found before, as the app's own environment may name another PATH.
            docker = shutil.which("docker")
            if docker is None:
                raise _not_installed("docker")
            # Compose files are interpolated from the same environment, and abra takes nothing but
            # the app's: of the operator's own only what docker and ssh need, and what they can do
            # without not where a compose file would get it.
            own = {"HOME"} - found.looked_up
            environment = {
                **{key: value for key, value in os.environ.items() if key in own},
                **{key: value for key, value in found.environment.items() if key not in kept},
                **{key: value for key, value in os.environ.items() if key in kept},
                # Else docker would look below HOME, which may be the app's.
                "DOCKER_CONFIG": str(docker_config_dir().absolute()),
            }
            command = [docker, *target, "stack", "deploy", *files, self.stack]
            detail = self._insist(ctx, command, environment, Path(found.folder))
            return {**detail, "version": found.version, "chaos": found.chaos}

    def _check_free(self, found: Deployment, kept: frozenset[str]) -> None:
        """Refuse what docker would interpolate with a value of the operator's, not of the app."""
        for name in sorted(kept & found.looked_up):
            of = "of its .env" if name in found.environment else "that its .env does not set"
            raise StepError(
                f"the compose files of {self.app} use {name} {of}, which docker needs for itself "
                "here. Give the variable another name in both."
            )

    def _insist(
        self, ctx: StepContext, command: list[str], environment: Mapping[str, str], folder: Path
    ) -> Detail:
        """Execute it again for as long as a network of the stack is on its way out."""
        until = time.monotonic() + min(self.timeout, _LEAVES_S)
        while True:
            try:
                return self._execute(ctx, command, environment, folder)
            except StepError as error:
                if time.monotonic() >= until or not _HALF_GONE.search(str(error)):
                    raise
            ctx.keep_lock()
            ctx.wait(_PAUSE_S)

    def _execute(
        self, ctx: StepContext, command: list[str], environment: Mapping[str, str], folder: Path
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
            last = (errors or output).strip().splitlines()[-3:]
            raise StepError(f"{program} could not deploy {self.app}: {redact(' '.join(last))}")
        return {"status": process.returncode}

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
