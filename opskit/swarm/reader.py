"""Reading many lists of one engine in one round trip.

All requests go down one connection before the first reply is read (HTTP pipelining), and those
to a new connection together with its greeting.
"""

from __future__ import annotations

from collections.abc import Sequence

from opskit.errors import OpskitError
from opskit.swarm.connection import Flight, Reply
from opskit.swarm.context import Context
from opskit.swarm.stream import Deadline
from opskit.swarm.transport import Transport


def read_at_once(
    transport: Transport, context: Context, paths: Sequence[str], deadline: Deadline
) -> tuple[list[Reply], OpskitError | None]:
    """Read many paths of one engine.

    What a connection leaves unanswered is asked over a new one: once when it broke, and as often
    as it takes when the other side closes it in good order. A server that answers one request at
    a time only is asked so from then on.

    Parameters
    ----------
    transport
        The connections to use.
    context
        The engine.
    paths
        What to get, without the API version.
    deadline
        When all must be over.

    Returns
    -------
    tuple[list[Reply], OpskitError | None]
        The replies in the order of `paths`; all of them, unless there is an error.
    """
    replies: list[Reply] = []
    breaks = 0
    while len(replies) < len(paths):
        rest = paths[len(replies) :]
        try:
            found, is_new = _read_some(transport, context, rest, deadline)
        except OpskitError as error:
            return replies, error
        replies += found.replies
        if found.error is not None:
            breaks += is_new
            if breaks > 1:
                return replies, found.error
    return replies, None


def _read_some(
    transport: Transport, context: Context, paths: Sequence[str], deadline: Deadline
) -> tuple[Flight, bool]:
    """Read as many paths as one connection gives, and tell whether it was a new one."""
    is_single = context in transport.one_at_a_time
    flight = paths[:1] if is_single else paths
    greeting = () if is_single else flight
    with transport.connection(context, deadline, flight=greeting) as (connection, is_new):
        found = connection.take_landed() or connection.ask(flight, deadline)
    if found.is_refused:
        transport.one_at_a_time.add(context)
    return found, is_new
