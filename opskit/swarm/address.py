"""Where an engine listens: an address taken as the docker CLI takes it, or refused.

What is left out of an address leads to another engine, so nothing of it is ever ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

_CHAR = r"(?:[^\s:@/?#%]|%[0-9A-Fa-f]{2})"
_HOST = r"(?P<host>\[[^\]\s]+\]|[^\s:@/?#%\[\]]+)(?::(?P<port>\d*))?"
_SSH = re.compile(rf"(?i:ssh)://(?:(?P<user>{_CHAR}*)@)?{_HOST}(?P<path>(?:/(?:[/:@]|{_CHAR})*)?)")
_TCP = re.compile(rf"(?P<scheme>tcp|https?)://{_HOST}/?")
_UNIX = re.compile(r"unix://(?P<path>.+)", re.DOTALL)
_PASSWORD = re.compile(r"(://[^:@/?#]*:)[^/?#]*@")

HOW_TO_WRITE_ONE = (
    "Use ssh://HOST, ssh://USER@HOST:PORT, ssh://HOST/PATH/TO/docker.sock, unix://PATH or "
    "tcp://HOST:PORT."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An engine's address, in its parts.

    The host of an ``ssh`` address may be an alias, in which capitals count; its path is that of
    a socket over there. The path of a ``unix`` address is that of a socket here.
    """

    scheme: str
    host: str = ""
    port: int | None = None
    user: str = ""
    path: str = ""


def read_address(text: str) -> Address:
    """Read an address.

    Raises
    ------
    ValueError
        It is of no kind that opskit reaches, or says more than the kind can.

    Examples
    --------
    >>> from opskit.swarm.address import read_address
    >>> read_address("ssh://first.last%40corp.example@WebOne/run/docker.sock").user
    'first.last@corp.example'
    """
    if found := _UNIX.fullmatch(text):
        return Address(scheme="unix", path=found["path"])
    if found := _TCP.fullmatch(text):
        return Address(scheme=found["scheme"], host=_host(found), port=_port(found))
    if found := _SSH.fullmatch(text):
        path = unquote(found["path"])
        return Address(
            scheme="ssh",
            host=_host(found),
            port=_port(found),
            user=unquote(found["user"] or ""),
            path=path if path.strip("/") else "",
        )
    raise ValueError(f"{text!r} is no address of an engine")


def without_password(text: str) -> str:
    """Return an address as it may be shown."""
    return _PASSWORD.sub(r"\1…@", text)


def _host(found: re.Match[str]) -> str:
    host = found["host"]
    return unquote(host[1:-1]) if host.startswith("[") else host


def _port(found: re.Match[str]) -> int | None:
    if not found["port"]:
        return None
    port = int(found["port"])
    if not 0 < port < 65536:
        raise ValueError(f"{port} is no port")
    return port
