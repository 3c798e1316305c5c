"""Commands run inside a task's container, as far as a credential hook needs them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from opskit.demo.engine.objects import Json, Refusal, hex_id
from opskit.demo.engine.services import Task
from opskit.demo.engine.specs import shape_of
from opskit.demo.engine.state import Swarm


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command to run: where, what, and what it finds there."""

    service: str
    argv: tuple[str, ...]
    environment: tuple[str, ...] = ()
    user: str = ""
    stdin: bytes = field(default=b"", repr=False)
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes], repr=False)
    """The mounted secrets and configs by path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a command came to."""

    code: int = 0
    stdout: bytes = field(default=b"", repr=False)
    stderr: bytes = field(default=b"", repr=False)


Execute = Callable[[Command], Outcome]
"""Decides what a command comes to."""

_HOOK = "opskit-hook"
"""What the scripts of `opskit.steps.hook` are called."""


class ExecRequest(msgspec.Struct, kw_only=True, rename="pascal"):
    """The body of a request to prepare a command."""

    cmd: list[str] = []
    env: list[str] | None = None
    user: str = ""
    attach_stdin: bool = False
    tty: bool = False


@dataclass(slots=True, kw_only=True)
class Exec:
    """A prepared command, and how it ended once it was run."""

    id: str
    task: Task
    request: ExecRequest
    code: int | None = None
    started: bool = False

    def describe(self) -> Json:
        """Return what the engine tells of it."""
        program, *arguments = self.request.cmd
        return {
            "ID": self.id,
            "Running": self.started and self.code is None,
            "ExitCode": self.code,
            "ProcessConfig": {
                "tty": self.request.tty,
                "entrypoint": program,
                "arguments": arguments,
                "privileged": False,
            },
            "OpenStdin": self.request.attach_stdin,
            "OpenStderr": True,
            "OpenStdout": True,
            "CanRemove": False,
            "ContainerID": self.task.container_id,
            "DetachKeys": "",
            "Pid": 1 if self.started else 0,
        }


class ExecTable:
    """The commands prepared on one server.

    Parameters
    ----------
    swarm
        The server's state.
    execute
        Decides what a command comes to.
    """

    def __init__(self, swarm: Swarm, execute: Execute) -> None:
        self._swarm, self._execute = swarm, execute
        self._execs: dict[str, Exec] = {}

    def create(self, task: Task, request: ExecRequest) -> Exec:
        """Prepare a command in a running task's container."""
        if not request.cmd:
            raise Refusal(400, "No exec command specified")
        one = Exec(id=hex_id(), task=task, request=request)
        self._execs[one.id] = one
        return one

    def find(self, ident: str) -> Exec:
        """Find a prepared command, or refuse with 404."""
        if ident not in self._execs:
            raise Refusal(404, f"No such exec instance: {ident}")
        return self._execs[ident]

    def run(self, one: Exec, stdin: bytes) -> Outcome:
        """Run a prepared command; it can be run once."""
        if one.started:
            raise Refusal(409, f"Error: Exec command {one.id} has already run")
        one.started = True
        service = self._swarm.services.find(one.task.service_id)
        outcome = self._execute(
            Command(
                service=shape_of(service.spec).name,
                argv=tuple(one.request.cmd),
                environment=tuple(one.request.env or ()),
                user=one.request.user,
                stdin=stdin,
                files=self._files(one.task),
            )
        )
        one.code = outcome.code
        return outcome

    def _files(self, task: Task) -> dict[str, bytes]:
        # A task keeps what it was started with, whatever the service's spec says by now.
        wrapped = {"Name": "", "TaskTemplate": msgspec.json.decode(task.spec)}
        container = shape_of(msgspec.Raw(msgspec.json.encode(wrapped))).container
        found: dict[str, bytes] = {}
        for folder, table, references in (
            ("/run/secrets/", self._swarm.secrets, container.secrets),
            ("/", self._swarm.configs, container.configs),
        ):
            for reference in references:
                value = table.value(reference.id)
                if reference.file is not None and value is not None:
                    name = reference.file.name
                    found[name if name.startswith("/") else folder + name] = value
        return found


def shell_words(command: Command) -> Outcome:
    """Run a few words of a shell: ``cat``, ``echo``, ``true``, ``false``, ``exit``, ``sh -c``.

    A credential hook's script is none of them: its database takes every password.
    """
    program, *arguments = command.argv
    match program:
        case "sh" if arguments[2:3] == [_HOOK]:
            return _told(command, *arguments[3:])
        case "true" | "false":
            return Outcome(code=int(program == "false"))
        case "exit":
            return Outcome(code=int(arguments[0]) if arguments else 0)
        case "echo":
            return Outcome(stdout=f"{' '.join(arguments)}\n".encode())
        case "cat":
            return _cat(arguments, command)
        case "sh" if arguments[:1] == ["-c"] and len(arguments) > 1:
            return _script(arguments[1], command)
        case _:
            text = (
                "OCI runtime exec failed: exec failed: unable to start container process: "
                f'exec: "{program}": executable file not found in $PATH: unknown\r\n'
            )
            return Outcome(code=126, stdout=text.encode())


def _told(command: Command, _action: str, file: str, _user: str, *program: str) -> Outcome:
    """Return what a hook comes to: that of its program, or of a database that mounts the file."""
    if program:
        return shell_words(replace(command, argv=program))
    return Outcome(code=int(file not in command.files))


def _cat(paths: list[str], command: Command) -> Outcome:
    if not paths:
        return Outcome(stdout=command.stdin)
    found = b"".join(command.files.get(path, b"") for path in paths)
    missing = [path for path in paths if path not in command.files]
    text = "".join(f"cat: can't open '{path}': No such file or directory\n" for path in missing)
    return Outcome(code=int(bool(missing)), stdout=found, stderr=text.encode())


def _script(script: str, command: Command) -> Outcome:
    stdout = stderr = b""
    code = 0
    for line in script.replace("\n", ";").split(";"):
        try:
            words = shlex.split(line)
        except ValueError as error:
            return Outcome(code=2, stdout=stdout, stderr=stderr + f"sh: {error}\n".encode())
        if not words:
            continue
        part = shell_words(replace(command, argv=tuple(words)))
        stdout, stderr, code = stdout + part.stdout, stderr + part.stderr, part.code
        if words[0] == "exit":
            break
    return Outcome(code=code, stdout=stdout, stderr=stderr)
