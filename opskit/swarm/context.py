"""Which engine a server name means: Docker contexts, read as the docker CLI stores them.

A name without a context is an error: falling back to the local engine, as the CLI's libraries
do, would run an operation on the wrong swarm. What is left out of an address leads to another
engine too, so nothing of it is ever ignored: it is taken as the docker CLI takes it, or refused.
For the same reason it is not ``docker.context`` that reads here (7.2). Where ``DOCKER_CONFIG``
holds contexts and no ``config.json``, as after ``docker context create``, it takes those of
``~/.docker``: other engines under the same names. And it leaves an engine's certificate unchecked
where a context does not say so, and drops a CA that comes without a client's certificate.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from urllib.parse import unquote

import msgspec

from opskit.decoding import decode_json
from opskit.errors import ContextError, InputError
from opskit.files.bounded import read_regular

_CHAR = r"(?:[^\s:@/?#%]|%[0-9A-Fa-f]{2})"
_HOST = r"(?P<host>\[[^\]\s]+\]|[^\s:@/?#%\[\]]+)(?::(?P<port>\d*))?"
_SSH = re.compile(rf"(?i:ssh)://(?:(?P<user>{_CHAR}*)@)?{_HOST}(?P<path>(?:/(?:[/:@]|{_CHAR})*)?)")
_TCP = re.compile(rf"(?P<scheme>tcp|https?)://{_HOST}/?")
_UNIX = re.compile(r"unix://(?P<path>.+)", re.DOTALL)
_PASSWORD = re.compile(r"((?i:tcp|https?)://|://[^:@/?#]*:)[^/?#]*@")

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
    >>> from opskit.swarm.context import read_address
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


DEFAULT_SERVER = "default"
"""abra's name for the engine of this machine."""

_META_LIMIT = 1024**2
_LOCAL_SOCKET = "unix:///var/run/docker.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Files that authenticate a ``tcp://`` endpoint; an empty path means "not given"."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One engine's address: hashable, picklable, without secrets of its own."""

    server: str
    host: str
    tls: TlsFiles | None = None
    address: Address = field(init=False, repr=False, compare=False)
    """The parts of `host`."""

    def __post_init__(self) -> None:
        """Take the address apart.

        Raises
        ------
        ContextError
            It is of no kind that opskit reaches.
        """
        try:
            address = read_address(self.host)
        except ValueError:
            raise ContextError(
                f"the Docker host {without_password(self.host)!r} of server {self.server!r} has an "
                "address opskit cannot reach.",
                remedy=HOW_TO_WRITE_ONE,
            ) from None
        object.__setattr__(self, "address", address)


class _Endpoint(msgspec.Struct, rename="pascal"):
    host: str = ""
    skip_tls_verify: bool = msgspec.field(default=False, name="SkipTLSVerify")


class _Meta(msgspec.Struct, rename="pascal"):
    name: str
    endpoints: dict[str, _Endpoint] = msgspec.field(default_factory=dict[str, _Endpoint])


def docker_config_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the Docker client's configuration folder (``DOCKER_CONFIG``, else ``~/.docker``)."""
    configured = environ.get("DOCKER_CONFIG")
    return Path(configured).expanduser() if configured else Path.home() / ".docker"


def find_context(server: str, environ: Mapping[str, str] = os.environ) -> Context:
    """Find the engine behind a server name.

    Parameters
    ----------
    server
        A server as abra names it. Only ``default`` follows ``DOCKER_HOST`` and
        ``DOCKER_CONTEXT`` (in that order, as the docker CLI does) and ends at the local socket.
    environ
        Where the ``DOCKER_*`` variables are looked up.

    Raises
    ------
    ContextError
        No such context, or one that cannot be used.
    """
    name = server
    if server == DEFAULT_SERVER:
        if host := environ.get("DOCKER_HOST"):
            return Context(server=server, host=host, tls=_tls_from_environ(environ))
        name = environ.get("DOCKER_CONTEXT", "") or DEFAULT_SERVER
        if name == DEFAULT_SERVER:
            return Context(server=server, host=_LOCAL_SOCKET)
    digest = hashlib.sha256(name.encode()).hexdigest()
    store = docker_config_dir(environ) / "contexts"
    path = store / "meta" / digest / "meta.json"
    try:
        meta = decode_json(read_regular(path, _META_LIMIT), _Meta)
    except FileNotFoundError:
        raise ContextError(
            f"no Docker context named {name!r} in {store.parent}.",
            remedy=f"Create it: docker context create {quote(name)} --docker "
            f"{quote(f'host=ssh://{name}')}",
        ) from None
    except (OSError, InputError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ContextError(
            f"the Docker context {name!r} cannot be read ({error}).",
            path=path,
            remedy=f"Make it again: docker context rm -f {quote(name)}, "
            "then docker context create.",
        ) from error
    endpoint = meta.endpoints.get("docker")
    if endpoint is None or not endpoint.host:
        raise ContextError(
            f"the Docker context {name!r} names no docker host.",
            path=path,
            remedy=f"Mend it: docker context update {quote(name)} --docker "
            f"{quote(f'host=ssh://{name}')}",
        )
    tls = _tls_from_folder(store / "tls" / digest / "docker", verify=not endpoint.skip_tls_verify)
    return Context(server=server, host=endpoint.host, tls=tls)


def context_names(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the names of the Docker contexts that can be read, in order."""
    found: list[str] = []
    for path in (docker_config_dir(environ) / "contexts" / "meta").glob("*/meta.json"):
        with suppress(OSError, InputError, msgspec.MsgspecError, UnicodeDecodeError):
            found.append(decode_json(read_regular(path, _META_LIMIT), _Meta).name)
    return sorted(found)


def docker_arguments(server: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the arguments by which the docker CLI reaches the engine of `find_context`.

    Without any it would follow the context that was chosen last with ``docker context use``.
    """
    if server != DEFAULT_SERVER:
        return ["--context", server]
    if environ.get("DOCKER_HOST"):
        return []
    return ["--context", environ.get("DOCKER_CONTEXT") or DEFAULT_SERVER]


def ssh_target(context: Context) -> list[str]:
    """Return the ssh arguments that name the server: ``[-p PORT] [-l USER] -- HOST``."""
    address = context.address
    port = ["-p", str(address.port)] if address.port else []
    user = ["-l", address.user] if address.user else []
    return [*port, *user, "--", address.host]


def _tls_from_folder(folder: Path, *, verify: bool) -> TlsFiles | None:
    files = {name: folder / f"{name}.pem" for name in ("ca", "cert", "key")}
    found = {name: str(path) for name, path in files.items() if path.is_file()}
    if not found:
        return None
    return TlsFiles(**found, verify=verify)


def _tls_from_environ(environ: Mapping[str, str]) -> TlsFiles | None:
    verify = bool(environ.get("DOCKER_TLS_VERIFY"))
    if not verify and not environ.get("DOCKER_TLS"):
        return None
    folder = Path(environ.get("DOCKER_CERT_PATH") or docker_config_dir(environ))
    return _tls_from_folder(folder, verify=verify) or TlsFiles(verify=verify)
