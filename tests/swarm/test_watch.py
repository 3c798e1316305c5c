"""What is heard of an engine's events, from small servers that send them well or badly."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opskit.errors import RefusedError, UnreachableError
from opskit.swarm.context import Context
from opskit.swarm.stream import Deadline
from opskit.swarm.transport import Transport
from opskit.swarm.watch import EventStream
from tests.swarm.scripted import Conversation, serving
from tests.waiting import LIMIT

SECRET = {"Type": "secret", "Action": "create", "Actor": {"ID": "s", "Attributes": {"name": "a"}}}
TASK = {"Type": "container", "Actor": {"Attributes": {"com.docker.swarm.task.id": "t"}}}
OTHER = {"Type": "container", "Actor": {"Attributes": {"image": "busybox"}}}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
OVER = b"0\r\n\r\n"

Say = Callable[[Conversation], object]


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Callable[[Say], EventStream]]:
    """Listen to a server that says something when it is asked for its events, then waits."""
    heard: list[EventStream] = []
    servers: list[object] = []
    over, transport = threading.Event(), Transport()
    bell, rope = os.pipe()

    def begin(say: Say) -> EventStream:
        def talk(one: Conversation) -> None:
            for request in one:
                if request.path == "/events":
                    say(one)
                    over.wait(LIMIT)
                else:
                    one.reply(b"OK")

        server = serving(tmp_path / "s", talk)
        servers.append(server)
        host = server.__enter__().host
        stream = EventStream(Context(server="s", host=host), Deadline(LIMIT), bell, transport)
        heard.append(stream)
        return stream

    yield begin
    over.set()
    for stream in heard:
        stream.close()
    for server in servers:
        server.__exit__(None, None, None)  # type: ignore[attr-defined]
    transport.close()
    os.close(rope)
    os.close(bell)


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def told(*events: object) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def test_an_event_is_heard_once(listen: Callable[[Say], EventStream]) -> None:
    heard = threading.Event()

    def say(one: Conversation) -> None:
        one.sock.sendall(CHUNKED + chunk(told(SECRET)))
        heard.wait(LIMIT)
        one.sock.sendall(OVER)

    stream = listen(say)
    assert stream.wait(LIMIT)
    heard.set()
    with pytest.raises(UnreachableError):
        stream.wait(LIMIT)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_an_event_is_heard_in_however_many_pieces_it_comes(
    listen: Callable[[Say], EventStream], size: int
) -> None:
    line = told(SECRET)
    framed = b"".join(chunk(line[at : at + size]) for at in range(0, len(line), size))

    def say(one: Conversation) -> None:
        one.sock.sendall(CHUNKED)
        for at in range(0, len(framed), 5):
            one.sock.sendall(framed[at : at + 5])

    assert listen(say).wait(LIMIT)


def test_an_event_without_chunks_is_heard(listen: Callable[[Say], EventStream]) -> None:
    assert listen(lambda one: one.sock.sendall(HEAD + b"\r\n" + told(SECRET))).wait(LIMIT)


def test_of_containers_only_those_of_tasks_matter(listen: Callable[[Say], EventStream]) -> None:
    stream = listen(lambda one: one.sock.sendall(CHUNKED + chunk(told(OTHER, OTHER)) + OVER))
    with pytest.raises(UnreachableError):
        stream.wait(LIMIT)


def test_a_tasks_container_among_others_is_heard(listen: Callable[[Say], EventStream]) -> None:
    stream = listen(lambda one: one.sock.sendall(CHUNKED + chunk(told(OTHER, TASK, OTHER))))
    assert stream.wait(LIMIT)


@pytest.mark.parametrize(
    "line",
    [b"what?", b'{"Type": "\xff"}', b'{"Other": ' + b"[" * 10_000],
    ids=["no JSON", "no UTF-8", "nested too deeply"],
)
def test_what_is_no_event_counts_as_one(listen: Callable[[Say], EventStream], line: bytes) -> None:
    assert listen(lambda one: one.sock.sendall(CHUNKED + chunk(line + b"\n"))).wait(LIMIT)


@pytest.mark.parametrize(
    "end",
    [
        lambda one: one.sock.sendall(CHUNKED + b"0\r\n\r\n"),
        lambda one: one.sock.sendall(CHUNKED + b"-1\r\n\r\n"),
        lambda one: one.sock.sendall(CHUNKED + b"no size\r\n\r\n"),
        lambda one: (one.sock.sendall(CHUNKED), one.end()),
    ],
    ids=["an end", "a size below nothing", "no size", "a broken connection"],
)
def test_the_end_of_it_is_an_error(listen: Callable[[Say], EventStream], end: Say) -> None:
    stream = listen(end)
    with pytest.raises(UnreachableError):
        stream.wait(LIMIT)


def test_a_line_without_an_end_is_not_kept(listen: Callable[[Say], EventStream]) -> None:
    def say(one: Conversation) -> None:
        one.sock.sendall(CHUNKED)
        for _ in range(40):
            one.sock.sendall(chunk(b"x" * 65_536))

    with pytest.raises(RefusedError):
        listen(say).wait(LIMIT)


def test_whoever_refuses_to_tell_is_an_error(listen: Callable[[Say], EventStream]) -> None:
    with pytest.raises(RefusedError, match="not allowed"):
        listen(lambda one: one.reply({"message": "not allowed"}, 403))


REFUSED = b"HTTP/1.1 403 Forbidden\r\n"
CHUNKED_REFUSAL = REFUSED + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (REFUSED + b"Content-Length: 99\r\n\r\nnot all", RefusedError),
        (CHUNKED_REFUSAL + b"9\r\nnot all", UnreachableError),
        (CHUNKED_REFUSAL + b"no size\r\n", UnreachableError),
        (CHUNKED_REFUSAL + b"-5\r\nnot all", UnreachableError),
        (CHUNKED_REFUSAL + b"f" * 30 + b"\r\nnot all", UnreachableError),
    ],
    ids=["cut short", "a chunk cut short", "no size", "a size below nothing", "a huge chunk"],
)
def test_a_refusal_that_breaks_off_is_an_error_of_the_server(
    listen: Callable[[Say], EventStream], said: bytes, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        listen(lambda one: (one.sock.sendall(said), one.end()))


def test_of_a_refusal_without_an_end_no_more_is_read_than_tells_what_it_is(
    listen: Callable[[Say], EventStream],
) -> None:
    def say(one: Conversation) -> None:
        one.sock.sendall(REFUSED + b"Connection: close\r\n\r\n")
        for _ in range(40):
            one.sock.sendall(b"not allowed" + b" " * 65_536)

    with pytest.raises(RefusedError, match="not allowed"):
        listen(say)


def test_the_bell_ends_the_wait(tmp_path: Path) -> None:
    over, transport = threading.Event(), Transport()
    bell, rope = os.pipe()

    def talk(one: Conversation) -> None:
        for request in one:
            if request.path == "/events":
                one.sock.sendall(CHUNKED)
                over.wait(LIMIT)
            else:
                one.reply(b"OK")

    with serving(tmp_path / "s", talk) as server:
        context = Context(server="s", host=server.host)
        with EventStream(context, Deadline(LIMIT), bell, transport) as stream:
            threading.Timer(0.05, lambda: os.close(rope)).start()
            assert not stream.wait(LIMIT)
            over.set()
    transport.close()
    os.close(bell)
