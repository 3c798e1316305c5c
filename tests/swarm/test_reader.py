"""A whole server in one round trip, whatever stands between."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from opskit.demo.engine.api.call import Edition
from opskit.demo.engine.state import Swarm
from opskit.errors import AlreadyExistsError, InputError, RefusedError, UnreachableError
from opskit.swarm.context import Context
from opskit.swarm.engine import Engine
from opskit.swarm.observe import Observation, observe
from opskit.swarm.transport import TRANSPORT, Transport
from tests.conftest import embedded
from tests.swarm.scripted import INFO, Conversation, Served, Talk, encoded, serving
from tests.waiting import LIMIT, linger

Serve = Callable[[Talk], Served]

ALL = ["/info", "/nodes", "/services", "/tasks", "/secrets", "/configs", "/networks", "/volumes"]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(talk: Talk) -> Served:
            return stack.enter_context(serving(tmp_path / "docker.sock", talk))

        yield start
        TRANSPORT.close()


def look(served: Served, seconds: float = 60.0) -> Observation:
    return observe(Context(server="s", host=served.host), seconds)


def is_whole(seen: Observation) -> bool:
    """Tell whether all was read, and each reply taken for the list that was asked."""
    return (seen.error, seen.unread, seen.info.name) == ("", {}, "scripted") and [
        secret.spec.name for secret in seen.secrets
    ] == ["token_v1"]


def test_all_is_asked_before_the_first_answer_is_awaited(serve: Serve) -> None:
    def talk(one: Conversation) -> None:
        while True:
            # Says nothing before it has heard everything.
            flight = [one.next() for _ in range(len(ALL) + (not one.asked))]
            for request in flight:
                if request is None:
                    return
                one.reply(request.answer)

    served = serve(talk)
    assert is_whole(look(served))
    assert is_whole(look(served))
    assert served.asked == [ALL * 2]


def test_answers_are_taken_in_order_when_one_is_slow(serve: Serve) -> None:
    heard_all = threading.Event()

    def talk(one: Conversation) -> None:
        flight = [one.next() for _ in range(1 + len(ALL))]
        for request in flight:
            assert request is not None
            if request.path == "/tasks":
                heard_all.wait(LIMIT)
            one.reply(request.answer, chunked=request.path in {"/secrets", "/tasks"})

    served = serve(talk)
    threading.Timer(0.5, heard_all.set).start()
    assert is_whole(look(served))


@pytest.mark.parametrize("chunked", [False, True])
def test_long_answers_of_either_framing_are_read_whole(serve: Serve, *, chunked: bool) -> None:
    one_secret = {"ID": "s1", "CreatedAt": "2026-11-01T00:00:00Z", "Spec": {"Name": "x" * 60}}
    many = [one_secret] * (4_000 if not chunked else 400)

    def talk(one: Conversation) -> None:
        for request in one:
            one.reply(many if request.path == "/secrets" else request.answer, chunked=chunked)

    assert len(look(serve(talk)).secrets) == len(many)


def test_a_refused_list_is_unread_and_the_others_are_there(serve: Serve) -> None:
    def talk(one: Conversation) -> None:
        for request in one:
            if request.path == "/configs":
                one.reply({"message": "not for you"}, 403)
            else:
                one.reply(request.answer)

    served = serve(talk)
    for _ in range(2):
        seen = look(served)
        assert seen.manager
        assert seen.unread == {"configs": "not for you"}
        assert len(seen.secrets) == 1


@pytest.mark.parametrize("after", range(1, 1 + len(ALL)))
def test_what_a_broken_connection_left_open_is_asked_over_a_new_one(
    serve: Serve, after: int
) -> None:
    def talk(one: Conversation) -> None:
        for request in one:
            if one.number == 0 and len(one.asked) > after:
                return
            one.reply(request.answer)

    served = serve(talk)
    assert is_whole(look(served))
    first, second = served.asked[0][: after - 1], served.asked[1]
    assert first + second == ALL


def test_a_connection_that_is_reset_is_no_proxy_that_takes_one_request_at_a_time(
    serve: Serve,
) -> None:
    def talk(one: Conversation) -> None:
        if one.number == 0:
            # Ended with the rest of the flight unread, which resets it.
            while one.sock.recv(1) + one.sock.recv(3, socket.MSG_PEEK) != b"\n\r\nG":
                pass
            one.sock.sendall(encoded(b"OK"))
            return
        for request in one:
            one.reply(request.answer)

    served = serve(talk)
    assert is_whole(look(served))
    assert TRANSPORT.one_at_a_time == set()
    assert served.asked == [[], ALL]


def test_a_connection_that_breaks_once_more_is_said_and_asked_no_further(serve: Serve) -> None:
    def talk(one: Conversation) -> None:
        for request in one:
            if request.path == "/tasks":
                return
            one.reply(request.answer)

    served = serve(talk)
    seen = look(served)
    assert not seen.reachable
    assert "connection was lost" in seen.error
    assert seen.info.name == "scripted"
    assert len(served.conversations) == 2


def test_a_kept_connection_that_died_is_replaced(serve: Serve) -> None:
    def talk(one: Conversation) -> None:
        for request in one:
            one.reply(request.answer)
            if one.number == 0 and len(one.asked) == 1 + len(ALL):
                # Dead, and found out only when it is written to.
                one.next()
                return

    served = serve(talk)
    assert is_whole(look(served))
    assert is_whole(look(served))
    assert len(served.conversations) == 2


def test_a_connection_is_closed_behind_every_answer(serve: Serve) -> None:
    def talk(one: Conversation) -> None:
        request = one.next()
        assert request is not None
        one.reply(request.answer, close=True)

    served = serve(talk)
    assert is_whole(look(served))
    assert is_whole(look(served))


def test_an_answer_may_end_with_its_connection(serve: Serve) -> None:
    def talk(one: Conversation) -> None:
        for request in one:
            if request.path == "/secrets":
                head = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\n\r\n"
                one.sock.sendall(head + encoded(request.answer).partition(b"\r\n\r\n")[2])
                return
            one.reply(request.answer)

    assert is_whole(look(serve(talk)))


def swallow(one: Conversation) -> None:
    """Answer one request, and drop what came with it."""
    while request := one.next():
        one.drop_what_came()
        one.reply(request.answer)


def refuse(one: Conversation, *, answered: int = 1) -> None:
    """Answer so many of a flight's requests, and call what came with them a bad one."""
    in_flight = 0
    while request := one.next():
        in_flight = in_flight + 1 if one.has_more() or in_flight else 0
        if in_flight > answered:
            one.reply({"message": "one at a time, please"}, 400, close=True)
            return
        one.reply(request.answer)


def refuse_late(one: Conversation) -> None:
    """Answer one request, and think before what came with it is called a bad one."""
    while request := one.next():
        came_with_it = one.has_more()
        one.reply(request.answer)
        linger(0.05)
        if came_with_it:
            one.reply({"message": "one at a time, please"}, 400, close=True)
            return


def refuse_and_reset(one: Conversation) -> None:
    """Answer one request, and end amid the refusal of what came with it, which is unread."""
    one.leave_the_rest()
    while request := one.next():
        came_with_it = one.has_more()
        one.reply(request.answer)
        if came_with_it:
            one.sock.sendall(b"HTTP/1.0 400 Bad request\r\nConnection: close\r\n\r\nOne at a ti")
            return


@pytest.mark.slow
@pytest.mark.parametrize("talk", [swallow, refuse, refuse_late, refuse_and_reset])
def test_a_proxy_that_takes_one_request_at_a_time_is_asked_so(serve: Serve, talk: Talk) -> None:
    served = serve(talk)
    assert is_whole(look(served, 8))
    before = len(served.conversations)
    assert is_whole(look(served, 8))
    assert len(served.conversations) == before


@pytest.mark.parametrize("answered", range(1, 1 + len(ALL)))
def test_a_refusal_amid_a_flight_is_no_answer_to_what_was_asked(
    serve: Serve, answered: int
) -> None:
    served = serve(partial(refuse, answered=answered))
    assert is_whole(look(served))
    first, second = served.asked
    assert first[: answered - 1] + second == ALL


def test_an_engine_that_takes_no_request_without_a_version_is_asked_with_one(
    serve: Serve,
) -> None:
    def talk(one: Conversation) -> None:
        for request in one:
            if not request.version and request.path != "/_ping":
                one.reply({"message": "page not found"}, 404)
            else:
                one.reply(request.answer)

    served = serve(talk)
    assert is_whole(look(served))
    assert served.asked == [ALL * 2]


@pytest.mark.parametrize(
    "edition", [Edition(), Edition(version="29.0.0", api="1.52", oldest_api="1.44")]
)
def test_engines_that_share_no_version_are_both_read(tmp_path: Path, edition: Edition) -> None:
    with embedded(tmp_path / "docker.sock", Swarm("one"), edition=edition) as host:
        for _ in range(2):
            seen = observe(Context(server="s", host=host), 60)
            assert (seen.error, seen.manager) == ("", True)
        TRANSPORT.close()


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/info", "/secrets"])
def test_a_trickling_answer_runs_into_the_deadline(serve: Serve, path: str) -> None:
    over = threading.Event()

    def talk(one: Conversation) -> None:
        for request in one:
            if request.path == path:
                for byte in encoded(request.answer):
                    one.sock.sendall(bytes([byte]))
                    linger(0.05)
                    if over.is_set():
                        return
            one.reply(request.answer)

    served = serve(talk)
    assert "no answer within 0.5 s" in look(served, 0.5).error
    with pytest.raises(UnreachableError, match=r"no answer within 0\.5 s"):
        Engine(Context(server="s", host=served.host), seconds=0.5)._read(path)
    over.set()


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport()
    yield made
    made.close()


def test_a_write_whose_connection_breaks_is_never_sent_again(
    serve: Serve, transport: Transport
) -> None:
    def talk(one: Conversation) -> None:
        for request in one:
            if request.method == "POST":
                return
            one.reply(request.answer)

    served = serve(talk)
    engine = Engine(Context(server="s", host=served.host), seconds=60, transport=transport)
    for _ in range(2):
        engine.secrets()
        before = served.sent("POST")
        with pytest.raises(UnreachableError, match="connection was lost"):
            engine.create_secret("a", b"value", {})
        assert served.sent("POST") == before + 1


def test_a_read_whose_kept_connection_is_dead_is_sent_once_more(
    serve: Serve, transport: Transport
) -> None:
    def talk(one: Conversation) -> None:
        for request in one:
            if request.path == "/secrets" and one.number == 0 and len(one.asked) > 2:
                return
            one.reply(request.answer)

    served = serve(talk)
    engine = Engine(Context(server="s", host=served.host), seconds=60, transport=transport)
    assert [len(engine.secrets()), len(engine.secrets())] == [1, 1]
    assert served.asked == [["/secrets", "/secrets"], ["/secrets"]]


def test_reads_and_writes_go_on_behind_connections_that_are_closed(
    serve: Serve, transport: Transport
) -> None:
    def talk(one: Conversation) -> None:
        for request in one:
            created = request.method == "POST"
            one.reply({"ID": "s2"} if created else request.answer, 201 if created else 200,
                      close=request.path != "/_ping")  # fmt: skip
            if request.path != "/_ping":
                return

    served = serve(talk)
    engine = Engine(Context(server="s", host=served.host), seconds=60, transport=transport)
    assert engine.create_secret("a", b"value", {}) == "s2"
    assert engine.info().name == INFO["Name"]
    assert engine.create_secret("a", b"value", {}) == "s2"
    assert served.sent("POST") == 2


def test_a_refusal_leaves_the_connection_in_use_and_shows_no_value(
    serve: Serve, transport: Transport
) -> None:
    def talk(one: Conversation) -> None:
        for request in one:
            if request.method == "POST":
                one.reply({"message": "rpc error: code = AlreadyExists desc = taken"}, 409)
            else:
                one.reply(request.answer)

    served = serve(talk)
    engine = Engine(Context(server="s", host=served.host), seconds=60, transport=transport)
    with pytest.raises(AlreadyExistsError, match=r"^s: taken$") as refused:
        engine.create_secret("a", b"open sesame", {})
    assert refused.value.__cause__ is None
    assert engine.info().name == INFO["Name"]
    assert len(served.conversations) == 1


def test_many_threads_share_four_connections(serve: Serve, transport: Transport) -> None:
    def talk(one: Conversation) -> None:
        for request in one:
            one.reply(request.answer)

    served = serve(talk)
    engine = Engine(Context(server="s", host=served.host), seconds=60, transport=transport)
    with ThreadPoolExecutor(12) as threads:
        names = list(threads.map(lambda _: engine.info().name, range(48)))
    assert names == [INFO["Name"]] * 48
    assert len(served.conversations) <= 4


def test_what_comes_unasked_is_no_answer_to_the_next_request(
    serve: Serve, transport: Transport
) -> None:
    def talk(one: Conversation) -> None:
        for request in one:
            unasked = encoded({"Name": "unasked"}) if request.path == "/secrets" else b""
            one.sock.sendall(encoded(request.answer) + unasked)

    served = serve(talk)
    engine = Engine(Context(server="s", host=served.host), seconds=60, transport=transport)
    assert len(engine.secrets()) == 1
    assert engine.info().name == INFO["Name"]


@pytest.mark.parametrize("target", ["/v1.41/info", "http://elsewhere.example/"])
def test_nothing_is_followed_elsewhere(serve: Serve, transport: Transport, target: str) -> None:
    def talk(one: Conversation) -> None:
        for request in one:
            if request.path == "/_ping":
                one.reply(b"OK")
            else:
                head = f"HTTP/1.1 307 Gone\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
                one.sock.sendall(head.encode())

    served = serve(talk)
    engine = Engine(Context(server="s", host=served.host), seconds=60, transport=transport)
    for call in (lambda: engine.remove_secret("s1"), engine.info):
        with pytest.raises(RefusedError, match="sends opskit elsewhere"):
            call()
    assert served.sent("DELETE") == 1
    assert "not what a Docker Engine sends" in look(served).error


@pytest.mark.parametrize("config", ["[]", '{"auths": {"r": {"auth": "%%"}}}', '{"auths": 3}'])
def test_a_damaged_configuration_of_the_docker_client_is_named(
    serve: Serve, transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str
) -> None:
    def talk(one: Conversation) -> None:
        for request in one:
            one.reply(request.answer)

    (tmp_path / "config.json").write_text(config)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    engine = Engine(Context(server="s", host=serve(talk).host), seconds=60, transport=transport)
    with pytest.raises(InputError, match=r"config\.json: .* is damaged"):
        engine.info()
