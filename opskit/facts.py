"""What one look at the fleet found, as plain data: what is declared and what was observed."""

from __future__ import annotations

import gzip
import zlib
from datetime import datetime
from functools import cached_property
from pathlib import Path

import msgspec

from opskit.abra.model import Declared, DeclaredApp, DeclaredServer
from opskit.atomic import private_folder, write_private
from opskit.decoding import ready
from opskit.errors import InputError
from opskit.swarm.observe import Observation

_FORMAT = 1
_SAVE_AGAIN = "Save a new one with: opskit snapshot FILE"


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    opskit_snapshot: int
    taken_at: datetime
    declared: Declared
    observed: tuple[Observation, ...]


class _Envelope(msgspec.Struct):
    opskit_snapshot: int


class Facts:
    """What a snapshot holds: plain data, no values of secrets, no environment variables.

    Parameters
    ----------
    taken_at
        When the reading began (UTC).
    declared
        Servers, apps and secrets as abra's files declare them.
    observed
        One observation per server that was asked.
    saved
        Whether they were read from a file, which lacks what a plan compares with.
    """

    def __init__(
        self,
        *,
        taken_at: datetime,
        declared: Declared,
        observed: tuple[Observation, ...],
        saved: bool = False,
    ) -> None:
        self.taken_at, self.declared, self.observed = taken_at, declared, observed
        self.saved = saved

    @cached_property
    def seen(self) -> dict[str, Observation]:
        """Observations by server name."""
        return {observation.server: observation for observation in self.observed}

    @cached_property
    def apps_by_server(self) -> dict[str, tuple[DeclaredApp, ...]]:
        """Declared apps by server name, for every server known from either side."""
        found: dict[str, tuple[DeclaredApp, ...]] = {
            server.name: server.apps for server in self.declared.servers
        }
        for observation in self.observed:
            found.setdefault(observation.server, ())
        return dict(sorted(found.items()))

    def missing(self) -> dict[str, str]:
        """Servers whose swarm could not be read, each with the reason."""
        gone = {o.server: o.error or "not read" for o in self.observed if not o.manager}
        gone |= {s: "not asked" for s in self.apps_by_server if s not in self.seen}
        return dict(sorted(gone.items()))


def save_facts(facts: Facts, path: Path) -> None:
    """Write a snapshot to a gzipped JSON file readable by its owner only, all or nothing.

    Raises
    ------
    InputError
        The file cannot be written there.
    """
    content = msgspec.json.encode(
        _Saved(
            opskit_snapshot=_FORMAT,
            taken_at=facts.taken_at,
            declared=msgspec.structs.replace(
                facts.declared, servers=tuple(map(_without_file_hashes, facts.declared.servers))
            ),
            observed=tuple(map(_without_spec_digests, facts.observed)),
        )
    )
    # Its own folder, not a chain of them: that is rather a mistyped path.
    private_folder(path.parent, parents=False)
    write_private(path, gzip.compress(content, compresslevel=3))


def load_facts(path: Path) -> Facts:
    """Read a snapshot file.

    Raises
    ------
    InputError
        There is none, it is damaged, or another opskit wrote it.
    """
    try:
        content = gzip.decompress(path.read_bytes())
        version = msgspec.json.decode(content, type=ready(_Envelope)).opskit_snapshot
    except (gzip.BadGzipFile, zlib.error, EOFError, msgspec.MsgspecError) as error:
        raise InputError(
            f"this is not a whole opskit snapshot ({error}).", path=path, remedy=_SAVE_AGAIN
        ) from error
    except OSError as error:
        raise InputError(
            f"the snapshot cannot be read ({error.strerror}).", path=path, remedy=_SAVE_AGAIN
        ) from error
    if version != _FORMAT:
        raise InputError(
            f"this snapshot has format {version}, and this opskit reads {_FORMAT}.",
            path=path,
            remedy="Use the opskit that wrote it, or save a new one.",
        )
    try:
        saved = msgspec.json.decode(content, type=ready(_Saved))
    except msgspec.MsgspecError as error:
        raise InputError(
            f"this snapshot is damaged ({error}).", path=path, remedy=_SAVE_AGAIN
        ) from error
    return Facts(
        taken_at=saved.taken_at, declared=saved.declared, observed=saved.observed, saved=True
    )


# Only a plan needs them, and it is made over a look of its own: a password that stands in a `.env`
# or a spec could be guessed with them.


def _without_file_hashes(server: DeclaredServer) -> DeclaredServer:
    apps = tuple(msgspec.structs.replace(app, env_sha256="") for app in server.apps)
    return msgspec.structs.replace(server, apps=apps)


def _without_spec_digests(seen: Observation) -> Observation:
    services = tuple(msgspec.structs.replace(one, spec_digest="") for one in seen.services)
    return msgspec.structs.replace(seen, services=services)
