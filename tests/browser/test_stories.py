"""Stories of a week, as people click and type them in what `opskit lab --demo` opens."""

from __future__ import annotations

import os
import re

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import Lab, Person
from tests.browser.test_attention import card
from tests.browser.test_canary import found

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.kernel]

_COUNT = """
window.hands = {clicks: 0, keys: 0};
addEventListener('pointerdown', () => { hands.clicks += 1; }, true);
addEventListener('keydown', () => { hands.keys += 1; }, true);
"""
AT_MOST = 300
"""Times that anybody presses Tab to get anywhere."""


def tell(story: str, *people: Person) -> None:
    """Print what hands had to do; nothing is held to it."""
    done = [person.page.evaluate("() => window.hands") for person in people]
    print(story, *(f"{one['clicks']} clicks and {one['keys']} keys" for one in done), sep=": ")


def run_all_by_menu(person: Person) -> None:
    person.page.get_by_role("menuitem", name="Run", exact=True).click()
    person.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def tab_to(person: Person, wanted: Locator) -> None:
    """Press Tab until something has the focus."""
    handle = wanted.element_handle()
    for _ in range(AT_MOST):
        if handle.evaluate("one => one === document.activeElement"):
            return
        person.page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {wanted}")


def test_on_monday_two_findings_are_mended_where_they_are_shown(
    opskit_lab: Lab, alice: Person, bob: Person
) -> None:
    canary = f"Canary-monday-{os.urandom(6).hex()}"
    alice.context.add_init_script(_COUNT)
    alice.page.goto(opskit_lab.url("lab/tree/00-start-here.ipynb"))
    alice.page.get_by_role("heading", name="Start here").wait_for()
    alice.page.get_by_role("link", name="01-fleet-audit").click()
    alice.page.get_by_role("heading", name="Audit the fleet").wait_for()
    alice.wait_for_kernel()
    run_all_by_menu(alice)
    old = ("internal_token", "git.coop.example", "secret-old")
    missing = ("keycloak_client_secret", "secret-missing")
    expect(card(alice, *old)).to_be_visible()
    alice.wait_for_kernel()
    bob.open(opskit_lab, "01-fleet-audit.ipynb")
    expect(card(bob, *missing)).to_be_visible()

    card(alice, *old).get_by_role("button", name="Rotate…").click()
    alice.button("Apply").click()
    for person in (alice, bob):
        expect(person.form.get_by_role("group", name="Gone: internal_token")).to_be_visible()
        expect(card(person, *old)).to_have_count(0)
    alice.is_told(": done. By ")
    alice.button("Close").click()
    expect(bob.form.get_by_text("Done.")).to_have_count(0)

    # By keyboard alone, from where the last click left off.
    tab_to(alice, card(alice, *missing).get_by_role("button", name="Insert… secret-missing"))
    alice.page.keyboard.press("Enter")
    tab_to(alice, alice.form.get_by_label("Secret value").first)
    alice.page.keyboard.type(canary)
    tab_to(alice, alice.button("Insert…"))
    alice.page.keyboard.press("Enter")
    alice.button("Apply").wait_for()
    tab_to(alice, alice.button("Apply"))
    alice.page.keyboard.press("Enter")
    for person in (alice, bob):
        gone = person.form.get_by_role("group", name="Gone: keycloak_client_secret")
        expect(gone.get_by_text("Done: ")).to_be_visible()
        expect(card(person, *missing)).to_have_count(0)

    assert found(canary, {"bob": iter([*bob.frames, bob.page.content().encode()])}) == set()
    tell("Monday", alice)


FRIDAY = """import opskit.demo
opskit.demo.start()
import opskit.forms
fleet = opskit.Fleet.from_abra()
opskit.forms.browse(fleet, needed=2)"""
OLD = (
    "generate and state == 'current' and age_days > 20 and "
    "(app == 'notes.coop.example' or app == 'matrix.mutual.example')"
)


def test_on_friday_two_people_rotate_in_waves(opskit_lab: Lab, alice: Person, bob: Person) -> None:
    for person in (alice, bob):
        person.context.add_init_script(_COUNT)
    notebook = opskit_lab.write("friday.ipynb", FRIDAY)
    alice.open(opskit_lab, notebook)
    run_all_by_menu(alice)
    form = alice.form
    form.get_by_label("Condition").fill(OLD)
    form.get_by_label("Server", exact=True).select_option("coop.example")
    form.get_by_text("2 of ").wait_for()
    bob.open(opskit_lab, notebook)

    # A database keeps its own copy of a password: it is marked, and left out.
    form.get_by_label("Select all rows shown").click()
    alice.button("Rotate 2…").click()
    alice.button("Leave out 1").click()
    alice.button("Rotate 1…").click()
    agree_and_apply(alice, bob)

    # The second wave: what was filtered is as it was left.
    alice.button("Another one").click()
    form.get_by_label("Server", exact=True).select_option("mutual.example")
    form.get_by_text("4 of ").wait_for()
    form.get_by_label("Select all rows shown").click()
    alice.button("Rotate 4…").click()
    alice.button("Leave out 1").click()
    alice.button("Rotate 3…").click()
    agree_and_apply(alice, bob)
    tell("Friday", alice, bob)


def agree_and_apply(first: Person, second: Person) -> None:
    """Have both approve the plan that is shown, and the first apply it."""
    first.button("Approve").click()
    second.form.get_by_text("Approved by 1 of 2").wait_for()
    second.is_told("Approved by 1 of 2")
    assert first.button("Apply").is_disabled()
    second.button("Approve").click()
    first.is_told("Approved by 2 of 2")
    first.form.get_by_text("Approved by 2 of 2").wait_for()
    if word := re.search(r"Type (\S+) to confirm", first.form.inner_text()):
        first.form.get_by_label(word[0]).fill(word[1])
    first.button("Apply").click()
    for person in (first, second):
        person.form.get_by_text("Done: ").wait_for()
    # The views of the form are made anew as its words change.
    first.is_told(f": done. By {first.name}")
