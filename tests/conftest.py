"""Fleets the tests run on: embedded engines, and real private Docker daemons."""

from __future__ import annotations

import asyncio
import importlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from _pytest.terminal import TerminalReporter
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from opskit.demo.dockerd import DockerdFleet, why_not
from opskit.demo.engine import Swarm
from opskit.demo.engine.serve import Server
from opskit.demo.fleet import DemoFleet, write_sample
from opskit.lean import without_collecting, without_grammars
from opskit.secrets.passstore import PassStore
from opskit.swarm.context import Context
from opskit.swarm.transport import TRANSPORT
from tests import late
from tests.disk import Disk, small_disk
from tests.fleets import CopiedFleet
from tests.stage import Stage, staged
from tests.waiting import LIMIT

# What tests import of Jupyter imports it, in each worker.
with without_grammars():
    importlib.import_module("jsonschema")


def pytest_configure(config: pytest.Config) -> None:
    """Look at failures of a parallel run once more; see `tests.late`."""
    late.register(config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect thousands of tests without a search for garbage among them."""
    with without_collecting():
        return (yield)


# A busy machine is no fault of the code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Say what the stories of `tests/browser` ask of hands."""
    passed = terminalreporter.getreports("passed")
    told = [said for one in passed for kind, said in one.user_properties if kind == "story"]
    if told:
        terminalreporter.write_sep("=", "stories")
        terminalreporter.write_line("\n".join(str(said) for said in told))


_LONGEST = (
    "browser/test_forms.py",
    "run/test_stacks.py",
    "run/test_rotate.py",
    "run/test_crash.py",
    "run/test_stale_stacks.py",
    "run/test_converged.py",
    "steps/hooks/test_run.py",
    "run/test_trouble.py",
    "steps/hooks/test_databases.py",
    "cli/test_fix.py",
    "run/test_identity.py",
    "swarm/test_masters.py",
    "cli/test_change.py",
    "notebooks/test_notebooks.py",
    "run/test_overtaken.py",
    "contract/test_rollouts.py",
    "notebooks/test_canary.py",
    "jupyter/test_execute.py",
    "run/test_registry.py",
    "reading/test_watching.py",
    "audit/test_acknowledged.py",
    "run/test_stacks_crash.py",
    "notebooks/test_on_real_swarms.py",
    "test_examples.py",
)
"""Files of a minute and more, as measured, the longest first."""

_BESIDE = {
    f"browser/test_{name}.py": "browser/test_forms.py"
    for name in ("attention", "canary", "opskit_lab", "page", "runbook", "stories")
}
"""Files that one worker runs beside another: a JupyterLab and its browsers are slow to start."""

_WEIGHTS = {"browser": 100, "swarm": 30, "kernel": 30, "slow": 3}
"""About how many quick tests a test with a marker is worth."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest files where several workers share them, so that none is left over.

    Needs ``--no-loadscope-reorder``: else pytest-xdist begins with the files of most tests.
    """
    if not hasattr(config, "workerinput"):
        return
    weights = Counter[Path]()
    for item in items:
        weights[item.path] += max(
            [1, *(_WEIGHTS.get(mark.name, 1) for mark in item.iter_markers())]
        )
    first = {Path(__file__).parent / name: turn for turn, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: (first.get(item.path, len(first)), -weights[item.path]))


class _ByFile(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid).removeprefix("tests/")
        return _BESIDE.get(file, file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Let one worker have each file, with those that belong beside it."""
    return _ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


def need_engines(*, ssh: bool) -> None:
    """Skip where real engines cannot run, unless they must."""
    reason = why_not(ssh=ssh)
    if reason is not None:
        if os.environ.get("OPSKIT_REQUIRE_ENGINES"):
            pytest.fail(f"OPSKIT_REQUIRE_ENGINES is set, but {reason}")
        pytest.skip(reason)


def _real(servers: int, *, ssh: bool = False) -> DockerdFleet:
    need_engines(ssh=ssh)
    return DockerdFleet(servers, ssh=ssh)


@pytest.fixture(scope="session")
def real_fleet() -> Iterator[DockerdFleet]:
    """Two real swarms over unix sockets, shared: use names of your own and clean up."""
    with _real(2) as fleet:
        yield fleet


@pytest.fixture(scope="session")
def ssh_fleet() -> Iterator[DockerdFleet]:
    """Two real swarms over ssh, shared."""
    with _real(2, ssh=True) as fleet:
        yield fleet


@pytest.fixture
def fresh_fleet() -> Iterator[Callable[[int], DockerdFleet]]:
    """Make real swarms that a test may break."""
    made: list[DockerdFleet] = []

    def make(servers: int = 1) -> DockerdFleet:
        fleet = _real(servers)
        made.append(fleet)
        fleet.start()
        return fleet

    yield make
    for fleet in made:
        fleet.stop()


@pytest.fixture(scope="session")
def embedded_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An embedded engine on a unix socket, in a thread of its own."""
    with embedded(tmp_path_factory.mktemp("engine") / "docker.sock", Swarm("embedded")) as host:
        yield host


@pytest.fixture
def embedded_stage(
    tmp_path: Path, embedded_host: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    """One server with nothing on it yet, on the embedded engine."""
    yield from staged(tmp_path, embedded_host, monkeypatch)


@pytest.fixture
def real_stage(
    tmp_path: Path, real_fleet: DockerdFleet, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    """One server with nothing on it yet, on a real engine."""
    yield from staged(tmp_path, real_fleet.host("srv1"), monkeypatch)


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.swarm)])
def stage(request: pytest.FixtureRequest) -> Stage:
    """One server with nothing on it yet, on either engine."""
    return request.getfixturevalue(f"{request.param}_stage")


@pytest.fixture(
    params=["embedded", pytest.param("real", marks=[pytest.mark.swarm, pytest.mark.nightly])]
)
def stage_at_night(request: pytest.FixtureRequest) -> Stage:
    """As `stage`, where real engines go through the like by day, and through this at night."""
    return request.getfixturevalue(f"{request.param}_stage")


@contextmanager
def embedded(path: Path, swarm: Swarm, **more: Any) -> Iterator[str]:
    """Serve a swarm on a unix socket, in a thread of its own."""
    ready, over = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        server = Server(swarm, path, **more)
        ready.set()
        await over.wait()
        await server.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(LIMIT), "the embedded engine did not start"
    try:
        yield f"unix://{path}"
    finally:
        loops[0].call_soon_threadsafe(over.set)
        thread.join(LIMIT)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of 1 MB that a test may fill, or make read-only."""
    with small_disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_is_heard() -> None:
    """Let programs that tests start hear Ctrl-C, also where a shell's ``&`` had it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leave out what this machine's user has set, and give busy engines the time they need.

    And no ssh connection outlives the tests.
    """
    config = tmp_path_factory.mktemp("config")
    (config / "opskit").mkdir()
    (config / "opskit" / "config.toml").write_text("deadline = 60\nssh_keep = 0\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(config))
        yield


@pytest.fixture(scope="session")
def demo_fleet() -> Iterator[DemoFleet]:
    """The sample fleet on embedded engines, shared by tests that only look."""
    with DemoFleet() as fleet:
        yield fleet


@pytest.fixture(scope="session")
def sample_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, str]]:
    """The sample's files, to be copied, and each server's address."""
    files = tmp_path_factory.mktemp("sample")
    return files, write_sample(files)


@pytest.fixture
def own_fleet(sample_files: tuple[Path, Mapping[str, str]]) -> Iterator[DemoFleet]:
    """The sample fleet on embedded engines, for one test that may change it."""
    with CopiedFleet(*sample_files) as fleet:
        yield fleet


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[DemoFleet | DockerdFleet], Path]]:
    """Point this process at a fleet, and give the fleet's folder."""

    def point(fleet: DemoFleet | DockerdFleet) -> Path:
        for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
            monkeypatch.delenv(name, raising=False)
        for name, value in fleet.env.items():
            monkeypatch.setenv(name, value)
        return fleet.root

    yield point
    TRANSPORT.close()


@pytest.fixture
def context() -> Callable[[str], Context]:
    """Make a context for a bare address."""
    return lambda host: Context(server="test", host=host)


@pytest.fixture(scope="session")
def gnupg() -> Iterator[Path]:
    """A key without a passphrase, in a folder whose name is short enough for gpg's socket."""
    if not shutil.which("pass") or not shutil.which("gpg"):
        pytest.skip("pass and gnupg are not installed")
    home = Path(tempfile.mkdtemp(prefix="gpg", dir="/tmp"))
    home.chmod(0o700)
    # It listens when this ends; started by gpg itself, it would get five seconds.
    # It keeps what it is given to write to, so that has no other end to wait for.
    agent = ["gpg-agent", "--homedir", str(home), "--daemon"]
    subprocess.run(agent, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet"]
    subprocess.run(
        [*gpg, "--passphrase", "", "--quick-gen-key", "opskit@test.example", "default", "default"],
        check=True,
        capture_output=True,
    )
    yield home
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def password_store(gnupg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PassStore:
    monkeypatch.setenv("GNUPGHOME", str(gnupg))
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(tmp_path / "store"))
    subprocess.run(["pass", "init", "opskit@test.example"], check=True, capture_output=True)
    return PassStore("pass")
