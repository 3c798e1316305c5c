"""Credential hooks: telling a running database the password a secret's new version holds.

A database keeps its passwords inside and reads the mounted file at its first start only. A hook
is a short shell script that runs in the database's own container, where the old file is still
mounted. The new password reaches it on its input. The old one never leaves the container: undoing
reads it there.

No crash may leave a password that nobody knows. So a hook never needs a password that it may have
replaced itself, and can be run again with another one at any time:

- ``postgres`` logs in over the local socket, which must ask for no password (as the official
  image has it);
- ``mariadb`` logs in as root, and never changes the account it logs in with;
- ``redis`` keeps the old password beside the new one until the server restarts with the new file.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec

from opskit.errors import NotFoundError, OpskitError, StepError
from opskit.kinds.hooks import HookSpec
from opskit.secrets.generate import PlannedPolicy
from opskit.secrets.value import Secret
from opskit.steps.base import TRANSIENT, Detail, Step, StepContext
from opskit.steps.holding import put_right_if_lost
from opskit.steps.passwords import staged_value
from opskit.steps.secrets import CreateSecret, Preserved, made_by, replaced_by, stored
from opskit.swarm import model

Action = Literal["set", "restore"]
_TRY_LATER = 75
"""The exit status of a script whose database is not there yet."""
_SHOWN = "opskit: "
_PAUSE_S = 0.5
_READY_S = 60.0
"""How long a database that runs may take to answer."""


class RunHook(Step, frozen=True, kw_only=True, tag="run-hook"):
    """Set the new password in the database; stands between creating and switching.

    On the way back it is undone once the services mount the old version again.

    After a crash the new value is known to the swarm only, which does not tell. Nothing uses it
    yet, so it is replaced by another one under the same name, and the database is told that one.
    Where the password store has the value, it is taken from there. `policy` says how a value is
    made, ``None`` when the operator gave it; `entry` is the store's, empty without a store; `kept`
    is what the new version has of the one before.
    """

    hook: HookSpec
    service: str
    service_id: str
    file: str
    old_id: str
    swarm_name: str
    policy: PlannedPolicy | None
    entry: str = ""
    preserved: Preserved = msgspec.field(default=Preserved(), name="kept")
    timeout: float

    def subject(self) -> str:
        """Name the service."""
        return self.service

    def calls(self) -> list[str]:
        """Show where the hook runs; the value is never part of it."""
        who = f" for {self.hook.user}" if self.hook.user else ""
        what = " ".join(self.hook.program) or f"sets the password{who}"
        return [
            f"POST /containers/({self.service})/exec {self.hook.kind} hook: {what} "
            f"({self.swarm_name} on stdin)"
        ]

    def longest_wait(self) -> float:
        """Return the time it has."""
        return min(_READY_S, self.timeout)

    def do(self, ctx: StepContext) -> Detail:
        """Set the new password, once or again."""
        value = self._value(ctx)
        _check_line(value, self.swarm_name)
        self._run(ctx, "set", value.reveal() + b"\n", min(_READY_S, self.timeout))
        return {}

    def undo(self, ctx: StepContext) -> Detail:
        """Set the password that the mounted old version holds."""
        self._run(ctx, "restore", b"", self.timeout)
        return {}

    def _value(self, ctx: StepContext) -> Secret:
        if self.swarm_name in ctx.values:
            return ctx.values[self.swarm_name]
        staged = staged_value(ctx, self.entry)
        if staged is not None:
            return staged
        if self.policy is None:
            raise StepError(
                f"the value of {self.swarm_name} was given before a crash and cannot be read "
                "back. Insert it again."
            )
        there = ctx.patiently(lambda: stored(ctx.engine, self.swarm_name))
        create = CreateSecret(
            swarm_name=self.swarm_name,
            policy=self.policy,
            preserved=self.preserved,
            replaces=replaced_by(there) if there else (),
        )
        if there is not None and made_by(there, ctx.run):
            create.undo(ctx)
        if create.do(ctx)["found"]:
            raise StepError(
                f"the value of {self.swarm_name} was lost in a crash, and others need it by now. "
                f"Roll this run back ({ctx.run}) and rotate to a new version."
            )
        return ctx.values[self.swarm_name]

    def _run(self, ctx: StepContext, action: Action, stdin: bytes, patience: float) -> None:
        with put_right_if_lost(ctx, self._put_right):
            self._execute(ctx, action, stdin, patience)

    def _execute(self, ctx: StepContext, action: Action, stdin: bytes, patience: float) -> None:
        # Setting the same password twice is harmless, so whatever may pass is tried again.
        arguments = container_command(self.hook, action, self.file)
        why = "the server did not answer"
        for _ in _until(ctx, patience):
            try:
                container = self._container(ctx, self.service_id, self.old_id)
                if container is None:
                    why = "no task of it runs with the old version mounted"
                    continue
                ended = ctx.engine.execute(container, arguments, stdin)
                ctx.ask_lock()
            except (*TRANSIENT, NotFoundError) as error:
                why = str(error)
                continue
            if ended.code == 0:
                return
            why = complaint(ended.stderr)
            if ended.code != _TRY_LATER:
                break
        done = "set the new password" if action == "set" else "bring back the old password"
        raise StepError(
            f"the {self.hook.kind} hook in {self.service} on {ctx.engine.server} could not "
            f"{done}: {why.rstrip('.')}."
        )

    def _put_right(self, ctx: StepContext) -> str:
        """Give the database what its service mounts now, as the hook may have come too late."""
        now = f"the password that {self.service} mounts now"
        try:
            with ctx.hold().anew(ctx):
                there = {one.spec.name: one for one in ctx.engine.services()}[self.service]
                container = self._container(ctx, there.id, "")
                if container is None:
                    raise StepError("no task of it runs.")
                arguments = container_command(self.hook, "restore", self.file)
                ended = ctx.engine.execute(container, arguments, b"")
                if ended.code:
                    raise StepError(complaint(ended.stderr))
        except (OpskitError, KeyError) as error:
            why = "it is gone" if isinstance(error, KeyError) else str(error)
            return (
                f"Its database may have another password than {now}, and could not be given that: "
                f"{why.rstrip('.')}. Rotate the secret once more."
            )
        return f"Its database was given {now}, as the hook may have set another."

    def _container(self, ctx: StepContext, service_id: str, mounted: str) -> str | None:
        """Find a running container of a service that mounts a version, or any."""
        nodes = {
            task.id: task.node_id
            for task in ctx.engine.tasks(service_id)
            if _is_right(task, mounted)
        }
        found = ctx.engine.containers(service_id)
        mine = [container.id for container in found if container.task_id in nodes]
        # One of this node may have ended since Swarm heard of it, and is made anew.
        if nodes and not mine and ctx.engine.info().swarm.node_id not in nodes.values():
            raise StepError(
                f"{self.service} runs on another node of {ctx.engine.server}'s swarm, whose "
                "containers cannot be reached from the manager."
            )
        return mine[0] if mine else None


def _is_right(task: model.Task, mounted: str) -> bool:
    container = task.spec.container_spec
    there = {reference.secret_id for reference in (container and container.secrets) or ()}
    return (
        (not mounted or mounted in there)
        and task.status.state == "running"
        and task.desired_state == "running"
    )


def _until(ctx: StepContext, seconds: float) -> Iterator[None]:
    """Yield turns until the time is up, with a pause between."""
    until = time.monotonic() + seconds
    yield
    while time.monotonic() < until:
        ctx.keep_lock()
        ctx.wait(_PAUSE_S)
        yield


def _check_line(value: Secret, name: str) -> None:
    """Refuse what a program that reads a password from a line would not read as it is."""
    try:
        fit = value.reveal().decode().isprintable()
    except UnicodeDecodeError:
        fit = False
    if not fit:
        raise StepError(
            f"{name} cannot be a database password: it is not one line of printable text."
        )


def container_command(hook: HookSpec, action: Action, file: str) -> tuple[str, ...]:
    """Return what to run in the container whose mounted `file` holds the old password."""
    script = _script("common") + _script(hook.kind)
    return ("sh", "-c", script, "opskit-hook", action, file, hook.user, *hook.program)


@cache
def _script(name: str) -> str:
    return (files("opskit.steps") / "scripts" / f"{name}.sh").read_text()


def complaint(stderr: bytes) -> str:
    """Return what a script says to the operator; nothing else of its output may be shown."""
    lines = stderr.decode(errors="replace").splitlines()
    said = [line.removeprefix(_SHOWN) for line in lines if line.startswith(_SHOWN)]
    return said[-1] if said else "it ended without saying why."
