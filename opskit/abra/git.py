"""Running git: in the operator's own repositories, and inertly in those of recipes.

A recipe comes from elsewhere, and so may its ``.git``, whose configuration can name commands for
git to run: hooks, filters, a file system monitor, ways to fetch. None of them is run by `ask`.
What the operator's own configuration says still holds.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from opskit.abra.files import decode, printable
from opskit.errors import InputError, MissingToolError
from opskit.inert import without_login

_PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")
"""Variables that a git hook sets for what it runs, and that would lead to another repository."""

_UNATTENDED = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
_INERT = {
    **_UNATTENDED,
    # A partial clone would fetch an object that is asked for, by a command of its configuration.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",
    # What a commit holds is what its hash says.
    "GIT_NO_REPLACE_OBJECTS": "1",
}
_INERT_CONFIG = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "safe.bareRepository=explicit")
SECONDS = 60.0
_CLONE_SECONDS = 600.0
_ENDING_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How git ended, what it printed, and what it complained of."""

    status: int
    output: bytes
    complaint: str

    @property
    def text(self) -> str:
        """What it printed, as text."""
        return decode(self.output).strip()

    @property
    def reason(self) -> str:
        """The line in which git says what is wrong; advice may follow it.

        Of a place elsewhere the program before it says what: ssh, or git over there.
        """
        lines = self.complaint.strip().splitlines() or [f"it ended with status {self.status}"]
        at = next((at for at, line in enumerate(lines) if line.startswith("fatal: ")), -1)
        if at > 0 and lines[at].startswith("fatal: Could not read from remote repository"):
            at -= 1
        return printable(lines[at])


def operators_environment() -> dict[str, str]:
    """Return the environment for git in the operator's own repositories, where hooks are theirs."""
    return {k: v for k, v in os.environ.items() if k not in _PLACES} | _UNATTENDED


def run_git(
    folder: Path,
    *arguments: str,
    environment: Mapping[str, str],
    stdin: bytes = b"",
    seconds: float,
    apart: bool = False,
) -> Ended:
    """Run git in a folder and return how it ended; `stdin` is its standard input.

    In a session `apart`, Ctrl-C lets it end, and the deadline ends what it started too.

    Raises
    ------
    MissingToolError
        git is not installed.
    TimeoutError
        It did not end in time, and was killed.
    InputError
        It cannot be run.
    """
    try:
        process = subprocess.Popen(
            ["git", "--literal-pathspecs", "-C", str(folder), *arguments],
            env=environment,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=apart,
        )
    except FileNotFoundError:
        raise MissingToolError(
            "git is not installed here. Install it: recipes are read with it."
        ) from None
    except OSError as error:
        raise InputError(f"git cannot be run on it ({error.strerror}).", path=folder) from error
    with process:
        try:
            output, complaint = process.communicate(stdin or None, timeout=seconds)
        except subprocess.TimeoutExpired:
            _end(process, apart=apart)
            raise TimeoutError(f"git did not answer in {seconds:g} s.") from None
        except BaseException:
            if not apart:
                _end(process, apart=False)
            raise
    # It may name where it pushed to, by a hook.
    said = without_login(complaint.decode("utf-8", "replace"))
    return Ended(status=process.returncode, output=output, complaint=said)


def _end(process: subprocess.Popen[bytes], *, apart: bool) -> None:
    if apart:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return
    # Asked to end, git removes what it began.
    process.terminate()
    try:
        process.wait(_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def clone(address: str, folder: Path) -> None:
    """Clone a repository to a folder that is not there yet.

    Raises
    ------
    InputError
        It cannot be fetched; says what git said. Nothing is left behind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    environment = operators_environment()
    command = ("clone", "--quiet", "--", address, str(folder))
    try:
        ended = run_git(folder.parent, *command, environment=environment, seconds=_CLONE_SECONDS)
    except TimeoutError as error:
        raise InputError(str(error), path=folder) from None
    if ended.status:
        raise InputError(
            f"{without_login(address)} cannot be cloned: {ended.reason}",
            remedy="Check the recipe's name, or recipe_url in your settings.",
        )


def ask(folder: Path, *arguments: str, config: Iterable[str] = (), stdin: bytes = b"") -> Ended:
    """Ask git about a recipe's repository, without running anything its configuration names.

    Raises
    ------
    MissingToolError
        git is not installed.
    InputError
        It did not end, or refuses the folder.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | _INERT
    # A folder above may be the operator's own repository, and is not asked instead.
    environment["GIT_CEILING_DIRECTORIES"] = str(folder.resolve().parent)
    settings = [word for setting in (*_INERT_CONFIG, *config) for word in ("-c", setting)]
    command = (*settings, f"--work-tree={folder}", *arguments)
    try:
        ended = run_git(folder, *command, environment=environment, stdin=stdin, seconds=SECONDS)
    except TimeoutError as error:
        raise InputError(str(error), path=folder) from None
    if ended.status and "dubious ownership" in ended.complaint:
        raise InputError(
            "git refuses to read this checkout, as another user owns it.",
            path=folder,
            remedy="If you trust it: git config --global --add safe.directory "
            f"{quote(str(folder))}",
        )
    return ended


def answered(folder: Path, *arguments: str, stdin: bytes = b"") -> Ended:
    """Return what `ask` does when git knows an answer.

    Raises
    ------
    InputError
        It does not; says why.
    """
    ended = ask(folder, *arguments, stdin=stdin)
    if ended.status:
        raise damaged(folder, ended.reason)
    return ended


def damaged(folder: Path, reason: str) -> InputError:
    """Make the error for a recipe's repository that git cannot read."""
    return InputError(
        f"git cannot read this checkout: {reason}.",
        path=folder,
        remedy=f"Look at it: git -C {quote(str(folder))} status; git -C {quote(str(folder))} fsck",
    )
