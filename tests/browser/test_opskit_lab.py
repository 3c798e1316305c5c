"""`opskit lab`, as two people meet in it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.lab import Lab, Person
from tests.waiting import LIMIT, eventually

ROOT = Path(__file__).parents[2]
NOTEBOOK = "00-start-here.ipynb"

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.kernel]


@pytest.fixture
def opskit_lab(tmp_path: Path) -> Iterator[Lab]:
    config = tmp_path / "config"
    settings = config / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    # The tests drive JupyterLab by its commands.
    (config / "jupyter_server_config.json").write_text(
        json.dumps({"LabApp": {"expose_app_in_browser": True}})
    )
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path),
        "JUPYTER_CONFIG_DIR": str(config),
    }  # fmt: skip
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "opskit", "lab", "work", "--demo", "--no-browser"],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    assert process.stdout is not None
    found = None
    while found is None:
        line = process.stdout.readline()
        assert line, (tmp_path / "log").read_text()[-2000:]
        found = re.match(r"Open http://127\.0\.0\.1:(\d+)/lab\S*\?token=(\w+)", line)
    lab = Lab(
        folder=tmp_path / "work", state=tmp_path, environment={}, port=int(found[1]), token=found[2]
    )
    eventually(lab.answers, "the lab's server to answer")
    yield lab
    process.send_signal(signal.SIGTERM)
    process.wait(LIMIT)
    process.stdout.close()


def test_what_one_runs_the_other_sees_and_it_survives_a_reload(
    opskit_lab: Lab, alice: Person, bob: Person
) -> None:
    alice.open(opskit_lab, NOTEBOOK)
    bob.open(opskit_lab, NOTEBOOK)

    alice.run_all()
    findings = "caption:has-text('findings')"
    for person in (alice, bob):
        person.page.wait_for_selector(findings, state="attached")
    bob.page.reload()
    bob.page.wait_for_selector(findings, state="attached")

    expect(bob.page.locator(".jp-Dialog")).to_have_count(0)
    text = (opskit_lab.folder / NOTEBOOK).read_text()
    assert "Traceback" not in text
    assert list(opskit_lab.folder.glob(".jupyter*")) == []
