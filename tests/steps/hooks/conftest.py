"""The small app of the other tests, one of whose services is a database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from opskit.demo.engine import Swarm
from tests.conftest import embedded
from tests.stage import Stage, staged
from tests.steps.hooks.stored import Database


@pytest.fixture
def database() -> Database:
    return Database(Swarm("embedded"))


@pytest.fixture
def stage(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    path = tmp_path / "engine.sock"
    with embedded(path, database.swarm, execute=database.execute) as host:
        for made in staged(tmp_path, host, monkeypatch):
            made.set_up()
            yield made
