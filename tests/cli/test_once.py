"""Values shown once, in a real terminal, and nowhere else."""

from __future__ import annotations

import base64
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from dataclasses import dataclass, field
from fcntl import ioctl
from pathlib import Path

import pytest

from opskit.demo.engine import Swarm
from tests.conftest import embedded
from tests.secrets.canary import leaks
from tests.stage import APP, SERVER, Stage, staged
from tests.waiting import LIMIT

pytestmark = pytest.mark.slow

GO_ON = "Press any key"
CLEAR = "\x1b[2J"
OTHER, BACK = "\x1b[?1049h", "\x1b[?1049l"
QUICK = ("--stable", "0", "--yes")


@dataclass
class Fixture:
    """A stage whose engine's values the test may look at."""

    stage: Stage
    swarm: Swarm

    def values(self) -> dict[str, str]:
        """Give what the engine stores, as mounted files would have it, by the secret's name."""
        stored = self.swarm.secrets
        return {one.spec.name: (stored.value(one.id) or b"").decode() for one in stored}

    def value(self, name: str) -> str:
        return self.values()[f"{self.stage.stack}_{name}"]


@pytest.fixture
def swarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fixture]:
    swarm = Swarm("shown")
    with embedded(tmp_path / "docker.sock", swarm) as host:
        for stage in staged(tmp_path, host, monkeypatch):
            stage.write_files()
            yield Fixture(stage, swarm)


@dataclass
class Terminal:
    """A program in a terminal of its own, and all that it wrote there."""

    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    rows: int = 24
    written: str = ""

    def __post_init__(self) -> None:
        self.terminal, inside = pty.openpty()
        ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", self.rows, 80, 0, 0))
        # A key that comes too early would be echoed into the midst of what is being written.
        modes = termios.tcgetattr(inside)
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(inside, termios.TCSANOW, modes)
        self.program = subprocess.Popen(
            [sys.executable, "-m", "opskit", *self.arguments],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
            # Its size is its own, not that of the terminal that the tests run in.
            env={k: v for k, v in os.environ.items() if k not in ("LINES", "COLUMNS")}
            | {"TERM": "xterm-256color"}
            | self.environment,
        )
        os.close(inside)

    def until(self, text: str, times: int = 1) -> None:
        while self.written.count(text) < times:
            assert self.read(), self.written

    def read(self, seconds: float = LIMIT) -> bool:
        ready, _, _ = select.select([self.terminal], [], [], seconds)
        assert ready or seconds < LIMIT, f"nothing came any more after {self.written!r}"
        try:
            read = os.read(self.terminal, 65536) if ready else b""
        except OSError:  # how Linux says that nobody writes there any more
            return False
        self.written += read.decode()
        return bool(read)

    def press(self, key: str = " ") -> None:
        """Press a key until something happens: what is typed too early does not count."""
        seen = self.written.count(CLEAR)
        while self.written.count(CLEAR) == seen:
            os.write(self.terminal, key.encode())
            self.read(0.2)

    def end(self) -> int:
        while self.read():
            pass
        os.close(self.terminal)
        return self.program.wait()

    @property
    def stays(self) -> str:
        """What is in the terminal and its scrollback afterwards."""
        return re.sub(f"{re.escape(OTHER)}.*?{re.escape(BACK)}", "", self.written, flags=re.DOTALL)


def nowhere(root: Path, value: str) -> None:
    """Look for a value in every file that is left."""
    files = [path for path in root.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if leaks(path.read_text(errors="replace"), value)]


def test_what_was_generated_is_seen_once_and_leaves_nothing(swarm: Fixture) -> None:
    shown = Terminal(("secret", "generate", APP, "--all", "--show", "--yes"))
    shown.until(GO_ON)
    shown.press()
    shown.until(GO_ON, 2)
    shown.press()
    assert shown.end() == 0, shown.written

    for name in ("token_v1", "key_v1"):
        value = swarm.value(name)
        assert shown.written.count(value) == 1
        assert f"{SERVER}  {swarm.stage.stack}_{name}" in shown.written
        assert not leaks(shown.stays, value)
        nowhere(swarm.stage.root, value)
    # The run is over, and told on the screen that stays.
    assert ": done (stacks: 1 done)" in shown.stays
    assert shown.written.index(GO_ON) < shown.written.index(": done (stacks: 1 done)")
    # Cleared before it is left: a terminal may have no second screen.
    assert f"{CLEAR}\x1b[H{BACK}" in shown.written


@pytest.mark.parametrize("variable", ["FORCE_COLOR=", "TTY_COMPATIBLE=0"])
def test_no_variable_keeps_values_in_the_scrollback(swarm: Fixture, variable: str) -> None:
    name, _, text = variable.partition("=")
    arguments = ("secret", "generate", APP, "token", "--show", "--yes")
    shown = Terminal(arguments, {name: text})
    shown.until(GO_ON)
    shown.press()
    assert shown.end() == 0, shown.written
    value = swarm.value("token_v1")
    assert shown.written.count(value) == 1
    assert not leaks(shown.stays, value)
    assert f"{CLEAR}\x1b[H{BACK}" in shown.written


def test_only_what_this_run_made_is_shown(swarm: Fixture) -> None:
    stage = swarm.stage
    stage.create("token_v1", "key_v1")
    stage.deploy("app", ["token", "key"])
    stage.wait_until_converged()
    shown = Terminal(("secret", "rotate", APP, "token", "--show", *QUICK))
    shown.until(GO_ON)
    shown.press("\x03")
    assert shown.end() == 0, shown.written
    assert ": done (stacks: 1 done)" in shown.stays
    assert shown.written.count(swarm.value("token_v2")) == 1
    assert not leaks(shown.stays, swarm.value("token_v2"))
    assert "good key_v1" not in shown.written
    nowhere(stage.root, swarm.value("token_v2"))


def test_a_new_app_may_show_its_values(swarm: Fixture) -> None:
    new = ("app", "new", "shop", "-s", SERVER, "--domain", "new.example", "--chaos", "--yes")
    recipe = swarm.stage.root / "abra" / "recipes" / "shop"
    (recipe / ".env.sample").write_text(
        "TYPE=shop\nDOMAIN=x\nSECRET_TOKEN_VERSION=v1\nSECRET_KEY_VERSION=v1 # length=2000\n"
    )
    refused = Terminal((*new, "--show"))
    assert refused.end() == 2
    assert "--show is about the secrets" in refused.written

    shown = Terminal((*new, "--secrets", "--show"), rows=16)
    parts = 1 + -(-2000 // (80 * 10))
    for number in range(1, parts + 1):
        shown.until(GO_ON, number)
        shown.press()
    assert shown.end() == 0, shown.written
    assert len(swarm.values()) == 2
    for value in swarm.values().values():
        seen = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]|[\r\n]", "", shown.written)
        seen = re.sub(rf"{GO_ON}[^.]*nowhere again\.|{SERVER}  \S+ \(\d of \d\)", "", seen)
        assert value in seen
        assert not leaks(shown.stays, value)


def test_what_is_no_text_steers_no_terminal(swarm: Fixture) -> None:
    command = "printf '\\033]0;pwned\\007 and more'"
    shown = Terminal(("secret", "generate", APP, "key", "--command", command, "--show", "--yes"))
    shown.until(GO_ON)
    shown.press()
    assert shown.end() == 0, shown.written
    assert "\x1b]0;" not in shown.written
    assert base64.b64encode(b"\x1b]0;pwned\x07 and more").decode() in shown.written
    assert "_key_v1, in base64" in shown.written


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"JPY_PARENT_PID": "1"}, "this one is a notebook's"),
        ({"TERM": "dumb"}, "TERM=dumb names none that can be cleared"),
    ],
)
def test_a_terminal_that_keeps_what_is_written_is_refused(
    swarm: Fixture, environment: dict[str, str], why: str
) -> None:
    refused = Terminal(("secret", "generate", APP, "--all", "--show", "--yes"), environment)
    assert refused.end() == 2
    assert why in refused.written
    assert swarm.values() == {}


@pytest.mark.parametrize("command", [("generate", APP, "--all"), ("rotate", APP, "token")])
def test_without_a_terminal_nothing_is_planned(
    swarm: Fixture, command: tuple[str, ...], tmp_path: Path
) -> None:
    """As in a pipe, with a file, or from cron: before a server is asked."""
    swarm.stage.point_at("unix:///nowhere")
    arguments = [sys.executable, "-m", "opskit", "secret", *command, "--show", "--yes"]
    with (tmp_path / "log").open("w") as log:
        for output in (subprocess.PIPE, log):
            ended = subprocess.run(
                arguments, check=False, stdout=output, stderr=subprocess.PIPE, text=True,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
            assert ended.returncode == 2
            assert "--show needs a terminal that somebody looks at, and standard output is" in (
                ended.stderr
            )
    # Only its input is none: nobody could press a key.
    terminal, inside = pty.openpty()
    ended = subprocess.run(
        arguments, check=False, stdout=inside, stderr=subprocess.PIPE, text=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(inside)
    os.close(terminal)
    assert ended.returncode == 2
    assert "standard input is none" in ended.stderr
