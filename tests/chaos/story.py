"""What happens in a round, drawn from the seed alone: who does what, and what befalls whom.

Nothing here looks at the world, so that the same seed draws the same operations and faults. What
comes of them may still differ: processes run side by side.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from tests.chaos.operator import LOCK_SECONDS
from tests.chaos.recipes import RELEASES
from tests.chaos.world import APPS, CLONED, OPERATORS, SERVERS, App

Verb = Literal[
    "rotate", "rotate-all", "rotate-stack", "rotate-where", "insert", "insert-bad", "generate",
    "remove", "prune", "prune-all", "deploy", "deploy-version", "upgrade", "restart", "undeploy",
    "config", "rollback",
]  # fmt: skip
_VERBS: dict[Verb, int] = {
    "rotate": 10, "rotate-all": 6, "rotate-stack": 3, "rotate-where": 2, "insert": 8,
    "insert-bad": 3, "generate": 3, "remove": 2, "prune": 6, "prune-all": 1, "deploy": 6,
    "deploy-version": 8, "upgrade": 4, "restart": 4, "undeploy": 3, "config": 4, "rollback": 5,
}  # fmt: skip

Strike = Literal["kill", "kill with all its programs", "stop", "stop beyond the lock's life"]
_STRIKES: dict[Strike, int] = {
    "kill": 4, "kill with all its programs": 2, "stop": 2, "stop beyond the lock's life": 3,
}  # fmt: skip
_STRUCK = 0.25
"""The part of operations whose process is struck."""

Trouble = Literal[
    "sshd killed", "dockerd killed", "dockerd frozen", "line silent", "line slow",
    "state disk full", "apps disk full", "edited .env", "edited service", "clock forward",
    "clock back",
]  # fmt: skip
_TROUBLES: dict[Trouble, int] = {
    "sshd killed": 4, "dockerd killed": 2, "dockerd frozen": 2, "line silent": 2, "line slow": 4,
    "state disk full": 3, "apps disk full": 3, "edited .env": 5, "edited service": 5,
    "clock forward": 2, "clock back": 2,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """What befalls the process of an operation, `after` seconds after it began its n-th step.

    Steps are counted, and not seconds from its start, so that a busy machine moves nothing. It
    is spared when it has fewer; with none, it is struck while it reads and plans.
    """

    strike: Strike
    steps: int
    after: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Something an operator does; `choice` decides what is left open, by the world as it is."""

    number: int
    operator: str
    verb: Verb
    app: App
    release: str
    keep: int
    choice: int
    blow: Blow | None

    @property
    def apps(self) -> tuple[App, ...]:
        """Return what it may touch, as far as can be told beforehand."""
        if self.verb == "rotate-where":
            return tuple(
                app for app in APPS if app.recipe is self.app.recipe and app.server not in CLONED
            )
        return APPS if self.verb == "prune-all" else (self.app,)

    @property
    def line(self) -> str:
        """The line that `app config` adds to the ``.env``."""
        return f"NOTE_{self.number}=by config"

    def __str__(self) -> str:
        where = "everywhere" if len(self.apps) > 1 else self.app.name
        return f"{self.number} {self.operator}: {self.verb} {where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that befalls a server, a line, a disk, a clock or a file.

    It does so once `after` operations of the round have begun.
    """

    number: int
    trouble: Trouble
    after: int
    seconds: float
    server: str
    operator: str
    app: App
    choice: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What happens until everything is healed and checked.

    `turns` are the operations of each terminal, in order; every operator has several.
    """

    turns: tuple[tuple[Operation, ...], ...]
    faults: tuple[Fault, ...]


class Story:
    """Draws one round after another.

    Parameters
    ----------
    seed
        Of everything that is drawn.
    terminals
        How many each operator has.
    operations
        So many in each terminal and round.
    faults
        So many in each round, besides those of single processes.
    """

    def __init__(self, seed: int, *, terminals: int, operations: int, faults: int) -> None:
        self._random = random.Random(seed)
        self._terminals, self._operations, self._faults = terminals, operations, faults
        self._number = 0

    def draw(self, *, shifts_clocks: bool) -> Round:
        """Draw the next round."""
        turns = tuple(
            tuple(self._operation(operator) for _ in range(self._operations))
            for operator in OPERATORS
            for _ in range(self._terminals)
        )
        faults = [self._fault() for _ in range(self._faults)]
        kept = [one for one in faults if shifts_clocks or not one.trouble.startswith("clock")]
        return Round(turns=turns, faults=tuple(sorted(kept, key=lambda one: one.after)))

    def _operation(self, operator: str) -> Operation:
        self._number += 1
        draw = self._random
        strike = draw.choices(list(_STRIKES), list(_STRIKES.values()))[0]
        seconds = LOCK_SECONDS * 1.5 if strike.startswith("stop beyond") else draw.uniform(0.5, 3)
        blow = Blow(
            strike=strike, steps=draw.randrange(10), after=draw.uniform(0, 0.5), seconds=seconds
        )
        return Operation(
            number=self._number,
            operator=operator,
            verb=draw.choices(list(_VERBS), list(_VERBS.values()))[0],
            app=draw.choice(APPS),
            release=draw.choice(RELEASES),
            keep=draw.choice((0, 1, 1, 1, 2)),
            choice=draw.randrange(1 << 30),
            blow=blow if draw.random() < _STRUCK else None,
        )

    def _fault(self) -> Fault:
        self._number += 1
        draw = self._random
        return Fault(
            number=self._number,
            trouble=draw.choices(list(_TROUBLES), list(_TROUBLES.values()))[0],
            after=draw.randrange(len(OPERATORS) * self._terminals * self._operations),
            seconds=draw.uniform(0.5, 4),
            server=draw.choice(SERVERS),
            operator=draw.choice(OPERATORS),
            app=draw.choice(APPS),
            choice=draw.randrange(1 << 30),
        )
