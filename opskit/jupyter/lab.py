"""JupyterLab as operators share it: on this machine's own address, with a token, forgetful.

What is typed and shown leaves as little behind as Jupyter allows: no input history, the history
of shared documents brief and outside the notebooks' folder, known values masked in outputs.
"""

# jupyterlab ships no types.
# pyright: reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

import getpass
import json
import logging
import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

from opskit.errors import InputError, OpskitError
from opskit.files.atomic import private_folder, write_private
from opskit.inert import visible
from opskit.jupyter.kernel import COMMAND
from opskit.jupyter.notebook import cells, headings, read_notebook
from opskit.lean import without_grammars

FIRST_PORT = 8888
START = "00-start-here.ipynb"
_LAUNCHER = "opskit-runbooks"
_WORKER = "AnyIO worker thread"
_CLAIMS: list[socket.socket] = []
"""Kept open; each is a port that is this process's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabServer:
    """A server that is about to start.

    Parameters
    ----------
    folder
        Its notebooks.
    state
        Where everything else it writes goes.
    token
        Opens it; whoever has it can do what this user can.
    token_is_known
        Whether the token came from the environment, so that nobody need be told.
    """

    folder: Path
    state: Path
    port: int
    token: str = field(repr=False)
    token_is_known: bool = False

    @property
    def address(self) -> str:
        """What to open in a browser."""
        base = f"http://127.0.0.1:{self.port}{self.first_page}"
        if self.token_is_known:
            return f"{base} with $JUPYTER_TOKEN"
        return f"{base}?token={self.token}"

    @property
    def first_page(self) -> str:
        """What is shown first: the notebook to begin with, where it is there."""
        return f"/lab/tree/{START}" if (self.folder / START).exists() else "/lab"

    def sharing(self) -> tuple[str, str]:
        """Return sentences about how others reach it safely."""
        there = f"{getpass.getuser()}@{socket.gethostname()}"
        return (
            f"From another machine: ssh -N -L {self.port}:127.0.0.1:{self.port} {quote(there)}, "
            "and open the same address there.",
            "For a team: JupyterHub with https and an account for each person; "
            "do not bind this server to another address.",
        )


def prepare(folder: Path, state: Path, *, port: int | None = None) -> LabServer:
    """Write what the server needs outside its folder, and find it a port.

    Parameters
    ----------
    folder
        The notebooks.
    state
        The operator's folder for state.
    port
        Else the first free one from 8888.

    Raises
    ------
    InputError
        The port is taken, or the state cannot be written.
    """
    candidates = [port] if port else range(FIRST_PORT, FIRST_PORT + 50)
    free = next((one for one in candidates if _is_free(one) and _claim(one)), None)
    if free is None:
        raise InputError(f"port {port or FIRST_PORT} is taken.", remedy="Name another: --port N")
    lab_state = private_folder(private_folder(state) / "lab")
    argv = [*COMMAND, "--HistoryManager.hist_file=:memory:"]
    kernel = {"argv": argv, "display_name": "Python 3 (opskit)", "language": "python"}
    spec = private_folder(private_folder(lab_state / "kernels") / "python3") / "kernel.json"
    write_private(spec, json.dumps(kernel))
    token = os.environ.get("JUPYTER_TOKEN", "")
    return LabServer(
        folder=folder.absolute(), state=lab_state, port=free,
        token=token or secrets.token_hex(24), token_is_known=bool(token),
    )  # fmt: skip


def serve(server: LabServer, *, on_listening: Callable[[], None], browser: bool = True) -> None:
    """Run JupyterLab in this process until it is told to end.

    In this process, as the arguments of a child, the token among them, are everybody's to read.

    Parameters
    ----------
    server
        What `prepare` gave.
    on_listening
        Called once whoever connects is let in. If it raises, the server ends.
    browser
        Open one.

    Raises
    ------
    OpskitError
        The server cannot listen.
    """
    with without_grammars():
        from jupyterlab.labapp import LabApp

    documents = private_folder(server.state / f"documents-{server.port}")
    store = documents / "ystore.db"
    config = private_folder(server.state / "config")
    defaults = private_folder(config / "labconfig") / "default_setting_overrides.json"
    found = runbooks(server.folder)
    write_private(defaults, json.dumps(default_settings(found)))
    write_launcher(documents, found)
    # Found before any other kernel of this name; what somebody has set themselves wins.
    ours = {"JUPYTER_PATH": (documents, server.state), "JUPYTER_CONFIG_PATH": (config,)}
    for name, places in ours.items():
        before = os.environ.get(name, "")
        os.environ[name] = os.pathsep.join([*map(str, places), *([before] if before else [])])
    # The collaboration server stops itself once more, also when nobody has come.
    logging.getLogger("asyncio").addFilter(is_worth_showing)
    try:
        store.unlink(missing_ok=True)
        lab = LabApp.initialize_server(_settings(server, store, browser=browser))
        _start(lab, server.port, on_listening)
    finally:
        end_workers()
        store.unlink(missing_ok=True)


def _start(lab: Any, port: int, on_listening: Callable[[], None]) -> None:
    """Go on as ``LabApp.launch_instance`` does, which tells nobody when the server listens."""
    from jupyter_core.application import NoStart

    failed: list[Exception] = []

    def tell() -> None:
        try:
            # Most of what goes wrong when the socket is bound, the loop only logs.
            if _is_free(port):
                raise OpskitError(f"JupyterLab cannot listen on port {port}; its log says why.")
            on_listening()
        except Exception as error:  # noqa: BLE001 (raised again below)
            failed.append(error)
            lab.stop()

    # The loop binds the socket, as the first thing it does; this comes right behind it.
    lab.io_loop.add_callback(tell)
    with suppress(NoStart):
        lab.start()
    if failed:
        raise failed[0]


def end_workers() -> None:
    """Let AnyIO's threads end, each with what it is doing, such as saving a document.

    They end with the task that began them. One that the server's loop is stopped over never does,
    and its thread would keep the process for ever.
    """
    for thread in threading.enumerate():
        stop = getattr(thread, "stop", None)
        if thread.name == _WORKER and callable(stop):
            stop()


def runbooks(folder: Path) -> list[dict[str, str]]:
    """Return the ``path`` and the title, as ``label``, of each notebook that can be read."""
    return [
        {"path": path.name, "label": title}
        for path in sorted(folder.glob("*.ipynb"))
        if (title := _title_of(path))
    ]


def write_launcher(place: Path, found: list[dict[str, str]]) -> None:
    """Write the extension of JupyterLab that shows runbooks in its Launcher.

    Parameters
    ----------
    place
        A folder of ``JUPYTER_PATH``.
    found
        What `runbooks` gives.
    """
    extension = private_folder(place / "labextensions" / _LAUNCHER)
    script = Path(__file__).with_name("launcher.js").read_text(encoding="utf-8")
    listed = f"const RUNBOOKS = {json.dumps(found)};"
    write_private(
        private_folder(extension / "static") / "launcher.js",
        script.replace("const RUNBOOKS = [];", listed),
    )
    build = {"load": "static/launcher.js", "extension": "./extension"}
    package = {"name": _LAUNCHER, "version": "0.1.0", "jupyterlab": {"_build": build}}
    write_private(extension / "package.json", json.dumps(package))


def default_settings(found: list[dict[str, str]]) -> dict[str, dict[str, Any]]:
    """Return how JupyterLab is set where its user has set nothing.

    It asks about no news, shows the notebooks' names whole, and has a menu of `runbooks`.
    """
    items = [
        {"command": "docmanager:open", "args": one, "rank": rank} for rank, one in enumerate(found)
    ]
    menu = {"id": "jp-mainmenu-runbooks", "label": "Runbooks", "items": items, "rank": 4.5}
    return {
        "@jupyterlab/apputils-extension:notification": {
            "fetchNews": "false", "checkForUpdates": False,
        },
        "@jupyterlab/filebrowser-extension:browser": {"showLastModifiedColumn": False},
        "@jupyterlab/mainmenu-extension:plugin": {"menus": [menu] if items else []},
    }  # fmt: skip


def _title_of(path: Path) -> str:
    """Return a notebook's first heading; nothing of what is not read."""
    try:
        found = (title for cell in cells(read_notebook(path)) for title in headings(cell))
        return visible(next(found, path.stem))
    except InputError:
        return ""


def is_worth_showing(record: logging.LogRecord) -> bool:
    """Return whether a log record is not the trace of a server stopped before anybody came."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, RuntimeError) and str(error) == "WebsocketServer not running")


def _settings(server: LabServer, ystore: Path, *, browser: bool) -> list[str]:
    settings = {
        "ServerApp.root_dir": server.folder,
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": server.port,
        "ServerApp.port_retries": 0,
        "ServerApp.open_browser": browser,
        "ServerApp.allow_remote_access": False,
        "IdentityProvider.token": server.token,
        "ServerApp.identity_provider_class": "opskit.jupyter.named.NamingIdentityProvider",
        "ServerApp.kernel_websocket_connection_class": "opskit.jupyter.named.NamingConnection",
        "LabApp.default_url": server.first_page,
        "YDocExtension.disable_rtc": False,
        "YDocExtension.ystore_class": "opskit.jupyter.ystore.BriefYStore",
        "YDocExtension.session_store_path": ystore.with_name("sessions.json"),
        "BriefYStore.db_path": ystore,
        # As good or bad as the rest of opskit run by root.
        "ServerApp.allow_root": True,
    }
    return [f"--{name}={value}" for name, value in settings.items()]


def _claim(port: int) -> bool:
    """Take a port for as long as this process lives.

    Jupyter listens on it some seconds later: until then somebody else's server, that starts at the
    same time, must not choose it too. A name that only Linux has, gone with the process.
    """
    if sys.platform != "linux":
        return True
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0opskit-lab-{port}")
    except OSError:
        claim.close()
        return False
    _CLAIMS.append(claim)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
