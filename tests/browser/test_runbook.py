"""A shipped runbook carried out on a real swarm by two people in one JupyterLab."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from opskit.demo.dockerd import DockerdFleet
from opskit.journal.runbooks import Book
from opskit.runbook.report import write_report
from tests.browser.lab import Lab, Person

pytestmark = [pytest.mark.browser, pytest.mark.swarm, pytest.mark.kernel, pytest.mark.slow]

SHIPPED = Path(__file__).parents[2] / "notebooks" / "04-leaked-secret.ipynb"
PARAMETERS = """demo = False
app = "id.coop.example"
name = "admin_password"
contained = "revoked at the provider"
signatures = 1
apply = True
approved = []
who = "Kim"
stable = 0.5
"""


def test_two_people_carry_out_an_incident_and_the_report_names_both(
    lab: Lab,
    sample: DockerdFleet,
    alice: Person,
    bob: Person,
    use: Callable[[DockerdFleet], Path],
) -> None:
    use(sample)
    notebook = json.loads(SHIPPED.read_text())
    for cell in notebook["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = PARAMETERS
    (lab.folder / "incident.ipynb").write_text(json.dumps(notebook))
    alice.open(lab, "incident.ipynb")
    alice.run_all()
    alice.page.get_by_role("button", name="Apply this plan").click()
    # It is carried out there, once; what is told of it by its words is in the notebook, too.
    alice.page.locator(".opskit-outcome-good", has_text="Done: ").wait_for()
    alice.is_told(f": done. By {alice.name}")
    # From the question on, as the notebook says.
    alice.command("notebook:run-all-below")
    alice.page.get_by_role("button", name="Sign").wait_for()
    bob.open(lab, "incident.ipynb")
    bob.page.get_by_role("button", name="Sign").wait_for()

    alice.page.get_by_role("button", name="yes", exact=True).click()
    decided = re.compile(f"yes.*{re.escape(alice.name)}")
    bob.page.locator(".opskit-answers li").filter(has_text=decided).wait_for()
    # The view of the answer, above the button, is made anew.
    bob.is_told(f"{alice.name}: yes")
    bob.page.get_by_role("button", name="Sign").click()
    signed = alice.page.locator(".opskit-answers li").filter(has_text=bob.name)
    signed.wait_for()
    expect(bob.page.get_by_role("button", name="Sign")).to_have_count(0)

    assert alice.page.get_by_text("Replace it: done by").count() == 1

    (written,) = (lab.folder / "runs").glob("*.html")
    book = Book.find(written.stem)
    text = write_report(written, book).read_text()
    for said in (alice.name, bob.name, "Kim", "revoked at the provider", "switch-service",
                 "Nothing uses the leaked version"):  # fmt: skip
        assert said in text, said
    assert "changed since" not in text
    assert book.record.status == "done"
    assert len(book.entries_of("run")) == 1
    fits_the_window(alice, written)


def fits_the_window(person: Person, report: Path) -> None:
    """Check that no table of a report has to be pushed sideways to be read."""
    page = person.context.new_page()
    page.set_viewport_size({"width": 1280, "height": 900})
    page.set_content(report.read_text())
    wider = "boxes => boxes.filter(box => box.scrollWidth > box.clientWidth).length"
    assert page.locator(".box").count() > 3
    assert page.locator(".box").evaluate_all(wider) == 0
    page.close()
