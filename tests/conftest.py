"""Fleets the tests run on: embedded engines, and real private Docker daemons."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opskit.demo.dockerd import DockerdFleet, why_not
from opskit.demo.fleet import DemoFleet
from opskit.swarm.context import Context
from opskit.swarm.transport import TRANSPORT


def _real(servers: int, *, ssh: bool = False) -> DockerdFleet:
    reason = why_not(ssh=ssh)
    if reason is not None:
        if os.environ.get("OPSKIT_REQUIRE_ENGINES"):
            pytest.fail(f"OPSKIT_REQUIRE_ENGINES is set, but {reason}")
        pytest.skip(reason)
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
def demo_fleet() -> Iterator[DemoFleet]:
    """The sample fleet on embedded engines, shared by tests that only look."""
    with DemoFleet() as fleet:
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
