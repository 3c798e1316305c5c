"""Who can open entries of pass's store, and what gpg knows of their keys.

Who can open an entry are the keys that the nearest ``.gpg-id`` above it names. The store's git
history is left out: somebody removed from a ``.gpg-id`` may keep copies of what was there before.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from opskit.git import operators_environment
from opskit.secrets.program import run

GPG_ID = ".gpg-id"

_HEX = frozenset("0123456789ABCDEF")
_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A public key as gpg has it.

    Parameters
    ----------
    fingerprints
        Its own, then those of its subkeys.
    validity
        gpg's letter: ``e`` expired, ``r`` revoked, ``u`` one's own, and others.
    expired
        The latest day on which what encrypts of it expired, if it did.
    users
        Whom it says it belongs to.
    """

    fingerprints: tuple[str, ...]
    validity: str
    expired: date | None
    users: tuple[str, ...]


def environment() -> dict[str, str]:
    """Return the environment for gpg, pass and gopass: messages are known by their English texts.

    pass and gopass run git, and gopass wherever it is led.
    """
    return operators_environment() | {"LC_ALL": "C.UTF-8", "NO_COLOR": "1"}


def store_folder() -> Path:
    """Return the folder of pass's store: ``PASSWORD_STORE_DIR``, else ``~/.password-store``."""
    configured = os.environ.get("PASSWORD_STORE_DIR")
    return Path(configured) if configured else Path.home() / ".password-store"


def naming(path: str) -> Path | None:
    """Return the ``.gpg-id`` that says who can open an entry, if the store has one for it."""
    folders = (store_folder() / part for part in Path(path).parents)
    return next((one / GPG_ID for one in folders if (one / GPG_ID).is_file()), None)


def names_of(listed: Path) -> tuple[str, ...]:
    """Return whom a ``.gpg-id`` names, as they are written there; nobody when it cannot be read."""
    try:
        text = listed.read_text(errors="replace")
    except OSError:
        return ()
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return tuple(line for line in lines if line)


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
    known = {one for key in keys(person) for one in key.fingerprints}
    called = person.upper().removeprefix("0X")
    recipients: dict[Path, bool] = {}

    def is_recipient(folder: Path) -> bool:
        if folder not in recipients:
            listed = folder / GPG_ID
            if listed.is_file():
                recipients[folder] = any(
                    is_named(name, {person}, {called, *known}) for name in names_of(listed)
                )
            else:
                recipients[folder] = folder != store and is_recipient(folder.parent)
        return recipients[folder]

    return frozenset(path for path in entries if is_recipient((store / path).parent))


def is_named(name: str, people: Iterable[str], fingerprints: Iterable[str]) -> bool:
    """Return whether a line of a ``.gpg-id`` means one of these people or keys."""
    ident = name.casefold()
    address = ident.rpartition("<")[2].removesuffix(">")
    key = ident.removeprefix("0x").removesuffix("!").upper()
    by_key = set(key) <= _HEX and any(one.endswith(key) for one in fingerprints)
    return bool({ident, address} & {one.casefold() for one in people}) or by_key


def keys(name: str) -> list[Key]:
    """Return the public keys that gpg has by a name, an id or a fingerprint; none without gpg."""
    found: list[Key] = []
    for block in _blocks(_gpg("--with-colons", "--list-keys", "--", name)):
        ends = [
            datetime.fromtimestamp(int(parts[6]), UTC)
            for parts in block
            if parts[0] in ("pub", "sub") and "e" in parts[1] and parts[6].isdecimal()
        ]
        found.append(
            Key(
                fingerprints=tuple(parts[9] for parts in block if parts[0] == "fpr"),
                validity=block[0][1],
                expired=max(ends).date() if ends else None,
                users=tuple(parts[9] for parts in block if parts[0] == "uid"),
            )
        )
    return found


def sealed_to(file: Path) -> dict[str, bool]:
    """Return the ids of the keys that an entry's file is encrypted to, and whether each is here."""
    said = _gpg("--list-only", "--status-fd", "1", "--decrypt", "--", str(file))
    words = [line.split() for line in said if line.startswith("[GNUPG:] ")]
    absent = {parts[2] for parts in words if parts[1] == "NO_SECKEY"}
    return {parts[2]: parts[2] not in absent for parts in words if parts[1] == "ENC_TO"}


def _blocks(lines: Iterable[str]) -> list[list[list[str]]]:
    """Return the records of each key, whose first is the key's own."""
    found: list[list[list[str]]] = []
    for line in lines:
        parts = line.split(":")
        if parts[0] == "pub":
            found.append([])
        if found:
            found[-1].append(parts)
    return found


def _gpg(*arguments: str) -> list[str]:
    try:
        ended = run(("gpg", "--batch", *arguments), seconds=_TIMEOUT_S, environment=environment())
    except (OSError, TimeoutError, OverflowError):
        return []  # without gpg, what the files say is all there is
    return ended.output.decode(errors="replace").splitlines()
