"""A snapshot that stays fresh, whatever becomes of events, connections and engines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import opskit
from opskit.demo.dockerd import DockerdFleet, why_not
from opskit.demo.engine import Swarm
from opskit.demo.fleet import write_contexts
from opskit.errors import InputError
from opskit.reading import watching
from opskit.reading.watching import Live, Schedule
from opskit.swarm.context import Context
from opskit.swarm.engine import Engine
from opskit.swarm.transport import TRANSPORT, Transport
from tests.conftest import embedded
from tests.line import Line, line
from tests.stage import APP, SERVER, Stage
from tests.waiting import LIMIT, eventually, linger

Make = Callable[[str], str]
NEVER = 100_000.0
"""A period after which nothing of these tests is left."""


def names(live: Live) -> set[str]:
    """Name the secrets that are there."""
    secrets = live.snapshot.secrets
    return set(secrets[secrets["observed"]]["swarm_name"])


def shown(live: Live, view: str, condition: str) -> int:
    return len(getattr(live.snapshot, view).select(condition))


def threads() -> list[str]:
    """Name the threads that watch something."""
    return [one.name for one in threading.enumerate() if one.name.startswith("opskit-watch")]


@pytest.fixture
def live(stage: Stage) -> Iterator[Live]:
    """Watch a stage by nothing but what its engine tells."""
    stage.write_files()
    with opskit.Fleet.from_abra().watch(NEVER) as live:
        yield live


@contextmanager
def watched(
    root: Path, monkeypatch: pytest.MonkeyPatch, hosts: dict[str, str], period: float = NEVER
) -> Iterator[Live]:
    """Watch servers without apps."""
    for name in hosts:
        (root / "abra" / "servers" / name).mkdir(parents=True, exist_ok=True)
    write_contexts(root / "docker", hosts)
    monkeypatch.setenv("DOCKER_CONFIG", str(root / "docker"))
    with opskit.Fleet(root / "abra").watch(period) as live:
        yield live
    TRANSPORT.close()


@pytest.fixture
def fresh_ssh_fleet() -> Iterator[DockerdFleet]:
    """A real swarm over ssh that a test may cut off."""
    if reason := why_not(ssh=True):
        pytest.skip(reason)
    with DockerdFleet(1, ssh=True) as fleet:
        yield fleet


@pytest.fixture
def swarm() -> Swarm:
    return Swarm("embedded")


@pytest.fixture
def host(tmp_path: Path, swarm: Swarm) -> Iterator[str]:
    """An engine of one's own."""
    with embedded(tmp_path / "e", swarm) as host:
        yield host


@pytest.fixture
def wire(tmp_path: Path, host: str) -> Iterator[Line]:
    """A line to it."""
    with line(tmp_path / "l", host) as laid:
        yield laid


@pytest.fixture
def make(host: str) -> Iterator[Callable[[str], str]]:
    """Make secrets in it, past the line, and give their ids."""
    with making(host) as engine:
        yield lambda name: engine.create_secret(name, b"x", {})


@contextmanager
def making(host: str) -> Iterator[Engine]:
    transport = Transport()
    yield Engine(Context(server="one", host=host), seconds=LIMIT, transport=transport)
    transport.close()


@pytest.fixture
def one(tmp_path: Path, wire: Line, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    """Watch an engine over a line, by nothing but what it tells."""
    with watched(tmp_path, monkeypatch, {"one": wire.host}) as live:
        # It listens only once the look has been that comes after the first snapshot.
        eventually(lambda: "/events" in wire.asked, "the engine to be listened to")
        yield live


# -- from what happens to the row ------------------------------------------------------------------


def test_a_secret_is_a_row_when_it_is_made_and_none_when_it_is_gone(
    stage: Stage, live: Live
) -> None:
    stage.create("token_v1")
    eventually(lambda: f"{stage.stack}_token_v1" in names(live), "the secret's row")
    (secret,) = stage.engine.secrets(f"{stage.stack}_token_v1")
    stage.engine.remove_secret(secret.id)
    eventually(lambda: f"{stage.stack}_token_v1" not in names(live), "the row to go")


def test_a_deployed_service_and_its_task_come_to_run_in_the_tables(
    stage: Stage, live: Live
) -> None:
    stage.create("token_v1", "key_v1")
    stage.deploy("app", ["token", "key"])
    mine = f"stack == '{stage.stack}'"
    eventually(lambda: shown(live, "services", f"{mine} and running == 1"), "a running service")
    eventually(lambda: shown(live, "tasks", f"{mine} and state == 'running'"), "a running task")
    eventually(lambda: shown(live, "apps", f"app == '{APP}' and deployed"), "a deployed app")
    current = f"{mine} and state == 'current'"
    eventually(lambda: shown(live, "secrets", current) == 2, "two secrets in use")


@pytest.mark.slow
def test_a_changed_file_changes_the_rows(stage: Stage, live: Live) -> None:
    stage.env_file.write_bytes(stage.env_file.read_bytes().replace(b"'v1'", b"'v2'"))
    wanted = f"stack == '{stage.stack}' and secret == 'token' and version == 'v2'"
    eventually(lambda: shown(live, "secrets", wanted), "the version that is declared now")


@pytest.mark.slow
def test_files_that_are_slow_to_read_are_looked_at_as_often(
    tmp_path: Path, one: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared, read = one._declared, list[Any]()

    def slowly() -> Any:
        linger(LIMIT / 100)
        read.append(declared())
        return read[-1]

    monkeypatch.setattr(one, "_declared", slowly)
    eventually(lambda: read, "the files to be read")
    (tmp_path / "abra" / "servers" / "two").mkdir()
    eventually(lambda: shown(one, "servers", "server == 'two'"), "the new server")


@pytest.mark.slow
def test_files_that_are_slow_to_look_at_are_read_after_each_period(
    tmp_path: Path, wire: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = watching.marks

    def slowly(root: Path) -> Any:
        linger(LIMIT / 100)
        return marks(root)

    with watched(tmp_path, monkeypatch, {"one": wire.host}, period=1) as live:
        monkeypatch.setattr(watching, "marks", slowly)
        for name in ("two", "three"):
            (tmp_path / "abra" / "servers" / name).mkdir()
            eventually(lambda name=name: shown(live, "servers", f"server == '{name}'"), name)


@pytest.mark.slow
def test_a_new_server_is_watched_and_one_that_is_gone_is_left(
    tmp_path: Path, wire: Line, make: Make, one: Live
) -> None:
    servers = tmp_path / "abra" / "servers"
    write_contexts(tmp_path / "docker", {"one": wire.host, "two": wire.host})
    (servers / "two").mkdir()
    eventually(lambda: shown(one, "servers", "server == 'two' and manager"), "the new server")
    assert "opskit-watch server two" in threads()
    (servers / "two").rmdir()
    eventually(lambda: not shown(one, "servers", "server == 'two'"), "it to be gone")
    make("a_v1")
    eventually(lambda: "opskit-watch server two" not in threads(), "its thread to end")
    eventually(lambda: "a_v1" in names(one), "the other server's row")


def test_two_contexts_of_one_swarm_tell_what_nobody_declares_once(
    tmp_path: Path, wire: Line, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watched(tmp_path, monkeypatch, {"one": wire.host, "two": wire.host}) as live:
        make("orphan_v1")
        eventually(lambda: "orphan_v1" in names(live), "the orphan's row")

        def known() -> list[int]:
            return [len(seen.secrets) for seen in live.snapshot.facts.observed]

        eventually(known, "both to know", lambda found: found == [1, 1])
        assert shown(live, "secrets", "swarm_name == 'orphan_v1'") == 1


# -- whatever goes wrong ---------------------------------------------------------------------------


def test_after_a_broken_connection_nothing_stays_missed(wire: Line, make: Make, one: Live) -> None:
    for number in range(3):
        wire.cut()
        make(f"a_v{number}")
        eventually(lambda number=number: f"a_v{number}" in names(one), "the secret's row")
    assert one.snapshot.facts.missing() == {}


def test_an_engine_that_restarts_is_missing_and_then_back(
    tmp_path: Path, swarm: Swarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded(tmp_path / "e", swarm) as host:
        context = watched(tmp_path, monkeypatch, {"one": host})
        live = context.__enter__()
    eventually(lambda: "one" in live.snapshot.facts.missing(), "the server to be missing")
    with embedded(tmp_path / "e", swarm) as host, making(host) as engine:
        engine.create_secret("a_v1", b"x", {})
        eventually(lambda: "a_v1" in names(live), "the server to be back with its new secret")
        context.__exit__(None, None, None)


@pytest.mark.swarm
@pytest.mark.slow
def test_a_real_engine_that_is_killed_is_missing_and_then_back(
    fresh_fleet: Callable[[int], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = fresh_fleet(1)
    with watched(tmp_path, monkeypatch, {"one": fleet.host("srv1")}) as live:
        assert live.snapshot.facts.missing() == {}
        fleet.daemons["srv1"].kill()
        eventually(lambda: "one" in live.snapshot.facts.missing(), "the server to be missing")
        fleet.daemons["srv1"].launch()
        fleet.daemons["srv1"].wait()
        eventually(lambda: live.snapshot.facts.missing() == {}, "the server to be back")


@pytest.mark.swarm
@pytest.mark.slow
def test_over_ssh_a_cut_is_missed_and_mended(
    fresh_ssh_fleet: DockerdFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = fresh_ssh_fleet
    for name, value in fleet.env.items():
        monkeypatch.setenv(name, value)
    with opskit.Fleet.from_abra().watch(NEVER) as live, making(fleet.host("srv1")) as engine:
        engine.create_secret("a_v1", b"x", {})
        eventually(lambda: "a_v1" in names(live), "the secret's row")
        fleet.cut("srv1")
        eventually(lambda: "srv1" in live.snapshot.facts.missing(), "the server to be missing")
        engine.create_secret("b_v1", b"x", {})
        fleet.mend("srv1")
        eventually(lambda: "b_v1" in names(live), "the server to be back with its new secret")
    assert threads() == []
    TRANSPORT.close()


Often = list[int]
"""How often each event in turn is told; a number below 0: that often, and after the next one."""


@pytest.mark.slow
@given(
    disturbance=st.lists(st.integers(-2, 2), min_size=1, max_size=6),
    removals=st.lists(st.booleans(), min_size=1, max_size=6),
)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_lost_doubled_or_late_after_a_period_all_is_right(
    tmp_path_factory: pytest.TempPathFactory, disturbance: Often, removals: list[bool]
) -> None:
    swarm, root = Swarm("embedded"), tmp_path_factory.mktemp("w")
    tell, held, told = swarm.events.tell, list[tuple[Any, Any]](), 0

    def badly(*words: Any, **more: Any) -> None:
        nonlocal told
        often = disturbance[told % len(disturbance)]
        told += 1
        late, held[:] = list(held), [(words, more)] * -min(often, 0)
        for said, attributes in [*[(words, more)] * max(often, 0), *late]:
            tell(*said, **attributes)

    swarm.events.tell = badly  # type: ignore[method-assign]
    with (
        embedded(root / "e", swarm) as host,
        pytest.MonkeyPatch.context() as patch,
        watched(root, patch, {"one": host}, period=1) as live,
    ):
        made: dict[str, str] = {}
        with making(host) as engine:
            for number, is_removal in enumerate(removals):
                if is_removal and made:
                    engine.remove_secret(made.popitem()[1])
                else:
                    made[f"a_v{number}"] = engine.create_secret(f"a_v{number}", b"x", {})
        wanted = set(made)
        eventually(lambda: names(live), "the rows to be right", lambda found: found == wanted)


def test_a_server_that_refuses_to_tell_is_read_after_each_period(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.swarm.scripted import Conversation, serving

    secrets = ["a_v1"]

    def talk(one: Conversation) -> None:
        for request in one:
            if request.path == "/events":
                one.reply({"message": "not allowed"}, 403)
            elif request.path == "/secrets":
                one.reply([{"ID": name, "CreatedAt": "2026-11-01T00:00:00Z",
                            "Spec": {"Name": name}} for name in secrets])  # fmt: skip
            else:
                one.reply(b"OK" if request.path == "/_ping" else request.answer)

    with (
        serving(tmp_path / "s", talk) as server,
        watched(tmp_path, monkeypatch, {"one": server.host}, period=1) as live,
    ):
        secrets.append("b_v1")
        eventually(lambda: "b_v1" in names(live), "the new secret's row")


@contextmanager
def failing_once(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> Iterator[list[threading.ExceptHookArgs]]:
    """Let a function raise at its next call what nobody foresees, and give what is reported."""
    whole, reported = getattr(owner, name), list[threading.ExceptHookArgs]()
    monkeypatch.setattr(threading, "excepthook", reported.append)

    def fail(*_: Any, **__: Any) -> Any:
        monkeypatch.setattr(owner, name, whole)
        raise ValueError("unforeseen")

    monkeypatch.setattr(owner, name, fail)
    yield reported
    assert [str(error.exc_value) for error in reported] == ["unforeseen"]


def test_a_server_is_watched_on_after_a_fault_that_nobody_foresees(
    make: Make, one: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    (thread,) = (one for one in threading.enumerate() if one.name == "opskit-watch server one")
    with failing_once(monkeypatch, watching, "observe_server") as reported:
        make("a_v1")
        eventually(lambda: "a_v1" in names(one), "the row")
        eventually(lambda: reported, "the fault to be shown")
        make("b_v1")
        eventually(lambda: "b_v1" in names(one), "the next row")
    assert thread.is_alive()


@pytest.mark.slow
def test_files_are_watched_on_after_a_fault_that_nobody_foresees(
    tmp_path: Path, wire: Line, one: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    with failing_once(monkeypatch, watching, "marks") as reported:
        eventually(lambda: reported, "the fault to be shown")
        (tmp_path / "abra" / "servers" / "two").mkdir()
        eventually(lambda: shown(one, "servers", "server == 'two'"), "the new server")


@pytest.mark.slow
def test_what_cannot_be_read_of_the_files_is_said_and_what_was_known_stays(
    tmp_path: Path, one: Live
) -> None:
    servers = tmp_path / "abra" / "servers"
    servers.rename(tmp_path / "away")
    eventually(lambda: one.snapshot.facts.declared.problems, "a problem")
    assert shown(one, "servers", "server == 'one'") == 1
    (tmp_path / "away").rename(servers)
    eventually(lambda: not one.snapshot.facts.declared.problems, "the problem to be gone")


# -- how much is read ------------------------------------------------------------------------------


def test_of_a_burst_not_each_event_is_a_look() -> None:
    schedule, looks = Schedule(300, now=0.0), 0
    for hundredth in range(300):
        now = hundredth / 100
        if schedule.due <= now:
            looks += 1
            schedule.looked(now, 0.0, moving=False)
        schedule.happened(now)
    assert looks == 15


def test_after_a_burst_every_row_is_there(make: Make, one: Live) -> None:
    for number in range(100):
        make(f"a_v{number}")
    eventually(lambda: len(names(one)) == 100, "100 rows")


@pytest.mark.slow
def test_a_server_at_rest_is_left_alone(wire: Line, one: Live) -> None:
    def looks() -> int:
        return wire.asked.count("/secrets")

    # One once it is listened to, and two as after an event; the first snapshot's goes with the
    # greeting, where the line does not hear it.
    eventually(looks, "the looks of the beginning", lambda count: count == 3)
    linger(2)
    assert looks() == 3
    assert wire.asked.count("/events") == 1


def test_when_nothing_is_told_the_next_look_is_after_the_period() -> None:
    schedule = Schedule(300, now=0.0)
    for _ in range(3):
        schedule.looked(schedule.due, 0.1, moving=False)
    assert 240 <= schedule.due - 1.6 <= 300


def test_an_event_is_followed_by_a_look_at_once_and_others_soon() -> None:
    schedule = Schedule(300, now=0.0)
    for _ in range(5):
        schedule.looked(10.0, 0.1, moving=False)
    schedule.happened(100.0)
    assert schedule.due == pytest.approx(100.05)
    looks = []
    for _ in range(3):
        schedule.looked(schedule.due, 0.1, moving=False)
        looks.append(schedule.due - 100)
    assert looks[:2] == pytest.approx([0.45, 1.65])
    assert looks[2] > 200


def test_what_is_on_its_way_is_looked_at_ever_more_rarely_until_it_is_there() -> None:
    schedule = Schedule(300, now=0.0)
    gaps = []
    for _ in range(12):
        due = schedule.due
        schedule.looked(due, 0.1, moving=True)
        gaps.append(schedule.due - due)
    assert gaps[:5] == pytest.approx([0.4, 1.2, 2.4, 4.8, 9.6])
    assert 240 <= gaps[-1] <= 300


def test_however_much_happens_reading_takes_no_more_than_a_third_of_the_time() -> None:
    schedule = Schedule(300, now=0.0)
    schedule.looked(10.0, took=2.0, moving=False)
    schedule.happened(10.1)
    assert schedule.due <= 10.4  # the look after the last event
    schedule.looked(schedule.due, took=2.0, moving=False)
    done = schedule.due
    schedule.happened(done)
    assert schedule.due <= done + 4


# -- waiting for changes ---------------------------------------------------------------------------


def test_whoever_iterates_gets_a_snapshot_after_each_change(make: Make, one: Live) -> None:
    changes = iter(one)
    make("a_v1")
    snap = next(changes)
    assert "a_v1" in set(snap.secrets["swarm_name"])


def test_a_snapshot_that_somebody_holds_stays_as_it_is(make: Make, one: Live) -> None:
    held, changes = one.snapshot, iter(one)
    before = pd.DataFrame(held.secrets)
    make("a_v1")
    next(changes)
    pd.testing.assert_frame_equal(pd.DataFrame(held.secrets), before)


def test_iterating_ends_when_nothing_changes_for_long_enough(one: Live) -> None:
    assert list(one.changes(timeout=0.01)) == []


def test_iterating_ends_when_it_is_closed(one: Live) -> None:
    changes = iter(one)
    threading.Timer(0.05, one.close).start()
    assert list(changes) == []


def test_who_subscribed_is_told_and_no_more_once_stopped(make: Make, one: Live) -> None:
    told: list[opskit.Snapshot] = []
    stop = one.subscribe(told.append)
    make("a_v1")
    eventually(lambda: told and "a_v1" in set(told[-1].secrets["swarm_name"]), "to be told")
    stop()
    stop()
    count, changes = len(told), iter(one)
    make("b_v1")
    next(changes)
    assert len(told) == count


def test_of_two_subscriptions_of_one_function_each_ends_for_itself(make: Make, one: Live) -> None:
    told: list[opskit.Snapshot] = []
    stop, _ = one.subscribe(told.append), one.subscribe(told.append)
    stop()
    stop()
    make("a_v1")
    eventually(lambda: told and "a_v1" in set(told[-1].secrets["swarm_name"]), "to be told")


def test_what_a_subscriber_raises_is_shown_and_the_next_change_is_told(
    make: Make, one: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    told: list[opskit.Snapshot] = []

    def badly(_: opskit.Snapshot) -> None:
        raise ValueError("mine")

    one.subscribe(badly)
    one.subscribe(told.append)
    for name in ("a_v1", "b_v1"):
        make(name)
        eventually(lambda name=name: told and name in set(told[-1].secrets["swarm_name"]), name)
    assert {str(error.exc_value) for error in raised} == {"mine"}


# -- its end ---------------------------------------------------------------------------------------


def test_when_it_is_closed_no_thread_and_no_connection_of_it_is_left(
    wire: Line, make: Make, one: Live
) -> None:
    one.subscribe(lambda _: None)
    assert len(threads()) == 3
    one.close()
    one.close()
    assert threads() == []
    TRANSPORT.close()
    eventually(lambda: wire.connections, "the connections to end", lambda count: count == 0)
    make("a_v1")
    assert "a_v1" not in names(one)
    assert "closed" in repr(one)


def test_it_is_closed_for_whoever_closes_it_meanwhile(
    make: Make, one: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, begun, over = watching.observe_server, threading.Event(), threading.Event()

    def held(*arguments: Any) -> Any:
        begun.set()
        over.wait(LIMIT)
        return look(*arguments)

    monkeypatch.setattr(watching, "observe_server", held)
    make("a_v1")
    assert begun.wait(LIMIT)
    first = threading.Thread(target=one.close)
    first.start()
    eventually(lambda: "closed" in repr(one), "it to be closed")
    threading.Timer(0.1, over.set).start()
    one.close()
    assert threads() == []
    first.join()


def test_it_can_be_closed_by_whom_it_tells(make: Make, one: Live) -> None:
    one.subscribe(lambda _: one.close())
    make("a_v1")
    eventually(lambda: threads() == [], "its threads to end")


def test_watching_leaves_no_descriptor_open(
    tmp_path: Path, wire: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_ones() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def once() -> None:
        with watched(tmp_path, monkeypatch, {"one": wire.host}):
            eventually(lambda: "/events" in wire.asked, "the engine to be listened to")
        wire.asked.clear()
        eventually(lambda: wire.connections, "the line to be idle", lambda count: count == 0)

    once()
    before = open_ones()
    for _ in range(3):
        once()
    eventually(open_ones, "no more open files than before", lambda count: count <= before)


@pytest.mark.parametrize("period", [0, 0.5, -1, "often", float("nan")])
def test_a_period_that_is_none_is_refused(tmp_path: Path, period: Any) -> None:
    with pytest.raises(InputError, match="period"):
        opskit.Fleet(tmp_path).watch(period)


def test_the_period_may_stand_in_the_settings(
    tmp_path: Path, wire: Line, swarm: Swarm, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config" / "opskit").mkdir(parents=True)
    (tmp_path / "config" / "opskit" / "config.toml").write_text("watch_period = 1\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(swarm.events, "tell", lambda *_, **__: None)
    with watched(tmp_path, monkeypatch, {"one": wire.host}, period=None) as live:  # type: ignore[arg-type]
        make("a_v1")
        eventually(lambda: "a_v1" in names(live), "the row, though nothing was told")


def test_what_the_stage_shows_is_what_a_whole_look_shows(stage: Stage, live: Live) -> None:
    stage.create("token_v1", "key_v1")
    stage.deploy("app", ["token", "key"])
    stage.wait_until_converged()
    whole = opskit.Fleet.from_abra().snapshot()
    mine = f"server == '{SERVER}' and stack == '{stage.stack}'"
    for view, columns in (("secrets", ["secret", "version", "state"]),
                          ("services", ["service", "running", "desired"]),
                          ("tasks", ["service", "state", "desired_state"])):  # fmt: skip
        wanted = getattr(whole, view).select(mine)[columns].to_numpy().tolist()
        eventually(
            lambda view=view, columns=columns: (
                getattr(live.snapshot, view).select(mine)[columns].to_numpy().tolist()
            ),
            f"the {view} that a whole look shows",
            lambda found, wanted=wanted: found == wanted,
        )
