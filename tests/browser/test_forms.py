"""The forms in a real JupyterLab on a real swarm, with two people at it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

import opskit
from opskit.demo.dockerd import DockerdFleet
from opskit.secrets.generate import Policy
from tests.browser.lab import INSECURE, Lab, Person
from tests.waiting import eventually

pytestmark = [pytest.mark.browser, pytest.mark.swarm, pytest.mark.kernel, pytest.mark.slow]

START = "import opskit, opskit.forms as forms\nfleet = opskit.Fleet.from_abra()"
APP = "id.coop.example"


@pytest.fixture(autouse=True)
def _see_the_fleet(use: Callable[[DockerdFleet], Path], sample: DockerdFleet) -> None:
    use(sample)


def versions(app: str, secret: str) -> dict[str, str]:
    rows = opskit.Fleet.from_abra().snapshot().secrets
    chosen = rows.query(f"app == {app!r} and secret == {secret!r}")
    return dict(zip(chosen["version"], chosen["state"], strict=True))


def plan_a_rotation(lab: Lab, name: str, person: Person, cell: str) -> str:
    notebook = lab.write(f"{name}.ipynb", START, cell)
    person.open(lab, notebook)
    person.run_all()
    person.button("Rotate…").click()
    person.button("Apply").wait_for()
    return notebook


def holding(gate: str) -> str:
    """Let a run wait, with the first service changed, until a file of this name is there."""
    return f"""
import pathlib, time
from opskit.swarm.engine import Engine
update = Engine.update_service
def hold(*given, **named):
    result = update(*given, **named)
    while not pathlib.Path({gate!r}).exists():
        time.sleep(0.05)
    return result
Engine.update_service = hold
"""


def test_one_rotates_while_another_watches_and_rolls_it_back(
    lab: Lab, alice: Person, bob: Person
) -> None:
    cell = f"{holding('together')}\nforms.rotate(fleet, app={APP!r}, secret='admin_password')"
    notebook = plan_a_rotation(lab, "together", alice, cell)
    before = versions(APP, "admin_password")
    assert "Restarts id.coop.example app." in alice.form.inner_text()
    bob.open(lab, notebook)
    bob.button("Apply").wait_for()
    alice.button("Apply").dblclick()
    bob.form.get_by_text("Running").wait_for()
    (lab.folder / "together").touch()
    for person in (alice, bob):
        person.is_told(": done.")
        person.form.get_by_text("Done: ").wait_for()
        person.button("Roll back…").wait_for()
    assert alice.form.get_by_role("button", name="Reveal").count() == 1
    assert bob.form.get_by_role("button", name="Reveal").count() == 0
    assert alice.name in bob.form.inner_text()
    assert versions(APP, "admin_password") != before

    bob.button("Roll back…").click()
    # What it does is shown to both before anybody does it.
    alice.form.get_by_text("back to v1").wait_for()
    bob.button("Apply").click()
    for person in (alice, bob):
        person.is_told(": rolled back.")
        person.form.get_by_text("everything is as it was").wait_for()
    assert bob.name in alice.form.inner_text()
    assert versions(APP, "admin_password") == before
    newest = opskit.Fleet.from_abra().journal().iloc[-1]
    assert newest["status"] == "rolled-back"
    assert alice.name in newest["identity"]
    assert bob.name in newest["undone_by"]

    # What a reader without a kernel sees is what came of it.
    alice.command("docmanager:save")
    saved = lab.saved(notebook, f"Run {newest['run']}: rolled back.")
    (output,) = saved.cells[1].outputs
    assert f"Run {newest['run']}: rolled back." in output["data"]["text/html"]


@pytest.mark.nightly
def test_a_page_that_is_reloaded_or_offline_meanwhile_finds_the_result(
    lab: Lab, alice: Person
) -> None:
    cell = f"{holding('reloaded')}\nforms.rotate(fleet, app={APP!r}, secret='admin_password')"
    notebook = plan_a_rotation(lab, "reloaded", alice, cell)
    alice.button("Apply").click()
    alice.form.get_by_text("Running").wait_for()
    alice.context.set_offline(True)
    (lab.folder / "reloaded").touch()
    eventually(
        lambda: opskit.Fleet.from_abra().journal().iloc[-1]["status"],
        "the run to be done",
        lambda status: status == "done",
    )
    alice.context.set_offline(False)
    alice.open(lab, notebook)
    alice.form.get_by_text("Done: ").wait_for()


@pytest.mark.nightly
def test_an_interrupted_kernel_does_not_stop_a_run_and_a_restarted_one_offers_it(
    lab: Lab, alice: Person
) -> None:
    cell = f"{holding('restarted')}\nforms.rotate(fleet, app={APP!r}, secret='admin_password')"
    plan_a_rotation(lab, "restarted", alice, cell)
    before = versions(APP, "admin_password")
    alice.button("Apply").click()
    alice.form.get_by_text("switch-service").wait_for()
    alice.interrupt()
    assert alice.form.get_by_text("Running").count() == 1
    alice.restart()
    (lab.folder / "restarted").touch()
    alice.run_all()
    alice.form.get_by_text("did not finish: crashed").wait_for()
    alice.button("Roll back…").first.click()
    alice.button("Apply").click()
    alice.form.get_by_text("everything is as it was").wait_for()
    assert versions(APP, "admin_password") == before


REFUSING = """
from opskit.errors import EngineError
from opskit.swarm.engine import Engine
update = Engine.update_service
def refuse(*_, **__):
    Engine.update_service = update
    raise EngineError("no leader", server="coop.example")
Engine.update_service = refuse
"""


@pytest.mark.nightly
def test_a_run_that_failed_says_so_and_shows_its_last_step_to_who_comes_later(
    lab: Lab, alice: Person, bob: Person
) -> None:
    cell = f"{REFUSING}\nforms.rotate(fleet, app={APP!r}, secret='admin_password')"
    notebook = plan_a_rotation(lab, "refused", alice, cell)
    alice.button("Apply").click()
    alice.form.get_by_text("Failed, and rolled back: everything is as").wait_for()
    bob.open(lab, notebook)
    bob.form.get_by_text("no leader").first.wait_for()
    bob.wait(
        "() => { const list = document.querySelector('.opskit-steps');"
        " return list && list.scrollTop > 0"
        " && list.scrollTop + list.clientHeight >= list.scrollHeight - 8; }"
    )


@pytest.mark.nightly
def test_two_people_approve_before_a_plan_can_be_applied(
    lab: Lab, alice: Person, bob: Person
) -> None:
    notebook = lab.write(
        "approved.ipynb",
        START,
        f"plan = fleet.plan_rotate([('coop.example', {APP!r}, 'admin_password')])",
        "forms.approve(plan, needed=2)",
    )
    alice.open(lab, notebook)
    alice.run_all()
    alice.button("Approve").click()
    alice.is_told("Approved by 1 of 2")
    assert alice.button("Apply").is_disabled()
    bob.open(lab, notebook)
    bob.is_told("Approved by 1 of 2")
    bob.button("Approve").click()
    alice.is_told("Approved by 2 of 2")
    alice.form.get_by_text("Approved by 2 of 2").wait_for()
    alice.button("Apply").click()
    bob.form.get_by_text("Done: ").wait_for()


def test_rows_are_searched_selected_and_rotated_in_the_table(lab: Lab, alice: Person) -> None:
    notebook = lab.write("browsed.ipynb", START, "forms.browse(fleet)")
    alice.open(lab, notebook)
    alice.run_all()
    alice.form.get_by_label("Search", exact=True).fill("id.coop.example admin")
    alice.form.get_by_label("State", exact=True).select_option("current")
    alice.form.get_by_label("Select all rows shown").check()
    alice.button("Rotate 1…").click()
    alice.button("Apply").wait_for()
    assert "admin_password" in alice.form.inner_text()


@pytest.mark.nightly
def test_what_is_chosen_in_the_table_outlives_filters_and_what_a_verb_refuses_is_left_out(
    lab: Lab, alice: Person, bob: Person
) -> None:
    notebook = lab.write("kept-apart.ipynb", START, "forms.browse(fleet)")
    alice.open(lab, notebook)
    alice.run_all()
    form, told = alice.form, alice.form.locator(".opskit-sum")
    # One that no test here rotates: it has a single version.
    form.get_by_label("Condition").fill(
        "app == 'cloud.coop.example' and secret == 'collabora_password'"
    )
    form.get_by_text(re.compile(r"^1 of ")).wait_for()
    form.get_by_label("Select all rows shown").check()
    form.get_by_label("Condition").fill("state == 'orphan'")
    told.filter(has_text="1 selected, all of them hidden").wait_for()
    form.get_by_role("button", name="Save filter…").click()
    form.get_by_label("Name of this filter").fill("nobody's")
    form.get_by_role("button", name="Save", exact=True).click()
    form.get_by_role("radio", name="Prune").check()
    assert form.get_by_role("button", name="Prune 1…").is_disabled()
    form.get_by_role("button", name="Show selected").click()
    form.get_by_label("Condition").fill("")
    form.get_by_text("It has no superseded version.").wait_for()
    form.get_by_role("button", name="Leave out 1").click()
    told.filter(has_text="Nothing selected").wait_for()

    # Filters are everybody's; what somebody has chosen is their own.
    bob.open(lab, notebook)
    bob.form.get_by_label("Saved filters").select_option("nobody's")
    assert bob.form.get_by_label("Condition").input_value() == "state == 'orphan'"
    bob.form.get_by_label("Condition").fill("klingon > 3")
    bob.form.get_by_role("alert").filter(has_text="klingon").wait_for()
    assert alice.form.get_by_role("alert").count() == 0


@pytest.mark.nightly
def test_a_live_table_changes_under_what_is_chosen_and_filtered(lab: Lab, alice: Person) -> None:
    cell = "live = fleet.watch()\nforms.browse(fleet, live=live)"
    alice.open(lab, lab.write("live.ipynb", START, cell))
    alice.run_all()
    form = alice.form
    words = "app == 'cloud.coop.example' or state == 'orphan'"
    form.get_by_label("Condition").fill(words)
    counted = form.get_by_text(re.compile(r" of \S+ versions$"))
    # The answer to the condition draws the rows anew.
    expect(counted).not_to_have_text(re.compile(r"^(\S+) of \1 versions$"))
    row = form.get_by_role("row").filter(has_text="collabora_password")
    row.get_by_role("checkbox").focus()
    alice.page.keyboard.press("Space")
    form.get_by_text("1 selected", exact=True).wait_for()

    engine = ["docker", "--context", "coop.example", "secret"]
    subprocess.run([*engine, "create", "lost_thing_v1", "-"], input=b"x", check=True)
    try:
        added = form.get_by_role("row").filter(has_text="lost").filter(has_text="orphan")
        added.wait_for()
        assert row.get_by_role("checkbox").is_checked()
        assert row.get_by_role("checkbox").evaluate("box => box === document.activeElement")
        assert form.get_by_label("Condition").input_value() == words
    finally:
        subprocess.run([*engine, "rm", "lost_thing_v1"], check=True)
    added.wait_for(state="detached")
    alice.button("Rotate 1…").click()
    alice.button("Apply").wait_for()
    assert "collabora_password" in form.inner_text()


@pytest.mark.nightly
def test_a_live_table_stays_where_it_was_scrolled_to(lab: Lab, alice: Person) -> None:
    cell = "live = fleet.watch()\nforms.browse(fleet, live=live, where='observed')"
    alice.open(lab, lab.write("scrolled.ipynb", START, cell))
    alice.run_all()
    counted = alice.form.get_by_text(re.compile(r" of \S+ versions$"))
    expect(counted).to_have_text(re.compile("^[1-9]"))
    before = counted.inner_text()
    grid = alice.form.get_by_role("table", name="Secrets")
    grid.evaluate("grid => { grid.scrollTop = 90; }")
    engine = ["docker", "--context", "coop.example", "secret"]
    subprocess.run([*engine, "create", "last_thing_v1", "-"], input=b"x", check=True)
    try:
        # Once for its rows, and once more for the answer to what matches of them.
        total = int(before.split()[2]) + 1
        shown = int(before.split()[0]) + 1
        expect(counted).to_have_text(f"{shown} of {total} versions")
        assert grid.evaluate("grid => grid.scrollTop") == 90
    finally:
        subprocess.run([*engine, "rm", "last_thing_v1"], check=True)


@pytest.mark.nightly
def test_an_error_goes_when_something_else_is_chosen(lab: Lab, alice: Person) -> None:
    cell = "fleet.plan_rotate = None\nforms.rotate(fleet, app='id.coop.example')"
    alice.open(lab, lab.write("stale.ipynb", START, cell))
    alice.run_all()
    boxes = alice.form.locator(".opskit-secrets input:not(:disabled)")
    boxes.first.check()
    alice.button("Rotate…").click()
    fault = alice.form.get_by_role("alert").filter(has_text="TypeError")
    fault.wait_for()
    alice.form.locator(".opskit-secrets input:not(:disabled)").first.uncheck()
    fault.wait_for(state="detached")


@pytest.mark.nightly
def test_no_app_is_chosen_by_itself_to_be_taken_down(lab: Lab, alice: Person) -> None:
    alice.open(lab, lab.write("none.ipynb", START, "forms.undeploy(fleet)"))
    alice.run_all()
    alice.form.get_by_text("Choose an app.").wait_for()
    alice.button("Take down…").click()
    assert alice.button("Apply").count() == 0


@pytest.mark.nightly
def test_a_fault_in_a_handler_is_shown_in_the_form(lab: Lab, alice: Person) -> None:
    notebook = lab.write(
        "faulty.ipynb",
        START,
        "fleet.plan_rotate = None\nforms.rotate(fleet, app='id.coop.example')",
    )
    alice.open(lab, notebook)
    alice.run_all()
    alice.form.locator(".opskit-secrets input:not(:disabled)").first.check()
    alice.button("Rotate…").click()
    # A busy kernel's silence may be told beside it.
    alice.form.get_by_role("alert").filter(has_text="TypeError").wait_for()
    assert alice.button("Rotate…").is_enabled()


@pytest.mark.nightly
def test_a_page_that_is_not_secure_cannot_seal_and_says_what_to_do(lab: Lab, alice: Person) -> None:
    notebook = lab.write("insecure.ipynb", START, f"forms.insert(fleet, app={APP!r})")
    alice.open(lab, notebook, INSECURE)
    alice.run_all()
    alert = alice.form.get_by_role("alert").filter(has_text="ssh tunnel")
    alert.wait_for()
    assert alice.form.get_by_label("Secret value").count() == 0


@pytest.mark.nightly
def test_an_app_is_taken_down_and_deployed_again(lab: Lab, alice: Person, bob: Person) -> None:
    app = "notes.coop.example"
    notebook = lab.write(
        "down-and-up.ipynb", START, f"forms.undeploy(fleet, app={app!r})", "forms.deploy(fleet)"
    )
    alice.open(lab, notebook)
    alice.run_all()
    alice.button("Take down…").click()
    alice.form.get_by_text("its volumes and secrets stay").wait_for()
    assert alice.button("Apply").is_disabled()
    alice.form.get_by_label(f"Type {app} to confirm").fill(app)
    alice.button("Apply").click()
    alice.form.get_by_text("Done: ").wait_for()

    bob.open(lab, notebook)
    second = bob.page.locator(".opskit-form").nth(1)
    second.get_by_label("Search apps").fill(app)
    second.get_by_label("App", exact=True).select_option(label=f"{app} · coop.example")
    second.get_by_role("button", name="Deploy…", exact=True).click()
    second.get_by_role("button", name="Apply", exact=True).click()
    second.get_by_text("Done: ").wait_for()
    apps = opskit.Fleet.from_abra().snapshot().apps.query("app == @app")
    assert apps["running"].tolist() == apps["desired"].tolist() == [2]


@pytest.mark.nightly
def test_two_forms_on_a_page_keep_their_labels_and_choices_apart(lab: Lab, alice: Person) -> None:
    cell = f"forms.insert(fleet, app={APP!r}, secret='admin_password')"
    alice.open(lab, lab.write("two.ipynb", START, cell, cell, "forms.insert(fleet, app='no.such')"))
    alice.run_all()
    alice.page.get_by_text("There is no app no.such here.").wait_for()
    for number in range(2):
        form = alice.page.locator(".opskit-form").nth(number)
        form.get_by_label("Search apps").fill(APP)
        assert form.get_by_role("radio", checked=True).count() == 1
    third = alice.page.locator(".opskit-form").nth(2)
    assert third.get_by_role("radio").count() == 0


@pytest.mark.nightly
def test_lines_are_neither_shown_nor_joined(lab: Lab, alice: Person) -> None:
    alice.open(lab, lab.write("lines.ipynb", START, f"forms.insert(fleet, app={APP!r})"))
    alice.run_all()
    alice.form.get_by_label("Several lines").check()
    area = alice.form.get_by_role("textbox", name="Secret value")
    area.fill("one\ntwo")
    hidden = "area => getComputedStyle(area).webkitTextSecurity"
    assert area.evaluate(hidden) == "disc"
    alice.form.get_by_label("Several lines").click()
    assert area.input_value() == "one\ntwo"
    alice.form.get_by_label("Show").check()
    assert area.evaluate(hidden) == "none"


@pytest.mark.nightly
def test_a_form_whose_kernel_was_restarted_says_so(lab: Lab, alice: Person) -> None:
    alice.open(lab, lab.write("gone.ipynb", START, "forms.rotate(fleet)"))
    alice.run_all()
    alice.button("Rotate…").wait_for()
    alice.restart()
    alice.form.get_by_text("run this cell again").wait_for()


@pytest.mark.nightly
def test_what_was_revealed_stays_in_its_tab_when_a_colleague_rolls_back(
    lab: Lab, alice: Person, bob: Person
) -> None:
    cell = f"forms.rotate(fleet, app={APP!r}, secret='admin_password')"
    notebook = plan_a_rotation(lab, "revealed", alice, cell)
    alice.button("Apply").click()
    alice.is_told(": done.")
    alice.form.get_by_role("button", name="Reveal").click()
    shown = alice.page.locator(".opskit-revealed input")
    shown.wait_for()
    value = shown.input_value()
    bob.open(lab, notebook)
    bob.is_told(": done.")
    bob.button("Roll back…").click()
    bob.button("Apply").click()
    alice.is_told(": rolled back.")
    alice.form.get_by_text("everything is as it was").wait_for()
    assert shown.input_value() == value
    assert bob.page.locator(".opskit-revealed input").count() == 0
    alice.button("Forget").click()
    assert shown.count() == 0


@pytest.mark.nightly
def test_what_is_being_typed_stays_when_a_colleague_clicks(
    lab: Lab, alice: Person, bob: Person
) -> None:
    cell = f"forms.insert(fleet, app={APP!r}, secret='admin_password')"
    notebook = lab.write("typing.ipynb", START, cell)
    alice.open(lab, notebook)
    alice.run_all()
    field = alice.form.get_by_role("textbox", name="Secret value")
    field.fill("half a val")
    bob.open(lab, notebook)
    alice.button("Insert…").evaluate("button => { button.dataset.before = ''; }")
    bob.button("Read again").click()
    alice.form.locator(".opskit-primary:not([data-before])").wait_for()
    assert field.input_value() == "half a val"
    assert bob.form.get_by_role("textbox", name="Secret value").input_value() == ""


@pytest.mark.nightly
def test_a_value_made_here_is_as_the_recipe_wants_it(lab: Lab, alice: Person) -> None:
    apps = opskit.Fleet.from_abra().snapshot().secrets.query("declared and length > 0")
    wanted = apps.query("length != 32").fillna({"charset": ""}).iloc[0]
    cell = f"forms.insert(fleet, app={wanted['app']!r}, secret={wanted['secret']!r})"
    alice.open(lab, lab.write("made.ipynb", START, cell))
    alice.run_all()
    alice.button("Make one here").click()
    value = alice.form.get_by_role("textbox", name="Secret value").input_value()
    policy = Policy(length=int(wanted["length"]), charset=wanted["charset"])
    assert len(value) == policy.length
    assert set(value) <= set(policy.alphabet())


@pytest.mark.nightly
def test_services_that_an_undeployed_app_loses_are_not_said_to_restart(
    lab: Lab, alice: Person
) -> None:
    cell = f"forms.undeploy(fleet, app={APP!r})"
    alice.open(lab, lab.write("down.ipynb", START, cell))
    alice.run_all()
    alice.button("Take down…").click()
    alice.form.get_by_role("columnheader", name="Removes").wait_for()
    assert alice.form.get_by_role("columnheader", name="Restarts").count() == 0
