"""The faults themselves; each returns whether it struck, and ends by itself or when healed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Lock, Thread

from opskit.errors import OpskitError
from tests.chaos.story import Fault, Trouble
from tests.chaos.world import CLONED, World
from tests.disk import Disk
from tests.waiting import eventually, linger

_SLOW_S = 0.15
_HOUR = 3600


class Faults:
    """Lets faults strike the world beside whatever goes on, and heals it.

    `edits` are the lines that were added to files by hand, by app; each is to stay. `failures`
    say which fault could not be ended.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._running: list[Thread] = []
        self._broken = {server: Lock() for server in world.fleet.daemons}
        self.struck: list[Trouble] = []
        self.edits: dict[str, list[str]] = {}
        self.failures: list[str] = []

    def strike(self, fault: Fault) -> None:
        """Let one strike now."""
        thread = Thread(target=self._strike, args=(fault,), daemon=True)
        self._running.append(thread)
        thread.start()

    def heal(self) -> None:
        """Wait for those that end by themselves, and end all others."""
        for thread in self._running:
            thread.join()
        self._running.clear()
        assert not self.failures, self.failures
        for operator in self._world.operators.values():
            operator.clock.set(0)
            for relay in operator.relays.values():
                relay.delay, relay.silent = 0.0, False
        for server in self._world.fleet.daemons:
            eventually(
                lambda server=server: self._world.docker(server, "node", "ls"),
                f"the swarm of {server} to be back",
                lambda asked: asked.returncode == 0 and "Ready" in asked.stdout,
            )

    def _strike(self, fault: Fault) -> None:
        how: Mapping[Trouble, Callable[[Fault], bool]] = {
            "sshd killed": self._kill_sshd,
            "dockerd killed": self._kill_dockerd,
            "dockerd frozen": self._freeze_dockerd,
            "line silent": self._silence,
            "line slow": self._slow_down,
            "state disk full": lambda one: _full(
                self._world.operators[one.operator].state, one.seconds
            ),
            "apps disk full": self._fill_apps,
            "edited .env": self._edit_env,
            "edited service": self._edit_service,
            "clock forward": lambda one: self._set_clock(one, 1),
            "clock back": lambda one: self._set_clock(one, -1),
        }
        try:
            if how[fault.trouble](fault):
                self.struck.append(fault.trouble)
        except Exception as error:  # noqa: BLE001 (raised when the round is over)
            self.failures.append(f"{fault.trouble} of {fault.server}: {error}")

    def _kill_sshd(self, fault: Fault) -> bool:
        with self._broken[fault.server]:
            self._world.fleet.cut(fault.server)
            linger(fault.seconds)
            self._world.fleet.mend(fault.server)
        return True

    def _kill_dockerd(self, fault: Fault) -> bool:
        self.kill_dockerd(fault.server, fault.seconds / 4)
        return True

    def kill_dockerd(self, server: str, seconds: float = 0.0) -> None:
        """Kill an engine, and start it again after so long."""
        daemon = self._world.fleet.daemons[server]
        with self._broken[server]:
            daemon.kill()
            linger(seconds)
            for last in (False, False, True):
                daemon.launch()
                try:
                    daemon.wait()
                    return
                except OpskitError:
                    # It gives containerd fifteen seconds, which a busy machine may not.
                    daemon.stop()
                    if last:
                        raise

    def _freeze_dockerd(self, fault: Fault) -> bool:
        daemon = self._world.fleet.daemons[fault.server]
        with self._broken[fault.server]:
            daemon.pause()
            linger(fault.seconds)
            daemon.go_on()
        return True

    def _silence(self, fault: Fault) -> bool:
        relay = self._world.operators[fault.operator].relays[fault.server]
        relay.silent = True
        linger(fault.seconds)
        relay.silent = False
        return True

    def _slow_down(self, fault: Fault) -> bool:
        self._world.operators[fault.operator].relays[fault.server].delay = _SLOW_S
        return True

    def _fill_apps(self, fault: Fault) -> bool:
        cloned = fault.server in CLONED
        operator = self._world.operators[fault.operator]
        return _full(operator.clones if cloned else self._world.shared, fault.seconds)

    def _edit_env(self, fault: Fault) -> bool:
        operator = self._world.operators[fault.operator]
        path = operator.env_file(fault.app)
        line = f"# edited by hand {fault.number}\n"
        until = time.monotonic() + 5
        while time.monotonic() < until:
            # As opskit may have replaced the file between opening and writing it.
            try:
                with path.open("ab", buffering=0) as file:
                    file.write(line.encode())
                if line.encode() in path.read_bytes():
                    break
            except OSError:
                linger(0.1)
        else:
            return False
        self.edits.setdefault(fault.app.name, []).append(line.strip())
        return True

    def _edit_service(self, fault: Fault) -> bool:
        mounts = fault.app.recipe.mounts
        service = f"{fault.app.stack}_{mounts[fault.choice % len(mounts)].service}"
        change = ["--label-add", f"by-hand={fault.number}"]
        if fault.choice % 3 == 0:
            change = ["--env-add", f"BY_HAND={fault.number}"]
        asked = self._world.docker(
            fault.app.server, "service", "update", "--detach", "--quiet", *change, service
        )
        return asked.returncode == 0

    def _set_clock(self, fault: Fault, way: int) -> bool:
        seconds = way * (fault.choice % (3 * _HOUR) + 10)
        self._world.operators[fault.operator].clock.set(seconds)
        return True


def _full(disk: Disk, seconds: float) -> bool:
    try:
        disk.fill()
        linger(seconds)
        disk.drain()
    except FileNotFoundError:
        # Another fault has filled it too, and drained it meanwhile.
        return False
    return True
