"""The steps a plan is made of."""

from __future__ import annotations

from opskit.operations.steps.base import CannotUndoError, InterruptedStepError, Site, Step
from opskit.operations.steps.deploy import Deploy
from opskit.operations.steps.env import CommitEnv, Declaration, Declare, RecommitEnv
from opskit.operations.steps.hook import RunHook
from opskit.operations.steps.locks import ReleaseLock, TakeLock
from opskit.operations.steps.passwords import PromotePassword, RemovePassword, StagePassword
from opskit.operations.steps.secrets import CreateSecret, RemoveSecret
from opskit.operations.steps.services import Swap, SwitchService
from opskit.operations.steps.verify import ConvergeBack, Probe, Verify, Watched

AnyStep = (
    TakeLock
    | StagePassword
    | CreateSecret
    | RecommitEnv
    | Declare
    | CommitEnv
    | ConvergeBack
    | RunHook
    | SwitchService
    | Deploy
    | Verify
    | PromotePassword
    | RemoveSecret
    | RemovePassword
    | ReleaseLock
)

__all__ = [
    "AnyStep",
    "CannotUndoError",
    "CommitEnv",
    "ConvergeBack",
    "CreateSecret",
    "Declaration",
    "Declare",
    "Deploy",
    "InterruptedStepError",
    "Probe",
    "PromotePassword",
    "RecommitEnv",
    "ReleaseLock",
    "RemovePassword",
    "RemoveSecret",
    "RunHook",
    "Site",
    "StagePassword",
    "Step",
    "Swap",
    "SwitchService",
    "TakeLock",
    "Verify",
    "Watched",
]
