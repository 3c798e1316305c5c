"""The step that makes sure a change works: services converged, stable, old version gone."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from opskit.errors import VerifyError
from opskit.operations.steps.base import TRANSIENT, Detail, Site, Step
from opskit.operations.steps.secrets import stored
from opskit.swarm import model

_POLL_S = 0.25
_FAILED_STATES = frozenset({"failed", "rejected"})
_ENDED_STATES = _FAILED_STATES | {"complete", "shutdown", "remove", "orphaned"}
_BAD_UPDATES = frozenset({"paused", "rollback_started", "rollback_paused", "rollback_completed"})
_ENOUGH_FAILURES = 3


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A question from outside: an HTTP status, an open TCP port, or a command's exit status."""

    kind: Literal["http", "tcp", "command"]
    target: tuple[str, ...]
    status: int = 200


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A service to watch, and the secrets it must, and must not, use."""

    service: str
    service_id: str
    new: tuple[str, ...]
    old_ids: tuple[str, ...]


class Verify(Step, frozen=True, kw_only=True, tag="verify"):
    """Wait until every service runs on the new versions and stays so.

    `timeout` and `stable` are in seconds.
    """

    watched: tuple[Watched, ...]
    timeout: float
    stable: float
    probe: Probe | None = None

    def subject(self) -> str:
        """Name the services."""
        return ", ".join(one.service for one in self.watched) or "probe"

    def calls(self) -> list[str]:
        """Show what is waited for."""
        lines = [
            f"GET /services/{one.service_id}, /tasks: {one.service} converged for "
            f"{self.stable:g} s within {self.timeout:g} s"
            for one in self.watched
        ]
        if self.probe:
            lines.append(f"probe {self.probe.kind} {' '.join(self.probe.target)}")
        return lines

    def do(self, site: Site) -> Detail:
        """Watch until all is well, or say what is not."""
        started = time.monotonic()
        until = started + self.timeout
        _converge(site, self.watched, until=until, stable=self.stable, forward=True)
        if self.probe is not None:
            _ask(site, self.probe, until)
        return {"seconds": round(time.monotonic() - started, 2)}

    def undo(self, site: Site) -> Detail:
        """Do nothing: `ConvergeBack` waits once the services are switched back."""
        return {}


class ConvergeBack(Step, frozen=True, kw_only=True, tag="converge-back"):
    """The other half of `Verify`: stands before the switches, so it is undone after them."""

    watched: tuple[Watched, ...]
    timeout: float

    def subject(self) -> str:
        """Name the services."""
        return ", ".join(one.service for one in self.watched)

    def calls(self) -> list[str]:
        """Do nothing unless the run is undone."""
        return []

    def do(self, site: Site) -> Detail:
        """Do nothing; there is something to wait for only when the run is undone."""
        return {}

    def undo(self, site: Site) -> Detail:
        """Wait until every service runs on the versions it came from."""
        until = time.monotonic() + self.timeout
        _converge(site, self.watched, until=until, stable=0.0, forward=False)
        return {}


def _converge(
    site: Site, watched: tuple[Watched, ...], *, until: float, stable: float, forward: bool
) -> None:
    """Wait until all services run the right tasks, the same ones for `stable` seconds."""
    # By id, as a version that failed before may have been made anew under its name, and Swarm
    # remembers the tasks that failed on it.
    new = {name: _id_of(site, name) for one in watched for name in one.new}
    since: float | None = None
    last: frozenset[str] = frozenset()
    why = "the server did not answer"
    while True:
        running: frozenset[str] | None = frozenset()
        settled = True
        try:
            for one in watched:
                seen = _look(site, one, [new[name] for name in one.new], forward=forward)
                settled = settled and seen.settled
                why = f"{one.service}: {seen.why}" if seen.why else why
                if seen.running is None:
                    running = None
                    break
                running |= seen.running
        except TRANSIENT as error:
            running, why = None, str(error)
        now = time.monotonic()
        if running is None or running != last:
            since, last = None, running or frozenset()
        if running is not None:
            since = now if since is None else since
            if settled and now - since >= stable:
                return
        if now >= until:
            raise VerifyError(f"{site.engine.server} did not converge in time: {why}.")
        site.keep_lock()
        site.wait(_POLL_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A service now: the right tasks that run when none is missing, and what is still amiss.

    A rollout goes on for the monitoring time of its update after its last task runs; the tasks
    count as stable from when they run, the rollout as settled from when it has ended.
    """

    running: frozenset[str] | None
    settled: bool = True
    why: str = ""


def _look(site: Site, one: Watched, new: list[str], *, forward: bool) -> _Seen:
    service = site.engine.raw_service(one.service_id).service
    tasks = site.engine.tasks(one.service_id)
    state = service.update_status.state if service.update_status else ""
    if forward:
        if state in _BAD_UPDATES:
            raise VerifyError(
                f"{one.service} on {site.engine.server} did not take the change: its update is "
                f"{state.replace('_', ' ')} ({_complaint(tasks)})."
            )
        failures = [task for task in tasks if _is_new(task, new) and _has_failed(task)]
        if len(failures) >= _ENOUGH_FAILURES:
            raise VerifyError(
                f"{one.service} on {site.engine.server} keeps failing on the new version: "
                f"{_complaint(failures)}."
            )
    if any(not _is_right(task, one, new, forward=forward) for task in tasks if _is_alive(task)):
        why = f"tasks of the other version are still there; {_complaint(tasks)}"
        return _Seen(running=None, why=why)
    right = [task for task in tasks if task.desired_state == "running"]
    running = [task for task in right if task.status.state == "running"]
    wanted = _wanted(service, right)
    if len(running) < wanted:
        why = f"{len(running)} of {wanted} tasks run; {_complaint(tasks)}"
        return _Seen(running=None, why=why)
    settled = state not in ("updating", "rollback_started")
    why = "" if settled else f"its update is still {state.replace('_', ' ')}; {_complaint(tasks)}"
    return _Seen(running=frozenset(task.id for task in running), settled=settled, why=why)


def _wanted(service: model.Service, right: list[model.Task]) -> int:
    replicated = service.spec.mode.replicated
    # A global service wants as many tasks as Swarm gave it: one on each fitting node.
    return replicated.replicas if replicated is not None else max(1, len(right))


def _id_of(site: Site, name: str) -> str:
    there = site.patiently(lambda: stored(site.engine, name))
    return there.id if there is not None else ""


def _is_new(task: model.Task, new: list[str]) -> bool:
    return bool(new) and _ids(task).issuperset(new)


def _is_right(task: model.Task, one: Watched, new: list[str], *, forward: bool) -> bool:
    if not new:
        return True
    if forward and _ids(task) & set(one.old_ids):
        return False
    return _is_new(task, new) is forward


def _ids(task: model.Task) -> set[str]:
    container = task.spec.container_spec
    return {reference.secret_id for reference in (container and container.secrets) or ()}


def _is_alive(task: model.Task) -> bool:
    return task.status.state not in _ENDED_STATES


def _has_failed(task: model.Task) -> bool:
    return task.status.state in _FAILED_STATES


def _complaint(tasks: tuple[model.Task, ...] | list[model.Task]) -> str:
    """Give the latest thing a task complained of."""
    said = [task for task in tasks if task.status.err or _has_failed(task)]
    if not said:
        return "no task complains"
    last = max(said, key=lambda task: task.created_at)
    return last.status.err or last.status.message or last.status.state


def _ask(site: Site, probe: Probe, until: float) -> None:
    why = "not tried"
    while True:
        try:
            why = _answer(probe, max(1.0, min(10.0, until - time.monotonic())))
        except (OSError, subprocess.SubprocessError) as error:
            why = str(error)
        if not why:
            return
        if time.monotonic() >= until:
            raise VerifyError(f"the probe {probe.kind} {' '.join(probe.target)} failed: {why}.")
        site.wait(_POLL_S * 4)


def _answer(probe: Probe, seconds: float) -> str:
    """Ask once; give nothing when the answer is right, else what is wrong with it."""
    match probe.kind:
        case "http":
            status = _http_status(probe.target[0], seconds)
            return "" if status == probe.status else f"status {status}, not {probe.status}"
        case "tcp":
            host, _, port = probe.target[0].rpartition(":")
            socket.create_connection((host, int(port)), seconds).close()
            return ""
        case "command":
            ended = subprocess.run(
                list(probe.target), stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds,
                check=False,
            )  # fmt: skip
            return "" if ended.returncode == 0 else f"exit status {ended.returncode}"


def _http_status(url: str, seconds: float) -> int:
    if urlsplit(url).scheme not in ("http", "https"):
        raise VerifyError(f"the probe's address {url} is neither http:// nor https://.")
    try:
        with urllib.request.urlopen(url, timeout=seconds) as reply:  # noqa: S310
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
