"""A real JupyterLab with jupyter-collaboration, and people at their browsers."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Locator, Page

from tests.waiting import LIMIT, eventually

INSECURE = "opskit-insecure.example"
"""A name whose pages the browser does not trust: neither https:// nor localhost."""

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    f"--host-resolver-rules=MAP {INSECURE} 127.0.0.1",
]  # fmt: skip

_UNASKED = {"disabledExtensions": {"ipyparallel-labextension": True}}
"""What tests of workers brought along, and what has the server read every cluster's files for
each browser, every few seconds."""

_SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false"},
    # What a widget's state holds is then in the notebook too.
    "@jupyter-widgets/jupyterlab-manager/plugin": {"saveState": True},
}


def without_the_unasked(config: Path) -> None:
    """Leave extensions that no test is about out of a JupyterLab with this configuration."""
    page = config / "labconfig" / "page_config.json"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(json.dumps(_UNASKED))


@dataclass(slots=True, kw_only=True)
class Lab:
    """A running JupyterLab.

    Parameters
    ----------
    folder
        Its notebooks.
    state
        Everything else it and its kernels write.
    settings
        What its users have set, by plugin.
    """

    folder: Path
    state: Path
    environment: Mapping[str, str]
    settings: Mapping[str, object] = field(default_factory=dict[str, object])
    port: int = 0
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What the server and its kernels print."""
        return self.state / "server.log"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.state.mkdir(parents=True, exist_ok=True)
        # Another process may take a port between its choice and its use.
        assert any(self._starts() for _ in range(5)), self.log.read_text()[-3000:]

    def _starts(self) -> bool:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        settings = [
            "--no-browser", "--allow-root", f"--port={self.port}", "--port-retries=0",
            "--ip=127.0.0.1", f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.folder}", "--LabApp.expose_app_in_browser=True",
            f"--SQLiteYStore.db_path={self.state / 'ystore.db'}",
            "--ServerApp.allow_remote_access=True",
        ]  # fmt: skip
        places = {
            name: str(self.state / name.lower())
            for name in (
                "JUPYTER_CONFIG_DIR",
                "JUPYTER_DATA_DIR",
                "JUPYTER_RUNTIME_DIR",
                "IPYTHONDIR",
            )
        }
        for name, value in {**_SETTINGS, **self.settings}.items():
            path = self.state / "settings" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(value))
        places["JUPYTERLAB_SETTINGS_DIR"] = str(self.state / "settings")
        without_the_unasked(Path(places["JUPYTER_CONFIG_DIR"]))
        with self.log.open("wb") as log:
            process = self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *settings],
                env={**os.environ, **self.environment, **places},
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        eventually(lambda: process.poll() is not None or self.answers(), f"JupyterLab ({self.log})")
        return process.poll() is None

    def answers(self) -> bool:
        """Tell whether it answers."""
        try:
            # With the token, as another server that has the port would answer without one.
            urllib.request.urlopen(self.url("api/status"), timeout=LIMIT).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Stop it and its kernels."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(LIMIT)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """Give an address of it, with its token."""
        return f"http://{host}:{self.port}/{path}?token={self.token}"

    def saved(self, name: str, words: str) -> nbformat.NotebookNode:
        """Give a notebook as it is saved, once it holds some words."""
        text = eventually(
            (self.folder / name).read_text,
            f"{words!r} in {name}",
            # What the server is writing may be met half.
            lambda text: words in text and text.endswith("}\n"),
        )
        return nbformat.reads(text, 4)

    def write(self, name: str, *cells: str) -> str:
        """Write a notebook and give its name."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        nbformat.write(notebook, self.folder / name)
        return name


@dataclass(slots=True, kw_only=True)
class Person:
    """Somebody at a browser, and all that passed through its websockets."""

    context: BrowserContext
    page: Page
    frames: list[bytes] = field(default_factory=list[bytes])
    complaints: deque[str] = field(default_factory=lambda: deque[str](maxlen=20))
    """The latest errors of the page's console."""
    notebook: str = ""

    def open(self, lab: Lab, notebook: str, host: str = "127.0.0.1") -> None:
        """Open a notebook and wait until its kernel is there, and its widgets are shown.

        In the JupyterLab that is shown, if it is that one; opened once more, all is loaded anew.
        A page that loads looks for a widget every tenth of a second, for two. When it is busy with
        the widgets that have just come, and the last look is late, it says ``model not found``
        though by then it is there: it is loaded again, as a person would.
        """
        eventually(lambda: self._opens(lab, notebook, host), f"the widgets of {notebook}")

    def _opens(self, lab: Lab, notebook: str, host: str) -> bool:
        is_here = self.page.url.startswith(f"http://{host}:{lab.port}/lab")
        if is_here and self.notebook != notebook:
            # What a command returns would be written out whole.
            self.page.evaluate(
                "async path => {"
                " await window.jupyterapp.commands.execute('docmanager:open', {path}); }",
                notebook,
            )
        else:
            # In a workspace of their own, so that no notebook of somebody else is restored.
            space = f"lab/workspaces/{id(self)}{time.monotonic_ns()}/tree/{notebook}"
            self.page.goto(lab.url(space, host))
        self.notebook = notebook
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        self.wait("() => window.jupyterapp.shell.currentWidget?.context?.isReady")
        self.wait_for_kernel()
        self.wait(_SHOWN)
        return "Error displaying widget" not in self.page.locator(".jp-Notebook").inner_html()

    def leave(self) -> None:
        """Close what is open, and end its kernels; JupyterLab stays loaded for what comes next."""
        self.page.evaluate(_LEAVE)
        self.notebook = ""
        self.frames.clear()

    def wait(self, condition: str, argument: object = None) -> None:
        """Wait until a function of JavaScript says so."""
        # Asked with every frame that is drawn, it would keep a core busy.
        self.page.wait_for_function(condition, arg=argument, polling=100)

    def wait_for_kernel(self) -> None:
        """Wait until the notebook's kernel is there and has nothing to do."""
        self.wait(
            "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status"
            " === 'idle'"
        )

    def restart(self) -> None:
        """Start the notebook's kernel anew."""
        self.page.evaluate(
            "async () => { const c = window.jupyterapp.shell.currentWidget.sessionContext;"
            " await c.session.kernel.restart(); }"
        )
        self.wait_for_kernel()

    def interrupt(self) -> None:
        """Interrupt the notebook's kernel."""
        self.page.evaluate(
            "async () => { const c = window.jupyterapp.shell.currentWidget.sessionContext;"
            " await c.session.kernel.interrupt(); }"
        )
        self.wait_for_kernel()

    def is_told(self, words: str) -> None:
        """Wait until the notebook itself says something.

        JupyterLab makes the views of an output anew as its words change, and a click on a button
        of an old view is lost: who is to click after that waits for it.
        """
        self.wait(
            "words => JSON.stringify(window.jupyterapp.shell.currentWidget.content.model.toJSON())"
            ".includes(words)",
            words,
        )

    def run_all(self) -> None:
        """Run every cell."""
        self.command("notebook:run-all-cells")

    def menu(self, menu: str, entry: str) -> None:
        """Choose an entry of one of JupyterLab's menus."""
        for name in (menu, entry):
            self.page.get_by_role("menuitem", name=name, exact=True).click()

    def command(self, name: str) -> None:
        """Carry out one of JupyterLab's commands."""
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name); }", name)

    @property
    def form(self) -> Locator:
        """The form that is shown."""
        return self.page.locator(".opskit-form").first

    def button(self, name: str) -> Locator:
        """A button of the form."""
        return self.form.get_by_role("button", name=name, exact=True)

    @property
    def hands(self) -> str:
        """How often they clicked and how many keys they pressed since their browser began."""
        done = self.page.evaluate("() => JSON.parse(sessionStorage.hands ?? '{}')")
        return f"{done.get('clicks', 0)} clicks and {done.get('keys', 0)} keys"

    @property
    def sees(self) -> str:
        """What the page shows and complained of, for whoever reads of a test that failed."""
        try:
            shown = self.page.inner_text("body")
        except Error as error:
            shown = str(error)
        lines = [line for line in shown.splitlines() if line.strip()]
        return "\n".join([self.page.url.partition("?")[0], *lines[-60:], *self.complaints])

    @property
    def name(self) -> str:
        """Who the server says they are."""
        return self.page.evaluate(
            "async () => (await (await fetch('/api/me')).json()).identity.display_name"
        )


_WAIT_FOR_DOCUMENTS = """
new MutationObserver(() => {
  for (const dialog of document.querySelectorAll('.jp-Dialog'))
    if (/taking some time to load|has changed on disk since/.test(dialog.textContent))
      dialog.querySelector('.jp-mod-accept')?.click();
}).observe(document, {childList: true, subtree: true});
"""
"""Lets JupyterLab go on: what it asks on a busy machine stays before everything else."""


_COUNT_HANDS = """
(() => {
  const count = (what, more) => {
    const done = JSON.parse(sessionStorage.hands ?? '{}');
    sessionStorage.hands = JSON.stringify({...done, [what]: (done[what] ?? 0) + more});
  };
  addEventListener('pointerdown', (event) => event.isTrusted && count('clicks', 1), true);
  addEventListener('keydown', (event) => event.isTrusted && count('keys', 1), true);
  // Playwright chooses from a list without the two clicks that people need.
  addEventListener('change', ({isTrusted, target}) => {
    if (!isTrusted && target.matches('select')) count('clicks', 2);
  }, true);
})();
"""
"""Outlives a page that is loaded again, as the browser's tab does."""


_SHOWN = """() => {
  const { content } = window.jupyterapp.shell.currentWidget;
  const outputs = content.model.toJSON().cells.flatMap((cell) => cell.outputs ?? []);
  const shown = [...content.node.querySelectorAll('.jp-OutputArea-output')];
  return shown.length >= outputs.length
    && !shown.some((one) => one.textContent.includes('Loading widget'));
}"""
"""Not by what is in sight: JupyterLab draws nothing that is scrolled out of it."""


_LEAVE = """async () => {
  const app = window.jupyterapp;
  if (!app) return;
  sessionStorage.removeItem('hands');
  for (const widget of [...app.shell.widgets('main')]) widget.dispose();
  await app.serviceManager.sessions.shutdownAll();
}"""


@contextmanager
def somebody(browser: Browser, *, dark: bool = False) -> Iterator[Person]:
    """Give somebody a browser of their own."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 950}, color_scheme="dark" if dark else "light"
    )
    context.set_default_timeout(LIMIT * 1000)
    context.add_init_script(_WAIT_FOR_DOCUMENTS)
    context.add_init_script(_COUNT_HANDS)
    page = context.new_page()
    person = Person(context=context, page=page)

    def heard(frame: bytes | str) -> None:
        person.frames.append(frame if isinstance(frame, bytes) else frame.encode())

    def opened(websocket: object) -> None:
        websocket.on("framesent", heard)  # type: ignore[attr-defined]
        websocket.on("framereceived", heard)  # type: ignore[attr-defined]

    def complained(said: ConsoleMessage) -> None:
        if said.type == "error":
            person.complaints.append(said.text)

    page.on("websocket", opened)
    page.on("console", complained)
    try:
        yield person
    finally:
        context.close()


class Colleagues:
    """People at their browsers from test to test: loading JupyterLab takes longer than most tests.

    After a test that failed, nobody knows what a page is left with: a new browser is opened.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._here: dict[str, tuple[Person, ExitStack]] = {}

    @contextmanager
    def called(self, name: str, request: pytest.FixtureRequest) -> Iterator[Person]:
        """Give a person for one test."""
        if name not in self._here:
            until = ExitStack()
            self._here[name] = until.enter_context(somebody(self._browser)), until
        person, until = self._here[name]
        failed = request.session.testsfailed
        yield person
        if request.session.testsfailed > failed:
            until.close()
            del self._here[name]
        else:
            person.leave()

    def close(self) -> None:
        """Close all browsers."""
        for _, until in self._here.values():
            until.close()
