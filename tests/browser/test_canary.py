"""Values typed, pasted, dropped, made and revealed are nowhere but where they belong."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opskit.demo.dockerd import DockerdFleet
from opskit.secrets.redact import spellings
from tests.browser.lab import Lab, Person
from tests.waiting import eventually

pytestmark = [pytest.mark.browser, pytest.mark.swarm, pytest.mark.kernel, pytest.mark.slow]

START = "import opskit, opskit.forms as forms\nfleet = opskit.Fleet.from_abra()"
APP = "traefik.coop.example"


def processes() -> Iterator[bytes]:
    """Give the command line and environment of every process but the browser's."""
    for folder in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                yield (folder / name).read_bytes()
            except OSError:
                continue


def found(canary: str, places: dict[str, Iterator[bytes]]) -> set[str]:
    """Give the places where a canary is, in any spelling."""
    forms = [form.encode() for form in spellings(canary.encode())]
    return {
        place
        for place, contents in places.items()
        if any(form in content for content in contents for form in forms)
    }


def places(lab: Lab, sample: DockerdFleet, *people: Person) -> dict[str, Iterator[bytes]]:
    """Give everything an onlooker could look into."""

    def files(folder: Path) -> Iterator[bytes]:
        # Unlike `rglob`, this minds no folder of a living engine that goes meanwhile.
        for place, below, names in os.walk(folder):
            # The engine itself keeps the secret, as it must.
            below[:] = [name for name in below if name != "data"]
            for path in (Path(place, name) for name in names):
                try:
                    if path.is_file():
                        yield path.read_bytes()
                except OSError:
                    continue

    everywhere = {
        "notebooks, checkpoints, ystore, history, logs": files(lab.folder.parent),
        "abra's files, journal": files(sample.root),
        "processes": processes(),
    }
    for number, person in enumerate(people):
        everywhere[f"websocket {number}"] = iter(person.frames)
        everywhere[f"page {number}"] = iter([person.page.content().encode(), values(person)])
    return everywhere


def values(person: Person) -> bytes:
    """Give what stands in the page's fields."""
    script = "() => [...document.querySelectorAll('input,textarea')].map(e => e.value).join('\\n')"
    return person.page.evaluate(script).encode()


@pytest.fixture(autouse=True)
def _see_the_fleet(use: Callable[[DockerdFleet], Path], sample: DockerdFleet) -> None:
    use(sample)


def give(person: Person, canary: str, how: str) -> str:
    """Put a value into the field as people do, and give it."""
    field = person.form.get_by_label("Secret value").first
    match how:
        case "typed":
            field.press_sequentially(canary)
        case "pasted":
            field.evaluate(
                "(field, text) => { const data = new DataTransfer(); data.setData('text', text);"
                " field.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data,"
                " bubbles: true, cancelable: true})); }",
                f"-----BEGIN-----\n{canary}\n-----END-----\n",
            )
        case "dropped":
            person.form.locator(".opskit-secret").evaluate(
                "(box, text) => { const data = new DataTransfer();"
                " data.items.add(new File([text], 'key.pem'));"
                " box.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true,"
                " cancelable: true})); }",
                canary,
            )
            # It is read in the background.
            person.form.get_by_text("key.pem").wait_for()
        case "made":
            person.button("Make one here").click()
            return field.input_value()
        case _:
            raise AssertionError(how)
    return canary


@pytest.mark.parametrize(
    ("how", "secret"),
    [
        ("typed", "usersfile"),
        pytest.param("pasted", "ovh_app_secret", marks=pytest.mark.nightly),
        pytest.param("dropped", "ovh_consumer_key", marks=pytest.mark.nightly),
        pytest.param("made", "usersfile", marks=pytest.mark.nightly),
    ],
)
def test_a_value_given_to_the_form_is_nowhere_else(
    lab: Lab, sample: DockerdFleet, alice: Person, bob: Person, how: str, secret: str
) -> None:
    canary = f"Canary-{how}-{os.urandom(6).hex()}"
    cell = f"forms.insert(fleet, app={APP!r}, secret={secret!r})"
    notebook = lab.write(f"canary-{how}.ipynb", START, cell)
    alice.open(lab, notebook)
    alice.run_all()
    alice.button("Insert…").wait_for()
    bob.open(lab, notebook)
    bob.button("Insert…").wait_for()
    canary = give(alice, canary, how)
    assert found(canary, {"page 0": iter([values(alice)])}) or how == "dropped"
    alice.button("Insert…").click()
    alice.button("Apply").click()
    bob.form.get_by_text("Done: ").wait_for()
    alice.command("docmanager:save")
    lab.saved(notebook, ": done.")

    assert found(canary, places(lab, sample, alice, bob)) == set()


@pytest.mark.nightly
def test_a_value_given_below_the_table_is_nowhere_else(
    lab: Lab, sample: DockerdFleet, alice: Person, bob: Person
) -> None:
    canary = f"Canary-table-{os.urandom(6).hex()}"
    where = f"app == {APP!r} and secret == 'usersfile' and declared"
    notebook = lab.write("canary-table.ipynb", START, f"forms.browse(fleet, where={where!r})")
    alice.open(lab, notebook)
    alice.run_all()
    alice.form.get_by_text(re.compile(r"^1 of ")).wait_for()
    # First what is to be done: a secret that comes from elsewhere cannot be rotated.
    alice.form.get_by_role("radio", name="Insert").check()
    alice.form.get_by_label("Select all rows shown").check()
    bob.open(lab, notebook)
    bob.form.get_by_text(re.compile(r"^1 of ")).wait_for()
    give(alice, canary, "typed")
    alice.button("Insert 1…").click()
    alice.button("Apply").click()
    bob.form.get_by_text("Done: inserted ").wait_for()
    alice.command("docmanager:save")
    lab.saved(notebook, ": done.")

    assert found(canary, places(lab, sample, alice, bob)) == set()


def test_a_field_of_a_cell_hands_its_value_to_the_kernel_only(
    lab: Lab, sample: DockerdFleet, alice: Person, bob: Person
) -> None:
    canary = f"Canary-field-{os.urandom(6).hex()}"
    notebook = lab.write(
        "canary-field.ipynb",
        START,
        "got = []\nforms.SecretInput('The key', lambda value, who: got.append(value))",
        "len(got), got",
    )
    alice.open(lab, notebook)
    alice.run_all()
    alice.button("Hand over").wait_for()
    bob.open(lab, notebook)
    bob.button("Hand over").wait_for()
    give(alice, canary, "typed")
    alice.button("Hand over").click()
    bob.form.get_by_text(f"received from {alice.name}").wait_for()
    alice.command("docmanager:save")
    lab.saved(notebook, f"received from {alice.name}")

    assert found(canary, places(lab, sample, alice, bob)) == set()


def test_a_revealed_value_is_in_one_tab_only(
    lab: Lab, sample: DockerdFleet, alice: Person, bob: Person
) -> None:
    cell = "forms.rotate(fleet, app='git.coop.example', secret='internal_token')"
    notebook = lab.write("canary-revealed.ipynb", START, cell)
    alice.open(lab, notebook)
    alice.run_all()
    alice.button("Rotate…").click()
    alice.button("Apply").click()
    alice.is_told(": done.")
    alice.form.get_by_role("button", name="Reveal").click()
    shown = alice.form.locator(".opskit-revealed input")
    shown.wait_for()
    canary = shown.input_value()
    bob.open(lab, notebook)
    bob.form.get_by_text("Done: ").wait_for()
    alice.command("docmanager:save")
    lab.saved(notebook, ": done.")

    assert len(canary) == 105
    assert found(canary, places(lab, sample, alice, bob)) == {"page 0"}
    alice.button("Forget").click()
    assert found(canary, places(lab, sample, alice, bob)) == set()


def test_the_control_a_password_widget_is_found(
    lab: Lab, sample: DockerdFleet, alice: Person, bob: Person
) -> None:
    canary = f"Canary-control-{os.urandom(6).hex()}"
    notebook = lab.write("control.ipynb", "import ipywidgets\nipywidgets.Password()")
    alice.open(lab, notebook)
    alice.run_all()
    field = alice.page.locator(".jp-OutputArea input[type=password]")
    field.wait_for()
    bob.open(lab, notebook)
    bob.page.locator(".jp-OutputArea input[type=password]").wait_for()
    field.press_sequentially(canary)

    eventually(
        lambda: found(canary, places(lab, sample, alice, bob)),
        "the value to be with everybody",
        {"websocket 0", "websocket 1", "page 1"}.issubset,
    )
