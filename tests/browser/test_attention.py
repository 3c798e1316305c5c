"""Monday morning at the board of findings: two people, one fleet."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from opskit.demo.dockerd import DockerdFleet
from tests.browser.lab import Lab, Person
from tests.browser.test_canary import START, found, places, values

pytestmark = [pytest.mark.browser, pytest.mark.swarm, pytest.mark.kernel, pytest.mark.slow]

SECRET = "ovh_app_secret"


@pytest.fixture
def lacking(use: Callable[[DockerdFleet], Path], sample: DockerdFleet) -> Iterator[Path]:
    """Give the folder of the server, one of whose apps declares a version that is not there."""
    folder = use(sample) / "abra" / "servers" / "coop.example"
    env = folder / "traefik.coop.example.env"
    before = env.read_bytes()
    env.write_bytes(re.sub(rb"(SECRET_OVH_APP_SECRET_VERSION=)\S+", rb"\1v70", before))
    yield folder
    env.write_bytes(before)


def card(person: Person, *words: str) -> Locator:
    """Find the card whose text has these words."""
    found = person.form.locator(".opskit-card")
    for word in words:
        found = found.filter(has_text=word)
    return found


def test_what_one_mends_or_lets_be_goes_for_all_who_look_on(
    lab: Lab, sample: DockerdFleet, alice: Person, bob: Person, lacking: Path
) -> None:
    canary = f"Canary-board-{os.urandom(6).hex()}"
    notebook = lab.write("attention.ipynb", START, "forms.attention(fleet)")
    alice.open(lab, notebook)
    alice.run_all()
    mended = ("secret-missing", SECRET)
    expect(card(alice, *mended)).to_be_visible()
    alice.is_told(" high, ")
    bob.open(lab, notebook)
    expect(card(bob, *mended)).to_be_visible()

    # By keyboard alone: to the card's button, which opens the form with the focus in it.
    card(alice, *mended).get_by_role("button", name="Insert… secret-missing").focus()
    alice.page.keyboard.press("Enter")
    expect(alice.form.get_by_label("Secret value").first).to_be_visible()
    expect(bob.form.get_by_label("Secret value").first).to_be_visible()
    opener = bob.form.locator(".opskit-by", has_text="opened by")
    expect(opener).to_contain_text(alice.name)
    expect(alice.form.get_by_role("group", name="Insert")).to_be_focused()
    expect(alice.form.get_by_role("button", name="Keep it")).to_be_visible()
    alice.form.get_by_label("Secret value").first.fill(canary)
    assert found(canary, {"page": iter([values(alice)])})
    alice.button("Insert…").click()
    alice.button("Apply").click()

    # Where it was, for who did it and for who looks on.
    for person in (alice, bob):
        findings = person.form.get_by_role("list", name="Findings")
        expect(findings.get_by_role("group", name=f"Gone: {SECRET}")).to_be_visible()
    expect(card(bob, *mended)).to_have_count(0)
    expect(bob.form.get_by_text("Done: ")).to_be_visible()
    alice.is_told(": done. By ")
    bob.button("Close").click()
    expect(alice.form.get_by_text("Done: ")).to_have_count(0)

    # What no machine mends is let be; the words of a made-up name are not taken for a person's.
    let_be = card(bob, "secret-orphan").first
    place = let_be.locator("strong").inner_text()
    let_be.get_by_role("button", name="Acknowledge until…").click()
    bob.page.keyboard.type("Its owner is on holiday.")
    expect(let_be.get_by_label("Your name")).to_have_value("")
    let_be.get_by_role("button", name="Acknowledge", exact=True).click()
    expect(let_be.get_by_text("Say who you are.")).to_be_visible()
    bob.page.keyboard.type("Bob of the coop")
    let_be.get_by_role("button", name="Acknowledge", exact=True).click()
    listed = alice.form.locator("summary", has_text="1 finding acknowledged")
    expect(listed).to_be_visible()
    listed.click()
    expect(card(alice, place, "By Bob of the coop until")).to_be_visible()
    assert "Its owner is on holiday." in (lacking / "opskit.toml").read_text()
    withdrawn = card(alice, place, "By Bob of the coop until")
    withdrawn.get_by_role("button", name="Withdraw… secret-orphan").click()
    withdrawn.get_by_role("button", name="Withdraw", exact=True).click()
    expect(card(bob, place, "secret-orphan")).to_be_visible()
    expect(listed).to_have_count(0)
    assert "Its owner is on holiday." not in (lacking / "opskit.toml").read_text()
    (lacking / "opskit.toml").unlink()

    alice.command("docmanager:save")
    lab.saved(notebook, "is let be until")
    assert found(canary, places(lab, sample, alice, bob)) == set()


@pytest.mark.nightly
def test_filters_narrow_what_one_sees_and_nobody_else(
    lab: Lab, sample: DockerdFleet, alice: Person, bob: Person, use: Callable[[DockerdFleet], Path]
) -> None:
    use(sample)
    notebook = lab.write("filters.ipynb", START, "forms.attention(fleet)")
    alice.open(lab, notebook)
    alice.run_all()
    old = ("secret-superseded", "cloud.coop.example")
    expect(card(alice, *old)).to_be_visible()
    alice.is_told(" high, ")
    bob.open(lab, notebook)
    expect(card(bob, *old)).to_be_visible()
    everything = card(bob).count()
    alice.form.get_by_label("Search findings").fill("cloud.coop.example")
    expect(card(alice)).to_have_count(1)
    alice.form.get_by_label("Search findings").fill("")
    high = alice.form.get_by_role("button", name="high")
    high.click()
    expect(high).to_have_attribute("aria-pressed", "true")
    expect(card(alice, "medium")).to_have_count(0)
    alice.form.get_by_label("Search findings").fill("nothing like it")
    expect(alice.form.get_by_text("No finding fits.")).to_be_visible()

    assert card(bob).count() == everything
