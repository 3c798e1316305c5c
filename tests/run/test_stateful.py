"""Any story of changes, failures, kills and meddling leaves the app whole.

After every chapter: no version too many or too few, every service runs on what the ``.env``
declares, of which only version tokens were changed, and neither a lock nor an unfinished run is
left.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import opskit
from opskit.demo.dockerd import DockerdFleet
from opskit.demo.engine.life import FAILS_WITH
from opskit.errors import OpskitError, StepError
from opskit.journal.runs import open_journal
from opskit.run.recovery import give_up
from opskit.secrets.value import Secret
from opskit.steps.lock import break_lock
from tests import oracle
from tests.run.killing import apply_in_a_process
from tests.stage import APP, BAD, SERVER, Stage, staged
from tests.waiting import LIMIT

pytestmark = pytest.mark.slow

SECRETS = ("token", "key")
LENGTHS = {"token": 40}
SERVICES = ("app", "worker")
QUICK = opskit.Options(stable=0, timeout=LIMIT)
VERSION = re.compile(rb"(SECRET_\w+_VERSION='?)v\d+")
some_secrets = st.sets(st.sampled_from(SECRETS), min_size=1).map(sorted)
ends = st.sampled_from(["resume", "rollback"])


class Story(RuleBasedStateMachine):
    """One app, and everything that may befall it."""

    host: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.folder = tempfile.TemporaryDirectory(prefix="opskit-story-")
        self.stages: Iterator[Stage] = staged(Path(self.folder.name), self.host, self.patch)
        self.stage = next(self.stages)
        self.docker = oracle.Docker(self.host)
        self.declared = dict.fromkeys(SECRETS, "v1")
        self.there = {name: {"v1"} for name in SECRETS}
        self.done: list[tuple[str, dict[str, tuple[str, str]]]] = []
        """Finished rotations, each with what it went from and to."""

    def teardown(self) -> None:
        for _ in self.stages:
            pass
        self.patch.undo()
        self.folder.cleanup()

    @property
    def fleet(self) -> opskit.Fleet:
        return opskit.Fleet.from_abra()

    def selection(self, names: list[str]) -> list[tuple[str, str, str]]:
        return [(SERVER, APP, name) for name in names]

    def took(self, run: str, plan: opskit.Plan) -> None:
        """Remember that the plan's new versions are in force."""
        moves = {row.secret: (self.declared[row.secret], row.to) for row in plan.changes.records()}
        self.done.append((run, moves))
        for name, (_, to) in moves.items():
            self.declared[name] = to
            self.there[name].add(to)

    def look(self) -> oracle.Seen:
        return oracle.settled(self.docker, self.stage.stack, self.stage.env_file)

    def judge(self, before: oracle.Seen, plan: opskit.Plan, given: str = "") -> None:
        """Let the oracle say whether what is done is what the plan said, and no more."""
        stack, rows = self.stage.stack, plan.changes.to_dict("records")
        names = {
            name: oracle.Named(f"{stack}_{name}_", f"SECRET_{name.upper()}_VERSION")
            for name in SECRETS
        }
        prefixes = [(names[row["secret"]].prefix, row["to"]) for row in rows]
        moves = {prefix: prefix + version for prefix, version in prefixes}
        swaps = oracle.swaps_by_name(before, moves)
        said = oracle.said(rows, stack, names, swaps, given=given, lengths=LENGTHS)
        assert oracle.differences(before, self.look(), said) == []

    @initialize()
    def set_up(self) -> None:
        self.stage.set_up()
        self.env = self.stage.env_file.read_bytes()

    @rule(names=some_secrets)
    def rotate(self, names: list[str]) -> None:
        plan, before = self.fleet.plan_rotate(self.selection(names), QUICK), self.look()
        run = plan.apply()
        assert run.status == "done", run.errors
        self.judge(before, plan)
        shown = plan.calls.drop_duplicates("step")["action"].tolist()
        done = run.steps.query("phase == 'do' and action != 'converge-back'")["action"].tolist()
        assert done == shown
        self.took(run.id, plan)

    @rule(name=st.sampled_from(SECRETS), number=st.integers(0, 9))
    def insert(self, name: str, number: int) -> None:
        value = f"good value {number}"
        plan = self.fleet.plan_insert(APP, name, Secret(value), options=QUICK)
        before = self.look()
        run = plan.apply()
        assert run.status == "done", run.errors
        self.judge(before, plan, given=value)
        self.took(run.id, plan)

    @rule(names=some_secrets.filter(lambda names: "token" in names))
    def rotate_to_what_does_not_work(self, names: list[str]) -> None:
        bad = replace(QUICK, policy=BAD)
        (to,) = (
            row.to
            for row in self.fleet.plan_rotate(self.selection(["token"]), bad).changes.records()
        )
        self.label({FAILS_WITH: f"{self.stage.stack}_token_{to}"})
        run = self.fleet.plan_rotate(self.selection(names), bad).apply()
        assert run.status == "rolled-back", (run.status, run.errors)
        self.label({FAILS_WITH: ""})

    @rule(names=some_secrets, moment=st.integers(1, 46), how=ends)
    def be_killed(self, names: list[str], moment: int, how: str) -> None:
        runs = len(self.fleet.journal())
        plan, before = self.fleet.plan_rotate(self.selection(names), QUICK), self.look()
        kind = {("token",): "rotate", ("key",): "rotate key"}.get(tuple(names), "rotate both")
        apply_in_a_process(self.stage.env, kind, moment)
        journal = self.fleet.journal()
        if len(journal) == runs:
            return
        newest = journal.iloc[-1]
        if newest["status"] == "crashed":
            ended = self.fleet.resume() if how == "resume" else self.fleet.rollback()
            assert ended.id == newest["run"]
            assert ended.status == {"resume": "done", "rollback": "rolled-back"}[how], ended.errors
            if how == "rollback":
                return
        self.judge(before, plan)
        self.took(newest["run"], plan)

    @rule(names=some_secrets, moment=st.integers(1, 46), how=ends)
    def be_killed_and_overtaken(self, names: list[str], moment: int, how: str) -> None:
        """Somebody breaks a dead run's lock and rotates; then the dead run is taken up."""
        runs = len(self.fleet.journal())
        plan = self.fleet.plan_rotate(self.selection(names), QUICK)
        kind = {("token",): "rotate", ("key",): "rotate key"}.get(tuple(names), "rotate both")
        apply_in_a_process(self.stage.env, kind, moment)
        journal = self.fleet.journal()
        if len(journal) == runs:
            return
        newest = journal.iloc[-1]
        if newest["status"] != "crashed":
            self.took(newest["run"], plan)
            return
        break_lock(self.stage.engine, self.stage.stack)
        later, before = self.fleet.plan_rotate(self.selection(names), QUICK), self.look()
        run = later.apply()
        assert run.status == "done", run.errors
        self.judge(before, later)
        for row in later.changes.records():
            self.declared[row.secret] = row.to
            self.there[row.secret].add(row.to)
        ended = ""
        with suppress(StepError):
            act = self.fleet.resume if how == "resume" else self.fleet.rollback
            ended = act(newest["run"]).status
        came_from = {row["secret"]: row["from"] for _, row in later.changes.iterrows()}
        for row in plan.changes.records():
            # What the dead run made may go or stay, unless the later one came from it.
            if f"{self.stage.stack}_{row.secret}_{row.to}" in self.stage.state()["secrets"]:
                self.there[row.secret].add(row.to)
            else:
                assert came_from[row.secret] != row.to
        if ended not in ("rolled-back", "done"):
            give_up(newest["run"])

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def change_ones_mind(self, data: st.DataObject) -> None:
        run, moves = self.done[data.draw(st.integers(0, len(self.done) - 1))]
        possible = all(
            self.declared[name] == to and before in self.there[name]
            for name, (before, to) in moves.items()
        )
        if not possible:
            with pytest.raises(StepError, match="nothing was changed"):
                self.fleet.rollback(run)
            return
        ended = self.fleet.rollback(run)
        assert ended.status == "rolled-back", ended.errors
        self.done = [one for one in self.done if one[0] != run]
        for name, (before, to) in moves.items():
            self.there[name].remove(to)
            self.declared[name] = before

    @rule(keep=st.integers(0, 2))
    def prune(self, keep: int) -> None:
        try:
            plan = self.fleet.plan_prune(self.selection(list(SECRETS)), keep=keep)
        except OpskitError:
            return
        removed = [(row.secret, row["from"]) for _, row in plan.changes.iterrows()]
        run = plan.apply()
        assert run.status == "done", run.errors
        for name, version in removed:
            assert version != self.declared[name]
            self.there[name].remove(version)

    @rule(number=st.integers(0, 9))
    def edit_by_hand(self, number: int) -> None:
        content = self.stage.env_file.read_bytes()
        line = b"\r\n# edited %d" % number
        self.stage.env_file.write_bytes(content + line)
        self.env += line

    @rule(service=st.sampled_from(SERVICES))
    def touch_a_service(self, service: str) -> None:
        self.stage.touch(service)

    def label(self, labels: dict[str, str]) -> None:
        for service in SERVICES:
            raw = self.stage.engine.raw_service(f"{self.stage.stack}_{service}")
            raw.spec["Labels"].update(labels)
            self.stage.put(service, raw.spec)

    @invariant()
    def the_app_is_whole(self) -> None:
        if not self.stage.env_file.exists():
            return
        stack, state = self.stage.stack, self.stage.state()
        assert state["secrets"] == sorted(
            f"{stack}_{name}_{version}" for name in SECRETS for version in self.there[name]
        )
        used = {name for uses in state["uses"].values() for name, *_ in uses}
        assert used == {f"{stack}_{name}_{version}" for name, version in self.declared.items()}
        self.stage.wait_until_converged()

    @invariant()
    def only_versions_changed_in_the_file(self) -> None:
        if not self.stage.env_file.exists():
            return
        content = self.stage.env_file.read_bytes()
        assert VERSION.sub(rb"\1", content) == VERSION.sub(rb"\1", self.env)
        for name, version in self.declared.items():
            assert f"SECRET_{name.upper()}_VERSION={version}" in content.decode().replace("'", "")

    @invariant()
    def nothing_is_left_open(self) -> None:
        if not self.stage.env_file.exists():
            return
        assert self.stage.state()["locks"] == []
        with open_journal() as journal:
            assert journal.last_unfinished() is None


def tell(host: str, *, stories: int, chapters: int) -> None:
    kind = type("Told", (Story,), {"host": host})
    run_state_machine_as_test(
        kind,
        settings=settings(
            max_examples=stories,
            stateful_step_count=chapters,
            deadline=None,
            derandomize="CI" in os.environ,
            suppress_health_check=list(HealthCheck),
        ),
    )


LONG = pytest.mark.nightly


@pytest.mark.parametrize(
    ("stories", "chapters"), [(5, 8), pytest.param(12, 10, marks=LONG)], ids=["few", "many"]
)
def test_any_story_ends_well_on_the_embedded_engine(
    embedded_host: str, stories: int, chapters: int
) -> None:
    tell(embedded_host, stories=stories, chapters=chapters)


@pytest.mark.swarm
@pytest.mark.parametrize(
    ("stories", "chapters"), [(1, 5), pytest.param(3, 8, marks=LONG)], ids=["few", "many"]
)
def test_any_story_ends_well_on_a_real_swarm(
    real_fleet: DockerdFleet, stories: int, chapters: int
) -> None:
    tell(real_fleet.host("srv1"), stories=stories, chapters=chapters)
