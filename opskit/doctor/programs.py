"""The programs and packages of this machine that opskit works with."""

from __future__ import annotations

import platform
import shlex
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

from opskit.doctor.rows import CheckupRow, mend, note, told, well
from opskit.errors import InputError, MissingToolError, OpskitError
from opskit.reading import entry_paths
from opskit.secrets.passstore import PassStore
from opskit.secrets.program import run
from opskit.secrets.recipients import keys, names_of, naming, store_folder

_LAB = "jupyter"


def said_by(command: tuple[str, ...], seconds: float) -> tuple[int, str]:
    """Run a program that only tells something; return its status, -1 if none, and what it said."""
    try:
        ended = run(command, seconds=seconds, environment={"LC_ALL": "C.UTF-8"})
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
