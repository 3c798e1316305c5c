"""Stories of a week, as people click and type them in what `opskit lab --demo` opens."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import Lab, Person
from tests.browser.test_attention import card
from tests.browser.test_canary import found, values

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.kernel]

AT_MOST = 300
"""Times that anybody presses Tab to get anywhere."""
MISSING = ("keycloak_client_secret", "secret-missing")
OLD = ("internal_token", "git.coop.example", "secret-old")


def tab_to(person: Person, wanted: Locator) -> None:
    """Press Tab until something has the focus."""
    handle = wanted.element_handle()
    for _ in range(AT_MOST):
        if handle.evaluate("one => one === document.activeElement"):
            return
        person.page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {wanted}")


def enter(person: Person, wanted: Locator) -> None:
    """Get somewhere with Tab, and press Enter there."""
    tab_to(person, wanted)
    person.page.keyboard.press("Enter")


@pytest.mark.nightly
def test_on_monday_two_findings_are_mended_where_they_are_shown(
    opskit_lab: Lab, alice: Person, bob: Person, tell: Callable[..., None]
) -> None:
    canary = f"Canary-monday-{os.urandom(6).hex()}"
    alice.page.goto(opskit_lab.url("lab/tree/00-start-here.ipynb"))
    alice.page.get_by_role("heading", name="Start here").wait_for()
    alice.page.get_by_role("link", name="01-fleet-audit").click()
    alice.page.get_by_role("heading", name="Audit the fleet").wait_for()
    alice.wait_for_kernel()
    alice.menu("Run", "Run All Cells")
    expect(card(alice, *OLD)).to_be_visible()
    alice.wait_for_kernel()
    bob.open(opskit_lab, "01-fleet-audit.ipynb")
    expect(card(bob, *MISSING)).to_be_visible()

    card(alice, *OLD).get_by_role("button", name="Rotate internal_token…").click()
    alice.button("Apply").click()
    for person in (alice, bob):
        expect(person.form.get_by_role("group", name="Gone: internal_token")).to_be_visible()
        expect(card(person, *OLD)).to_have_count(0)
    alice.is_told(": done. By ")
    alice.button("Close").click()
    expect(bob.form.get_by_text("Done.")).to_have_count(0)

    card(alice, *MISSING).get_by_role("button", name="Insert… secret-missing").click()
    alice.form.get_by_label("Secret value").first.click()
    alice.page.keyboard.type(canary)
    alice.button("Insert…").click()
    alice.button("Apply").click()
    for person in (alice, bob):
        gone = person.form.get_by_role("group", name="Gone: keycloak_client_secret")
        expect(gone.get_by_text("Done: ")).to_be_visible()
        expect(card(person, *MISSING)).to_have_count(0)
    tell("Monday", alice)

    shown = [*bob.frames, bob.page.content().encode(), values(bob)]
    assert found(canary, {"bob": iter(shown)}) == set()


@pytest.mark.nightly
def test_monday_needs_no_mouse(opskit_lab: Lab, alice: Person, tell: Callable[..., None]) -> None:
    source = (opskit_lab.folder / "01-fleet-audit.ipynb").read_text()
    (opskit_lab.folder / "by-keyboard.ipynb").write_text(source)
    alice.open(opskit_lab, "by-keyboard.ipynb")
    alice.page.keyboard.press("Control+Shift+C")
    alice.page.keyboard.type("Run All Cells")
    alice.page.keyboard.press("Enter")
    old = ("ovh_app_secret", "traefik.coop.example", "secret-old")
    superseded = ("admin_password", "secret-superseded")
    expect(card(alice, *old)).to_be_visible()
    alice.wait_for_kernel()

    enter(alice, card(alice, *old).get_by_role("button", name="Insert ovh_app_secret…"))
    expect(alice.form.get_by_role("group", name="Insert")).to_be_focused()
    tab_to(alice, alice.form.get_by_label("Secret value").first)
    alice.page.keyboard.type(os.urandom(6).hex())
    enter(alice, alice.button("Insert…"))
    alice.button("Apply").wait_for()
    enter(alice, alice.button("Apply"))
    expect(alice.form.get_by_role("group", name="Gone: ovh_app_secret")).to_be_visible()
    alice.is_told(": done. By ")
    enter(alice, alice.button("Close"))

    # What cannot be undone wants a word more.
    enter(alice, card(alice, *superseded).get_by_role("button", name="Prune… secret-superseded"))
    alice.button("Apply").wait_for()
    asked = alice.form.get_by_label("to confirm")
    tab_to(alice, asked)
    alice.page.keyboard.type(word_to_confirm(alice))
    enter(alice, alice.button("Apply"))
    expect(alice.form.get_by_role("group", name="Gone: admin_password")).to_be_visible()

    assert alice.hands.startswith("0 clicks and ")
    tell("Monday by keyboard", alice)


@pytest.mark.nightly
def test_on_friday_two_people_rotate_in_waves_and_prune(
    opskit_lab: Lab, alice: Person, bob: Person, tell: Callable[..., None]
) -> None:
    cell = (
        "import opskit.demo\nopskit.demo.start()\nimport opskit.forms\n"
        "opskit.forms.browse(opskit.Fleet.from_abra(), needed=2)"
    )
    notebook = opskit_lab.write("friday.ipynb", cell)
    alice.open(opskit_lab, notebook)
    alice.menu("Run", "Run All Cells")
    form = alice.form
    form.get_by_label("State", exact=True).select_option("current")
    form.get_by_label("Server", exact=True).select_option("coop.example")
    look_for(alice, "notes", rows=3)
    bob.open(opskit_lab, notebook)

    # Of the three a value comes from elsewhere, and cannot be chosen; a database keeps its own
    # copy of a password: it is marked, and left out.
    form.get_by_label("Select all rows shown").click()
    alice.button("Rotate 2…").click()
    alice.button("Leave out 1").click()
    alice.button("Rotate 1…").click()
    agree_and_apply(alice, bob, "rotated notes.coop.example session v1 → v2")

    # The second wave: what was filtered is as it was left.
    alice.button("Another one").click()
    form.get_by_label("Server", exact=True).select_option("mutual.example")
    look_for(alice, "matrix", rows=4)
    form.get_by_label("Select all rows shown").click()
    alice.button("Rotate 4…").click()
    alice.button("Leave out 1").click()
    alice.button("Rotate 3…").click()
    agree_and_apply(alice, bob, "macaroon v2 → v3")

    # What was replaced just now stays for a way back; what is older goes.
    alice.button("Another one").click()
    form.get_by_role("radio", name="Prune").click()
    form.get_by_label("State", exact=True).select_option("superseded")
    look_for(alice, "matrix macaroon", rows=2)
    form.get_by_label("Select all rows shown").click()
    alice.button("Prune 1…").click()
    agree_and_apply(alice, bob, "pruned matrix.mutual.example macaroon v1")
    alice.button("Another one").click()
    look_for(alice, "matrix macaroon", rows=1)
    expect(form.get_by_role("checkbox", name="macaroon v2")).to_be_visible()
    tell("Friday", alice, bob)


def look_for(person: Person, words: str, *, rows: int) -> None:
    """Type words into the table's search, and see that so many rows are left."""
    search = person.form.get_by_label("Search", exact=True)
    search.click()
    search.press("Control+a")
    search.press_sequentially(words)
    person.form.get_by_text(re.compile(rf"^{rows} of \d+ versions")).wait_for()


def word_to_confirm(person: Person) -> str:
    """Return what has to be typed before the plan that is shown is agreed to; mostly nothing."""
    asked = re.search(r"Type (\S+) to confirm", person.form.inner_text())
    return asked[1] if asked else ""


def agree_and_apply(first: Person, second: Person, done: str) -> None:
    """Have both approve the plan that is shown, and the first apply it."""
    first.button("Approve").wait_for()
    if word := word_to_confirm(first):
        expect(first.button("Approve")).to_be_disabled()
        for person in (first, second):
            person.form.get_by_label("to confirm").press_sequentially(word)
    first.button("Approve").click()
    second.form.get_by_text("Approved by 1 of 2").wait_for()
    second.is_told("Approved by 1 of 2")
    assert first.button("Apply").is_disabled()
    second.button("Approve").click()
    first.is_told("Approved by 2 of 2")
    first.form.get_by_text("Approved by 2 of 2").wait_for()
    first.button("Apply").click()
    for person in (first, second):
        expect(person.form.locator(".opskit-outcome")).to_contain_text(done)
    # The views of the form are made anew as its words change.
    first.is_told(f": done. By {first.name}")
