"""What a worker elsewhere is asked to read, and what it answers: bytes of typed structs.

The worker finds each server by its own Docker context of that name, over connections of its own.
All else that its reading depends on comes with the errand, and none of it out of the worker's
settings. No file of abra's folder travels, and of what an engine says no more than a snapshot's
file holds: the digests that a plan compares with, by which a value could be guessed, stay there.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import cast

import msgspec

from opskit.decoding import decode_msgpack
from opskit.facts.facts import without_digests
from opskit.swarm.observe import READERS, Observation, observe_server
from opskit.swarm.transport import Transport


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """Which servers to read, and how.

    Parameters
    ----------
    edition
        See `edition`: of the opskit that asks.
    servers
        Their names, at most `READERS`.
    deadline
        Seconds for each server, whatever hangs.
    reply_limit, ssh_keep
        See `opskit.settings.Settings`.
    once
        Differs from that of every other errand: Dask takes equal calls for one, and would give
        what the first found.
    """

    edition: str
    servers: tuple[str, ...]
    deadline: float
    reply_limit: int
    ssh_keep: int
    once: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker found.

    Parameters
    ----------
    edition
        Of the worker's opskit; when it is another one than was asked by, it read nothing.
    worker
        The name of its machine.
    observed
        One observation for each server, without digests.
    """

    edition: str
    worker: str
    observed: tuple[Observation, ...] = ()


class _Head(msgspec.Struct):
    edition: str


class _AnswerHead(msgspec.Struct):
    edition: str
    worker: str


@cache
def edition() -> str:
    """Return what tells opskits apart that could misunderstand each other.

    That is the version, and what observations are made of: between two releases only that changes.
    """
    # Loaded only where there is a worker.
    from importlib.metadata import version

    schema = msgspec.json.schema(Answer, schema_hook=lambda _: {"type": "object"})
    shape = msgspec.json.encode(_without_words(schema), order="sorted")
    return f"{version('opskit')}+{hashlib.sha256(shape).hexdigest()[:8]}"


def _without_words(schema: object) -> object:
    """Return a schema without docstrings: ``-OO`` drops them, and Python 3.13 indents them less."""
    if isinstance(schema, dict):
        parts = cast("dict[str, object]", schema).items()
        return {
            name: _without_words(part)
            for name, part in parts
            if name != "description" or not isinstance(part, str)
        }
    if isinstance(schema, list):
        return [_without_words(part) for part in cast("list[object]", schema)]
    return schema


def carry_out(errand: bytes) -> bytes:
    """Read the servers of an `Errand` here, all at once, and return the `Answer`."""
    mine, worker = edition(), socket.gethostname()
    if decode_msgpack(errand, _Head).edition != mine:
        return msgspec.msgpack.encode(Answer(edition=mine, worker=worker))
    wanted = decode_msgpack(errand, Errand)
    transport = _transport(wanted.reply_limit, wanted.ssh_keep)

    def read(server: str) -> Observation:
        return without_digests(observe_server(server, wanted.deadline, transport))

    with ThreadPoolExecutor(min(READERS, len(wanted.servers)) or 1, "opskit-read") as threads:
        observed = tuple(threads.map(read, wanted.servers))
    return msgspec.msgpack.encode(Answer(edition=mine, worker=worker, observed=observed))


def read_answer(content: bytes) -> Answer:
    """Read an answer; of another edition only its head.

    Raises
    ------
    msgspec.DecodeError
        It is none.
    """
    head = decode_msgpack(content, _AnswerHead)
    if head.edition != edition():
        return Answer(edition=head.edition, worker=head.worker)
    return decode_msgpack(content, Answer)


@cache
def _transport(reply_limit: int, ssh_keep: int) -> Transport:
    """Return connections that stay open for the next errand of the same kind."""
    made = Transport(reply_limit=reply_limit, ssh_keep=ssh_keep)
    atexit.register(made.close)
    return made


# Those of a parent process are its own.
os.register_at_fork(after_in_child=_transport.cache_clear)
