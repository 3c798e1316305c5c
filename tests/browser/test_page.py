"""An app's page in a real JupyterLab on a real swarm: one acts on it, another looks on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

import opskit
from opskit.demo.dockerd import DockerdFleet
from tests.browser.lab import Lab, Person
from tests.browser.test_canary import found, places

pytestmark = [pytest.mark.browser, pytest.mark.swarm, pytest.mark.kernel, pytest.mark.slow]

START = "import opskit, opskit.forms as forms\nfleet = opskit.Fleet.from_abra()"
APP = "notes.coop.example"


@pytest.fixture(autouse=True)
def _see_the_fleet(use: Callable[[DockerdFleet], Path], sample: DockerdFleet) -> None:
    use(sample)


def test_one_rotates_from_the_page_and_another_sees_the_new_version_there(
    lab: Lab, sample: DockerdFleet, alice: Person, bob: Person
) -> None:
    notebook = lab.write("page.ipynb", START, f"forms.app(fleet, {APP!r})")
    alice.open(lab, notebook)
    alice.run_all()
    secrets = alice.form.get_by_role("region", name="Secrets")
    rotate = secrets.get_by_role("button", name="Rotate… session")
    rotate.wait_for()
    alice.is_told("opskit page: notes.coop.example. Everything runs")
    bob.open(lab, notebook)
    bob.form.get_by_text("Everything runs").wait_for()

    # What is known of it stands there as a terminal has it.
    page = opskit.Fleet.from_abra().page(APP)
    assert page.facts
    for fact in page.facts:
        row = alice.form.locator("dt", has_text=re.compile(f"^{fact.word}$"))
        expect(row.locator("+ dd")).to_have_text(fact.text)
    services = alice.form.get_by_role("region", name="Services")
    for one in page.services:
        expect(
            services.get_by_role("row", name=f"{one.name} {one.tasks} {one.stands}")
        ).to_have_count(1)
    alice.form.get_by_text(f"Last runs {page.no_runs}").wait_for()

    # What does not apply says why, and nothing takes the app down by itself.
    upgrade = alice.form.get_by_role("button", name="Upgrade…")
    expect(upgrade).to_have_attribute("aria-disabled", "true")
    upgrade.press("Enter")
    alice.form.get_by_text("Upgrade: No later release is known here.").wait_for()
    expect(alice.form.get_by_role("group", name="Actions").get_by_role("button").last).to_have_text(
        "Take down…"
    )

    # By keyboard: the form that opens gets the focus, and gives it back when it is closed.
    rotate.focus()
    alice.page.keyboard.press("Enter")
    opened = alice.page.get_by_role("group", name="Rotate secrets")
    expect(opened).to_be_focused()
    expect(opened.get_by_role("checkbox", name="session")).to_be_checked()
    bob.page.get_by_role("group", name="Rotate secrets").wait_for()
    opened.get_by_role("button", name="Rotate…", exact=True).click()
    opened.get_by_role("button", name="Apply").click()
    for person in (alice, bob):
        person.is_told(": done. By ")
        region = person.form.get_by_role("region", name="Secrets")
        expect(region.get_by_role("row", name="session v2 current")).to_be_visible()
        expect(region.get_by_role("row", name="session v1 superseded")).to_be_visible()
        runs = person.form.get_by_role("region", name="Last runs")
        expect(runs.get_by_role("row").nth(1)).to_contain_text("rotate: session v1 → v2")
        expect(runs.get_by_role("row").nth(1)).to_contain_text(alice.name)

    # A new value is revealed to who made it, and is nowhere else.
    opened = alice.page.get_by_role("group", name="Rotate secrets")
    opened.get_by_role("button", name="Reveal").click()
    value = opened.get_by_role("textbox", name="New value of").input_value()
    opened.get_by_role("button", name="Forget").click()
    opened.get_by_role("button", name="Close").click()
    expect(alice.page.get_by_role("group", name="Rotate secrets")).to_have_count(0)
    expect(bob.page.get_by_role("group", name="Rotate secrets")).to_have_count(0)
    alice.command("docmanager:save")
    lab.saved(notebook, ": done. By ")
    assert found(value, places(lab, sample, alice, bob)) == set()


@pytest.mark.nightly
def test_logs_are_shown_to_who_asked_and_are_not_kept(lab: Lab, alice: Person, bob: Person) -> None:
    notebook = lab.write("logs.ipynb", START, f"forms.app(fleet, {APP!r})")
    alice.open(lab, notebook)
    alice.run_all()
    alice.is_told("Everything runs")
    bob.open(lab, notebook)
    bob.form.get_by_text("Everything runs").wait_for()
    alice.form.get_by_role("button", name="Logs of app").click()
    lines = alice.form.get_by_role("region", name="Logs of app")
    expect(lines).to_be_focused()
    assert bob.form.get_by_role("region", name="Logs of app").count() == 0
    written = opskit.Fleet.from_abra().logs(APP, ["app"])
    expect(lines).to_contain_text(
        written["line"].iloc[-1] if len(written) else "It wrote nothing that is kept."
    )
    alice.form.get_by_role("button", name="Close the logs of app").click()
    expect(lines).to_have_count(0)
