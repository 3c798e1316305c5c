"""`opskit lab`, a real server asked over HTTP, and what is left of what people typed."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import websocket
from anyio import to_thread

from opskit.errors import InputError
from opskit.jupyter.lab import _CLAIMS, end_workers, prepare
from tests.waiting import LIMIT, eventually

REPOSITORY = Path(__file__).parents[2]
NOTEBOOK = "00-start-here.ipynb"
COUNT = len(list((REPOSITORY / "notebooks").glob("*.ipynb")))
DEAF = """
import sys
from tornado.httpserver import HTTPServer
from opskit.cli import main

def listen(self, *_):
    raise OSError(int(sys.argv[1]), "as the test says")

HTTPServer.listen = listen
main(["lab", "work", "--no-browser"])
"""
"""`opskit lab` whose socket cannot be bound."""


@pytest.fixture(autouse=True, scope="module")
def _ports_are_given_back() -> Iterator[None]:
    yield
    while _CLAIMS:
        _CLAIMS.pop().close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running `opskit lab --demo`."""

    home: Path
    address: str
    said: list[str]
    at_once: str
    """How a connection went that was tried the moment the address was told."""
    process: subprocess.Popen[str]

    @property
    def token(self) -> str:
        return self.address.partition("token=")[2]

    def ask(self, path: str, body: Any = None, *, token: str | None = None) -> Any:
        request = urllib.request.Request(
            self.address.partition("/lab")[0] + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token if token is None else token}"},
            method="GET" if body is None else "PUT" if "session/" in path else "POST",
        )
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            return json.load(answer)

    def read(self, path: str) -> str:
        """Give what a browser is given there."""
        request = urllib.request.Request(
            self.address.partition("/lab")[0] + path,
            headers={"Authorization": f"token {self.token}"},
        )
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            return answer.read().decode()

    def complaint(self) -> str:
        """Give its log when it does not answer, else nothing."""
        try:
            self.ask("/api/status")
        except OSError:
            return (self.home / "log").read_text() or "an empty log"
        return ""

    def socket(self, path: str, header: dict[str, str] | None = None) -> websocket.WebSocket:
        base = self.address.partition("/lab")[0].replace("http", "ws", 1)
        known = header or {"Authorization": f"token {self.token}"}
        return websocket.create_connection(base + path, header=known, timeout=LIMIT)

    def run(self, code: str) -> str:
        """Run something in a new kernel and give what it printed."""
        kernel = self.ask("/api/kernels", {"name": "python3"})["id"]
        channels = self.socket(f"/api/kernels/{kernel}/channels")
        printed = self.printed(channels, code)
        channels.close()
        return printed

    @staticmethod
    def printed(channels: websocket.WebSocket, code: str) -> str:
        """Run something in a kernel and give what it printed."""
        message = {
            "header": {"msg_id": uuid.uuid4().hex, "username": "", "session": uuid.uuid4().hex,
                       "msg_type": "execute_request", "version": "5.3"},
            "parent_header": {}, "metadata": {}, "channel": "shell",
            "content": {"code": code, "silent": False, "store_history": True},
        }  # fmt: skip
        channels.send(json.dumps(message))
        printed = ""
        while True:
            heard = json.loads(channels.recv())
            if heard["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            if heard["msg_type"] == "stream":
                printed += heard["content"]["text"]
            if heard["msg_type"] == "execute_reply":
                assert heard["content"]["status"] == "ok", heard["content"]
            if heard["msg_type"] == "status" and heard["content"]["execution_state"] == "idle":
                return printed


def connecting(address: str) -> str:
    """Try a connection and give how it went."""
    parts = urlsplit(address)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0)).close()
    except OSError as error:
        return str(error)
    return "accepted"


def environment(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}


@contextmanager
def serving(home: Path) -> Generator[Server]:
    """Start one, and stop it by a signal."""
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "opskit", "lab", "work", "--demo", "--no-browser"],
            cwd=home, env=environment(home), stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    assert process.stdout is not None
    said = [process.stdout.readline().strip() for _ in range(2)]
    address = said[1].removeprefix("Open ")
    at_once = connecting(address)
    said += [process.stdout.readline().strip() for _ in range(2)]
    server = Server(home=home, address=address, said=said, at_once=at_once, process=process)
    eventually(server.complaint, "the lab's server to answer", lambda complaint: not complaint)
    yield server
    process.send_signal(signal.SIGTERM)
    process.wait(LIMIT)
    process.stdout.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.mark.slow
@pytest.mark.kernel
def test_it_tells_its_address_once_whoever_opens_it_is_let_in(server: Server) -> None:
    assert server.at_once == "accepted"


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (errno.EADDRINUSE, "no available port could be found"),
        (errno.EMFILE, "opskit: JupyterLab cannot listen on port "),
    ],
)
def test_no_address_is_told_where_it_cannot_listen(tmp_path: Path, fault: int, says: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", DEAF, str(fault)],
        cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=LIMIT,
    )  # fmt: skip

    assert ended.stdout == f"{COUNT} notebooks in work ({COUNT} new)\n"
    assert says in ended.stderr
    assert ended.returncode == 1


@pytest.mark.slow
@pytest.mark.kernel
def test_it_ends_when_its_address_can_be_told_to_nobody(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "opskit", "lab", "work", "--no-browser"], cwd=tmp_path,
            env=environment(tmp_path), stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=LIMIT,
        )  # fmt: skip

    assert "opskit: the output cannot be written" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 1


@pytest.mark.slow
@pytest.mark.kernel
def test_it_ends_quietly_also_when_nobody_has_come(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        pass

    assert server.process.returncode == 0
    log = (tmp_path / "log").read_text()
    assert "stopping" in log
    assert "Traceback" not in log


@pytest.mark.slow
@pytest.mark.kernel
def test_it_ends_though_its_loop_was_stopped_over_a_task_that_had_a_thread() -> None:
    loop = asyncio.new_event_loop()

    async def save() -> None:
        await to_thread.run_sync(lambda: None)
        loop.stop()
        await asyncio.Event().wait()

    task = loop.create_task(save())
    loop.run_forever()
    left = [one for one in threading.enumerate() if one.name == "AnyIO worker thread"]
    assert left
    end_workers()
    for thread in left:
        thread.join(LIMIT)
        assert not thread.is_alive()
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()


@pytest.mark.slow
def test_it_serves_the_notebooks_to_whoever_has_the_token(server: Server) -> None:
    listed = {one["name"] for one in server.ask("/api/contents")["content"]}

    assert listed == {path.name for path in (REPOSITORY / "notebooks").glob("*.ipynb")}
    with pytest.raises(urllib.error.HTTPError) as refused:
        server.ask("/api/contents", token="wrong")
    assert refused.value.code == 403
    refused.value.close()


@pytest.mark.slow
@pytest.mark.kernel
def test_it_says_how_to_share_it_and_keeps_the_token_from_the_process_list(server: Server) -> None:
    assert server.said[0] == f"{COUNT} notebooks in work ({COUNT} new)"
    assert server.said[2].startswith("From another machine: ssh -N -L ")
    assert "JupyterHub" in server.said[3]
    assert "/lab/tree/00-start-here.ipynb?token=" in server.said[1]
    assert len(server.token) >= 32
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert server.token not in listed.stdout
    assert server.token not in (server.home / "log").read_text()


@pytest.mark.slow
@pytest.mark.kernel
def test_it_asks_about_no_news_and_has_a_menu_of_the_runbooks_titles(server: Server) -> None:
    def default(plugin: str) -> Any:
        return server.ask(f"/lab/api/settings/@jupyterlab/{plugin}")["schema"]

    news = default("apputils-extension:notification")["properties"]
    assert (news["fetchNews"]["default"], news["checkForUpdates"]["default"]) == ("false", False)
    menus = default("mainmenu-extension:plugin")["properties"]["menus"]["default"]
    (runbooks,) = (menu for menu in menus if menu["label"] == "Runbooks")
    first = runbooks["items"][0]["args"]
    assert first == {"path": NOTEBOOK, "label": "Start here: the whole fleet in one look"}
    assert len(runbooks["items"]) == COUNT


@pytest.mark.slow
@pytest.mark.kernel
def test_its_launcher_has_the_runbooks_by_their_titles(server: Server) -> None:
    page = server.read("/lab")
    assert '"name": "opskit-runbooks"' in page
    script = server.read("/lab/extensions/opskit-runbooks/static/launcher.js")
    assert f'{{"path": "{NOTEBOOK}", "label": "Start here: the whole fleet in one look"}}' in script
    assert script.count('"label": "') == COUNT


@pytest.mark.slow
@pytest.mark.kernel
def test_somebody_without_a_name_gives_one_which_the_server_keeps(server: Server) -> None:
    me = f"{server.address.partition('/lab')[0]}/api/me"
    visitor = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    # As a browser does: with the token once, and then by its cookies.
    visitor.open(server.address, timeout=LIMIT).close()
    with visitor.open(me, timeout=LIMIT) as answer:
        assert json.load(answer)["identity"]["name"].startswith("Anonymous ")
    cookies = next(one for one in visitor.handlers if hasattr(one, "cookiejar")).cookiejar
    (xsrf,) = (one.value for one in cookies if one.name == "_xsrf")
    named = urllib.request.Request(
        me, method="PATCH", data=json.dumps({"name": "Kim", "display_name": "Kim"}).encode(),
        headers={"X-XSRFToken": xsrf, "Content-Type": "application/json"},
    )  # fmt: skip
    # Opened before Kim had a name, as a notebook is.
    kernel = server.ask("/api/kernels", {"name": "python3"})["id"]
    cookie = "; ".join(f"{one.name}={one.value}" for one in cookies)
    channels = server.socket(f"/api/kernels/{kernel}/channels", {"Cookie": cookie})
    who = "from opskit.journal.claimed import person_here; print(person_here())"
    assert server.printed(channels, who) == "\n"
    visitor.open(named, timeout=LIMIT).close()
    with visitor.open(me, timeout=LIMIT) as answer:
        identity = json.load(answer)["identity"]
    assert identity["display_name"] == "Kim"
    assert server.printed(channels, who) == f"Kim ({identity['username']})\n"
    channels.close()


@pytest.mark.slow
@pytest.mark.kernel
def test_it_listens_on_this_machine_only(server: Server) -> None:
    port = urlsplit(server.address).port
    addresses = set[str]()
    # The kernel gives the table piece by piece, and may leave one out while others come and go.
    for _ in range(100):
        listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
        addresses |= {
            line.split()[1].rpartition(":")[0]
            for line in listening.splitlines()
            if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
        }
    assert addresses == {"0100007F"}


@pytest.mark.slow
@pytest.mark.kernel
def test_its_kernels_mask_values_remember_no_input_and_see_the_demo_fleet(server: Server) -> None:
    printed = server.run(
        "import opskit\n"
        "history = get_ipython().history_manager\n"
        "print(history.enabled, history.hist_file)\n"
        "value = opskit.Secret('c4nary-' + 'of-a-lab')\n"
        "print(value.reveal().decode())\n"
        "print(len(opskit.Fleet.from_abra(deadline=5).snapshot().servers))\n"
    )

    assert printed.split("\n")[:3] == ["False :memory:", "[redacted]", "6"]
    assert list(server.home.rglob("history.sqlite")) == []


@pytest.mark.slow
@pytest.mark.kernel
def test_documents_are_shared_and_their_history_is_not_in_the_folder(server: Server) -> None:
    session = server.ask(
        f"/api/collaboration/session/{NOTEBOOK}", {"format": "json", "type": "notebook"}
    )
    room = f"json:notebook:{session['fileId']}"
    where = server.run("import os\nprint(os.environ['OPSKIT_STATE_DIR'])").strip()
    stored = Path(where) / "lab"
    open_room = server.socket(f"/api/collaboration/room/{room}?sessionId={session['sessionId']}")
    eventually(lambda: list(stored.glob("documents-*/ystore.db")), "the documents' history")
    open_room.close()

    assert stat.S_IMODE(stored.stat().st_mode) == 0o700
    kept = [path.name for path in (server.home / "work").rglob("*") if path.is_file()]
    assert sorted(name for name in kept if not name.endswith(".ipynb")) == ["shipped.json"]


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} is taken"):
            prepare(tmp_path, tmp_path / "state", port=port)


def test_two_that_start_at_the_same_moment_choose_two_ports(tmp_path: Path) -> None:
    first, second = (prepare(tmp_path, tmp_path / "state") for _ in range(2))
    assert first.port != second.port


def test_the_token_of_the_environment_is_used_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_TOKEN", "c4nary-token")
    server = prepare(tmp_path, tmp_path / "state")
    assert server.token == "c4nary-token"
    assert "c4nary-token" not in repr(server) + server.address


def test_a_document_keeps_its_text_and_loses_what_was_deleted_minutes_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pycrdt-store 0.1.5 drops everything when it squashes what is not compressed.
    from jupyter_ydoc import YNotebook
    from pycrdt import Doc

    from opskit.jupyter.ystore import BriefYStore

    now = time.time()
    database = tmp_path / "ystore.db"

    async def work() -> str:
        store: Any = BriefYStore(path="document")
        store.db_path = str(database)
        written: list[bytes] = []
        document: Any = Doc()
        document.observe(lambda event: written.append(event.update))
        notebook = YNotebook(document)
        async with store:

            async def write(later: float) -> None:
                monkeypatch.setattr(time, "time", lambda: now + later)
                for update in written:
                    await store.write(update)
                written.clear()

            cell = {"cell_type": "code", "id": "a", "source": "kept", "metadata": {},
                    "outputs": [], "execution_count": None}  # fmt: skip
            notebook.set({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
            outputs = notebook.ycells[0]["outputs"]
            outputs.append({"output_type": "stream", "name": "stdout", "text": "c4nary-shown"})
            outputs.clear()
            await write(0)
            assert b"c4nary-shown" in database.read_bytes()
            for later in (1000, 2000):
                notebook.ycells[0]["source"].insert(0, "still ")
                await write(later)
            again: Any = Doc()
            await store.apply_updates(again)
            return YNotebook(again).get()["cells"][0]["source"]

    assert asyncio.run(work()) == "still still kept"
    assert b"c4nary-shown" not in database.read_bytes()
