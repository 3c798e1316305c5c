"""The ssh connections that all channels to a server share, kept warm between commands.

OpenSSH itself keeps them (ControlMaster, ControlPersist): there is no daemon of opskit's. Their
sockets lie in one private folder of the user, for commands and kernels alike. Where there is no
such folder, or none is to be kept, they lie in one of this process and end with it.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Collection, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from opskit.errors import MissingToolError, UnreachableError
from opskit.files.temporary import Folder
from opskit.settings import read_settings
from opskit.swarm.connect import out_of_files
from opskit.swarm.context import Context, ssh_target
from opskit.swarm.sockets import LONGEST_NAME, make_folder, present_folders
from opskit.swarm.stream import Deadline

_ORPHAN_SECONDS = 60
"""How long a master of this process's own outlives its last channel, should it be killed."""

_NAME_BYTES = LONGEST_NAME // 2
_ANSWER_S = 2.0
"""What a master on this machine may take to answer."""
_POLL_S = 0.02
_OLD_S = 86_400.0

_Identity = tuple[int, int, int]
"""Of a socket: its device, its number there, which another one may get later, and its age."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """The way to a server, over a connection that other channels share.

    Parameters
    ----------
    options
        What ssh is to be called with.
    control
        The socket of the connection's master.
    master
        The identity of the master, if it was there before. What is behind it may be gone: ssh
        notices a network that died only after half a minute.
    """

    options: tuple[str, ...]
    control: Path
    master: _Identity | None

    def retire(self) -> None:
        """Let the master take no further channels; it ends when those that it has do.

        Another one that is in its place by now is left alone.
        """
        # As long as another process that does the same may take.
        with _turn(self.control.with_suffix(".lock"), Deadline(2 * _ANSWER_S)) as is_alone:
            if is_alone and _identity(self.control) == self.master:
                _tell(self.control, "stop")
                # It may have done so itself, and an ssh that waited no longer have come.
                if _identity(self.control) == self.master:
                    self.control.unlink(missing_ok=True)


class SshMasters:
    """The masters that this process uses.

    Parameters
    ----------
    keep
        Minutes that they stay, see ``ssh_keep`` in the settings, which say it by default.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._given = keep
        self._own: Folder | None = None
        self._pid = 0
        self._lock = threading.Lock()

    @contextmanager
    def way(self, context: Context, deadline: Deadline) -> Generator[Way]:
        """Give the way to a server; while it has no master yet, to one process at a time.

        Raises
        ------
        MissingToolError
            No ``ssh`` program here.
        UnreachableError
            It cannot be started.
        """
        try:
            with ExitStack() as opened:
                way = self._way(context, deadline, opened)
                held = opened.pop_all()
        except OSError as error:
            raise not_started(error, context) from error
        with held:
            yield way

    def close(self) -> None:
        """End the masters that are this process's own."""
        with self._lock:
            own, self._own = self._own, None
        if own is not None and self._pid == os.getpid():
            for control in _controls(own.path):
                _tell(control, "exit")
            own.remove()

    @cached_property
    def _keep(self) -> int:
        return read_settings().ssh_keep if self._given is None else self._given

    def _way(self, context: Context, deadline: Deadline, held: ExitStack) -> Way:
        options = _options(self._keep)
        key = _server_key(context) + _options_key(context, options, deadline)
        control = self._folder() / key
        options = (*options, "-o", f"ControlPath={control}")
        if not (master := _master(control)):
            is_first = held.enter_context(_turn(control.with_suffix(".lock"), deadline))
            if master := _master(control):
                held.close()
            elif is_first:
                # Else ssh would, perhaps just when another one has put its own there.
                control.unlink(missing_ok=True)
                _sweep(control.parent)
        return Way(options=options, control=control, master=master)

    def _folder(self) -> Path:
        if self._keep and (kept := make_folder()):
            return kept
        with self._lock:
            if self._own is None or self._pid != os.getpid():
                # Not below TMPDIR, whose path may be too long.
                self._own, self._pid = Folder("ssh", "/tmp"), os.getpid()  # noqa: S108
                atexit.register(self.close)
            return self._own.path


def disconnect(contexts: Collection[Context] | None = None) -> tuple[int, list[Path]]:
    """End the connections that are kept: to these servers, else to all.

    Channels over them end, too, whoever uses them.

    Returns
    -------
    tuple
        How many have ended, and the sockets of those that go on all the same.
    """
    found = [one for folder in present_folders() for one in _controls(folder, contexts)]
    left = [control for control in found if not _is_ended(control)]
    return len(found) - len(left), left


def not_started(error: OSError, context: Context) -> UnreachableError:
    """Return the error for an ssh that cannot be started."""
    return UnreachableError(
        f"ssh cannot be started here ({error.strerror or error}).{out_of_files(error)}",
        server=context.server,
    )


def _controls(folder: Path, contexts: Collection[Context] | None = None) -> list[Path]:
    """Return the sockets in a folder at which masters listen: of these servers, else of all."""
    keys = ("",) if contexts is None else tuple(map(_server_key, contexts))
    return [one for one in folder.iterdir() if one.name.startswith(keys) and _listens(one)]


def _is_ended(control: Path) -> bool:
    """Tell a master to end, and return whether it does."""
    _tell(control, "exit")
    until = time.monotonic() + _ANSWER_S
    while (is_there := _listens(control)) and time.monotonic() < until:
        time.sleep(_POLL_S)
    return not is_there


def _sweep(folder: Path) -> None:
    """Remove what masters of this machine left that ended long ago: their locks, dead sockets."""
    for lock in folder.glob(f"{_machine_key()}*.lock"):
        # Another process may be sweeping, too.
        with suppress(OSError):
            _remove_if_dead(lock)


def _remove_if_dead(lock: Path) -> None:
    held = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        control = lock.with_suffix("")
        # Not old any more when somebody waits for it.
        if _locked(held) and _age(held) > _OLD_S and not _listens(control):
            control.unlink(missing_ok=True)
            lock.unlink()
    finally:
        os.close(held)


def _age(held: int) -> float:
    return time.time() - os.fstat(held).st_mtime


def _options(keep: int) -> tuple[str, ...]:
    settings = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "ControlMaster": "auto",
        # 0 would be for ever.
        "ControlPersist": keep * 60 or _ORPHAN_SECONDS,
        "ServerAliveInterval": 10,
        "ServerAliveCountMax": 3,
        # A connection that stays would hold on to their ports.
        "ClearAllForwardings": "yes",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "PermitLocalCommand": "no",
    }
    return tuple(word for key, value in settings.items() for word in ("-o", f"{key}={value}"))


def _server_key(context: Context) -> str:
    """Return what the names of a server's masters on this machine begin with."""
    address = context.address
    server = _digest(address.host, str(address.port), address.user)
    return _machine_key() + server[: _NAME_BYTES // 2]


def _machine_key() -> str:
    # A home may be shared between machines, whose sockets look dead to each other.
    return _digest(socket.gethostname())[: _NAME_BYTES // 2]


def _options_key(context: Context, options: tuple[str, ...], deadline: Deadline) -> str:
    """Return what tells apart masters that ssh would log in differently for.

    That is all that ssh makes of the options and of its configuration, and the agent: over one
    account, people with agents of their own are known to the server by their keys.
    """
    try:
        said = subprocess.run(
            ["ssh", "-G", *options, *ssh_target(context)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=deadline.remaining("reading ssh's configuration"),
            check=False,
        )
    except FileNotFoundError:
        raise MissingToolError(
            "the ssh program is not installed here. Install it: apt-get install openssh-client"
        ) from None
    except subprocess.TimeoutExpired:
        raise deadline.passed("reading ssh's configuration") from None
    # When it refuses the configuration, it will say so once more.
    return _digest(said.stdout.decode(errors="replace"), *_agent())


def _agent() -> tuple[str, ...]:
    """Return what tells apart agents, also those that a fixed link leads to by turns."""
    named = os.environ.get("SSH_AUTH_SOCK", "")
    try:
        status = Path(named).stat() if named else None
    except OSError:
        status = None
    return tuple(map(str, _identity_in(status))) if status else (named,)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_NAME_BYTES]


def _listens(control: Path) -> bool:
    return _master(control) is not None


def _master(control: Path) -> _Identity | None:
    """Return the identity of the master that listens at a socket, if it is this user's."""
    if not (identity := _identity(control)):
        return None
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(_ANSWER_S)
        try:
            sock.connect(str(control))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except (TimeoutError, BlockingIOError):
            # It is there, and busy, or hangs.
            pass
    return identity


def _identity(control: Path) -> _Identity | None:
    """Return the identity of a socket of this user."""
    try:
        status = control.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid != os.geteuid():
        return None
    return _identity_in(status)


def _identity_in(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino, status.st_mtime_ns


@contextmanager
def _turn(lock: Path, deadline: Deadline) -> Generator[bool]:
    """Keep other processes from starting the same master; tell whether they are kept from it.

    One that came before may hang for long: half of the time that is left is waited for it. ssh
    then makes a connection that it does not share, should there be a master by then.
    """
    until = time.monotonic() + deadline.remaining("waiting for ssh") / 2
    held = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        # It is in use, and not swept.
        os.utime(held)
        while not (is_first := _locked(held)) and time.monotonic() < until:
            time.sleep(_POLL_S)
        yield is_first
    finally:
        os.close(held)


def _locked(held: int) -> bool:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _tell(control: Path, what: str) -> None:
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            ["ssh", "-o", f"ControlPath={control}", "-O", what, "--", "any"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_ANSWER_S,
            check=False,
        )
