"""A shipped runbook carried out on a real swarm by two people in one JupyterLab."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

import opskit
from opskit.demo.dockerd import DockerdFleet
from opskit.journal.runbooks import Book
from tests.browser.lab import Lab, Person
from tests.browser.test_canary import found, places, values
from tests.waiting import eventually

pytestmark = [pytest.mark.browser, pytest.mark.swarm, pytest.mark.kernel, pytest.mark.slow]

SHIPPED = Path(__file__).parents[2] / "notebooks" / "04-leaked-secret.ipynb"
PARAMETERS = """demo = False
app = {app!r}
name = {name!r}
contained = "revoked at the provider"
signatures = 2
apply = True
approved = []
who = "Kim"
stable = 0.5
"""


@pytest.fixture(autouse=True)
def _see_the_fleet(use: Callable[[DockerdFleet], Path], sample: DockerdFleet) -> None:
    use(sample)


def incident(lab: Lab, app: str, name: str) -> str:
    """Write the shipped notebook with the parameters of an incident, and return its name."""
    notebook = json.loads(SHIPPED.read_text())
    for cell in notebook["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = PARAMETERS.format(app=app, name=name)
    path = lab.folder / f"incident-{name}.ipynb"
    path.write_text(json.dumps(notebook))
    return path.name


def run_from_here(person: Person) -> None:
    """Run the cell that was clicked into last, and all below it."""
    person.menu("Run", "Run Selected Cell and All Below")


def decide_and_sign(lab: Lab, first: Person, second: Person, notebook: str) -> tuple[Book, str]:
    """Have one answer and both sign; return the book, and the report that then is written."""
    first.page.get_by_role("button", name="Sign").wait_for()
    second.open(lab, notebook)
    second.page.get_by_role("button", name="Sign").wait_for()
    first.page.get_by_role("button", name="yes", exact=True).click()
    decided = re.compile(f"yes.*{re.escape(first.name)}")
    second.page.locator(".opskit-answers li").filter(has_text=decided).wait_for()
    # The view of the answer, above the button, is made anew; so is the one of the signature.
    second.is_told(f"{first.name}: yes")
    second.page.get_by_role("button", name="Sign").click()
    first.is_told(f"I have read this record. {second.name}")
    first.page.get_by_role("button", name="Sign").click()
    for person in (first, second):
        signed = person.page.locator(".opskit-answers li").filter(has_text=first.name)
        expect(signed).to_have_count(2)
        expect(person.page.get_by_role("button", name="Sign")).to_have_count(0)
    run_from_here(first)
    # Scrolled out of sight, it has no text to read off the page.
    said = first.page.get_by_text("Report: runs/").text_content() or ""
    written = lab.folder / said.removeprefix("Report: ").strip()
    report = eventually(
        written.read_text, "the report with both signatures", lambda text: "Still open" not in text
    )
    return Book.find(written.stem), report


def test_two_people_carry_out_an_incident_and_the_report_names_both(
    lab: Lab, alice: Person, bob: Person, tell: Callable[..., None]
) -> None:
    notebook = incident(lab, "id.coop.example", "admin_password")
    alice.open(lab, notebook)
    alice.menu("Run", "Run All Cells")
    alice.page.get_by_role("button", name="Apply this plan").click()
    # It is carried out there, once; what is told of it by its words is in the notebook, too.
    alice.page.locator(".opskit-outcome-good", has_text="Done: ").wait_for()
    alice.is_told(f": done. By {alice.name}")
    run_from_here(alice)
    book, report = decide_and_sign(lab, alice, bob, notebook)
    tell("Incident, a value that is made", alice, bob)

    assert alice.page.get_by_text("Replace it: done by").count() == 1
    for said in (alice.name, bob.name, "Kim", "revoked at the provider", "switch-service",
                 "Nothing uses the leaked version"):  # fmt: skip
        assert said in report, said
    assert "changed since" not in report
    assert book.record.status == "done"
    assert len(book.entries_of("run")) == 1
    assert {one.data["name"] for one in book.entries_of("signature")} == {alice.name, bob.name}
    fits_the_window(alice, report)
    alice.page.get_by_text("Report: runs/").get_by_role("link").click()
    read = alice.page.frame_locator(".jp-HTMLViewer iframe").get_by_role("heading", level=1)
    expect(read).to_have_text("Leaked: admin_password of id.coop.example")


@pytest.mark.nightly
def test_two_people_replace_a_leaked_value_that_comes_from_elsewhere(
    lab: Lab, sample: DockerdFleet, alice: Person, bob: Person, tell: Callable[..., None]
) -> None:
    canary = f"Canary-incident-{os.urandom(6).hex()}"
    app, name = "notes.coop.example", "oidc_key"
    notebook = incident(lab, app, name)
    alice.open(lab, notebook)
    alice.menu("Run", "Run All Cells")
    # It stops below the field for the new value, as long as the leaked one is in use.
    alice.is_told('"ename":"UndecidedError"')
    alice.button("Insert…").wait_for()
    alice.wait_for_kernel()
    bob.open(lab, notebook)
    bob.button("Insert…").wait_for()
    alice.form.get_by_label("Secret value").first.press_sequentially(canary)
    assert found(canary, {"page": iter([values(alice)])})
    alice.button("Insert…").click()
    # The second reads the plan before the first carries it out.
    expect(bob.form.get_by_role("region", name="Changes")).to_contain_text(f"{app}{name}v1v2")
    alice.button("Apply").click()
    for person in (alice, bob):
        person.form.get_by_text("Done: inserted ").wait_for()
        person.is_told(f": done. By {alice.name}")
    run_from_here(alice)
    book, report = decide_and_sign(lab, alice, bob, notebook)
    tell("Incident, a value from elsewhere", alice, bob)

    secrets = opskit.Fleet.from_abra().snapshot().secrets.query("app == @app and secret == @name")
    states = dict(zip(secrets["version"], secrets["state"], strict=True))
    assert states == {"v1": "superseded", "v2": "current"}
    for said in (alice.name, bob.name, "Kim", "revoked at the provider", "switch-service",
                 "marked generate=false, as the value comes from elsewhere"):  # fmt: skip
        assert said in report, said
    assert book.record.status == "done"
    assert [one.status for one in book.entries_of("check")] == ["done"]
    assert {one.data["name"] for one in book.entries_of("signature")} == {alice.name, bob.name}
    alice.command("docmanager:save")
    lab.saved(notebook, "Report: runs/")
    # Notebook, report, logs, journal, processes, and both browsers.
    assert found(canary, places(lab, sample, alice, bob)) == set()


def fits_the_window(person: Person, report: str) -> None:
    """Check that no table of a report has to be pushed sideways to be read."""
    page = person.context.new_page()
    page.set_viewport_size({"width": 1280, "height": 900})
    page.set_content(report)
    wider = "boxes => boxes.filter(box => box.scrollWidth > box.clientWidth).length"
    assert page.locator(".box").count() > 3
    assert page.locator(".box").evaluate_all(wider) == 0
    page.close()
