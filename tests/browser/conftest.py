"""One JupyterLab on real swarms and one Chromium, shared by all browser tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from opskit.demo.dockerd import DockerdFleet
from opskit.demo.real import load_sample
from tests.browser.lab import FLAGS, Colleagues, Lab, Person, without_the_unasked
from tests.conftest import _real
from tests.waiting import LIMIT, eventually

ROOT = Path(__file__).parents[2]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say with a failure what everybody saw: alone, once more, it may be something else."""
    if call.when == "call" and call.excinfo is not None:
        for name, one in item.funcargs.items():
            if isinstance(one, Person):
                call.excinfo.value.add_note(f"What {name} sees: {one.sees}")
    return (yield)


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


@pytest.fixture(scope="package")
def opskit_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """What `opskit lab --demo` starts: an embedded fleet and one JupyterLab, for all who ask."""
    place = tmp_path_factory.mktemp("opskit-lab")
    config = place / "config"
    config.mkdir()
    # The tests drive JupyterLab by its commands.
    (config / "jupyter_server_config.json").write_text(
        json.dumps({"LabApp": {"expose_app_in_browser": True}})
    )
    without_the_unasked(config)
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "HOME": str(place),
        "JUPYTER_CONFIG_DIR": str(config),
    }  # fmt: skip
    with (place / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "opskit", "lab", "work", "--demo", "--no-browser"],
            cwd=place, env=environment, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    assert process.stdout is not None
    found = None
    while found is None:
        line = process.stdout.readline()
        assert line, (place / "log").read_text()[-2000:]
        found = re.match(r"Open http://127\.0\.0\.1:(\d+)/(\S+)\?token=(\w+)", line)
    assert found[2] == "lab/tree/00-start-here.ipynb"
    lab = Lab(
        folder=place / "work", state=place, environment={}, port=int(found[1]), token=found[3]
    )
    eventually(lab.answers, "the lab's server to answer")
    yield lab
    process.send_signal(signal.SIGTERM)
    process.wait(LIMIT)
    process.stdout.close()


@pytest.fixture(scope="package")
def colleagues(chromium: Browser) -> Iterator[Colleagues]:
    made = Colleagues(chromium)
    yield made
    made.close()


@pytest.fixture
def alice(colleagues: Colleagues, request: pytest.FixtureRequest) -> Iterator[Person]:
    with colleagues.called("alice", request) as person:
        yield person


@pytest.fixture
def bob(colleagues: Colleagues, request: pytest.FixtureRequest) -> Iterator[Person]:
    with colleagues.called("bob", request) as person:
        yield person


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Say at the end of the run what hands had to do in a story; nothing is held to it."""

    def told(story: str, first: Person, second: Person | None = None) -> None:
        beside = f", the second person {second.hands}" if second is not None else ""
        record_property("story", f"{story}: {first.hands}{beside}")

    return told
