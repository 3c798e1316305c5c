"""What an engine's refusal means."""

from __future__ import annotations

import json

import pytest

from opskit.demo.engine.objects import REFUSALS
from opskit.errors import (
    AlreadyExistsError,
    EngineError,
    InUseError,
    NotFoundError,
    NotManagerError,
    RefusedError,
    StaleIndexError,
)
from opskit.swarm.refusal import refusal

RPC = "rpc error: code = X desc = "


@pytest.mark.parametrize(
    ("status", "text", "kind", "says"),
    [
        (409, RPC + "secret a already exists", AlreadyExistsError, "secret a already exists"),
        (400, RPC + "secret 'a' is in use by the following service: w", InUseError, "service: w"),
        (500, RPC + "update out of sequence", StaleIndexError, "out of sequence"),
        (404, "secret a not found", NotFoundError, "not found"),
        (503, REFUSALS["worker"], NotManagerError, "worker"),
        (503, REFUSALS["none"], NotManagerError, "not in a swarm"),
        (503, REFUSALS["locked"], NotManagerError, "docker --context one.example swarm unlock"),
        (503, REFUSALS["expired"], NotManagerError, "certificates have expired"),
        (503, REFUSALS["no-leader"], NotManagerError, "no leader"),
        (500, REFUSALS["no-leader"], NotManagerError, "no leader"),
        (403, "authorization denied by plugin", RefusedError, "denied"),
    ],
)
def test_status_and_text_decide(status: int, text: str, kind: type[EngineError], says: str) -> None:
    error = refusal(status, json.dumps({"message": text}).encode(), server="one.example")

    assert type(error) is kind
    assert str(error).startswith("one.example: ")
    assert says in str(error)


@pytest.mark.parametrize("body", [b"", b"<html>proxy</html>", b"\xff"])
def test_a_refusal_without_json_still_says_something(body: bytes) -> None:
    assert len(str(refusal(502, body, server="s"))) > len("s: ")
