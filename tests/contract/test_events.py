"""What an engine tells of what happens, held against the embedded and a real one alike."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from tests.contract.conftest import Bench
from tests.waiting import LIMIT, eventually

Heard = list[dict[str, Any]]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT)
        self.sock.connect(self._path)


@contextmanager
def events(bench: Bench, **filters: list[str]) -> Iterator[Heard]:
    """Collect the events that pass these filters, as long as the block lasts."""
    connection = _UnixConnection(bench.context.host.removeprefix("unix://"))
    connection.request("GET", f"/v1.41/events?filters={quote(json.dumps(filters))}")
    # An engine answers at once, before there is any event.
    reply = connection.getresponse()
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    sock, heard = connection.sock, Heard()

    def listen() -> None:
        for line in reply:
            heard.append(json.loads(line))

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        yield heard
    finally:
        sock.shutdown(socket.SHUT_RDWR)
        listener.join(LIMIT)
        reply.close()
        connection.close()


def told(heard: Heard, bench: Bench) -> list[tuple[str, str, str]]:
    """Name what was told of a test's own things: kind, what happened, and how far it is known."""
    return [
        (one["Type"], one["Action"], one["scope"])
        for one in heard
        if one["Actor"]["Attributes"].get("name", "").startswith(bench.prefix)
    ]


@pytest.mark.parametrize("noun", ["secret", "config"])
def test_of_secrets_and_configs_every_change_is_told(bench: Bench, noun: str) -> None:
    engine, name = bench.engine, bench.name("a")
    with events(bench, type=[noun]) as heard:
        made = getattr(engine, f"create_{noun}")(name, b"data", {})
        (stored,) = getattr(engine, f"{noun}s")(name)
        if noun == "secret":
            engine.label_secret(stored, {"a": "b"})
        else:
            engine.label_config(stored, b"data", {"a": "b"})
        getattr(engine, f"remove_{noun}")(made)
        eventually(lambda: told(heard, bench), "three events", lambda found: len(found) == 3)
    assert told(heard, bench) == [(noun, what, "swarm") for what in ("create", "update", "remove")]
    assert {one["Actor"]["ID"] for one in heard} == {made}


def test_of_a_service_every_change_is_told_and_its_tasks_by_their_containers(bench: Bench) -> None:
    with events(bench) as heard:
        made = bench.raw("POST", "/services/create", msgspec.json.encode(bench.service("web")))
        ident = json.loads(made.body)["ID"]

        def of_tasks(action: str) -> Callable[[], list[dict[str, Any]]]:
            return lambda: [
                one
                for one in heard
                if (one["Type"], one["Action"], one["scope"]) == ("container", action, "local")
                and one["Actor"]["Attributes"].get("com.docker.swarm.service.id") == ident
                and one["Actor"]["Attributes"]["com.docker.swarm.task.id"]
            ]

        eventually(of_tasks("start"), "a container to start")
        raw = bench.engine.raw_service(ident)
        raw.spec["Labels"] = {"a": "b"}
        bench.engine.update_service(ident, raw.service.version.index, raw.spec)
        bench.engine.remove_service(ident)
        eventually(of_tasks("die"), "its container to end")
        eventually(of_tasks("destroy"), "its container to go")
        eventually(lambda: ("service", "remove", "swarm") in told(heard, bench), "its removal")
    found = told(heard, bench)
    assert next(what for kind, what, _ in found if kind == "service") == "create"
    assert ("service", "update", "swarm") in found


def test_of_an_overlay_network_is_told_that_it_comes_and_goes(bench: Bench) -> None:
    spec = {"Name": bench.name("net"), "Driver": "overlay"}
    with events(bench, type=["network"]) as heard:
        made = bench.raw("POST", "/networks/create", json.dumps(spec).encode())
        bench.raw("DELETE", f"/networks/{json.loads(made.body)['Id']}")
        gone = ("network", "remove", "swarm")
        eventually(lambda: told(heard, bench), "its end", lambda found: gone in found)
    # In between Swarm may tell that it was given an address.
    assert told(heard, bench)[0] == ("network", "create", "swarm")


def test_of_a_volume_is_told_that_it_comes_and_goes(bench: Bench) -> None:
    name = bench.name("volume")
    with events(bench, type=["volume"], event=["create", "destroy"]) as heard:
        bench.raw("POST", "/volumes/create", json.dumps({"Name": name}).encode())
        bench.raw("DELETE", f"/volumes/{name}")

        def mine() -> list[tuple[str, str]]:
            return [(one["Action"], one["scope"]) for one in heard if one["Actor"]["ID"] == name]

        wanted = [("create", "local"), ("destroy", "local")]
        eventually(mine, "both", lambda found: found == wanted)


def test_only_what_passes_the_filters_is_told(bench: Bench) -> None:
    engine, name = bench.engine, bench.name("a")
    with events(bench, type=["secret", "config"], event=["remove"]) as heard:
        engine.remove_secret(engine.create_secret(name, b"data", {}))
        engine.remove_config(engine.create_config(name, b"data", {}))
        eventually(lambda: told(heard, bench), "both", lambda found: len(found) == 2)
    assert told(heard, bench) == [("secret", "remove", "swarm"), ("config", "remove", "swarm")]


def test_a_filter_that_there_is_not_lets_everything_pass(bench: Bench) -> None:
    with events(bench, colour=["blue"]) as heard:
        bench.engine.remove_secret(bench.engine.create_secret(bench.name("a"), b"data", {}))
        eventually(lambda: told(heard, bench), "both", lambda found: len(found) == 2)


def test_of_a_rollout_is_told_that_it_begins_and_that_it_has_ended(bench: Bench) -> None:
    bench.raw("POST", "/services/create", msgspec.json.encode(bench.service("web")))
    (service,) = (one for one in bench.engine.services() if one.spec.name == bench.name("web"))
    with events(bench, type=["service"], event=["update"]) as heard:
        raw = bench.engine.raw_service(service.id)
        raw.spec["TaskTemplate"]["ForceUpdate"] = 1
        bench.engine.update_service(service.id, raw.service.version.index, raw.spec)

        def state() -> str:
            status = bench.engine.raw_service(service.id).service.update_status
            return status.state if status else ""

        eventually(state, "the rollout to end", lambda found: found == "completed")
        # Of the new spec, of the beginning, and of the end.
        eventually(lambda: told(heard, bench), "all of it", lambda found: len(found) >= 3)
