"""How long a connection that was kept is waited for."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from opskit.errors import UnreachableError
from opskit.swarm.connection import Connection, Patience, SilentError
from opskit.swarm.stream import Deadline, Stream

PONG = b"HTTP/1.1 200 OK\r\nApi-Version: 1.47\r\nContent-Length: 2\r\n\r\nOK"


@pytest.fixture
def ends() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection, and the end of it where an engine would be."""
    ours, theirs = socket.socketpair()
    with theirs:
        connection = Connection(Stream(ours, Deadline(60, "s")))
        yield connection, theirs
        connection.close()


@pytest.mark.parametrize(
    ("answers", "is_vain"),
    [
        pytest.param(True, False, id="the engine is slow"),
        pytest.param(True, True, id="it answers while the server is tried"),
        pytest.param(False, True, id="nobody answers"),
    ],
)
def test_only_a_way_that_is_vain_and_silent_is_given_up(
    ends: tuple[Connection, socket.socket], answers: bool, is_vain: bool
) -> None:
    connection, engine = ends

    def found() -> bool:
        if answers:
            engine.sendall(PONG)
        return is_vain

    patience = Patience(until=Deadline(0.05, "s"), is_vain=found)
    if answers:
        connection.greet(Deadline(60, "s"), patience=patience)
        assert connection.api == "1.47"
    else:
        with pytest.raises(SilentError):
            connection.greet(Deadline(60, "s"), patience=patience)


def test_who_answers_or_hangs_up_in_time_is_not_tried(
    ends: tuple[Connection, socket.socket],
) -> None:
    connection, engine = ends
    patience = Patience(until=Deadline(60, "s"), is_vain=pytest.fail)
    engine.sendall(PONG)
    connection.greet(Deadline(60, "s"), patience=patience)
    engine.close()
    with pytest.raises(UnreachableError) as refused:
        connection.greet(Deadline(60, "s"), patience=patience)
    assert not isinstance(refused.value, SilentError)
