"""Reaching engines over TLS and over ssh that hangs, and newer and older engines."""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from opskit.errors import UnreachableError
from opskit.swarm.context import Context, TlsFiles
from opskit.swarm.engine import Engine
from opskit.swarm.observe import observe
from opskit.swarm.stream import Deadline
from opskit.swarm.transport import TRANSPORT, Transport
from tests.waiting import LIMIT

Serve = Callable[..., int]


class Handler(RequestHandler):
    """As much of an engine as greeting it takes."""

    def initialize(self, api: str) -> None:
        self.api = api

    def prepare(self) -> None:
        self.set_header("Api-Version", self.api)
        if self.request.path.endswith("/info"):
            self.finish(json.dumps({"Name": self.request.path, "Swarm": {}}))
        elif self.request.path.endswith("/_ping"):
            self.finish("OK")
        else:
            self.finish("x" * 1_000_000)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve a small engine on a loopback port, with TLS when asked."""
    overs: list[tuple[asyncio.AbstractEventLoop, asyncio.Event, threading.Thread]] = []

    def start(api: str = "1.41", tls: ssl.SSLContext | None = None) -> int:
        ready = threading.Event()
        found: list[int] = []

        async def run() -> None:
            over = asyncio.Event()
            server = HTTPServer(Application([(r".*", Handler, {"api": api})]), ssl_options=tls)
            sock = socket.create_server(("127.0.0.1", 0))
            sock.setblocking(False)
            server.add_socket(sock)
            found.append(sock.getsockname()[1])
            overs.append((asyncio.get_running_loop(), over, thread))
            ready.set()
            await over.wait()
            server.stop()
            await server.close_all_connections()

        thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
        thread.start()
        assert ready.wait(LIMIT)
        return found[0]

    yield start
    TRANSPORT.close()
    for loop, over, thread in overs:
        loop.call_soon_threadsafe(over.set)
        thread.join(LIMIT)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a server's and a client's certificate of its."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "rsa:2048", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")
    for name in ("server", "client"):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/CN=x")
        (folder / "ext").write_text("subjectAltName=IP:127.0.0.1")
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-out", f"{name}.pem", "-extfile", "ext",
        )  # fmt: skip
    return folder


def server_tls(folder: Path) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
    made.load_cert_chain(folder / "server.pem", folder / "server.key")
    made.verify_mode = ssl.CERT_REQUIRED
    # An engine, too, takes certificates as Docker's guide makes them.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return made


def tls(folder: Path, **files: str) -> TlsFiles:
    names = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key", **files}
    return TlsFiles(**{kind: str(folder / name) for kind, name in names.items()})


@pytest.mark.slow
def test_both_sides_prove_themselves_with_the_contexts_files(
    serve: Serve, certificates: Path
) -> None:
    port = serve(tls=server_tls(certificates))
    context = Context(server="s", host=f"tcp://127.0.0.1:{port}", tls=tls(certificates))
    seen = observe(context, 60)

    assert seen.reachable
    assert "not in a swarm" in seen.error


def test_a_server_of_another_authority_is_not_trusted(serve: Serve, certificates: Path) -> None:
    port = serve(tls=server_tls(certificates))
    files = tls(certificates, ca="client.pem")
    seen = observe(Context(server="s", host=f"tcp://127.0.0.1:{port}", tls=files), 60)

    assert not seen.reachable
    assert "TLS handshake" in seen.error
    assert "Check the certificates" in seen.error


def test_tls_files_that_cannot_be_used_are_named(serve: Serve, certificates: Path) -> None:
    port = serve(tls=server_tls(certificates))
    files = tls(certificates, key="server.key")
    seen = observe(Context(server="s", host=f"tcp://127.0.0.1:{port}", tls=files), 60)

    assert "TLS files of the Docker context 's'" in seen.error


@pytest.mark.parametrize(
    ("offered", "used"), [("1.41", "1.41"), ("1.44", "1.44"), ("1.52", "1.52"), ("1.60", "1.52")]
)
def test_the_api_version_is_negotiated(serve: Serve, offered: str, used: str) -> None:
    context = Context(server="s", host=f"tcp://127.0.0.1:{serve(api=offered)}")

    # Before it is known, an engine answers in its newest.
    assert observe(context, 60).info.name in {"/info", f"/v{used}/info"}
    assert observe(context, 60).info.name == f"/v{used}/info"
    assert Engine(context).info().name == f"/v{used}/info"


def test_an_engine_newer_than_opskit_is_asked_in_a_version_opskit_knows(serve: Serve) -> None:
    context = Context(server="s", host=f"tcp://127.0.0.1:{serve(api='1.60')}")
    assert observe(context, 60).info.name == "/v1.52/info"


@pytest.mark.slow
def test_an_sshd_that_never_says_a_word_runs_into_the_deadline() -> None:
    if shutil.which("ssh") is None:
        pytest.skip("ssh is not installed")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        seen = observe(Context(server="s", host=f"ssh://127.0.0.1:{port}"), 1.5)

    assert not seen.reachable
    assert "no answer within 1.5 s" in seen.error or "timed out" in seen.error.lower()


OUT_OF_FILES = """
import gc, json, os, resource, sys
from opskit.swarm.context import Context
from opskit.swarm.observe import observe

context = Context(server="s", host=sys.argv[1])
observe(context, 60)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
gc.disable()
before, errors = len(os.listdir("/proc/self/fd")), []
for free in range(12):
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        for _ in range(free):
            os.close(taken.pop())
    errors.append(observe(context, 60).error)
    for one in taken:
        os.close(one)
print(json.dumps({"errors": errors, "left": len(os.listdir("/proc/self/fd")) - before}))
"""


@pytest.mark.parametrize(
    "host", ["ssh://127.0.0.1:1", "tcp://127.0.0.1:1", "unix:///nowhere/docker.sock"]
)
def test_a_process_with_too_many_files_open_is_told_and_opens_no_more(host: str) -> None:
    if shutil.which("ssh") is None:
        pytest.skip("ssh is not installed")
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", OUT_OF_FILES, host],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert "(Too many open files)" in said["errors"][0]
    assert "ulimit -n" in said["errors"][0]
    assert "ulimit" not in said["errors"][-1]
    assert said["left"] == 0
    assert not ended.stderr


def test_a_connection_that_is_lent_out_when_all_are_closed_is_closed_when_it_is_back(
    serve: Serve,
) -> None:
    context = Context(server="s", host=f"tcp://127.0.0.1:{serve()}")
    transport = Transport()
    with transport.connection(context, Deadline(60)) as (connection, _):
        transport.close()
        assert connection.ask(["/info"], Deadline(60)).replies[0].status == 200
    assert connection.stream.sock.fileno() == -1


class Passing(Deadline):
    """A deadline that passes when it is asked for the n-th time."""

    def __init__(self, asked: int) -> None:
        super().__init__(60, "s")
        self.left = asked

    def remaining(self, doing: str = "") -> float:
        self.left -= 1
        if self.left <= 0:
            raise self.passed(doing)
        return super().remaining(doing)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("kept", [False, True])
def test_no_connection_is_left_open_whenever_the_deadline_passes(
    serve: Serve, method: str, *, kept: bool
) -> None:
    context = Context(server="s", host=f"tcp://127.0.0.1:{serve()}")
    passed = 0
    with warnings.catch_warnings(record=True) as left_open:
        warnings.simplefilter("always", ResourceWarning)
        gc.collect()
        left_open.clear()
        while True:
            transport = Transport()
            if kept:
                with transport.connection(context, Deadline(60)) as (connection, _):
                    pass
                connection.used_at -= 60
            try:
                transport.request(context, method, "/info", deadline=Passing(passed + 1))
            except UnreachableError:
                passed += 1
            else:
                break
            finally:
                transport.close()
        gc.collect()
    assert passed
    assert not left_open
