"""Replies that no engine sends: they cost their own server, and neither memory nor patience."""

from __future__ import annotations

import json
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from opskit.errors import RefusedError
from opskit.swarm.context import Context
from opskit.swarm.engine import Engine
from opskit.swarm.observe import Observation, observe
from opskit.swarm.transport import TRANSPORT
from tests.swarm.scripted import Conversation, Served, Talk, encoded, serving
from tests.waiting import linger

Serve = Callable[[Talk], Served]
HEAD = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n"
MIB = b"x" * 1024**2


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda talk: stack.enter_context(serving(tmp_path / "docker.sock", talk))
        TRANSPORT.close()


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


def look(served: Served, seconds: float = 60.0) -> Observation:
    return observe(Context(server="s", host=served.host), seconds)


def instead(path: str, answer: Callable[[Conversation], None]) -> Talk:
    """Answer well, but for one path."""

    def talk(one: Conversation) -> None:
        for request in one:
            if request.path == path:
                answer(one)
            else:
                one.reply(request.answer)

    return talk


def endless(one: Conversation) -> None:
    one.sock.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        one.sock.sendall(b"100000\r\n" + MIB + b"\r\n")


def said_to_be(length: int) -> Callable[[Conversation], None]:
    def answer(one: Conversation) -> None:
        one.sock.sendall(HEAD + f"Content-Length: {length}\r\n\r\n[".encode())
        one.next()

    return answer


def one_chunk_of(length: int) -> Callable[[Conversation], None]:
    def answer(one: Conversation) -> None:
        one.sock.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % length)
        while True:
            one.sock.sendall(MIB)

    return answer


@pytest.mark.parametrize(
    "answer",
    [endless, said_to_be(10**15), said_to_be(65 * 1024**2), one_chunk_of(10**15),
     one_chunk_of(2**30), one_chunk_of(2**70)],
    ids=["endless", "10^15", "65 MiB", "a chunk of 10^15", "a chunk of 2^30", "a chunk of 2^70"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/info", "/secrets"])
def test_a_reply_that_is_too_large_is_not_taken(
    serve: Serve, path: str, answer: Callable[[Conversation], None]
) -> None:
    seen = look(serve(instead(path, answer)))
    assert not seen.manager
    assert "larger than opskit takes" in seen.error
    assert "reply_limit" in seen.error


@pytest.mark.parametrize("path", ["/info", "/secrets"])
def test_a_chunk_of_a_size_below_nothing_is_the_end_of_the_reply(serve: Serve, path: str) -> None:
    seen = look(serve(instead(path, one_chunk_of(-5))))
    assert not seen.manager
    assert "the connection was lost" in seen.error


def test_what_an_operator_allows_is_taken(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_secret = {"ID": "s1", "CreatedAt": "2026-11-01T00:00:00Z", "Spec": {"Name": "x" * 60}}
    talk = instead("/secrets", lambda one: one.reply([one_secret] * 20_000))
    (tmp_path / "opskit").mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "opskit" / "config.toml").write_text("reply_limit = 1\n")
    served = serve(talk)
    assert "larger than opskit takes" in look(served).error
    (tmp_path / "opskit" / "config.toml").write_text("reply_limit = 4\n")
    assert len(look(served).secrets) == 20_000


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 500_000,
        b'{"a":' * 200_000,
        b"null",
        b"17",
        b'[{"ID": 7}]',
        b'[{"ID": "s", "CreatedAt": "yesterday", "Spec": {}}]',
        b'[{"ID": "s", "CreatedAt": "2026-11-01T00:00:00Z", "Spec": {"Labels": {"a": 1e999}}}]',
        b"\xff\xfe[]",
        b"",
    ],
)
def test_a_list_that_is_none_is_unread_and_the_others_stand(serve: Serve, body: bytes) -> None:
    seen = look(serve(instead("/secrets", lambda one: one.sock.sendall(encoded(body)))))
    assert seen.manager
    assert list(seen.unread) == ["secrets"]
    assert "not what a Docker Engine sends" in seen.unread["secrets"]


def test_a_refusal_that_is_nested_for_ever_is_one(serve: Serve) -> None:
    answer = encoded(b"[" * 500_000, 500)
    seen = look(serve(instead("/secrets", lambda one: one.sock.sendall(answer))))
    assert list(seen.unread) == ["secrets"]


def test_one_call_is_held_to_the_same_limit(serve: Serve) -> None:
    for path, call in (
        ("/services/web", lambda engine: engine.raw_service("web")),
        ("/secrets", lambda engine: engine.secrets("web")),
        ("/secrets/create", lambda engine: engine.create_secret("web", b"x", {})),
    ):
        served = serve(instead(path, endless))
        engine = Engine(Context(server="s", host=served.host), seconds=60.0)
        with pytest.raises(RefusedError, match="larger than opskit takes"):
            call(engine)
        TRANSPORT.close()
        Path(served.host.removeprefix("unix://")).unlink()


@pytest.mark.slow
def test_a_reply_that_trickles_ends_with_the_deadline(serve: Serve) -> None:
    over = threading.Event()

    def trickle(one: Conversation) -> None:
        one.sock.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
        while not over.is_set():
            one.sock.sendall(b" ")
            linger(0.05)

    seen = look(serve(instead("/tasks", trickle)), seconds=1.0)
    over.set()
    assert "no answer within 1 s" in seen.error


def test_a_name_of_ten_megabytes_costs_its_own_row(serve: Serve) -> None:
    huge = {"ID": "s1", "CreatedAt": "2026-11-01T00:00:00Z", "Spec": {"Name": "x" * 10**7}}
    answer = encoded(json.dumps([huge]).encode())
    seen = look(serve(instead("/secrets", lambda one: one.sock.sendall(answer))))
    assert list(seen.unread) == ["secrets"]


def test_a_complaint_without_an_end_is_shown_in_its_beginning(serve: Serve) -> None:
    """In place of what a program says, which comes in frames."""

    def talk(one: Conversation) -> None:
        for request in one:
            if request.path == "/containers/c/exec":
                one.reply({"Id": "e"})
            elif request.path == "/exec/e/start":
                one.sock.sendall(
                    b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
                )
                while True:
                    one.sock.sendall(MIB)
            else:
                one.reply(request.answer)

    engine = Engine(Context(server="s", host=serve(talk).host), seconds=60.0)
    with pytest.raises(RefusedError, match=r"could not be started \(x{500}…\)"):
        engine.execute("c", ["true"])
