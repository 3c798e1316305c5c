"""A database as the embedded engine plays it: it keeps a password and obeys the hook scripts."""

from __future__ import annotations

from dataclasses import dataclass, field

from opskit.demo.engine import Swarm
from opskit.demo.engine.execs import Command, Outcome

OLD = b"good token_v1"
"""What the stage stores at first."""


@dataclass(slots=True)
class Database:
    """What the programs in its container did to it; `refuses` is what it says to them instead."""

    swarm: Swarm
    password: bytes = OLD
    ran: list[tuple[str, ...]] = field(default_factory=list)
    refuses: list[tuple[int, str]] = field(default_factory=list)

    def execute(self, command: Command) -> Outcome:
        action, file = command.argv[4:6]
        self.ran.append(command.argv[4:])
        assert not any(self.password in word.encode() for word in command.argv)
        if self.refuses:
            code, text = self.refuses.pop(0)
            return Outcome(code=code, stderr=b"noise with a password\nopskit: " + text.encode())
        self.password = command.files[file] if action == "restore" else command.stdin[:-1]
        return Outcome()

    def value_of(self, name: str) -> bytes | None:
        """Give what the swarm holds under a name, as only a container could read it."""
        found = [secret.id for secret in self.swarm.secrets if secret.spec.name == name]
        return self.swarm.secrets.value(found[0]) if found else None
