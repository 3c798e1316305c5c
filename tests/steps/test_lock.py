"""The lock of a stack: whose it is, and until when, by the engine's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opskit.errors import EngineError, LockHeldError, LockLostError, UnreachableError
from opskit.steps import ReleaseLock, StepContext, holding, lock
from opskit.steps.holding import Hold
from opskit.swarm.engine import Engine
from tests.stage import SERVER, Stage
from tests.waiting import eventually


def take(stage: Stage, run: str) -> None:
    lock.take(stage.engine, stage.stack, run=run, owner="kim", host="laptop")


def held(stage: Stage) -> lock.Lock:
    (found,) = (
        one for one in lock.locks_among(SERVER, stage.engine.configs()) if one.stack == stage.stack
    )
    return found


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_holder_whose_clock_is_wrong_holds_it_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    wrong = datetime.now(UTC) + timedelta(hours=hours)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return wrong

    with monkeypatch.context() as patched:
        patched.setattr(lock, "datetime", Clock)
        take(stage, "first")
    with pytest.raises(LockHeldError, match="kim@laptop with run first"):
        take(stage, "second")
    assert not held(stage).is_expired


def test_one_that_is_not_renewed_goes_to_who_asks(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(stage, "first")
    monkeypatch.setattr(lock, "LIFETIME", timedelta(0))
    take(stage, "second")
    assert held(stage).run == "second"
    assert not lock.release(stage.engine, stage.stack, run="first")
    assert lock.release(stage.engine, stage.stack, run="second")


def test_a_holder_that_comes_back_late_cannot_release_what_another_took(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(stage, "first")
    remove = Engine.remove_config

    def late(engine: Engine, ident: str) -> None:
        # Between reading whose it is and removing it, it has run out and is taken over.
        monkeypatch.setattr(Engine, "remove_config", remove)
        with monkeypatch.context() as patched:
            patched.setattr(lock, "LIFETIME", timedelta(0))
            take(stage, "second")
        remove(engine, ident)

    monkeypatch.setattr(Engine, "remove_config", late)
    assert not lock.release(stage.engine, stage.stack, run="first")
    assert held(stage).run == "second"
    with pytest.raises(LockHeldError, match="with run second"):
        take(stage, "first")


def test_a_lock_that_is_renewed_while_another_asks_stays(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(stage, "first")
    label = Engine.label_config

    def late(engine: Engine, *arguments: Any) -> None:
        monkeypatch.setattr(Engine, "label_config", label)
        take(stage, "first")
        label(engine, *arguments)

    monkeypatch.setattr(Engine, "label_config", late)
    with monkeypatch.context() as patched:
        patched.setattr(lock, "LIFETIME", timedelta(0))
        with pytest.raises(LockHeldError, match="this moment"):
            take(stage, "second")
    assert held(stage).run == "first"


def test_one_that_a_third_takes_while_another_asks_is_theirs(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(stage, "first")
    find = lock._config

    def late(engine: Engine, stack: str) -> Any:
        monkeypatch.setattr(lock, "_config", find)
        lock.release(stage.engine, stage.stack, run="first")
        found = find(engine, stack)
        take(stage, "third")
        return found

    monkeypatch.setattr(lock, "_config", late)
    with pytest.raises(LockHeldError, match="this moment"):
        take(stage, "second")
    assert held(stage).run == "third"


@pytest.mark.slow
def test_renewing_keeps_since_when_it_is_held(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(stage, "first")
    before = held(stage)
    later = before.taken_at + timedelta(seconds=1.1)
    eventually(lambda: datetime.now(UTC), f"the clock to show {later}", lambda now: now >= later)
    take(stage, "first")
    after = held(stage)
    assert after.taken_at == before.taken_at
    assert after.expires_at > before.expires_at


def holder(stage: Stage, run: str) -> Hold:
    return Hold(engine=stage.engine, stack=stage.stack, run=run, owner="kim", host="laptop")


def test_a_holder_finds_out_that_its_lock_was_broken_and_makes_none_anew(stage: Stage) -> None:
    hold = holder(stage, "first")
    hold.take()
    hold.ask()
    lock.break_lock(stage.engine, stage.stack)
    for ask in (hold.ask, hold.ask):
        with pytest.raises(LockLostError, match="broken or ran out, and nobody holds it now"):
            ask()
    assert lock.locks_among(SERVER, stage.engine.configs()) == []


@pytest.mark.parametrize("renews", [False, True])
def test_a_lock_of_the_same_name_and_run_that_was_made_anew_is_another(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, renews: bool
) -> None:
    hold = holder(stage, "first")
    hold.take()
    lock.break_lock(stage.engine, stage.stack)
    take(stage, "first")
    if renews:
        monkeypatch.setattr(holding, "_RENEW_S", -1)
    with pytest.raises(LockLostError):
        hold.ask()


def test_a_lock_that_somebody_else_wrote_to_is_lost(stage: Stage) -> None:
    hold = holder(stage, "first")
    hold.take()
    hold.ask()
    (found,) = stage.engine.configs(lock.lock_name(stage.stack))
    stage.engine.label_config(found, b"held by opskit", found.spec.labels or {})
    with pytest.raises(LockLostError):
        hold.ask()


def test_a_holder_renews_its_own(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = holder(stage, "first")
    hold.take()
    (before,) = stage.engine.configs(lock.lock_name(stage.stack))
    monkeypatch.setattr(holding, "_RENEW_S", -1)
    for _ in range(3):
        hold.ask()
    (after,) = stage.engine.configs(lock.lock_name(stage.stack))
    assert after.id == before.id
    assert after.version.index > before.version.index


def test_a_holder_that_lost_its_lock_is_told_who_has_it(stage: Stage) -> None:
    hold = holder(stage, "first")
    hold.take()
    lock.break_lock(stage.engine, stage.stack)
    take(stage, "second")
    with pytest.raises(LockLostError, match="locked by kim@laptop with run second"):
        hold.ask()
    assert not hold.release()
    assert held(stage).run == "second"


def test_a_lock_that_could_not_be_released_is_still_the_holders(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = holder(stage, "first")
    hold.take()

    def unanswered(engine: Engine, ident: str) -> None:
        raise UnreachableError("no answer", server=engine.server)

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "remove_config", unanswered)
        with pytest.raises(UnreachableError):
            hold.release()
    hold.ask()
    assert hold.release()
    with pytest.raises(LockLostError, match="nobody holds it now"):
        hold.ask()


def test_a_lock_that_went_to_somebody_unseen_is_not_said_to_be_the_runs(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unseen(engine: Engine, stack: str) -> LockLostError:
        raise EngineError("it does not say", server=engine.server)

    take(stage, "second")
    monkeypatch.setattr(lock, "lost", unseen)
    ctx = StepContext(
        engine=stage.engine, run="first", actor="kim", host="laptop", lock=holder(stage, "first")
    )
    said = ReleaseLock(stack=stage.stack).do(ctx)
    note = "once all was done, the lock was no longer this run's; whose it is was not seen."
    assert said == {"released": False, "note": note}


def test_a_lock_that_was_held_once_more_is_released_as_soon_as_the_server_answers(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = Engine.remove_config

    def unanswered(engine: Engine, ident: str) -> None:
        monkeypatch.setattr(Engine, "remove_config", remove)
        raise UnreachableError("no answer", server=engine.server)

    monkeypatch.setattr(Engine, "remove_config", unanswered)
    ctx = StepContext(engine=stage.engine, run="first", actor="kim", host="laptop")
    with holder(stage, "first").anew(ctx):
        assert held(stage).run == "first"
    assert lock.locks_among(SERVER, stage.engine.configs()) == []
