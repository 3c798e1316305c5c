"""Who can open which entry of the password store: the ``.gpg-id`` files of ``pass`` and gopass.

An entry is encrypted to the keys named by the nearest ``.gpg-id`` above it. The store's git
history is left out: somebody removed from a ``.gpg-id`` may keep copies of what was there before.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

_HEX = frozenset("0123456789ABCDEF")
_TIMEOUT_S = 20.0


def openable(entries: Iterable[str], store: Path, person: str) -> frozenset[str]:
    """Give the entries that are encrypted to a person.

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
    """Give the fingerprints gpg knows of a person, and what the person was called by."""
    called = person.upper().removeprefix("0X")
    try:
        listed = subprocess.run(
            ["gpg", "--batch", "--with-colons", "--list-keys", "--", person],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        listed = ""  # without gpg, what the files say is all there is
    lines = (line.split(":") for line in listed.splitlines())
    return frozenset(parts[9] for parts in lines if parts[0] == "fpr") | {called}
