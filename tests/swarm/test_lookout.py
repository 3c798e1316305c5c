"""Looking at services for all who wait for them, whatever becomes of events and connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from opskit.demo.engine import Swarm
from opskit.errors import InputError, OpskitError, UnreachableError
from opskit.swarm import lookout as module
from opskit.swarm.context import Context
from opskit.swarm.engine import Engine
from opskit.swarm.lookout import Look, Lookout
from opskit.swarm.transport import Transport
from tests.conftest import embedded
from tests.contract.conftest import Bench
from tests.line import Line, line
from tests.swarm.scripted import Conversation, serving
from tests.waiting import LIMIT, eventually

NEVER = 100_000.0


def listeners() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("opskit-lookout")]


def nothing() -> None:
    """Have nothing else to see to."""


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Line]:
    """A line to an engine of one's own."""
    with embedded(tmp_path / "e", Swarm("embedded")) as host, line(tmp_path / "l", host) as laid:
        yield laid


@pytest.fixture
def bench(wire: Line) -> Iterator[Bench]:
    transport = Transport()
    yield Bench(Context(server="one", host=wire.host), transport, "t")
    transport.close()


@pytest.fixture
def lookout(bench: Bench) -> Lookout:
    return bench.engine.lookout()


@pytest.fixture
def ids(bench: Bench) -> list[str]:
    """Two services with a task each."""
    for name in ("a", "b"):
        bench.engine._post("/services/create", bench.service(name))
    eventually(
        lambda: [task.status.state for task in bench.engine.tasks()],
        "both to run",
        lambda states: states == ["running", "running"],
    )
    return [one.id for one in bench.engine.services()]


def force(engine: Engine, ident: str) -> None:
    """Give a service new tasks."""
    raw = engine.raw_service(ident)
    raw.spec["TaskTemplate"]["ForceUpdate"] = raw.spec["TaskTemplate"].get("ForceUpdate", 0) + 1
    engine.update_service(ident, raw.service.version.index, raw.spec)


def now(lookout: Lookout, ids: list[str]) -> Look:
    return lookout.look(ids, after=time.monotonic(), by=0.0, attend=nothing)


def following(lookout: Lookout, ids: list[str], look: Look) -> Look:
    return lookout.look(ids, after=look.begun, by=NEVER + look.ended, attend=nothing)


@contextmanager
def listening(lookout: Lookout, ids: list[str], patch: pytest.MonkeyPatch) -> Iterator[Look]:
    """Come to where only an event is followed by another look."""
    with lookout.attended(ids):
        look = following(lookout, ids, now(lookout, ids))
        eventually(lambda: lookout._ear and lookout._ear.hears, "the engine to be heard")
        patch.setattr(module, "_SLOW_S", NEVER)
        patch.setattr(module, "_SLOWER", NEVER)
        # The last that was due before, and the last that comes quickly.
        for _ in range(3):
            look = now(lookout, ids)
        yield look


def test_all_who_wait_are_given_the_same_looks(
    lookout: Lookout, ids: list[str], wire: Line
) -> None:
    with ThreadPoolExecutor() as threads, lookout.attended(ids):
        first = now(lookout, ids)
        wire.asked.clear()
        found = list(threads.map(lambda one: following(lookout, [one], first), ids * 4))
    assert len(set(map(id, found))) == 1
    assert wire.asked.count("/tasks") == 1


def test_a_look_begins_after_it_was_asked_for(lookout: Lookout, ids: list[str]) -> None:
    with lookout.attended(ids):
        looks = [now(lookout, ids)]
        asked = time.monotonic()
        looks += [now(lookout, ids), now(lookout, ids)]
    assert looks[0].ended <= asked < looks[1].begun <= looks[1].ended <= looks[2].begun


def test_one_who_comes_later_is_shown_his_own_services(lookout: Lookout, ids: list[str]) -> None:
    a, b = ids
    with lookout.attended([a]):
        first = now(lookout, [a])
        assert first.services.keys() == first.tasks.keys() == {a}
        with lookout.attended([b]):
            both = lookout.look([b], after=0.0, by=0.0, attend=nothing)
        assert both.services.keys() == {a, b}
        assert following(lookout, [a], both).services.keys() == {a}


def test_more_services_than_an_address_may_name_are_seen_as_well(
    lookout: Lookout, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_NAMED", 1)
    with lookout.attended(ids):
        assert now(lookout, ids).tasks.keys() == set(ids)


def test_what_a_spec_holds_is_not_shown(bench: Bench, lookout: Lookout) -> None:
    spec = bench.service("c", container={"Env": ["PASSWORD=not-to-be-shown"]})
    bench.engine._post("/services/create", spec)
    (made,) = bench.engine.services()
    with lookout.attended([made.id]):
        look = now(lookout, [made.id])
    raw = bench.engine.raw_service(made.id)
    assert look.services[made.id].spec == raw.spec
    assert "not-to-be-shown" in str(raw.spec)
    assert "not-to-be-shown" not in repr((look, raw))


def test_of_what_happens_the_next_look_tells(
    bench: Bench, lookout: Lookout, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor() as threads, listening(lookout, ids, monkeypatch) as look:
        later = threads.submit(following, lookout, ids, look)
        force(bench.engine, ids[0])
        assert later.result(LIMIT).begun > look.begun


@pytest.mark.slow
def test_when_no_more_can_be_heard_looks_go_on(
    bench: Bench, lookout: Lookout, ids: list[str], wire: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor() as threads, listening(lookout, ids, monkeypatch) as look:
        later = threads.submit(following, lookout, ids, look)
        wire.cut()
        look = later.result(LIMIT)
        assert listeners() == []
        for _ in range(3):
            look = following(lookout, ids, look)


def test_where_nothing_is_told_looks_go_on(tmp_path: Path) -> None:
    def talk(one: Conversation) -> None:
        for request in one:
            if request.path == "/events":
                one.reply({"message": "not allowed"}, 403)
            else:
                one.reply([])

    transport = Transport()
    with serving(tmp_path / "s", talk) as server:
        context = Context(server="one", host=server.host)
        lookout = Lookout(context, seconds=LIMIT, transport=transport)
        with lookout.attended([]):
            look = now(lookout, [])
            for _ in range(3):
                look = following(lookout, [], look)
            eventually(lambda: not listeners(), "the listener to give up")
        transport.close()


def test_events_that_never_begin_keep_nobody_who_has_seen_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BEGIN_S", NEVER)

    def talk(one: Conversation) -> None:
        for request in one:
            # Some proxies hold back the head of a reply until there is something behind it.
            if request.path != "/events":
                one.reply([])

    transport = Transport()
    with ThreadPoolExecutor() as threads, serving(tmp_path / "s", talk) as server:
        lookout = Lookout(
            Context(server="one", host=server.host), seconds=LIMIT, transport=transport
        )

        def wait() -> None:
            with lookout.attended([]):
                following(lookout, [], now(lookout, []))
                eventually(lambda: ["/events"] in server.asked, "it to ask for events")

        threads.submit(wait).result(LIMIT)
        assert listeners() == []
        transport.close()


def test_nobody_listens_once_nobody_waits(lookout: Lookout, ids: list[str], wire: Line) -> None:
    with lookout.attended(ids), lookout.attended(ids[:1]):
        following(lookout, ids, now(lookout, ids))
        assert listeners() == ["opskit-lookout one"]
    assert listeners() == []
    # Who waits later is told again.
    with lookout.attended(ids):
        following(lookout, ids, now(lookout, ids))
        eventually(lambda: wire.asked.count("/events"), "it to listen again", lambda n: n == 2)
    assert listeners() == []


def test_without_threads_left_looks_go_on(
    lookout: Lookout, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", exhausted)
    with lookout.attended(ids):
        assert following(lookout, ids, now(lookout, ids)).services.keys() == set(ids)


def test_what_its_caller_must_see_to_ends_the_waiting(lookout: Lookout, ids: list[str]) -> None:
    def told_to_stop() -> None:
        raise InputError("stop")

    with lookout.attended(ids):
        first = now(lookout, ids)
        with pytest.raises(InputError, match="stop"):
            lookout.look(ids, after=first.begun, by=NEVER + first.ended, attend=told_to_stop)


def test_all_who_wait_hear_why_nothing_could_be_read_and_then_that_it_can(
    tmp_path: Path,
) -> None:
    transport, path = Transport(), tmp_path / "e"
    lookout = Lookout(Context(server="one", host=f"unix://{path}"), seconds=LIMIT,
                      transport=transport)  # fmt: skip

    def refused(_: int) -> OpskitError:
        with pytest.raises(UnreachableError) as caught:
            lookout.look([], after=0.0, by=0.0, attend=nothing)
        return caught.value

    with ThreadPoolExecutor() as threads, lookout.attended([]):
        assert len(set(map(id, threads.map(refused, range(4))))) == 1
        with embedded(path, Swarm("embedded")):
            assert now(lookout, []).nodes
    transport.close()


def test_a_fault_of_the_one_who_reads_leaves_the_others_reading(
    lookout: Lookout, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*_: Any) -> Look:
        raise ZeroDivisionError

    with lookout.attended(ids):
        with monkeypatch.context() as patch:
            patch.setattr(lookout, "_seen", faulty)
            with pytest.raises(ZeroDivisionError):
                now(lookout, ids)
        assert now(lookout, ids).services.keys() == set(ids)


@pytest.mark.slow
def test_however_much_happens_the_engine_is_not_asked_all_the_time(
    lookout: Lookout, ids: list[str], wire: Line
) -> None:
    over = threading.Event()

    def happens() -> None:
        while not over.is_set():
            lookout._happened()

    flood = threading.Thread(target=happens)
    with lookout.attended(ids):
        look = now(lookout, ids)
        flood.start()
        for _ in range(4):
            ended, look = look.ended, following(lookout, ids, look)
            assert look.begun - ended >= module._QUICK_S
        over.set()
    flood.join(LIMIT)
