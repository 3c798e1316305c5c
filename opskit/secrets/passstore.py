"""The operator's own password store: the ``pass`` or ``gopass`` program, values over stdin.

An entry is the value and one newline, as ``pass insert`` itself writes it; reading takes one
newline away, so that entries made by hand read as they were typed. `pass` keeps any bytes.
gopass would take several lines for a form with fields, so its own ``cat`` stores those, in
base64. An entry that is written over stays in the store's git history, when it has one.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from shlex import quote

from opskit.errors import InputError, LockLostError, MissingToolError, OpskitError
from opskit.files.bounded import read_regular
from opskit.git import operators_environment, run_git
from opskit.secrets.program import Ended, run
from opskit.secrets.recipients import environment, naming, store_folder
from opskit.secrets.refusals import Entry, line_that_matters, why
from opskit.secrets.value import Secret

NEXT, PREVIOUS = ".next", ".previous"
"""Ends of the entries that a rotation keeps beside one: its next value, and the one before."""

_LARGEST = 16 * 1024**2
_TIMEOUT_S = 60.0
_TURN_S = 1.0
_GOPASS_VERSION = re.compile(r"gopass v?\d\S* .*\bgo\d")
"""As gopasspw's ``gopass --version`` begins; https://github.com/gopasspw/gopass."""
_GIT_FAULT = re.compile(r"(fatal|error): | ! \[")


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
        if naming(_checked(path)) is None:
            raise InputError(
                f"the password store {store_folder()} was never initialised.",
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

    def store(self, path: str, value: Secret) -> str:
        """Write an entry, over an old one if there is one; return what else there is to know."""

        def content() -> bytes:
            return value.reveal() + b"\n"

        if not self._is_gopass:
            arguments = ("insert", "--multiline", "--force")
        elif value.reveal().isascii() and value.reveal().decode().isprintable():
            arguments = ("insert", "--force")
        else:
            arguments = ("cat",)
        return self._write(*arguments, path, stdin=content)

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

    def remove(self, path: str) -> str:
        """Remove an entry, which stays in the store's git history, when it has one.

        Return what else there is to know.
        """
        return self._write("rm", "--force", path)

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

    def _write(self, *arguments: str, stdin: Callable[[], bytes] | None = None) -> str:
        path = _checked(arguments[-1])
        with self._turn():
            self._fence()
            overwrites = arguments[0] == "insert" and not self._is_gopass
            written = store_folder() / f"{path}.gpg" if overwrites else None
            ended = self._run(*arguments, stdin=stdin, written=written)
            # pass ends with 0 though the file is still there.
            if arguments[0] == "rm" and not self._is_gopass and self.exists(path):
                raise self._failed(arguments, ended)
            try:
                self._fence()
            except LockLostError as error:
                raise LockLostError(
                    f"{error} {path} in the password store was changed at that moment and may not "
                    "be what is in use. If the store is a git checkout, its history has what it "
                    "was: pass git log"
                ) from error
            return self._remark(arguments, ended)

    @contextmanager
    def _turn(self) -> Generator[None]:
        while not self._writing.acquire(timeout=_TURN_S):
            self._meanwhile()
        try:
            yield
        finally:
            self._writing.release()

    def _run(
        self,
        *arguments: str,
        stdin: Callable[[], bytes] | None = None,
        written: Path | None = None,
    ) -> Ended:
        self._meanwhile()
        if written is None:
            return self._ended(arguments, stdin)
        # From here on: while this waited, others may have written it.
        with _written_whole(written, arguments[-1], self._fence):
            return self._ended(arguments, stdin)

    def _ended(self, arguments: tuple[str, ...], stdin: Callable[[], bytes] | None) -> Ended:
        try:
            ended = run(
                (self.program, *arguments),
                seconds=self._seconds,
                stdin=stdin,
                environment=environment(),
            )
        except TimeoutError:
            raise OpskitError(
                f"{self.program} {arguments[0]} did not finish in {self._seconds:g} s. Is it "
                "waiting for a passphrase? Give it once by hand, gpg remembers it: "
                f"{self.program} show {quote(arguments[-1])}"
            ) from None
        except (OSError, OverflowError) as error:
            raise OpskitError(f"{self.program} cannot be run ({error}).") from None
        if ended.status != 0:
            raise self._failed(arguments, ended)
        return ended

    def _failed(self, arguments: tuple[str, ...], ended: Ended, but: str = "") -> OpskitError:
        entry = Entry(program=self.program, path=arguments[-1])
        reason = why(entry, ended.said, ended.status)
        return OpskitError(f"{self.program} {arguments[0]} {arguments[-1]} failed: {but}{reason}")

    def _remark(self, arguments: tuple[str, ...], ended: Ended) -> str:
        """Return what git wrote though all went well, such as that a hook could not push.

        Raises
        ------
        OpskitError
            git did not keep the change in the store's history; pass ends with 0 all the same.
        """
        # gopass has stores wherever its own configuration says.
        is_here = not self._is_gopass
        if is_here and (said := _unkept(store_folder() / f"{arguments[-1]}.gpg")):
            told = Ended(status=ended.status, output=b"", said=ended.said or tuple(said))
            raise self._failed(arguments, told, "git did not take it into the store's history: ")
        faults = [line for line in ended.said if _GIT_FAULT.match(line)]
        return f"the password store: {line_that_matters(ended.said)}" if faults else ""


@contextmanager
def _written_whole(file: Path, path: str, fence: Callable[[], None]) -> Generator[None]:
    """Put an entry of pass's back as it was where it fails: gpg writes over a file in place.

    So a disk that is full cuts short the only copy there is. What went before fits where it was.
    `fence` raises when it may be somebody else's by now: then it is left. An entry that is there
    and cannot be read could not be put back: it is not written over.
    """
    try:
        before = _encrypted(file)
    except (OSError, InputError) as fault:
        reason = fault.what if isinstance(fault, InputError) else f"{fault.strerror}."
        raise OpskitError(
            f"{path} in the password store cannot be read, so that it could not be put back; it "
            f"was not written over: {reason}"
        ) from fault
    try:
        yield
    except OpskitError as error:
        if _holds(file, before):
            raise
        fence()
        try:
            if before is None:
                # The beginning of an entry is none, and would be taken for one.
                file.unlink()
                raise
            with file.open("wb") as stream:
                stream.write(before)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as fault:
            raise OpskitError(
                f"{path} in the password store is damaged now, and could not be put back "
                f"({fault.strerror}). If the store is a git checkout, its history has it: pass git "
                f"checkout -- {quote(f'{path}.gpg')} It came so: {error}"
            ) from error
        raise OpskitError(f"{error} (Its entry was put back as it was.)") from error


def _encrypted(file: Path) -> bytes | None:
    """Return an entry as it is on disk; nothing where there is none."""
    try:
        return read_regular(file, _LARGEST)
    except FileNotFoundError:
        return None


def _holds(file: Path, content: bytes | None) -> bool:
    try:
        return _encrypted(file) == content
    except (OSError, InputError):
        return False


def _unkept(file: Path) -> list[str]:
    """Return what git says of a file that it should have committed and has not, as pass asks."""
    folder = next(one for one in file.parents if one.is_dir())

    # A checkout above the store is none of its own.
    within = operators_environment() | {"GIT_CEILING_DIRECTORIES": f"{store_folder()}/.."}
    # Ctrl-C is no answer to whether what is stored already is kept.
    ask = partial(run_git, folder, environment=within, seconds=_TIMEOUT_S, apart=True)
    try:
        is_inside = ask("rev-parse", "--is-inside-work-tree")
        if is_inside.text != "true":
            complaints = is_inside.complaint.splitlines()
            return [line for line in complaints if "dubious ownership" in line]
        listed = ask("status", "--porcelain", "--", str(file))
    except (InputError, MissingToolError, TimeoutError):
        return []
    is_kept = not listed.status and not listed.output
    return [] if is_kept else [*listed.complaint.splitlines(), "it is not committed"]


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
        ended = run((path, "--version"), seconds=_TIMEOUT_S, environment=environment())
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
