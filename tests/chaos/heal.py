"""After a round: what operators do when all is quiet again, until nothing is left unfinished."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count

from tests.chaos import oracle
from tests.chaos.operator import LOCK_SECONDS
from tests.chaos.oracle import Declared, look
from tests.chaos.play import Campaign, Ended
from tests.chaos.recipes import BAD, NEW
from tests.chaos.world import APPS, OPERATORS, App, Operator
from tests.waiting import linger

_TRIES = 3
_AT_ONCE = 6
_LEFT_DOWN = 0.2
_DEPLOY = ("--timeout", "120", "--stable", "1", "--yes")


class Healer:
    """Ends every run that stopped, and deploys apps that were taken down.

    Parameters
    ----------
    campaign
        Whose runs they are.
    seed
        Of the choices between finishing and undoing.
    """

    def __init__(self, campaign: Campaign, seed: int) -> None:
        self._campaign, self._world = campaign, campaign.world
        self._random = random.Random(seed)
        self._numbers = count(1)
        self._judged: set[str] = set()

    def heal(self, began: float) -> None:
        """End the faults, the runs and the round, which began then."""
        self._campaign.faults.heal()
        for _ in range(_TRIES):
            waiting = [
                self._end_runs(operator, began) for operator in self._world.operators.values()
            ]
            if not any(waiting):
                break
            linger(LOCK_SECONDS)
        for operator in self._world.operators.values():
            self._give_up(operator)
            self._take_note(operator, began)
        self._campaign.clones.bring_together()
        drawn = [(app, self._random.random(), self._random.choice(OPERATORS)) for app in APPS]
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(self._deploy, *zip(*drawn, strict=True)))
        # A deploy may declare a version too.
        self._campaign.clones.bring_together()

    def _unfinished(self, operator: Operator) -> list[str]:
        runs = oracle.runs(operator.state.path)
        return [run for run, (_, status) in runs.items() if status not in oracle.ENDED]

    def _end_runs(self, operator: Operator, began: float) -> bool:
        """Finish or undo what stopped in this round, the newest first.

        Return whether some could not be for another's lock, which is to run out first.
        """
        locked = False
        for run in reversed(self._unfinished(operator)):
            way = self._random.choice(("resume", "rollback"))
            for how in (way, "rollback" if way == "resume" else "resume"):
                was_proved = oracle.is_proved(operator.state.path, run)
                ended = self._type(operator, how, run)
                if run not in self._unfinished(operator):
                    self._campaign.tally.outcomes[f"{how} after a fault"] += 1
                    if was_proved:
                        # Only its lock was left: what it declared others may have passed since.
                        ended = replace(ended, began=began)
                    self._claim(operator, run, ended)
                    break
                locked = locked or "locked by" in ended.text
        return locked

    def _give_up(self, operator: Operator) -> None:
        left: set[str] = set()
        for run in self._unfinished(operator):
            left |= oracle.apps_of(operator.state.path, run)
            kind, status = oracle.runs(operator.state.path)[run]
            last = self._type(operator, "rollback", run)
            if run not in self._unfinished(operator):
                self._claim(operator, run, last)
                continue
            self._type(operator, "give-up", run)
            self._campaign.tally.outcomes["given up"] += 1
            said = " ".join(last.text.partition("\n")[2].split())[-400:]
            self._campaign.tally.note(f"gave up {kind} {run}, {status}: {said}")
            self._campaign.given_up.add(run)
        for server in self._world.fleet.daemons:
            for stack in look(self._world, server).locks:
                asked = self._world.docker(
                    server, "config", "inspect", f"opskit_lock_{stack}",
                    "--format", '{{index .Spec.Labels "opskit.run"}}',
                )  # fmt: skip
                if asked.stdout.strip() in self._campaign.given_up:
                    self._type(operator, "break-lock", server, stack)
        for app in APPS:
            # As it advises where the spec before is gone.
            if app.name in left and look(self._world, app.server).services_of(app):
                self._must(operator, "app", "deploy", app.name, NEW, *_DEPLOY)

    def _claim(self, operator: Operator, run: str, ended: Ended) -> None:
        kind, status = oracle.runs(operator.state.path)[run]
        self._judged.add(run)
        if status == "done" and kind in ("rotate", "insert"):
            self._campaign.has_moved(run, ended, f"{kind} {run}, resumed,")
        elif status == "rolled-back":
            self._campaign.unmoved(run, ended, f"{kind} {run}, rolled back,")
        else:
            self._campaign.free_hand(operator, run, ended)

    def _take_note(self, operator: Operator, began: float) -> None:
        """Note what processes did that could not say so, as they were killed at their very end."""
        campaign = self._campaign
        whenever = Ended(status=0, text="", began=began, ended=time.monotonic())
        for run, (kind, status) in oracle.runs(operator.state.path).items():
            if run not in self._judged | campaign.moved.keys():
                if status == "done" and kind in ("rotate", "insert"):
                    campaign.has_moved(run, whenever, f"{kind} {run}")
                elif status in ("partly-rolled-back", "given-up"):
                    campaign.free_hand(operator, run, whenever)
                self._judged.add(run)
            elif status == "rolled-back" and run in campaign.moved:
                campaign.unmoved(run, whenever, f"rollback of {run}")
                for done in campaign.done.values():
                    if run in done:
                        done.remove(run)

    def _deploy(self, app: App, chance: float, who: str) -> None:
        """Deploy an app that is down, most of the time; with all quiet, that must work."""
        seen = look(self._world, app.server)
        if seen.services_of(app) or chance < _LEFT_DOWN:
            return
        operator = self._world.operators[who]
        declared = Declared.read(operator.env_file(app).read_text())
        if oracle.not_there(app, declared, seen):
            self._must(operator, "secret", "generate", app.name, "--all", "--yes")
        if app.name in self._campaign.had_bad and self._is_bad(app, declared):
            every = app.recipe.apart or app.recipe.keys
            # Inserted while the app was down, where nothing could show that it does not work.
            rotated = self._must(operator, "secret", "rotate", app.name, *every, "--yes")
            self._campaign.has_moved(rotated.run, rotated, "what healed a bad value")
        self._must(operator, "app", "deploy", app.name, *_DEPLOY)

    def _is_bad(self, app: App, declared: Declared) -> bool:
        """Tell whether the app cannot run on a value that it declares."""
        there = look(self._world, app.server).secrets
        names = {
            oracle.swarm_name(app, secret, declared.versions[variable])
            for secret, variable in app.recipe.keys.values()
        }
        return any(oracle.holds(self._world, app.server, one, BAD) for one in names & there.keys())

    def _must(self, operator: Operator, *argv: str) -> Ended:
        ended = self._type(operator, *argv)
        if ended.status:
            self._campaign.tally.violation(
                f"with all quiet, {' '.join(argv)} failed: {' '.join(ended.text.split())[-500:]}"
            )
        return ended

    def _type(self, operator: Operator, *argv: str) -> Ended:
        command = [*argv, "--yes"] if argv[0] == "rollback" else list(argv)
        return self._campaign.run(operator, command, f"heal-{next(self._numbers)}")
