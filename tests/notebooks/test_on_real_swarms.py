"""Every shipped notebook that changes something does so on real swarms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from opskit.demo.dockerd import DockerdFleet
from opskit.demo.real import load_sample
from tests.conftest import _real
from tests.notebooks.shipped import CHANGING, QUICK, Kernel, everybody


@pytest.fixture(params=CHANGING, ids=lambda path: path.stem)
def changing(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture(scope="module")
def real() -> Iterator[DockerdFleet]:
    """The sample's first three servers on real engines."""
    with _real(3) as fleet:
        load_sample(fleet)
        yield fleet


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.swarm
def test_it_carries_its_plan_out_on_real_swarms(
    changing: Path,
    real: DockerdFleet,
    kernel: Kernel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (real.env | {"PASSWORD_STORE_DIR": str(tmp_path / "none")}).items():
        monkeypatch.setenv(name, value)

    text = kernel.run(changing, tmp_path, "demo = False", "apply = True", QUICK, answer=everybody)

    assert "servers missing" not in text
