"""What tells more of an app than its swarm's lists do: healthchecks, complaints, its address.

The first two are asked of the engine, one container or task at a time; the address is asked from
this machine, with nothing that is secret, and only there.
"""

from __future__ import annotations

import http.client
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

from opskit.abra.model import DeclaredApp
from opskit.errors import NotFoundError, OpskitError
from opskit.facts.places import is_alive
from opskit.inert import visible
from opskit.secrets.redact import redact
from opskit.steps.complaint import complaint
from opskit.steps.tasks import http_status
from opskit.swarm import model
from opskit.swarm.engine import Engine

Tone = Literal["good", "warn", "bad", "idle"]

_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]{1,5})?")
_PATIENCE_S = 5.0
_REDIRECTS, _REFUSALS, _NOT_FOUND, _SERVER_FAULT = 300, 400, 404, 500
_ASKED = 6
"""So many tasks of a service are asked for their health."""
_NONE = "no healthcheck"


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """What tells more of a service than the lists of its swarm do.

    Parameters
    ----------
    health
        What the healthchecks of its tasks come to, in words; empty when nobody knows.
    fails
        Whether one of them fails.
    complaint
        What the engine says of its latest task that does not run. Nothing that a program wrote:
        a page stands where many look, and its logs come when somebody asks.
    """

    health: str = ""
    fails: bool = False
    complaint: str = ""


def sign_of(engine: Engine, tasks: Sequence[model.Task], *, amiss: bool) -> Sign:
    """Ask an engine about a service.

    Parameters
    ----------
    engine
        Its server.
    tasks
        All tasks of the service.
    amiss
        Whether it lacks tasks, so that it is asked what they complain of.
    """
    counted = _health(engine, tasks)
    health = ", ".join(
        name if len(counted) == 1 else f"{number} {name}" for name, number in counted.items()
    )
    fails = "unhealthy" in counted
    said = redact(visible(complaint(engine, tasks, quotes=False))) if amiss or fails else ""
    return Sign(health=health, fails=fails, complaint=said)


def _health(engine: Engine, tasks: Sequence[model.Task]) -> Counter[str]:
    found = Counter[str]()
    alive = [task for task in tasks if is_alive(task)]
    for task in sorted(alive, key=lambda task: task.created_at, reverse=True)[:_ASKED]:
        container = task.status.container_status
        if container is None or not container.container_id:
            continue
        try:
            health = engine.health(container.container_id)
        except NotFoundError:
            # It is on another node, whose engine alone knows.
            continue
        except OpskitError:
            break
        status = health.status if health else ""
        found[status if status not in ("", "none") else _NONE] += 1
    return found


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an app's address answered, in words."""

    url: str
    text: str
    tone: Tone


def url_of(app: DeclaredApp) -> str:
    """Return where an app should answer; empty when its domain is none."""
    return f"https://{app.domain}/" if _HOST.fullmatch(app.domain) else ""


def ask(url: str) -> Answer:
    """Ask an address whether it answers; what leads elsewhere is an answer, and not followed."""
    try:
        return _answer(url, http_status(url, _PATIENCE_S, follows=False))
    except (OSError, ValueError, http.client.HTTPException) as error:
        why = getattr(error, "reason", error)
        said = getattr(why, "strerror", None) or str(why) or type(why).__name__
        return Answer(url=url, text=f"does not answer: {said}", tone="bad")


def _answer(url: str, status: int) -> Answer:
    # A proxy answers in an app's place: with 502 and the like, or 404, when it does not reach it.
    if status >= _SERVER_FAULT:
        return Answer(url=url, text=f"answers with status {status}: a fault", tone="bad")
    if status == _NOT_FOUND:
        said = "answers with status 404: nothing is there, or the proxy does not know it"
        return Answer(url=url, text=said, tone="warn")
    what = " and leads elsewhere" if _REDIRECTS <= status < _REFUSALS else ""
    return Answer(url=url, text=f"answers with status {status}{what}", tone="good")
