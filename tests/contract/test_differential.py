"""The same requests to both engines: status, words and shape of the replies must agree."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from opskit.demo.dockerd import DockerdFleet
from opskit.demo.image import IMAGE
from opskit.swarm.context import Context
from opskit.swarm.transport import Transport
from tests.contract.conftest import Bench, _clean

pytestmark = pytest.mark.swarm

DATA = base64.b64encode(b"x").decode()

REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", "/secrets", None),
    ("POST", "/secrets/create", {"Name": "P_a_v1", "Data": DATA, "Labels": {"k": "v"}}),
    ("POST", "/secrets/create", {"Name": "P_a_v1", "Data": DATA}),
    ("POST", "/secrets/create", {"Name": "P_b"}),
    ("POST", "/secrets/create", {"Name": "P bad", "Data": DATA}),
    ("POST", "/secrets/create", {"Data": DATA}),
    ("GET", "/secrets/P_a_v1", None),
    ("GET", "/secrets/P_none", None),
    ("DELETE", "/secrets/P_none", None),
    ("POST", "/secrets/P_a_v1/update?version=1", {"Name": "P_a_v1"}),
    ("GET", '/secrets?filters={"name":["P_a"]}', None),
    ("POST", "/configs/create", {"Name": "P_c", "Data": DATA}),
    ("POST", "/configs/create", {"Name": "P_c", "Data": DATA}),
    ("GET", "/configs/P_c", None),
    ("DELETE", "/configs/P_none", None),
    ("POST", "/services/create", {"Name": "P_w", "TaskTemplate": {"ContainerSpec": {}}}),
    (
        "POST",
        "/services/create",
        {"Name": "P_w", "TaskTemplate": {"ContainerSpec": {"Image": IMAGE}}},
    ),
    (
        "POST",
        "/services/create",
        {"Name": "P_w", "TaskTemplate": {"ContainerSpec": {"Image": IMAGE}}},
    ),
    (
        "POST",
        "/services/create",
        {
            "Name": "P_x",
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": IMAGE,
                    "Secrets": [{"SecretID": "none", "SecretName": "none", "File": {"Name": "f"}}],
                }
            },
        },
    ),
    (
        "POST",
        "/services/P_w/update?version=1",
        {"Name": "P_w", "TaskTemplate": {"ContainerSpec": {"Image": IMAGE}}},
    ),
    ("GET", "/services/P_none", None),
    ("DELETE", "/services/P_none", None),
    ("GET", "/nowhere", None),
    ("DELETE", "/services/P_w", None),
    ("DELETE", "/secrets/P_a_v1", None),
    ("DELETE", "/configs/P_c", None),
]


@pytest.fixture
def both(real_fleet: DockerdFleet, embedded_host: str) -> Iterator[tuple[Bench, Bench]]:
    transport = Transport()
    benches = tuple(
        Bench(Context(server="test", host=host), transport, "pdiff")
        for host in (embedded_host, real_fleet.host("srv2"))
    )
    yield benches
    for bench in benches:
        _clean(bench)
    transport.close()


def shape(value: Any) -> Any:
    """Reduce JSON to its keys and types; lists to the shape of their first element."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def said(body: bytes) -> Any:
    decoded = json.loads(body or b"null")
    if isinstance(decoded, dict) and set(decoded) == {"message"}:
        return decoded["message"]
    return shape(decoded)


def test_both_engines_answer_alike(both: tuple[Bench, Bench]) -> None:
    different: list[str] = []
    for method, path, body in REQUESTS:
        encoded = None if body is None else json.dumps(body).replace("P_", "pdiff_").encode()
        encoded = encoded.replace(b"P bad", b"pdiff bad") if encoded else None
        target = path.replace("P_", "pdiff_").replace('"', "%22").replace("{", "%7B")
        replies = [b.raw(method, target.replace("}", "%7D"), encoded) for b in both]
        embedded, real = ((r.status, said(r.body)) for r in replies)
        if embedded != real and not _only_richer(embedded, real):
            different.append(f"{method} {path}\n  embedded {embedded}\n  dockerd  {real}")
    assert not different, "\n".join(different)


def _only_richer(embedded: tuple[int, Any], real: tuple[int, Any]) -> bool:
    """A real engine may fill in more fields; it may not answer otherwise."""
    return embedded[0] == real[0] and _within(embedded[1], real[1])


def _within(small: Any, large: Any) -> bool:
    if isinstance(small, dict) and isinstance(large, dict):
        return all(key in large and _within(one, large[key]) for key, one in small.items())
    if isinstance(small, list) and isinstance(large, list):
        return not small or not large or _within(small[0], large[0])
    return small == large


@pytest.mark.parametrize("path", ["/info", "/nodes", "/networks", "/version", "/swarm"])
def test_what_the_embedded_engine_says_is_part_of_what_a_real_one_says(
    both: tuple[Bench, Bench], path: str
) -> None:
    embedded, real = (json.loads(bench.raw("GET", path).body) for bench in both)
    embedded, real = (_first(one) for one in (embedded, real))

    missing = _missing(shape(embedded), shape(real))
    assert not missing


def _first(value: Any) -> Any:
    return next(
        (one for one in value if one.get("Name") in (None, "ingress")), value[0]
    ) if isinstance(value, list) else value  # fmt: skip


def _missing(small: Any, large: Any, at: str = "") -> list[str]:
    if isinstance(small, dict) and isinstance(large, dict):
        return [
            line
            for key, one in small.items()
            for line in (
                _missing(one, large[key], f"{at}.{key}") if key in large else [f"{at}.{key}"]
            )
        ]
    same = small == large or "NoneType" in (small, large) or [] in (small, large)
    return [] if same or isinstance(small, list) else [f"{at}: {small} is {large} for real"]


def test_a_version_too_new_is_refused_in_the_same_words(both: tuple[Bench, Bench]) -> None:
    texts = set()
    for bench in both:
        with bench.transport.channel(bench.context, _deadline()) as (channel, _):
            reply = channel.exchange("GET", "/v1.99/info", None, _deadline())
        texts.add(re.sub(rb"\s+", b" ", reply.body))
        assert reply.status == 400
    assert len(texts) == 1


def _deadline() -> Any:
    from opskit.swarm.deadline import Deadline

    return Deadline(10, "test")
