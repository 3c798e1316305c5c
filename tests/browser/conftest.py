"""One JupyterLab on real swarms and one Chromium, shared by all browser tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from opskit.demo.dockerd import DockerdFleet
from opskit.demo.real import load_sample
from tests.browser.lab import FLAGS, Lab, Person, somebody
from tests.conftest import _real
from tests.waiting import LIMIT

ROOT = Path(__file__).parents[2]


# Until the last of these tests only: beside a browser, its worker could run no event loop.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed (Debian package chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=FLAGS, timeout=LIMIT * 1000
        )
        expect.set_options(timeout=LIMIT * 1000)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def sample() -> Iterator[DockerdFleet]:
    """One real swarm with the sample's first server on it."""
    with _real(1) as fleet:
        load_sample(fleet)
        yield fleet


@pytest.fixture(scope="package")
def lab(sample: DockerdFleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    environment = {**sample.env, "PYTHONPATH": str(ROOT)}
    made = Lab(folder=folder / "notebooks", state=folder / "state", environment=environment)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def alice(chromium: Browser) -> Iterator[Person]:
    with somebody(chromium) as person:
        yield person


@pytest.fixture
def bob(chromium: Browser) -> Iterator[Person]:
    with somebody(chromium) as person:
        yield person
