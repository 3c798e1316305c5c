"""What must hold when a round is over and healed, by the promise of the operations."""

from __future__ import annotations

import time

from tests.chaos import oracle
from tests.chaos.done import State
from tests.chaos.oracle import Declared, Look, look
from tests.chaos.play import Campaign
from tests.chaos.world import APPS, CANARY, CLONED, App
from tests.waiting import pause

_SETTLED_S = 180.0


class Judge:
    """Compares each checkpoint with the one before."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign, self._world = campaign, campaign.world
        self._texts = {app.name: self._text(app) for app in APPS}
        self._began = dict(self._texts)
        self._seen = {server: look(self._world, server) for server in self._world.fleet.daemons}

    def check(self, round_: int) -> None:
        """Check every invariant, and note each that does not hold."""
        seen = {server: look(self._world, server) for server in self._world.fleet.daemons}
        found: list[str] = []
        for server in self._world.fleet.daemons:
            found += self._values(server)
        for app in APPS:
            text = self._text(app)
            found += [f"{app.name}: {one}" for one in self._wrong(app, text, seen[app.server])]
            self._texts[app.name] = text
        for server, one in seen.items():
            found += [f"{server}: the lock of {stack} is left" for stack in one.locks]
        for operator in self._world.operators.values():
            runs = oracle.runs(operator.state.path)
            found += [f"{operator.name}: {kind} {run} is left {status}"
                      for run, (kind, status) in runs.items()
                      if status not in oracle.ENDED]  # fmt: skip
        self._seen = seen
        for one in found:
            self._campaign.tally.violation(f"after round {round_}: {one}")

    def check_values(self) -> None:
        """Look for values in all that was written: outputs, journals, files, histories."""
        # Those that the campaign made up have the canary in them.
        values = {v for v in self._campaign.values.known.values() if CANARY.encode() not in v}
        self._campaign.canaries.marks |= values
        roots = [self._world.said, self._world.shared.path, self._world.root / "recipes"]
        roots += [self._world.origin(server) for server in CLONED]
        roots += [operator.home for operator in self._world.operators.values()]
        for path in self._campaign.canaries.found_in(roots):
            self._campaign.tally.violation(f"a value is in {path}")

    def _text(self, app: App) -> str:
        operator = next(iter(self._world.operators.values()))
        # Not read_text, which would take line ends for one another.
        return operator.env_file(app).read_bytes().decode()

    def _wrong(self, app: App, text: str, seen: Look) -> list[str]:
        campaign = self._campaign
        state = State.of(app, text, seen)
        before = Declared.read(self._texts[app.name])
        wrong = [*state.wrong, *self._gone(app, state)]
        for variable, version in state.declared.versions.items():
            was = before.versions.get(variable, "")
            wrong += filter(None, [campaign.claims.broken(app.name, variable, was, version)])
        return [*wrong, *self._changed(app, text)]

    def _gone(self, app: App, state: State) -> list[str]:
        """Return versions that are gone without a word that could have removed them."""
        before = self._seen[app.server].secrets_of(app)
        tried = [one.verb for one in self._campaign.attempts.get(app.name, [])]
        gone = before.keys() - state.seen.secrets_of(app).keys()
        lost = [
            name
            for name in sorted(gone)
            if not {"remove", "prune", "prune-all"} & {*tried}
            and before[name].run not in self._undone()
        ]
        return [f"{name} is gone, and nobody removed it" for name in lost]

    def _undone(self) -> set[str]:
        return {
            run
            for operator in self._world.operators.values()
            for run, (_, status) in oracle.runs(operator.state.path).items()
            if "rolled-back" in status
        }

    def _changed(self, app: App, text: str) -> list[str]:
        """Return what else than versions changed in the file."""
        edits = self._campaign.faults.edits.get(app.name, [])
        lines = self._campaign.lines.get(app.name, [])
        wrong = [f"the line {one!r} is lost" for one in edits if text.splitlines().count(one) != 1]
        if oracle.plain(text, [*edits, *lines]) != oracle.plain(self._began[app.name], []):
            wrong.append(f"more than versions changed in its .env: {text!r}")
        return wrong

    def _values(self, server: str) -> list[str]:
        """Return which services do not come to run on the right values."""
        apps = [app for app in APPS if app.server == server]
        until, is_revived = time.monotonic() + _SETTLED_S, False
        while True:
            seen = look(self._world, server)
            wrong = [f"{app.name}: {one}" for app in apps
                     for one in self._campaign.values.wrong(app, seen)]  # fmt: skip
            wrong += [f"{app.name}: {one} runs without its secrets" for app in apps
                      for one in self._restarted(app, seen)]  # fmt: skip
            if not wrong or (time.monotonic() > until and (is_revived or seen.are_all_there())):
                return wrong
            if time.monotonic() > until:
                # Only its engine can learn that they are gone, by being started anew.
                self._campaign.tally.note(f"the engine of {server} calls running what is gone")
                self._campaign.faults.kill_dockerd(server)
                until, is_revived = time.monotonic() + _SETTLED_S, True
            pause()

    def _restarted(self, app: App, seen: Look) -> list[str]:
        """Return services that have none of their secrets, and make new tasks of them."""
        bare = self._campaign.values.bare(app, seen)
        for name in bare:
            service = f"{app.stack}_{name}"
            self._campaign.tally.note(f"{service} of {app.server} runs without its secrets")
            self._world.docker(app.server, "service", "update", "--force", "-q", service)
        return sorted(bare)
