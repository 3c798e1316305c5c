"""Which services a run's deploy made, so that its way back removes these and nobody else's.

A deploy that ended wrote down what there was then. One that was killed could not; but before it
began it wrote down between which moments, by the engine's own clock, it may have made something.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from opskit.steps.base import Detail, StepContext
from opskit.steps.services import services_of
from opskit.swarm.engine import RawService, RawSpec

ACTION = "deploy"
"""The step that is asked for here."""

_SERVICES, _SINCE, _UNTIL = "services", "since", "until"
_NEVER = datetime(1970, 1, 1, tzinfo=UTC).isoformat()
NOTHING: Detail = {_SINCE: _NEVER, _UNTIL: _NEVER}
"""What a step intends that makes none."""
_MARGIN = timedelta(seconds=5)
"""What clocks of two managers may differ by; where they differ more, less is removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What is known of the services that a run's deploy made.

    Parameters
    ----------
    noted
        What each service was when the deploy ended, by id; ``None`` when it did not.
    since, until
        When it may have made some, if it did not end; ``None`` when nobody wrote that down.
    """

    noted: Mapping[str, str] | None
    since: datetime | None = None
    until: datetime | None = None

    def has(self, found: RawService) -> bool:
        """Return whether the deploy made a service that was not there before."""
        if self.noted is not None:
            return found.service.id in self.noted
        if self.since is None or self.until is None:
            return True
        return self.since <= found.service.created_at <= self.until

    def was_updated(self, found: RawService) -> bool:
        """Return whether it is another than it was made; a restart, or the same again, is none."""
        now = kind_of(found.spec)
        if self.noted is not None:
            return now != self.noted[found.service.id]
        return found.previous is not None and kind_of(found.previous) != now


def made_by(ctx: StepContext) -> Made:
    """Return what is known of the services that the run's deploy made."""
    reported = ctx.reported(ACTION).get(_SERVICES)
    if reported is not None:
        return Made(noted=dict(one.split(":", 1) for one in str(reported).split()))
    intended = ctx.intended(ACTION)
    if intended is None:
        # It was never begun.
        return Made(noted={})
    return Made(noted=None, since=_moment(intended, _SINCE), until=_moment(intended, _UNTIL))


def may_make(ctx: StepContext, seconds: float) -> Detail:
    """Return when a deploy may make services that is begun now, or was before a crash."""
    now = ctx.patiently(ctx.engine.info).system_time or datetime.now(UTC)
    until = now + timedelta(seconds=seconds) + _MARGIN
    before = (ctx.intended(ACTION) or {}).get(_SINCE, _NEVER) if ctx.retry else _NEVER
    began = (now - _MARGIN).isoformat() if before == _NEVER else before
    return {_SINCE: began, _UNTIL: until.isoformat()}


def as_left(ctx: StepContext, stack: str) -> Detail:
    """Return the services that there are now, with digests of what they are."""
    idents = [one.id for one in ctx.patiently(lambda: services_of(ctx, stack))]
    specs = {
        ident: ctx.patiently(lambda ident=ident: ctx.engine.raw_service(ident)).spec
        for ident in idents
    }
    return {_SERVICES: " ".join(f"{ident}:{kind_of(one)}" for ident, one in specs.items())}


def kind_of(spec: RawSpec) -> str:
    """Return a digest of what a service is, however often it was restarted."""
    template: dict[str, Any] = {**(spec.get("TaskTemplate") or {}), "ForceUpdate": 0}
    text = json.dumps({**spec, "TaskTemplate": template}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _moment(intended: Detail, name: str) -> datetime | None:
    # Journals of before name none.
    said = intended.get(name)
    return datetime.fromisoformat(said) if isinstance(said, str) else None
