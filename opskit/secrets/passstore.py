"""The operator's own password store: the ``pass`` or ``gopass`` program, values over stdin.

An entry is the value and one newline, as ``pass insert`` itself writes it; reading takes one
newline away, so that entries made by hand read as they were typed. `pass` keeps any bytes.
gopass would take several lines for a form with fields, so its own ``cat`` stores those, in
base64. An entry that is written over stays in the store's git history, when it has one.

Who can open an entry are the keys that the nearest ``.gpg-id`` above it names. The store's git
history is left out: somebody removed from a ``.gpg-id`` may keep copies of what was there before.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from opskit.errors import InputError, LockLostError, MissingToolError, OpskitError
from opskit.secrets.program import Ended, run
from opskit.secrets.redact import redact
from opskit.secrets.value import Secret

NEXT, PREVIOUS = ".next", ".previous"
"""Ends of the entries that a rotation keeps beside one: its next value, and the one before."""

_TIMEOUT_S = 60.0
_TURN_S = 1.0
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "NO_COLOR": "1"}
"""Messages are recognised by their English texts."""

_CAUSES = (
    ("You must run", "the store was never initialised", "pass init YOUR-KEY"),
    ("not initialized", "the store was never initialised", "gopass setup"),
    ("No public key", "a key it is encrypted to is missing or expired here", "gpg --list-keys"),
    ("No secret key", "the key that opens it is missing or stayed locked", "pass show ANY-ENTRY"),
    ("index.lock", "another program writes to the store's git checkout", "pass git status"),
    ("tell me who you are", "git does not know your name", "git config --global user.email YOU"),
)
"""What stands in a program's complaint, what it means, and the command to go on with."""

_GOPASS_VERSION = re.compile(r"gopass v?\d\S* .*\bgo\d")
"""As gopasspw's ``gopass --version`` begins; https://github.com/gopasspw/gopass."""


def entry_path(template: str, *, server: str, app: str, secret: str) -> str:
    """Fill a path template.

    Raises
    ------
    InputError
        The template names something else, or the path would lead out of the store.
    """
    parts = {"server": server, "app": app, "secret": secret}
    unknown = [name for name in re.findall(r"{([^{}]*)}", template) if name not in parts]
    if unknown or re.search(r"[{}]", re.sub(r"{[^{}]*}", "", template)):
        raise InputError(
            f"the pass path template {template!r} cannot be filled.",
            remedy="It may use {server}, {app} and {secret}.",
        )
    return _checked(re.sub(r"{([^{}]*)}", lambda found: parts[found[1]], template))


def listed() -> frozenset[str]:
    """List all entries without opening any; needs no program where the store is pass's.

    Raises
    ------
    MissingToolError
        There is no store of pass's, and neither program is installed.
    """
    folder = store_folder()
    is_pass = (folder / ".gpg-id").is_file()
    return frozenset(_files(folder)) if is_pass else PassStore().entries()


def store_folder() -> Path:
    """Return the folder of pass's store: ``PASSWORD_STORE_DIR``, else ``~/.password-store``."""
    configured = os.environ.get("PASSWORD_STORE_DIR")
    return Path(configured) if configured else Path.home() / ".password-store"


class PassStore:
    """A password store reached through its own program.

    Parameters
    ----------
    program
        ``pass`` or ``gopass`` (gopasspw's; Debian's package of that name is another program).
        By default ``pass`` where its store is initialised, else whichever is installed.
    seconds
        Deadline of each call: a pinentry nobody answers must not hold up a run for ever.

    Raises
    ------
    MissingToolError
        Neither is installed.
    InputError
        The ``gopass`` here is another program of that name.
    """

    # Two commits at the same moment would fail on git's lock, and stacks change in parallel.
    _writing = threading.Lock()

    def __init__(self, program: str = "", *, seconds: float = _TIMEOUT_S) -> None:
        self.program, self._seconds = program or _installed(), seconds
        if shutil.which(self.program) is None:
            raise MissingToolError(
                f"{self.program} is not installed here. Install it: apt-get install pass"
            )
        self._is_gopass = Path(self.program).name == "gopass"
        if self._is_gopass and not _is_gopasspw(self.program):
            raise InputError(
                f"{shutil.which(self.program)} is another program of that name, which pass and "
                "gopasspw's gopass do not share a store with.",
                remedy="Install pass (apt-get install pass), or put gopasspw's gopass before it "
                "in PATH.",
            )
        self._meanwhile: Callable[[], None] = lambda: None
        self._fence: Callable[[], None] = lambda: None

    def check_ready(self, path: str) -> None:
        """Refuse an entry that could not be written for want of a key to encrypt it to.

        Raises
        ------
        InputError
            The store was never initialised for that path.
        """
        # gopass mounts stores wherever its own configuration says.
        if self._is_gopass:
            return
        root = store_folder()
        folders = [root / part for part in Path(_checked(path)).parents]
        if not any((folder / ".gpg-id").is_file() for folder in folders):
            raise InputError(
                f"the password store {root} was never initialised.",
                remedy="Go on with: pass init YOUR-KEY",
            )

    def attended(
        self, meanwhile: Callable[[], None], *, fence: Callable[[], None] = lambda: None
    ) -> PassStore:
        """Return this store for somebody who has something to do `meanwhile`.

        Parameters
        ----------
        meanwhile
            Done before each call and every second of waiting for other stacks' calls. It may
            raise: then the call is not made.
        fence
            Raises when an entry may not be written any more; asked directly before and after.
        """
        mine = copy.copy(self)
        mine._meanwhile, mine._fence = meanwhile, fence
        return mine

    def store(self, path: str, value: Secret) -> None:
        """Write an entry, over an old one if there is one."""

        def content() -> bytes:
            return value.reveal() + b"\n"

        if not self._is_gopass:
            arguments = ("insert", "--multiline", "--force")
        elif value.reveal().isascii() and value.reveal().decode().isprintable():
            arguments = ("insert", "--force")
        else:
            arguments = ("cat",)
        self._write(*arguments, path, stdin=content)

    def read(self, path: str) -> Secret:
        """Read an entry.

        Raises
        ------
        OpskitError
            There is none, or it cannot be opened.
        """
        # gopass cat gives an entry as it is; show may hide or rearrange parts of it.
        ended = self._run("cat" if self._is_gopass else "show", _checked(path))
        try:
            return Secret(ended.output.removesuffix(b"\n"), allow_blank=True)
        except InputError as error:
            raise OpskitError(f"{self.program} has no usable value at {path}: {error}") from None

    def remove(self, path: str) -> None:
        """Remove an entry; the store's git history keeps it, when there is one."""
        self._write("rm", "--force", path)

    def exists(self, path: str) -> bool:
        """Return whether there is an entry."""
        if self._is_gopass:
            return _checked(path) in self.entries()
        return (store_folder() / f"{_checked(path)}.gpg").is_file()

    def entries(self, prefix: str = "") -> frozenset[str]:
        """List the paths of all entries, or of those below a folder, without opening any."""
        if self._is_gopass:
            found = self._run("ls", "--flat").output.decode(errors="replace").splitlines()
        else:
            found = _files(store_folder())
        below = prefix.rstrip("/") + "/" if prefix else ""
        return frozenset(path for path in found if path.startswith(below))

    def _write(self, *arguments: str, stdin: Callable[[], bytes] | None = None) -> None:
        path = _checked(arguments[-1])
        with self._turn():
            self._fence()
            self._run(*arguments, stdin=stdin)
            try:
                self._fence()
            except LockLostError as error:
                raise LockLostError(
                    f"{error} {path} in the password store was changed at that moment and may not "
                    "be what is in use. If the store is a git checkout, its history has what it "
                    "was: pass git log"
                ) from error

    @contextmanager
    def _turn(self) -> Generator[None]:
        while not self._writing.acquire(timeout=_TURN_S):
            self._meanwhile()
        try:
            yield
        finally:
            self._writing.release()

    def _run(self, *arguments: str, stdin: Callable[[], bytes] | None = None) -> Ended:
        self._meanwhile()
        try:
            ended = run(
                (self.program, *arguments),
                seconds=self._seconds,
                stdin=stdin,
                environment=_ENVIRONMENT,
            )
        except TimeoutError:
            raise OpskitError(
                f"{self.program} {arguments[0]} did not finish in {self._seconds:g} s. Is it "
                "waiting for a passphrase? Give it once by hand, gpg remembers it: "
                f"{self.program} show {arguments[-1]}"
            ) from None
        except (OSError, OverflowError) as error:
            raise OpskitError(f"{self.program} cannot be run ({error}).") from None
        # pass ends with 0 though git refused to keep the old value.
        if ended.status != 0 or any(line.startswith("fatal:") for line in ended.said):
            raise OpskitError(self._complaint(arguments, ended))
        return ended

    def _complaint(self, arguments: tuple[str, ...], ended: Ended) -> str:
        text = "\n".join(ended.said)
        failed = f"{self.program} {arguments[0]} {arguments[-1]} failed"
        for sign, meaning, command in _CAUSES:
            if sign in text:
                return f"{failed}: {meaning}. Go on with: {command}"
        lines = [line.strip() for line in ended.said if line.strip()]
        said = redact(lines[-1]).rstrip(".") if lines else f"status {ended.status}"
        return f"{failed}: {said}. Check the store by hand: {self.program} ls"


def _installed() -> str:
    is_pass, is_gopass = (shutil.which(program) is not None for program in ("pass", "gopass"))
    if not is_gopass or (is_pass and (store_folder() / ".gpg-id").is_file()):
        return "pass"
    # Another program of gopass's name must not keep anybody from pass.
    return "pass" if is_pass and not _is_gopasspw("gopass") else "gopass"


def _is_gopasspw(program: str) -> bool:
    path = shutil.which(program)
    return path is not None and _GOPASS_VERSION.match(_version_text(path)) is not None


@lru_cache
def _version_text(path: str) -> str:
    try:
        ended = run((path, "--version"), seconds=_TIMEOUT_S, environment=_ENVIRONMENT)
    except (OSError, TimeoutError, OverflowError):
        return ""
    return ended.output.decode(errors="replace") if ended.status == 0 else ""


def _files(root: Path) -> list[str]:
    found: list[str] = []
    for folder, below, files in os.walk(root, followlinks=True):
        below[:] = [name for name in below if not name.startswith(".")]
        inside = Path(folder).relative_to(root)
        found += [
            str(inside / name.removesuffix(".gpg")) for name in files if name.endswith(".gpg")
        ]
    return found


def _checked(path: str) -> str:
    parts = path.split("/")
    if any(not part or part[0] in ".-" or not part.isprintable() for part in parts):
        raise InputError(
            f"the pass path {path!r} is not one.",
            remedy="Its parts may not be empty, nor begin with '.' or '-'.",
        )
    return path


_HEX = frozenset("0123456789ABCDEF")
_RECIPIENTS_TIMEOUT_S = 20.0


def openable(entries: Iterable[str], store: Path, person: str) -> frozenset[str]:
    """Return the entries that are encrypted to a person.

    Parameters
    ----------
    entries
        Paths of entries.
    store
        The store's folder.
    person
        An address or a key's id or fingerprint. An address stands for the keys that gpg knows
        of it, too.
    """
    names = {person.casefold()}
    keys = _keys(person)
    recipients: dict[Path, bool] = {}

    def is_recipient(folder: Path) -> bool:
        if folder not in recipients:
            listed = folder / ".gpg-id"
            if listed.is_file():
                recipients[folder] = any(
                    _is(line, names, keys) for line in listed.read_text().splitlines()
                )
            else:
                recipients[folder] = folder != store and is_recipient(folder.parent)
        return recipients[folder]

    return frozenset(path for path in entries if is_recipient((store / path).parent))


def _is(line: str, names: set[str], keys: frozenset[str]) -> bool:
    ident = line.partition("#")[0].strip().casefold()
    if not ident:
        return False
    address = ident.rpartition("<")[2].removesuffix(">")
    key = ident.removeprefix("0x").removesuffix("!").upper()
    by_key = set(key) <= _HEX and any(one.endswith(key) for one in keys)
    return bool({ident, address} & names) or by_key


def _keys(person: str) -> frozenset[str]:
    """Return the fingerprints gpg knows of a person, and what the person was called by."""
    called = person.upper().removeprefix("0X")
    try:
        listed = subprocess.run(
            ["gpg", "--batch", "--with-colons", "--list-keys", "--", person],
            capture_output=True,
            text=True,
            check=False,
            timeout=_RECIPIENTS_TIMEOUT_S,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        listed = ""  # without gpg, what the files say is all there is
    lines = (line.split(":") for line in listed.splitlines())
    return frozenset(parts[9] for parts in lines if parts[0] == "fpr") | {called}
