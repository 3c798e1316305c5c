"""Stories of a week, as people click and type them in what `opskit lab --demo` opens."""

from __future__ import annotations

import os

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
