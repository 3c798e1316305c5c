"""A hook as part of a rotation: run, undone, tried again, and never left half-way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

import opskit
from opskit.errors import LockLostError
from opskit.secrets.value import Secret
from opskit.steps import CreateSecret, Probe, RunHook, StepContext, lock
from opskit.steps.holding import Hold
from opskit.swarm import model
from opskit.swarm.engine import Engine
from tests.run.killing import WAYS, apply_in_a_process, sampled
from tests.run.test_crash import rotated
from tests.stage import APP, QUICK, SERVER, Stage, hurry_probes
from tests.steps.hooks.stored import OLD, Database

TOKEN = (SERVER, APP, "token")
HOOKED = replace(QUICK, hook="redis:app")


def fleet() -> opskit.Fleet:
    return opskit.Fleet.from_abra()


def test_the_database_gets_what_the_new_version_holds(stage: Stage, database: Database) -> None:
    run = fleet().plan_rotate([TOKEN], HOOKED).apply()
    assert run.status == "done", run.errors
    assert database.password == database.value_of(f"{stage.stack}_token_v2") != OLD
    assert len(database.ran) == 1


@pytest.mark.slow
def test_a_value_for_the_declared_version_reaches_the_database_before_the_services(
    stage: Stage, database: Database
) -> None:
    text = stage.env_file.read_bytes().replace(b"TOKEN_VERSION='v1'", b"TOKEN_VERSION='v2'")
    stage.env_file.write_bytes(text)
    before = stage.state()
    options = replace(HOOKED, hooks={"shop/token": "redis:app"})
    run = fleet().plan_insert(APP, "token", Secret("good given"), options=options).apply()
    assert run.status == "done", run.errors
    assert database.password == b"good given" == database.value_of(f"{stage.stack}_token_v2")
    assert {uses[0][0] for uses in stage.state()["uses"].values()} >= {f"{stage.stack}_token_v2"}
    assert stage.env_file.read_bytes() == text

    assert fleet().rollback(run.id).status == "rolled-back"
    assert (stage.state(), database.password) == (before, OLD)


@pytest.mark.slow
def test_a_change_that_fails_brings_the_old_password_back(
    stage: Stage, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry_probes(monkeypatch)
    before = stage.state()
    bad = replace(HOOKED, probe=Probe(kind="command", target=("false",)))
    run = fleet().plan_rotate([TOKEN], bad).apply()
    assert (run.status, stage.state()) == ("rolled-back", before), run.errors
    assert [arguments[0] for arguments in database.ran] == ["set", "restore"]
    assert database.password == OLD


@pytest.mark.slow
def test_a_finished_rotation_can_be_rolled_back(stage: Stage, database: Database) -> None:
    before = stage.state()
    run = fleet().plan_rotate([TOKEN], HOOKED).apply()
    assert fleet().rollback(run.id).status == "rolled-back"
    assert (stage.state(), database.password) == (before, OLD)


def test_a_hook_that_fails_changes_nothing_and_says_why(stage: Stage, database: Database) -> None:
    before = stage.state()
    database.refuses = [(1, "the server refused.")]
    run = fleet().plan_rotate([TOKEN], HOOKED).apply()
    assert (run.status, stage.state()) == ("rolled-back", before)
    assert "could not set the new password: the server refused." in run.errors[0]
    assert "noise" not in run.errors[0]
    assert database.password == OLD


@pytest.mark.slow
def test_a_database_that_is_not_there_yet_is_asked_again(stage: Stage, database: Database) -> None:
    database.refuses = [(75, "starting")] * 2
    run = fleet().plan_rotate([TOKEN], HOOKED).apply()
    assert run.status == "done", run.errors
    assert len(database.ran) == 3


def test_a_value_made_again_after_a_crash_keeps_the_labels_of_others(
    stage: Stage, database: Database
) -> None:
    (before,) = stage.engine.secrets(f"{stage.stack}_token_v1")
    stage.engine.label_secret(before, {"owner": "finance"})
    (unit,) = fleet().plan_rotate([TOKEN], HOOKED).data.units
    create, hook = (
        next(step for step in unit.steps if isinstance(step, kind))
        for kind in (CreateSecret, RunHook)
    )
    create.do(StepContext(engine=stage.engine, run="r", actor="a", host="h"))
    (first,) = stage.engine.secrets(f"{stage.stack}_token_v2")
    # Another process knows no value.
    hook.do(StepContext(engine=stage.engine, run="r", actor="a", host="h"))

    (again,) = stage.engine.secrets(f"{stage.stack}_token_v2")
    assert again.id != first.id
    assert (again.spec.labels or {})["owner"] == "finance"
    assert database.password == database.value_of(f"{stage.stack}_token_v2")


@pytest.mark.slow
def test_a_container_that_has_just_ended_is_waited_for(
    stage: Stage, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, seen = Engine.containers, list[int]()

    def just_ended(engine: Engine, service: str = "") -> tuple[model.Container, ...]:
        found = there(engine, service)
        seen.append(len(found))
        return found if len(seen) > 1 else ()

    monkeypatch.setattr(Engine, "containers", just_ended)
    run = fleet().plan_rotate([TOKEN], HOOKED).apply()
    assert run.status == "done", run.errors
    assert seen[:2] == [1, 1], "asked again; what comes later looks after the secrets' files"


def test_a_database_that_moved_to_another_node_is_not_waited_for(
    stage: Stage, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, there = fleet().plan_rotate([TOKEN], HOOKED), Engine.tasks
    monkeypatch.setattr(Engine, "containers", lambda *_: ())
    monkeypatch.setattr(
        Engine,
        "tasks",
        lambda *asked: tuple(msgspec.structs.replace(t, node_id="other") for t in there(*asked)),
    )
    run = plan.apply()
    assert "runs on another node" in run.errors[0]
    assert database.ran == []


def test_an_old_password_that_does_not_come_back_keeps_the_new_version(
    stage: Stage, database: Database
) -> None:
    database.refuses = [(1, "no"), (1, "still no")]
    run = fleet().plan_rotate([TOKEN], HOOKED).apply()
    assert run.status == "failed"
    assert "could not bring back the old password: still no." in run.errors[0]
    assert f"{stage.stack}_token_v2" in stage.state()["secrets"]

    assert fleet().resume(run.id).status == "rolled-back"
    assert f"{stage.stack}_token_v2" not in stage.state()["secrets"]


@pytest.mark.parametrize("value", [b"two\nlines", b"a\0b", b"\xff\xfe", b"bell\a"])
def test_what_is_not_one_line_of_text_is_no_password(
    stage: Stage, database: Database, value: bytes
) -> None:
    before = stage.state()
    run = fleet().plan_insert(APP, "token", Secret(value), options=HOOKED).apply()
    assert (run.status, stage.state()) == ("rolled-back", before)
    assert "not one line of printable text" in run.errors[0]


@pytest.mark.parametrize("value", ["a'b\"c\\d$e `f` %s --", "ñandú 密码 🙂", " spaces "])
def test_a_given_value_arrives_as_it_is(stage: Stage, database: Database, value: str) -> None:
    run = fleet().plan_insert(APP, "token", Secret(value), options=HOOKED).apply()
    assert run.status == "done", run.errors
    assert database.password == value.encode()


@pytest.mark.slow
def test_neither_journal_nor_output_holds_the_value(
    stage: Stage, database: Database, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "opskit", "secret", "rotate", APP, "token", "--yes", "--stable",
         "0", "--hook", "redis:app"],
        env={**os.environ, **stage.env},
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert database.password not in kept + done.stdout + done.stderr
    assert database.password != OLD


# -- without the lock -----------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["waiting", "stopped", "refused"])
def test_a_database_gets_what_is_mounted_however_it_turns_out_that_the_lock_was_lost(
    stage: Stage, database: Database, when: str
) -> None:
    (unit,) = fleet().plan_rotate([TOKEN], HOOKED).data.units
    create, hook = (
        next(step for step in unit.steps if isinstance(step, kind))
        for kind in (CreateSecret, RunHook)
    )
    hold = Hold(engine=stage.engine, stack=stage.stack, run="r", owner="a", host="h")
    hold.take()
    stop = threading.Event()
    ctx = StepContext(
        engine=stage.engine, run="r", actor="a", host="h", stop=stop,
        lock=hold, ask_lock=hold.ask,
    )  # fmt: skip
    create.do(ctx)
    database.refuses = [(1 if when == "refused" else 75, "no")]

    def break_lock() -> None:
        lock.break_lock(stage.engine, stage.stack)
        if when == "stopped":
            stop.set()
        else:
            hold.ask()

    ctx.keep_lock = break_lock
    if when == "refused":
        # Its own answer is the last.
        asked = iter([hold.ask, break_lock])
        ctx.ask_lock = lambda: next(asked)()
    database.password = b"what the late hook had set"
    with pytest.raises(LockLostError, match="Its database was given the password that"):
        hook.do(ctx)
    assert [arguments[0] for arguments in database.ran] == ["set", "restore"]
    assert database.password == OLD
    assert lock.locks_among(SERVER, stage.engine.configs()) == []


# -- killed at every moment -----------------------------------------------------------------------

# As without a hook, and the hook's intent, outcome and request.
MOMENTS = 2 * (2 + 2 * 9 + 6)
# After begin come the lock, the creation, the way back's waiting.
HOOK_INTENT, HOOK_RUN, HOOK_OUTCOME = 19, 21, 23


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "how"),
    sorted(
        {
            *((moment, how) for moment, how in sampled(range(1, MOMENTS + 1), 0, 3)),
            *((moment, how) for moment in range(HOOK_INTENT - 2, HOOK_OUTCOME + 3) for how in WAYS),
        }
    ),
)
def test_a_kill_never_leaves_a_password_that_nobody_knows(
    stage: Stage, database: Database, how: str, moment: int
) -> None:
    before = stage.state()
    killed = apply_in_a_process(stage.env, "rotate with a hook", moment)
    assert killed, "the run has fewer moments than the test believes"
    assert (database.password != OLD) is (moment > HOOK_RUN)
    runs = fleet().journal()
    if runs.empty:
        assert (stage.state(), database.password) == (before, OLD)
    elif how == "rollback":
        ended = fleet().rollback(runs["run"][0])
        assert ended.status == "rolled-back", ended.errors
        assert (stage.state(), database.password) == (before, OLD)
    else:
        if runs["status"][0] != "done":
            ended = fleet().resume()
            assert ended.status == "done", ended.errors
        assert stage.state() == rotated(before, stage.stack)
        assert database.password == database.value_of(f"{stage.stack}_token_v2")


def test_the_moments_are_the_whole_run(stage: Stage) -> None:
    assert not apply_in_a_process(stage.env, "rotate with a hook", MOMENTS + 1)


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(HOOK_INTENT, HOOK_OUTCOME + 1))
def test_a_given_value_that_a_crash_lost_leads_back(
    stage: Stage, database: Database, moment: int
) -> None:
    before = stage.state()
    assert apply_in_a_process(stage.env, "insert with a hook", moment)
    assert (database.password == b"typed by hand") is (moment > HOOK_RUN)

    ended = fleet().resume()
    assert (ended.status, stage.state()) == ("rolled-back", before)
    assert "Insert it again" in ended.errors[0]
    assert database.password == OLD
