"""What pass, gopass, gpg and git wrote when they refused, as one sentence with the next step.

gpg says the line that matters among others, and not always the reason: to it a key that expired
may be "no public key", and a passphrase that nobody could be asked for "no secret key". So it is
asked what it knows of the key in question.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from opskit.inert import without_login
from opskit.secrets.recipients import (
    Key,
    is_named,
    keys,
    names_of,
    naming,
    sealed_to,
    store_folder,
)
from opskit.secrets.redact import redact


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry that could not be written, read or removed."""

    program: str
    path: str

    @property
    def file(self) -> Path:
        """Where pass keeps it."""
        return store_folder() / f"{self.path}.gpg"

    @property
    def named_by(self) -> str:
        """What names those it is encrypted to."""
        if os.environ.get("PASSWORD_STORE_KEY"):
            return "PASSWORD_STORE_KEY"
        return str(naming(self.path) or "its .gpg-id")

    @property
    def names(self) -> tuple[str, ...]:
        """Whom it is encrypted to."""
        if configured := os.environ.get("PASSWORD_STORE_KEY"):
            return tuple(configured.split())
        listed = naming(self.path)
        return names_of(listed) if listed else ()

    def encrypt_to(self, names: Iterable[str]) -> str:
        """Return the command that encrypts it and its neighbours to others."""
        listed = naming(self.path)
        below = listed.parent.relative_to(store_folder()) if listed else Path()
        folder = [] if below == Path() else ["-p", str(below)]
        return shlex.join(["pass", "init", *folder, *names])


def _unusable(found: re.Match[str], entry: Entry) -> str:
    """Return whose key gpg cannot encrypt to, and why."""
    who = found["who"].strip()
    whose = f"{who}, whom {entry.named_by} names"
    known = keys(who)
    others = [name for name in entry.names if name != who]
    out = f"or take {who} out: {entry.encrypt_to(others or ['ANOTHER-KEY'])}"
    revoked = [key for key in known if key.validity == "r"]
    expired = [key for key in known if key.expired and key not in revoked]
    if expired:
        key = max(expired, key=lambda one: one.expired or 0)
        return (
            f"the key of {whose}, expired on {key.expired}. Get the renewed one (gpg --import "
            f"FILE; if it is yours: gpg --quick-set-expire {shlex.quote(key.fingerprints[0])} 1y), "
            f"{out}"
        )
    if revoked:
        return f"the key of {whose}, was revoked. Get the new one (gpg --import FILE), {out}"
    if known:
        return f"the key of {whose}, cannot encrypt. Get a new one (gpg --import FILE), {out}"
    return f"gpg has no key of {whose}. Get it (gpg --import FILE), {out}"


def _untrusted(found: re.Match[str], entry: Entry) -> str:
    """Return of whose key gpg does not know that it is theirs."""
    known = keys(found["key"])
    prints = [one for key in known for one in key.fingerprints]
    called = (name for name in entry.names if is_named(name, _addresses(known), prints))
    who = next(called, _people(known) or found["key"])
    key = prints[0] if prints else found["key"]
    return (
        f"gpg does not know that the key of {who}, whom {entry.named_by} names, is theirs. "
        f"Compare its fingerprint with them, then: gpg --quick-lsign-key {shlex.quote(key)}"
    )


def _unopened(_: re.Match[str], entry: Entry) -> str:
    """Return whether no key that opens it is here, or one is and stayed locked."""
    sealed = {} if entry.program == "gopass" else sealed_to(entry.file)
    here = [ident for ident, is_here in sealed.items() if is_here]
    if sealed and not here:
        return (
            f"it is encrypted to {_called(sealed, entry)}, and no such secret key is here. "
            f"Somebody who has one lets you in: {entry.encrypt_to([*entry.names, 'YOUR-KEY'])}"
        )
    if here:
        return (
            f"the secret key of {_called(here, entry)} stayed locked: no right passphrase was "
            "given, or nothing here could ask for one. Give it once by hand, gpg remembers it: "
            f"{entry.program} show {shlex.quote(entry.path)}"
        )
    return f"the key that opens it is missing or stayed locked. Try: {entry.program} show ANY-ENTRY"


def _nobody(_: re.Match[str], entry: Entry) -> str:
    if entry.names:
        return (
            f"gpg wants an answer. See what it asks: {entry.program} edit {shlex.quote(entry.path)}"
        )
    return f"{entry.named_by} names nobody to encrypt to. Go on with: pass init YOUR-KEY"


_Sentence = str | Callable[[re.Match[str], Entry], str]

_CAUSES: tuple[tuple[str, _Sentence], ...] = (
    (r"gpg: (?P<who>.+): skipped: ", _unusable),
    (r"gpg: (?P<key>[0-9A-F]{8,}): There is no assurance", _untrusted),
    (r"decryption failed: |[Nn]o pinentry|Inappropriate ioctl", _unopened),
    (
        r"no valid OpenPGP data|decrypt_message failed",
        "its file {file} is none of gpg's. Bring an older one back: pass git log -- {path}.gpg",
    ),
    (
        r"No space left on device|Disk quota exceeded",
        "the disk with the password store is full. Make room: df -h {store}",
    ),
    (
        r"Read-only file system",
        "the password store is mounted read-only. See why: findmnt -T {store}",
    ),
    (r"Permission denied", "you may not write there. See whose it is: ls -la {folder}"),
    (r"You must run", "the store was never initialised. Go on with: pass init YOUR-KEY"),
    (r"not initialized", "the store was never initialised. Go on with: gopass setup"),
    (
        r"Signature for \S+ (does not exist|is invalid)",
        "{named_by} is not signed by PASSWORD_STORE_SIGNING_KEY. Look at it, then sign it: {init}",
    ),
    (r"is not in the password store", "there is no such entry. See: {program} ls"),
    (r"gpg: (command )?not found", "gpg is not installed here. Go on with: apt-get install gnupg"),
    (r"cannot open '/dev/tty'", _nobody),
    (
        r"index\.lock': File exists",
        "another program writes to the store's git checkout, or one crashed there. See: "
        "pass git status",
    ),
    (
        r"tell me who you are",
        "git does not know your name. Go on with: git config --global user.email YOU",
    ),
    (
        r"failed to sign the data",
        "git could not sign its commit. See with which key: pass git config user.signingkey",
    ),
    (
        r"dubious ownership",
        "git refuses to work in {store}, as another user owns it. If you trust it: "
        "git config --global --add safe.directory {store}",
    ),
)
"""What stands in what they wrote, and what it means."""

_NO_NEWS = re.compile(
    r"hint: .*|gpg: \[stdin\]: encryption failed: .*|gpg: error retrieving .*|gpg: checking .*|"
    r"gpg: (marginals needed|depth): .*|Password encryption aborted\.|mkdir: created .*|"
    r"Enter contents of .*|Please make sure .*|and the repository exists\.|Another git process .*|"
    r"gpg: (WARNING|Note|please do) .*|\(Consider .*|\s*"
)
"""What they write before and after the line that matters."""
_FAULT = re.compile(r"(fatal|error|Error|ERROR|rm|gpg|ssh): .*| ! \[.*")


def why(entry: Entry, said: Sequence[str], status: int) -> str:
    """Return why a call about an entry failed and what to do, of the lines that were written."""
    text = "\n".join(said)
    for sign, sentence in _CAUSES:
        if found := re.search(sign, text):
            if not isinstance(sentence, str):
                return sentence(found, entry)
            return sentence.format(
                program=entry.program,
                path=shlex.quote(entry.path),
                file=entry.file,
                folder=shlex.quote(str(_existing(entry.file.parent))),
                store=shlex.quote(str(store_folder())),
                named_by=entry.named_by,
                init=entry.encrypt_to(entry.names),
            )
    told = line_that_matters(said) or f"status {status}"
    return f"{told}. Check the store by hand: {entry.program} ls"


def line_that_matters(said: Sequence[str]) -> str:
    """Return the first line that names a fault, else the last that says anything; masked."""
    news = [line.rstrip() for line in redact(without_login("\n".join(said))).splitlines()]
    news = [line for line in news if not _NO_NEWS.fullmatch(line)]
    faults = [line for line in news if _FAULT.fullmatch(line)]
    return (faults or news[-1:] or [""])[0].strip().rstrip(".")


def _existing(folder: Path) -> Path:
    return next((one for one in (folder, *folder.parents) if one.is_dir()), folder)


def _addresses(known: Iterable[Key]) -> list[str]:
    users = [user for key in known for user in key.users]
    return [*users, *(user.rpartition("<")[2].removesuffix(">") for user in users)]


def _people(known: Iterable[Key]) -> str:
    return next((user for key in known for user in key.users), "")


def _called(idents: Iterable[str], entry: Entry) -> str:
    """Name whose keys these are; one that gpg does not know is of those the entry is for."""
    people = [_people(keys(ident)) for ident in idents]
    return " and ".join(people if all(people) else entry.names or idents)
