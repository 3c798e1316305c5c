"""The steps a plan is made of."""

from __future__ import annotations

from opskit.operations.steps.base import CannotUndoError, InterruptedStepError, Site, Step
from opskit.operations.steps.deploy import Deploy
from opskit.operations.steps.env import CommitEnv, Declaration, Declare, RecommitEnv
from opskit.operations.steps.hook import RunHook
from opskit.operations.steps.locks import ReleaseLock, TakeLock
from opskit.operations.steps.newenv import CreateEnv, ReplaceEnv
from opskit.operations.steps.passwords import PromotePassword, RemovePassword, StagePassword
from opskit.operations.steps.pin import Pin
from opskit.operations.steps.probe import Probe
from opskit.operations.steps.secrets import CreateSecret, RemoveSecret
from opskit.operations.steps.services import RestartService, Swap, SwitchService
from opskit.operations.steps.stack import PutBack, VerifyStack, Was
from opskit.operations.steps.undeploy import Undeploy
from opskit.operations.steps.verify import ConvergeBack, Verify, Watched

AnyStep = (
    TakeLock
    | StagePassword
    | CreateSecret
    | CreateEnv
    | ReplaceEnv
    | Pin
    | RecommitEnv
    | Declare
    | CommitEnv
    | ConvergeBack
    | RunHook
    | SwitchService
    | RestartService
    | PutBack
    | Deploy
    | Undeploy
    | Verify
    | VerifyStack
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
    "CreateEnv",
    "CreateSecret",
    "Declaration",
    "Declare",
    "Deploy",
    "InterruptedStepError",
    "Pin",
    "Probe",
    "PromotePassword",
    "PutBack",
    "RecommitEnv",
    "ReleaseLock",
    "RemovePassword",
    "RemoveSecret",
    "ReplaceEnv",
    "RestartService",
    "RunHook",
    "Site",
    "StagePassword",
    "Step",
    "Swap",
    "SwitchService",
    "TakeLock",
    "Undeploy",
    "Verify",
    "VerifyStack",
    "Was",
    "Watched",
]
