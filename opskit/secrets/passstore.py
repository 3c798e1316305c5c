"""The operator's own password store: the ``pass`` or ``gopass`` program, values over stdin."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path

from opskit.errors import InputError, MissingToolError, OpskitError
from opskit.secrets.value import Secret

DEFAULT_TEMPLATE = "hosts/{server}/{app}/{secret}"
"""Where abra keeps an app's secrets."""

_TIMEOUT_S = 60.0
_BINARY = b"opskit-base64:"
"""Marks an entry that holds bytes `pass` could not give back as they were."""


def entry_path(template: str, *, server: str, app: str, secret: str) -> str:
    """Fill a path template.

    Raises
    ------
    InputError
        The template names something else, or the path would lead out of the store.
    """
    try:
        path = template.format(server=server, app=app, secret=secret)
    except (KeyError, IndexError, ValueError):
        raise InputError(
            f"the pass path template {template!r} cannot be filled.",
            remedy="It may use {server}, {app} and {secret}.",
        ) from None
    parts = path.split("/")
    if path.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise InputError(
            f"the pass path {path!r} leads out of the store.",
            remedy="Use names without empty parts and without '..'.",
        )
    return path


class PassStore:
    """A password store reached through its own program.

    Parameters
    ----------
    program
        ``pass`` or ``gopass``; by default the first that is installed.
    seconds
        Deadline of each call: a pinentry nobody answers must not hold up a run for ever.

    Raises
    ------
    MissingToolError
        Neither is installed.
    """

    def __init__(self, program: str = "", *, seconds: float = _TIMEOUT_S) -> None:
        found = program or next((p for p in ("pass", "gopass") if shutil.which(p)), "")
        if not found or shutil.which(found) is None:
            raise MissingToolError(
                f"{found or 'pass'} is not installed here. Install it: apt-get install pass"
            )
        self.program, self._seconds = found, seconds

    def store(self, path: str, value: Secret) -> None:
        """Write an entry, over an old one if there is one."""
        data = value.reveal()
        if b"\0" in data or not _is_text(data) or data.endswith(b"\n"):
            data = _BINARY + base64.b64encode(data)
        self._run("insert", "--multiline", "--force", path, stdin=data)

    def read(self, path: str) -> Secret:
        """Read an entry."""
        data = self._run("show", path)
        if data.startswith(_BINARY):
            return Secret(base64.b64decode(data[len(_BINARY) :]))
        return Secret(data.removesuffix(b"\n"))

    def remove(self, path: str) -> None:
        """Remove an entry."""
        self._run("rm", "--force", path)

    def exists(self, path: str) -> bool:
        """Tell whether there is an entry."""
        if self.program == "pass":
            return (_store_folder() / f"{path}.gpg").is_file()
        return path in self.entries()

    def entries(self) -> frozenset[str]:
        """List every entry's path, without opening any."""
        if self.program == "pass":
            root = _store_folder()
            return frozenset(
                str(path.relative_to(root).with_suffix("")) for path in root.rglob("*.gpg")
            )
        return frozenset(self._run("ls", "--flat").decode().splitlines())

    def _run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        try:
            ended = subprocess.run(
                [self.program, *arguments],
                input=stdin,
                capture_output=True,
                timeout=self._seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise OpskitError(
                f"{self.program} {arguments[0]} did not finish in {self._seconds:g} s. Is it "
                "waiting for a passphrase? Unlock the key first: echo x | gpg --sign -o /dev/null"
            ) from None
        if ended.returncode != 0:
            said = ended.stderr.decode(errors="replace").strip().splitlines()
            raise OpskitError(
                f"{self.program} {arguments[0]} {arguments[-1]} failed: "
                f"{said[-1] if said else f'status {ended.returncode}'}. "
                "Check the store by hand: pass ls"
            )
        return ended.stdout


def _store_folder() -> Path:
    configured = os.environ.get("PASSWORD_STORE_DIR")
    return Path(configured) if configured else Path.home() / ".password-store"


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
