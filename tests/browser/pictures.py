"""Photographs of everything that is looked at: ``make pictures``, then open ``index.html``.

Each notebook, each form in each of its states, and each picture, in light and dark, at 1,400 and
at 1,000 pixels. Nothing is asserted: somebody looks. What cannot be photographed is named at the
end. Notebooks, forms and pictures are found by themselves; what one needs to be shown stands in
the tables below.
"""

from __future__ import annotations

import argparse
import html
import inspect
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Locator, sync_playwright
from playwright.sync_api import Error as PlaywrightError
from rich.console import Console
from rich.text import Text

import opskit
from opskit import forms, pictures
from opskit.demo.fleet import ANNOUNCED, DemoFleet
from opskit.widgets.kinds import FORMS
from tests.browser.lab import FLAGS, Lab, Person, somebody
from tests.waiting import LIMIT

ROOT = Path(__file__).parents[2]

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
WIDTHS = (1400, 1000)
PATIENCE = 90
"""Seconds for what nobody may have time to wait for: what takes longer is missed."""
HIGHEST = 14_000
"""Pixels; a browser draws no page of any height."""

APP = "id.coop.example"

FLEETS = {
    "six servers": "from opskit.demo import start\nstart()",
    "empty": (
        "import os, tempfile\nroot = tempfile.mkdtemp()\n"
        "os.mkdir(f'{root}/servers')\nos.environ['ABRA_DIR'] = root"
    ),
}
"""What makes the fleet that a form is shown with."""

FORM_CELLS = {
    "approve": f"forms.approve(fleet.plan_rotate({APP!r}, 'admin_password'), needed=1)",
    "rotate": f"forms.rotate(fleet, app={APP!r}, secret='admin_password')",
}
"""How a form is called whose function needs more than a fleet, or an app of that name."""
NO_FORMS = {"SecretInput", "ask"}
CLICKS = {
    "attention": ("Rotate… ", "Apply", "Insert ", "Acknowledge until… "),
    "app": ("Rotate… ", "Plan", "Apply", "Deploy…", "Logs of "),
}
"""What is clicked in a form that is none of `FORMS`, by the first words of the button's name."""
MORE_CELLS = {
    "app": ("forms.app(fleet, 'git.coop.example')", "forms.app(fleet, 'notes.garden.example')"),
}
"""Further calls of a form: an app that is not well, and one that does not run."""

PICTURE_CELLS = {
    "findings_trend": "pictures.findings_trend(weeks(snap))",
    "timeline": (
        "run = fleet.plan_rotate(snap.secrets.select(\"generate and state == 'current'\"),"
        " opskit.Options(stable=2), skip=True).apply()\n"
        "fleet.rollback(run.id)\n"
        "pictures.timeline(run.id)"
    ),
}
"""How a picture is made that needs more than a snapshot."""
SNAPSHOTS = {
    "six servers": "snap = fleet.snapshot()",
    "forty servers": "snap = tenfold(fleet.snapshot())",
    "empty": "snap = nothing(fleet.snapshot())",
}
"""What a picture is shown of."""

BEGIN = """
import opskit
from opskit import forms, pictures
from tests.pictures.fleets import nothing, tenfold, weeks
fleet = opskit.Fleet.from_abra()
"""

GATE = "go-on"
HOLD = f"""
from pathlib import Path
from opskit.journal.runs import Journal
from tests.waiting import eventually
_finish = Journal.finish
def _held(*given):
    eventually(Path({GATE!r}).exists, "a photograph")
    _finish(*given)
Journal.finish = _held
"""
"""Lets a form's run stay as running until it is photographed."""

_SETTINGS = {
    # All cells at once, not only those that a window shows, and nothing below them.
    "@jupyterlab/notebook-extension/tracker": {
        "windowingMode": "none",
        "scrollPastEnd": False,
    },
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}

_HEIGHT = """() => Math.max(400, ...[...document.querySelectorAll(
  '.jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer')].map(one => one.scrollHeight))"""

_TO_THE_TOP = """() => document.querySelectorAll(
  '.jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer').forEach(
  one => { one.scrollTop = 0; })"""

_SHUT_DOWN = (
    "async () => { await window.jupyterapp.shell.currentWidget.sessionContext.shutdown(); }"
)


@dataclass(slots=True)
class Album:
    """The photographs, and what could not be taken; `only` names with these words are wanted."""

    folder: Path
    only: str = ""
    taken: list[tuple[str, str, list[str]]] = field(
        default_factory=list[tuple[str, str, list[str]]]
    )
    missed: list[str] = field(default_factory=list[str])

    def photograph(self, person: Person, group: str, name: str) -> None:
        """Take what somebody sees, whole, in every look."""
        files: list[str] = []
        for theme, title in THEMES.items():
            _wear(person, theme, title)
            for width in WIDTHS:
                person.page.set_viewport_size({"width": width, "height": 900})
                height = int(person.page.evaluate(_HEIGHT)) + 120
                size = {"width": width, "height": min(max(height, 400), HIGHEST)}
                person.page.set_viewport_size(size)
                person.page.evaluate(_TO_THE_TOP)
                file = f"{_slug(group)}--{_slug(name)}--{theme}-{width}.png"
                person.page.screenshot(path=self.folder / file, animations="disabled")
                files.append(file)
        self.taken.append((group, name, files))
        print(f"{group}: {name}", flush=True)

    def wanted(self, names: Iterable[str]) -> list[str]:
        """Return the names that are to be photographed."""
        return [name for name in names if self.only in name]

    @contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """Go on with the next when one cannot be photographed."""
        try:
            yield
        except (AssertionError, PlaywrightError) as error:
            self.missed.append(f"{what}: {str(error).splitlines()[0]}")
            print(f"MISSED {self.missed[-1]}", file=sys.stderr, flush=True)

    def write(self) -> Path:
        """Write the contact sheet and return it."""
        looks = [f"{theme} {width}" for theme in THEMES for width in WIDTHS]
        rows = "".join(
            f"<tr><th>{html.escape(group)}<br>{html.escape(name)}</th>"
            + "".join(
                f'<td><a href="{file}"><img loading="lazy" src="{file}" alt="{look}"></a></td>'
                for look, file in zip(looks, files, strict=True)
            )
            + "</tr>"
            for group, name, files in self.taken
        )
        missed = "".join(f"<li>{html.escape(one)}</li>" for one in self.missed)
        sheet = self.folder / "index.html"
        sheet.write_text(
            '<!doctype html><meta charset="utf-8"><title>opskit, photographed</title>'
            "<style>body{font-family:system-ui;background:#888}th{text-align:left;"
            "vertical-align:top}img{width:22vw}td{vertical-align:top}</style>"
            f"<ul>{missed}</ul><table><tr><th></th>"
            + "".join(f"<th>{look}</th>" for look in looks)
            + f"</tr>{rows}</table>\n"
        )
        return sheet


def _slug(text: str) -> str:
    return re.sub(r"\W+", "-", text).strip("-")


def _wear(person: Person, theme: str, title: str) -> None:
    person.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    person.page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", title
    )
    is_light = "true" if theme == "light" else "false"
    person.wait("light => document.body.dataset.jpThemeLight === light", is_light)


def _run(person: Person, lab: Lab, notebook: str) -> None:
    """Run all cells, as far as they go without an answer."""
    person.open(lab, notebook)
    person.page.evaluate(
        "() => { window.ran = false; window.jupyterapp.commands.execute("
        "'notebook:run-all-cells').finally(() => { window.ran = true; }); }"
    )
    asks = "() => window.ran || document.querySelector('.opskit-question')"
    person.wait(asks)
    _settle(person)


def _shown(person: Person, lab: Lab, notebook: str) -> None:
    """Run all cells, and wait until the form of the last is filled."""
    _run(person, lab, notebook)
    person.form.locator("h3").wait_for()
    _settle(person)


def _settle(person: Person) -> None:
    person.wait("() => !document.querySelector('.opskit-busy')")


@contextmanager
def _visit(browser: Browser) -> Iterator[Person]:
    """Give somebody a browser, and end the kernel of what they opened."""
    with somebody(browser) as person:
        person.context.set_default_timeout(PATIENCE * 1000)
        try:
            yield person
        finally:
            with suppress(PlaywrightError):
                person.page.evaluate(_SHUT_DOWN)


def photograph_notebooks(album: Album, lab: Lab, browser: Browser) -> None:
    """Take every shipped notebook, run as it is."""
    books = ROOT / "notebooks"
    for name in album.wanted(sorted(path.name for path in books.glob("*.ipynb"))):
        with album.trying(name), _visit(browser) as person:
            shutil.copy(books / name, lab.folder / name)
            _run(person, lab, name)
            album.photograph(person, "notebook", name.removesuffix(".ipynb"))


def photograph_forms(album: Album, lab: Lab, browser: Browser) -> None:
    """Take every form: what it offers, its plan, while it runs and at its end, and without any."""
    for name in album.wanted(one for one in forms.__all__ if one not in NO_FORMS):
        call = FORM_CELLS.get(name, _call(name))
        for fleet, begin in FLEETS.items():
            if fleet == "empty" and name == "approve":
                continue
            with album.trying(f"form {name}, {fleet}"), _visit(browser) as person:
                (lab.folder / GATE).unlink(missing_ok=True)
                book = lab.write(f"{name} {fleet}.ipynb", begin, BEGIN, HOLD, call)
                _shown(person, lab, book)
                album.photograph(person, f"form {name}", f"{fleet}, at first")
                if fleet != "empty" and name in FORMS:
                    _go_through(album, person, name, lab.folder / GATE)
                elif fleet != "empty":
                    _open_below(album, person, name, lab.folder / GATE)
        for number, call in enumerate(MORE_CELLS.get(name, ()), 2):
            with album.trying(f"form {name}, {call}"), _visit(browser) as person:
                cells = (FLEETS["six servers"], BEGIN, call)
                _shown(person, lab, lab.write(f"{name} {number}.ipynb", *cells))
                album.photograph(person, f"form {name}", call)
        if "app" in inspect.signature(getattr(forms, name)).parameters:
            with album.trying(f"form {name}, unknown app"), _visit(browser) as person:
                unknown = f"forms.{name}(fleet, app='nowhere.example')"
                _run(
                    person,
                    lab,
                    lab.write(f"{name} no.ipynb", FLEETS["six servers"], BEGIN, unknown),
                )
                album.photograph(person, f"form {name}", "an unknown app")


def _call(name: str) -> str:
    """Return a cell that shows a form, with an app where it wants one."""
    wanted = inspect.signature(getattr(forms, name)).parameters
    is_asked = "app" in wanted and wanted["app"].default is inspect.Parameter.empty
    return f"forms.{name}(fleet, {APP!r})" if is_asked else f"forms.{name}(fleet)"


def _go_through(album: Album, person: Person, name: str, gate: Path) -> None:
    form = person.form
    if label := FORMS[name].label or (FORMS[name].verbs and "Rotate 1…"):
        _choose(form)
        person.button(label).click()
        form.locator(".opskit-digest, .opskit-error").first.wait_for()
    if person.button("Approve").count():
        person.button("Approve").click()
    album.photograph(person, f"form {name}", "its plan")
    if not person.button("Apply").count():
        return
    word = re.search(r"Type (\S+) to confirm", form.inner_text())
    if word:
        form.get_by_label(word[0]).fill(word[1])
    person.button("Apply").click()
    form.locator(".opskit-busy").wait_for()
    album.photograph(person, f"form {name}", "while it runs")
    gate.touch()
    form.locator(".opskit-outcome").wait_for()
    album.photograph(person, f"form {name}", "at its end")


def _open_below(album: Album, person: Person, name: str, gate: Path) -> None:
    for begin in CLICKS.get(name, ()):
        if begin == "Plan":
            # The form's own, which stands below all others.
            person.page.get_by_role("button", name="Rotate…", exact=True).last.click()
            person.page.locator(".opskit-digest").first.wait_for()
            continue
        person.page.get_by_role("button", name=re.compile(f"^{begin}")).first.click()
        if begin == "Apply":
            person.page.locator(".opskit-step").first.wait_for()
            album.photograph(person, f"form {name}", "while it runs below")
            gate.touch()
            person.page.locator(".opskit-outcome").first.wait_for()
        _settle(person)
        album.photograph(person, f"form {name}", f"after {begin}")


def _choose(form: Locator) -> None:
    """Choose something, where nothing is."""
    apps = form.get_by_label("App", exact=True)
    if apps.count() and not apps.input_value():
        apps.select_option(index=0)
    rows = form.locator(".opskit-choice input:enabled, .opskit-space input:enabled")
    if rows.count() and not any(rows.nth(n).is_checked() for n in range(rows.count())):
        rows.first.check()
    value = form.get_by_role("textbox", name="Secret value")
    if value.count():
        value.fill("photographed-and-of-no-use")


def photograph_pictures(album: Album, lab: Lab, browser: Browser) -> None:
    """Take every picture, of a few, of many and of no servers."""
    for name in album.wanted(one for one in pictures.__all__ if one != "Picture"):
        call = PICTURE_CELLS.get(name, f"pictures.{name}(snap)")
        for fleet, snapshot in SNAPSHOTS.items():
            if name == "timeline" and fleet != "six servers":
                continue
            with album.trying(f"picture {name}, {fleet}"), _visit(browser) as person:
                cells = (FLEETS["six servers"], BEGIN, snapshot, call)
                _run(person, lab, lab.write(f"{name} {fleet}.ipynb", *cells))
                album.photograph(person, f"picture {name}", fleet)


README_CELLS = {
    "attention": ("forms.attention(fleet)", 550),
    "plan": (
        "forms.approve(fleet.plan_rotate(fleet.snapshot().secrets.select("
        "\"recipe == 'hedgedoc' and secret == 'session' and state == 'current'\")), needed=2)",
        2000,
    ),
}
"""The forms that README shows, and how many pixels of each at most."""


def photograph_readme(album: Album, lab: Lab, browser: Browser) -> None:
    """Take what README shows: two forms, the fleet map, and an audit in a terminal."""
    for name in album.wanted(README_CELLS):
        call, height = README_CELLS[name]
        with album.trying(f"readme {name}"), _visit(browser) as person:
            person.page.set_viewport_size({"width": 1400, "height": 2400})
            begin = FLEETS["six servers"], BEGIN
            _shown(person, lab, lab.write(f"{name} readme.ipynb", *begin, call))
            if person.button("Not now").count():
                person.button("Not now").click()
            box = person.form.bounding_box()
            assert box is not None, name
            clip = {**box, "height": min(box["height"], height)}
            person.page.screenshot(path=album.folder / f"{name}.png", clip=clip)  # type: ignore[arg-type]
    with DemoFleet() as demo:
        os.environ.update(demo.env)
        snap = opskit.Fleet.from_abra().snapshot()
    pictures.fleet_map(snap).save(album.folder / "fleet.svg")
    (album.folder / "audit.svg").write_text(_in_a_terminal("audit"))


def _in_a_terminal(*arguments: str, columns: int = 100) -> str:
    """Draw what a command of opskit prints on the demo fleet."""
    program = [sys.executable, "-m", "opskit"]
    said = subprocess.run(
        [*program, "demo", "--", *program, *arguments],
        env={**os.environ, "COLUMNS": str(columns), "FORCE_COLOR": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    ).stdout
    console = Console(record=True, width=columns, file=io.StringIO())
    console.print(Text("$ opskit " + " ".join(arguments), style="bold"))
    console.print(Text.from_ansi(said))
    drawing = console.export_svg(title="opskit")
    # A README's pictures fetch nothing.
    return re.sub(r"@font-face \{.*?\}", "", drawing, flags=re.DOTALL)


PARTS = {
    "notebooks": photograph_notebooks,
    "forms": photograph_forms,
    "pictures": photograph_pictures,
    "readme": photograph_readme,
}


def main() -> int:
    """Photograph all, or one part, and say what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the photographs go")
    parser.add_argument("parts", nargs="*", help="which of them; else all")
    parser.add_argument("--only", default="", help="those whose names have this in them")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    album = Album(given.folder, only=given.only)
    program = shutil.which("chromium")
    assert program is not None, "chromium is not installed (Debian package chromium)"
    # Without a fleet that is announced, each kernel has one of its own.
    os.environ.pop(ANNOUNCED, None)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = Path(place) / "notebooks"
        folder.mkdir()
        lab = Lab(
            folder=folder,
            state=Path(place) / "state",
            environment={
                "PYTHONPATH": str(ROOT),
                # For the fleet that is none of the demo's.
                "OPSKIT_STATE_DIR": str(Path(place) / "opskit"),
            },
            settings=_SETTINGS,
        )
        lab.start()
        browser = playwright.chromium.launch(
            executable_path=program, args=FLAGS, timeout=LIMIT * 1000
        )
        try:
            for name in given.parts or PARTS:
                PARTS[name](album, lab, browser)
        finally:
            browser.close()
            lab.stop()
    print(f"\n{len(album.taken)} subjects: {album.write()}")
    print(*(f"missed: {one}" for one in album.missed), sep="\n")
    return 1 if album.missed else 0


if __name__ == "__main__":
    sys.exit(main())
