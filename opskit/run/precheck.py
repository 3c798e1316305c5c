"""Whether the world is still as a plan saw it."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from opskit.errors import NotFoundError
from opskit.facts.join import stack_of
from opskit.plan.data import Unit
from opskit.steps import (
    CommitEnv,
    ConvergeBack,
    CreateEnv,
    CreateSecret,
    Declare,
    Deploy,
    Pin,
    PromotePassword,
    PutBack,
    RecommitEnv,
    ReleaseLock,
    RemovePassword,
    RemoveSecret,
    ReplaceEnv,
    RestartService,
    RunHook,
    StagePassword,
    SwitchService,
    TakeLock,
    Undeploy,
    Verify,
    VerifyStack,
)
from opskit.steps.env import digest
from opskit.swarm.engine import Engine


def what_changed(unit: Unit, engine: Engine) -> list[str]:
    """List what moved since the plan was made; empty when the plan still fits.

    Raises
    ------
    OpskitError
        The server cannot be asked.
    """
    changed: list[str] = []
    about_secrets = any(isinstance(step, CreateSecret | RemoveSecret) for step in unit.steps)
    names = {s.spec.name: s.id for s in engine.secrets()} if about_secrets else {}
    for step in unit.steps:
        match step:
            case CreateSecret():
                if step.swarm_name in names:
                    changed.append(f"{step.swarm_name} exists on {unit.server} by now")
            case RemoveSecret():
                if names.get(step.swarm_name) != step.secret_id:
                    changed.append(f"{step.swarm_name} is gone from {unit.server} or was made anew")
            case Declare() | Pin():
                changed += _file_changed(step)
            case SwitchService() | RestartService():
                changed += _service_changed(step, unit, engine)
            case CreateEnv():
                if Path(step.path).exists():
                    changed.append(f"{step.path} exists by now")
            case PutBack():
                changed += _stack_changed(step, unit, engine)
            case (
                CommitEnv() | ConvergeBack() | Deploy() | PromotePassword() | RecommitEnv()
                | ReleaseLock() | RemovePassword() | ReplaceEnv() | RunHook() | StagePassword()
                | TakeLock() | Undeploy() | Verify() | VerifyStack()
            ):  # fmt: skip
                pass  # These look for themselves when their turn comes.
            case _ as unknown:
                assert_never(unknown)
    return changed


def _file_changed(step: Declare | Pin) -> list[str]:
    try:
        found = digest(Path(step.path).read_bytes())
    except OSError as error:
        return [f"{step.path} cannot be read ({error.strerror})"]
    return [] if found == step.before else [f"{step.path} was edited"]


def _stack_changed(step: PutBack, unit: Unit, engine: Engine) -> list[str]:
    there = {
        service.id: service
        for service in engine.services()
        if stack_of(service.spec.labels) == step.stack
    }
    before = {one.service_id: one for one in step.before}
    changed = [
        f"service {one.service} was changed"
        for ident, one in before.items()
        if ident in there and there[ident].spec_digest != one.spec_digest
    ]
    gone = [one.service for ident, one in before.items() if ident not in there]
    changed += [f"service {name} is gone from {unit.server}" for name in gone]
    made = [service.spec.name for ident, service in there.items() if ident not in before]
    return changed + [f"service {name} exists on {unit.server} by now" for name in made]


def _service_changed(step: SwitchService | RestartService, unit: Unit, engine: Engine) -> list[str]:
    try:
        found = engine.raw_service(step.service_id).service.spec_digest
    except NotFoundError:
        return [f"service {step.service} is gone from {unit.server}"]
    return [] if found == step.spec_digest else [f"service {step.service} was changed"]
