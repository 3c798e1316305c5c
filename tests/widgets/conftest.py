"""An app on an embedded engine for the forms to work on, without waiting for its stability."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import opskit
from tests.stage import Stage, staged
from tests.waiting import LIMIT

QUICK = opskit.Options(stable=0, timeout=LIMIT)


@pytest.fixture
def stage(tmp_path: Path, embedded_host: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr("opskit.widgets.session.options_from", lambda _: QUICK)
    for made in staged(tmp_path, embedded_host, monkeypatch):
        made.set_up()
        yield made
