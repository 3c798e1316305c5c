"""A shipped runbook carried out on a real swarm by two people in one JupyterLab."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from opskit.demo.dockerd import DockerdFleet
from opskit.journal.runbooks import Book
from opskit.runbook.report import write_report
from tests.browser.lab import Lab, Person
from tests.browser.test_canary import found, places, values

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
VERIFY = "Nothing uses the leaked version"


def begin(lab: Lab, person: Person, app: str, name: str) -> str:
    """Run the shipped notebook as far as it goes."""
    notebook = json.loads(SHIPPED.read_text())
    for cell in notebook["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = PARAMETERS.format(app=app, name=name)
    opened = f"incident-{name}.ipynb"
    (lab.folder / opened).write_text(json.dumps(notebook))
    person.open(lab, opened)
    person.run_all()
    return opened


def decide_and_sign(lab: Lab, notebook: str, alice: Person, bob: Person) -> str:
    """Let one answer and both sign, and give the report's text once it holds both."""
    alice.page.get_by_role("button", name="Sign").wait_for()
    bob.open(lab, notebook)
    bob.page.get_by_role("button", name="Sign").wait_for()

    bob.page.get_by_role("button", name="yes", exact=True).click()
    decided = re.compile(f"yes.*{re.escape(bob.name)}")
    alice.page.locator(".opskit-answers li").filter(has_text=decided).wait_for()
    # The view of the answer, above the button, is made anew.
    alice.is_told(f"{bob.name}: yes")
    alice.page.get_by_role("button", name="Sign").click()
    signed = ".opskit-answers li:not(:has(b))"
    bob.page.locator(signed).filter(has_text=alice.name).wait_for()
    bob.is_told(f"{alice.name}: Sign")
    bob.page.get_by_role("button", name="Sign").click()
    alice.page.locator(signed).filter(has_text=bob.name).wait_for()
    for person in (alice, bob):
        expect(person.page.get_by_role("button", name="Sign")).to_have_count(0)

    written = max((lab.folder / "runs").glob("*.html"), key=lambda path: path.stat().st_mtime)
    book = Book.find(written.stem)
    text = write_report(written, book).read_text()
    for said in (alice.name, bob.name, "Kim", "revoked at the provider", VERIFY):
        assert said in text, said
    assert "changed since" not in text
    assert book.record.status == "done"
    signers = {entry.data["name"] for entry in book.entries_of("signature")}
    assert signers == {alice.name, bob.name}
    fits_the_window(alice, written)
    return text


def test_two_people_carry_out_an_incident_and_both_sign_its_report(
    lab: Lab,
    sample: DockerdFleet,
    alice: Person,
    bob: Person,
    use: Callable[[DockerdFleet], Path],
) -> None:
    use(sample)
    notebook = begin(lab, alice, "id.coop.example", "admin_password")
    alice.page.get_by_role("button", name="Apply this plan").click()
    # It is carried out there, once; what is told of it by its words is in the notebook, too.
    alice.page.locator(".opskit-outcome-good", has_text="Done.").wait_for()
    alice.is_told(f": done. By {alice.name}")
    # From the question on, as the notebook says.
    alice.command("notebook:run-all-below")
    text = decide_and_sign(lab, notebook, alice, bob)

    assert alice.page.get_by_text("Replace it: done by").count() == 1
    assert "switch-service" in text


def test_a_leaked_value_that_comes_from_elsewhere_is_inserted_on_the_way(
    lab: Lab,
    sample: DockerdFleet,
    alice: Person,
    bob: Person,
    use: Callable[[DockerdFleet], Path],
) -> None:
    use(sample)
    canary = f"Canary-incident-{os.urandom(6).hex()}"
    notebook = begin(lab, alice, "traefik.coop.example", "ovh_consumer_key")
    alice.is_told("Insert the new value above, then run the cells from here on")
    alice.form.get_by_label("Secret value").first.fill(canary)
    assert found(canary, {"page": iter([values(alice)])})
    alice.button("Insert…").click()
    alice.button("Apply").click()
    alice.form.get_by_text("Done: ").wait_for()
    alice.is_told(f": done. By {alice.name}")
    alice.page.locator(".jp-CodeCell .jp-InputArea", has_text=VERIFY).click()
    alice.command("notebook:run-all-below")
    text = decide_and_sign(lab, notebook, alice, bob)

    alice.command("docmanager:save")
    lab.saved(notebook, f"{bob.name}: Sign")
    assert found(canary, {"report": iter([text.encode()])}) == set()
    assert found(canary, places(lab, sample, alice, bob)) == set()


def fits_the_window(person: Person, report: Path) -> None:
    """Check that no table of a report has to be pushed sideways to be read."""
    page = person.context.new_page()
    page.set_viewport_size({"width": 1280, "height": 900})
    page.set_content(report.read_text())
    wider = "boxes => boxes.filter(box => box.scrollWidth > box.clientWidth).length"
    assert page.locator(".box").count() > 3
    assert page.locator(".box").evaluate_all(wider) == 0
    page.close()
