"""The steps a plan is made of."""

from __future__ import annotations

from opskit.steps.base import CannotUndoError, InterruptedStepError, Step, StepContext
from opskit.steps.deploy import Deploy
from opskit.steps.env import CommitEnv, Declaration, Declare, Pin, RecommitEnv
from opskit.steps.holding import ReleaseLock, TakeLock
from opskit.steps.hook import RunHook
from opskit.steps.newenv import CreateEnv, ReplaceEnv
from opskit.steps.passwords import PromotePassword, RemovePassword, StagePassword
from opskit.steps.secrets import CreateSecret, RemoveSecret
from opskit.steps.services import RestartService, Swap, SwitchService
from opskit.steps.stack import PutBack, VerifyStack, Was
from opskit.steps.tasks import Probe
from opskit.steps.undeploy import Undeploy
from opskit.steps.verify import ConvergeBack, Verify, Watched

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
    "StagePassword",
    "Step",
    "StepContext",
    "Swap",
    "SwitchService",
    "TakeLock",
    "Undeploy",
    "Verify",
    "VerifyStack",
    "Was",
    "Watched",
]
