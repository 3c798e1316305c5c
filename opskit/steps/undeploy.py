"""The step that takes a stack down and leaves its data alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Set
from shlex import quote

from opskit.errors import EngineError, NotFoundError, OpskitError, StepError
from opskit.facts.join import stack_of
from opskit.facts.places import is_alive
from opskit.steps.base import TRANSIENT, CannotUndoError, Detail, Step, StepContext
from opskit.steps.convergence import still_there
from opskit.steps.holding import put_right_if_lost
from opskit.steps.services import services_of
from opskit.swarm import model

_PAUSE_S = 0.5


class Undeploy(Step, frozen=True, kw_only=True, tag="undeploy"):
    """Remove a stack's services, networks and configs; volumes and secrets stay.

    `returns` says that another step deploys the app again when the run is undone, and `secrets`
    which ones that needs; `why` says why none can.
    """

    app: str = ""
    stack: str
    services: tuple[str, ...]
    timeout: float
    returns: bool
    secrets: tuple[str, ...] = ()
    why: str = ""

    def subject(self) -> str:
        """Name the stack."""
        return self.stack

    def calls(self) -> list[str]:
        """Show what is removed."""
        return [
            *(f"DELETE /services ({name})" for name in self.services),
            f"DELETE /networks, /configs (labelled {self.stack})",
        ]

    def warning(self) -> str:
        """Return what is down until somebody deploys again."""
        return "The app goes down until it is deployed again; its volumes and secrets stay."

    def is_irreversible(self) -> bool:
        """Return whether no other step can deploy it again."""
        return not self.returns

    def needs_to_undo(self) -> tuple[str, ...]:
        """Name those that the services used, if it is deployed again."""
        return self.secrets if self.returns else ()

    def removes_services(self) -> tuple[str, ...]:
        """Name the stack's services."""
        return self.services

    def longest_wait(self) -> float:
        """Return the time it has."""
        return self.timeout

    def do(self, ctx: StepContext) -> Detail:
        """Remove the services, wait for their tasks to end, and remove the rest."""
        asked = list[str]()
        with put_right_if_lost(ctx, lambda ctx: self._gone(ctx, asked)):
            return self._remove(ctx, asked)

    def _remove(self, ctx: StepContext, asked: list[str]) -> Detail:
        until = time.monotonic() + self.timeout
        services = ctx.patiently(lambda: services_of(ctx, self.stack))
        for service in services:
            asked.append(service.spec.name)
            self._insist(ctx, until, lambda ident=service.id: ctx.engine.remove_service(ident))
        networks = self._networks(ctx)
        for network in networks:
            self._insist(ctx, until, lambda ident=network.id: ctx.engine.remove_network(ident))
        self._wait_for_networks(ctx, until)
        note = self._wait_for_tasks(ctx, until, {service.id for service in services})
        configs = [c for c in ctx.patiently(ctx.engine.configs) if self._is_of_stack(c.spec.labels)]
        for config in configs:
            self._insist(ctx, until, lambda ident=config.id: ctx.engine.remove_config(ident))
        ctx.ask_lock()
        return {
            "services": len(services),
            "networks": len(networks),
            "configs": len(configs),
            "note": note,
        }

    def _gone(self, ctx: StepContext, asked: list[str]) -> str:
        """Say what this run took away of what may be deployed again by now, and is wanted.

        Nobody can tell whether it is: so nothing is put back.
        """
        try:
            there = {one.spec.name for one in ctx.patiently(lambda: services_of(ctx, self.stack))}
        except OpskitError as error:
            return f"{self._up_to_now(asked)} What is there now was not seen: {error}"
        gone = [name for name in asked if name not in there]
        if not gone:
            return f"All that {self.stack} had is there now."
        left = f"of {self.stack} there is {', '.join(sorted(there)) or 'nothing'} now."
        return (
            f"{self._up_to_now(gone)} Else {left} If somebody deployed it meanwhile, bring it "
            f"back: opskit app deploy {quote(self.app or self.stack)}"
        )

    def _up_to_now(self, names: list[str]) -> str:
        return f"Up to there it had removed {', '.join(names) or 'nothing'}."

    def undo(self, ctx: StepContext) -> Detail:
        """Do nothing here if another step deploys the app again."""
        if self.returns or len(services_of(ctx, self.stack)) == len(self.services):
            return {}
        raise CannotUndoError(f"{self.stack} cannot be deployed again: {self.why}")

    def _networks(self, ctx: StepContext) -> list[model.Network]:
        return [n for n in ctx.patiently(ctx.engine.networks) if self._is_of_stack(n.labels)]

    def _wait_for_networks(self, ctx: StepContext, until: float) -> None:
        """Wait for the last task to let go: a deploy right after would find half a network."""
        while left := self._networks(ctx):
            if time.monotonic() >= until:
                names = ", ".join(network.name for network in left)
                raise StepError(f"{names} was not gone in {self.timeout:g} s: a task may hang.")
            ctx.keep_lock()
            ctx.wait(_PAUSE_S)

    def _wait_for_tasks(self, ctx: StepContext, until: float, services: Set[str]) -> str:
        """Wait until Swarm has heard that the tasks ended: till then they need their secrets."""
        while True:
            tasks = [task for task in ctx.patiently(ctx.engine.tasks) if is_alive(task)]
            left, note = still_there(
                [one for one in tasks if one.service_id in services], ctx.engine.nodes
            )
            if not left:
                return note
            if time.monotonic() >= until:
                raise StepError(f"tasks of {self.stack} did not end in {self.timeout:g} s.")
            ctx.keep_lock()
            ctx.wait(_PAUSE_S)

    def _is_of_stack(self, labels: dict[str, str] | None) -> bool:
        return stack_of(labels) == self.stack

    def _insist(self, ctx: StepContext, until: float, remove: Callable[[], None]) -> None:
        """Try until it is gone: an engine refuses while an ending task still holds it."""
        while True:
            try:
                remove()
            except NotFoundError:
                return
            except (EngineError, *TRANSIENT) as error:
                if time.monotonic() >= until:
                    raise StepError(
                        f"{self.stack} was not gone in {self.timeout:g} s: {error}"
                    ) from error
            else:
                return
            ctx.keep_lock()
            ctx.wait(_PAUSE_S)
