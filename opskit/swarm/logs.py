"""What services wrote, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from opskit.errors import InputError
from opskit.inert import visible
from opskit.swarm.engine import Engine
from opskit.swarm.frames import STREAMS

_CONTROL = {code: " " for code in range(32) if code != 9} | {127: " "}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a service; its text is whatever the program wrote."""

    time: datetime
    service: str
    stream: str
    text: str = field(repr=False)


def read_logs(
    engine: Engine, service_id: str, name: str, *, tail: int, since: str = ""
) -> list[LogLine]:
    """Read the last lines of a service.

    Parameters
    ----------
    engine
        Its server.
    service_id, name
        Which service, and what to call it in the lines.
    tail
        How many lines.
    since
        Only those after this time (ISO 8601).
    """
    try:
        moment = f"{datetime.fromisoformat(since).timestamp():.9f}" if since else ""
    except ValueError:
        raise InputError(
            f"{since!r} is no time.", remedy="Write it as 2026-11-25 or 2026-11-25T14:30."
        ) from None
    pieces = engine.service_logs(service_id, tail=tail, since=moment)
    return [line for stream, text in pieces for line in _lines(name, STREAMS.get(stream, ""), text)]


def last_words(engine: Engine, task_id: str, *, tail: int) -> list[str]:
    """Read the last lines of one task; none when its log driver gives none back."""
    pieces = engine.task_logs(task_id, tail=tail)
    return [line.text for stream, text in pieces for line in _lines("", str(stream), text)][-tail:]


def lines_of(text: str) -> list[str]:
    """Return the lines of what a program wrote, so that none steers the reader's terminal."""
    return [visible(line.translate(_CONTROL)) for line in text.splitlines()]


def _lines(name: str, stream: str, text: bytes) -> Iterator[LogLine]:
    for line in lines_of(text.decode("utf-8", "replace")):
        stamp, _, rest = line.partition(" ")
        try:
            time = datetime.fromisoformat(stamp)
        except ValueError:
            continue
        if time.tzinfo is None:
            # Engines say UTC: it is a word of the program's.
            continue
        yield LogLine(time=time, service=name, stream=stream, text=rest)
