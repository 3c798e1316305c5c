"""Servers read by workers: every row is there, fresh and true, whatever becomes of the workers."""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import opskit
from opskit.clusters import Workers
from opskit.demo.fleet import ANNOUNCED, DemoFleet, write_contexts
from opskit.errors import InputError
from opskit.facts.facts import said, without_digests
from opskit.reading import errands, sharing
from opskit.reading.errands import Answer, Errand, carry_out, edition, read_answer
from opskit.settings import read_settings
from opskit.swarm.context import Context
from opskit.swarm.engine import Engine
from opskit.swarm.observe import Observation
from opskit.swarm.transport import TRANSPORT
from tests.secrets.canary import CANARY, leaks
from tests.stage import Stage
from tests.swarm.scripted import Conversation, serving
from tests.waiting import LIMIT, eventually

Use = Callable[[DemoFleet], Path]
SERVERS = ["coop.example", "garden.example", "library.example", "mutual.example",
           "radio.example", "workshop.example"]  # fmt: skip


class Counted:
    """A progress that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *_: object) -> None: ...

    def advance(self, what: str) -> None:
        self.told.append(what)

    def name(self, what: str) -> None: ...


def errors(snap: opskit.Snapshot) -> dict[str, str]:
    """Give what each server's row says is wrong."""
    return {one.server: one.error for one in snap.facts.observed}


def same_but_for_times(one: Observation, other: Observation) -> bool:
    """Tell whether two observations say the same."""
    return said(without_digests(one)) == said(without_digests(other))


# -- real clusters ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Region:
    """Two workers of a real cluster, who have Docker contexts of their own."""

    kind: str
    executor: Executor
    demo: DemoFleet
    contexts: Path
    folder: Path

    def servers(self, hosts: dict[str, str], *, known_there: bool = True) -> opskit.Fleet:
        """Make a fleet of bare servers, known here and perhaps to the workers."""
        root = self.folder / f"{time.monotonic_ns()}"
        for name in hosts:
            (root / "servers" / name).mkdir(parents=True)
        write_contexts(Path(os.environ["DOCKER_CONFIG"]), hosts)
        if known_there:
            write_contexts(self.contexts, hosts)
        return opskit.Fleet(root, executor=self.executor)

    def everywhere(self, code: str) -> None:
        """Run code in every worker."""
        if self.kind == "dask":
            self.executor._client.run(exec, code)  # type: ignore[attr-defined]
        else:
            self.executor.view.client[:].apply_sync(exec, code)  # type: ignore[attr-defined]


@pytest.fixture(scope="module", params=["dask", "ipyparallel"])
def region(
    request: pytest.FixtureRequest, demo_fleet: DemoFleet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Region]:
    pytest.importorskip({"dask": "distributed"}.get(request.param, request.param))
    folder = tmp_path_factory.mktemp("region")
    there = folder / "docker"
    hosts = {
        name: f"unix://{demo_fleet.root / 's' / name.partition('.')[0]}" for name in SERVERS
    } | {"radio.example": "unix:///nonexistent/nobody-listens-here"}
    write_contexts(there, hosts)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in demo_fleet.env.items():
            patch.setenv(name, value)
        patch.setenv("DOCKER_CONFIG", str(there))
        with Workers(request.param, count=2) as workers:
            assert workers.executor is not None
            yield Region(request.param, workers.executor, demo_fleet, there, folder)


@pytest.mark.slow
def test_workers_say_of_every_server_what_is_seen_from_here(region: Region, use: Use) -> None:
    use(region.demo)
    here, progress = opskit.Fleet.from_abra().snapshot(), Counted()

    snap = opskit.Fleet.from_abra(executor=region.executor).snapshot(progress=progress)

    assert snap.facts.bare == set(SERVERS)
    for one, other in zip(here.facts.observed, snap.facts.observed, strict=True):
        prefix = f"from {socket.gethostname()}: " if one.error else ""
        told = msgspec.structs.replace(one, error=prefix + one.error)
        assert same_but_for_times(told, other), one.server
    without_ages = [name for name in here.secrets.columns if name != "age_days"]
    pd.testing.assert_frame_equal(snap.secrets[without_ages], here.secrets[without_ages])
    assert list(snap.audit()["key"]) == list(here.audit()["key"])
    missing = {"library.example", "radio.example"}
    assert sorted(progress.told) == [f"{s} (missing)" if s in missing else s for s in SERVERS]


@pytest.mark.slow
def test_each_reading_is_a_new_one(region: Region, use: Use) -> None:
    # Dask gives the result of an equal call again as long as it has it.
    use(region.demo)
    fleet = opskit.Fleet.from_abra(servers=["coop.example"], executor=region.executor)
    first = fleet.snapshot()
    host = f"unix://{region.demo.root / 's' / 'coop'}"
    engine = Engine(Context(server="coop.example", host=host), seconds=LIMIT)
    made = engine.create_secret("new_of_today_v1", b"x", {})
    try:
        assert "new_of_today_v1" in set(fleet.snapshot().secrets["swarm_name"])
    finally:
        engine.remove_secret(made)
    assert "new_of_today_v1" not in set(first.secrets["swarm_name"])
    assert "new_of_today_v1" not in set(fleet.snapshot().secrets["swarm_name"])


@pytest.mark.slow
def test_a_context_that_workers_have_not_is_said_in_the_row(
    region: Region, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    fleet = region.servers({"known-here.example": "unix:///nonexistent"}, known_there=False)

    row = fleet.snapshot().servers.iloc[0]

    assert not row["reachable"]
    assert row["error"].startswith(
        f"from {socket.gethostname()}: no Docker context named 'known-here.example' in "
        f"{region.contexts}. Create it: docker context create"
    )


HIDE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opskit":
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.kept = {name: sys.modules.pop(name) for name in list(sys.modules)
            if name.partition(".")[0] == "opskit"}
sys.meta_path.insert(0, Hidden())
"""
SHOW = "import sys; del sys.meta_path[0]; sys.modules.update(sys.kept)"


@pytest.mark.slow
def test_a_worker_without_opskit_is_said_in_the_row(region: Region, use: Use) -> None:
    use(region.demo)
    fleet = opskit.Fleet.from_abra(servers=["coop.example"], executor=region.executor)
    region.everywhere(HIDE)
    try:
        snap = fleet.snapshot()
    finally:
        region.everywhere(SHOW)

    assert not snap.servers["reachable"].any()
    assert errors(snap)["coop.example"].startswith(
        "its worker has no opskit, or another one (ModuleNotFoundError: No module named 'opskit"
    )
    assert f"opskit {opskit.__version__}." in errors(snap)["coop.example"]
    assert fleet.snapshot().servers["reachable"].all()


def holder(one: Conversation) -> int:
    """Give the process at the other end of a connection."""
    peer = one.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", peer)[0]


@pytest.mark.slow
def test_servers_of_a_worker_that_is_killed_over_them_are_read_all_the_same(
    region: Region, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    may_answer = threading.Event()

    def talk(one: Conversation) -> None:
        for request in one:
            if not may_answer.wait(LIMIT):
                return
            one.reply(request.answer)

    with (
        serving(tmp_path / "a", talk) as first,
        serving(tmp_path / "b", talk) as second,
        ThreadPoolExecutor(1) as thread,
    ):
        hosts = {"first.example": first.host, "second.example": second.host}
        fleet = region.servers(hosts)
        taking = thread.submit(fleet.snapshot)
        (one,) = eventually(lambda: first.conversations, "a worker that reads")
        worker = holder(one)
        assert worker != os.getpid()
        os.kill(worker, signal.SIGKILL)
        may_answer.set()
        snap = taking.result()

    assert snap.servers["reachable"].all()
    assert list(snap.secrets["swarm_name"]) == ["token_v1"] * 2
    TRANSPORT.close()


# -- other executors ----------------------------------------------------------------------------


def become_another_edition() -> None:
    """Let this process be one of another opskit."""
    errands.edition = lambda: "0.0.9+0badc0de"


@pytest.mark.slow
def test_a_worker_with_another_opskit_is_said_in_the_row(use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)
    with ProcessPoolExecutor(1, get_context("spawn"), become_another_edition) as executor:
        snap = opskit.Fleet.from_abra(servers=["coop.example"], executor=executor).snapshot()

    assert not snap.servers["reachable"].any()
    assert errors(snap)["coop.example"] == (
        f"its worker on {socket.gethostname()} has another opskit (0.0.9+0badc0de, and here is "
        f"{edition()}). Install there what is installed here: opskit {opskit.__version__}."
    )
    found = snap.audit().query("id == 'server-unreachable'")
    assert list(found["remedy"]) == [
        f"Install there what is installed here: opskit {opskit.__version__}."
    ]


def test_how_python_was_started_makes_no_other_opskit() -> None:
    # Nor does its version: since 3.13 docstrings have less of an indent.
    code = "from opskit.reading.errands import edition; print(edition())"
    said = subprocess.run(
        [sys.executable, "-OO", "-c", code], stdout=subprocess.PIPE, text=True, check=True
    )
    assert said.stdout.strip() == edition()


def test_servers_of_processes_that_are_gone_are_read_from_here(
    use: Use, demo_fleet: DemoFleet
) -> None:
    use(demo_fleet)
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        os.kill(executor.submit(os.getpid).result(), signal.SIGKILL)
        gone = [executor.submit(os.getpid)]
        assert isinstance(gone[0].exception(), BrokenProcessPool)
        progress = Counted()
        snap = opskit.Fleet.from_abra(executor=executor).snapshot(progress=progress)

    assert snap.facts.bare == set()
    assert list(snap.servers[snap.servers["reachable"] & snap.servers["manager"]]["server"]) == [
        "coop.example", "garden.example", "mutual.example", "workshop.example",
    ]  # fmt: skip
    assert "coop.example (read here)" in progress.told
    assert errors(snap)["radio.example"].startswith(
        "its executor takes no work (BrokenProcessPool: "
    )
    assert "; from here: cannot connect to unix:///nonexistent" in errors(snap)["radio.example"]


def test_an_executor_that_is_shut_down_costs_no_row(use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)
    executor = ThreadPoolExecutor(1)
    executor.shutdown()

    snap = opskit.Fleet.from_abra(servers=["coop.example"], executor=executor).snapshot()

    assert snap.servers["manager"].all()


@pytest.mark.slow
def test_workers_that_hang_are_waited_for_no_longer_than_a_server_may_take(
    use: Use, demo_fleet: DemoFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(demo_fleet)
    monkeypatch.setattr(sharing, "_ON_THE_WAY_S", 0.0)
    over = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(over.wait, LIMIT)
        fleet = opskit.Fleet.from_abra(
            servers=["coop.example", "radio.example"], deadline=5, executor=executor
        )
        snap = fleet.snapshot()
        over.set()

    assert list(snap.servers["manager"]) == [True, False]
    assert errors(snap)["radio.example"].startswith(
        "no worker answered within 5 s; from here: cannot connect"
    )


def test_what_every_engine_of_a_view_gave_back_is_no_answer(
    use: Use, demo_fleet: DemoFleet
) -> None:
    class Broadcast(ThreadPoolExecutor):
        def submit(self, *call: Any) -> Future[Any]:  # type: ignore[override]
            return super().submit(lambda: [call[0](*call[1:])])

    use(demo_fleet)
    with Broadcast(1) as executor:
        snap = opskit.Fleet.from_abra(servers=["coop.example"]).snapshot(executor=executor)

    assert errors(snap)["coop.example"] == (
        "its executor gave back a list for the bytes of one worker. Of ipyparallel take "
        "client.load_balanced_view().executor, or a view of one engine."
    )


# -- who reads which ----------------------------------------------------------------------------


class Noted(ThreadPoolExecutor):
    """Threads that keep what went to them and came back, pickled as for another process."""

    def __init__(self) -> None:
        super().__init__(2)
        self.sent: list[bytes] = []
        self.back: list[bytes] = []

    def submit(self, *call: Any) -> Future[Any]:  # type: ignore[override]
        self.sent.append(pickle.dumps(call))
        return super().submit(self._call)

    def _call(self) -> Any:
        function, *arguments = pickle.loads(self.sent[-1])
        result = function(*arguments)
        self.back.append(pickle.dumps(result))
        return result

    @property
    def errands(self) -> list[Errand]:
        """What was asked."""
        calls = [pickle.loads(one) for one in self.sent]
        return [msgspec.msgpack.decode(call[2]["errand"], type=Errand) for call in calls]


def test_each_server_is_read_by_the_worker_near_it_and_the_others_here(
    use: Use, demo_fleet: DemoFleet
) -> None:
    use(demo_fleet)
    with Noted() as east, Noted() as west:
        near = {"coop.example": east, "garden.example": west}
        fleet = opskit.Fleet.from_abra(executor=near)
        snap = fleet.snapshot()

        assert [one.servers for one in east.errands] == [("coop.example",)]
        assert [one.servers for one in west.errands] == [("garden.example",)]
    assert snap.facts.bare == {"coop.example", "garden.example"}
    assert snap.servers["manager"].sum() == 4
    assert repr(fleet) == f"<Fleet {fleet.root}, 2 servers read by Noted>"


def test_the_engine_of_this_machine_is_never_another_machines(
    tmp_path: Path, embedded_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", embedded_host)
    (tmp_path / "servers" / "default").mkdir(parents=True)
    with Noted() as executor:
        snap = opskit.Fleet(tmp_path, executor=executor).snapshot()
        assert executor.sent == []
        with pytest.raises(InputError, match="executor names 'default', the engine of the mach"):
            opskit.Fleet(tmp_path, executor={"default": executor})
    assert snap.servers["manager"].all()
    TRANSPORT.close()


def test_an_executor_for_a_server_that_is_not_there_is_refused(
    use: Use, demo_fleet: DemoFleet
) -> None:
    use(demo_fleet)
    with Noted() as executor:
        fleet = opskit.Fleet.from_abra(executor={"cop.example": executor})
        with pytest.raises(InputError, match=r"executor names 'cop\.example', and no server is"):
            fleet.snapshot()


def test_settings_travel_with_the_errand_and_a_workers_own_do_not_matter(
    use: Use, demo_fleet: DemoFleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(demo_fleet)
    settings = read_settings()
    with Noted() as executor:
        opskit.Fleet.from_abra(deadline=42).snapshot(executor=executor)
        (errand, *_) = executor.errands
    assert (errand.deadline, errand.reply_limit, errand.ssh_keep) == (
        42, settings.reply_limit, settings.ssh_keep
    )  # fmt: skip

    (tmp_path / "opskit").mkdir()
    (tmp_path / "opskit" / "config.toml").write_text("no settings at all")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    # Connections of their own, that no reading before has made.
    asked = msgspec.structs.replace(errand, servers=("coop.example",), reply_limit=63, ssh_keep=7)
    answer = read_answer(carry_out(msgspec.msgpack.encode(asked)))

    assert [one.manager for one in answer.observed] == [True]
    small = msgspec.structs.replace(asked, reply_limit=1)
    (seen,) = read_answer(carry_out(msgspec.msgpack.encode(small))).observed
    assert seen.manager


# -- whatever workers do ------------------------------------------------------------------------

NAMES = [f"s{number}.example" for number in range(9)]


class KilledWorkerError(Exception):
    """As Dask's."""


class Moody(Executor):
    """An executor with workers that do as they are told, one errand each."""

    _max_workers = 4

    def __init__(self, moods: list[str]) -> None:
        self._moods = iter(moods)

    def submit(self, *call: Any) -> Future[Any]:  # type: ignore[override]
        future: Future[Any] = Future()
        mood = next(self._moods)
        if mood == "refuses":
            raise RuntimeError("no engines")
        if mood == "is cancelled":
            future.cancel()
            future.set_running_or_notify_cancel()
        elif mood in FAILURES:
            future.set_exception(FAILURES[mood])
        else:
            answer = read_answer(call[0](*call[1:]))
            future.set_result(SPOILT[mood](answer))
        return future


FAILURES = {
    "is killed": KilledWorkerError("died"),
    "has no opskit": ModuleNotFoundError("No module named 'opskit'"),
    "lost its line": OSError("reset"),
}


def spoilt(**changes: Any) -> Callable[[Answer], bytes]:
    return lambda answer: msgspec.msgpack.encode(msgspec.structs.replace(answer, **changes))


def at_another_time(answer: Answer) -> bytes:
    observed = tuple(
        msgspec.structs.replace(one, taken_at=one.taken_at + timedelta(days=shift))
        for one, shift in zip(answer.observed, [300, -300, 3], strict=False)
    )
    return spoilt(observed=observed)(answer)


def without_zone(answer: Answer) -> bytes:
    observed = tuple(
        msgspec.structs.replace(one, taken_at=one.taken_at.replace(tzinfo=None))
        for one in answer.observed
    )
    return spoilt(observed=observed)(answer)


SPOILT: dict[str, Callable[[Answer], Any]] = {
    "is well": spoilt(),
    "leaves all out": spoilt(observed=()),
    "is another edition": spoilt(edition="0.0.1+x"),
    "has a wrong clock": at_another_time,
    "tells no time zone": without_zone,
    "answers rubbish": lambda _: b"\x93rubbish",
    "answers nothing": lambda _: None,
}
MOODS = ["refuses", "is cancelled", *FAILURES, *SPOILT]


@given(count=st.integers(0, 9), moods=st.lists(st.sampled_from(MOODS), min_size=9, max_size=9))
def test_every_server_is_read_or_said_to_be_missing_exactly_once(
    count: int, moods: list[str]
) -> None:
    # None of them has a Docker context: that is what a worker finds, and what is found here.
    begun = datetime.now(UTC)
    with sharing.Shared(NAMES[:count], Moody(moods), 60) as shared:
        seen = [one for one, _ in shared]

    assert sorted(one.server for one in seen) == NAMES[:count]
    assert all(one.error and not one.reachable for one in seen)
    assert all(begun <= one.taken_at <= datetime.now(UTC) for one in seen)
    for one in seen:
        by_worker = one.error.startswith(f"from {socket.gethostname()}: no Docker context")
        assert by_worker == (one.server in shared.by_workers)
        unfit = one.error.startswith(("its worker", "its executor gave back"))
        assert by_worker or unfit or "from here: no Docker context" in one.error


# -- what is not read by workers ----------------------------------------------------------------


@contextmanager
def at(stage: Stage) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(ANNOUNCED, raising=False)
        for name, value in stage.env.items():
            patch.setenv(name, value)
        yield
    TRANSPORT.close()


def test_no_value_travels_and_nothing_by_which_one_could_be_guessed(
    embedded_stage: Stage,
) -> None:
    stage = embedded_stage
    stage.write_files()
    stage.env_file.write_bytes(stage.env_file.read_bytes() + b"\r\nCANARY=" + CANARY.encode())
    stage.engine.create_secret(f"{stage.stack}_token_v1", CANARY.encode(), {})
    stage.create("key_v1")
    stage.engine.create_config(f"{stage.stack}_conf_v1", CANARY.encode(), {})
    stage.deploy("app", ["token", "key"])
    (service,) = stage.engine.services()
    raw = stage.engine.raw_service(service.id)
    container = raw.spec["TaskTemplate"]["ContainerSpec"]
    container |= {"Env": [f"CANARY={CANARY}"], "Args": [CANARY]}
    stage.engine.update_service(service.id, raw.service.version.index, raw.spec)
    with at(stage), Noted() as executor:
        here = opskit.Fleet.from_abra().snapshot()
        snap = opskit.Fleet.from_abra(executor=executor).snapshot()

    (known,) = here.facts.observed[0].services
    digests = {known.spec_digest, *known.pieces.values()}
    assert hashlib.sha256(f"CANARY={CANARY}".encode()).hexdigest() in digests
    assert len(executor.sent) == len(executor.back) == 1
    for payload in (*executor.sent, *executor.back):
        assert not leaks(payload.decode("utf-8", "replace"))
        assert not leaks(payload.decode("latin-1"))
        assert not any(digest.encode() in payload for digest in digests)
    assert snap.facts.observed[0].secrets == here.facts.observed[0].secrets
    (call,), (answer,) = map(pickle.loads, executor.sent), map(pickle.loads, executor.back)
    assert [type(one) for one in call] == [type(eval), str, dict]
    assert isinstance(call[2].pop("errand"), bytes)
    assert call[2] == {}
    assert isinstance(answer, bytes)
    assert b"_token_v1" in answer


def test_a_plan_over_what_workers_read_is_the_plan_over_what_is_read_here(
    embedded_stage: Stage,
) -> None:
    embedded_stage.set_up()
    with at(embedded_stage), Noted() as executor:
        plain = opskit.Fleet.from_abra()
        fleet = opskit.Fleet.from_abra(executor=executor)
        snap = fleet.snapshot()
        plan = fleet.plan_rotate("shop.example", "token", snapshot=snap)

        assert plan.digest == plain.plan_rotate("shop.example", "token").digest
        assert len(executor.sent) == 1
        again = fleet.refresh(snap, ["one.example"])
        assert (snap.facts.bare, again.facts.bare) == ({"one.example"}, set())


def test_a_plan_reads_the_server_that_an_app_was_moved_to_since_workers_read_it(
    use: Use, demo_fleet: DemoFleet
) -> None:
    use(demo_fleet)
    folders = opskit.Fleet.from_abra().root / "servers"
    at_home = folders / "coop.example" / "notes.coop.example.env"
    elsewhere = folders / "garden.example" / at_home.name
    servers = [at_home.parent.name, elsewhere.parent.name]
    with Noted() as executor:
        fleet = opskit.Fleet.from_abra(servers=servers, executor=executor)
        at_home.rename(elsewhere)
        try:
            snap = fleet.snapshot()
        finally:
            elsewhere.rename(at_home)
        plan = fleet.plan_restart("notes.coop.example", ["app"], snapshot=snap)

    plain = opskit.Fleet.from_abra(servers=servers)
    assert plan.digest == plain.plan_restart("notes.coop.example", ["app"]).digest


def test_a_fleet_with_an_executor_is_not_watched(use: Use, demo_fleet: DemoFleet) -> None:
    use(demo_fleet)
    with Noted() as executor:
        fleet = opskit.Fleet.from_abra(executor=executor)
        assert repr(fleet) == f"<Fleet {fleet.root}, read by Noted>"
        shown = fleet._repr_mimebundle_()
        assert shown["text/plain"] == repr(fleet)
        assert f"{fleet.root}, read by Noted&gt;" in shown["text/html"]
        assert "cloud.coop.example" in shown["text/html"]
        with pytest.raises(
            InputError, match="a fleet with an executor is not watched: engines tell"
        ):
            fleet.watch()
    assert executor.sent == []
