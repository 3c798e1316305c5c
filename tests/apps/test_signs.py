"""Whether an address answers: asked once, and nowhere else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from opskit.apps.signs import ask


class Door(BaseHTTPRequestHandler):
    """Answers with the status that the server was given, and notes who came with what."""

    def do_GET(self) -> None:
        self.server.came.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def door() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Door) as server:
        server.came = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "tone", "words"),
    [
        (200, "good", "answers with status 200"),
        (302, "good", "answers with status 302 and leads elsewhere"),
        (401, "good", "answers with status 401"),
        (404, "warn", "answers with status 404: nothing is there, or the proxy does not know it"),
        (502, "bad", "answers with status 502: a fault"),
    ],
)
def test_an_answer_is_told_and_followed_nowhere(
    door: HTTPServer, status: int, tone: str, words: str
) -> None:
    door.status = status  # type: ignore[attr-defined]
    answer = ask(f"http://127.0.0.1:{door.server_port}/")
    assert (answer.text, answer.tone) == (words, tone)
    ((path, headers),) = door.came  # type: ignore[attr-defined]
    assert path == "/"
    assert not {"cookie", "authorization", "referer"} & {name.lower() for name in headers}


def test_what_does_not_answer_says_why() -> None:
    with socket.socket() as mine:
        # Bound, so that nobody else gets it, and not listening.
        mine.bind(("127.0.0.1", 0))
        answer = ask(f"http://127.0.0.1:{mine.getsockname()[1]}/")
    assert answer.text == "does not answer: Connection refused"
    assert ask("https://no-such-host.invalid/").tone == "bad"
