"""Snapshot files of format 1, gzipped JSON: they are read, and no more written."""

from __future__ import annotations

import zlib
from datetime import UTC

import msgspec

from opskit.abra.model import Declared
from opskit.decoding import decode_json
from opskit.facts.facts import Facts
from opskit.files.bounded import unzipped
from opskit.swarm import model
from opskit.swarm.observe import Observation

_LIMIT_MIB = 256
"""What one unpacks to: more than the largest fleet's."""


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    taken_at: model.Time
    declared: Declared
    observed: tuple[Observation, ...]


class _Envelope(msgspec.Struct):
    opskit_snapshot: int


def read_gzipped(content: bytes) -> Facts | int:
    """Return what a file holds, or the version that it has if it is no 1.

    Raises
    ------
    ValueError, OverflowError
        It is no whole snapshot.
    """
    try:
        text = unzipped(content, _LIMIT_MIB * 1024**2)
    except (zlib.error, EOFError) as error:
        raise ValueError(str(error)) from error
    if text is None:
        raise ValueError(f"it unpacks to more than {_LIMIT_MIB} MiB")
    version = decode_json(text, _Envelope).opskit_snapshot
    if version != 1:
        return version
    saved = decode_json(text, _Saved)
    return Facts(
        taken_at=saved.taken_at.astimezone(UTC),
        declared=saved.declared,
        observed=saved.observed,
        saved=True,
    )
