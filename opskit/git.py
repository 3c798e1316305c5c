"""Running git: never in the repository of a git hook that happens to run opskit."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from opskit.errors import InputError, MissingToolError
from opskit.inert import visible, without_login

_PLACES = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_DIR", "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
)  # fmt: skip
"""Variables that git sets for a hook and what it runs, and that are about its repository only."""

UNATTENDED = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
SECONDS = 60.0
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
        return self.output.decode("utf-8", "surrogateescape").strip()

    @property
    def reason(self) -> str:
        """The line in which git says what is wrong; advice may follow it.

        Of a place elsewhere the program before it says what: ssh, or git over there.
        """
        lines = self.complaint.strip().splitlines() or [f"it ended with status {self.status}"]
        at = next((at for at, line in enumerate(lines) if line.startswith("fatal: ")), -1)
        if at > 0 and lines[at].startswith("fatal: Could not read from remote repository"):
            at -= 1
        return visible(lines[at])


def operators_environment() -> dict[str, str]:
    """Return the environment for git, and for what runs it, in the operator's own repositories."""
    return {k: v for k, v in os.environ.items() if k not in _PLACES} | UNATTENDED


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
            "git is not installed here. Install it: apt-get install git"
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
