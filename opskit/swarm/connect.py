"""Direct connections: unix sockets, and TCP with the TLS material of the Docker context."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
from shlex import quote

from opskit.errors import InputError, UnreachableError
from opskit.swarm.context import Context
from opskit.swarm.stream import Deadline, Stream

_KEEP_ALIVE_S = 30
_USUAL_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")


def connect(context: Context, deadline: Deadline) -> Stream:
    """Connect to a ``unix://``, ``tcp://``, ``http://`` or ``https://`` engine.

    Raises
    ------
    UnreachableError
        Nobody answers there, or not in time.
    """
    try:
        if context.address.scheme == "unix":
            return _connect_unix(context.address.path, deadline)
        return _connect_tcp(context, deadline)
    except TimeoutError as error:
        raise deadline.passed("connecting") from error
    except ssl.SSLError as error:
        raise UnreachableError(
            f"the TLS handshake with {context.host} failed ({error.reason or error}).",
            server=context.server,
            remedy="Check the certificates of the Docker context.",
        ) from error
    except OSError as error:
        raise UnreachableError(
            f"cannot connect to {context.host} ({error.strerror or error}).",
            server=context.server,
            remedy=_remedy(context, error),
        ) from error


def _remedy(context: Context, error: OSError) -> str:
    if text := out_of_files(error):
        return text.lstrip()
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            "You may not use Docker here. Join its group, then log in anew: "
            'sudo usermod -aG docker "$USER"'
        )
    if context.address.path in _USUAL_SOCKETS:
        return "Is Docker running there? Start it: sudo systemctl start docker"
    return (
        "Is Docker running there? Else check its address: "
        f"docker context inspect {quote(context.server)}"
    )


def out_of_files(error: OSError) -> str:
    """Return what to do when it is this process that has too many files open; else nothing."""
    if error.errno not in (errno.EMFILE, errno.ENFILE):
        return ""
    return (
        " Each server takes a few open files: raise their limit (ulimit -n 65536), or read fewer."
    )


def _connect_unix(path: str, deadline: Deadline) -> Stream:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(deadline.remaining("connecting"))
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return Stream(sock, deadline)


def _connect_tcp(context: Context, deadline: Deadline) -> Stream:
    address = context.address
    tls = context.tls is not None or address.scheme == "https"
    port = address.port or (2376 if tls else 2375)
    sock = _connect_any(_resolve(address.host, port, deadline), deadline)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # What only listens would else never learn that the other side is gone.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
            if hasattr(socket, option):  # macOS lacks one
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), _KEEP_ALIVE_S)
        if tls:
            sock.settimeout(deadline.remaining("the TLS handshake"))
            sock = _tls_context(context).wrap_socket(sock, server_hostname=address.host)
    except BaseException:
        sock.close()
        raise
    return Stream(sock, deadline)


_Address = tuple[
    int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
]


def _resolve(host: str, port: int, deadline: Deadline) -> list[_Address]:
    """Look a name up in a thread of its own, since a lookup cannot be interrupted."""
    answer: list[list[_Address] | OSError] = []

    def look_up() -> None:
        try:
            answer.append(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except OSError as error:
            answer.append(error)
        except UnicodeError:
            answer.append(OSError(f"{host!r} is not a host's name"))

    worker = threading.Thread(target=look_up, name=f"resolve {host}", daemon=True)
    worker.start()
    worker.join(deadline.remaining("resolving its name"))
    if not answer:
        raise deadline.passed("resolving its name")
    if isinstance(answer[0], OSError):
        raise answer[0]
    return answer[0]


def _connect_any(addresses: list[_Address], deadline: Deadline) -> socket.socket:
    failure: OSError | None = None
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(deadline.remaining("connecting"))
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure or OSError("the name has no address")


def _tls_context(context: Context) -> ssl.SSLContext:
    files = context.tls
    made = ssl.create_default_context()
    # From Python 3.13 on it would refuse certificates made as Docker's own guide makes them.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if files is None:
        return made
    try:
        if files.ca:
            made.load_verify_locations(files.ca)
        if files.cert and files.key:
            made.load_cert_chain(files.cert, files.key)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"the TLS files of the Docker context {context.server!r} cannot be used ({error}).",
            remedy="Make the context again with docker context update --docker ca=,cert=,key=.",
        ) from error
    if not files.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made
