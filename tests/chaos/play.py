"""One campaign: rounds of operations under faults, each healed and checked."""

from __future__ import annotations

import re
import shlex
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock, Thread

from tests.chaos import oracle
from tests.chaos.claims import Claim, Claims
from tests.chaos.clones import Clones
from tests.chaos.done import State, done_wrongly
from tests.chaos.faults import Faults
from tests.chaos.operator import Process
from tests.chaos.oracle import Canaries, Look, UnreadableError, Values, look
from tests.chaos.story import Blow, Operation, Round
from tests.chaos.typed import typed
from tests.chaos.world import APPS, CANARY, App, Operator, World
from tests.waiting import linger, pause

_PAUSE_S = 0.03
_LONGEST_S = 400.0
_SETTLED_S = 120.0
_RUN = re.compile(r"(?m)^run (\S+): (\S+)")
_STATUSES = {0, 1, 2, 130}
_FAULTY = re.compile(r"Traceback \(most recent|Please report it|Fatal Python")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended, and what it wrote."""

    status: int
    text: str
    began: float
    ended: float

    @property
    def run(self) -> str:
        """The run that it says is done, or undone; empty without."""
        found = _RUN.findall(self.text)
        return found[-1][0] if self.status == 0 and found else ""


class Tally:
    """What is counted and what went wrong, from many threads."""

    def __init__(self) -> None:
        self.operations = Counter[str]()
        self.outcomes = Counter[str]()
        self.strikes = Counter[str]()
        self.notes: list[str] = []
        self.violations: list[str] = []
        self.guard = Lock()

    def violation(self, text: str) -> None:
        """Note one, and say so at once."""
        with self.guard:
            self.violations.append(text)
        print(f"VIOLATION {text}", flush=True)

    def note(self, text: str) -> None:
        """Note what is worth reading, and right."""
        with self.guard:
            self.notes.append(text)


class Campaign:
    """Plays rounds in a world and judges what opskit said."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tally = Tally()
        self.faults = Faults(world)
        self.clones = Clones(world)
        self.values = Values()
        self.canaries = Canaries({CANARY.encode(), CANARY.encode().hex().encode()})
        self.claims = Claims()
        self.lines: dict[str, list[str]] = {}
        """Lines that `app config` may have added, by app."""
        self.moved: dict[str, list[tuple[App, str, str]]] = {}
        """What each run that was done declared: app, variable, version."""
        self.given_up: set[str] = set()
        self.by_run: dict[str, Operation] = {}
        """What each run that was done was for."""
        self.before: dict[str, State] = {}
        """How the app of a run was before it, as far as that was seen."""
        self.done: dict[str, list[str]] = {name: [] for name in world.operators}
        self.attempts: dict[str, list[Operation]] = {}
        """What was tried on each app since the last check."""
        self.had_bad: set[str] = set()
        """Apps that were given a value which they cannot run on."""
        self._begun = Counter[str]()
        self._active = Counter[str]()
        self._tried = 0
        self._guard = Lock()

    # -- operations -----------------------------------------------------------------------

    def play(self, round_: Round) -> None:
        """Let everybody work, and the faults strike."""
        self.claims, self.attempts = Claims(), {}
        terminals = [Thread(target=self._work, args=(turn,)) for turn in round_.turns]
        before = self._tried
        for terminal in terminals:
            terminal.start()
        for fault in round_.faults:
            while self._tried - before <= fault.after and any(map(Thread.is_alive, terminals)):
                pause()
            if fault.trouble == "edited .env":
                # In a clone, only whoever has the app in hands.
                who = self.world.operators[fault.operator]
                if not self.clones.take(who, fault.app):
                    continue
            self.faults.strike(fault)
        for terminal in terminals:
            terminal.join()

    def _work(self, turn: tuple[Operation, ...]) -> None:
        for operation in turn:
            try:
                self._perform(operation)
            except Exception as error:  # noqa: BLE001 (the campaign is void then, and says so)
                self.tally.violation(f"HARNESS {operation}: {type(error).__name__} {error}")

    def _perform(self, operation: Operation) -> None:
        with self._guard:
            self._tried += 1
        operator = self.world.operators[operation.operator]
        undone = ""
        if operation.verb == "rollback":
            mine = self.done[operator.name][-4:]
            if not mine:
                self.tally.outcomes["left out"] += 1
                return
            undone = mine[operation.choice % len(mine)]
            operation = replace(self.by_run[undone], verb="rollback", number=operation.number,
                                blow=operation.blow)  # fmt: skip
        argv, env = typed(self.world, operation, undone)
        if not self.clones.take(operator, operation.app):
            self.tally.outcomes["left out"] += 1
            return
        apps = self.by_run[undone].apps if undone else operation.apps
        names = [app.name for app in apps]
        with self._guard:
            self._begun.update(names)
            self._active.update(names)
            alone = all(self._active[name] == 1 for name in names)
            turns = [self._begun[name] for name in names]
            for name in names:
                self.attempts.setdefault(name, []).append(operation)
            if operation.verb == "insert-bad":
                self.had_bad.update(names)
            if operation.verb == "config":
                self.lines.setdefault(operation.app.name, []).append(operation.line)
        before = self._state(operation, operator) if alone else None

        def is_alone() -> bool:
            with self._guard:
                return alone and turns == [self._begun[name] for name in names]

        ended = self.run(operator, argv, f"{operation.number}", env=env, blow=operation.blow)
        self.tally.operations[operation.verb] += 1
        self.tally.outcomes[str(ended.status)] += 1
        if ended.run:
            self._took(operation, operator, ended)
            if len(names) == 1:
                self._check_done(operation, operator, before, ended, is_alone)
            if before is not None and not undone:
                self.before[ended.run] = before
        with self._guard:
            self._active.subtract(names)
        has_ended = ended.status in _STATUSES
        if has_ended:
            has_ended = not oracle.unfinished_on(operator.state.path, names)
        self.clones.leave(operator, operation.app, has_ended=has_ended)

    def run(
        self,
        operator: Operator,
        argv: list[str],
        said: str,
        *,
        env: dict[str, str] | None = None,
        blow: Blow | None = None,
    ) -> Ended:
        """Run a command to its end, whatever befalls it."""
        path = self.world.said / said
        path.write_text(f"$ {operator.name}: opskit {shlex.join(argv)}\n")
        began = time.monotonic()
        process = self.world.desk.start(
            self.world.command(operator.name, argv, said, **(env or {}))
        )
        status = self._until_struck(operator, process, blow) if blow else None
        if blow and status is None:
            self.tally.strikes[blow.strike] += 1
            group = blow.strike != "kill"
            if blow.strike.startswith("kill"):
                process.signal(signal.SIGKILL, group=group)
            else:
                process.signal(signal.SIGSTOP, group=group)
                linger(blow.seconds)
                process.signal(signal.SIGCONT, group=group)
        if status is None:
            status = process.wait(_LONGEST_S)
        if status is None:
            process.signal(signal.SIGKILL, group=True)
            self.tally.violation(f"{said}: still at work after {_LONGEST_S:g} s")
            status = process.wait(_LONGEST_S) or -9
        text = path.read_text(errors="replace")
        with path.open("a") as file:
            file.write(f"-> {status} after {time.monotonic() - began:.1f} s {blow or ''}\n")
        if status not in _STATUSES and not (blow and status == -signal.SIGKILL):
            self.tally.violation(f"{said}: ended with status {status}")
        if _FAULTY.search(text):
            self.tally.violation(f"{said}: {' '.join(text.split())[-600:]}")
        return Ended(status=status, text=text, began=began, ended=time.monotonic())

    @staticmethod
    def _until_struck(operator: Operator, process: Process, blow: Blow) -> int | None:
        """Wait until a process is to be struck, and return its status if it ended before."""
        status, until = None, time.monotonic() + _LONGEST_S
        while blow.steps and status is None and time.monotonic() < until:
            if oracle.steps_of(operator.state.path, process.pid) >= blow.steps:
                break
            status = process.wait(_PAUSE_S)
        return process.wait(blow.after) if status is None else status

    # -- what was said, and whether it is so ----------------------------------------------

    def _state(self, operation: Operation, operator: Operator) -> State | None:
        seen = self._seen(operation.app.server)
        try:
            text = operator.env_file(operation.app).read_text()
        except OSError:
            return None
        return State.of(operation.app, text, seen) if seen else None

    def _seen(self, server: str) -> Look | None:
        try:
            return look(self.world, server)
        except UnreadableError:
            return None

    def _took(self, operation: Operation, operator: Operator, ended: Ended) -> None:
        """Note what a process said that it did."""
        run, said = ended.run, f"{operation} said so"
        if operation.verb == "rollback":
            self.unmoved(run, ended, said)
            if run in self.done[operator.name]:
                self.done[operator.name].remove(run)
            return
        self.done[operator.name].append(run)
        self.by_run[run] = operation
        if operation.verb.startswith(("rotate", "insert")):
            self.has_moved(run, ended, said)

    def has_moved(self, run: str, ended: Ended, said: str) -> None:
        """Note the versions that a finished run made and declared."""
        seen = {server: self._seen(server) for server in self.world.fleet.daemons}
        for app in APPS:
            if (there := seen[app.server]) is not None:
                for name, stored in there.secrets_of(app).items():
                    if stored.run != run:
                        continue
                    secret, _, version = name.removeprefix(f"{app.stack}_").rpartition("_")
                    variable = next(v for s, v in app.recipe.keys.values() if s == secret)
                    self.moved.setdefault(run, []).append((app, variable, version))
                    self.claims.add(
                        Claim(
                            app=app.name,
                            variable=variable,
                            began=ended.began,
                            ended=ended.ended,
                            said=f"{said}: {version}",
                            holds=lambda now, version=version: now == version,
                        )
                    )

    def free_hand(self, operator: Operator, run: str, ended: Ended) -> None:
        """Note that a run may have left the versions of its apps as they were, or not."""
        for app in oracle.apps_of(operator.state.path, run):
            for recipe in (one.recipe for one in APPS if one.name == app):
                for _, variable in recipe.keys.values():
                    self.claims.add(
                        Claim(
                            app=app,
                            variable=variable,
                            began=ended.began,
                            ended=ended.ended,
                            said=f"{run} is neither done nor undone",
                            holds=lambda _: True,
                        )
                    )

    def unmoved(self, run: str, ended: Ended, said: str) -> None:
        """Note that a run's versions are not declared any more."""
        for app, variable, version in self.moved.pop(run, []):
            self.claims.add(
                Claim(
                    app=app.name,
                    variable=variable,
                    began=ended.began,
                    ended=ended.ended,
                    said=f"{said}: not {version}",
                    holds=lambda now, version=version: now != version,
                )
            )

    def _check_done(
        self,
        operation: Operation,
        operator: Operator,
        before: State | None,
        ended: Ended,
        is_alone: Callable[[], bool],
    ) -> None:
        """Compare the world with a process's word, as long as nobody else touches the app."""
        until = time.monotonic() + _SETTLED_S
        wrong: list[str] = []
        was = self.before.get(ended.run) if operation.verb == "rollback" else before
        while before and was and is_alone() and time.monotonic() < until:
            now = self._state(operation, operator)
            if now is not None:
                self._expect(operation, ended.run, now.seen)
                wrong = done_wrongly(operation, ended.run, (before, was), now, self.values)
                if not wrong:
                    self.tally.outcomes["checked alone"] += 1
                    return
                bare = self.values.bare(operation.app, now.seen).values()
                if any(oracle.began(pid) > ended.ended for pids in bare for pid in pids):
                    # Its engine was killed since; nobody but the judge can tell.
                    return
                # Containers come and go with their engine; what is declared and mounted does not.
                if any(not one.endswith("does not run") for one in wrong):
                    break
            pause()
        if wrong and is_alone():
            self.tally.violation(f"{operation} said done: {'; '.join(wrong)}")

    def _expect(self, operation: Operation, run: str, seen: Look) -> None:
        """Note which value a new version must have, where the campaign gave or made it."""
        given = self.world.values / str(operation.number)
        made = self.world.ledger / str(operation.number)
        for stored in seen.secrets.values():
            if stored.run == run and given.exists():
                self.values.known[stored.ident] = given.read_bytes()
            elif stored.run == run and made.exists():
                self.values.among[stored.ident] = set(made.read_bytes().split())
