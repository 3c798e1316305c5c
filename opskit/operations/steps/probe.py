"""Questions from outside, asked once services have converged."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.error
import urllib.request
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from opskit.errors import VerifyError
from opskit.operations.steps.base import Site

_PAUSE_S = 1.0


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A question from outside: an HTTP status, an open TCP port, or a command's exit status."""

    kind: Literal["http", "tcp", "command"]
    target: tuple[str, ...]
    status: int = 200


def ask(site: Site, probe: Probe, until: float) -> None:
    """Ask until the answer is right or the time is up.

    Raises
    ------
    VerifyError
        The answer stayed wrong.
    """
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
        site.keep_lock()
        site.wait(_PAUSE_S)


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
