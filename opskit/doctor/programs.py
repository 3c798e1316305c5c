"""The programs and packages of this machine that opskit works with, and ssh's keys.

Of the keys also what to do when a server takes none of them.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from shutil import which

from packaging.requirements import Requirement

from opskit.doctor.rows import CheckupRow, mend, note, told, well
from opskit.errors import InputError, MissingToolError, OpskitError
from opskit.reading.reading import entry_paths
from opskit.secrets.passstore import PassStore
from opskit.secrets.program import run
from opskit.secrets.recipients import keys, names_of, naming, store_folder
from opskit.swarm.context import Context, ssh_target
from opskit.swarm.sockets import kept_folder

_LAB = "jupyter"


def said_by(command: tuple[str, ...], seconds: float) -> tuple[int, str]:
    """Run a program that only tells something; return its status, -1 if none, and what it said."""
    try:
        ended = run(command, seconds=seconds, environment={**os.environ, "LC_ALL": "C.UTF-8"})
    except (OSError, TimeoutError, OverflowError):
        return -1, ""
    text = ended.output.decode(errors="replace").strip() or "\n".join(ended.said)
    return ended.status, text


def packages() -> Iterator[CheckupRow]:
    """Look at opskit, its Python and the packages both need."""
    required = [Requirement(text) for text in metadata.requires("opskit") or ()]
    lacking = [one for one in required if _applies(one) and not _is_there(one)]
    lab = [one for one in lacking if one.name.startswith(_LAB)]
    here = f"opskit {metadata.version('opskit')} on Python {platform.python_version()}"
    rest = [one for one in lacking if one not in lab]
    if rest:
        yield mend("opskit", f"{here}, which lacks {_named(rest)}.", _install(rest))
    else:
        yield well("opskit", here)
    if lab:
        yield mend("JupyterLab", f"{_named(lab)} is missing here, or too old.", _install(lab))
    else:
        yield well("JupyterLab", metadata.version("jupyterlab"))


def _applies(one: Requirement) -> bool:
    return one.marker is None or one.marker.evaluate({"extra": ""})


def _is_there(one: Requirement) -> bool:
    try:
        return one.specifier.contains(metadata.version(one.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def _named(lacking: list[Requirement]) -> str:
    return ", ".join(str(one) for one in lacking)


def _install(lacking: list[Requirement]) -> str:
    wanted = shlex.join(str(one) for one in lacking)
    return f"Install it: {shlex.quote(sys.executable)} -m pip install {wanted}"


def git(seconds: float) -> CheckupRow:
    """Look for git, with which recipes are read."""
    return _program("git", "recipes are read with it", "git", seconds)


def docker(seconds: float) -> CheckupRow:
    """Look for the docker CLI, with which stacks are deployed and contexts made."""
    return _program("docker", "apps are deployed with it", "docker.io", seconds)


def _program(name: str, why: str, package: str, seconds: float) -> CheckupRow:
    if shutil.which(name) is None:
        return mend(
            name, f"not installed here, and {why}.", f"Install it: sudo apt-get install {package}"
        )
    status, text = said_by((name, "--version"), seconds)
    if status:
        return mend(name, "it does not even tell its version.", f"See why: {name} --version")
    return well(name, text.splitlines()[0])


def password_store(seconds: float) -> CheckupRow:
    """Look at the password store, which only ``--pass`` needs."""
    check = "password store"
    try:
        store = PassStore(seconds=seconds)
        path = entry_paths()("server", "app", "secret")
        store.check_ready(path)
    except MissingToolError:
        return note(
            check,
            "neither pass nor gopass is installed; only --pass needs one.",
            "Install one: sudo apt-get install pass",
        )
    except InputError as error:
        return note(check, f"{error.what} Only --pass needs one.", error.remedy)
    if store.program == "pass":
        if shutil.which("gpg") is None:
            return mend(
                check,
                "pass needs gpg, and it is missing.",
                "Install it: sudo apt-get install gnupg",
            )
        listed = naming(path)
        for name in names_of(listed) if listed else ():
            if not keys(name):
                return mend(
                    check,
                    f"gpg has no key of {name}, whom {listed} names.",
                    "Get it from them: gpg --import FILE",
                )
    try:
        count = len(store.entries())
    except OpskitError as error:
        return told(check, error)
    where = f" in {store_folder()}" if store.program == "pass" else ""
    return well(check, f"{store.program}, {count} entr{'y' if count == 1 else 'ies'}{where}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """The ssh agent: whether one answers, and how many keys it holds."""

    answers: bool
    held: int

    @classmethod
    def ask(cls, seconds: float) -> Agent:
        """Ask the agent that ``SSH_AUTH_SOCK`` names."""
        status, text = said_by(("ssh-add", "-l"), seconds)
        # 1: it holds none.
        return cls(answers=status in (0, 1), held=len(text.splitlines()) if status == 0 else 0)

    def __str__(self) -> str:
        if not self.answers:
            return "no agent"
        return f"the agent holds {self.held} key{'' if self.held == 1 else 's'}"


def ssh(seconds: float, *, keeps: bool) -> CheckupRow:
    """Look for the ssh program, its agent and, if it `keeps` connections, for a place for those.

    Whether a key is the right one, its server says.
    """
    if which("ssh") is None:
        return note(
            "ssh",
            "not installed here; servers behind ssh:// need it.",
            "Install it: sudo apt-get install openssh-client",
        )
    _, text = said_by(("ssh", "-V"), seconds)
    found = f"{text.partition(',')[0]}, {Agent.ask(seconds)}"
    folder, fault = kept_folder()
    if keeps and folder is None:
        return note(
            "ssh",
            f"{found}; no connection stays for the next command: {fault}.",
            "Have XDG_RUNTIME_DIR name a folder of yours alone; or keep none: ssh_keep = 0 in "
            "opskit's settings.",
        )
    return well("ssh", found)


def after_refusal(context: Context, seconds: float) -> str:
    """Return what to do next when a server took none of the keys that ssh has for it."""
    address = context.address
    agent = Agent.ask(seconds)
    files = _identities(context, seconds)
    port = ["-p", str(address.port)] if address.port else []
    user = f"{address.user}@" if address.user else ""
    copy = shlex.join(["ssh-copy-id", *port, f"{user}{address.host}"])
    if not files and not agent.held:
        return f"There is no key here. Make one, and let the server know it: ssh-keygen && {copy}"
    for file in files:
        status, said = said_by(("ssh-keygen", "-y", "-P", "", "-f", str(file)), seconds)
        if "bad permissions" in said:
            return (
                "ssh passes over a key that others may read. Keep it to yourself: "
                f"chmod 600 {shlex.quote(str(file))}"
            )
        if status and not agent.held:
            begin = "" if agent.answers else 'eval "$(ssh-agent)" && '
            return f"Its key has a passphrase. Unlock it: {begin}ssh-add {shlex.quote(str(file))}"
    return (
        "It does not know your key, or you have another name there. Let somebody who may log in "
        f"add it, or yourself, with a password: {copy}"
    )


def _identities(context: Context, seconds: float) -> list[Path]:
    """Return the key files that ssh would try, of those that are there."""
    _, text = said_by(("ssh", "-G", *ssh_target(context)), seconds)
    lines = (line.partition(" ") for line in text.splitlines())
    named = (Path(value).expanduser() for key, _, value in lines if key == "identityfile")
    return [path for path in named if path.is_file()]
