"""Bare HTTP with an engine, and what its replies come down to when two engines are compared."""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

from opskit.demo.dockerd import IMAGE
from tests.waiting import eventually


@dataclass(frozen=True, slots=True)
class Said:
    """One exchange: the request, the status, and the refusal's text or the reply's shape.

    A `part` is a reply of which an embedded engine needs to give only a part.
    """

    asked: str
    status: int
    heard: Any
    part: bool = False


_ID = re.compile(r"\b(?:[0-9a-f]{64}|[0-9a-z]{25})\b")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self._path)


class Talk:
    """A conversation with one engine, written down."""

    def __init__(self, host: str, prefix: str) -> None:
        self._connection = _UnixConnection(host.removeprefix("unix://"))
        self.prefix = prefix
        self.said: list[Said] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._clean()
        self.close()

    def close(self) -> None:
        """End the conversation."""
        self._connection.close()

    def name(self, short: str) -> str:
        """Make a name no other test uses."""
        return f"{self.prefix}-{short}"

    def send(
        self, method: str, path: str, body: Any = None, *, label: str = "", part: bool = False
    ) -> Any:
        """Make one exchange and write it down, as `label` where the request differs by engine."""
        status, reply = self.ask(method, path, body)
        message = reply.get("message") if isinstance(reply, dict) else None
        heard = _ID.sub("<id>", message) if message else shape(reply)
        asked = label or f"{method} {path} {body or ''}"
        self.said.append(Said(_ID.sub("<id>", asked)[:300], status, heard, part))
        return reply

    def note(self, request: str, status: int, heard: Any) -> None:
        """Write down what must be the same on both engines."""
        self.said.append(Said(request, status, heard))

    def update(self, path: str, body: Any, **query: str) -> Any:
        """Update an object at its newest version index, and write it down."""
        index = self.ask("GET", path)[1]["Version"]["Index"]
        more = "".join(f"&{name}={value}" for name, value in query.items())
        label = f"update {path}{more} {body}"
        return self.send("POST", f"{path}/update?version={index}{more}", body, label=label)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Make one exchange off the record."""
        encoded = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if encoded is not None else {}
        self._connection.request(method, path, encoded, headers)
        reply = self._connection.getresponse()
        content = reply.read()
        if reply.getheader("Content-Type") != "application/json":
            return reply.status, content.decode("latin-1")
        return reply.status, json.loads(content) if content else None

    def until(self, path: str, ready: Callable[[Any], Any]) -> Any:
        """Ask off the record until a reply is as wanted, and give it."""
        return eventually(lambda: self.ask("GET", path)[1], f"{path} to be as wanted", ready)

    def secret(self, short: str) -> str:
        """Create a secret off the record and give its id."""
        return self.ask("POST", "/secrets/create", {"Name": self.name(short), "Data": b64(b"x")})[
            1
        ]["ID"]

    def config(self, short: str) -> str:
        """Create a config off the record and give its id."""
        return self.ask("POST", "/configs/create", {"Name": self.name(short), "Data": b64(b"x")})[
            1
        ]["ID"]

    def spec(self, short: str, container: Any = None, **more: Any) -> dict[str, Any]:
        """Make the spec of a small service."""
        return {
            "Name": self.name(short),
            "TaskTemplate": {
                "ContainerSpec": {"Image": IMAGE, "Args": ["sleep", "1000"], "StopGracePeriod": 0}
                | (container or {}),
                "RestartPolicy": {"Condition": "any", "Delay": 100_000_000},
            }
            | more.pop("task", {}),
        } | more

    def reference(self, ident: str, short: str, target: str = "t") -> dict[str, Any]:
        """Refer to a secret."""
        file = {"Name": target, "UID": "0", "GID": "0", "Mode": 0o444}
        return {"SecretID": ident, "SecretName": self.name(short), "File": file}

    def _clean(self) -> None:
        for kind in ("services", "secrets", "configs", "networks"):
            for one in self.ask("GET", f"/{kind}")[1]:
                name = one.get("Name") or one["Spec"]["Name"]
                if name.startswith(self.prefix):
                    self.ask("DELETE", f"/{kind}/{one.get('ID') or one['Id']}")


def shape(value: Any) -> Any:
    """Reduce JSON to its keys and types; a list to the shape of its first element."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def compared(embedded: list[Said], real: list[Said]) -> list[str]:
    """Say where two conversations differ."""
    found: list[str] = []
    for mine, theirs in zip(embedded, real, strict=True):
        assert mine.asked == theirs.asked, "the same is asked of both"
        parts = list(differences(mine.heard, theirs.heard, part=mine.part))
        if mine.status != theirs.status:
            parts = [f"{mine.status} {mine.heard!r} is {theirs.status} {theirs.heard!r} for real"]
        found += [f"{mine.asked}: {one}" for one in parts]
    return found


def differences(embedded: Any, real: Any, at: str = "", *, part: bool) -> Iterator[str]:
    """Say where an embedded reply is not a real one, or not a part of it."""
    if isinstance(embedded, dict) and isinstance(real, dict):
        for key, one in embedded.items():
            if key in real:
                yield from differences(one, real[key], f"{at}.{key}", part=part)
            else:
                yield f"{at}.{key} is new"
        for key in () if part else real.keys() - embedded.keys():
            yield f"{at}.{key} is missing"
    elif isinstance(embedded, list) and isinstance(real, list):
        if embedded and real:
            yield from differences(embedded[0], real[0], f"{at}[]", part=part)
    elif embedded != real and not (part and "NoneType" in (embedded, real)):
        yield f"{at}: {embedded!r} is {real!r} for real"


def b64(data: bytes) -> str:
    """Encode data as the API wants it."""
    return base64.b64encode(data).decode()


def filters(**wanted: list[str]) -> str:
    """Write filters as a query."""
    return "?filters=" + quote(json.dumps(wanted))
