"""The world of a campaign: real swarms behind ssh, two operators, their files, their apps.

One folder of apps is shared by both, as on one administration host; another is a git repository
that each has a clone of. Whatever can run full is a small disk of its own.
"""

from __future__ import annotations

import os
import shlex
import shutil
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import write_contexts
from tests.chaos import recipes
from tests.chaos.operator import Command, Desk
from tests.chaos.recipes import RECIPES, Recipe, git
from tests.chaos.relay import Relay
from tests.disk import Disk

CANARY = "c4n4ry-V4lue-"
"""Begins every value that the campaign makes up."""
SERVERS = ("srv1", "srv2", "srv3")
CLONED = ("srv3",)
"""Servers whose folder each operator has a clone of."""
OPERATORS = ("kim", "lee")


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An app of the campaign."""

    server: str
    recipe: Recipe

    @property
    def name(self) -> str:
        """Its name, as opskit takes it."""
        return f"{self.recipe.name}.{self.server}.example"

    @property
    def stack(self) -> str:
        """Its stack."""
        return f"{self.recipe.name}_{self.server}"


APPS = tuple(App(server=server, recipe=recipe) for server in SERVERS for recipe in RECIPES.values())


class Clock:
    """An operator's clock, which may be set forward and back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set(0)

    def set(self, seconds: int) -> None:
        """Let it be off by so many seconds."""
        with self.path.open("r+b" if self.path.exists() else "wb") as file:
            file.write(struct.pack("l", seconds))


@dataclass(slots=True, kw_only=True)
class Operator:
    """One of the two: a home, a state, a way to each server."""

    name: str
    home: Path
    clock: Clock
    state: Disk
    clones: Disk
    relays: dict[str, Relay]
    env: dict[str, str] = field(default_factory=dict[str, str])

    def servers(self, server: str) -> Path:
        """Return the folder of a server's apps, as this operator has it."""
        return self.home / "abra" / "servers" / server

    def env_file(self, app: App) -> Path:
        """Return an app's ``.env``, as this operator has it."""
        return self.servers(app.server) / f"{app.name}.env"


class World:
    """Everything there is, in a folder that the campaign's own /tmp holds."""

    def __init__(self) -> None:
        self.fleet = DockerdFleet(len(SERVERS), ssh=True)
        self.shared = Disk(path=Path())
        self.operators: dict[str, Operator] = {}
        self.can_shift_clocks = False

    def start(self) -> None:
        """Start the swarms and make the operators at home."""
        self.fleet.start()
        self.root = self.fleet.root
        library = self._clock_library()
        self.can_shift_clocks = library is not None
        self.said = self.root / "said"
        self.ledger = self.root / "ledger"
        self.values = self.root / "values"
        for folder in (self.said, self.ledger, self.values, self.root / "tools"):
            folder.mkdir()
        self.shared = _disk(self.root / "shared", "4m")
        recipes.write(self.root / "recipes")
        self._write_apps()
        self._write_tools()
        for name in OPERATORS:
            self.operators[name] = self._operator(name)
        self.desk = Desk(self.root, library)

    def stop(self) -> None:
        """Stop all of it."""
        if hasattr(self, "desk"):
            self.desk.close()
        self.fleet.stop()

    def command(self, operator: str, argv: list[str], said: str, **env: str) -> Command:
        """Return what an operator types, and where its output goes."""
        who = self.operators[operator]
        return Command(
            argv=argv,
            env={**who.env, **env},
            clock=str(who.clock.path) if self.can_shift_clocks else "",
            said=str(self.said / said),
        )

    def docker(self, server: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Ask a server by docker's own command, on the spot."""
        command = ["docker", "-H", self.fleet.host(server), *arguments]
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    def generator(self, number: int) -> str:
        """Return the command that makes up values for an operation, and notes them."""
        return shlex.join([str(self.root / "tools" / "make"), str(number)])

    def editor(self, number: int) -> str:
        """Return the command that adds an operation's line to a file."""
        return shlex.join([str(self.root / "tools" / "edit"), str(number)])

    def value(self, number: int, *, bad: bool = False) -> Path:
        """Write the value that an operation inserts, and return its file."""
        path = self.values / str(number)
        path.write_text(f"{CANARY}{number}-{recipes.BAD if bad else os.urandom(12).hex()}")
        return path

    # -- making it ------------------------------------------------------------------------

    def _clock_library(self) -> Path | None:
        compiler = shutil.which("cc")
        if compiler is None:
            return None
        library = self.root / "clock.so"
        source = Path(__file__).with_name("clock.c")
        command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(source)]
        made = subprocess.run(command, check=False, capture_output=True)
        return library if made.returncode == 0 else None

    def _write_apps(self) -> None:
        for server in SERVERS:
            folder = self.shared.path / server
            folder.mkdir()
            for app in APPS:
                if app.server == server:
                    text = app.recipe.env(app.name, app.stack)
                    (folder / f"{app.name}.env").write_bytes(text.encode())
        for server in CLONED:
            folder = self.shared.path / server
            git(folder, "init", "-q", "-b", "main")
            git(folder, "add", "--all")
            git(folder, "commit", "-q", "-m", "Begin")
            git(self.root, "clone", "-q", "--bare", str(folder), str(self.origin(server)))
            shutil.rmtree(folder)

    def origin(self, server: str) -> Path:
        """Return the repository that both operators push to."""
        return self.root / f"{server}.git"

    def _write_tools(self) -> None:
        for name, text in _TOOLS.items():
            path = self.root / "tools" / name
            path.write_text(text.format(ledger=self.ledger, canary=CANARY))
            path.chmod(0o755)

    def _operator(self, name: str) -> Operator:
        home = self.root / name
        (home / "abra" / "servers").mkdir(parents=True)
        (home / "tmp").mkdir()
        (home / "abra" / "recipes").symlink_to(self.root / "recipes")
        made = Operator(
            name=name,
            home=home,
            clock=Clock(self.root / f"{name}.clock"),
            state=_disk(home / "state", "64m"),
            clones=_disk(home / "clones", "32m"),
            relays={server: Relay(self.fleet.sshds[server].port) for server in SERVERS},
        )
        for server in SERVERS:
            folder = self.shared.path / server
            if server in CLONED:
                folder = made.clones.path / server
                git(home, "clone", "-q", str(self.origin(server)), str(folder))
            made.servers(server).symlink_to(folder)
        self._write_ssh(made)
        write_contexts(home / "docker", {server: f"ssh://{server}" for server in SERVERS})
        config = home / "config" / "opskit"
        config.mkdir(parents=True)
        (config / "config.toml").write_text("deadline = 60\n")
        made.env.update(_environment(made))
        return made

    def _write_ssh(self, operator: Operator) -> None:
        keys, folder = self.root / "ssh", operator.home / "ssh"
        folder.mkdir()
        known, config = folder / "known_hosts", folder / "config"
        hosts: list[str] = []
        lines: list[str] = []
        for server in SERVERS:
            port = operator.relays[server].port
            kind, key, *_ = (keys / server / "host_key.pub").read_text().split()
            lines.append(f"[127.0.0.1]:{port} {kind} {key}\n")
            hosts.append(
                f"Host {server}\n  HostName 127.0.0.1\n  Port {port}\n  User root\n"
                f"  IdentityFile {keys / 'id'}\n  IdentitiesOnly yes\n"
                f"  UserKnownHostsFile {known}\n\n"
            )
        known.write_text("".join(lines))
        config.write_text("".join(hosts))
        wrapper = operator.home / "bin" / "ssh"
        wrapper.parent.mkdir()
        # OpenSSH takes the home folder from the password file and not from HOME.
        wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
        wrapper.chmod(0o755)


_TOOLS: Mapping[str, str] = {
    "make": (
        "#!/bin/sh\n"
        "value={canary}$1-$(od -An -N12 -tx1 /dev/urandom | tr -d ' \\n')\n"
        'echo "$value" >> {ledger}/$1\nprintf %s "$value"\n'
    ),
    "edit": '#!/bin/sh\nprintf \'NOTE_%s=by config\\n\' "$1" >> "$2"\n',
}


def _environment(operator: Operator) -> dict[str, str]:
    home, name = operator.home, operator.name
    return {
        "HOME": str(home),
        "USER": name,
        "LOGNAME": name,
        "LANG": "C.UTF-8",
        "COLUMNS": "250",
        "TMPDIR": str(home / "tmp"),
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "ABRA_DIR": str(home / "abra"),
        "DOCKER_CONFIG": str(home / "docker"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "OPSKIT_STATE_DIR": str(operator.state.path),
        **{f"GIT_{who}_NAME": name for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": f"{name}@test.example" for who in ("AUTHOR", "COMMITTER")},
    }


def _disk(path: Path, size: str) -> Disk:
    path.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "opskit-chaos", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return Disk(path=path)
