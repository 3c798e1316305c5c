"""`opskit lab`, as two people meet in it."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.lab import Lab, Person

NOTEBOOK = "00-start-here.ipynb"

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.kernel]


@pytest.mark.nightly
def test_the_launcher_opens_a_runbook_by_its_title(opskit_lab: Lab, alice: Person) -> None:
    alice.page.goto(opskit_lab.url("lab/tree/00-start-here.ipynb"))
    alice.page.get_by_role("heading", name="Start here").wait_for()
    alice.command("launcher:create")
    launcher = alice.page.locator(".jp-Launcher")
    expect(launcher.get_by_role("heading", name="Runbooks")).to_be_visible()
    launcher.locator(".jp-LauncherCard", has_text="Audit the fleet").click()
    alice.page.get_by_role("heading", name="Audit the fleet").wait_for()


@pytest.mark.nightly
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
