"""The forms in JupyterLab and Chromium: how soon the table is usable, and how much is sent.

The peer is the same table shown with itables. Both read the servers first, as a user's cell does.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from opskit.demo.fleet import DemoFleet
from tests.browser.lab import FLAGS, Lab, somebody

ROOT = Path(__file__).parents[1]
SIZES = ((5, 20), (10, 100), (20, 250))
ROUNDS = 5
START = "import opskit, opskit.forms as forms, itables\nfleet = opskit.Fleet.from_abra()"
OPSKIT = "forms.browse(fleet)"
ITABLES = "fleet.snapshot().secrets.opskit.browse()"

RUN_UNTIL = """([place, selector]) => new Promise((done) => {
  const panel = window.jupyterapp.shell.currentWidget;
  panel.content.activeCellIndex = place;
  const start = performance.now();
  const wait = () => panel.content.widgets[place].node.querySelector(selector)
    ? done((performance.now() - start) / 1000) : requestAnimationFrame(wait);
  window.jupyterapp.commands.execute('notebook:run-cell');
  requestAnimationFrame(wait);
})"""

CLICK_UNTIL = """(texts) => new Promise((done) => {
  const form = document.querySelector('.opskit-form');
  const start = performance.now();
  const found = [];
  const wait = () => {
    for (const [place, text] of texts.entries()) {
      if (found[place] === undefined && form.innerText.includes(text)) {
        found[place] = (performance.now() - start) / 1000;
      }
    }
    if (found.filter((one) => one !== undefined).length === texts.length) done(found);
    else requestAnimationFrame(wait);
  };
  [...form.querySelectorAll('button')].find((one) => one.textContent === 'Apply').click();
  requestAnimationFrame(wait);
})"""


def table(browser, folder: Path, servers: int, secrets: int) -> None:
    """Time both tables at one size, in turn."""
    with DemoFleet(many=servers, secrets=secrets) as fleet:
        lab = Lab(
            folder=folder, state=folder.parent / f"state{servers}",
            environment={**fleet.env, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        lab.start()
        notebook = lab.write("bench.ipynb", START, OPSKIT, ITABLES)
        with somebody(browser) as person:
            person.open(lab, notebook)
            person.page.evaluate(RUN_UNTIL, [0, ".jp-InputArea"])
            taken: dict[str, list[float]] = {}
            sent: dict[str, int] = {}
            for _ in range(ROUNDS):
                for name, place, usable in (
                    ("opskit", 1, ".opskit-space .opskit-tr"),
                    ("itables", 2, "table.dataTable tbody td"),
                ):
                    person.page.wait_for_timeout(700)
                    person.command("notebook:clear-all-cell-outputs")
                    person.page.wait_for_timeout(700)
                    person.frames.clear()
                    taken.setdefault(name, []).append(
                        person.page.evaluate(RUN_UNTIL, [place, usable])
                    )
                    person.page.wait_for_timeout(700)
                    sent[name] = sum(map(len, person.frames))
            for name, times in taken.items():
                print(
                    f"{servers * secrets:6,} rows  {name:8}  {statistics.median(times):.2f} s"
                    f"  ({min(times):.2f} to {max(times):.2f})  {sent[name] / 1000:,.0f} kB"
                )
        lab.stop()


def click(browser, folder: Path) -> None:
    """Time what follows a click on Apply."""
    with DemoFleet() as fleet:
        lab = Lab(
            folder=folder, state=folder.parent / "state-click",
            environment={**fleet.env, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        lab.start()
        cell = "forms.rotate(fleet, app='git.coop.example', secret='internal_token')"
        notebook = lab.write("click.ipynb", START, cell)
        running, first = [], []
        for _ in range(ROUNDS):
            with somebody(browser) as person:
                person.open(lab, notebook)
                person.run_all()
                person.button("Rotate").click(timeout=60_000)
                person.button("Apply").wait_for(timeout=60_000)
                person.page.wait_for_timeout(500)
                seen = person.page.evaluate(CLICK_UNTIL, ["Running", "take-lock"])
                running.append(seen[0])
                first.append(seen[1])
                person.form.get_by_text("Done.").wait_for(timeout=60_000)
        print(f"click to 'Running'   {statistics.median(running):.2f} s  (to {max(running):.2f})")
        print(f"click to first step  {statistics.median(first):.2f} s  (to {max(first):.2f})")
        lab.stop()


with sync_playwright() as playwright:
    program = shutil.which("chromium")
    chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
    with tempfile.TemporaryDirectory() as scratch:
        for servers, secrets in SIZES:
            place = Path(scratch) / str(servers) / "notebooks"
            place.mkdir(parents=True)
            table(chromium, place, servers, secrets)
        place = Path(scratch) / "click" / "notebooks"
        place.mkdir(parents=True)
        click(chromium, place)
    chromium.close()
