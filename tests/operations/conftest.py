"""Stages on either engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from opskit.demo.dockerd import DockerdFleet
from tests.operations.stage import Stage, staged


@pytest.fixture(params=["embedded", pytest.param("dockerd", marks=pytest.mark.swarm)])
def stage(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    embedded_host: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stage]:
    """One server with nothing on it yet, on the embedded and on a real engine."""
    host = embedded_host
    if request.param == "dockerd":
        fleet: DockerdFleet = request.getfixturevalue("real_fleet")
        host = fleet.host("srv1")
    yield from staged(tmp_path, host, monkeypatch)
