"""Servers read at once: here, or by workers near them whose answers are merged here.

Workers come and go, and none is relied on. The servers of one that is gone are read from here; one
that has no opskit, or another, is named in the rows of the servers that it was to read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any, Self, cast

import msgspec

from opskit.arguments import check_kind, check_text, given
from opskit.errors import InputError
from opskit.inert import visible
from opskit.reading.errands import Answer, Errand, carry_out, edition, read_answer
from opskit.settings import read_settings
from opskit.swarm.context import DEFAULT_SERVER
from opskit.swarm.observe import READERS, Observation, observe_server

Near = Executor | Mapping[str, Executor]
"""Who reads: for all servers one executor, or by server's name one near it."""

_ON_THE_WAY_S = 10.0
"""What an errand may take beside the reading: a worker's first one imports opskit."""
_CALL = f"__import__({carry_out.__module__!r}, fromlist=['*']).{carry_out.__name__}(errand)"
"""What a worker evaluates. Sent as a function of opskit's own, it would be looked for before any
call: a Dask worker without opskit then drops its connection, and with that all of its work."""
_WORKERS = 4
"""How many an executor is taken to have that does not say."""
_SHOWN = 200
_UNFIT = frozenset(
    {"ImportError", "ModuleNotFoundError", "PackageNotFoundError", "AttributeError", "NameError",
     "TypeError", "SyntaxError"}
)  # fmt: skip
"""What is raised where opskit is missing or another one. Whatever else is, the worker is gone."""


def check_near(near: object) -> Near | None:
    """Return who is to read, once it is known to be what it must be.

    Raises
    ------
    InputError
        It is no executor and no mapping of servers to executors.
    """
    kind = "Give one of concurrent.futures, or of its kind."
    if not isinstance(near, Mapping):
        if near is not None:
            check_kind("executor", near, Executor, kind)
        return cast("Executor | None", near)
    found = cast("Mapping[object, object]", near)
    for server, executor in found.items():
        check_text("executor's server", server, "Name servers as abra does.")
        check_kind(f"executor[{server!r}]", executor, Executor, kind)
    if DEFAULT_SERVER in found:
        raise InputError(
            f"executor names {DEFAULT_SERVER!r}, the engine of the machine that reads it.",
            remedy="Leave it out: it is read here.",
        )
    return dict(cast("Mapping[str, Executor]", found))


def named(near: Near | None) -> str:
    """Return how a fleet says who reads for it."""
    if near is None:
        return ""
    executors = list(near.values()) if isinstance(near, Mapping) else [near]
    kinds = ", ".join(sorted({type(one).__name__ for one in executors}))
    some = f" {len(near)} servers" if isinstance(near, Mapping) else ""
    return f",{some} read by {kinds or 'none'}"


@dataclass(frozen=True, slots=True, eq=False)
class _Sent:
    """An errand that is out; without an executor, a reading of one server here."""

    servers: Sequence[str]
    executor: Executor | None = None
    why: str = ""
    """Why it is read here, though a worker was to read it."""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


class Shared:
    """Many servers being read, here and by workers; iterating gives each as it was read.

    Parameters
    ----------
    names
        Which servers.
    near
        Who reads them. What a mapping leaves out, and the engine of this machine, is read here.
    deadline
        Seconds for each server, whatever hangs.

    Attributes
    ----------
    by_workers
        The servers whose observation came from a worker.
    """

    def __init__(self, names: Sequence[str], near: Near | None, deadline: float) -> None:
        self.by_workers: set[str] = set()
        self._deadline = deadline
        self._threads = ThreadPoolExecutor(min(READERS, len(names)) or 1, "opskit-read")
        self._back = SimpleQueue[tuple[_Sent, Future[Any]]]()
        self._out: dict[_Sent, Future[Any]] = {}
        self._heard: dict[Executor, float] = {}
        self._answering: set[Executor] = set()
        by: dict[Executor | None, list[str]] = {}
        for name in names:
            chosen = near.get(name) if isinstance(near, Mapping) else near
            by.setdefault(None if name == DEFAULT_SERVER else chosen, []).append(name)
        for executor, servers in by.items():
            if executor is None:
                self._read_here(servers)
            else:
                self._share(servers, executor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for future in self._out.values():
            _give_up(future)
        self._threads.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[tuple[Observation, str]]:
        """Yield each server's observation, and what is odd about it; none is left out."""
        while self._out:
            try:
                sent, future = self._back.get(timeout=self._patience())
            except Empty:
                self._recall()
                continue
            if self._out.pop(sent, None) is None:
                continue  # It was recalled before.
            if sent.executor is None:
                yield _seen_here(sent, future.result())
            else:
                self._heard[sent.executor] = time.monotonic()
                self._answering.add(sent.executor)
                yield from self._seen_there(sent, future)

    def _await(self, sent: _Sent, future: Future[Any]) -> None:
        self._out[sent] = future
        future.add_done_callback(lambda future: self._back.put((sent, future)))

    def _read_here(self, servers: Sequence[str], why: str = "") -> None:
        for name in servers:
            future = self._threads.submit(observe_server, name, self._deadline)
            self._await(_Sent([name], why=why), future)

    def _share(self, servers: Sequence[str], executor: Executor) -> None:
        """Send errands for servers: for each worker one, if none is of too many."""
        settings = read_settings()
        told = getattr(executor, "_max_workers", None)
        workers = told if isinstance(told, int) and told > 0 else _WORKERS
        self._heard[executor] = time.monotonic()
        size = min(READERS, -(-len(servers) // workers))
        for at in range(0, len(servers), size):
            sent = _Sent(servers[at : at + size], executor)
            errand = Errand(
                edition=edition(),
                servers=tuple(sent.servers),
                deadline=self._deadline,
                reply_limit=settings.reply_limit,
                ssh_keep=settings.ssh_keep,
                once=os.urandom(16).hex(),
            )
            try:
                future = executor.submit(eval, _CALL, {"errand": msgspec.msgpack.encode(errand)})
            except Exception as error:  # noqa: BLE001 (whatever an executor raises, they are read)
                why = f"its executor takes no work ({_said(error)})"
                self._read_here(sent.servers, why)
            else:
                self._await(sent, future)

    def _patience(self) -> float | None:
        """Return how long to wait for the next answer: what is read here ends by itself."""
        asked = {sent.executor for sent in self._out if sent.executor is not None}
        due = [self._heard[one] + self._longest for one in asked]
        return max(0.0, min(due) - time.monotonic()) if due else None

    @property
    def _longest(self) -> float:
        """How long it may take to the next answer, while one worker is well.

        However many errands wait for their turn, each takes no longer than a server may.
        """
        return self._deadline + _ON_THE_WAY_S

    def _recall(self) -> None:
        """Read here what workers were to read of whom nothing was heard for too long."""
        now = time.monotonic()
        for sent in list(self._out):
            if sent.executor and now - self._heard[sent.executor] >= self._longest:
                future = self._out.pop(sent)
                # Where none ever answered, nobody is there to be told.
                if sent.executor in self._answering:
                    _give_up(future)
                self._read_here(sent.servers, f"no worker answered within {self._longest:g} s")

    def _seen_there(self, sent: _Sent, future: Future[Any]) -> Iterator[tuple[Observation, str]]:
        try:
            answer = _answer_in(future.result())
        except _UnfitError as error:
            yield from _missing(sent, *error.args)
            return
        except Exception as error:  # noqa: BLE001 (whatever befell a worker, its servers are read)
            unfit = next((one for one in _chain(error) if _kind(one) in _UNFIT), None)
            if unfit is not None:
                fault = f"its worker has no opskit, or another one ({_said(unfit)})."
                yield from _missing(sent, fault, _install())
            else:
                why = f"the worker that was to read it is gone ({_kind(error)})"
                self._read_here(sent.servers, why)
            return
        found = {seen.server: seen for seen in answer.observed}
        for name in sent.servers:
            if name in found:
                self.by_workers.add(name)
                yield _seen_by(answer.worker, found[name], sent.at)
            else:
                self._read_here([name], "its worker left it out")


class _UnfitError(Exception):
    """What came back is no answer of a worker that could read; and what mends that."""


def _answer_in(content: object) -> Answer:
    if not isinstance(content, bytes):
        raise _UnfitError(
            f"its executor gave back {given(content)} for the bytes of one worker.",
            "Of ipyparallel take client.load_balanced_view().executor, or a view of one engine.",
        )
    try:
        answer = read_answer(content)
    except msgspec.DecodeError as error:
        raise _UnfitError(f"its worker's answer cannot be read ({error}).", _install()) from None
    if answer.edition != edition():
        raise _UnfitError(
            f"its worker on {answer.worker} has another opskit ({answer.edition}, and here is "
            f"{edition()}).",
            _install(),
        )
    return answer


def _seen_here(sent: _Sent, seen: Observation) -> tuple[Observation, str]:
    if not sent.why or seen.manager:
        return seen, _oddity(seen) or ("read here" if sent.why else "")
    error = f"{sent.why}; from here: {seen.error}"
    return msgspec.structs.replace(seen, error=error), _oddity(seen)


def _seen_by(worker: str, seen: Observation, sent_at: datetime) -> tuple[Observation, str]:
    # Its clock may be wrong.
    taken_at = min(max(seen.taken_at, sent_at), datetime.now(UTC))
    error = seen.error and f"from {worker}: {seen.error}"
    return msgspec.structs.replace(seen, taken_at=taken_at, error=error), _oddity(seen)


def _missing(sent: _Sent, fault: str, remedy: str) -> Iterator[tuple[Observation, str]]:
    for name in sent.servers:
        now, error = datetime.now(UTC), f"{fault} {remedy}"
        seen = Observation(server=name, taken_at=now, error=error, remedy=remedy)
        yield seen, _oddity(seen)


def _oddity(seen: Observation) -> str:
    return "" if seen.manager else "missing"


def _install() -> str:
    return f"Install there what is installed here: opskit {edition().partition('+')[0]}."


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _kind(error: BaseException) -> str:
    # ipyparallel gives an error of its own that names the worker's.
    return str(getattr(error, "ename", type(error).__name__))


def _said(error: BaseException) -> str:
    said = str(getattr(error, "evalue", error)).partition("\n")[0]
    return visible(f"{_kind(error)}: {said}"[:_SHOWN])


def _give_up(future: Future[Any]) -> None:
    # What an executor's future does then is its own affair.
    with suppress(Exception):
        future.cancel()
