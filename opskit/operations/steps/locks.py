"""Steps that take and release the lock of a stack."""

from __future__ import annotations

from opskit.operations import lock
from opskit.operations.steps.base import TRANSIENT, Detail, Site, Step


class TakeLock(Step, frozen=True, kw_only=True, tag="take-lock"):
    """Keep every other operator's opskit away from the stack."""

    stack: str

    def subject(self) -> str:
        """Name the stack."""
        return self.stack

    def calls(self) -> list[str]:
        """Show the create call."""
        return [f"POST /configs/create Name={lock.lock_name(self.stack)}"]

    def do(self, site: Site) -> Detail:
        """Take the lock, or renew it when this run holds it."""
        try:
            self._take(site)
        except TRANSIENT:
            # Taking twice is harmless: the run that holds it may take it again.
            site.patiently(lambda: self._take(site))
        return {}

    def undo(self, site: Site) -> Detail:
        """Release it."""
        return {
            "released": site.patiently(lambda: lock.release(site.engine, self.stack, run=site.run))
        }

    def _take(self, site: Site) -> None:
        lock.take(
            site.engine,
            self.stack,
            run=site.run,
            owner=site.actor,
            host=site.host,
            identity=site.identity,
            status_of=site.status_of,
        )


class ReleaseLock(Step, frozen=True, kw_only=True, tag="release-lock"):
    """Let others work on the stack again."""

    stack: str

    def subject(self) -> str:
        """Name the stack."""
        return self.stack

    def calls(self) -> list[str]:
        """Show the delete call."""
        return [f"DELETE /configs/{lock.lock_name(self.stack)}"]

    def do(self, site: Site) -> Detail:
        """Release the lock, or find it released."""
        return {
            "released": site.patiently(lambda: lock.release(site.engine, self.stack, run=site.run))
        }

    def undo(self, site: Site) -> Detail:
        """Do nothing: whoever undoes the run takes the lock first."""
        return {}
